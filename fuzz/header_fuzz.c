/*
 * Any bytes as the headers of a request, a line each, which mean what a slow, plain reading of the
 * rules says: content types, lifetimes and instants, producers, sequences, fork points; and the
 * first line as the value of If-None-Match. The first byte says whether the request has a body.
 */
#include "base/assert.h"
#include "base/buffer.h"
#include "protocol/content_type.h"
#include "protocol/etag.h"
#include "protocol/expiry.h"
#include "protocol/request_header.h"
#include "protocol/stream_name.h"
#include "support/plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- a plain reading ---- */

/* What the lines say of one header: the first value, without blanks around it. */
struct field {
    unsigned count;
    struct sl_bytes value;
};

static struct field find(struct sl_bytes lines, const char *name)
{
    struct field field = { .count = 0 };
    while (lines.size > 0) {
        struct sl_bytes line = plain_take(&lines, '\n');
        if (!sl_bytes_equal(plain_take(&line, ':'), sl_bytes_of(name)))
            continue;
        if (field.count++ == 0)
            field.value = plain_trim(line);
    }
    return field;
}

/* A number of digits; `canonical`: without zeros before it. */
static bool read_number(struct sl_bytes text, bool canonical, uint64_t max, uint64_t *value)
{
    unsigned __int128 number = 0;
    *value = 0;
    if (!plain_is_made_of(text, PLAIN_DIGITS) ||
        (canonical && text.size > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        number = number * 10 + (unsigned)(text.data[i] - '0');
        if (number > max)
            return false;
    }
    *value = (uint64_t)number;
    return true;
}

/* The zone at the end of an instant, in seconds east of UTC; takes it away. */
static bool read_zone(struct sl_bytes *text, long *east_s)
{
    char zone[7] = { 0 };
    int hour, minute;
    *east_s = 0;
    if (text->size > 0 && (text->data[text->size - 1] | 0x20) == 'z') {
        text->size--;
        return true;
    }
    if (text->size < 6)
        return false;
    text->size -= 6;
    memcpy(zone, text->data + text->size, 6);
    if ((zone[0] != '+' && zone[0] != '-') || zone[3] != ':' ||
        !plain_is_made_of(sl_bytes(zone + 1, 2), PLAIN_DIGITS) ||
        !plain_is_made_of(sl_bytes(zone + 4, 2), PLAIN_DIGITS) ||
        sscanf(zone + 1, "%d:%d", &hour, &minute) != 2 || hour > 23 || minute > 59)
        return false;
    *east_s = (hour * 60L + minute) * (zone[0] == '-' ? -60 : 60);
    return true;
}

/* RFC 3339, with the calendar of the C library. */
static bool read_instant(struct sl_bytes text, int64_t *ms)
{
    static const char form[] = "0000-00-00t00:00:00";
    char copy[sizeof(form)] = { 0 };
    struct tm tm = { 0 };
    long east_s;
    *ms = 0;
    if (!read_zone(&text, &east_s) || text.size < sizeof(form) - 1)
        return false;
    memcpy(copy, text.data, sizeof(form) - 1);
    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        bool is_digit = copy[i] >= '0' && copy[i] <= '9';
        if (form[i] == '0' ? !is_digit : (copy[i] | (form[i] == 't' ? 0x20 : 0)) != form[i])
            return false;
    }
    struct sl_bytes fraction = sl_bytes_from(text, sizeof(form) - 1);
    if (fraction.size > 0 &&
        (fraction.data[0] != '.' || !plain_is_made_of(sl_bytes_from(fraction, 1), PLAIN_DIGITS)))
        return false;
    sscanf(copy, "%4d-%2d-%2d%*c%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
           &tm.tm_min, &tm.tm_sec);
    struct tm asked = tm;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    bool leaps = tm.tm_sec == 60;
    tm.tm_sec -= leaps;
    time_t time = timegm(&tm); /* a day that is none becomes another one */
    if (tm.tm_mon != asked.tm_mon - 1 || tm.tm_mday != asked.tm_mday || asked.tm_hour > 23 ||
        asked.tm_min > 59 || asked.tm_sec > 60)
        return false;
    time += leaps - east_s;
    if (leaps && time % 86400 != 0)
        return false;
    *ms = (int64_t)time * 1000;
    for (size_t i = 1, weight = 100; i < fraction.size && weight > 0; i++, weight /= 10)
        *ms += (int64_t)weight * (fraction.data[i] - '0');
    return true;
}

static bool is_usable_type(struct sl_bytes type)
{
    for (size_t i = 0; i < type.size; i++)
        if (type.data[i] != '\t' && (type.data[i] < ' ' || type.data[i] > '~'))
            return false;
    struct sl_bytes rest = type;
    struct sl_bytes media = plain_trim(plain_take(&rest, ';'));
    struct sl_bytes sub = media;
    struct sl_bytes kind = plain_take(&sub, '/');
    return type.size <= SL_CONTENT_TYPE_SIZE_MAX && plain_is_made_of(kind, PLAIN_TOKEN) &&
           plain_is_made_of(sub, PLAIN_TOKEN);
}

/* ---- create ---- */

static enum sl_err expect_lifetime(struct sl_bytes lines, struct sl_create *expected)
{
    struct field ttl = find(lines, "stream-ttl");
    struct field expires = find(lines, "stream-expires-at");
    if (ttl.count > 0 && expires.count > 0)
        return SL_ERR_TTL_AND_EXPIRES_AT;
    if (ttl.count > 1 ||
        (ttl.count == 1 && !read_number(ttl.value, true, SL_TTL_S_MAX, &expected->config.ttl_s)))
        return SL_ERR_INVALID_TTL;
    if (expires.count > 1 ||
        (expires.count == 1 && (expires.value.size > SL_EXPIRES_TEXT_SIZE_MAX ||
                                !read_instant(expires.value, &expected->config.expires_at_ms))))
        return SL_ERR_INVALID_EXPIRES_AT;
    expected->config.has_ttl = ttl.count > 0;
    expected->config.has_expires_at = expires.count > 0;
    return SL_OK;
}

/* A token of an offset says at most 16 digits, and nobody forks behind them. */
static bool read_offset(struct sl_bytes text, uint64_t *offset)
{
    uint64_t reserved;
    *offset = 0;
    if (text.size != 33 || text.data[16] != '_' ||
        !read_number(sl_bytes(text.data, 16), false, UINT64_MAX, &reserved) ||
        !read_number(sl_bytes(text.data + 17, 16), false, UINT64_MAX, offset))
        return false;
    if (reserved > 0)
        *offset = SL_OFFSET_MAX;
    return true;
}

static enum sl_err expect_fork_point(struct sl_bytes lines, struct sl_create *expected)
{
    struct field offset = find(lines, "stream-fork-offset");
    struct field sub = find(lines, "stream-fork-sub-offset");
    expected->fork = find(lines, "stream-forked-from").count > 0;
    expected->has_fork_offset = offset.count > 0;
    if (offset.count > 1 || sub.count > 1 || (offset.count + sub.count > 0 && !expected->fork) ||
        (offset.count == 1 && !read_offset(offset.value, &expected->fork_offset)) ||
        (sub.count == 1 && !read_number(sub.value, true, UINT64_MAX, &expected->fork_sub_offset)) ||
        (expected->fork_sub_offset > 0 && offset.count == 0))
        return SL_ERR_INVALID_FORK_OFFSET;
    return SL_OK;
}

static enum sl_err expect_create(struct sl_bytes lines, struct sl_create *expected)
{
    struct field type = find(lines, "content-type");
    struct field source = find(lines, "stream-forked-from");
    enum sl_err err = expect_lifetime(lines, expected);
    if (err == SL_OK)
        err = expect_fork_point(lines, expected);
    if (err != SL_OK)
        return err;
    if (type.count > 1 || type.value.size > SL_CONTENT_TYPE_SIZE_MAX)
        return SL_ERR_INVALID_CONTENT_TYPE;
    if (is_usable_type(type.value))
        expected->config.content_type = type.value;
    /* What is a name is the business of another target. */
    char name[SL_NAME_SIZE_MAX];
    size_t size;
    if (source.count > 1)
        return SL_ERR_INVALID_STREAM_NAME;
    return source.count == 0
               ? SL_OK
               : sl_stream_name_from_reference(source.value, sl_bytes_of("/v1"), name, &size);
}

static bool expect_close(struct sl_bytes lines)
{
    struct field closed = find(lines, "stream-closed");
    return closed.count == 1 && plain_is_word(closed.value, "true");
}

static void check_create(const struct sl_request_headers *headers, struct sl_bytes lines)
{
    struct sl_create create = { .close = false }, expected = { .close = false };
    char source[SL_NAME_SIZE_MAX];
    enum sl_err err = sl_request_parse_create(headers, sl_bytes_of("/v1"), source, &create);
    SL_ASSERT(err == expect_create(lines, &expected));
    SL_ASSERT(create.close == expect_close(lines));
    if (err != SL_OK)
        return;
    SL_ASSERT(create.config.has_ttl == expected.config.has_ttl);
    SL_ASSERT(create.config.ttl_s == expected.config.ttl_s);
    SL_ASSERT(create.config.has_expires_at == expected.config.has_expires_at);
    SL_ASSERT(create.config.expires_at_ms == expected.config.expires_at_ms);
    SL_ASSERT(create.fork == expected.fork && create.fork_offset == expected.fork_offset);
    SL_ASSERT(create.has_fork_offset == expected.has_fork_offset);
    SL_ASSERT(create.fork_sub_offset == expected.fork_sub_offset);
    SL_ASSERT(sl_bytes_equal(create.config.content_type, expected.config.content_type));
    SL_ASSERT(create.fork == (create.fork_source.size > 0));
}

/* ---- append ---- */

static enum sl_err expect_append(struct sl_bytes lines, bool has_body, struct sl_append *expected)
{
    struct field id = find(lines, "producer-id");
    struct field epoch = find(lines, "producer-epoch");
    struct field sequence = find(lines, "producer-seq");
    struct field type = find(lines, "content-type");
    struct field seq = find(lines, "stream-seq");
    expected->has_producer = id.count + epoch.count + sequence.count > 0;
    if (expected->has_producer &&
        (id.count != 1 || epoch.count != 1 || sequence.count != 1 || id.value.size == 0 ||
         id.value.size > SL_PRODUCER_ID_SIZE_MAX ||
         !read_number(epoch.value, false, SL_PRODUCER_NUMBER_MAX, &expected->producer.epoch) ||
         !read_number(sequence.value, false, SL_PRODUCER_NUMBER_MAX, &expected->producer.sequence)))
        return SL_ERR_INVALID_PRODUCER;
    expected->producer.id = id.value;
    if (!has_body)
        return expect_close(lines) ? SL_OK : SL_ERR_EMPTY_BODY;
    if (type.value.size == 0)
        return SL_ERR_CONTENT_TYPE_REQUIRED;
    if (type.count > 1)
        return SL_ERR_INVALID_CONTENT_TYPE;
    expected->content_type = type.value;
    expected->has_seq = seq.count > 0;
    expected->seq = seq.value;
    return seq.count > 1 || seq.value.size > SL_SEQ_SIZE_MAX ? SL_ERR_INVALID_SEQ : SL_OK;
}

static void check_append(const struct sl_request_headers *headers, struct sl_bytes lines,
                         bool has_body)
{
    struct sl_append append = { .close = false }, expected = { .close = false };
    sl_request_parse_append(headers, sl_bytes("x", has_body), &append);
    SL_ASSERT(append.request_err == expect_append(lines, has_body, &expected));
    SL_ASSERT(append.close == expect_close(lines));
    if (append.request_err != SL_OK)
        return;
    SL_ASSERT(append.has_producer == expected.has_producer);
    if (append.has_producer)
        SL_ASSERT(sl_bytes_equal(append.producer.id, expected.producer.id));
    SL_ASSERT(append.producer.epoch == expected.producer.epoch);
    SL_ASSERT(append.producer.sequence == expected.producer.sequence);
    SL_ASSERT(sl_bytes_equal(append.content_type, expected.content_type));
    SL_ASSERT(append.has_seq == expected.has_seq);
    SL_ASSERT(sl_bytes_equal(append.seq, expected.seq));
}

/* ---- single values ---- */

static void check_type(struct sl_bytes value)
{
    struct sl_bytes rest = value;
    struct sl_bytes media = plain_trim(plain_take(&rest, ';'));
    struct sl_bytes sub = media;
    struct sl_bytes kind = plain_take(&sub, '/');
    SL_ASSERT(sl_bytes_equal(sl_media_type(value), media));
    SL_ASSERT(sl_content_type_is_usable(value) == is_usable_type(value));
    SL_ASSERT(sl_content_type_is_json(value) == plain_is_word(media, "application/json"));
    SL_ASSERT(sl_content_type_is_text(value) ==
              (plain_is_word(kind, "text") && media.size > kind.size));
    SL_ASSERT(sl_media_type_equal(value, media));
}

/* A list with our tag in it matches; one in which the bytes of the tag are nowhere does not. */
static void check_etag(struct sl_bytes value)
{
    char etag[SL_ETAG_SIZE_MAX];
    struct sl_buffer list = { 0 };
    size_t size = sl_etag_format(etag, 1, 2, sl_bytes_of("-1"), 3, value.size % 2 == 0);
    SL_ASSERT(size <= sizeof(etag));
    bool is_in = value.size > 0 && memmem(value.data, value.size, etag, size) != NULL;
    if (sl_etag_matches(value, sl_bytes(etag, size)))
        SL_ASSERT(is_in || sl_bytes_equal(plain_trim(value), sl_bytes_of("*")));
    sl_buffer_append_text(&list, "W/");
    sl_buffer_append(&list, etag, size);
    sl_buffer_append_text(&list, " ,");
    sl_buffer_append_bytes(&list, value);
    SL_ASSERT(sl_etag_matches(sl_buffer_bytes(&list), sl_bytes(etag, size)));
    sl_buffer_deinit(&list);
}

static void check_instant(struct sl_bytes value)
{
    int64_t ms, expected;
    bool good = sl_expires_at_parse(value, &ms);
    SL_ASSERT(good == read_instant(value, &expected));
    SL_ASSERT(ms == (good ? expected : 0));
}

/*
 * The first bytes as the numbers of an instant, each from one below what it may be to one above, or
 * beyond what has two digits: so that none of the limits waits for the fuzzer to spell it.
 */
static void check_numbers(struct sl_bytes bytes)
{
    static const struct {
        unsigned least, most;
    } limits[] = { { 1, 12 }, { 1, 31 }, { 0, 23 }, { 0, 59 }, { 0, 60 }, { 0, 23 }, { 0, 59 } };
    enum { LIMITS = sizeof(limits) / sizeof(limits[0]), NUMBERS_SIZE = LIMITS + 2 };
    unsigned number[LIMITS];
    char text[64];
    if (bytes.size < NUMBERS_SIZE)
        return;
    for (size_t i = 0; i < LIMITS; i++) {
        unsigned least = limits[i].least == 0 ? 0 : limits[i].least - 1;
        number[i] = least + bytes.data[i] % (limits[i].most + 2 - least);
    }
    unsigned year = ((unsigned)bytes.data[LIMITS] << 8 | bytes.data[LIMITS + 1]) % 10000;
    int size = snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u%c%02u:%02u", year,
                        number[0], number[1], number[2], number[3], number[4],
                        bytes.data[LIMITS] >= 0x80 ? '+' : '-', number[5], number[6]);
    check_instant(sl_bytes(text, (size_t)size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_request_headers headers = { .present = { false } };
    if (size == 0)
        return 0;
    struct sl_bytes lines = sl_bytes(data + 1, size - 1);
    struct sl_bytes rest = lines;
    struct sl_bytes first = lines;
    while (rest.size > 0) {
        struct sl_bytes value = plain_take(&rest, '\n');
        struct sl_bytes name = plain_take(&value, ':');
        sl_request_headers_add(&headers, name, value);
    }
    check_create(&headers, lines);
    check_append(&headers, lines, data[0] % 2 == 1);
    first = plain_take(&first, '\n');
    check_type(first);
    check_etag(first);
    check_instant(first);
    check_numbers(lines);
    return 0;
}
