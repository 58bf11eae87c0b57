#include "protocol/cursor.h"

#include "base/assert.h"
#include "protocol/query.h"

#define INTERVAL_MS INT64_C(20000)
#define EPOCH_MS INT64_C(1728432000000) /* 2024-10-09T00:00:00Z */

enum { JITTER_S_MAX = 3600, INTERVAL_S = 20 };

uint64_t sl_cursor_next(bool has_client, uint64_t client, int64_t wall_ms, uint64_t random)
{
    uint64_t current = wall_ms < EPOCH_MS ? 0 : (uint64_t)((wall_ms - EPOCH_MS) / INTERVAL_MS);
    if (!has_client || client < current)
        return current;
    SL_ASSERT(client <= SL_CURSOR_MAX);
    uint64_t jitter_s = 1 + random % JITTER_S_MAX;
    return client + (jitter_s + INTERVAL_S - 1) / INTERVAL_S;
}
