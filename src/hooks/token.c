#include "hooks/token.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"
#include "base/buffer.h"

enum {
    VERSION = 1,
    MAC_BYTES = 32,
    SIGNED_BYTES = SL_TOKEN_BYTES - MAC_BYTES, /* those before the MAC */
};

SL_STATIC_ASSERT(SL_TOKEN_BYTES % 3 == 0, "the last digit of a token has no bits left over");

static uint8_t *put_u64(uint8_t *out, uint64_t value)
{
    value = htobe64(value);
    memcpy(out, &value, sizeof(value));
    return out + sizeof(value);
}

static uint64_t u64_at(const uint8_t *data)
{
    uint64_t value;
    memcpy(&value, data, sizeof(value));
    return be64toh(value);
}

/* The numbers have a fixed size, so where the id begins is clear without a separator. */
static void make_mac(const uint8_t *secret, struct sl_bytes id, const uint8_t *numbers,
                     uint8_t mac[MAC_BYTES])
{
    unsigned size = 0;
    struct sl_buffer text = { 0 };
    sl_buffer_append(&text, numbers, SIGNED_BYTES);
    sl_buffer_append_bytes(&text, id);
    const uint8_t *made =
        HMAC(EVP_sha256(), secret, SL_TOKEN_SECRET_SIZE, text.data, text.size, mac, &size);
    SL_ASSERT(made != NULL && size == MAC_BYTES);
    sl_buffer_deinit(&text);
}

void sl_token_format(const uint8_t *secret, struct sl_bytes subscription_id,
                     const struct sl_token *token, char *out)
{
    uint8_t bytes[SL_TOKEN_BYTES] = { VERSION };
    uint8_t *at = put_u64(bytes + 1, token->incarnation);
    at = put_u64(at, token->generation);
    at = put_u64(at, (uint64_t)token->expires_at_ms);
    SL_ASSERT(at == bytes + SIGNED_BYTES);
    make_mac(secret, subscription_id, bytes, at);
    sl_base64url_encode(sl_bytes(bytes, sizeof(bytes)), out);
}

bool sl_token_parse(const uint8_t *secret, struct sl_bytes subscription_id, struct sl_bytes text,
                    struct sl_token *token)
{
    uint8_t bytes[SL_TOKEN_BYTES];
    uint8_t mac[MAC_BYTES];
    *token = (struct sl_token){ .generation = 0 };
    if (!sl_base64url_decode(text, bytes, sizeof(bytes)) || bytes[0] != VERSION)
        return false;
    make_mac(secret, subscription_id, bytes, mac);
    if (CRYPTO_memcmp(mac, bytes + SIGNED_BYTES, sizeof(mac)) != 0)
        return false;
    token->incarnation = u64_at(bytes + 1);
    token->generation = u64_at(bytes + 9);
    token->expires_at_ms = (int64_t)u64_at(bytes + 17);
    return true;
}
