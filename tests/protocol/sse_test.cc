#include "protocol/sse.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/text.h"

namespace
{

using Pieces = std::vector<std::string>;

struct Event {
    std::string type;
    std::string data;

    bool operator==(const Event &other) const
    {
        return type == other.type && data == other.data;
    }
};

struct Buffer : sl_buffer {
    Buffer() : sl_buffer{}
    {
    }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    ~Buffer()
    {
        sl_buffer_deinit(this);
    }

    std::string text() const
    {
        return std::string(data, data + size);
    }
};

std::string encode(sl_sse_encoding encoding, const Pieces &pieces)
{
    Buffer out;
    struct sl_sse_data data;
    sl_sse_data_begin(&data, encoding, &out);
    for (const std::string &piece : pieces)
        sl_sse_data_add(&data, Text(piece), &out);
    sl_sse_data_end(&data, &out);
    return out.text();
}

/* Lines end with CRLF, LF or CR, whichever is longest. What follows the last end is the last line.
 */
std::vector<std::string> lines_of(const std::string &text)
{
    std::vector<std::string> lines(1);
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] != '\r' && text[i] != '\n') {
            lines.back() += text[i];
            continue;
        }
        if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n')
            i++;
        lines.emplace_back();
    }
    return lines;
}

std::string with_lf(const std::string &text)
{
    std::string result;
    for (const std::string &line : lines_of(text))
        result += line + "\n";
    result.pop_back();
    return result;
}

/* WHATWG HTML, 9.2.6 Interpreting an event stream. */
std::vector<Event> parse(const std::string &stream)
{
    std::vector<Event> events;
    std::string data;
    std::string type;
    std::vector<std::string> lines = lines_of(stream);
    lines.pop_back(); /* not ended: an event that is not dispatched */
    for (const std::string &line : lines) {
        if (line.empty()) {
            if (!data.empty()) {
                data.pop_back();
                events.push_back({ type.empty() ? "message" : type, data });
            }
            data.clear();
            type.clear();
            continue;
        }
        size_t colon = line.find(':');
        EXPECT_NE(colon, 0u) << "comment";
        std::string field = line.substr(0, colon);
        std::string value = colon == std::string::npos ? "" : line.substr(colon + 1);
        if (!value.empty() && value[0] == ' ')
            value.erase(0, 1);
        if (field == "event")
            type = value;
        else if (field == "data")
            data += value + "\n";
        else
            ADD_FAILURE() << "field " << field;
    }
    EXPECT_TRUE(data.empty());
    EXPECT_TRUE(type.empty());
    return events;
}

std::string decode_base64(const std::string &text)
{
    static const std::string digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    EXPECT_EQ(text.size() % 4, 0u);
    for (size_t i = 0; i + 4 <= text.size(); i += 4) {
        size_t pad = text[i + 2] == '=' ? 2 : text[i + 3] == '=' ? 1 : 0;
        EXPECT_TRUE(pad == 0 || i + 4 == text.size());
        EXPECT_TRUE(pad != 2 || text[i + 3] == '=');
        uint32_t bits = 0;
        for (size_t j = 0; j < 4; j++) {
            size_t digit = j >= 4 - pad ? 0 : digits.find(text[i + j]);
            EXPECT_NE(digit, std::string::npos);
            bits = bits << 6 | static_cast<uint32_t>(digit);
        }
        EXPECT_EQ(bits & ((1u << (8 * pad)) - 1), 0u) << "bits behind the end";
        for (size_t j = 0; j < 3 - pad; j++)
            bytes += static_cast<char>(bits >> (16 - 8 * j));
    }
    return bytes;
}

/* Cuts `text` at random places; some pieces are empty. */
Pieces cut(std::mt19937_64 &random, const std::string &text)
{
    Pieces pieces;
    size_t at = 0;
    while (at < text.size()) {
        size_t size = std::min(text.size() - at, static_cast<size_t>(random() % 12));
        pieces.push_back(text.substr(at, size));
        at += size;
    }
    return pieces;
}

std::string random_payload(std::mt19937_64 &random)
{
    static const char *const parts[] = {
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        "\r\n\r\n",
        " ",
        "  ",
        ":",
        "a",
        "data:",
        "data: x",
        "event: control",
        "data:{\"streamClosed\":true}",
        "id: 7",
        "retry: 1",
        "\xe2\x82\xac",
        "some longer text without any end of line",
        "\xff",
        "\x0b\x0c\x1f",
        "\xc2\x85",
        "\xe2\x80\xa8",
        "\t",
    };
    std::string text;
    for (size_t n = random() % 12; n > 0; n--) {
        size_t part = random() % (sizeof(parts) / sizeof(parts[0]) + 1);
        text += part == 0 ? std::string(1, '\0') : parts[part - 1];
    }
    return text;
}

TEST(Sse, TextBecomesOneDataLineForEachLine)
{
    const struct {
        const char *text;
        const char *event;
    } cases[] = {
        { "a", "data:a\n" },
        { "", "data:\n" },
        { "a\n", "data:a\ndata:\n" },
        { "\n", "data:\ndata:\n" },
        { "\r", "data:\ndata:\n" },
        { "\r\n", "data:\ndata:\n" },
        { "\n\r", "data:\ndata:\ndata:\n" },
        { "\n\n", "data:\ndata:\ndata:\n" },
        { "\r\r", "data:\ndata:\ndata:\n" },
        { "\r\n\r\n", "data:\ndata:\ndata:\n" },
        { "\r\r\n", "data:\ndata:\ndata:\n" },
        { "line1\nline2", "data:line1\ndata:line2\n" },
        { "line1\rline2", "data:line1\ndata:line2\n" },
        { "line1\r\nline2", "data:line1\ndata:line2\n" },
        { "a\n\nevent: control\ndata:{}\n\n",
          "data:a\ndata:\ndata:event: control\ndata:data:{}\ndata:\ndata:\n" },
        { "a\r\revent: control", "data:a\ndata:\ndata:event: control\n" },
        { "tab\tand\x0b", "data:tab\tand\x0b\n" },
        { "\xe2\x80\xa8", "data:\xe2\x80\xa8\n" },
    };
    for (const auto &c : cases)
        EXPECT_EQ(encode(SL_SSE_TEXT, { c.text }), std::string("event: data\n") + c.event + "\n")
            << testing::PrintToString(c.text);
}

TEST(Sse, ASpaceFollowsTheColonOnlyBeforeALineThatBeginsWithOne)
{
    EXPECT_EQ(encode(SL_SSE_TEXT, { " a" }), "event: data\ndata:  a\n\n");
    EXPECT_EQ(encode(SL_SSE_TEXT, { "  a" }), "event: data\ndata:   a\n\n");
    EXPECT_EQ(encode(SL_SSE_TEXT, { " " }), "event: data\ndata:  \n\n");
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a\n b\nc d" }), "event: data\ndata:a\ndata:  b\ndata:c d\n\n");
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a", " b" }), "event: data\ndata:a b\n\n");
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a\r", "\n", " b" }), "event: data\ndata:a\ndata:  b\n\n");
    EXPECT_EQ(encode(SL_SSE_TEXT, { "\ta" }), "event: data\ndata:\ta\n\n");
}

TEST(Sse, CrAndLfInTwoPiecesAreOneLineEnd)
{
    const std::string one = "event: data\ndata:a\ndata:b\n\n";
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a\r\nb" }), one);
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a\r", "\nb" }), one);
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a\r", "", "\n", "b" }), one);
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a\r", "b" }), one);
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a\r", "\n" }), encode(SL_SSE_TEXT, { "a\n" }));
    EXPECT_EQ(encode(SL_SSE_TEXT, { "a\r", "\n", "\n" }), encode(SL_SSE_TEXT, { "a\n\n" }));
    EXPECT_EQ(encode(SL_SSE_TEXT, { "\n", "\r", "\n" }), encode(SL_SSE_TEXT, { "\n\n" }));
}

TEST(Sse, JsonBecomesOneArrayOnOneLine)
{
    EXPECT_EQ(encode(SL_SSE_JSON, { "1," }), "event: data\ndata:[1]\n\n");
    EXPECT_EQ(encode(SL_SSE_JSON, { "1,{\"a\":[2]}," }), "event: data\ndata:[1,{\"a\":[2]}]\n\n");
    EXPECT_EQ(encode(SL_SSE_JSON, { "1,", "2", ",", "\"a,", "\"," }),
              "event: data\ndata:[1,2,\"a,\"]\n\n");
    EXPECT_EQ(encode(SL_SSE_JSON, { "\"a,,", ",", ",b\"," }), "event: data\ndata:[\"a,,,,b\"]\n\n");
    EXPECT_EQ(encode(SL_SSE_JSON, { "1", "," }), "event: data\ndata:[1]\n\n");
    EXPECT_EQ(encode(SL_SSE_JSON, { "1,", "" }), "event: data\ndata:[1]\n\n");
    EXPECT_EQ(encode(SL_SSE_JSON, {}), "event: data\ndata:[]\n\n");
}

TEST(Sse, ALineEndInJsonCannotBeginAnEvent)
{
    EXPECT_EQ(encode(SL_SSE_JSON, { "1\n\nevent: x,", "\r", "\n 2," }),
              "event: data\ndata:[1\ndata:\ndata:event: x,\ndata:  2]\n\n");
}

TEST(Sse, Base64IsPaddedAndOnOneLine)
{
    const struct {
        const char *text;
        const char *base64;
    } cases[] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
    };
    for (const auto &c : cases) {
        std::string text = c.text;
        std::string event = std::string("event: data\ndata:") + c.base64 + "\n\n";
        EXPECT_EQ(encode(SL_SSE_BASE64, { text }), event);
        for (size_t i = 0; i <= text.size(); i++)
            for (size_t j = i; j <= text.size(); j++)
                EXPECT_EQ(encode(SL_SSE_BASE64,
                                 { text.substr(0, i), text.substr(i, j - i), text.substr(j) }),
                          event);
    }
    std::string all;
    for (int byte = 0; byte < 256; byte++)
        all += static_cast<char>(byte);
    std::vector<Event> events = parse(encode(SL_SSE_BASE64, { all }));
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(decode_base64(events[0].data), all);
    EXPECT_EQ(encode(SL_SSE_BASE64, { "\xfb\xff\xbf" }), "event: data\ndata:+/+/\n\n");
}

TEST(Sse, ReceiversGetTextBackWithLfForEveryLineEnd)
{
    std::mt19937_64 random(6);
    for (int i = 0; i < 50000 && !HasFailure(); i++) {
        std::string text = random_payload(random);
        std::string stream = encode(SL_SSE_TEXT, cut(random, text));
        EXPECT_EQ(parse(stream), (std::vector<Event>{ { "data", with_lf(text) } }))
            << testing::PrintToString(text);
        EXPECT_EQ(stream, encode(SL_SSE_TEXT, { text }));
    }
}

TEST(Sse, ReceiversGetJsonBackAsOneArray)
{
    std::mt19937_64 random(7);
    for (int i = 0; i < 50000 && !HasFailure(); i++) {
        std::string stored;
        for (size_t n = 1 + random() % 5; n > 0; n--)
            stored += (random() % 2 == 0   ? "\"a,b\""
                       : random() % 2 == 0 ? "[1,2]"
                                           : "1") +
                      std::string(",");
        std::string array = "[" + stored.substr(0, stored.size() - 1) + "]";
        EXPECT_EQ(encode(SL_SSE_JSON, cut(random, stored)), "event: data\ndata:" + array + "\n\n");
    }
}

TEST(Sse, NothingInAPayloadMakesAnotherEvent)
{
    std::mt19937_64 random(8);
    for (int i = 0; i < 50000 && !HasFailure(); i++) {
        Pieces pieces = cut(random, random_payload(random));
        for (sl_sse_encoding encoding : { SL_SSE_TEXT, SL_SSE_BASE64, SL_SSE_JSON }) {
            std::vector<Event> events = parse(encode(encoding, pieces));
            ASSERT_EQ(events.size(), 1u);
            EXPECT_EQ(events[0].type, "data");
        }
    }
}

TEST(Sse, ReceiversGetBytesBackFromBase64)
{
    std::mt19937_64 random(9);
    for (int i = 0; i < 20000 && !HasFailure(); i++) {
        std::string bytes;
        for (size_t n = random() % 60; n > 0; n--)
            bytes += static_cast<char>(random());
        std::vector<Event> events = parse(encode(SL_SSE_BASE64, cut(random, bytes)));
        ASSERT_EQ(events.size(), 1u);
        EXPECT_EQ(decode_base64(events[0].data), bytes);
    }
}

TEST(Sse, LineEndsAreFoundAtEveryPlaceOfAWord)
{
    for (size_t before = 0; before < 40; before++) {
        for (size_t after = 0; after < 20; after++) {
            for (const char *line_end : { "\n", "\r", "\r\n" }) {
                std::string a(before, '\x0b'), b(after, '\x8a');
                EXPECT_EQ(encode(SL_SSE_TEXT, { a + line_end + b }),
                          "event: data\ndata:" + a + "\ndata:" + b + "\n\n");
            }
        }
    }
}

TEST(Sse, EventsAreNotLargerThanTheirLimit)
{
    for (size_t size = 0; size < 100; size++) {
        for (const char *unit : { "\n", "\r", "\r\n", " \n", " ", "a", "a\n" }) {
            std::string text;
            while (text.size() < size)
                text += unit;
            text.resize(size);
            EXPECT_LE(encode(SL_SSE_TEXT, { text }).size(), 6 * size + SL_SSE_DATA_FRAME_MAX);
            EXPECT_LE(encode(SL_SSE_BASE64, { text }).size(),
                      4 * ((size + 2) / 3) + SL_SSE_DATA_FRAME_MAX);
        }
        EXPECT_LE(encode(SL_SSE_JSON, { std::string(size, '1') }).size(),
                  size + SL_SSE_DATA_FRAME_MAX);
    }
}

TEST(Sse, EventsFollowWhatIsInTheBuffer)
{
    Buffer out;
    struct sl_sse_data data;
    const struct sl_sse_control control = { 3, 0, false, true, false };
    for (int i = 0; i < 2; i++) {
        sl_sse_data_begin(&data, SL_SSE_BASE64, &out);
        sl_sse_data_add(&data, sl_bytes_of("foob"), &out);
        sl_sse_data_end(&data, &out);
        sl_sse_control(&out, &control);
    }
    const std::string once = "event: data\ndata:Zm9vYg==\n\nevent: control\n"
                             "data:{\"streamNextOffset\":\"0000000000000000_0000000000000003\","
                             "\"upToDate\":true}\n\n";
    EXPECT_EQ(out.text(), once + once);
    EXPECT_EQ(parse(out.text()).size(), 4u);
}

TEST(Sse, ControlSaysWhatItHasTo)
{
    const struct {
        struct sl_sse_control control;
        const char *fields;
    } cases[] = {
        { { 0, 0, false, false, false }, "0000000000000000\"" },
        { { 42, 0, true, false, false }, "0000000000000042\",\"streamCursor\":\"0\"" },
        { { 42, 1234567, true, false, false }, "0000000000000042\",\"streamCursor\":\"1234567\"" },
        { { 42, 7, false, true, false }, "0000000000000042\",\"upToDate\":true" },
        { { UINT64_C(9999999999999999), 7, true, true, false },
          "9999999999999999\",\"streamCursor\":\"7\",\"upToDate\":true" },
        /* closed: no cursor, and up to date */
        { { 42, 7, true, true, true },
          "0000000000000042\",\"upToDate\":true,\"streamClosed\":true" },
        { { 42, 7, true, false, true },
          "0000000000000042\",\"upToDate\":true,\"streamClosed\":true" },
        { { 42, 7, false, true, true },
          "0000000000000042\",\"upToDate\":true,\"streamClosed\":true" },
    };
    for (const auto &c : cases) {
        Buffer out;
        sl_sse_control(&out, &c.control);
        std::string json =
            std::string("{\"streamNextOffset\":\"0000000000000000_") + c.fields + "}";
        EXPECT_EQ(out.text(), "event: control\ndata:" + json + "\n\n");
        EXPECT_EQ(parse(out.text()), (std::vector<Event>{ { "control", json } }));
    }
}

TEST(Sse, TheLargestControlHasTheSizeOfTheLimit)
{
    Buffer out;
    const struct sl_sse_control control = { UINT64_C(9999999999999999), UINT64_MAX, true, true,
                                            false };
    sl_sse_control(&out, &control);
    EXPECT_EQ(out.size, static_cast<size_t>(SL_SSE_CONTROL_SIZE_MAX));
}

} // namespace
