#include "base/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/assert.h"

void sl_random_bytes(void *out, size_t size)
{
    uint8_t *place = out;
    while (size > 0) {
        ssize_t got = getrandom(place, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        SL_ASSERT(got > 0);
        place += got;
        size -= (size_t)got;
    }
}

uint64_t sl_random_u64(void)
{
    uint64_t number;
    sl_random_bytes(&number, sizeof(number));
    return number;
}
