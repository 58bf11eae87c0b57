#include "http/live_delivery_internal.h"

#include "base/assert.h"
#include "base/memory.h"
#include "protocol/content_type.h"
#include "protocol/utf8.h"

static enum sl_sse_encoding encoding_of(const struct sl_stream_view *stream)
{
    if (stream->json)
        return SL_SSE_JSON;
    struct sl_bytes type = sl_bytes(stream->content_type, stream->content_type_size);
    return sl_content_type_is_text(type) ? SL_SSE_TEXT : SL_SSE_BASE64;
}

/*
 * How many bytes at the end of a piece of text wait for the next one: an unfinished character, or a
 * CR that an LF may follow.
 */
static size_t text_to_keep(const struct sl_read *read)
{
    uint8_t end[4];
    size_t size = 0;
    for (uint32_t i = read->slice_count; i > 0 && size < sizeof(end); i--) {
        struct sl_bytes slice = read->slices[i - 1];
        for (size_t at = slice.size; at > 0 && size < sizeof(end); at--)
            end[sizeof(end) - ++size] = slice.data[at - 1];
    }
    struct sl_bytes text = sl_bytes(end + sizeof(end) - size, size);
    size_t keep = size - sl_utf8_whole(text);
    if (size > 0 && keep == 0 && end[sizeof(end) - 1] == '\r')
        keep = 1;
    return keep < size ? keep : 0;
}

void sli_delivery_init(struct sli_delivery *delivery, struct sl_operation *op,
                       const struct sli_rest *before, uint64_t cursor, size_t *held)
{
    SL_ASSERT(op->kind == SL_OPERATION_READ && op->err == SL_OK);
    const struct sl_read *read = &op->u.read;
    SL_ASSERT(read->next <= op->stream.tail);

    *delivery = (struct sli_delivery){
        .op = op,
        .held = held,
        .start = read->start < read->next ? read->start : read->next,
        .next = read->next,
        .cursor = cursor,
        .encoding = encoding_of(&op->stream),
        .before = *before,
        .after = *before,
    };
    bool has_data = sli_delivery_has_data(delivery);
    if (has_data && delivery->encoding == SL_SSE_JSON)
        delivery->after.page_end = read->next == read->page_end ? 0 : read->page_end;
    if (has_data && delivery->encoding == SL_SSE_TEXT && read->next != op->stream.tail)
        delivery->next -= text_to_keep(read);
    delivery->up_to_date = delivery->next == op->stream.tail;
    delivery->closed = delivery->up_to_date && op->stream.closed;
}

void sli_delivery_deinit(struct sli_delivery *delivery)
{
    sli_frame_unref(&delivery->event);
    sli_frame_unref(&delivery->body);
    delivery->op = NULL;
}

static struct sli_frame *frame_create(const struct sli_delivery *delivery, size_t capacity)
{
    struct sli_frame *frame = sl_memory_alloc(sizeof(*frame));
    *frame = (struct sli_frame){ .held = delivery->held, .references = 1 };
    (void)sl_buffer_reserve(&frame->bytes, capacity);
    return frame;
}

struct sli_frame *sli_frame_ref(struct sli_frame *frame)
{
    SL_ASSERT(frame->references > 0);
    frame->references++;
    return frame;
}

void sli_frame_unref(struct sli_frame **frame)
{
    struct sli_frame *last = *frame;
    *frame = NULL;
    if (last == NULL)
        return;
    SL_ASSERT(last->references > 0);
    if (--last->references > 0)
        return;
    *last->held -= last->bytes.capacity;
    sl_buffer_deinit(&last->bytes);
    sl_memory_free(last);
}

/* The part of slice `index` that is given, of which `*left` bytes are still to come. */
static struct sl_bytes take_slice(const struct sl_read *read, uint32_t index, uint64_t *left)
{
    struct sl_bytes slice = read->slices[index];
    if (slice.size > *left)
        slice.size = (size_t)*left;
    *left -= slice.size;
    return slice;
}

struct sli_frame *sli_delivery_event(struct sli_delivery *delivery)
{
    if (delivery->event != NULL)
        return delivery->event;
    SL_ASSERT(sli_delivery_has_data(delivery));
    const struct sl_read *read = &delivery->op->u.read;
    uint64_t left = delivery->next - delivery->start;
    size_t size = (size_t)left;
    size_t encoded = delivery->encoding == SL_SSE_BASE64 ? 4 * (size / 3 + 1) : size + size / 8;
    struct sli_frame *frame =
        frame_create(delivery, encoded + SL_SSE_DATA_FRAME_MAX + SL_SSE_CONTROL_SIZE_MAX);
    struct sl_sse_data data = delivery->before.data;

    if (delivery->before.page_end == 0)
        sl_sse_data_begin(&data, delivery->encoding, &frame->bytes);
    for (uint32_t i = 0; i < read->slice_count && left > 0; i++)
        sl_sse_data_add(&data, take_slice(read, i, &left), &frame->bytes);
    delivery->after.data = data;
    if (delivery->after.page_end == 0)
        sl_sse_data_end(&data, &frame->bytes);
    frame->control_at = frame->bytes.size;
    if (delivery->after.page_end == 0)
        sli_delivery_control(delivery, delivery->cursor, &frame->bytes);
    *frame->held += frame->bytes.capacity;
    delivery->event = frame;
    return frame;
}

struct sli_frame *sli_delivery_body(struct sli_delivery *delivery)
{
    if (delivery->body != NULL)
        return delivery->body;
    SL_ASSERT(sli_delivery_has_data(delivery));
    SL_ASSERT(delivery->before.page_end == 0 && delivery->after.page_end == 0);
    const struct sl_read *read = &delivery->op->u.read;
    uint64_t left = delivery->next - delivery->start;
    struct sli_frame *frame = frame_create(delivery, (size_t)left + 1);
    bool json = delivery->encoding == SL_SSE_JSON;

    if (json)
        sl_buffer_append(&frame->bytes, "[", 1);
    for (uint32_t i = 0; i < read->slice_count && left > 0; i++)
        sl_buffer_append_bytes(&frame->bytes, take_slice(read, i, &left));
    if (json) {
        SL_ASSERT(frame->bytes.data[frame->bytes.size - 1] == ',');
        frame->bytes.data[frame->bytes.size - 1] = ']';
    }
    frame->control_at = frame->bytes.size;
    *frame->held += frame->bytes.capacity;
    delivery->body = frame;
    return frame;
}

void sli_delivery_control(const struct sli_delivery *delivery, uint64_t cursor,
                          struct sl_buffer *out)
{
    struct sl_sse_control control = {
        .next_offset = delivery->next,
        .cursor = cursor,
        .has_cursor = !delivery->closed,
        .up_to_date = delivery->up_to_date,
        .closed = delivery->closed,
    };
    sl_sse_control(out, &control);
}
