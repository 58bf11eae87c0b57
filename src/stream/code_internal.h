/*
 * stream/code_internal.h - numbers and texts as bytes
 *
 * What     Writes them, and reads them again from bytes that nobody vouches for. What CREATE
 *          records and snapshots have in common.
 * Thread   Any, pure.
 */
#ifndef SL_STREAM_CODE_INTERNAL_H
#define SL_STREAM_CODE_INTERNAL_H

#include "stream/change.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SLI_CODE_FORMAT = 1 };

/* Flags of a CREATE record and of a snapshot. */
enum {
    SLI_FLAG_TTL = 1,
    SLI_FLAG_EXPIRES_AT = 2,
    SLI_FLAG_INHERITED = 4, /* the lifetime is that of the source */
    SLI_FLAG_ORIGIN = 8,
    SLI_FLAG_CLOSED = 16,
    SLI_FLAG_PAYLOAD = 32,       /* CREATE */
    SLI_FLAG_SEQ = 64,           /* snapshot */
    SLI_FLAG_SOFT_DELETED = 128, /* snapshot */
};

void sli_write_byte(struct sl_buffer *out, uint8_t byte);
void sli_write_number(struct sl_buffer *out, uint64_t number);
void sli_write_instant(struct sl_buffer *out, int64_t wall_ms);
void sli_write_text(struct sl_buffer *out, struct sl_bytes text);

/* After the first thing that is malformed everything reads as 0 or empty. */
struct sli_reader {
    struct sl_bytes rest; /* borrowed */
    bool failed;
};

/* Nothing failed, and nothing is left. */
bool sli_read_end(const struct sli_reader *reader);
/* Fails unless `ok`. */
void sli_read_check(struct sli_reader *reader, bool ok);
uint8_t sli_read_byte(struct sli_reader *reader);
/* At most `max`. */
uint64_t sli_read_number(struct sli_reader *reader, uint64_t max);
int64_t sli_read_instant(struct sli_reader *reader);
/* `min` to `max` bytes, borrowed. */
struct sl_bytes sli_read_text(struct sli_reader *reader, size_t min, size_t max);

/* The flags of what sli_write_identity() writes, and SLI_FLAG_CLOSED. */
uint8_t sli_identity_flags(const struct sl_stream *stream);
/* Name, configuration, base, origin. */
void sli_write_identity(const struct sl_stream *stream, struct sl_buffer *out);
/* Sets change->origin, which is freed again when the reader fails. */
void sli_read_identity(struct sli_reader *reader, uint8_t flags, struct sl_change *change);
void sli_origin_destroy(struct sl_origin **origin);

#ifdef __cplusplus
}
#endif
#endif
