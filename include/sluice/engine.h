/*
 * sluice/engine.h - a set of shard threads that own streams
 *
 * What     Opens and closes an engine. Streams are hashed to shards by a keyed hash of the name.
 * Why      The engine knows nothing of HTTP: embedders and our own server use it alike.
 * Thread   Open and close: any one thread. Everything else goes through sessions (session.h).
 */
#ifndef SLUICE_ENGINE_H
#define SLUICE_ENGINE_H

#include "sluice/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_SHARDS_MAX = 32,
    SL_SESSIONS_MAX = 60, /* open at the same time */
    SL_COMMIT_BUCKETS = 24,
};

/*
 * What one change may hold when log files have so many bytes: a change is one record, a record
 * takes at most half a file, and a part of that is for what goes with the payload.
 */
#define SL_PAYLOAD_BYTES_MAX(wal_file_bytes) ((wal_file_bytes) / 2 - (wal_file_bytes) / 16)

/* They are written with their stream as one, which has to fit into memory twice then. */
#define SL_PRODUCERS_PER_STREAM_MAX 1000000u

struct sl_engine;
struct sl_metrics_registry;
struct sl_vfs;

/* 0 in a member means its default. */
struct sl_engine_options {
    unsigned shards;                     /* 1 to SL_SHARDS_MAX; default: as stored, else as below */
    unsigned shards_of_new;              /* when nothing is stored yet; default 1 */
    unsigned producers_per_stream_max;   /* default 10,000; at most SL_PRODUCERS_PER_STREAM_MAX */
    uint64_t streams_max;                /* over all shards; default 4,000,000 */
    uint64_t memory_budget_bytes;        /* bytes and stream state in memory; default 1 GiB */
    struct sl_metrics_registry *metrics; /* borrowed for the engine's life; NULL: one of its own */
    /* durable streams; without a directory they live in memory and nothing below counts */
    const char *data_directory; /* made if it is not there; borrowed for the call */
    const struct sl_vfs *vfs;   /* borrowed for the engine's life; NULL: the operating system's */
    uint64_t wal_budget_bytes;  /* of all logs before they are flushed; default 512 MiB */
    uint64_t wal_file_bytes;    /* of a new directory's log files; default 64 MiB */
    uint64_t free_bytes_min; /* of the file system; below it appends are refused; default 64 MiB */
    unsigned scrub_days; /* all segments are read and checked so often, from open on; 0: never */
    uint64_t scrub_bytes_per_second; /* that are read for it at most; default 16 MiB */
    bool allow_volatile;             /* the directory may be on a file system in memory */
    /* Called once by a shard's thread when its log has failed; may be NULL. */
    void (*on_storage_failed)(void *context);
    void *context;
};

/* What the engine is doing, summed over its shards; every value is of some recent moment. */
struct sl_engine_status {
    uint64_t streams;           /* that exist, soft-deleted ones too */
    uint64_t memory_used_bytes; /* of memory_budget_bytes */
    uint64_t read_copies_bytes; /* copied for readers, beside the budget; at most an eighth of it */
    uint64_t expired_total;
    uint64_t waiting_reads;
    bool durable;  /* there is a data directory */
    bool buffered; /* the file system refuses direct writes: the log goes through its cache */
    bool failed;   /* the log of a shard has failed */
    /* Commits by duration: [n] took less than 2^n us, and 2^(n-1) or more. */
    uint64_t commits[SL_COMMIT_BUCKETS];
    uint64_t commit_sum_us;
    unsigned shards;
    struct {
        uint64_t appended_lsn; /* position of the last accepted change */
        uint64_t durable_lsn;  /* position up to which changes are durable */
        bool failed;           /* its log has failed: nothing is changed until the next start */
        bool disk_full;        /* appends and creates are refused */
        uint64_t wal_bytes;    /* of log that a start would read */
        uint64_t segments;
        uint64_t segment_bytes;
        uint64_t torn_bytes; /* of an unfinished write, cut off at the start */
        uint64_t damaged;    /* reads that met a wrong checksum */
    } shard[SL_SHARDS_MAX];
};

/*
 * Reads a data directory back and starts the shard threads. Sets *engine, NULL on failure; the
 * caller closes it. What is wrong with the directory is logged with file and position.
 * Errors: INVALID_ARGUMENT; with a directory DATA_DIRECTORY DATA_CORRUPT DATA_LOCKED DATA_VERSION
 * DATA_SHARDS DATA_VOLATILE DATA_KIND STORAGE_FAILED DISK_FULL
 */
SL_NODISCARD enum sl_err sl_engine_open(const struct sl_engine_options *options,
                                        struct sl_engine **engine);

/*
 * Writes a backup with everything that was durable when the call came, and perhaps more, while the
 * engine runs; creates of forks wait a moment. `destination` does not exist or is empty. One at a
 * time. Any thread that is not a shard, until close begins.
 * Errors: INVALID_ARGUMENT (there is no data directory) DESTINATION_IN_USE DESTINATION_UNUSABLE
 * STORAGE_FAILED DISK_FULL OVERLOADED (another one is under way)
 */
SL_NODISCARD enum sl_err sl_engine_backup(struct sl_engine *engine, const char *destination);

/*
 * Makes everything durable, stops and joins the shard threads, frees everything. Every session is
 * closed before.
 */
void sl_engine_close(struct sl_engine **engine);

/*
 * A number that belongs to the data directory, or to this engine if there is none: with a stream id
 * it names one incarnation for ever.
 */
uint64_t sl_engine_history_id(const struct sl_engine *engine);

/* How many shards there are. Any thread. */
unsigned sl_engine_shards(const struct sl_engine *engine);

/*
 * Bytes that one change may hold in the log files that the directory has, see SL_PAYLOAD_BYTES_MAX;
 * UINT64_MAX without a directory. Any thread.
 */
uint64_t sl_engine_payload_max(const struct sl_engine *engine);

/* Any thread. */
void sl_engine_status(const struct sl_engine *engine, struct sl_engine_status *status);

#ifdef __cplusplus
}
#endif
#endif
