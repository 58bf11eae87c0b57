#include "protocol/request_header.h"

#include "protocol/ascii.h"
#include "protocol/content_type.h"
#include "protocol/expiry.h"
#include "protocol/number.h"
#include "protocol/offset.h"
#include "protocol/stream_name.h"

enum sl_header sl_header_lookup(struct sl_bytes lower_case_name)
{
#define X(KIND, name)                                                                              \
    if (lower_case_name.size == sizeof(name) - 1 &&                                                \
        memcmp(lower_case_name.data, name, sizeof(name) - 1) == 0)                                 \
        return SL_HEADER_##KIND;
    SL_HEADER_LIST(X)
#undef X
    return SL_HEADER_OTHER;
}

void sl_request_headers_add(struct sl_request_headers *headers, struct sl_bytes lower_case_name,
                            struct sl_bytes value)
{
    enum sl_header header = sl_header_lookup(lower_case_name);
    if (header == SL_HEADER_OTHER)
        return;
    if (headers->present[header]) {
        headers->repeated[header] = true;
        return;
    }
    headers->present[header] = true;
    headers->value[header] = sl_ascii_trim(value);
}

/* Repeated: together they are a list, and a list is not "true". Any other value is no error. */
static bool asks_to_close(const struct sl_request_headers *headers)
{
    return !headers->repeated[SL_HEADER_STREAM_CLOSED] &&
           sl_ascii_equal_ignore_case(headers->value[SL_HEADER_STREAM_CLOSED], sl_bytes_of("true"));
}

static enum sl_err parse_lifetime(const struct sl_request_headers *headers,
                                  struct sl_stream_config *config)
{
    struct sl_bytes expires_at = headers->value[SL_HEADER_STREAM_EXPIRES_AT];
    config->has_ttl = headers->present[SL_HEADER_STREAM_TTL];
    config->has_expires_at = headers->present[SL_HEADER_STREAM_EXPIRES_AT];
    if (config->has_ttl && config->has_expires_at)
        return SL_ERR_TTL_AND_EXPIRES_AT;
    if (config->has_ttl && (headers->repeated[SL_HEADER_STREAM_TTL] ||
                            !sl_ttl_parse(headers->value[SL_HEADER_STREAM_TTL], &config->ttl_s)))
        return SL_ERR_INVALID_TTL;
    if (config->has_expires_at && (headers->repeated[SL_HEADER_STREAM_EXPIRES_AT] ||
                                   expires_at.size > SL_EXPIRES_TEXT_SIZE_MAX ||
                                   !sl_expires_at_parse(expires_at, &config->expires_at_ms)))
        return SL_ERR_INVALID_EXPIRES_AT;
    config->expires_at_text = expires_at;
    return SL_OK;
}

/* Each only with a source; and a sub-offset counts from an offset, not from the moving tail. */
static enum sl_err parse_fork_point(const struct sl_request_headers *headers,
                                    struct sl_create *create)
{
    bool has_sub_offset = headers->present[SL_HEADER_STREAM_FORK_SUB_OFFSET];
    if ((create->has_fork_offset || has_sub_offset) && !create->fork)
        return SL_ERR_INVALID_FORK_OFFSET;
    if (create->has_fork_offset &&
        (headers->repeated[SL_HEADER_STREAM_FORK_OFFSET] ||
         !sl_offset_parse(headers->value[SL_HEADER_STREAM_FORK_OFFSET], &create->fork_offset)))
        return SL_ERR_INVALID_FORK_OFFSET;
    if (has_sub_offset &&
        (headers->repeated[SL_HEADER_STREAM_FORK_SUB_OFFSET] ||
         !sl_number_parse_canonical(headers->value[SL_HEADER_STREAM_FORK_SUB_OFFSET], UINT64_MAX,
                                    &create->fork_sub_offset)))
        return SL_ERR_INVALID_FORK_OFFSET;
    if (create->fork_sub_offset > 0 && !create->has_fork_offset)
        return SL_ERR_INVALID_FORK_OFFSET;
    return SL_OK;
}

static enum sl_err parse_content_type(const struct sl_request_headers *headers,
                                      struct sl_bytes *content_type)
{
    struct sl_bytes value = headers->value[SL_HEADER_CONTENT_TYPE];
    if (headers->repeated[SL_HEADER_CONTENT_TYPE] || value.size > SL_CONTENT_TYPE_SIZE_MAX)
        return SL_ERR_INVALID_CONTENT_TYPE;
    if (sl_content_type_is_usable(value))
        *content_type = value;
    return SL_OK;
}

static enum sl_err parse_fork_source(const struct sl_request_headers *headers,
                                     struct sl_bytes stream_root,
                                     char source_name[SL_NAME_SIZE_MAX],
                                     struct sl_bytes *fork_source)
{
    if (headers->repeated[SL_HEADER_STREAM_FORKED_FROM])
        return SL_ERR_INVALID_STREAM_NAME;
    size_t size;
    enum sl_err err = sl_stream_name_from_reference(headers->value[SL_HEADER_STREAM_FORKED_FROM],
                                                    stream_root, source_name, &size);
    *fork_source = sl_bytes(source_name, size);
    return err;
}

enum sl_err sl_request_parse_create(const struct sl_request_headers *headers,
                                    struct sl_bytes stream_root, char source_name[SL_NAME_SIZE_MAX],
                                    struct sl_create *create)
{
    create->config = (struct sl_stream_config){ .has_ttl = false };
    create->close = asks_to_close(headers);
    create->fork = headers->present[SL_HEADER_STREAM_FORKED_FROM];
    create->has_fork_offset = headers->present[SL_HEADER_STREAM_FORK_OFFSET];
    create->fork_source = sl_bytes(NULL, 0);
    create->fork_offset = 0;
    create->fork_sub_offset = 0;

    enum sl_err err = parse_lifetime(headers, &create->config);
    if (err == SL_OK)
        err = parse_fork_point(headers, create);
    if (err == SL_OK)
        err = parse_content_type(headers, &create->config.content_type);
    if (err == SL_OK && create->fork)
        err = parse_fork_source(headers, stream_root, source_name, &create->fork_source);
    return err;
}

/* All three, each once, or none. False: malformed. */
static bool parse_producer(const struct sl_request_headers *headers, bool *has_producer,
                           struct sl_producer *producer)
{
    static const enum sl_header parts[] = { SL_HEADER_PRODUCER_ID, SL_HEADER_PRODUCER_EPOCH,
                                            SL_HEADER_PRODUCER_SEQ };
    bool any = false;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (headers->repeated[parts[i]])
            return false;
        any = any || headers->present[parts[i]];
    }
    if (!any)
        return true;
    /* One that is missing has an empty value, and none may be empty. */
    producer->id = headers->value[SL_HEADER_PRODUCER_ID];
    *has_producer = producer->id.size > 0 && producer->id.size <= SL_PRODUCER_ID_SIZE_MAX &&
                    sl_number_parse(headers->value[SL_HEADER_PRODUCER_EPOCH],
                                    SL_PRODUCER_NUMBER_MAX, &producer->epoch) &&
                    sl_number_parse(headers->value[SL_HEADER_PRODUCER_SEQ], SL_PRODUCER_NUMBER_MAX,
                                    &producer->sequence);
    return *has_producer;
}

static enum sl_err parse_append(const struct sl_request_headers *headers, bool has_body,
                                struct sl_append *append)
{
    if (!parse_producer(headers, &append->has_producer, &append->producer))
        return SL_ERR_INVALID_PRODUCER;
    if (!has_body) /* content type and sequence belong to data */
        return append->close ? SL_OK : SL_ERR_EMPTY_BODY;
    append->content_type = headers->value[SL_HEADER_CONTENT_TYPE];
    if (append->content_type.size == 0)
        return SL_ERR_CONTENT_TYPE_REQUIRED;
    if (headers->repeated[SL_HEADER_CONTENT_TYPE])
        return SL_ERR_INVALID_CONTENT_TYPE;
    append->has_seq = headers->present[SL_HEADER_STREAM_SEQ];
    append->seq = headers->value[SL_HEADER_STREAM_SEQ];
    if (headers->repeated[SL_HEADER_STREAM_SEQ] || append->seq.size > SL_SEQ_SIZE_MAX)
        return SL_ERR_INVALID_SEQ;
    return SL_OK;
}

void sl_request_parse_append(const struct sl_request_headers *headers, struct sl_bytes body,
                             struct sl_append *append)
{
    append->content_type = sl_bytes(NULL, 0);
    append->close = asks_to_close(headers);
    append->has_producer = false;
    append->has_seq = false;
    append->producer = (struct sl_producer){ .epoch = 0 };
    append->seq = sl_bytes(NULL, 0);
    append->request_err = parse_append(headers, body.size > 0, append);
}
