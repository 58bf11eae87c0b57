/*
 * Runs a fuzz target over the files that are named on the command line: with every compiler, in
 * every test run.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    static uint8_t data[1 << 20];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        size_t size = fread(data, 1, sizeof(data), file);
        fclose(file);
        /* A copy of just that size, so that a sanitizer sees reads past its end. */
        uint8_t *copy = malloc(size + (size == 0));
        if (copy == NULL)
            return EXIT_FAILURE;
        memcpy(copy, data, size);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
    }
    return EXIT_SUCCESS;
}
