/*
 * server/json_line.h - one JSON object per line
 *
 * What     Builds an object of numbers, flags and texts for what programs are to read.
 * Why      Names and producer ids are bytes of clients: every line is valid JSON whatever they
 *          hold.
 * Thread   Whoever owns the buffer.
 *
 * Format   Text as sl_json_append_string() writes it. Payload is base64.
 */
#ifndef SL_SERVER_JSON_LINE_H
#define SL_SERVER_JSON_LINE_H

#include "base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends {"kind":"<kind>" to the line. */
void sl_json_line_begin(struct sl_buffer *line, const char *kind);
void sl_json_line_number(struct sl_buffer *line, const char *name, uint64_t value);
void sl_json_line_signed(struct sl_buffer *line, const char *name, int64_t value);
/* Sixteen hex digits in quotes: ids that are bits and not counts. */
void sl_json_line_hex(struct sl_buffer *line, const char *name, uint64_t value);
void sl_json_line_flag(struct sl_buffer *line, const char *name, bool value);
void sl_json_line_text(struct sl_buffer *line, const char *name, struct sl_bytes text);
void sl_json_line_base64(struct sl_buffer *line, const char *name, struct sl_bytes bytes);
/* Appends } and a newline. */
void sl_json_line_end(struct sl_buffer *line);

#ifdef __cplusplus
}
#endif
#endif
