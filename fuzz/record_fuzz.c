/*
 * Any bytes as records of a frame: what is accepted lies inside the bytes and is the same bytes
 * again when it is encoded.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "journal/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_bytes rest = sl_bytes(data, size);
    struct sl_record record;
    size_t used;
    while (sl_record_decode(rest, &record, &used)) {
        SL_ASSERT(used >= SL_RECORD_HEADER_BYTES && used <= rest.size);
        SL_ASSERT(used == sl_record_size(&record));
        SL_ASSERT(record.payload[1].size == 0);
        uint8_t *again = sl_memory_alloc(used);
        SL_ASSERT(sl_record_encode(&record, again) == used);
        SL_ASSERT(memcmp(again, rest.data, used) == 0);
        sl_memory_free(again);
        rest = sl_bytes_from(rest, used);
    }
    SL_ASSERT(used == 0);
    return 0;
}
