/*
 * protocol/glob.h - patterns over stream names (protocol section 8.8)
 *
 * What     A pattern is read once; after that it says of any canonical name whether it matches.
 * Why      Names are compared in their one canonical form, so a pattern is brought into it, too.
 * Thread   Any; pure, a glob does not change.
 * Format   Segments joined by '/', slashes at both ends do not count. `*` is exactly one segment,
 *          `**` any number, also none; every other segment is compared as it is, case-sensitively.
 *          `*` within a longer segment is no wildcard, and `%2A` is a literal `*` everywhere.
 * Limits   SL_NAME_SIZE_MAX bytes in canonical form, SL_GLOB_SEGMENTS_MAX segments. A match takes
 *          one binary search among the pattern's texts for each segment of the name, and no memory.
 */
#ifndef SL_PROTOCOL_GLOB_H
#define SL_PROTOCOL_GLOB_H

#include "sluice/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_GLOB_SEGMENTS_MAX = 64, /* a bit of a word each */
};

struct sl_glob;

/*
 * Sets *glob, NULL on failure; the caller destroys it.
 * Errors: those of sl_stream_name_parse(): what no name can be is no pattern; and NAME_TOO_LONG for
 *   too many segments.
 */
SL_NODISCARD enum sl_err sl_glob_create(struct sl_bytes pattern, struct sl_glob **glob);

/* Frees it and clears the caller's pointer. */
void sl_glob_destroy(struct sl_glob **glob);

/*
 * The segments before the first wildcard, joined by '/', borrowed; empty when it begins with one.
 * What the glob matches is this name itself, or begins with it and a '/'.
 */
struct sl_bytes sl_glob_prefix(const struct sl_glob *glob);

/* Bytes of memory that it takes. */
size_t sl_glob_size(const struct sl_glob *glob);

/* Does it match this canonical name? */
bool sl_glob_matches(const struct sl_glob *glob, struct sl_bytes name);

#ifdef __cplusplus
}
#endif
#endif
