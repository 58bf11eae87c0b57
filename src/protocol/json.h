/*
 * protocol/json.h - a JSON text becomes the messages of a stream
 *
 * What     Checks one RFC 8259 text and writes the messages in it in their stored form, minified
 *          and each followed by one comma, so that a read of any run of them is `[`, the bytes
 *          without the last comma, `]`.
 * Why      Tokens are copied verbatim: numbers, escapes, duplicate keys and the order of keys come
 *          back as they were sent, and nothing is lost in a conversion. What is already minified is
 *          copied in one run.
 * Thread   Any; pure functions.
 * Owns     A split owns its two buffers.
 * Format   Strict. A top-level array is flattened exactly one level, anything else is one message.
 *          Refused: a byte order mark, text that is not UTF-8, raw control characters in strings,
 *          trailing commas, a second value. Accepted: \u escapes of lone surrogates.
 * Invariants   (1) The stored form of a message is itself one valid text, without whitespace
 *              between tokens. (2) The varints in `lengths` are `count` many and add up to the size
 *              of `messages`.
 * Limits   SL_JSON_DEPTH_MAX levels of arrays and objects, the top-level array included;
 *          SL_MESSAGES_PER_REQUEST_MAX messages in a split. Time is linear in the size of the text,
 *          `messages` grows by at most the size of the text + 1, `lengths` by at most
 *          SL_VARINT_SIZE_MAX bytes a message and half the size of the text + 10 in all.
 */
#ifndef SL_PROTOCOL_JSON_H
#define SL_PROTOCOL_JSON_H

#include "base/buffer.h"
#include "sluice/bytes.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The messages of one request. All zero is an empty split. */
struct sl_json_split {
    struct sl_buffer messages; /* stored form, one after the other */
    struct sl_buffer lengths;  /* a varint for each message: its length, the comma included */
    uint32_t count;            /* messages */
};

/*
 * Adds the messages of one text to `split`; the texts of a batch are added one by one.
 * An error leaves `split` as it was: INVALID_JSON; EMPTY_ARRAY: valid, but there is nothing in it;
 * TOO_MANY_MESSAGES: the split would hold more than SL_MESSAGES_PER_REQUEST_MAX; what comes behind
 * the one too many is not read.
 */
SL_NODISCARD enum sl_err sl_json_split(struct sl_bytes text, struct sl_json_split *split);

/* No messages any more; keeps the memory for the next request. */
void sl_json_split_clear(struct sl_json_split *split);

/* Frees the memory; the split is empty and may be used again. */
void sl_json_split_deinit(struct sl_json_split *split);

#ifdef __cplusplus
}
#endif
#endif
