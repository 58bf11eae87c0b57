#include "server/dump.h"

#include "base/clock.h"
#include "base/memory.h"
#include "hooks/keys.h"
#include "journal/inspect.h"
#include "journal/wal_scan.h"
#include "server/json_line.h"
#include "server/tool.h"
#include "sluice/engine.h"
#include "stream/change.h"
#include "stream/snapshot.h"

static const char usage[] =
    "sluice dump DIR [--shard N] [--segments] [--log] [--payload]\n"
    "\n"
    "Prints what a data directory holds that no server has open, one JSON object per line. "
    "\"kind\" says\n"
    "what it is: key (the id of one that signs or has signed webhooks), shard, segment, entry (a "
    "stream's\n"
    "state), extent (where bytes of it are), tombstone (a stream that is removed), create, append, "
    "remove,\n"
    "touch (changes in the log), log_end, damage.\n"
    "Text that is not UTF-8 has \\u0080 to \\u00ff for its bytes from 0x80 on.\n"
    "\n"
    "  --shard N    only shard N, no keys\n"
    "  --segments   only segments; with --log as well: both and the keys, which is the default\n"
    "  --log        only the log\n"
    "  --payload    with the bytes of the streams, in base64\n"
    "\n"
    "What is damaged becomes a line of the kind damage, and the rest is printed as far as it can "
    "be read.\n"
    "Exit code: as of sluice fsck, which checks more.\n";

struct dump {
    struct sl_store *store; /* owned */
    bool has_shard;
    uint64_t shard;
    bool segments;
    bool log;
    bool payload;
    enum sl_exit_code code;
    unsigned index; /* of the shard that is printed */
    char directory[SL_PATH_SIZE_MAX];
    struct sl_media_set media; /* owned */
    struct sl_now now;
    struct sl_buffer line;        /* owned */
    struct sl_buffer chunk;       /* owned */
    const struct sl_entry *entry; /* borrowed: whose extents are printed */
};

static void begin(struct dump *dump, const char *kind)
{
    sl_buffer_clear(&dump->line);
    sl_json_line_begin(&dump->line, kind);
    sl_json_line_number(&dump->line, "shard", dump->index);
}

static void end(struct dump *dump)
{
    sl_json_line_end(&dump->line);
    sl_tool_print_bytes(sl_buffer_bytes(&dump->line));
}

/* Of a line that has been begun. */
static void end_damage(struct dump *dump, const char *file, uint64_t position, const char *what)
{
    sl_json_line_text(&dump->line, "file", sl_bytes_of(file));
    sl_json_line_number(&dump->line, "position", position);
    sl_json_line_text(&dump->line, "what", sl_bytes_of(what));
    end(dump);
    dump->code = SL_EXIT_CORRUPT;
}

static void damage(struct dump *dump, const char *file, uint64_t position, const char *what)
{
    begin(dump, "damage");
    end_damage(dump, file, position, what);
}

/* ---- keys ---- */

/* They are of no shard. */
static void begin_key(struct dump *dump, const char *kind)
{
    sl_buffer_clear(&dump->line);
    sl_json_line_begin(&dump->line, kind);
}

static void print_key(struct dump *dump, const char *id, int64_t retired_ms)
{
    begin_key(dump, "key");
    sl_json_line_text(&dump->line, "kid", sl_bytes_of(id));
    sl_json_line_signed(&dump->line, "retired_ms", retired_ms);
    end(dump);
}

/* Who they are: nothing that is secret. The one that signs was retired at 0. */
static void print_keys(struct dump *dump)
{
    struct sl_keys *keys;
    char id[SL_KEYS_ID_SIZE];
    int64_t retired_ms;
    enum sl_err err = sl_keys_read(dump->store->vfs, dump->store->path, &keys);
    if (err == SL_ERR_NOT_FOUND)
        return;
    if (err != SL_OK) {
        begin_key(dump, "damage");
        end_damage(dump, SL_STORE_KEYS_NAME, 0, sl_err_text(err));
        return;
    }
    print_key(dump, sl_keys_id(keys), 0);
    for (unsigned i = 0; sl_keys_retired(keys, i, id, &retired_ms); i++)
        print_key(dump, id, retired_ms);
    sl_keys_close(&keys);
}

/* ---- segments ---- */

static void print_config(struct sl_buffer *line, struct sl_bytes name, struct sl_bytes content_type,
                         uint64_t base, const struct sl_origin *origin)
{
    sl_json_line_text(line, "name", name);
    sl_json_line_text(line, "content_type", content_type);
    sl_json_line_number(line, "base", base);
    if (origin == NULL)
        return;
    sl_json_line_number(line, "source_shard", origin->source_shard);
    sl_json_line_number(line, "source_id", origin->source_id);
    sl_json_line_text(line, "source", sl_bytes(origin->source, origin->source_size));
    sl_json_line_number(line, "fork_offset", origin->offset);
    sl_json_line_number(line, "ancestors", origin->lineage == NULL ? 0 : origin->lineage->count);
}

static void print_producers(struct sl_buffer *line, const struct sl_writers *writers)
{
    if (writers == NULL)
        return;
    if (writers->has_seq)
        sl_json_line_text(line, "seq", sl_bytes(writers->seq, writers->seq_size));
    const struct sl_link *head = &writers->producers.by_age;
    sl_buffer_append_text(line, ",\"producers\":[");
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        const struct sl_producer_state *state = SL_OBJECT(link, struct sl_producer_state, by_age);
        if (link != head->next)
            sl_buffer_append_text(line, ",");
        sl_json_line_begin(line, "producer");
        sl_json_line_text(line, "id", sl_bytes(state->id, state->id_size));
        sl_json_line_number(line, "epoch", state->epoch);
        sl_json_line_number(line, "sequence", state->sequence);
        sl_buffer_append_text(line, "}");
    }
    sl_buffer_append_text(line, "]");
}

static void on_chunk(void *context, const struct sl_chunk *chunk)
{
    struct dump *dump = context;
    begin(dump, "payload");
    sl_json_line_number(&dump->line, "stream_id", dump->entry->id);
    sl_json_line_number(&dump->line, "offset", chunk->start);
    sl_json_line_number(&dump->line, "size", chunk->payload.size);
    sl_json_line_base64(&dump->line, "payload", chunk->payload);
    end(dump);
}

static void print_extent(struct dump *dump, struct sl_segment *segment,
                         const struct sl_extent_on_disk *extent)
{
    begin(dump, "extent");
    sl_json_line_number(&dump->line, "stream_id", dump->entry->id);
    sl_json_line_number(&dump->line, "offset", extent->start);
    sl_json_line_number(&dump->line, "size", extent->size);
    sl_json_line_hex(&dump->line, "segment", segment->number);
    sl_json_line_number(&dump->line, "position", extent->position);
    sl_json_line_number(&dump->line, "disk_size", extent->disk_size);
    end(dump);
    if (!dump->payload)
        return;
    enum sl_err err =
        sl_segment_read(segment, dump->entry->id, extent, &dump->chunk, on_chunk, dump);
    if (err != SL_OK)
        damage(dump, segment->path, extent->position, sl_err_text(err));
}

static void on_entry(void *context, struct sl_segment *segment, const struct sl_entry *entry)
{
    struct dump *dump = context;
    uint64_t tail;
    struct sl_stream *stream =
        sl_snapshot_decode(entry->state, entry->id, &dump->media, &dump->now, &tail);
    if (stream == NULL) {
        damage(dump, segment->path, segment->data_size, "a stream's state is malformed");
    } else {
        begin(dump, "entry");
        sl_json_line_hex(&dump->line, "segment", segment->number);
        sl_json_line_number(&dump->line, "lsn", entry->lsn);
        sl_json_line_number(&dump->line, "stream_id", entry->id);
        print_config(&dump->line, sl_stream_name(stream),
                     sl_bytes(stream->media->text, stream->media->size), stream->log.base,
                     stream->origin);
        sl_json_line_number(&dump->line, "tail", tail);
        sl_json_line_flag(&dump->line, "closed", stream->closed);
        sl_json_line_flag(&dump->line, "soft_deleted", stream->soft_deleted);
        print_producers(&dump->line, stream->writers);
        end(dump);
        sl_stream_destroy(&stream, &dump->media);
    }
    dump->entry = entry;
    for (uint32_t i = 0; i < entry->extent_count; i++)
        print_extent(dump, segment, &entry->extents[i]);
}

static void on_tombstone(void *context, struct sl_segment *segment,
                         const struct sl_tombstone *tombstone)
{
    struct dump *dump = context;
    begin(dump, "tombstone");
    sl_json_line_hex(&dump->line, "segment", segment->number);
    sl_json_line_number(&dump->line, "lsn", tombstone->lsn);
    sl_json_line_number(&dump->line, "stream_id", tombstone->id);
    end(dump);
}

static void on_damage(void *context, uint64_t from, uint64_t position, const char *what)
{
    (void)from;
    damage(context, "an entry block", position, what);
}

static void print_segment(struct dump *dump, const struct sl_manifest *manifest, uint64_t number)
{
    const struct sl_inspect_visitor visitor = { .entries = { on_entry, on_tombstone, dump },
                                                .on_damage = on_damage };
    char name[SL_SEGMENT_NAME_SIZE];
    struct sl_segment *segment;
    uint64_t position;
    const char *what;
    enum sl_err err = sl_inspect_segment(dump->store->vfs, dump->directory, number,
                                         manifest->log_id, &segment, &position, &what);
    if (err != SL_OK) {
        sl_segment_name(number, name);
        damage(dump, name, position, what);
        return;
    }
    begin(dump, "segment");
    sl_json_line_hex(&dump->line, "number", number);
    sl_json_line_number(&dump->line, "size", segment->size);
    sl_json_line_number(&dump->line, "entries", segment->entries);
    sl_json_line_number(&dump->line, "tombstones", segment->tombstones);
    end(dump);
    err = sl_inspect_entries(segment, &visitor);
    if (err != SL_OK)
        damage(dump, segment->path, 0, sl_err_text(err));
    sl_segment_unref(&segment);
}

/* ---- the log ---- */

static void print_change(struct dump *dump, const struct sl_record *record,
                         const struct sl_change *change)
{
    struct sl_buffer *line = &dump->line;
    struct sl_payload payload = sl_change_payload(change, record->payload[0]);
    if (change->kind == SL_CHANGE_CREATE)
        print_config(line, change->name, change->config.content_type, change->base, change->origin);
    if (change->kind == SL_CHANGE_CREATE || change->kind == SL_CHANGE_APPEND)
        sl_json_line_flag(line, "close", change->closed);
    if (change->has_producer) {
        sl_json_line_text(line, "producer", change->producer.id);
        sl_json_line_number(line, "epoch", change->producer.epoch);
        sl_json_line_number(line, "sequence", change->producer.sequence);
    }
    if (change->has_seq)
        sl_json_line_text(line, "seq", change->seq);
    if (change->kind == SL_CHANGE_REMOVE) {
        sl_json_line_flag(line, "soft", change->soft);
        sl_json_line_number(line, "why", change->why);
    }
    if (change->count == 0)
        return;
    sl_json_line_number(line, "messages", change->count);
    sl_json_line_number(line, "size", payload.bytes.size);
    if (dump->payload)
        sl_json_line_base64(line, "payload", payload.bytes);
}

static bool on_record(void *context, uint64_t lsn, int64_t wall_ms, const struct sl_record *record,
                      const char **what)
{
    static const char *const kinds[] = {
#define X(KIND, number, member) [number] = #member,
        SL_CHANGE_LIST(X)
#undef X
    };
    struct dump *dump = context;
    struct sl_change change;
    *what = "a record is malformed";
    if (!sl_change_decode(record->kind, record->head, record->payload[0].size, &change))
        return false;
    bool is_sound = sl_change_check_payload(&change, record->payload[0]);
    if (is_sound) {
        begin(dump, kinds[change.kind]);
        sl_json_line_number(&dump->line, "lsn", lsn);
        sl_json_line_signed(&dump->line, "wall_ms", wall_ms);
        sl_json_line_number(&dump->line, "stream_id", record->stream_id);
        sl_json_line_number(&dump->line, "offset", record->stream_offset);
        print_change(dump, record, &change);
        end(dump);
    }
    if (change.origin != NULL)
        sl_memory_free(change.origin->lineage);
    sl_memory_free(change.origin);
    return is_sound;
}

static void print_log(struct dump *dump, const struct sl_manifest *manifest)
{
    static const char *const ends[] = { [SL_WAL_CLEAN] = "clean",
                                        [SL_WAL_TORN] = "torn",
                                        [SL_WAL_CORRUPT] = "corrupt",
                                        [SL_WAL_IO] = "unreadable" };
    struct sl_wal_scan scan = {
        .vfs = dump->store->vfs,
        .directory = dump->directory,
        .log_id = manifest->log_id,
        .file_size = dump->store->wal_file_size,
        .from = manifest->mark,
        .durable_lsn_at_least = manifest->no_log ? 0 : manifest->durable_lsn,
        .on_record = on_record,
        .context = dump,
    };
    sl_wal_scan(&scan);
    begin(dump, "log_end");
    sl_json_line_text(&dump->line, "result", sl_bytes_of(ends[scan.result]));
    sl_json_line_number(&dump->line, "lsn", scan.end.lsn);
    sl_json_line_number(&dump->line, "position", scan.end.position);
    sl_json_line_number(&dump->line, "epoch", scan.end.epoch);
    sl_json_line_number(&dump->line, "torn_bytes", scan.torn_bytes);
    sl_json_line_flag(&dump->line, "sealed", scan.sealed);
    if (scan.what != NULL)
        sl_json_line_text(&dump->line, "what", sl_bytes_of(scan.what));
    end(dump);
    if (scan.result == SL_WAL_CORRUPT)
        dump->code = SL_EXIT_CORRUPT;
    else if (scan.result == SL_WAL_IO)
        dump->code = SL_EXIT_STORAGE_FAILED;
    else if (scan.result == SL_WAL_TORN && dump->code == SL_EXIT_CLEAN)
        dump->code = SL_EXIT_TORN;
}

/* ---- shards ---- */

static void print_shard(struct dump *dump, unsigned index)
{
    struct sl_manifest manifest;
    bool one_copy;
    dump->index = index;
    sl_store_shard_path(dump->store, index, dump->directory);
    enum sl_err err = sl_manifest_load(dump->store->vfs, dump->directory, &manifest, &one_copy);
    if (err != SL_OK) {
        damage(dump, "MANIFEST", 0, err == SL_ERR_NOT_FOUND ? "it is missing" : sl_err_text(err));
        return;
    }
    const struct sl_manifest_segment *named = (const void *)manifest.segments.data;
    size_t count = manifest.segments.size / sizeof(*named);
    begin(dump, "shard");
    sl_json_line_hex(&dump->line, "log_id", manifest.log_id);
    sl_json_line_number(&dump->line, "sequence", manifest.sequence);
    sl_json_line_number(&dump->line, "segments", count);
    sl_json_line_number(&dump->line, "mark_lsn", manifest.mark.lsn);
    sl_json_line_number(&dump->line, "mark_position", manifest.mark.position);
    sl_json_line_number(&dump->line, "durable_lsn", manifest.durable_lsn);
    sl_json_line_number(&dump->line, "last_id", manifest.last_id);
    sl_json_line_flag(&dump->line, "no_log", manifest.no_log);
    end(dump);
    for (size_t i = 0; dump->segments && i < count; i++)
        print_segment(dump, &manifest, named[i].number);
    if (dump->log)
        print_log(dump, &manifest);
    sl_manifest_deinit(&manifest);
}

static enum sl_exit_code run(struct dump *dump)
{
    unsigned shards = dump->store->shards;
    if (dump->has_shard && dump->shard >= shards) {
        sl_tool_complain("the shards are 0 to %u", shards - 1);
        return SL_EXIT_USAGE;
    }
    dump->now = (struct sl_now){ sl_clock_running_ms(), sl_clock_wall_ms() };
    sl_media_set_init(&dump->media, NULL);
    if (!dump->segments && !dump->log)
        dump->segments = dump->log = true;
    if (!dump->has_shard && dump->segments && dump->log)
        print_keys(dump);
    for (unsigned i = 0; i < shards; i++)
        if (!dump->has_shard || dump->shard == i)
            print_shard(dump, i);
    sl_media_set_deinit(&dump->media);
    sl_buffer_deinit(&dump->line);
    sl_buffer_deinit(&dump->chunk);
    return dump->code;
}

int sl_dump_main(int argument_count, char *const *arguments)
{
    struct dump dump = { .code = SL_EXIT_CLEAN };
    const char *path;
    const struct sl_tool_option options[] = {
        { "--shard", &dump.has_shard, &dump.shard, SL_SHARDS_MAX - 1 },
        { "--segments", &dump.segments, NULL, 0 },
        { "--log", &dump.log, NULL, 0 },
        { "--payload", &dump.payload, NULL, 0 },
    };
    const struct sl_tool_arguments wanted = { usage, options, sizeof(options) / sizeof(options[0]),
                                              &path, 1 };
    enum sl_exit_code code;
    if (!sl_tool_parse(&wanted, argument_count, arguments, &code))
        return (int)code;
    enum sl_err err = sl_tool_open_store(path, true, &dump.store);
    if (err != SL_OK)
        return (int)sl_exit_code_of(err);
    code = run(&dump);
    sl_store_close(&dump.store);
    if (!sl_tool_end_output())
        code = SL_EXIT_STORAGE_FAILED;
    return (int)code;
}
