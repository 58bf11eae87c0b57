#include "http/h2o_override.h"

#include "base/limits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace
{

constexpr ssize_t kMore = -2;
constexpr ssize_t kMalformed = -1;

struct Decoded {
    ssize_t result;
    std::string body;
    std::string rest; /* what follows the body */
};

/* As h2o does it: every piece is decoded where it arrived, behind what the ones before held. */
Decoded DecodeInPieces(const std::string &text, size_t piece_size)
{
    phr_chunked_decoder decoder = {};
    std::string buffer;
    decoder.consume_trailer = 1;
    for (size_t at = 0; at < text.size(); at += piece_size) {
        size_t before = buffer.size();
        buffer += text.substr(at, piece_size);
        size_t size = buffer.size() - before;
        ssize_t result = phr_decode_chunked(&decoder, &buffer[before], &size);
        if (result == kMore || result == kMalformed) {
            buffer.resize(before + size);
            if (result == kMalformed)
                return { result, buffer, "" };
            continue;
        }
        std::string rest = buffer.substr(before + size, static_cast<size_t>(result));
        size_t taken = at + piece_size < text.size() ? at + piece_size : text.size();
        return { result, buffer.substr(0, before + size), rest + text.substr(taken) };
    }
    return { kMore, buffer, "" };
}

Decoded Decode(const std::string &text)
{
    return DecodeInPieces(text, text.size());
}

struct Parsed {
    int result;
    std::string method;
    std::string target;
    int minor_version;
    size_t header_count;
};

Parsed Parse(const std::string &text)
{
    static struct {
        const char *parts[4]; /* as large as h2o's */
    } headers[SL_HEADERS_MAX];
    Parsed parsed = {};
    const char *method, *target;
    size_t method_size, target_size;
    parsed.header_count = SL_HEADERS_MAX;
    (void)h2o_strtosize("1", 1); /* or the linker sees no need for h2o, whose parser is asked */
    sl_h2o_override();
    parsed.result = phr_parse_request(
        text.data(), text.size(), &method, &method_size, &target, &target_size,
        &parsed.minor_version, reinterpret_cast<phr_header *>(headers), &parsed.header_count, 0);
    if (parsed.result >= 0) {
        parsed.method.assign(method, method_size);
        parsed.target.assign(target, target_size);
    }
    return parsed;
}

} // namespace

TEST(H2oOverride, DecodesHoweverTheBytesArrive)
{
    const std::string text =
        "3\r\nabc\r\n0000A;x=\"y;z\" ;q\r\n0123456789\r\n1 \t;a\r\nx\r\n0;last\r\n"
        "A-b: c \xc3\xa9\r\nd:\r\n\r\nGET /";
    for (size_t piece_size = 1; piece_size <= text.size(); piece_size++) {
        Decoded decoded = DecodeInPieces(text, piece_size);
        EXPECT_GE(decoded.result, 0) << piece_size;
        EXPECT_EQ(decoded.body, "abc0123456789x") << piece_size;
        EXPECT_EQ(decoded.rest, "GET /") << piece_size;
    }
}

TEST(H2oOverride, WaitsForTheLastByte)
{
    const std::string text = "3;e\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for (size_t size = 0; size < text.size(); size++)
        EXPECT_EQ(Decode(text.substr(0, size)).result, kMore) << size;
    EXPECT_EQ(Decode(text).result, 0);
}

TEST(H2oOverride, TakesSizesUpToThatOfTheLargestBody)
{
    static_assert(SL_BODY_SIZE_MAX == 0x40000000, "as below");
    for (const char *size : { "f", "F", "3fffffff", "40000000", "0000000000000001" })
        EXPECT_EQ(Decode(std::string(size) + "\r\nx").result, kMore) << size;
    for (const char *size : { "40000001", "FFFFFFFFFFFFFFFF", "fffffffffffffffff",
                              "10000000000000000", "00000000000000001" })
        EXPECT_EQ(Decode(std::string(size) + "\r\nx").result, kMalformed) << size;
}

TEST(H2oOverride, RefusesWhatAnotherServerWouldReadDifferently)
{
    for (const std::string text : { "\r\n",
                                    "x\r\n",
                                    "0x3\r\nabc\r\n",
                                    "-3\r\n",
                                    "+3\r\n",
                                    " 3\r\n",
                                    "3 \r\n",
                                    "3\t\r\n",
                                    "3 3\r\n",
                                    "3_\r\n",
                                    "3.\r\n",
                                    "3,\r\n",
                                    "3\n",
                                    "3\r",
                                    "3\rx",
                                    "3\r\r\n",
                                    "3;a\n",
                                    "3;a\rb\r\n",
                                    "3;a\x01\r\n",
                                    "3;a\x7f\r\n",
                                    "3 a\r\n",
                                    "3\r\nabcd\r\n",
                                    "3\r\nabc\n",
                                    "3\r\nabc\r\r\n",
                                    "3\r\nabcx",
                                    "3\r\nabc0\r\n",
                                    "0\n",
                                    "0\r\n\n",
                                    "0\r\n\r\r\n",
                                    "0\r\nA\r\n",
                                    "0\r\n: b\r\n",
                                    "0\r\nA : b\r\n",
                                    "0\r\nA: b\n",
                                    "0\r\nA: b\rc\r\n",
                                    "0\r\n A: b\r\n",
                                    "0\r\nA: b\r\n c\r\n",
                                    "0\r\nA: \x01\r\n",
                                    "0\r\nA(: b\r\n" }) {
        Decoded decoded = Decode(text + "0123456789");
        EXPECT_EQ(decoded.result, kMalformed) << text;
    }
    EXPECT_EQ(Decode(std::string("3;\0\r\n", 6)).result, kMalformed);
    EXPECT_EQ(Decode(std::string("0\r\nA: \0\r\n", 10)).result, kMalformed);
}

TEST(H2oOverride, BoundsWhatItReadsPast)
{
    const size_t max = SL_CHUNK_EXTRA_SIZE_MAX;
    for (size_t size : { max - 1, max, max + 1 }) {
        ssize_t result = size > max ? kMalformed : 0;
        EXPECT_EQ(Decode("0;" + std::string(size - 1, 'x') + "\r\n\r\n").result, result) << size;
        EXPECT_EQ(Decode("0\r\nA:" + std::string(size - 2, 'x') + "\r\n\r\n").result, result)
            << size;
        std::string chunks;
        for (size_t n = 0; n < size / 2; n++)
            chunks += "1;x\r\ny\r\n";
        EXPECT_EQ(Decode(chunks + (size % 2 == 1 ? "0;\r\n\r\n" : "0\r\n\r\n")).result, result)
            << size;
    }
}

TEST(H2oOverride, LeavesWhatIsARequestToH2o)
{
    const std::string text = "PUT /a HTTP/1.1\r\nHost: b\r\nC: d\r\n\r\n";
    for (size_t size = 0; size < text.size(); size++)
        EXPECT_EQ(Parse(text.substr(0, size)).result, kMore) << size;
    Parsed parsed = Parse(text + "GET /");
    EXPECT_EQ(parsed.result, static_cast<int>(text.size()));
    EXPECT_EQ(parsed.method, "PUT");
    EXPECT_EQ(parsed.target, "/a");
    EXPECT_EQ(parsed.minor_version, 1);
    EXPECT_EQ(parsed.header_count, 2u);
}

TEST(H2oOverride, TakesAllThatIsNoRequestForOneWithoutATarget)
{
    const std::string endless = "GET / HTTP/1.1\r\nA: " + std::string(H2O_MAX_REQLEN, 'x');
    std::string many = "GET / HTTP/1.1\r\n";
    for (unsigned i = 0; i <= SL_HEADERS_MAX; i++)
        many += "A: b\r\n";
    EXPECT_EQ(Parse(endless.substr(0, H2O_MAX_REQLEN - 1)).result, kMore);
    for (const std::string &text : { std::string("G\x01T / HTTP/1.1\r\n\r\n"),
                                     std::string("GET / HTTP/1.1\r\nA b\r\n\r\nGET /"),
                                     many + "\r\n", endless.substr(0, H2O_MAX_REQLEN) }) {
        Parsed parsed = Parse(text);
        EXPECT_EQ(parsed.result, static_cast<int>(text.size()));
        EXPECT_EQ(parsed.method + parsed.target, "") << text;
        EXPECT_EQ(parsed.minor_version, 0);
        EXPECT_EQ(parsed.header_count, 0u);
    }
}

TEST(H2oOverride, WritesNothingAboutPaths)
{
    size_t query_at = 0;
    size_t *indexes = &query_at;
    testing::internal::CaptureStderr();
    h2o_iovec_t path = h2o_url_normalize_path(nullptr, "x\x9b/../..", 9, &query_at, &indexes);
    EXPECT_EQ(std::string(path.base, path.len), "/");
    EXPECT_EQ(query_at, SIZE_MAX);
    EXPECT_EQ(indexes, nullptr);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

/* As h2o reads: it asks for space until a read does not fill it. */
static size_t ReadATurn(h2o_buffer_t **buffer, size_t *there)
{
    size_t before = (*buffer)->size;
    for (;;) {
        h2o_iovec_t space = h2o_buffer_reserve(buffer, 4096);
        EXPECT_NE(space.base, nullptr);
        size_t size = std::min(space.len, *there);
        (*buffer)->size += size;
        *there -= size;
        if (size < space.len || space.len == 0)
            return (*buffer)->size - before;
    }
}

TEST(H2oOverride, ReadsNoMoreThanItsShareInATurn)
{
    (void)Parse(""); /* h2o's functions are found */
    h2o_buffer_t *buffer, *other;
    h2o_buffer_init(&buffer, &h2o_socket_buffer_prototype);
    h2o_buffer_init(&other, &h2o_socket_buffer_prototype);
    size_t there = SL_READ_SIZE_FIRST + 5 * SL_READ_SIZE_MAX + 1, nothing = 0;
    size_t exactly = SL_READ_SIZE_FIRST;
    EXPECT_EQ(ReadATurn(&buffer, &there), SL_READ_SIZE_FIRST) << "it may be many small requests";
    for (unsigned turn = 0; turn < 5; turn++) {
        EXPECT_EQ(ReadATurn(&buffer, &there), SL_READ_SIZE_MAX) << turn;
        if (turn == 2) {
            EXPECT_EQ(ReadATurn(&other, &nothing), 0) << "the turn of another one in between";
        }
    }
    EXPECT_EQ(ReadATurn(&buffer, &there), 1);
    EXPECT_EQ(ReadATurn(&buffer, &there), 0);
    EXPECT_EQ(ReadATurn(&other, &exactly), SL_READ_SIZE_FIRST);
    other->size = SL_READ_SIZE_FIRST - 1; /* the beginning of the next one is left */
    size_t more = 2 * SL_READ_SIZE_MAX;
    EXPECT_EQ(ReadATurn(&other, &more), SL_READ_SIZE_FIRST);
    other->size = SL_READ_SIZE_FIRST;
    EXPECT_EQ(ReadATurn(&other, &more), SL_READ_SIZE_MAX);
    EXPECT_GT(h2o_buffer_reserve(&other, 4096).len, 0) << "of no bytes would be the end to h2o";
    h2o_buffer_dispose(&buffer);
    h2o_buffer_dispose(&other);
}

TEST(H2oOverride, AddsUpWhatUploadsTake)
{
    (void)Parse(""); /* h2o's functions are found */
    uint64_t expected = sl_h2o_growth();
    h2o_buffer_t *head, *upload;
    h2o_buffer_init(&head, &h2o_socket_buffer_prototype);
    h2o_buffer_init(&upload, &h2o_socket_buffer_prototype);
    (void)h2o_buffer_reserve(&head, H2O_SOCKET_INITIAL_INPUT_BUFFER_SIZE);
    EXPECT_EQ(sl_h2o_growth(), expected);
    size_t before = upload->capacity;
    for (size_t size : { SL_H2O_INPUT_SMALL + 1, 1 << 20 }) {
        (void)h2o_buffer_reserve(&upload, size);
        expected += upload->capacity - before;
        EXPECT_EQ(sl_h2o_growth(), expected) << size;
        before = upload->capacity;
        (void)h2o_buffer_reserve(&upload, 1); /* has room */
        EXPECT_EQ(sl_h2o_growth(), expected);
    }
    h2o_buffer_dispose(&head);
    h2o_buffer_dispose(&upload);
}
