#include "hooks/keys.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "hooks/token.h"
#include "journal/small_file.h"
#include "journal/store.h"

enum {
    VERSION = 1,
    SEED_SIZE = 32,
    PUBLIC_KEY_SIZE = 32,
    SIGNATURE_SIZE = 64,
    MAGIC_SIZE = 8,
    RETIRED_BYTES = 8 + PUBLIC_KEY_SIZE,
    CHECKED_BYTES = 16 + SL_TOKEN_SECRET_SIZE + SEED_SIZE + SL_KEYS_RETIRED_MAX * RETIRED_BYTES,
    FILE_BYTES = CHECKED_BYTES + 4,
    OTHERS = 077,         /* bits of a file's mode that let others do something */
    PATH_TEXT_SIZE = 400, /* bytes of a path in a log line with its NUL */
};

static const char magic[MAGIC_SIZE] = "SLKEYS\n";

/* A key as others know it. */
struct known_key {
    int64_t retired_ms; /* wall clock; of the active key 0 */
    uint8_t public_key[PUBLIC_KEY_SIZE];
};

/* What the file says. */
struct content {
    uint8_t token_secret[SL_TOKEN_SECRET_SIZE];
    uint8_t seed[SEED_SIZE]; /* of the active key */
    uint32_t retired_count;
    struct known_key retired[SL_KEYS_RETIRED_MAX]; /* the latest first */
};

struct sl_keys {
    const struct sl_vfs *vfs; /* borrowed; NULL: in memory */
    char *directory;          /* owned; NULL: in memory */
    struct content content;
    EVP_PKEY *pair;          /* owned: the active key */
    struct known_key active; /* its public half */
    bool is_new;             /* made when it was opened */
    char id[SL_KEYS_ID_SIZE];
};

/*
 * ---- the file ---------------------------------------------------------------------------------
 */

/* The operator's line: what is wrong, and what to do. `error` is an errno value or 0. */
static enum sl_err refuse(const char *directory, enum sl_err err, int error, const char *reason,
                          const char *todo)
{
    char text[PATH_TEXT_SIZE];
    sl_log(SL_LOG_ERROR, "hooks", "keys_refused",
           "path=%s/" SL_STORE_KEYS_NAME " code=%s reason=\"%s%s%s\" todo=\"%s\"",
           sl_log_escaped(text, sizeof(text), sl_bytes_of(directory)), sl_err_code(err), reason,
           error == 0 ? "" : ": ", error == 0 ? "" : strerror(error), todo);
    return err;
}

static uint8_t *put(uint8_t *out, const void *bytes, size_t size)
{
    memcpy(out, bytes, size);
    return out + size;
}

static uint8_t *put_u32(uint8_t *out, uint32_t value)
{
    value = htole32(value);
    return put(out, &value, sizeof(value));
}

static const uint8_t *take(const uint8_t *from, void *bytes, size_t size)
{
    memcpy(bytes, from, size);
    return from + size;
}

static const uint8_t *take_u32(const uint8_t *from, uint32_t *value)
{
    from = take(from, value, sizeof(*value));
    *value = le32toh(*value);
    return from;
}

static void encode(const struct content *content, uint8_t out[FILE_BYTES])
{
    uint8_t *at = put(out, magic, sizeof(magic));
    at = put_u32(at, VERSION);
    at = put_u32(at, content->retired_count);
    at = put(at, content->token_secret, sizeof(content->token_secret));
    at = put(at, content->seed, sizeof(content->seed));
    for (unsigned i = 0; i < SL_KEYS_RETIRED_MAX; i++) {
        uint64_t retired_ms = htole64((uint64_t)content->retired[i].retired_ms);
        at = put(at, &retired_ms, sizeof(retired_ms));
        at = put(at, content->retired[i].public_key, PUBLIC_KEY_SIZE);
    }
    at = put_u32(at, sl_crc32c(0, out, CHECKED_BYTES));
    SL_ASSERT(at == out + FILE_BYTES);
}

static enum sl_err decode(const uint8_t *file, size_t size, struct content *content)
{
    uint32_t version, crc;
    if (size < MAGIC_SIZE + sizeof(version) || memcmp(file, magic, MAGIC_SIZE) != 0)
        return SL_ERR_DATA_CORRUPT;
    const uint8_t *at = take_u32(file + MAGIC_SIZE, &version);
    if (version != VERSION)
        return SL_ERR_DATA_VERSION;
    if (size != FILE_BYTES)
        return SL_ERR_DATA_CORRUPT;
    at = take_u32(at, &content->retired_count);
    at = take(at, content->token_secret, sizeof(content->token_secret));
    at = take(at, content->seed, sizeof(content->seed));
    for (unsigned i = 0; i < SL_KEYS_RETIRED_MAX; i++) {
        uint64_t retired_ms;
        at = take(at, &retired_ms, sizeof(retired_ms));
        at = take(at, content->retired[i].public_key, PUBLIC_KEY_SIZE);
        content->retired[i].retired_ms = (int64_t)le64toh(retired_ms);
    }
    take_u32(at, &crc);
    bool is_whole =
        crc == sl_crc32c(0, file, CHECKED_BYTES) && content->retired_count <= SL_KEYS_RETIRED_MAX;
    return is_whole ? SL_OK : SL_ERR_DATA_CORRUPT;
}

/* Errors: STORAGE_FAILED, DISK_FULL. */
static enum sl_err store(const struct sl_keys *keys, const struct content *content)
{
    uint8_t bytes[FILE_BYTES];
    bool unknown;
    if (keys->directory == NULL)
        return SL_OK;
    encode(content, bytes);
    int error = sl_small_file_replace(keys->vfs, keys->directory, SL_STORE_KEYS_NAME,
                                      sl_bytes(bytes, sizeof(bytes)), &unknown);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (error == 0)
        return SL_OK;
    return refuse(keys->directory,
                  error == ENOSPC || error == EDQUOT ? SL_ERR_DISK_FULL : SL_ERR_STORAGE_FAILED,
                  error, "the signing key cannot be written", "check the disk and the free space");
}

static enum sl_err refuse_disk(const struct sl_keys *keys, int error)
{
    return refuse(keys->directory, SL_ERR_STORAGE_FAILED, error, "the signing key cannot be read",
                  "check the disk");
}

static enum sl_err load_open(struct sl_keys *keys, struct sl_file *file)
{
    uint8_t bytes[FILE_BYTES + 1]; /* one more, to see a file that is longer */
    size_t size;
    unsigned mode;
    int error = file->vfs->mode(file, &mode);
    if (error == 0 && (mode & OTHERS) != 0)
        return refuse(keys->directory, SL_ERR_DATA_DIRECTORY, 0,
                      "others than its owner may read or change the signing key",
                      "remove it to get a new one, or chmod 600 if nobody has seen it");
    if (error == 0)
        error = file->vfs->read(file, bytes, sizeof(bytes), 0, &size);
    if (error != 0)
        return refuse_disk(keys, error);
    enum sl_err err = decode(bytes, size, &keys->content);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (err == SL_ERR_DATA_VERSION)
        return refuse(keys->directory, err, 0, "the signing key was written by another version",
                      "start the version that wrote it, or a newer one");
    if (err != SL_OK)
        return refuse(keys->directory, err, 0, "the signing key is damaged",
                      "restore the file, or remove it: then there is a new key, and what was "
                      "delivered before is delivered again");
    return SL_OK;
}

static void make_new(struct sl_keys *keys)
{
    struct content *content = &keys->content;
    sl_random_bytes(content->token_secret, sizeof(content->token_secret));
    sl_random_bytes(content->seed, sizeof(content->seed));
    keys->is_new = true;
}

/* Errors: as of sl_keys_read(). */
static enum sl_err load(struct sl_keys *keys)
{
    char path[SL_PATH_SIZE_MAX];
    struct sl_file *file;
    int error = sl_path_join(path, keys->directory, SL_STORE_KEYS_NAME)
                    ? keys->vfs->open(keys->vfs, path, 0, &file)
                    : ENAMETOOLONG;
    if (error == ENOENT)
        return SL_ERR_NOT_FOUND;
    if (error == ELOOP || error == EISDIR || error == ESPIPE || error == ENXIO)
        return refuse(keys->directory, SL_ERR_DATA_DIRECTORY, 0,
                      "it is no file, but a link, a directory, a FIFO or a socket",
                      "put the file back, or remove what is there to get a new key");
    if (error != 0)
        return refuse(keys->directory, SL_ERR_DATA_DIRECTORY, error,
                      "the signing key cannot be opened",
                      "let the user that runs the server read it");
    enum sl_err err = load_open(keys, file);
    keys->vfs->close(file);
    return err;
}

static enum sl_err load_or_make(struct sl_keys *keys)
{
    enum sl_err err = load(keys);
    if (err == SL_ERR_NOT_FOUND) {
        make_new(keys);
        return store(keys, &keys->content);
    }
    if (err != SL_OK)
        return err;
    /* Whoever made it may have been killed before its name was durable, or while they replaced it. */
    int error = sl_small_file_remove_temporary(keys->vfs, keys->directory, SL_STORE_KEYS_NAME);
    if (error != 0)
        return refuse(keys->directory, SL_ERR_STORAGE_FAILED, error,
                      "what a crash has left of another one, KEYS.tmp, cannot be removed",
                      "remove it");
    error = keys->vfs->sync_directory(keys->vfs, keys->directory);
    return error == 0 ? SL_OK : refuse_disk(keys, error);
}

/*
 * ---- the keys ---------------------------------------------------------------------------------
 */

/* "ds_" and the thumbprint of RFC 7638. */
static void format_id(const uint8_t public_key[PUBLIC_KEY_SIZE], char out[SL_KEYS_ID_SIZE])
{
    char x[SL_BASE64URL_SIZE(PUBLIC_KEY_SIZE)];
    char text[128];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    sl_base64url_encode(sl_bytes(public_key, PUBLIC_KEY_SIZE), x);
    int size = snprintf(text, sizeof(text), "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%.*s\"}",
                        (int)sizeof(x), x);
    SL_ASSERT(size > 0 && size < (int)sizeof(text));
    SHA256((const uint8_t *)text, (size_t)size, digest);
    memcpy(out, "ds_", 3);
    sl_base64url_encode(sl_bytes(digest, sizeof(digest)), out + 3);
    out[SL_KEYS_ID_SIZE - 1] = '\0';
}

/* The seed of the content becomes the key that signs. */
static void activate(struct sl_keys *keys)
{
    size_t size = PUBLIC_KEY_SIZE;
    EVP_PKEY_free(keys->pair);
    keys->pair =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, keys->content.seed, SEED_SIZE);
    SL_ASSERT(keys->pair != NULL);
    int got = EVP_PKEY_get_raw_public_key(keys->pair, keys->active.public_key, &size);
    SL_ASSERT(got == 1 && size == PUBLIC_KEY_SIZE);
    format_id(keys->active.public_key, keys->id);
}

static struct sl_keys *create(const struct sl_vfs *vfs, const char *directory)
{
    struct sl_keys *keys = sl_memory_zalloc(sizeof(*keys));
    if (directory != NULL) {
        size_t size = strlen(directory) + 1;
        keys->vfs = vfs;
        keys->directory = sl_memory_alloc(size);
        memcpy(keys->directory, directory, size);
    }
    return keys;
}

/* Takes the keys: they have their content, or `err` says why not. */
static enum sl_err finish(struct sl_keys **made, enum sl_err err, struct sl_keys **keys)
{
    if (err != SL_OK)
        sl_keys_close(made);
    else
        activate(*made);
    *keys = *made;
    *made = NULL;
    return err;
}

enum sl_err sl_keys_open(const struct sl_vfs *vfs, const char *directory, struct sl_keys **keys)
{
    struct sl_keys *opened = create(vfs, directory);
    enum sl_err err = SL_OK;
    if (directory == NULL)
        make_new(opened);
    else
        err = load_or_make(opened);
    return finish(&opened, err, keys);
}

enum sl_err sl_keys_read(const struct sl_vfs *vfs, const char *directory, struct sl_keys **keys)
{
    struct sl_keys *read = create(vfs, directory);
    return finish(&read, load(read), keys);
}

void sl_keys_close(struct sl_keys **keys)
{
    struct sl_keys *closed = *keys;
    *keys = NULL;
    if (closed == NULL)
        return;
    EVP_PKEY_free(closed->pair);
    sl_memory_free(closed->directory);
    OPENSSL_cleanse(closed, sizeof(*closed));
    sl_memory_free(closed);
}

bool sl_keys_are_new(const struct sl_keys *keys)
{
    return keys->is_new;
}

const char *sl_keys_id(const struct sl_keys *keys)
{
    return keys->id;
}

bool sl_keys_retired(const struct sl_keys *keys, unsigned index, char id[SL_KEYS_ID_SIZE],
                     int64_t *retired_ms)
{
    if (index >= keys->content.retired_count)
        return false;
    format_id(keys->content.retired[index].public_key, id);
    *retired_ms = keys->content.retired[index].retired_ms;
    return true;
}

const uint8_t *sl_keys_token_secret(const struct sl_keys *keys)
{
    return keys->content.token_secret;
}

static void append_jwk(const struct known_key *key, struct sl_buffer *out)
{
    char x[SL_BASE64URL_SIZE(PUBLIC_KEY_SIZE)];
    char id[SL_KEYS_ID_SIZE];
    sl_base64url_encode(sl_bytes(key->public_key, PUBLIC_KEY_SIZE), x);
    format_id(key->public_key, id);
    sl_buffer_printf(out,
                     "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%.*s\",\"kid\":\"%s\","
                     "\"use\":\"sig\",\"alg\":\"EdDSA\"}",
                     (int)sizeof(x), x, id);
}

/* A clock that was set back keeps keys longer, never shorter. */
static bool is_known(const struct known_key *key, int64_t wall_ms)
{
    return wall_ms - key->retired_ms < SL_KEYS_RETIRED_MS;
}

void sl_keys_append_jwks(const struct sl_keys *keys, int64_t wall_ms, struct sl_buffer *out)
{
    const struct content *content = &keys->content;
    sl_buffer_append_text(out, "{\"keys\":[");
    append_jwk(&keys->active, out);
    for (unsigned i = 0; i < content->retired_count; i++) {
        if (!is_known(&content->retired[i], wall_ms))
            continue;
        sl_buffer_append_text(out, ",");
        append_jwk(&content->retired[i], out);
    }
    sl_buffer_append_text(out, "]}");
}

void sl_keys_sign(const struct sl_keys *keys, int64_t wall_ms, struct sl_bytes body,
                  struct sl_buffer *out)
{
    uint8_t signature[SIGNATURE_SIZE];
    char text[SL_BASE64URL_SIZE(SIGNATURE_SIZE)];
    size_t size = sizeof(signature);
    int64_t seconds = wall_ms / 1000;
    struct sl_buffer signed_bytes = { 0 };
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    SL_ASSERT(context != NULL);
    sl_buffer_printf(&signed_bytes, "%" PRId64 ".", seconds);
    sl_buffer_append_bytes(&signed_bytes, body);
    int done = EVP_DigestSignInit(context, NULL, NULL, NULL, keys->pair);
    SL_ASSERT(done == 1);
    done = EVP_DigestSign(context, signature, &size, signed_bytes.data, signed_bytes.size);
    SL_ASSERT(done == 1 && size == sizeof(signature));
    EVP_MD_CTX_free(context);
    sl_buffer_deinit(&signed_bytes);
    sl_base64url_encode(sl_bytes(signature, sizeof(signature)), text);
    sl_buffer_printf(out, "t=%" PRId64 ",kid=%s,ed25519=%.*s", seconds, keys->id, (int)sizeof(text),
                     text);
}

enum sl_err sl_keys_rotate(struct sl_keys *keys, int64_t wall_ms)
{
    struct content next = keys->content;
    sl_random_bytes(next.seed, sizeof(next.seed));
    memset(next.retired, 0, sizeof(next.retired));
    next.retired[0] = keys->active;
    next.retired[0].retired_ms = wall_ms;
    next.retired_count = 1;
    enum sl_err err = SL_OK;
    for (unsigned i = 0; i < keys->content.retired_count && err == SL_OK; i++) {
        const struct known_key *retired = &keys->content.retired[i];
        if (!is_known(retired, wall_ms))
            continue;
        if (next.retired_count == SL_KEYS_RETIRED_MAX)
            err = SL_ERR_OVERLOADED;
        else
            next.retired[next.retired_count++] = *retired;
    }
    if (err != SL_OK)
        sl_log(SL_LOG_WARN, "hooks", "key_not_rotated",
               "reason=\"as many keys were retired lately as may be\" todo=\"wait a day\"");
    if (err == SL_OK)
        err = store(keys, &next);
    if (err == SL_OK) {
        keys->content = next;
        activate(keys);
        sl_log(SL_LOG_INFO, "hooks", "key_rotated", "kid=%s", keys->id);
    }
    OPENSSL_cleanse(&next, sizeof(next));
    return err;
}
