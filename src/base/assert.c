#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"

void sl_assert_fail(const char *condition, const char *file, int line)
{
    char text[512];
    int size = snprintf(text, sizeof(text), "panic: thread %s, %s:%d: %s\n", sl_thread_name(), file,
                        line, condition);
    if (size > 0)
        fwrite(text, 1, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1, stderr);
    abort();
}
