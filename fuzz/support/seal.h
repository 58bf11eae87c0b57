/*
 * fuzz/support/seal.h - checksums that fit to whatever bytes a fuzzer has made
 *
 * What     Finds what looks like a part of a file of the data directory and sets its checksums.
 * Why      So that what lies behind the checksums is reached, too.
 * Thread   Any; pure functions. The formats are in journal/{store,manifest,frame,segment}.h.
 */
#ifndef SL_FUZZ_SUPPORT_SEAL_H
#define SL_FUZZ_SUPPORT_SEAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Both copies in the file SLUICE. */
void seal_identity(uint8_t *bytes, size_t size);

/* Both copies in a MANIFEST. */
void seal_manifest(uint8_t *bytes, size_t size);

/* Says in both copies what the segment with this number is like; to be sealed afterwards. */
void seal_manifest_segment(uint8_t *manifest, size_t manifest_size, uint64_t number,
                           const uint8_t *segment, size_t segment_size);

/* The header of one frame. */
void seal_frame_header(uint8_t *frame);

/* All frames of a log file; `chain` is of the frame before them. Returns that of the last one. */
uint32_t seal_frames(uint8_t *bytes, size_t size, uint32_t chain);

/* Chunks that an entry names, entry blocks, directory and footer of a segment. */
void seal_segment(uint8_t *bytes, size_t size);

/* Chunks, one behind the other. */
void seal_chunks(uint8_t *bytes, size_t size);

/* `bytes` as one entry block. */
void seal_block(uint8_t *bytes, size_t size);

#ifdef __cplusplus
}
#endif
#endif
