/*
 * hooks/keys.h - what webhooks are signed with (protocol section 8.6)
 *
 * What     The Ed25519 key of this server, the public halves of those before it, and the secret of
 *          the tokens; kept in the file KEYS of the data directory, or only in memory.
 * Why      Receivers know the server by its key, so it survives a restart, and nothing is signed
 *          with a key that a power cut could take back. A retired key stays known until nobody
 *          takes its signatures any more.
 * Thread   hooks. Time is an argument: the wall clock. A failure of OpenSSL stops the process.
 * Format   KEYS, mode 0600, replaced as a whole; little-endian
 *            0  magic "SLKEYS\n\0", u32 version 1, u32 number of retired keys
 *           16  u8[32] secret of the tokens, u8[32] Ed25519 seed of the active key
 *           80  SL_KEYS_RETIRED_MAX times i64 retired_ms, u8[32] public key; the latest first, what
 *               is not used is zero
 *          360  u32 crc, CRC32C of the bytes before it
 */
#ifndef SL_HOOKS_KEYS_H
#define SL_HOOKS_KEYS_H

#include "base/buffer.h"
#include "protocol/base64url.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_vfs;
struct sl_keys;

enum {
    SL_KEYS_RETIRED_MAX = 7, /* so many keys can be retired within the time below */
    /*
     * How long a retired key is in the set, far longer than signatures are taken: receivers are
     * advised to refuse after five minutes, and no delivery is under way longer than that.
     */
    SL_KEYS_RETIRED_MS = 24 * 3600 * 1000,
    SL_KEYS_ID_SIZE = 3 + SL_BASE64URL_SIZE(32) + 1, /* "ds_", a SHA-256, NUL */
};

/*
 * Reads the file in `directory`, or makes it if there is none; it is durable then, and what a crash
 * has left of another one is gone. The caller has the lock of the directory. NULL: the keys
 * are new and only in memory. Sets *keys, NULL on failure; what is wrong is logged with the path.
 * Errors: DATA_CORRUPT, DATA_VERSION, DATA_DIRECTORY (others may read the file, it cannot be opened,
 * or is none), STORAGE_FAILED, DISK_FULL.
 */
SL_NODISCARD enum sl_err sl_keys_open(const struct sl_vfs *vfs, const char *directory,
                                      struct sl_keys **keys);
/*
 * Only reads the file: for whoever looks at the data directory of a server, not to be rotated.
 * Errors: NOT_FOUND, which is not logged; DATA_CORRUPT, DATA_VERSION, DATA_DIRECTORY,
 * STORAGE_FAILED as above.
 */
SL_NODISCARD enum sl_err sl_keys_read(const struct sl_vfs *vfs, const char *directory,
                                      struct sl_keys **keys);
/* Wipes the secrets from memory. */
void sl_keys_close(struct sl_keys **keys);

/* Were they made by sl_keys_open()? Then no token that was told before is valid. */
bool sl_keys_are_new(const struct sl_keys *keys);

/* The `kid` of the active key: its thumbprint (RFC 7638). Valid until it is rotated. */
const char *sl_keys_id(const struct sl_keys *keys);

/*
 * The `kid` of a retired key, the latest has index 0, and when that was, by the wall clock. False:
 * there are not so many.
 */
bool sl_keys_retired(const struct sl_keys *keys, unsigned index, char id[SL_KEYS_ID_SIZE],
                     int64_t *retired_ms);

/* Appends the set of the keys whose signatures may be taken at `wall_ms`, as JSON (RFC 7517). */
void sl_keys_append_jwks(const struct sl_keys *keys, int64_t wall_ms, struct sl_buffer *out);

/* Appends "t=...,kid=...,ed25519=...", the value of Webhook-Signature for this body. */
void sl_keys_sign(const struct sl_keys *keys, int64_t wall_ms, struct sl_bytes body,
                  struct sl_buffer *out);

/*
 * Makes a new key active and retires the one before it; tokens stay valid.
 * Errors, logged: OVERLOADED (as many were retired lately as may be), STORAGE_FAILED, DISK_FULL.
 * Then the active key stays; after a crash the new one may be.
 */
SL_NODISCARD enum sl_err sl_keys_rotate(struct sl_keys *keys, int64_t wall_ms);

/* The secret of the tokens, SL_TOKEN_SECRET_SIZE bytes; borrowed. */
const uint8_t *sl_keys_token_secret(const struct sl_keys *keys);

#ifdef __cplusplus
}
#endif
#endif
