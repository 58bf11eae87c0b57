/*
 * bench/ceiling/commit_ceiling.c - what the disk alone can commit
 *
 * What     One writer, one write in flight: pwrite with O_DIRECT|O_DSYNC of 1, 16, 64 and 256
 *          records in whole blocks of 4 KiB, one behind the other in a file that was written before.
 *          Prints rate and latencies of each batch size as one line of JSON.
 * Why      No log that keeps what it acknowledges can commit faster than that.
 */
#include "ceiling.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BLOCK_SIZE = 4096,
    FILE_SIZE = 64 << 20,      /* bytes; as ours */
    RECORD_SIZE_MAX = 1 << 16, /* bytes */
    BATCH_MAX = 256,           /* records */
    WRITE_SIZE_MAX = RECORD_SIZE_MAX * BATCH_MAX,
    WRITES_MAX = 1 << 20, /* that are measured for one batch size */
};

static const unsigned batches[] = { 1, 16, 64, BATCH_MAX };

static uint64_t latencies_ns[WRITES_MAX];

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

/* Of the first `count` latencies, which are sorted. */
static double percentile_us(size_t count, double share)
{
    return (double)latencies_ns[(size_t)((double)(count - 1) * share)] / 1000;
}

static void write_block(int fd, const void *from, size_t size, size_t at)
{
    ssize_t written = pwrite(fd, from, size, (off_t)at);

    if (written != (ssize_t)size)
        ceiling_fail("pwrite");
}

/* An unnamed file of zeros in `directory` whose blocks are all written; *direct as it could be had. */
static int open_file(const char *directory, const uint8_t *zeros, bool *direct)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_DSYNC | O_DIRECT, 0600);

    *direct = fd >= 0;
    if (fd < 0 && errno == EINVAL)
        fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_DSYNC, 0600);
    if (fd < 0)
        ceiling_fail(directory);
    for (size_t at = 0; at < FILE_SIZE; at += WRITE_SIZE_MAX)
        write_block(fd, zeros, WRITE_SIZE_MAX, at);
    return fd;
}

static void measure(int fd, const uint8_t *bytes, size_t record_size, unsigned batch,
                    uint64_t limit_ns)
{
    size_t size = (record_size * batch + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    uint64_t start_ns = sl_clock_monotonic_ns();
    uint64_t now_ns = start_ns;
    size_t count = 0;

    for (size_t at = 0; now_ns - start_ns < limit_ns && count < WRITES_MAX; at += size) {
        uint64_t before_ns = now_ns;
        if (at + size > FILE_SIZE)
            at = 0;
        write_block(fd, bytes, size, at);
        now_ns = sl_clock_monotonic_ns();
        latencies_ns[count++] = now_ns - before_ns;
    }
    double seconds = (double)(now_ns - start_ns) / 1e9;
    qsort(latencies_ns, count, sizeof *latencies_ns, compare);
    printf("{\"records\": %u, \"write_bytes\": %zu, \"writes\": %zu, \"writes_per_s\": %.1f, "
           "\"records_per_s\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f, \"max_us\": %.1f}",
           batch, size, count, (double)count / seconds, (double)count * batch / seconds,
           percentile_us(count, 0.5), percentile_us(count, 0.9), percentile_us(count, 0.99),
           percentile_us(count, 0.999), percentile_us(count, 1));
}

int main(int argument_count, char **arguments)
{
    struct ceiling_option options[] = {
        { "--dir", "." },
        { "--record-bytes", "256" },
        { "--seconds", "2" }, /* for each batch size */
    };
    bool direct;

    ceiling_parse(argument_count, arguments, options, 3);
    size_t record_size = ceiling_number(&options[1], 1, RECORD_SIZE_MAX);
    uint64_t limit_ns = ceiling_number(&options[2], 1, 3600) * 1000000000;
    uint8_t *bytes = (uint8_t *)sl_memory_alloc_aligned(BLOCK_SIZE, WRITE_SIZE_MAX);
    memset(bytes, 0, WRITE_SIZE_MAX);
    int fd = open_file(options[0].value, bytes, &direct);
    memset(bytes, 'x', WRITE_SIZE_MAX);
    printf("{\"direct\": %s, \"record_bytes\": %zu, \"batches\": [", direct ? "true" : "false",
           record_size);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        printf("%s", i == 0 ? "" : ", ");
        measure(fd, bytes, record_size, batches[i], limit_ns);
    }
    printf("]}\n");
    close(fd);
    sl_memory_free(bytes);
    return 0;
}
