#include "load/request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace
{

/* A plan as the command line `words` makes it; borrows them. */
load_plan plan_of(std::vector<std::string> &words)
{
    std::vector<char *> arguments = { nullptr };
    load_plan plan;
    bool help;

    for (std::string &word : words)
        arguments.push_back(word.data());
    EXPECT_TRUE(load_plan_parse(&plan, (int)arguments.size(), arguments.data(), &help));
    return plan;
}

/* What the requests are about; all zero unless a test says so. */
load_fields about(void (*set)(load_fields *fields) = [](load_fields *) {})
{
    load_fields fields = {};
    set(&fields);
    return fields;
}

std::string request_of(std::vector<std::string> words, load_fields fields = about())
{
    words.insert(words.begin(), "path=/p/");
    load_plan plan = plan_of(words);
    load_request request;
    load_word start = { 2, "-1" };

    load_request_init(&request, &plan, &plan.roles[0], 0xabc);
    fields.offset = &start;
    std::string out(load_request_size_max(&request), '?');
    out.resize(load_request_write(&request, &fields, (uint8_t *)out.data()));
    out.append(request.filling, 'x');
    load_request_deinit(&request);
    return out;
}

std::string body_of(const std::string &request)
{
    return request.substr(request.find("\r\n\r\n") + 4);
}

TEST(LoadRequest, CreatesAndDeletesByNumber)
{
    EXPECT_EQ(request_of({ "create", "set=a", "type=text/plain" },
                         about([](load_fields *f) { f->stream = 42; })),
              "PUT /p/a/00000042 HTTP/1.1\r\nHost: 127.0.0.1:4437\r\nContent-Type: text/plain\r\n"
              "Content-Length: 0\r\n\r\n");
    EXPECT_EQ(request_of({ "delete" }, about([](load_fields *f) { f->stream = 12345678; })),
              "DELETE /p/s/12345678 HTTP/1.1\r\nHost: 127.0.0.1:4437\r\n\r\n");
}

TEST(LoadRequest, AnAppendCarriesItsTime)
{
    std::string request = request_of(
        { "append", "size=20" }, about([](load_fields *f) { f->stream = 7, f->time_ns = 0x1a; }));
    EXPECT_EQ(request, "POST /p/s/00000007 HTTP/1.1\r\nHost: 127.0.0.1:4437\r\n"
                       "Content-Type: application/octet-stream\r\nContent-Length: 20\r\n\r\n"
                       "@000000000000001a;xx");
}

TEST(LoadRequest, TheBodyHasTheSizeThatTheHeadSays)
{
    for (size_t size : { 1, 17, 18, 19, 256, LOAD_COPIED_BODY_MAX + 0, LOAD_COPIED_BODY_MAX + 1 }) {
        std::string request = request_of({ "append", "size=" + std::to_string(size) });
        EXPECT_NE(request.find("Content-Length: " + std::to_string(size) + "\r\n"),
                  std::string::npos);
        EXPECT_EQ(body_of(request).size(), size);
        EXPECT_EQ(body_of(request)[0], size >= 18 ? '@' : 'x');
    }
}

TEST(LoadRequest, AJsonBodyHasItsMessagesAndAboutItsSize)
{
    EXPECT_EQ(body_of(request_of({ "append", "json=2", "size=80" },
                                 about([](load_fields *f) { f->time_ns = 1; }))),
              "[{\"t\":\"@0000000000000001;\",\"p\":\"xxxxxx\"},"
              "{\"t\":\"\",\"p\":\"xxxxxxxxxxxxxxxxxxxxxxxx\"}]");
    std::string body = body_of(request_of({ "append", "json=64", "size=16384" }));
    EXPECT_NEAR((double)body.size(), 16384, 2);
}

TEST(LoadRequest, ProducersAreTheirRunsOwn)
{
    std::string request =
        request_of({ "append", "producers=1" },
                   about([](load_fields *f) { f->producer = 3, f->sequence = 12; }));
    EXPECT_NE(request.find("Producer-Id: 00000abc-00000003\r\nProducer-Epoch: 0\r\n"
                           "Producer-Seq: 12                  \r\n"),
              std::string::npos);
}

TEST(LoadRequest, ReadsFromAnOffset)
{
    EXPECT_EQ(request_of({ "read" }),
              "GET /p/s/00000000?offset=-1 HTTP/1.1\r\nHost: 127.0.0.1:4437\r\n\r\n");
    EXPECT_EQ(request_of({ "sse" }),
              "GET /p/s/00000000?offset=-1&live=sse HTTP/1.1\r\nHost: 127.0.0.1:4437\r\n"
              "Accept: text/event-stream\r\n\r\n");
    static const load_word etag = { 3, "\"e\"" };
    EXPECT_EQ(request_of({ "long-poll" }, about([](load_fields *f) { f->etag = &etag; })),
              "GET /p/s/00000000?offset=-1&live=long-poll HTTP/1.1\r\nHost: 127.0.0.1:4437\r\n"
              "If-None-Match: \"e\"\r\n\r\n");
}

bool refuses(std::vector<std::string> words)
{
    std::vector<char *> arguments = { nullptr };
    load_plan plan;
    bool help;

    for (std::string &word : words)
        arguments.push_back(word.data());
    return !load_plan_parse(&plan, (int)arguments.size(), arguments.data(), &help);
}

TEST(LoadPlan, RefusesWhatItDoesNotUnderstand)
{
    EXPECT_TRUE(refuses({}));
    EXPECT_TRUE(refuses({ "fly" }));
    EXPECT_TRUE(refuses({ "append", "wings=2" }));
    EXPECT_TRUE(refuses({ "connections=2", "append" }));
    EXPECT_TRUE(refuses({ "append", "connections=0" }));
    EXPECT_TRUE(refuses({ "append", "connections=x" }));
    EXPECT_TRUE(refuses({ "measure-ms=0", "append" }));
    EXPECT_TRUE(refuses({ "read", "depth=2" }));
    EXPECT_TRUE(refuses({ "threads=2", "append", "lockstep=1" }));
    EXPECT_FALSE(refuses({ "measure-ms=0", "append", "count=1" }));
}

/* So that a scenario may say otherwise than its profile. */
TEST(LoadPlan, OfAnOptionGivenTwiceTheLaterCounts)
{
    std::vector<std::string> words = { "warmup-ms=500", "warmup-ms=7", "read" };
    EXPECT_EQ(plan_of(words).warmup_ms, 7u);
}

TEST(LoadPlan, RolesHaveTheirOwnOptions)
{
    std::vector<std::string> words = { "port=1", "append", "streams=5", "sse", "connections=7" };
    load_plan plan = plan_of(words);
    EXPECT_EQ(plan.port, 1u);
    EXPECT_EQ(plan.role_count, 2u);
    EXPECT_EQ(plan.roles[0].streams, 5u);
    EXPECT_EQ(plan.roles[1].connections, 7u);
    EXPECT_EQ(plan.roles[1].streams, 1u);
}

} // namespace
