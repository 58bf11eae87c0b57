/*
 * protocol/stream_name.h - one canonical name per stream
 *
 * What     The path below the stream root, normalised as RFC 3986 says (6.2.2).
 * Why      Spellings that mean the same path must be the same stream; and a name must never be able
 * to climb ("..") or to hide bytes (%00, %2F is not '/'). Thread   Any; pure. Format   Segments
 * joined by '/'. Letters, digits and -._~ are never escaped, bytes that a path may not hold always
 * are, other escapes stay as they are with upper-case digits. Limits   SL_NAME_SIZE_MAX bytes in
 * canonical form
 */
#ifndef SL_PROTOCOL_STREAM_NAME_H
#define SL_PROTOCOL_STREAM_NAME_H

#include "sluice/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `raw_path` follows "<stream root>/", still percent-encoded, without the query.
 * Errors: RESERVED_NAME (the first segment is __ds, whatever follows), NAME_TOO_LONG,
 *   INVALID_STREAM_NAME (empty, "." or ".." segment; control character, raw or escaped; bad escape;
 *   bytes that are not UTF-8).
 * Then *size is 0 and `out` undefined.
 */
SL_NODISCARD enum sl_err sl_stream_name_parse(struct sl_bytes raw_path, char out[SL_NAME_SIZE_MAX],
                                              size_t *size);

/*
 * The name in a Stream-Forked-From value: the path of a stream of this server, for instance
 * "/v1/stream/src" with `stream_root` "/v1/stream".
 * Errors: FORK_SOURCE_NOT_FOUND (not below the root, a query or fragment, reserved, too long),
 *   INVALID_STREAM_NAME (malformed below the root).
 */
SL_NODISCARD enum sl_err sl_stream_name_from_reference(struct sl_bytes reference,
                                                       struct sl_bytes stream_root,
                                                       char out[SL_NAME_SIZE_MAX], size_t *size);

#ifdef __cplusplus
}
#endif
#endif
