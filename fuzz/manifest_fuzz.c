/*
 * Any bytes as a manifest: what is accepted is written and read again as the same. The checksums
 * are made right then, so that what lies behind them is reached, too.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "journal/manifest.h"
#include "support/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct sl_bytes bytes)
{
    struct sl_manifest manifest, again;
    struct sl_buffer encoded = { 0 }, second = { 0 };
    bool one_copy;
    if (!sl_manifest_decode(bytes, &manifest, &one_copy)) {
        SL_ASSERT(manifest.segments.data == NULL);
        return;
    }
    sl_manifest_encode(&manifest, &encoded);
    bool good = sl_manifest_decode(sl_buffer_bytes(&encoded), &again, &one_copy);
    SL_ASSERT(good && !one_copy);
    sl_manifest_encode(&again, &second);
    SL_ASSERT(sl_bytes_equal(sl_buffer_bytes(&encoded), sl_buffer_bytes(&second)));
    sl_manifest_deinit(&manifest);
    sl_manifest_deinit(&again);
    sl_buffer_deinit(&encoded);
    sl_buffer_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = sl_memory_alloc(size);
    if (size > 0)
        memcpy(bytes, data, size);
    check(sl_bytes(bytes, size));
    seal_manifest(bytes, size);
    check(sl_bytes(bytes, size));
    sl_memory_free(bytes);
    return 0;
}
