/*
 * http/h2o_override.h - functions of h2o that we define instead
 *
 * What     phr_decode_chunked(): h2o's decoder of chunked bodies takes "0x5" for 0, bare line feeds
 *          for line ends, anything for an extension or a trailer, and any amount of them: behind a
 *          proxy each of these can smuggle a request. This one takes what RFC 9112, 7.1 allows.
 *          phr_parse_request(): asks h2o's own, which finds what is no request; h2o would answer
 *          that itself and close the connection while the client sends, and what it had not read
 *          yet would make the kernel reset the connection and forget the answers before.
 *          This one passes it on as a request without a target, which the handler refuses like
 *          any other one.
 *          h2o_buffer_reserve(): asks h2o's own, which only reading from a connection does, adds up
 *          what uploads take, since nobody else learns that a request is large before all of it has
 *          come, and ends a turn of reading, for which h2o has no limit.
 *          h2o_url_normalize_path(): h2o's writes request targets that it cannot normalize to
 *          standard error, as they are: any client could write into the log, and as much as it
 *          likes. We route by the raw path, so this one has nothing to do.
 * Why      h2o has no hook for any of them. Its shared library calls all by name, and the linker
 *          takes the program's own function first.
 * Thread   Any; pure, but for what a thread's buffers took. sl_h2o_override() first.
 * Limits   SL_CHUNK_EXTRA_SIZE_MAX, SL_READ_SIZE_FIRST, SL_READ_SIZE_MAX
 */
#ifndef SL_HTTP_H2O_OVERRIDE_H
#define SL_HTTP_H2O_OVERRIDE_H

#include <stdint.h>

#include <h2o.h>

#ifdef __cplusplus
extern "C" {
#endif

/* h2o fills it with zeros and sets consume_trailer; it has 16 bytes there, so here, too. */
struct phr_chunked_decoder {
    size_t left;          /* of the chunk: bytes still to come; in its size line, all of them */
    char consume_trailer; /* always: h2o wants everything up to the end of the body gone */
    uint8_t digits;       /* of the chunk's size so far */
    uint8_t state;        /* what the next byte belongs to */
    uint32_t extra;       /* bytes of extensions and trailers so far */
};

/*
 * Decodes `*size` bytes at `bytes` in place and sets `*size` to what they hold. -2: there is more
 * to come; -1: malformed; else the end of the body was found, and that many bytes follow what it
 * held.
 */
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *bytes, size_t *size);

struct phr_header;
/*
 * Sets what the request that `bytes` begins with consists of; returns its size. -2: there is more
 * to come. What is malformed, or longer than h2o waits for, is a request of all bytes with an empty
 * target, an empty method and no headers, before HTTP/1.1. `size_before`: of the call before.
 */
int phr_parse_request(const char *bytes, size_t size, const char **method, size_t *method_size,
                      const char **target, size_t *target_size, int *minor_version,
                      struct phr_header *headers, size_t *header_count, size_t size_before);

/* Bytes: a request's buffer of this size or less holds a head; only larger ones are uploads. */
enum { SL_H2O_INPUT_SMALL = 2 * H2O_SOCKET_INITIAL_INPUT_BUFFER_SIZE };
/* By how many bytes larger ones of this thread have grown, ever. */
uint64_t sl_h2o_growth(void);

/* Before the first request. Names the functions above, too, so that the linker takes this file. */
void sl_h2o_override(void);

#ifdef __cplusplus
}
#endif
#endif
