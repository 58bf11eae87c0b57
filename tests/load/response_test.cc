#include "load/response.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace
{

struct Answer {
    unsigned status;
    std::string body;
    std::string offset, etag;
    bool up_to_date, retry_after, close;
    bool operator==(const Answer &other) const
    {
        return status == other.status && body == other.body && offset == other.offset &&
               etag == other.etag && up_to_date == other.up_to_date &&
               retry_after == other.retry_after && close == other.close;
    }
};

/* The answers in `text`, which arrives in pieces of `step` bytes. */
std::vector<Answer> answers_of(const std::string &text, size_t step, bool *bad)
{
    std::vector<Answer> answers;
    load_response response = {};
    std::string carry, body_so_far;

    *bad = false;
    for (size_t at = 0; at < text.size() && !*bad; at += step) {
        std::string bytes = carry + text.substr(at, step);
        struct sl_bytes input = sl_bytes(bytes.data(), bytes.size()), body;
        load_response_event event;
        while ((event = load_response_next(&response, &input, &body)) != LOAD_RESPONSE_MORE) {
            if (event == LOAD_RESPONSE_BAD) {
                *bad = true;
                break;
            }
            if (event == LOAD_RESPONSE_BODY)
                body_so_far.append((const char *)body.data, body.size);
            if (event == LOAD_RESPONSE_END) {
                answers.push_back({ response.status, body_so_far,
                                    std::string(response.offset.text, response.offset.size),
                                    std::string(response.etag.text, response.etag.size),
                                    response.up_to_date, response.retry_after, response.close });
                body_so_far.clear();
            }
        }
        carry.assign((const char *)input.data, input.size);
    }
    return answers;
}

/* The same however the bytes are cut. */
std::vector<Answer> answers_of(const std::string &text)
{
    bool bad;
    std::vector<Answer> whole = answers_of(text, text.size(), &bad);
    EXPECT_FALSE(bad);
    for (size_t step = 1; step < text.size(); step++) {
        EXPECT_EQ(answers_of(text, step, &bad), whole) << "in pieces of " << step;
        EXPECT_FALSE(bad);
    }
    return whole;
}

bool is_bad(const std::string &text)
{
    bool bad;
    answers_of(text, text.size(), &bad);
    return bad;
}

Answer answer(unsigned status, const char *body = "")
{
    return { status, body, "", "", false, false, false };
}

TEST(LoadResponse, NoContentEndsWithItsHead)
{
    std::string text = "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n";
    EXPECT_EQ(answers_of(text + text), (std::vector<Answer>{ answer(204), answer(204) }));
}

TEST(LoadResponse, NotModifiedHasNoBodyWhateverItsLengthSays)
{
    EXPECT_EQ(answers_of("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"
                         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
              (std::vector<Answer>{ answer(304), answer(200) }));
}

TEST(LoadResponse, ABodyOfALength)
{
    EXPECT_EQ(answers_of("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
                         "HTTP/1.1 404 Not Found\r\nContent-Length:1\r\n\r\nx"),
              (std::vector<Answer>{ answer(200, "abc"), answer(404, "x") }));
}

TEST(LoadResponse, AChunkedBody)
{
    EXPECT_EQ(answers_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: z\r\n\r\n"
                         "HTTP/1.1 204 No Content\r\n\r\n"),
              (std::vector<Answer>{ answer(200, "abc0123456789"), answer(204) }));
}

TEST(LoadResponse, KeepsTheHeadersThatTheNextRequestNeeds)
{
    std::vector<Answer> got = answers_of("HTTP/1.1 200 OK\r\nStream-Next-Offset: 12_34\r\n"
                                         "ETag: \"e\"\r\nStream-Up-To-Date: true\r\n"
                                         "Retry-After: 1\r\nConnection: close\r\n"
                                         "Content-Length: 0\r\n\r\n");
    EXPECT_EQ(got, (std::vector<Answer>{ { 200, "", "12_34", "\"e\"", true, true, true } }));
}

TEST(LoadResponse, NothingOfOneHeadIsLeftInTheNext)
{
    std::vector<Answer> got = answers_of("HTTP/1.1 200 OK\r\nStream-Next-Offset: 1\r\nETag: e\r\n"
                                         "Stream-Up-To-Date: true\r\nContent-Length: 0\r\n\r\n"
                                         "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(got[1], answer(503));
}

TEST(LoadResponse, AWordThatIsTooLongCountsAsAbsent)
{
    for (size_t size : { LOAD_RESPONSE_WORD_SIZE_MAX - 1, LOAD_RESPONSE_WORD_SIZE_MAX + 0,
                         LOAD_RESPONSE_WORD_SIZE_MAX + 1 }) {
        std::string word(size, 'o');
        std::vector<Answer> got =
            answers_of("HTTP/1.1 204 x\r\nStream-Next-Offset: " + word + "\r\n\r\n");
        ASSERT_EQ(got.size(), 1u);
        EXPECT_EQ(got[0].offset, size <= LOAD_RESPONSE_WORD_SIZE_MAX ? word : "");
    }
}

TEST(LoadResponse, AnInterimHeadIsSkipped)
{
    EXPECT_EQ(answers_of("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
              (std::vector<Answer>{ answer(204) }));
}

TEST(LoadResponse, RefusesWhatIsNoHttp)
{
    EXPECT_TRUE(is_bad("SSH-2.0-x\r\n"));
    EXPECT_TRUE(is_bad("HTTP/1.1 99 x\r\n\r\n"));
    EXPECT_TRUE(is_bad("HTTP/1.1 600 x\r\n\r\n"));
    EXPECT_TRUE(is_bad("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"));
    EXPECT_TRUE(is_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"));
    EXPECT_TRUE(is_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"));
}

} // namespace
