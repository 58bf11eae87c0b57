#include "http/h2o_override.h"

#include <dlfcn.h>

#include "base/assert.h"
#include "base/limits.h"
#include "protocol/ascii.h"

enum {
    SIZE_DIGITS_MAX = 16, /* of a chunk's size, with leading zeros: as many as 64 bits have */
    DECODED_MORE = -2,
    DECODED_MALFORMED = -1,
    PARSED_MORE = -2,
};

typedef int parse_request(const char *, size_t, const char **, size_t *, const char **, size_t *,
                          int *, struct phr_header *, size_t *, size_t);

typedef h2o_iovec_t buffer_reserve(h2o_buffer_t **, size_t);

/* Those whose names we have taken. */
static parse_request *h2o_parse_request;
static buffer_reserve *h2o_reserve;

static _Thread_local uint64_t growth; /* bytes; see sl_h2o_growth() */

/* What h2o was given last to read into. */
static _Thread_local struct {
    const h2o_buffer_t *buffer; /* borrowed, only compared; NULL: h2o was told to stop */
    size_t filled_size;         /* of the buffer, if all of that is filled */
    size_t left_size;           /* bytes that this connection may still read in this turn */
} reading;

/* What the next byte belongs to. The first one is 0, as h2o makes it. */
enum state {
    STATE_SIZE,         /* digits of a chunk's size */
    STATE_BLANK,        /* blanks between the size and an extension */
    STATE_EXTENSION,    /* what follows the semicolon, up to the line's end */
    STATE_SIZE_END,     /* LF of that line */
    STATE_DATA,         /* bytes of the chunk */
    STATE_DATA_CR,      /* line end behind them */
    STATE_DATA_LF,      /* the same */
    STATE_TRAILER,      /* first byte of a trailer, or CR of the empty line */
    STATE_TRAILER_NAME, /* up to the colon */
    STATE_TRAILER_TEXT, /* up to the line's end */
    STATE_TRAILER_END,  /* LF of that line */
    STATE_LAST,         /* LF of the empty line that ends the body */
};

enum progress { PROGRESS_MORE, PROGRESS_MALFORMED, PROGRESS_COMPLETE };

SL_STATIC_ASSERT(sizeof(struct phr_chunked_decoder) == 16, "h2o has no more room");

static enum progress go_on(struct phr_chunked_decoder *decoder, enum state state)
{
    decoder->state = (uint8_t)state;
    return PROGRESS_MORE;
}

/* Goes on if `byte` is the one that has to come. */
static enum progress expect(struct phr_chunked_decoder *decoder, char byte, char wanted,
                            enum state next)
{
    return byte == wanted ? go_on(decoder, next) : PROGRESS_MALFORMED;
}

/* A byte that counts as an extension or a trailer. */
static enum progress extra(struct phr_chunked_decoder *decoder, enum state next)
{
    return ++decoder->extra > SL_CHUNK_EXTRA_SIZE_MAX ? PROGRESS_MALFORMED : go_on(decoder, next);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* May stand in the value of a field: everything but controls. */
static bool is_text(char byte)
{
    return is_blank(byte) || ((unsigned char)byte > ' ' && byte != 0x7f);
}

static enum progress on_size(struct phr_chunked_decoder *decoder, char byte)
{
    int digit = sl_ascii_hex_value((uint8_t)byte);

    if (digit >= 0) {
        if (decoder->digits == SIZE_DIGITS_MAX)
            return PROGRESS_MALFORMED;
        decoder->digits++;
        decoder->left = decoder->left << 4 | (size_t)digit;
        return PROGRESS_MORE;
    }
    if (decoder->digits == 0 || decoder->left > SL_BODY_SIZE_MAX)
        return PROGRESS_MALFORMED; /* or so large that waiting for it makes no sense */
    decoder->digits = 0;
    if (byte == '\r')
        return go_on(decoder, STATE_SIZE_END);
    if (byte == ';')
        return extra(decoder, STATE_EXTENSION);
    return is_blank(byte) ? extra(decoder, STATE_BLANK) : PROGRESS_MALFORMED;
}

static enum progress on_extension(struct phr_chunked_decoder *decoder, char byte)
{
    if (byte == '\r')
        return go_on(decoder, STATE_SIZE_END);
    return is_text(byte) ? extra(decoder, STATE_EXTENSION) : PROGRESS_MALFORMED;
}

static enum progress on_trailer(struct phr_chunked_decoder *decoder, char byte)
{
    bool is_first = decoder->state == STATE_TRAILER;

    if (is_first && byte == '\r')
        return go_on(decoder, STATE_LAST);
    if (!is_first && byte == ':')
        return extra(decoder, STATE_TRAILER_TEXT);
    return sl_ascii_is_token(sl_bytes(&byte, 1)) ? extra(decoder, STATE_TRAILER_NAME)
                                                 : PROGRESS_MALFORMED;
}

/* One byte of what is not data. */
static enum progress step(struct phr_chunked_decoder *decoder, char byte)
{
    switch ((enum state)decoder->state) {
    case STATE_SIZE:
        return on_size(decoder, byte);
    case STATE_BLANK:
        if (is_blank(byte))
            return extra(decoder, STATE_BLANK);
        return byte == ';' ? extra(decoder, STATE_EXTENSION) : PROGRESS_MALFORMED;
    case STATE_EXTENSION:
        return on_extension(decoder, byte);
    case STATE_SIZE_END:
        return expect(decoder, byte, '\n', decoder->left == 0 ? STATE_TRAILER : STATE_DATA);
    case STATE_DATA_CR:
        return expect(decoder, byte, '\r', STATE_DATA_LF);
    case STATE_DATA_LF:
        return expect(decoder, byte, '\n', STATE_SIZE);
    case STATE_TRAILER:
    case STATE_TRAILER_NAME:
        return on_trailer(decoder, byte);
    case STATE_TRAILER_TEXT:
        if (byte == '\r')
            return go_on(decoder, STATE_TRAILER_END);
        return is_text(byte) ? extra(decoder, STATE_TRAILER_TEXT) : PROGRESS_MALFORMED;
    case STATE_TRAILER_END:
        return expect(decoder, byte, '\n', STATE_TRAILER);
    case STATE_LAST:
        return byte == '\n' ? PROGRESS_COMPLETE : PROGRESS_MALFORMED;
    case STATE_DATA:
        break;
    }
    return PROGRESS_MALFORMED;
}

/* Moves data from `from` to `to`; returns how much. */
static size_t take_data(struct phr_chunked_decoder *decoder, char *to, const char *from,
                        size_t size)
{
    if (size > decoder->left)
        size = decoder->left;
    memmove(to, from, size);
    decoder->left -= size;
    if (decoder->left == 0)
        decoder->state = STATE_DATA_CR;
    return size;
}

ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *bytes, size_t *size)
{
    enum progress progress = PROGRESS_MORE;
    size_t from = 0, to = 0;

    while (from < *size && progress == PROGRESS_MORE) {
        if (decoder->state == STATE_DATA) {
            size_t taken = take_data(decoder, bytes + to, bytes + from, *size - from);
            from += taken;
            to += taken;
        } else {
            progress = step(decoder, bytes[from++]);
        }
    }
    size_t rest = *size - from;
    memmove(bytes + to, bytes + from, rest);
    *size = to;
    if (progress == PROGRESS_COMPLETE)
        return (ssize_t)rest;
    return progress == PROGRESS_MORE ? DECODED_MORE : DECODED_MALFORMED;
}

int phr_parse_request(const char *bytes, size_t size, const char **method, size_t *method_size,
                      const char **target, size_t *target_size, int *minor_version,
                      struct phr_header *headers, size_t *header_count, size_t size_before)
{
    int parsed = h2o_parse_request(bytes, size, method, method_size, target, target_size,
                                   minor_version, headers, header_count, size_before);
    if (parsed >= 0 || (parsed == PARSED_MORE && size < H2O_MAX_REQLEN))
        return parsed;
    *method = *target = "";
    *method_size = *target_size = *header_count = 0;
    *minor_version = 0;
    return (int)size;
}

h2o_iovec_t h2o_url_normalize_path(h2o_mem_pool_t *pool, const char *path, size_t len,
                                   size_t *query_at, size_t **norm_indexes)
{
    (void)pool;
    (void)path;
    (void)len;
    *query_at = SIZE_MAX;
    *norm_indexes = NULL;
    return h2o_iovec_init(H2O_STRLIT("/"));
}

/*
 * h2o reads until a read does not fill what it was given, however long that takes others: a read of
 * no bytes makes it stop, and go on in the next turn.
 */
h2o_iovec_t h2o_buffer_reserve(h2o_buffer_t **buffer, size_t size)
{
    bool goes_on = *buffer == reading.buffer && (*buffer)->size == reading.filled_size;
    size_t most = (*buffer)->size < SL_READ_SIZE_FIRST ? SL_READ_SIZE_FIRST : SL_READ_SIZE_MAX;
    if (goes_on)
        most = reading.left_size;

    if (most == 0) {
        reading.buffer = NULL;
        return h2o_iovec_init((*buffer)->bytes, 0);
    }
    size_t before = (*buffer)->capacity;
    h2o_iovec_t space = h2o_reserve(buffer, size);
    size_t after = (*buffer)->capacity;
    if (after > before && after > SL_H2O_INPUT_SMALL)
        growth += after - before;
    if (space.len > most)
        space.len = most;
    reading.buffer = *buffer;
    reading.filled_size = (*buffer)->size + space.len;
    reading.left_size = most - space.len;
    return space;
}

uint64_t sl_h2o_growth(void)
{
    return growth;
}

/* The function of this name that would be called if we had none. */
static void find(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    SL_ASSERT(symbol != NULL);
    memcpy(function, &symbol, sizeof(symbol));
}

void sl_h2o_override(void)
{
    find("phr_parse_request", &h2o_parse_request);
    find("h2o_buffer_reserve", &h2o_reserve);
}
