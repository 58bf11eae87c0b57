#include "protocol/glob.h"

#include "base/assert.h"
#include "base/memory.h"
#include "protocol/ascii.h"
#include "protocol/stream_name.h"

enum segment_kind {
    LITERAL, /* this text */
    ONE,     /* `*` */
    ANY,     /* `**` */
};

struct segment {
    enum segment_kind kind;
    struct sl_bytes text; /* of a literal; borrowed from the glob's text */
};

struct sl_glob {
    char *text;         /* owned: the literals in canonical form, a '/' between two segments */
    size_t prefix_size; /* bytes of the text up to the first wildcard, without the '/' before it */
    unsigned count;     /* of segments */
    struct segment segments[]; /* never two ANY in a row, which mean the same as one */
};

static struct sl_bytes trim_slashes(struct sl_bytes text)
{
    while (text.size > 0 && text.data[0] == '/')
        text = sl_bytes_from(text, 1);
    while (text.size > 0 && text.data[text.size - 1] == '/')
        text.size--;
    return text;
}

/* Copies a literal to `out`, with `*` for %2A; returns its size there. */
static size_t copy_literal(struct sl_bytes literal, char *out)
{
    size_t size = 0;
    while (literal.size > 0) {
        bool is_star = literal.size >= 3 && memcmp(literal.data, "%2A", 3) == 0;
        const char *byte = is_star ? "*" : (const char *)literal.data;
        out[size++] = *byte;
        literal = sl_bytes_from(literal, is_star ? 3 : 1);
    }
    return size;
}

static enum segment_kind kind_of(struct sl_bytes segment)
{
    if (sl_bytes_equal(segment, sl_bytes_of("*")))
        return ONE;
    return sl_bytes_equal(segment, sl_bytes_of("**")) ? ANY : LITERAL;
}

/* Fills text and segments from a canonical pattern; there is room for both. False: too many. */
static bool fill(struct sl_glob *glob, struct sl_bytes rest)
{
    char *end = glob->text;
    bool in_prefix = true;
    while (rest.size > 0) {
        struct sl_bytes word = sl_ascii_cut(&rest, '/');
        struct segment *segment = &glob->segments[glob->count];
        enum segment_kind kind = kind_of(word);
        if (kind == ANY && glob->count > 0 && segment[-1].kind == ANY)
            continue;
        if (glob->count == SL_GLOB_SEGMENTS_MAX)
            return false;
        if (glob->count++ > 0)
            *end++ = '/';
        size_t size = kind == LITERAL ? copy_literal(word, end) : 0;
        *segment = (struct segment){ .kind = kind, .text = sl_bytes(end, size) };
        end += size;
        in_prefix = in_prefix && kind == LITERAL;
        if (in_prefix)
            glob->prefix_size = (size_t)(end - glob->text);
    }
    SL_ASSERT(glob->count > 0);
    return true;
}

enum sl_err sl_glob_create(struct sl_bytes pattern, struct sl_glob **glob)
{
    char canonical[SL_NAME_SIZE_MAX];
    size_t size;
    *glob = NULL;
    enum sl_err err = sl_stream_name_parse(trim_slashes(pattern), canonical, &size);
    if (err != SL_OK)
        return err;
    size_t segments_max = 1;
    for (size_t i = 0; i < size && segments_max < SL_GLOB_SEGMENTS_MAX; i++)
        segments_max += canonical[i] == '/';
    struct sl_glob *made = sl_memory_alloc(sizeof(*made) + segments_max * sizeof(struct segment));
    *made = (struct sl_glob){ .text = sl_memory_alloc(size) };
    if (fill(made, sl_bytes(canonical, size)))
        *glob = made;
    else
        sl_glob_destroy(&made);
    return *glob == NULL ? SL_ERR_NAME_TOO_LONG : SL_OK;
}

void sl_glob_destroy(struct sl_glob **glob)
{
    struct sl_glob *destroyed = *glob;
    *glob = NULL;
    if (destroyed == NULL)
        return;
    sl_memory_free(destroyed->text);
    sl_memory_free(destroyed);
}

struct sl_bytes sl_glob_prefix(const struct sl_glob *glob)
{
    return sl_bytes(glob->text, glob->prefix_size);
}

size_t sl_glob_size(const struct sl_glob *glob)
{
    size_t size = sizeof(*glob) + glob->count * sizeof(glob->segments[0]);
    for (unsigned i = 0; i < glob->count; i++)
        size += glob->segments[i].text.size + 1;
    return size;
}

/*
 * The last `**` that was met takes as few segments as it can. When what follows it does not match,
 * it takes one more; the ones before it never need another try, because whatever they could take
 * this one can take as well.
 */
bool sl_glob_matches(const struct sl_glob *glob, struct sl_bytes name)
{
    unsigned at = 0;
    bool has_any = false;
    unsigned after_any = 0;          /* the segment behind the last `**` */
    struct sl_bytes any_rest = name; /* what of the name that `**` leaves to it */
    struct sl_bytes rest = name;
    while (rest.size > 0) {
        const struct segment *segment = at < glob->count ? &glob->segments[at] : NULL;
        if (segment != NULL && segment->kind == ANY) {
            has_any = true;
            after_any = ++at;
            any_rest = rest;
            continue;
        }
        struct sl_bytes word = sl_ascii_cut(&rest, '/');
        if (segment != NULL && (segment->kind == ONE || sl_bytes_equal(segment->text, word))) {
            at++;
            continue;
        }
        if (!has_any)
            return false;
        sl_ascii_cut(&any_rest, '/');
        rest = any_rest;
        at = after_any;
    }
    if (at < glob->count && glob->segments[at].kind == ANY)
        at++;
    return at == glob->count;
}
