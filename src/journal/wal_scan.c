#include "journal/wal_scan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "journal/frame.h"
#include "journal/wal_files.h"
#include "journal/wal_reader.h"

enum {
    FILES_CAPACITY_MIN = 16, /* of the list of files */
};

/* What stands at a place in the log. */
enum finding {
    NOTHING, /* not the frame that is expected there, whatever else it may be */
    CUT,     /* its header, but not its body */
    GOOD,
    UNREADABLE, /* the scan is over: IO */
};

struct walk {
    struct sl_wal_scan *scan;     /* borrowed */
    struct sl_wal_reader *reader; /* owned */
    struct sl_frame frame;        /* the last GOOD or CUT one */
    const uint8_t *body;          /* borrowed from the window: of a GOOD one */
    uint64_t *numbers;            /* owned; of the files from the end on, sorted */
    size_t count;                 /* of numbers */
    size_t capacity;              /* of numbers */
};

/* ---- reading ---- */

static void end_unreadable(struct sl_wal_scan *scan, uint64_t position, int error)
{
    scan->result = SL_WAL_IO;
    scan->error_number = error;
    scan->what = "a file of the log cannot be read";
    scan->file_number = position / scan->file_size;
    scan->file_offset = position % scan->file_size;
}

static void end_corrupt(struct sl_wal_scan *scan, uint64_t position, const char *what)
{
    scan->result = SL_WAL_CORRUPT;
    scan->what = what;
    scan->file_number = position / scan->file_size;
    scan->file_offset = position % scan->file_size;
}

/*
 * Sets *bytes to `size` bytes of one file, valid until the next call; NULL: the file is not there.
 * False: the scan is over.
 */
static bool view(struct walk *walk, uint64_t position, size_t size, const uint8_t **bytes)
{
    bool wrong_size;
    int error = sl_wal_reader_view(walk->reader, position, size, bytes, &wrong_size);
    if (error != 0)
        end_unreadable(walk->scan, position, error);
    else if (wrong_size)
        end_corrupt(walk->scan, position,
                    "a file of the log has another size than it was made with");
    return error == 0 && !wrong_size;
}

/* ---- frames that follow each other ---- */

static bool is_expected(const struct sl_wal_scan *scan, const struct sl_frame *frame,
                        uint64_t position)
{
    return frame->log_id == scan->log_id && frame->position == position &&
           frame->first_lsn == scan->end.lsn && frame->chain == scan->end.chain &&
           sl_frame_epoch_before(frame) == scan->end.epoch;
}

/* What stands at `position`, where the log may go on. */
static enum finding judge(struct walk *walk, uint64_t position)
{
    const uint8_t *bytes;
    struct sl_frame frame;
    if (!view(walk, position, SL_DISK_BLOCK_BYTES, &bytes))
        return UNREADABLE;
    if (bytes == NULL || !sl_frame_decode(sl_bytes(bytes, SL_DISK_BLOCK_BYTES), &frame) ||
        !is_expected(walk->scan, &frame, position))
        return NOTHING;
    walk->frame = frame;
    size_t size = sl_frame_size(frame.body_size);
    if (size > walk->scan->file_size - position % walk->scan->file_size)
        return CUT;
    if (!view(walk, position, size, &bytes))
        return UNREADABLE;
    if (bytes == NULL)
        return CUT;
    walk->body = bytes + SL_FRAME_HEADER_BYTES;
    return sl_crc32c(0, walk->body, frame.body_size) == frame.body_crc ? GOOD : CUT;
}

/* Says that the record at the front of *rest comes, and goes over it. */
static void announce(const struct sl_wal_scan *scan, struct sl_bytes *rest)
{
    struct sl_record record;
    size_t size;
    if (scan->on_coming == NULL || !sl_record_decode(*rest, &record, &size))
        return;
    scan->on_coming(scan->context, &record);
    *rest = sl_bytes_from(*rest, size);
}

/* Gives the records of the frame at `position`; false: they make no sense. */
static bool give_records(struct walk *walk, uint64_t position)
{
    struct sl_wal_scan *scan = walk->scan;
    struct sl_bytes rest = sl_bytes(walk->body, walk->frame.body_size), ahead = rest;
    for (unsigned i = 0; i < SL_WAL_SCAN_AHEAD; i++)
        announce(scan, &ahead);
    for (uint32_t i = 0; i < walk->frame.record_count; i++) {
        struct sl_record record;
        size_t size;
        const char *what = "a record makes no sense";
        announce(scan, &ahead);
        if (!sl_record_decode(rest, &record, &size) ||
            !scan->on_record(scan->context, scan->end.lsn + i, walk->frame.wall_ms, &record,
                             &what)) {
            end_corrupt(scan, position, what);
            return false;
        }
        rest = sl_bytes_from(rest, size);
        scan->records++;
    }
    if (rest.size != 0) {
        end_corrupt(scan, position, "a frame holds more than its records");
        return false;
    }
    return true;
}

/* Goes over the good frame at `position`; false: the scan is over. */
static bool take_frame(struct walk *walk, uint64_t position)
{
    struct sl_wal_scan *scan = walk->scan;
    const struct sl_frame *frame = &walk->frame;
    if (frame->durable_lsn >= frame->first_lsn) {
        end_corrupt(scan, position, "a frame says that a later record is durable");
        return false;
    }
    if (!give_records(walk, position))
        return false;
    scan->end = (struct sl_wal_mark){
        .position = position + sl_frame_size(frame->body_size),
        .lsn = frame->first_lsn + frame->record_count,
        .epoch = frame->epoch,
        .chain = frame->header_crc,
    };
    scan->sealed = (frame->flags & SL_FRAME_SEAL) != 0;
    scan->wall_ms = frame->wall_ms;
    scan->frames++;
    return true;
}

/* ---- the end ---- */

static void on_name(void *context, const char *name)
{
    struct walk *walk = context;
    uint64_t number;
    if (!sl_wal_file_number(name, &number) ||
        number < walk->scan->end.position / walk->scan->file_size)
        return;
    if (walk->count == walk->capacity) {
        walk->capacity = walk->capacity == 0 ? FILES_CAPACITY_MIN : walk->capacity * 2;
        walk->numbers = sl_memory_grow(walk->numbers, walk->capacity * sizeof(*walk->numbers));
    }
    walk->numbers[walk->count++] = number;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

/* Could only have been written after the frame at the end had been durable. */
static bool is_later(const struct sl_wal_scan *scan, const struct sl_frame *frame)
{
    const struct sl_wal_mark *end = &scan->end;
    return frame->log_id == scan->log_id && frame->epoch >= end->epoch &&
           ((frame->position >= end->position && frame->first_lsn >= end->lsn) ||
            frame->durable_lsn >= end->lsn);
}

/* Looks at every block of a file from `position` on but the one of the cut frame. */
static bool look_at_file(struct walk *walk, uint64_t position, uint64_t cut_at)
{
    struct sl_wal_scan *scan = walk->scan;
    uint64_t file_end = (position / scan->file_size + 1) * scan->file_size;
    for (; position < file_end; position += SL_DISK_BLOCK_BYTES) {
        const uint8_t *bytes;
        struct sl_frame frame;
        if (!view(walk, position, SL_DISK_BLOCK_BYTES, &bytes))
            return false;
        if (bytes == NULL)
            break;
        if (position != cut_at && sl_frame_decode(sl_bytes(bytes, SL_DISK_BLOCK_BYTES), &frame) &&
            is_later(scan, &frame)) {
            end_corrupt(scan, scan->end.position, "a frame is damaged, and a later one is there");
            return false;
        }
    }
    return true;
}

/* Does anything show that the log went on beyond its end? False: the scan is over. */
static bool look_beyond(struct walk *walk, uint64_t cut_at)
{
    struct sl_wal_scan *scan = walk->scan;
    int error = scan->vfs->list(scan->vfs, scan->directory, on_name, walk);
    if (error != 0) {
        end_unreadable(scan, scan->end.position, error);
        return false;
    }
    if (walk->count > 0)
        qsort(walk->numbers, walk->count, sizeof(*walk->numbers), compare_numbers);
    for (size_t i = 0; i < walk->count; i++) {
        uint64_t position = walk->numbers[i] * scan->file_size;
        if (position < scan->end.position)
            position = scan->end.position;
        /* A number that no log can reach: not a file of this one. */
        if (position / scan->file_size != walk->numbers[i])
            continue;
        /* Each is made durable before the next one. */
        if (walk->numbers[i] != scan->end.position / scan->file_size + i) {
            end_corrupt(scan, scan->end.position, "a file of the log is missing");
            return false;
        }
        if (!look_at_file(walk, position, cut_at))
            return false;
    }
    return true;
}

/* No good frame follows: says what kind of end this is. `cut`: what was found at `cut_at`. */
static void judge_end(struct walk *walk, enum finding cut, uint64_t cut_at)
{
    struct sl_wal_scan *scan = walk->scan;
    struct sl_frame frame = walk->frame;
    if (!look_beyond(walk, cut == CUT ? cut_at : UINT64_MAX))
        return;
    if (scan->durable_lsn_at_least >= scan->end.lsn) {
        end_corrupt(scan, scan->end.position, "records that were durable are missing");
        return;
    }
    scan->result = SL_WAL_CLEAN;
    if (cut != CUT)
        return;
    scan->result = SL_WAL_TORN;
    scan->file_number = cut_at / scan->file_size;
    scan->file_offset = cut_at % scan->file_size;
    scan->torn_bytes = sl_frame_size(frame.body_size);
    if (scan->torn_bytes > scan->file_size - scan->file_offset)
        scan->torn_bytes = scan->file_size - scan->file_offset;
}

/* Goes one frame further; false: the scan is over. */
static bool step(struct walk *walk)
{
    struct sl_wal_scan *scan = walk->scan;
    uint64_t here = scan->end.position;
    uint64_t file_begin = (here + scan->file_size - 1) / scan->file_size * scan->file_size;
    enum finding found = judge(walk, here);
    if (found == GOOD)
        return take_frame(walk, here);
    if (found == UNREADABLE)
        return false;
    uint64_t cut_at = here;
    if (file_begin != here) {
        struct sl_frame cut_frame = walk->frame;
        enum finding next = judge(walk, file_begin);
        if (next == GOOD)
            return take_frame(walk, file_begin);
        if (next == UNREADABLE)
            return false;
        if (found == CUT) {
            walk->frame = cut_frame;
        } else {
            found = next;
            cut_at = file_begin;
        }
    }
    judge_end(walk, found, cut_at);
    return false;
}

/*
 * The first file may be missing only when nothing was ever written there: the log is new, or it had
 * ended with the file before, and no other could be made.
 */
static bool has_begin(struct walk *walk)
{
    const uint8_t *bytes;
    struct sl_wal_scan *scan = walk->scan;
    if (scan->from.position % scan->file_size == 0)
        return true;
    if (!view(walk, scan->from.position, SL_DISK_BLOCK_BYTES, &bytes))
        return false;
    if (bytes == NULL)
        end_corrupt(scan, scan->from.position, "a file of the log is missing");
    return bytes != NULL;
}

void sl_wal_scan(struct sl_wal_scan *scan)
{
    SL_ASSERT(scan->file_size > 0 && scan->file_size % SL_DISK_BLOCK_BYTES == 0);
    SL_ASSERT(scan->from.position % SL_DISK_BLOCK_BYTES == 0);
    SL_ASSERT(scan->from.lsn > 0);
    scan->result = SL_WAL_CLEAN;
    scan->end = scan->from;
    scan->sealed = false;
    scan->wall_ms = 0;
    scan->frames = scan->records = 0;
    scan->torn_bytes = 0;
    scan->file_number = scan->file_offset = 0;
    scan->what = NULL;
    scan->error_number = 0;

    struct walk walk = {
        .scan = scan,
        .reader = sl_wal_reader_open(scan->vfs, scan->directory, scan->file_size),
    };
    if (has_begin(&walk)) {
        while (step(&walk)) {
        }
    }
    scan->buffered = sl_wal_reader_is_buffered(walk.reader);
    sl_wal_reader_close(&walk.reader);
    sl_memory_free(walk.numbers);
}
