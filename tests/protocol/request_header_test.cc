#include "protocol/request_header.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

#include <deque>
#include <utility>
#include <vector>

using Headers = std::vector<std::pair<std::string, std::string>>;

static const std::string token = "0000000000000000_0000000000000042";

/* Headers in memory of exactly their size, and what is made of them. */
struct Request {
    explicit Request(const Headers &list)
    {
        for (const auto &[name, value] : list) {
            texts.emplace_back(name);
            struct sl_bytes name_bytes = texts.back();
            texts.emplace_back(value);
            sl_request_headers_add(&headers, name_bytes, texts.back());
        }
    }

    std::deque<Text> texts;
    struct sl_request_headers headers = {};
};

struct Create : Request {
    explicit Create(const Headers &list) : Request(list), source(SL_NAME_SIZE_MAX)
    {
        memset(&create, 0x5a, sizeof(create));
        create.name = sl_bytes_of("name");
        create.data = sl_bytes_of("data");
        err = sl_request_parse_create(&headers, sl_bytes_of("/v1/stream"), source.data(), &create);
        EXPECT_EQ(string_of(create.name), "name");
        EXPECT_EQ(string_of(create.data), "data");
    }

    std::vector<char> source;
    struct sl_create create;
    enum sl_err err;
};

struct Append : Request {
    explicit Append(const Headers &list, const char *body = "data") : Request(list)
    {
        memset(&append, 0x5a, sizeof(append));
        append.name = sl_bytes_of("name");
        append.part_count = 3;
        sl_request_parse_append(&headers, Text(body), &append);
        EXPECT_EQ(string_of(append.name), "name");
        EXPECT_EQ(append.part_count, 3u);
    }

    struct sl_append append;
};

static enum sl_err create_err(const Headers &list)
{
    return Create(list).err;
}

static enum sl_err append_err(const Headers &list, const char *body = "data")
{
    return Append(list, body).append.request_err;
}

static Headers operator+(Headers a, const Headers &b)
{
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

TEST(RequestHeader, FindsEveryHeaderOfTheList)
{
    const struct {
        enum sl_header header;
        const char *name;
    } all[] = {
#define X(KIND, name) { SL_HEADER_##KIND, name },
        SL_HEADER_LIST(X)
#undef X
    };
    EXPECT_EQ(sizeof(all) / sizeof(all[0]) + 1, (size_t)SL_HEADER_COUNT);
    for (const auto &h : all) {
        EXPECT_EQ(sl_header_lookup(Text(h.name)), h.header);
        std::string name = h.name;
        for (const std::string &other :
             { name.substr(1), name + "x", "x" + name.substr(1),
               name.substr(0, name.size() - 1) + "x", name + std::string(1, '\0') })
            EXPECT_EQ(sl_header_lookup(Text(other)), SL_HEADER_OTHER) << other;
    }
    for (const char *name : { "", "accept", "stream-next-offset", "Content-Type", "producer-ip" })
        EXPECT_EQ(sl_header_lookup(Text(name)), SL_HEADER_OTHER) << name;
}

TEST(RequestHeader, KeepsTheFirstValueAndNotesRepetition)
{
    Request request({ { "stream-seq", " \t5 " },
                      { "accept", "*/*" },
                      { "stream-ttl", "" },
                      { "stream-seq", "6" } });
    EXPECT_TRUE(request.headers.present[SL_HEADER_STREAM_SEQ]);
    EXPECT_TRUE(request.headers.repeated[SL_HEADER_STREAM_SEQ]);
    EXPECT_EQ(string_of(request.headers.value[SL_HEADER_STREAM_SEQ]), "5");
    EXPECT_TRUE(request.headers.present[SL_HEADER_STREAM_TTL]);
    EXPECT_FALSE(request.headers.repeated[SL_HEADER_STREAM_TTL]);
    EXPECT_EQ(request.headers.value[SL_HEADER_STREAM_TTL].size, 0u);
    EXPECT_FALSE(request.headers.present[SL_HEADER_OTHER]);
    EXPECT_FALSE(request.headers.present[SL_HEADER_PRODUCER_ID]);
}

TEST(CreateRequest, WithoutHeadersIsAPlainStream)
{
    Create c(Headers{});
    EXPECT_EQ(c.err, SL_OK);
    EXPECT_EQ(c.create.config.content_type.size, 0u);
    EXPECT_FALSE(c.create.config.has_ttl);
    EXPECT_FALSE(c.create.config.has_expires_at);
    EXPECT_FALSE(c.create.close);
    EXPECT_FALSE(c.create.fork);
    EXPECT_FALSE(c.create.has_fork_offset);
    EXPECT_EQ(c.create.fork_source.size, 0u);
    EXPECT_EQ(c.create.fork_offset, 0u);
    EXPECT_EQ(c.create.fork_sub_offset, 0u);
}

TEST(CreateRequest, TakesEverythingTogether)
{
    Create c(Headers{ { "content-type", "Text/Plain; charset=utf-8" },
                      { "stream-expires-at", "1970-01-01T00:00:01.5Z" },
                      { "stream-closed", "true" },
                      { "stream-forked-from", "/v1/stream/a/%62" },
                      { "stream-fork-offset", token },
                      { "stream-fork-sub-offset", "3" },
                      { "stream-seq", std::string(9999, 'x') },
                      { "producer-id", "ignored" } });
    EXPECT_EQ(c.err, SL_OK);
    EXPECT_EQ(string_of(c.create.config.content_type), "Text/Plain; charset=utf-8");
    EXPECT_TRUE(c.create.config.has_expires_at);
    EXPECT_FALSE(c.create.config.has_ttl);
    EXPECT_EQ(c.create.config.expires_at_ms, 1500);
    EXPECT_EQ(string_of(c.create.config.expires_at_text), "1970-01-01T00:00:01.5Z");
    EXPECT_TRUE(c.create.close);
    EXPECT_TRUE(c.create.fork);
    EXPECT_EQ(string_of(c.create.fork_source), "a/b");
    EXPECT_EQ((const char *)c.create.fork_source.data, c.source.data());
    EXPECT_TRUE(c.create.has_fork_offset);
    EXPECT_EQ(c.create.fork_offset, 42u);
    EXPECT_EQ(c.create.fork_sub_offset, 3u);
}

TEST(CreateRequest, TakesATtl)
{
    for (const char *text : { "0", "3600", "9007199254740991" }) {
        Create c(Headers{ { "stream-ttl", text } });
        EXPECT_EQ(c.err, SL_OK);
        EXPECT_TRUE(c.create.config.has_ttl);
        EXPECT_EQ(std::to_string(c.create.config.ttl_s), text);
    }
    for (const char *text : { "", "+60", "-1", "060", "1.5", "1e3", "abc", "9007199254740992" })
        EXPECT_EQ(create_err({ { "stream-ttl", text } }), SL_ERR_INVALID_TTL) << text;
    EXPECT_EQ(create_err({ { "stream-ttl", "5" }, { "stream-ttl", "5" } }), SL_ERR_INVALID_TTL);
}

TEST(CreateRequest, TakesAnExpiryInstant)
{
    for (const char *text : { "", "tomorrow", "2024-10-09", "3600" })
        EXPECT_EQ(create_err({ { "stream-expires-at", text } }), SL_ERR_INVALID_EXPIRES_AT) << text;
    std::string good = "2030-01-01T00:00:00Z";
    EXPECT_EQ(create_err({ { "stream-expires-at", good }, { "stream-expires-at", good } }),
              SL_ERR_INVALID_EXPIRES_AT);
    for (size_t size = SL_EXPIRES_TEXT_SIZE_MAX - 1; size <= SL_EXPIRES_TEXT_SIZE_MAX + 1; size++) {
        std::string text = "2030-01-01T00:00:00." + std::string(size - 21, '1') + "Z";
        EXPECT_EQ(text.size(), size);
        EXPECT_EQ(create_err({ { "stream-expires-at", text } }),
                  size <= SL_EXPIRES_TEXT_SIZE_MAX ? SL_OK : SL_ERR_INVALID_EXPIRES_AT);
    }
}

TEST(CreateRequest, ClosesOnTrueInAnyCaseAndOnNothingElse)
{
    for (const char *text : { "true", "TRUE", "True", " true\t" })
        EXPECT_TRUE(Create(Headers{ { "stream-closed", text } }).create.close) << text;
    for (const char *text : { "", "false", "1", "yes", "truex", "tru", "true, true", "\"true\"" }) {
        EXPECT_FALSE(Create(Headers{ { "stream-closed", text } }).create.close) << text;
        EXPECT_EQ(create_err({ { "stream-closed", text } }), SL_OK) << text;
    }
    EXPECT_FALSE(
        Create(Headers{ { "stream-closed", "true" }, { "stream-closed", "true" } }).create.close);
}

TEST(CreateRequest, UnusableContentTypesCountAsAbsent)
{
    for (const char *text : { "", "garbage", "a/b/c", ";x", "a/b\x80", "text/plain, text/html" }) {
        Create c(Headers{ { "content-type", text } });
        EXPECT_EQ(c.err, SL_OK) << text;
        EXPECT_EQ(c.create.config.content_type.size, 0u) << text;
    }
}

TEST(CreateRequest, RefusesLongAndRepeatedContentTypes)
{
    for (size_t size = SL_CONTENT_TYPE_SIZE_MAX - 1; size <= SL_CONTENT_TYPE_SIZE_MAX + 1; size++) {
        bool fits = size <= SL_CONTENT_TYPE_SIZE_MAX;
        Create c(Headers{ { "content-type", "a/" + std::string(size - 2, 'b') } });
        EXPECT_EQ(c.err, fits ? SL_OK : SL_ERR_INVALID_CONTENT_TYPE);
        EXPECT_EQ(c.create.config.content_type.size, fits ? size : 0u);
    }
    EXPECT_EQ(create_err({ { "content-type", "a/b" }, { "content-type", "a/b" } }),
              SL_ERR_INVALID_CONTENT_TYPE);
}

static const Headers source_only = { { "stream-forked-from", "/v1/stream/src" } };
static const Headers fork_at = source_only + Headers{ { "stream-fork-offset", token } };

TEST(CreateRequest, ForksAtTheTailOrAtAnOffset)
{
    Create tail(source_only);
    EXPECT_EQ(tail.err, SL_OK);
    EXPECT_TRUE(tail.create.fork);
    EXPECT_FALSE(tail.create.has_fork_offset);
    Create at(fork_at);
    EXPECT_EQ(at.err, SL_OK);
    EXPECT_TRUE(at.create.has_fork_offset);
    EXPECT_EQ(at.create.fork_offset, 42u);
    Create beyond(source_only +
                  Headers{ { "stream-fork-offset", "9999999999999999_9999999999999999" } });
    EXPECT_EQ(beyond.err, SL_OK);
    EXPECT_EQ(beyond.create.fork_offset, SL_OFFSET_MAX);
}

TEST(CreateRequest, RefusesMalformedForkOffsets)
{
    for (const char *text : { "", "-1", "now", "0", "0_0", "abc" })
        EXPECT_EQ(create_err(source_only + Headers{ { "stream-fork-offset", text } }),
                  SL_ERR_INVALID_FORK_OFFSET)
            << text;
    EXPECT_EQ(create_err(fork_at + Headers{ { "stream-fork-offset", token } }),
              SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(create_err({ { "stream-fork-offset", token } }), SL_ERR_INVALID_FORK_OFFSET);
}

TEST(CreateRequest, RefusesMalformedSubOffsets)
{
    const char *name = "stream-fork-sub-offset";
    for (const char *text : { "0", "1", "18446744073709551615" }) {
        Create c(fork_at + Headers{ { name, text } });
        EXPECT_EQ(c.err, SL_OK) << text;
        EXPECT_EQ(std::to_string(c.create.fork_sub_offset), text);
    }
    for (const char *text : { "", "-1", "abc", "1.5", "05", "+1", "00", "18446744073709551616" })
        EXPECT_EQ(create_err(fork_at + Headers{ { name, text } }), SL_ERR_INVALID_FORK_OFFSET)
            << text;
    EXPECT_EQ(create_err(fork_at + Headers{ { name, "1" }, { name, "1" } }),
              SL_ERR_INVALID_FORK_OFFSET);
    /* without a source, without an offset */
    EXPECT_EQ(create_err({ { name, "0" } }), SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(create_err(source_only + Headers{ { name, "0" } }), SL_OK);
    EXPECT_EQ(create_err(source_only + Headers{ { name, "1" } }), SL_ERR_INVALID_FORK_OFFSET);
}

TEST(CreateRequest, RefusesSourcesThatCannotExist)
{
    for (const char *text :
         { "", "src", "http://localhost/v1/stream/src", "/v1/stream/src?x", "/v1/stream/__ds/x" })
        EXPECT_EQ(create_err({ { "stream-forked-from", text } }), SL_ERR_FORK_SOURCE_NOT_FOUND)
            << text;
    for (const char *text : { "/v1/stream/", "/v1/stream/a//b", "/v1/stream/%00" })
        EXPECT_EQ(create_err({ { "stream-forked-from", text } }), SL_ERR_INVALID_STREAM_NAME)
            << text;
    EXPECT_EQ(create_err(source_only + source_only), SL_ERR_INVALID_STREAM_NAME);
}

TEST(CreateRequest, ReportsTheFirstErrorOfTheCheckOrder)
{
    /* Every one is wrong; taking the first away shows the next. */
    const Headers wrong = { { "stream-ttl", "x" },
                            { "stream-expires-at", "x" },
                            { "stream-fork-offset", "x" },
                            { "content-type", std::string(999, 'x') },
                            { "stream-forked-from", "/v1/stream/%00" } };
    EXPECT_EQ(create_err(wrong), SL_ERR_TTL_AND_EXPIRES_AT);
    EXPECT_EQ(create_err({ wrong[0], wrong[2], wrong[3], wrong[4] }), SL_ERR_INVALID_TTL);
    EXPECT_EQ(create_err({ wrong[1], wrong[2], wrong[3], wrong[4] }), SL_ERR_INVALID_EXPIRES_AT);
    EXPECT_EQ(create_err({ wrong[2], wrong[3], wrong[4] }), SL_ERR_INVALID_FORK_OFFSET);
    EXPECT_EQ(create_err({ wrong[3], wrong[4] }), SL_ERR_INVALID_CONTENT_TYPE);
    EXPECT_EQ(create_err({ wrong[4] }), SL_ERR_INVALID_STREAM_NAME);
}

static const Headers text_plain = { { "content-type", "text/plain" } };
static const Headers closed = { { "stream-closed", "true" } };

static Headers producer(const std::string &id, const std::string &epoch, const std::string &seq)
{
    return { { "producer-id", id }, { "producer-epoch", epoch }, { "producer-seq", seq } };
}

TEST(AppendRequest, PlainData)
{
    Append a(text_plain);
    EXPECT_EQ(a.append.request_err, SL_OK);
    EXPECT_EQ(string_of(a.append.content_type), "text/plain");
    EXPECT_FALSE(a.append.close);
    EXPECT_FALSE(a.append.has_producer);
    EXPECT_FALSE(a.append.has_seq);
}

TEST(AppendRequest, TakesEverythingTogether)
{
    Append a(text_plain + closed + producer("p", "007", "9007199254740991") +
             Headers{ { "stream-seq", "a b" } });
    EXPECT_EQ(a.append.request_err, SL_OK);
    EXPECT_TRUE(a.append.close);
    EXPECT_TRUE(a.append.has_producer);
    EXPECT_EQ(string_of(a.append.producer.id), "p");
    EXPECT_EQ(a.append.producer.epoch, 7u);
    EXPECT_EQ(a.append.producer.sequence, SL_PRODUCER_NUMBER_MAX);
    EXPECT_TRUE(a.append.has_seq);
    EXPECT_EQ(string_of(a.append.seq), "a b");
}

TEST(AppendRequest, CloseWithoutDataNeedsNothingElse)
{
    Append a(closed, "");
    EXPECT_EQ(a.append.request_err, SL_OK);
    EXPECT_TRUE(a.append.close);
    /* Stream-Seq and Content-Type are not even looked at. */
    Append ignored(closed + Headers{ { "stream-seq", std::string(9999, 'x') },
                                     { "stream-seq", "x" },
                                     { "content-type", "a/b" },
                                     { "content-type", "c/d" } },
                   "");
    EXPECT_EQ(ignored.append.request_err, SL_OK);
    EXPECT_FALSE(ignored.append.has_seq);
    EXPECT_EQ(ignored.append.content_type.size, 0u);
    /* Producer headers are. */
    EXPECT_TRUE(Append(closed + producer("p", "0", "0"), "").append.has_producer);
    EXPECT_EQ(append_err(closed + producer("", "0", "0"), ""), SL_ERR_INVALID_PRODUCER);
}

TEST(AppendRequest, ClosesOnTrueInAnyCaseAndOnNothingElse)
{
    for (const char *text : { "true", "TRUE", "tRuE" })
        EXPECT_TRUE(Append(Headers{ { "stream-closed", text } }, "").append.close) << text;
    for (const char *text : { "", "false", "1", "true,true" })
        EXPECT_EQ(append_err({ { "stream-closed", text } }, ""), SL_ERR_EMPTY_BODY) << text;
    EXPECT_EQ(append_err(closed + closed, ""), SL_ERR_EMPTY_BODY);
}

TEST(AppendRequest, ADataBodyNeedsAContentType)
{
    EXPECT_EQ(append_err({}), SL_ERR_CONTENT_TYPE_REQUIRED);
    EXPECT_EQ(append_err(closed), SL_ERR_CONTENT_TYPE_REQUIRED);
    EXPECT_EQ(append_err({ { "content-type", " " } }), SL_ERR_CONTENT_TYPE_REQUIRED);
    EXPECT_EQ(append_err({}, ""), SL_ERR_EMPTY_BODY);
    EXPECT_EQ(append_err(text_plain, ""), SL_ERR_EMPTY_BODY);
    EXPECT_EQ(append_err(text_plain + text_plain), SL_ERR_INVALID_CONTENT_TYPE);
    Append unusable(Headers{ { "content-type", "garbage" } });
    EXPECT_EQ(unusable.append.request_err, SL_OK);
    EXPECT_EQ(string_of(unusable.append.content_type), "garbage");
}

TEST(AppendRequest, ProducerHeadersComeTogetherOrNotAtAll)
{
    Headers all = producer("p", "0", "0");
    for (int present = 0; present < 8; present++) {
        Headers some = text_plain;
        for (int i = 0; i < 3; i++) {
            if (present & 1 << i)
                some.push_back(all[(size_t)i]);
        }
        Append a(some);
        bool ok = present == 0 || present == 7;
        EXPECT_EQ(a.append.request_err, ok ? SL_OK : SL_ERR_INVALID_PRODUCER) << present;
        EXPECT_EQ(a.append.has_producer, present == 7) << present;
    }
    for (const auto &one : all)
        EXPECT_EQ(append_err(text_plain + all + Headers{ one }), SL_ERR_INVALID_PRODUCER)
            << one.first;
}

TEST(AppendRequest, RefusesMalformedProducers)
{
    for (const char *number : { "0", "00", "9007199254740990", "9007199254740991" }) {
        EXPECT_EQ(append_err(text_plain + producer("p", number, "1")), SL_OK) << number;
        EXPECT_EQ(append_err(text_plain + producer("p", "1", number)), SL_OK) << number;
    }
    for (const char *number : { "", "-1", "+1", "1.0", "1e3", "abc", "1abc", "0x1", "1 1",
                                "9007199254740992", "18446744073709551616" }) {
        EXPECT_EQ(append_err(text_plain + producer("p", number, "1")), SL_ERR_INVALID_PRODUCER)
            << number;
        EXPECT_EQ(append_err(text_plain + producer("p", "1", number)), SL_ERR_INVALID_PRODUCER)
            << number;
    }
    EXPECT_EQ(append_err(text_plain + producer(" ", "1", "1")), SL_ERR_INVALID_PRODUCER);
    for (size_t size = SL_PRODUCER_ID_SIZE_MAX - 1; size <= SL_PRODUCER_ID_SIZE_MAX + 1; size++)
        EXPECT_EQ(append_err(text_plain + producer(std::string(size, 'p'), "1", "1")),
                  size <= SL_PRODUCER_ID_SIZE_MAX ? SL_OK : SL_ERR_INVALID_PRODUCER);
}

TEST(AppendRequest, SequencesAreAnyBytesUpToALimit)
{
    Append empty(text_plain + Headers{ { "stream-seq", "" } });
    EXPECT_EQ(empty.append.request_err, SL_OK);
    EXPECT_TRUE(empty.append.has_seq);
    EXPECT_EQ(empty.append.seq.size, 0u);
    for (size_t size = SL_SEQ_SIZE_MAX - 1; size <= SL_SEQ_SIZE_MAX + 1; size++)
        EXPECT_EQ(append_err(text_plain + Headers{ { "stream-seq", std::string(size, '\xff') } }),
                  size <= SL_SEQ_SIZE_MAX ? SL_OK : SL_ERR_INVALID_SEQ);
    EXPECT_EQ(append_err(text_plain + Headers{ { "stream-seq", "1" }, { "stream-seq", "2" } }),
              SL_ERR_INVALID_SEQ);
}

TEST(AppendRequest, ReportsTheFirstErrorOfTheCheckOrder)
{
    const Headers bad_producer = { { "producer-id", "p" } };
    const Headers bad_seq = { { "stream-seq", std::string(999, 'x') } };
    EXPECT_EQ(append_err(bad_producer + bad_seq, ""), SL_ERR_INVALID_PRODUCER);
    EXPECT_EQ(append_err(bad_producer + bad_seq), SL_ERR_INVALID_PRODUCER);
    EXPECT_EQ(append_err(bad_seq, ""), SL_ERR_EMPTY_BODY);
    EXPECT_EQ(append_err(bad_seq), SL_ERR_CONTENT_TYPE_REQUIRED);
    EXPECT_EQ(append_err(text_plain + text_plain + bad_seq), SL_ERR_INVALID_CONTENT_TYPE);
    EXPECT_EQ(append_err(text_plain + bad_seq), SL_ERR_INVALID_SEQ);
}
