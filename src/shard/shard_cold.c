/*
 * Cold reads: what is on the disk is read by a thread of the reader pool and answered by the shard.
 * The message belongs to the job until it comes back through the shard's inbox.
 */
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "shard/shard_internal.h"
#include "stream/boundary.h"

enum {
    /* Bytes of a piece when readers hold as many copies as they may: slow, but it goes on. */
    SCARCE_PIECE_BYTES = 4096,
};

/* Thread: the shard makes and ends it; in between, the reader that runs it. */
struct cold_read {
    struct sl_job job;
    struct sl_inbox_item done;
    struct sl_shard *shard;     /* borrowed */
    struct sl_message *message; /* borrowed until the answer */
    uint64_t stream_id;
    bool resolve;     /* a fork point is looked for; else bytes are wanted */
    bool check_start; /* the read begins at a message, or it is refused */
    bool json;
    bool is_page;        /* the first piece of a page: where that ends is still open */
    bool starts_message; /* the next chunk's first byte begins a message */
    uint32_t cold_count;
    struct sl_cold cold[SL_COLD_EXTENTS_PER_READ_MAX]; /* with a reference to each segment */
    uint64_t start;                                    /* bytes wanted */
    uint64_t next;
    uint64_t page_end;
    struct sl_boundary_walk walk;
    struct sl_block *block; /* owned: the bytes */
    bool was_damaged;
    enum sl_err err;
};

/* May a page end behind the first `count` extents of the read? */
static bool can_end_behind(const struct cold_read *read, uint32_t count)
{
    const struct sl_cold *last = &read->cold[count - 1];
    return !read->json || (last->ends_message && read->next == last->start + last->size);
}

/* ---- in a reader thread ---- */

static void copy_wanted(struct cold_read *read, const struct sl_chunk *chunk)
{
    uint64_t chunk_end = chunk->start + chunk->payload.size;
    uint64_t from = read->start > chunk->start ? read->start : chunk->start;
    uint64_t to = read->next < chunk_end ? read->next : chunk_end;
    if (from >= to)
        return;
    memcpy(sl_block_data(read->block) + (from - read->start),
           chunk->payload.data + (from - chunk->start), to - from);
}

/* The last piece of the chunk tells what the next chunk begins with. */
static bool chunk_ends_message(const struct sl_chunk *chunk)
{
    struct sl_boundary_piece piece;
    struct sl_bytes rest = chunk->boundaries;
    bool malformed = false, ends = true;
    while (sl_boundary_take(&rest, &piece, &malformed))
        ends = piece.ends_message;
    return ends;
}

static void on_chunk(void *context, const struct sl_chunk *chunk)
{
    struct cold_read *read = context;
    uint64_t chunk_end = chunk->start + chunk->payload.size;
    if (read->resolve) {
        if (!read->walk.done && chunk_end > read->walk.offset)
            sl_boundary_walk_chunk(&read->walk, chunk->start, chunk->boundaries,
                                   read->starts_message);
    } else {
        if (read->check_start && chunk->start <= read->start && read->start < chunk_end &&
            !sl_boundary_is_start(chunk->boundaries, read->starts_message,
                                  (uint32_t)(read->start - chunk->start)))
            read->err = SL_ERR_INVALID_OFFSET;
        copy_wanted(read, chunk);
    }
    read->check_start = read->check_start && chunk_end <= read->start; /* until it was seen */
    if (read->resolve || read->check_start)
        read->starts_message = chunk_ends_message(chunk);
}

/* Extent `index` is damaged: the read ends before it, if there is something before it. */
static void end_before(struct cold_read *read, uint32_t index)
{
    if (read->resolve || index == 0 || read->cold[index].start <= read->start)
        return;
    read->next = read->cold[index].start;
    read->err = SL_OK;
    if (read->is_page && can_end_behind(read, index))
        read->page_end = read->next;
}

static void run(struct sl_job *job)
{
    struct cold_read *read = SL_OBJECT(job, struct cold_read, job);
    struct sl_buffer buffer = { NULL, 0, 0 };
    if (!read->resolve)
        read->block = sl_block_create(read->next - read->start, read->shard->setup.copies);
    for (uint32_t i = 0; i < read->cold_count && read->err == SL_OK; i++) {
        const struct sl_cold *cold = &read->cold[i];
        struct sl_extent_on_disk extent = {
            .start = cold->start,
            .size = cold->size,
            .disk_size = cold->disk_size,
            .position = cold->position,
            .ends_message = cold->ends_message,
        };
        enum sl_err err =
            sl_segment_read(cold->segment, read->stream_id, &extent, &buffer, on_chunk, read);
        if (err != SL_OK) {
            read->err = err;
            read->was_damaged = err == SL_ERR_DATA_DAMAGED;
            end_before(read, i);
            break;
        }
    }
    sl_buffer_deinit(&buffer);
    struct sl_shard *shard = read->shard;
    sl_inbox_push(&shard->cold_in, &read->done);
    sl_port_signal(shard->port, SL_PORT_INBOX);
}

/* ---- in the shard ---- */

static struct cold_read *cold_read_create(struct sl_shard *shard, const struct sl_stream *stream,
                                          struct sl_message *message) SL_RUNS_ON(sl_role_shard)
{
    struct cold_read *read = sl_memory_alloc(sizeof(*read));
    *read = (struct cold_read){
        .job = { .run = run },
        .shard = shard,
        .message = message,
        .stream_id = stream->id,
    };
    sl_link_init(&read->job.link);
    return read;
}

static void submit(struct cold_read *read) SL_RUNS_ON(sl_role_shard)
{
    for (uint32_t i = 0; i < read->cold_count; i++)
        sl_segment_ref(read->cold[i].segment);
    sl_worker_push(read->shard->setup.readers, &read->job);
}

static void drop_segments(struct cold_read *read) SL_RUNS_ON(sl_role_shard)
{
    for (uint32_t i = 0; i < read->cold_count; i++)
        sl_segment_unref(&read->cold[i].segment);
    read->cold_count = 0;
}

/* A page of a segment that is known to be damaged is one piece: it is given whole, or not begun. */
static bool meets_damage(const struct cold_read *read)
{
    for (uint32_t i = 0; i < read->cold_count; i++)
        if (sl_segment_is_damaged(read->cold[i].segment))
            return true;
    return false;
}

void sli_shard_read_cold(struct sl_shard *shard, struct sl_stream *stream,
                         struct sl_message *message, uint64_t bound)
{
    const struct sl_read_plan *plan = &message->read;
    bool scarce = sl_account_bytes(shard->setup.copies) > shard->setup.copies_max_bytes;
    uint32_t most = scarce ? SCARCE_PIECE_BYTES : SL_COPY_SIZE_BYTES;
    struct sl_log_read wanted = {
        .start = plan->offset,
        .bound = bound,
        .limit = message->op.u.read.limit,
        .page_size = plan->page_size,
        .piece_size = plan->piece_size < most ? plan->piece_size : most,
        .json = stream->media->json,
        .may_be_empty = plan->pieces.count > 0,
    };
    struct cold_read *read = cold_read_create(shard, stream, message);
    read->cold_count = sl_log_plan_cold(&stream->log, &wanted, read->cold);
    read->start = wanted.start;
    read->next = wanted.next;
    read->page_end = wanted.page_end;
    if (read->cold_count == 0) {
        message->op.u.read.next = wanted.next;
        message->op.u.read.page_end = wanted.page_end;
        sl_memory_free(read);
        sli_shard_answer_now(shard, message, SL_OK);
        return;
    }
    read->json = stream->media->json;
    read->is_page = wanted.limit == 0;
    read->check_start = read->json && read->is_page;
    if (read->is_page && meets_damage(read) && can_end_behind(read, read->cold_count))
        read->page_end = read->next;
    if (read->check_start)
        read->starts_message = sl_log_cold_starts_message(&stream->log, read->cold[0].start);
    submit(read);
}

/* The extents that the walk wants next; 0: there are no more. */
static uint32_t plan_walk(const struct sl_stream *stream, struct cold_read *read, uint64_t from)
{
    struct sl_log_read wanted = {
        .start = from,
        .bound = stream->log.hot,
        .limit = stream->log.hot,
        .page_size = UINT32_MAX,
        .piece_size = UINT32_MAX,
        .json = stream->media->json,
    };
    if (from >= stream->log.hot)
        return 0;
    uint32_t count = sl_log_plan_cold(&stream->log, &wanted, read->cold);
    read->next = wanted.next;
    return count;
}

void sli_shard_resolve_cold(struct sl_shard *shard, const struct sl_stream *stream,
                            struct sl_message *message)
{
    const struct sl_fork_plan *plan = &message->fork;
    struct cold_read *read = cold_read_create(shard, stream, message);
    read->resolve = true;
    read->walk = (struct sl_boundary_walk){
        .offset = plan->anchor,
        .sub_offset = message->op.u.create.fork_sub_offset,
        .bound = plan->ancestor.up_to,
        .json = stream->media->json,
    };
    read->cold_count = plan_walk(stream, read, plan->anchor);
    SL_ASSERT(read->cold_count > 0);
    read->starts_message = sl_log_cold_starts_message(&stream->log, read->cold[0].start);
    submit(read);
}

static void answer_resolve(struct sl_shard *shard, struct cold_read *read) SL_RUNS_ON(sl_role_shard)
{
    struct sl_message *message = read->message;
    if (read->err == SL_OK && !read->walk.done) {
        const struct sl_stream *stream = sli_shard_by_id(shard, read->stream_id);
        SL_ASSERT(stream != NULL); /* pinned */
        read->cold_count = plan_walk(stream, read, read->next);
        if (read->cold_count > 0) {
            submit(read);
            return;
        }
        read->walk.err = SL_ERR_INVALID_FORK_OFFSET; /* an append ends where memory begins */
    }
    message->fork.position = read->walk.position;
    enum sl_err err = read->err != SL_OK ? read->err : read->walk.err;
    sl_memory_free(read);
    sli_shard_answer_now(shard, message, err);
}

static void answer_bytes(struct sl_shard *shard, struct cold_read *read) SL_RUNS_ON(sl_role_shard)
{
    struct sl_message *message = read->message;
    struct sl_pieces *pieces = &message->read.pieces;
    message->op.u.read.next = read->next;
    message->op.u.read.page_end = read->page_end;
    if (read->err == SL_OK) {
        SL_ASSERT(pieces->count < SL_READ_SLICES_MAX);
        pieces->slices[pieces->count] =
            sl_bytes(sl_block_data(read->block), read->next - read->start);
        pieces->blocks[pieces->count++] = read->block;
        read->block = NULL;
    }
    sl_block_unref(&read->block);
    enum sl_err err = read->err;
    sl_memory_free(read);
    sli_shard_answer_now(shard, message, err);
}

void sli_shard_take_cold(struct sl_shard *shard)
{
    struct sl_inbox_item *item = sl_inbox_take(&shard->cold_in);
    while (item != NULL) {
        struct cold_read *read = SL_OBJECT(item, struct cold_read, done);
        item = item->next;
        drop_segments(read);
        if (read->was_damaged)
            sl_metrics_publish(&shard->damaged, shard->damaged + 1);
        if (read->resolve)
            answer_resolve(shard, read);
        else
            answer_bytes(shard, read);
    }
}
