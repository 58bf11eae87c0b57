#include "protocol/glob.h"

#include "base/assert.h"
#include "base/memory.h"
#include "protocol/ascii.h"
#include "protocol/stream_name.h"

/* What some segments of a pattern are compared with. */
struct literal {
    struct sl_bytes text; /* borrowed from the glob's text */
    uint64_t places;      /* bit i: segment i is this one */
};

/* Segments are counted without the `**`, which are properties of the places between them. */
struct sl_glob {
    char *text;         /* owned: the literals in canonical form, a '/' between two of them */
    size_t prefix_size; /* bytes of the text up to the first wildcard, without the '/' before it */
    uint64_t ones;      /* bit i: segment i is `*` */
    uint64_t anys;      /* bit i: a `**` is before segment i */
    uint64_t last;      /* the bit of the last segment; 0: there is none */
    bool is_open;       /* a `**` is at the end */
    unsigned literal_count;
    struct literal literals[]; /* each text once, in the order of find() */
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

/* Where the literal of this text is, or would be. */
static unsigned find(const struct sl_glob *glob, struct sl_bytes text)
{
    unsigned low = 0, high = glob->literal_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct sl_bytes other = glob->literals[middle].text;
        if (other.size < text.size ||
            (other.size == text.size && memcmp(other.data, text.data, text.size) < 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct sl_glob *glob, unsigned at, struct sl_bytes text)
{
    return at < glob->literal_count && sl_bytes_equal(glob->literals[at].text, text);
}

static void add_literal(struct sl_glob *glob, struct sl_bytes text, uint64_t place)
{
    unsigned at = find(glob, text);
    struct literal *literal = &glob->literals[at];
    if (!is_at(glob, at, text)) {
        memmove(literal + 1, literal, (glob->literal_count++ - at) * sizeof(*literal));
        *literal = (struct literal){ .text = text };
    }
    literal->places |= place;
}

/* Fills it from a canonical pattern; there is room for that. False: too many segments. */
static bool fill(struct sl_glob *glob, struct sl_bytes rest)
{
    char *end = glob->text;
    bool in_prefix = true;
    unsigned count = 0;
    uint64_t place = 1; /* of the next segment */
    while (rest.size > 0) {
        struct sl_bytes word = sl_ascii_cut(&rest, '/');
        bool is_any = sl_bytes_equal(word, sl_bytes_of("**"));
        bool is_one = sl_bytes_equal(word, sl_bytes_of("*"));
        if (is_any && glob->is_open)
            continue; /* as one of them */
        if (count++ == SL_GLOB_SEGMENTS_MAX)
            return false;
        in_prefix = in_prefix && !is_any && !is_one;
        glob->is_open = is_any;
        if (is_any) {
            glob->anys |= place;
            continue;
        }
        if (is_one) {
            glob->ones |= place;
        } else {
            if (end > glob->text)
                *end++ = '/';
            size_t size = copy_literal(word, end);
            add_literal(glob, sl_bytes(end, size), place);
            end += size;
        }
        if (in_prefix)
            glob->prefix_size = (size_t)(end - glob->text);
        glob->last = place;
        place <<= 1;
    }
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
    struct sl_glob *made = sl_memory_alloc(sizeof(*made) + segments_max * sizeof(struct literal));
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
    size_t size = sizeof(*glob) + glob->literal_count * sizeof(glob->literals[0]);
    for (unsigned i = 0; i < glob->literal_count; i++)
        size += glob->literals[i].text.size + 1;
    return size;
}

/*
 * All ways to match are followed at once, a bit for each: a word of the name costs the search for
 * one text, however many `**` there are.
 */
bool sl_glob_matches(const struct sl_glob *glob, struct sl_bytes name)
{
    uint64_t ready = 1; /* bit i: the words so far match what is before segment i */
    bool is_match = false;
    if (glob->last == 0)
        return true; /* `**` alone */
    while (name.size > 0 && ready != 0) {
        struct sl_bytes word = sl_ascii_cut(&name, '/');
        unsigned at = find(glob, word);
        uint64_t places = is_at(glob, at, word) ? glob->literals[at].places : 0;
        uint64_t hit = ready & (places | glob->ones);
        is_match = (hit & glob->last) != 0;
        if (is_match && glob->is_open)
            return true;
        ready = hit << 1 | (ready & glob->anys);
    }
    return is_match && name.size == 0;
}
