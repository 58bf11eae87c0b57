#include "http/strict_request.h"

#include <gtest/gtest.h>

#include <string>

namespace
{

constexpr bool kHttp10 = true;
constexpr bool kHttp11 = false;

/* The lines of a request whose names h2o has put in lower case. */
bool Check(const std::string &lines, bool before_http_1_1 = kHttp11, bool *has_host = nullptr)
{
    bool ignored;
    std::string input = "POST /x HTTP/1.1\r\n" + lines + "\r\n";
    return sl_strict_request_check(sl_bytes(input.data(), input.size()), before_http_1_1,
                                   has_host == nullptr ? &ignored : has_host);
}

} // namespace

TEST(StrictRequest, TakesAnOrdinaryRequest)
{
    EXPECT_TRUE(Check("host: a\r\n"));
    EXPECT_TRUE(
        Check("accept: */*\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n"));
    EXPECT_TRUE(Check("host: a\r\ntransfer-encoding: chunked\r\n"));
    EXPECT_TRUE(Check("host:\r\n"));
}

TEST(StrictRequest, WantsExactlyOneHost)
{
    EXPECT_FALSE(Check(""));
    EXPECT_FALSE(Check("accept: */*\r\n"));
    EXPECT_FALSE(Check("host: a\r\nhost: a\r\n"));
    EXPECT_FALSE(Check("host: a\r\naccept: */*\r\nhost: b\r\n"));
}

TEST(StrictRequest, WantsNoHostBeforeHttp11)
{
    EXPECT_TRUE(Check("", kHttp10));
    EXPECT_TRUE(Check("host: a\r\n", kHttp10));
    EXPECT_FALSE(Check("host: a\r\nhost: a\r\n", kHttp10));
}

TEST(StrictRequest, SaysWhetherThereIsAHost)
{
    bool has_host = false;
    EXPECT_TRUE(Check("host: a\r\n", kHttp10, &has_host));
    EXPECT_TRUE(has_host);
    EXPECT_TRUE(Check("accept: */*\r\n", kHttp10, &has_host));
    EXPECT_FALSE(has_host);
}

TEST(StrictRequest, WantsOneFramingAtMost)
{
    EXPECT_FALSE(Check("host: a\r\ncontent-length: 3\r\ncontent-length: 3\r\n"));
    EXPECT_FALSE(Check("host: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n"));
    EXPECT_FALSE(Check("transfer-encoding: chunked\r\nhost: a\r\ncontent-length: 3\r\n"));
    EXPECT_FALSE(Check("host: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"));
    EXPECT_FALSE(Check("content-length: 3\r\ncontent-length: 4\r\n", kHttp10));
}

TEST(StrictRequest, RefusesChunksBeforeHttp11)
{
    EXPECT_TRUE(Check("content-length: 3\r\n", kHttp10));
    EXPECT_FALSE(Check("transfer-encoding: chunked\r\n", kHttp10));
}

TEST(StrictRequest, RefusesFoldedLines)
{
    EXPECT_FALSE(Check("host: a\r\nx: 1\r\n 2\r\n"));
    EXPECT_FALSE(Check("host: a\r\nx: 1\r\n\t2\r\n"));
    EXPECT_FALSE(Check(" x: 1\r\nhost: a\r\n"));
}

TEST(StrictRequest, CountsOnlyWholeNames)
{
    EXPECT_TRUE(Check("host: a\r\nhostess: b\r\nhos: c\r\nx-host: d\r\n"));
    EXPECT_TRUE(
        Check("host: a\r\ncontent-length: 1\r\ncontent-lengths: 2\r\nx-content-length: 3\r\n"));
    EXPECT_TRUE(Check("host: a\r\nx: host: b\r\ny: content-length: 1\r\n"));
}

TEST(StrictRequest, LooksAtTheHeadOnly)
{
    EXPECT_TRUE(Check("host: a\r\ncontent-length: 20\r\n\r\nhost: b\r\nhost: c\r\n x"));
}

TEST(StrictRequest, SkipsTheEmptyLineThatH2oSkips)
{
    bool has_host = false;
    std::string input = "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";
    EXPECT_TRUE(sl_strict_request_check(sl_bytes(input.data(), input.size()), kHttp11, &has_host));
    EXPECT_TRUE(has_host);
}

TEST(StrictRequest, RefusesLinesThatEndWithABareLineFeed)
{
    bool has_host = false;
    for (std::string input :
         { "\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.1\nhost: a\r\n\r\n",
           "GET / HTTP/1.1\r\nhost: a\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\n\n",
           "GET / HTTP/1.1\r\nhost: a\r\nx: y\nz: a\r\n\r\n" })
        EXPECT_FALSE(
            sl_strict_request_check(sl_bytes(input.data(), input.size()), kHttp11, &has_host))
            << input;
}

TEST(StrictRequest, WantsATokenForAMethod)
{
    bool has_host = false;
    for (std::string method : { "", "G(T", "GE:T", "G\xffT", "\"GET\"", "G/T" }) {
        std::string input = method + " / HTTP/1.1\r\nhost: a\r\n\r\n";
        EXPECT_FALSE(
            sl_strict_request_check(sl_bytes(input.data(), input.size()), kHttp11, &has_host))
            << method;
    }
}

TEST(StrictRequest, RefusesAHostThatIsNone)
{
    for (const char *host : { "a b", "u@a", "a/b", "a:b", "[::1", "a\tb" }) {
        EXPECT_FALSE(Check(std::string("host: ") + host + "\r\n")) << host;
        EXPECT_FALSE(Check(std::string("host: ") + host + "\r\n", kHttp10)) << host;
    }
    for (const char *host :
         { "host:a\r\n", "host: \t a \t\r\n", "host: [::1]:80\r\n", "host: \r\n" })
        EXPECT_TRUE(Check(host)) << host;
}

TEST(StrictRequest, RefusesAHeadWithoutEnd)
{
    bool has_host = false;
    for (std::string input : { "", "\r", "\n", "GET / HTTP/1.1", "GET / HTTP/1.1\r\n",
                               "GET / HTTP/1.1\r\nhost: a", "GET / HTTP/1.1\r\nhost: a\r\n" }) {
        EXPECT_FALSE(
            sl_strict_request_check(sl_bytes(input.data(), input.size()), kHttp11, &has_host));
        EXPECT_FALSE(has_host);
    }
}
