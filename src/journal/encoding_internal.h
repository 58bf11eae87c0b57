/*
 * journal/encoding_internal.h - integers in files, and what an errno value means to a caller
 *
 * What     Little-endian integers at any address, and at the end of a buffer.
 * Thread   Any, pure.
 */
#ifndef SL_JOURNAL_ENCODING_INTERNAL_H
#define SL_JOURNAL_ENCODING_INTERNAL_H

#include "base/assert.h"
#include "base/buffer.h"
#include "sluice/error.h"

#include <errno.h>

#ifdef __cplusplus
extern "C" {
#endif

SL_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files hold the machine's integers");

static inline void sli_put_u32(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, sizeof(value));
}

static inline void sli_put_u64(uint8_t *to, uint64_t value)
{
    memcpy(to, &value, sizeof(value));
}

static inline uint32_t sli_get_u32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static inline uint64_t sli_get_u64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static inline void sli_append_u32(struct sl_buffer *buffer, uint32_t value)
{
    sl_buffer_append(buffer, &value, sizeof(value));
}

static inline void sli_append_u64(struct sl_buffer *buffer, uint64_t value)
{
    sl_buffer_append(buffer, &value, sizeof(value));
}

/* What a failed call on a file means; 0 is SL_OK. */
static inline enum sl_err sli_disk_err(int error_number)
{
    if (error_number == 0)
        return SL_OK;
    return error_number == ENOSPC || error_number == EDQUOT ? SL_ERR_DISK_FULL
                                                            : SL_ERR_STORAGE_FAILED;
}

#ifdef __cplusplus
}
#endif
#endif
