#include "protocol/stream_name.h"

#include "base/assert.h"
#include "protocol/ascii.h"
#include "protocol/utf8.h"

/* A name on its way to the canonical form. */
struct name {
    char *canonical;                   /* borrowed: the caller's, SL_NAME_SIZE_MAX bytes */
    size_t canonical_size;             /* bytes of it in use */
    size_t segment_start;              /* of the last segment, in canonical */
    uint8_t decoded[SL_NAME_SIZE_MAX]; /* without escapes; never longer than canonical */
    size_t decoded_size;               /* bytes of it in use */
};

static bool is_unreserved(uint8_t byte)
{
    return sl_ascii_is_alphanumeric(byte) || byte == '-' || byte == '.' || byte == '_' ||
           byte == '~';
}

/* May stand in a segment as it is: `pchar` of RFC 3986, 3.3. */
static bool is_allowed(uint8_t byte)
{
    static const char marks[] = "!$&'()*+,;=:@";
    return is_unreserved(byte) || memchr(marks, byte, sizeof(marks) - 1) != NULL;
}

/* The byte that `raw` begins with, and how many bytes say it: 1, or 3 for an escape; 0: malformed.
 */
static size_t decode_byte(struct sl_bytes raw, uint8_t *byte)
{
    *byte = raw.data[0];
    if (*byte != '%')
        return 1;
    if (raw.size < 3)
        return 0;
    int high = sl_ascii_hex_value(raw.data[1]);
    int low = sl_ascii_hex_value(raw.data[2]);
    if (high < 0 || low < 0)
        return 0;
    *byte = (uint8_t)(high << 4 | low);
    return 3;
}

static enum sl_err put_byte(struct name *name, uint8_t byte, bool escape)
{
    if (SL_NAME_SIZE_MAX - name->canonical_size < (escape ? 3u : 1u))
        return SL_ERR_NAME_TOO_LONG;
    char *at = name->canonical + name->canonical_size;
    if (escape) {
        at[0] = '%';
        at[1] = "0123456789ABCDEF"[byte >> 4];
        at[2] = "0123456789ABCDEF"[byte & 15];
    } else {
        at[0] = (char)byte;
    }
    name->canonical_size += escape ? 3 : 1;
    name->decoded[name->decoded_size++] = byte;
    return SL_OK;
}

/* Looks at the segment that is complete now. */
static enum sl_err end_segment(struct name *name)
{
    struct sl_bytes segment =
        sl_bytes(name->canonical + name->segment_start, name->canonical_size - name->segment_start);
    if (segment.size == 0 || sl_bytes_equal(segment, sl_bytes_of(".")) ||
        sl_bytes_equal(segment, sl_bytes_of("..")))
        return SL_ERR_INVALID_STREAM_NAME;
    if (name->segment_start == 0 && sl_bytes_equal(segment, sl_bytes_of("__ds")))
        return SL_ERR_RESERVED_NAME;
    return SL_OK;
}

static enum sl_err put_path(struct name *name, struct sl_bytes raw)
{
    enum sl_err err = SL_OK;
    while (raw.size > 0) {
        uint8_t byte;
        size_t raw_size = decode_byte(raw, &byte);
        if (raw_size == 0 || byte < 0x20 || byte == 0x7F)
            return SL_ERR_INVALID_STREAM_NAME;
        bool escaped = raw_size > 1;
        bool separator = byte == '/' && !escaped;
        bool plain = separator || (escaped ? is_unreserved(byte) : is_allowed(byte));
        if (separator)
            err = end_segment(name);
        if (err == SL_OK)
            err = put_byte(name, byte, !plain);
        if (err != SL_OK)
            return err;
        if (separator)
            name->segment_start = name->canonical_size;
        raw = sl_bytes_from(raw, raw_size);
    }
    return end_segment(name);
}

enum sl_err sl_stream_name_parse(struct sl_bytes raw_path, char out[SL_NAME_SIZE_MAX], size_t *size)
{
    *size = 0;
    struct name name;
    name.canonical = out;
    name.canonical_size = 0;
    name.segment_start = 0;
    name.decoded_size = 0;
    enum sl_err err = put_path(&name, raw_path);
    if (err != SL_OK)
        return err;
    SL_ASSERT(name.decoded_size <= name.canonical_size);
    if (!sl_utf8_is_valid(sl_bytes(name.decoded, name.decoded_size)))
        return SL_ERR_INVALID_STREAM_NAME;
    *size = name.canonical_size;
    return SL_OK;
}

enum sl_err sl_stream_name_from_reference(struct sl_bytes reference, struct sl_bytes stream_root,
                                          char out[SL_NAME_SIZE_MAX], size_t *size)
{
    *size = 0;
    if (reference.size <= stream_root.size || reference.data[stream_root.size] != '/' ||
        !sl_bytes_equal(sl_bytes(reference.data, stream_root.size), stream_root))
        return SL_ERR_FORK_SOURCE_NOT_FOUND;
    if (memchr(reference.data, '?', reference.size) != NULL ||
        memchr(reference.data, '#', reference.size) != NULL)
        return SL_ERR_FORK_SOURCE_NOT_FOUND;
    enum sl_err err =
        sl_stream_name_parse(sl_bytes_from(reference, stream_root.size + 1), out, size);
    if (err == SL_ERR_RESERVED_NAME || err == SL_ERR_NAME_TOO_LONG)
        return SL_ERR_FORK_SOURCE_NOT_FOUND; /* no stream can have such a name */
    return err;
}
