/*
 * fuzz/support/plain.h - texts, read slowly and plainly
 *
 * What     The questions that every plain reading of a rule asks.
 * Why      What a fuzz target compares with shares no line with what it checks.
 * Thread   Any; pure functions.
 */
#ifndef SL_FUZZ_SUPPORT_PLAIN_H
#define SL_FUZZ_SUPPORT_PLAIN_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PLAIN_DIGITS "0123456789"
#define PLAIN_ALPHANUMERIC PLAIN_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
/* Of RFC 9110, 5.6.2. */
#define PLAIN_TOKEN PLAIN_ALPHANUMERIC "!#$%&'*+-.^_`|~"

/* What is before `mark`, which goes too; all of it when there is none. */
struct sl_bytes plain_take(struct sl_bytes *rest, uint8_t mark);

/* Without spaces and tabs at both ends. */
struct sl_bytes plain_trim(struct sl_bytes text);

bool plain_is_one_of(uint8_t byte, const char *bytes);

/* All of `text` is of these bytes, and there is some. */
bool plain_is_made_of(struct sl_bytes text, const char *bytes);

/* The same but for the case of letters; `word` is in lower case. */
bool plain_is_word(struct sl_bytes text, const char *word);

/* UTF-8, with a number worked out for every character. */
bool plain_is_utf8(struct sl_bytes text);

#ifdef __cplusplus
}
#endif
#endif
