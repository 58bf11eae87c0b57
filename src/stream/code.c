#include <string.h>

#include "base/memory.h"
#include "protocol/expiry.h"
#include "protocol/varint.h"
#include "stream/code_internal.h"

void sli_write_byte(struct sl_buffer *out, uint8_t byte)
{
    sl_buffer_append(out, &byte, 1);
}

void sli_write_number(struct sl_buffer *out, uint64_t number)
{
    out->size += sl_varint_write(number, sl_buffer_reserve(out, SL_VARINT_SIZE_MAX));
}

void sli_write_instant(struct sl_buffer *out, int64_t wall_ms)
{
    uint8_t bytes[sizeof(wall_ms)];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)((uint64_t)wall_ms >> (8 * i));
    sl_buffer_append(out, bytes, sizeof(bytes));
}

void sli_write_text(struct sl_buffer *out, struct sl_bytes text)
{
    sli_write_number(out, text.size);
    sl_buffer_append_bytes(out, text);
}

bool sli_read_end(const struct sli_reader *reader)
{
    return !reader->failed && reader->rest.size == 0;
}

void sli_read_check(struct sli_reader *reader, bool ok)
{
    if (ok)
        return;
    reader->failed = true;
    reader->rest = sl_bytes(NULL, 0);
}

static struct sl_bytes take(struct sli_reader *reader, size_t size)
{
    sli_read_check(reader, size <= reader->rest.size);
    if (reader->failed)
        return sl_bytes(NULL, 0);
    struct sl_bytes taken = sl_bytes(reader->rest.data, size);
    reader->rest = sl_bytes_from(reader->rest, size);
    return taken;
}

uint8_t sli_read_byte(struct sli_reader *reader)
{
    struct sl_bytes taken = take(reader, 1);
    return taken.size == 0 ? 0 : taken.data[0];
}

uint64_t sli_read_number(struct sli_reader *reader, uint64_t max)
{
    uint64_t number;
    size_t used = sl_varint_read(reader->rest.data, reader->rest.size, &number);
    sli_read_check(reader, used > 0 && number <= max);
    take(reader, reader->failed ? 0 : used);
    return reader->failed ? 0 : number;
}

int64_t sli_read_instant(struct sli_reader *reader)
{
    uint64_t number = 0;
    struct sl_bytes taken = take(reader, sizeof(number));
    for (size_t i = 0; i < taken.size; i++)
        number |= (uint64_t)taken.data[i] << (8 * i);
    return (int64_t)number;
}

struct sl_bytes sli_read_text(struct sli_reader *reader, size_t min, size_t max)
{
    uint64_t size = sli_read_number(reader, max);
    sli_read_check(reader, size >= min);
    return take(reader, size);
}

/* ---- what a stream is ---- */

uint8_t sli_identity_flags(const struct sl_stream *stream)
{
    const struct sl_lifetime *lifetime = stream->lifetime;
    unsigned flags = stream->closed ? SLI_FLAG_CLOSED : 0;
    if (lifetime != NULL)
        flags |= (lifetime->has_ttl ? SLI_FLAG_TTL : 0U) |
                 (lifetime->has_expires_at ? SLI_FLAG_EXPIRES_AT : 0U) |
                 (lifetime->inherited ? SLI_FLAG_INHERITED : 0U);
    return (uint8_t)(flags | (stream->origin != NULL ? SLI_FLAG_ORIGIN : 0U));
}

static void write_origin(const struct sl_origin *origin, struct sl_buffer *out)
{
    sli_write_number(out, origin->source_shard);
    sli_write_number(out, origin->source_id);
    sli_write_number(out, origin->offset);
    sli_write_number(out, origin->sub_offset);
    sli_write_text(out, sl_bytes(origin->source, origin->source_size));
    uint32_t count = origin->lineage == NULL ? 0 : origin->lineage->count;
    sli_write_number(out, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct sl_ancestor *ancestor = &origin->lineage->ancestors[i];
        sli_write_number(out, ancestor->shard);
        sli_write_number(out, ancestor->stream_id);
        sli_write_number(out, ancestor->up_to);
    }
}

void sli_write_identity(const struct sl_stream *stream, struct sl_buffer *out)
{
    const struct sl_lifetime *lifetime = stream->lifetime;
    sli_write_text(out, sl_stream_name(stream));
    sli_write_text(out, sl_bytes(stream->media->text, stream->media->size));
    if (lifetime != NULL && lifetime->has_ttl)
        sli_write_number(out, lifetime->ttl_s);
    if (lifetime != NULL && lifetime->has_expires_at) {
        sli_write_instant(out, lifetime->expires_at_ms);
        sli_write_text(out, sl_bytes(lifetime->expires_text, lifetime->expires_text_size));
    }
    sli_write_number(out, stream->log.base);
    if (stream->origin != NULL)
        write_origin(stream->origin, out);
}

void sli_origin_destroy(struct sl_origin **origin)
{
    if (*origin != NULL)
        sl_memory_free((*origin)->lineage);
    sl_memory_free(*origin);
    *origin = NULL;
}

/* The ancestors, nearest first, end at `base` and have something each. */
static struct sl_lineage *read_lineage(struct sli_reader *reader, uint64_t base)
{
    uint64_t count = sli_read_number(reader, SL_FORK_DEPTH_MAX), above = base + 1;
    sli_read_check(reader, (count > 0) == (base > 0));
    if (reader->failed || count == 0)
        return NULL;
    struct sl_lineage *lineage =
        sl_memory_alloc(sizeof(*lineage) + count * sizeof(lineage->ancestors[0]));
    lineage->count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        struct sl_ancestor *ancestor = &lineage->ancestors[i];
        ancestor->shard = (uint32_t)sli_read_number(reader, UINT32_MAX);
        ancestor->stream_id = sli_read_number(reader, UINT64_MAX);
        ancestor->up_to = sli_read_number(reader, above - 1);
        sli_read_check(reader, ancestor->up_to > 0 && (i > 0 || ancestor->up_to == base));
        above = ancestor->up_to;
    }
    return lineage;
}

static struct sl_origin *read_origin(struct sli_reader *reader, uint64_t base)
{
    struct sl_origin read = { .source_shard = (uint32_t)sli_read_number(reader, UINT32_MAX) };
    read.source_id = sli_read_number(reader, UINT64_MAX);
    read.offset = sli_read_number(reader, base);
    read.sub_offset = sli_read_number(reader, base - read.offset);
    struct sl_bytes source = sli_read_text(reader, 1, SL_NAME_SIZE_MAX);
    read.source_size = (uint16_t)source.size;
    read.lineage = read_lineage(reader, base);
    struct sl_origin *origin = sl_memory_alloc(sizeof(*origin) + source.size);
    *origin = read;
    if (source.size > 0)
        memcpy(origin->source, source.data, source.size);
    return origin;
}

void sli_read_identity(struct sli_reader *reader, uint8_t flags, struct sl_change *change)
{
    struct sl_stream_config *config = &change->config;
    bool limited = flags & (SLI_FLAG_TTL | SLI_FLAG_EXPIRES_AT), fork = flags & SLI_FLAG_ORIGIN;
    config->has_ttl = flags & SLI_FLAG_TTL;
    config->has_expires_at = flags & SLI_FLAG_EXPIRES_AT;
    change->lifetime_inherited = flags & SLI_FLAG_INHERITED;
    change->closed = flags & SLI_FLAG_CLOSED;
    sli_read_check(reader, !config->has_ttl || !config->has_expires_at);
    sli_read_check(reader, !change->lifetime_inherited || (limited && fork));
    change->name = sli_read_text(reader, 1, SL_NAME_SIZE_MAX);
    config->content_type = sli_read_text(reader, 1, SL_CONTENT_TYPE_SIZE_MAX);
    if (config->has_ttl)
        config->ttl_s = sli_read_number(reader, SL_TTL_S_MAX);
    if (config->has_expires_at) {
        config->expires_at_ms = sli_read_instant(reader);
        config->expires_at_text = sli_read_text(reader, 0, SL_EXPIRES_TEXT_SIZE_MAX);
    }
    change->base = sli_read_number(reader, fork ? SL_OFFSET_MAX : 0);
    if (fork && !reader->failed)
        change->origin = read_origin(reader, change->base);
    if (reader->failed)
        sli_origin_destroy(&change->origin);
}
