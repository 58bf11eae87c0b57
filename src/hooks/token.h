/*
 * hooks/token.h - what a worker shows to prove that a wake is his (protocol section 8.5)
 *
 * What     Numbers with a MAC (HMAC-SHA256) of this server over them and the subscription's id.
 * Why      Nothing has to be stored for a token: what it says can be believed, and whether that is
 *          still so, the subscription's state knows.
 * Thread   Any; pure. A failure of OpenSSL stops the process.
 * Format   base64url of u8 1, big-endian u64 incarnation, u64 generation, i64 expires_at_ms, then
 *          32 bytes MAC of: the bytes before it, the id. So a token has one spelling.
 */
#ifndef SL_HOOKS_TOKEN_H
#define SL_HOOKS_TOKEN_H

#include "protocol/base64url.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_TOKEN_SECRET_SIZE = 32, /* bytes of the MAC's key */
    SL_TOKEN_BYTES = 1 + 8 + 8 + 8 + 32,
    SL_TOKEN_SIZE = SL_BASE64URL_SIZE(SL_TOKEN_BYTES), /* characters: always just so many */
};

struct sl_token {
    uint64_t incarnation; /* of the subscription: another one each time its id is used again */
    uint64_t generation;  /* of its wake */
    int64_t
        expires_at_ms; /* wall clock; of the lease when the token was made, it may be extended */
};

/* Writes SL_TOKEN_SIZE characters, no NUL. `secret` has SL_TOKEN_SECRET_SIZE bytes. */
void sl_token_format(const uint8_t *secret, struct sl_bytes subscription_id,
                     const struct sl_token *token, char *out);

/*
 * False: it was not made with this secret for this subscription, and *token is all zero. True says
 * nothing about whether the numbers are those of today.
 */
bool sl_token_parse(const uint8_t *secret, struct sl_bytes subscription_id, struct sl_bytes text,
                    struct sl_token *token);

#ifdef __cplusplus
}
#endif
#endif
