/*
 * protocol/content_type.h - what a Content-Type value says
 *
 * What     Media type, comparison, and the kinds that the protocol treats differently.
 * Why      Only the media type counts; parameters are stored and echoed but never compared.
 * Thread   Any; pure.
 */
#ifndef SL_PROTOCOL_CONTENT_TYPE_H
#define SL_PROTOCOL_CONTENT_TYPE_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is before the first ';', without blanks around it. Borrowed from the argument. */
struct sl_bytes sl_media_type(struct sl_bytes content_type);

/* The media types of both are equal but for case. */
bool sl_media_type_equal(struct sl_bytes a, struct sl_bytes b);

/* application/json and nothing like it: application/vnd.x+json and application/jsonl are bytes. */
bool sl_content_type_is_json(struct sl_bytes content_type);

/* text/ and anything after it. */
bool sl_content_type_is_text(struct sl_bytes content_type);

/*
 * The media type is token "/" token (RFC 9110, 8.3.1) and the whole value is visible ASCII, spaces
 * and tabs of at most SL_CONTENT_TYPE_SIZE_MAX bytes, so it can be stored and echoed.
 */
bool sl_content_type_is_usable(struct sl_bytes content_type);

#ifdef __cplusplus
}
#endif
#endif
