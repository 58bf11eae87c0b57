/*
 * journal/wal_scan.h - reads a log back, and tells a torn end from corruption
 *
 * What     Reads frames from a mark on and gives every record in order.
 * Why      The same code serves recovery, `sluice fsck` and `sluice dump`.
 * Thread   Any one; the log is not open for writing. Changes nothing.
 *
 * Rule     A frame at position p is good when its header is, and log_id, position, first_lsn, chain
 *          and epoch (the last one, or in an OPEN frame the next) are the expected ones, and its
 *          body has its checksum. When the frame at p is not good, the log may go on at the start
 *          of the next file, with exactly the expected first_lsn and chain (a file's end was
 *          reached, or a start followed a torn end). Otherwise every later block of this and the
 *          following files is looked at: a header that is valid, of this log, of an epoch not below
 *          the last, with a position not before p and an LSN not below the expected one proves that
 *          the frame at p had been complete (one write is in flight at a time): CORRUPT. So does a
 *          durable_lsn, of a frame or given by the caller, at or above the expected LSN, and a file
 *          that is missing while a later one is there. Else the end is TORN if the expected header
 *          is there without its body, or CLEAN. When the first block of the last write is missing,
 *          nothing shows that there was one: CLEAN.
 */
#ifndef SL_JOURNAL_WAL_SCAN_H
#define SL_JOURNAL_WAL_SCAN_H

#include "journal/wal.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SL_WAL_SCAN_AHEAD = 16 };

enum sl_wal_end {
    SL_WAL_CLEAN,   /* sealed, or nothing behind the last frame */
    SL_WAL_TORN,    /* the last write did not complete; nobody was told that it had */
    SL_WAL_CORRUPT, /* durable records are damaged or missing */
    SL_WAL_IO,      /* the disk does not answer: `error_number` */
};

struct sl_wal_scan {
    /* arguments */
    const struct sl_vfs *vfs; /* borrowed */
    const char *directory;    /* borrowed */
    uint64_t log_id;
    uint64_t file_size;
    struct sl_wal_mark from;       /* from.lsn - 1 and before is in the segments */
    uint64_t durable_lsn_at_least; /* what somebody else knows to be durable; 0: nothing */
    /* False: the record makes no sense: counts as corruption, with `what` from the callback. */
    bool (*on_record)(void *context, uint64_t lsn, int64_t wall_ms, const struct sl_record *record,
                      const char **what);
    /*
     * Or NULL: the record will be given to on_record after SL_WAL_SCAN_AHEAD others, or fewer at
     * the begin of a frame. Time to ask memory for what it will need; it is not checked yet.
     */
    void (*on_coming)(void *context, const struct sl_record *record);
    void *context;
    /* results */
    enum sl_wal_end result;
    struct sl_wal_mark end;   /* behind the last good frame */
    bool sealed;              /* that frame is a SEAL */
    int64_t wall_ms;          /* of the last good frame; 0: there is none */
    uint64_t frames, records; /* read */
    uint64_t torn_bytes;      /* TORN: whole blocks that belong to it */
    uint64_t file_number;     /* TORN: where they begin; CORRUPT, IO: where */
    uint64_t file_offset;     /* in that file */
    bool buffered;            /* direct reads are refused: it may have seen what no disk has */
    const char *what;         /* CORRUPT, IO: static text */
    int error_number;
};

void sl_wal_scan(struct sl_wal_scan *scan);

#ifdef __cplusplus
}
#endif
#endif
