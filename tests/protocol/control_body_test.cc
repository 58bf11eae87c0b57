#include "base/limits.h"
#include "protocol/control_body.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace
{

std::string StringOf(struct sl_bytes bytes)
{
    return bytes.size == 0 ? ""
                           : std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

/* A body, as one of the functions has read it. */
class Body
{
  public:
    using Parse = enum sl_err (*)(struct sl_bytes, struct sl_control_body *, const char **);

    Body(Parse parse, const std::string &json)
    {
        err = parse(sl_bytes(json.data(), json.size()), &body, &what);
        EXPECT_EQ(err != SL_OK, what != nullptr) << json.substr(0, 1000);
    }
    ~Body()
    {
        sl_control_body_deinit(&body);
    }
    std::vector<std::string> Streams() const
    {
        std::vector<std::string> all;
        for (size_t i = 0; i < body.stream_count; i++)
            all.push_back(StringOf(body.streams[i]));
        return all;
    }
    struct sl_control_body body = {};
    enum sl_err err;
    const char *what = nullptr;
};

std::string Wrong(Body::Parse parse, const std::string &json)
{
    Body body(parse, json);
    return body.what == nullptr ? "nothing" : body.what;
}

std::string WrongSubscription(const std::string &members)
{
    return Wrong(sl_control_parse_subscription,
                 R"({"type":"pull-wake","pattern":"a/*","wake_stream":"w",)" + members + "}");
}

using Strings = std::vector<std::string>;

TEST(ControlBody, ReadsAPullWakeSubscription)
{
    Body one(sl_control_parse_subscription,
             R"({"type":"pull-wake","pattern":"/events/*/","streams":["/b/","a","b"],
                 "wake_stream":"wake/pool","lease_ttl_ms":1000,"description":"d\n"})");
    ASSERT_EQ(one.err, SL_OK) << one.what;
    EXPECT_FALSE(one.body.is_webhook);
    EXPECT_EQ(StringOf(one.body.pattern), "events/*");
    EXPECT_EQ(one.Streams(), (Strings{ "a", "b" }));
    EXPECT_EQ(StringOf(one.body.wake_stream), "wake/pool");
    EXPECT_EQ(one.body.lease_ms, 1000u);
    EXPECT_TRUE(one.body.has_description);
    EXPECT_EQ(StringOf(one.body.description), "d\n");
}

TEST(ControlBody, ReadsAWebhookSubscription)
{
    Body one(sl_control_parse_subscription,
             R"({"type":"webhook","pattern":"**","wake_stream":null,"streams":null,
                 "webhook":{"url":"https://x.example/\u0068"}})");
    ASSERT_EQ(one.err, SL_OK) << one.what;
    EXPECT_TRUE(one.body.is_webhook);
    EXPECT_EQ(StringOf(one.body.url), "https://x.example/h");
    EXPECT_EQ(one.body.url.data[one.body.url.size], '\0');
    EXPECT_EQ(one.body.lease_ms, static_cast<uint32_t>(SL_LEASE_MS_DEFAULT));
    EXPECT_FALSE(one.body.has_description);
    EXPECT_EQ(one.body.wake_stream.size, 0u);
}

TEST(ControlBody, GivesStreamsTheirCanonicalNames)
{
    Body one(sl_control_parse_streams, R"({"streams":["a%2db","a b","x%2fy","\u00e4"]})");
    ASSERT_EQ(one.err, SL_OK) << one.what;
    EXPECT_EQ(one.Streams(), (Strings{ "%C3%A4", "a%20b", "a-b", "x%2Fy" }));
}

TEST(ControlBody, HasRoomForNamesThatGrow)
{
    std::string json = R"({"streams":[)";
    for (int i = 0; i < 100; i++)
        json += (i == 0 ? "\"" : ",\"") + std::string(300, ' ') + std::to_string(i) + "\"";
    Body one(sl_control_parse_streams, json + "]}");
    ASSERT_EQ(one.err, SL_OK) << one.what;
    EXPECT_EQ(one.body.stream_count, 100u);
}

TEST(ControlBody, KeepsItsTextsInAsMuchMemoryAsTheyNeed)
{
    const std::string description(100, 'd'), texts = "events/*a%20bbwhttps://x.example/";
    Body one(sl_control_parse_subscription,
             R"({"type":"webhook","pattern":"/events/*/","streams":["b","a b","b"],
                 "wake_stream":"w","webhook":{"url":"https://x.example/"},"description":")" +
                 description + "\"}");
    EXPECT_EQ(StringOf(one.body.pattern), "events/*");
    EXPECT_EQ(one.Streams(), (Strings{ "a%20b", "b" }));
    EXPECT_EQ(StringOf(one.body.wake_stream), "w");
    EXPECT_EQ(StringOf(one.body.description), description);
    EXPECT_STREQ(reinterpret_cast<const char *>(one.body.url.data), "https://x.example/");
    EXPECT_EQ(one.body.text.capacity, texts.size() + description.size() + 8) << "a NUL each";
    EXPECT_EQ(sl_control_body_size(&one.body),
              one.body.text.capacity + 2 * sizeof(struct sl_bytes));
}

TEST(ControlBody, KeepsAReportInAsMuchMemoryAsItNeeds)
{
    const std::string id(100, 'w'), offset = R"(","offset":"-1"})";
    Body one(sl_control_parse_acks, R"({"wake_id":")" + id + R"(","acks":[{"stream":"a b)" +
                                        offset + R"(,{"stream":"/b/)" + offset + "]}");
    ASSERT_EQ(one.err, SL_OK) << one.what;
    EXPECT_EQ(StringOf(one.body.wake_id), id);
    EXPECT_EQ(StringOf(one.body.acks[0].stream), "a%20b");
    EXPECT_EQ(StringOf(one.body.acks[1].stream), "b");
    const size_t text = id.size() + std::string("a%20bb").size() + 8; /* a NUL each */
    EXPECT_EQ(one.body.text.capacity, text);
    EXPECT_EQ(sl_control_body_size(&one.body), text + 2 * sizeof(struct sl_ack));
}

TEST(ControlBody, RefusesWhatIsNoSubscription)
{
    Body::Parse parse = sl_control_parse_subscription;
    for (const char *json : { "", "{}", "[]", "1", "{", "{\"type\":\"webhook\"", "nonsense",
                              R"([{"type":"webhook"}])", "\xff" })
        EXPECT_NE(Wrong(parse, json), "nothing") << json;
    EXPECT_EQ(Wrong(parse, R"({"type":"push","pattern":"a","wake_stream":"w"})"),
              "type must be webhook or pull-wake");
    EXPECT_EQ(Wrong(parse, R"({"type":"pull-wake","wake_stream":"w"})"),
              "pattern or streams is needed");
    EXPECT_EQ(Wrong(parse, R"({"type":"pull-wake","pattern":"/","streams":[],"wake_stream":"w"})"),
              "pattern or streams is needed");
    EXPECT_EQ(Wrong(parse, R"({"type":"pull-wake","pattern":"a"})"),
              "pull-wake subscriptions need wake_stream");
    for (const char *json : { R"({"type":"webhook","pattern":"a"})",
                              R"({"type":"webhook","pattern":"a","webhook":"https://x"})",
                              R"({"type":"webhook","pattern":"a","webhook":{"url":""}})",
                              R"({"type":"webhook","pattern":"a","webhook":{"url":7}})" })
        EXPECT_EQ(Wrong(parse, json), "webhook subscriptions need webhook.url") << json;
    EXPECT_EQ(WrongSubscription(R"("x":1)"), "nothing");
    for (const char *members :
         { R"("streams":"a")", R"("streams":[1])", R"("streams":[""])", R"("streams":["a//b"])",
           R"("streams":["__ds/x"])", R"("streams":["\ud800"])", R"("pattern":7)",
           R"("wake_stream":"a/../b")", R"("wake_stream":7)" })
        EXPECT_NE(WrongSubscription(members), "nothing") << members;
}

TEST(ControlBody, SaysThatANameIsReserved)
{
    const char *reserved = "names at and below __ds are reserved";
    for (const char *members :
         { R"("streams":["a","__ds/x"])", R"("streams":["/__ds"])", R"("wake_stream":"__ds/x")" })
        EXPECT_EQ(WrongSubscription(members), reserved) << members;
    EXPECT_EQ(Wrong(sl_control_parse_streams, R"({"streams":["__ds"]})"), reserved);
    EXPECT_EQ(Wrong(sl_control_parse_acks, R"({"acks":[{"stream":"__ds/x","offset":"-1"}]})"),
              "nothing")
        << "it is not linked: whoever knows the subscription says so";
}

TEST(ControlBody, KnowsTheLimitsOfALease)
{
    for (const char *lease : { "1000", "600000", "null" })
        EXPECT_EQ(WrongSubscription("\"lease_ttl_ms\":" + std::string(lease)), "nothing") << lease;
    for (const char *lease : { "999", "600001", "-1000", "1000.5", "\"1000\"", "true", "1e3" })
        EXPECT_EQ(WrongSubscription("\"lease_ttl_ms\":" + std::string(lease)),
                  "lease_ttl_ms must be an integer from 1000 to 600000");
}

TEST(ControlBody, SaysHowLongATextMayBe)
{
    const struct {
        const char *before, *after;
        size_t size_max;
        const char *wrong;
    } cases[] = {
        { R"("pattern":")", "\"", 1024, "pattern must be a string of at most 1024 bytes" },
        { R"("streams":[")", "\"]", 1024,
          "streams must be an array of names of streams, each of at most 1024 bytes "
          "percent-encoded" },
        { R"("wake_stream":")", "\"", 1024,
          "wake_stream must be the name of a stream, of at most 1024 bytes percent-encoded" },
        { R"("description":")", "\"", 4096, "description must be a text of at most 4096 bytes" },
    };
    for (const auto &c : cases) {
        auto wrong_with = [&c](size_t size) {
            return WrongSubscription(c.before + std::string(size, 'x') + c.after);
        };
        EXPECT_EQ(wrong_with(c.size_max), "nothing") << c.before;
        EXPECT_EQ(wrong_with(c.size_max + 1), c.wrong);
    }
}

TEST(ControlBody, TakesSoManyNamesAndNotOneMore)
{
    auto with = [](size_t count) {
        std::string names = "\"a\"";
        for (size_t i = 1; i < count; i++)
            names += ",\"a\"";
        return Wrong(sl_control_parse_streams, "{\"streams\":[" + names + "]}");
    };
    EXPECT_EQ(with(SL_NAMES_PER_REQUEST_MAX), "nothing");
    EXPECT_EQ(with(SL_NAMES_PER_REQUEST_MAX + 1),
              "at most 65,536 streams may be named in one request");
}

TEST(ControlBody, ReadsAClaim)
{
    Body one(sl_control_parse_claim, R"({"worker":"w-1"})");
    ASSERT_EQ(one.err, SL_OK);
    EXPECT_EQ(StringOf(one.body.worker), "w-1");
    EXPECT_EQ(Wrong(sl_control_parse_claim,
                    R"({"worker":")" + std::string(SL_WORKER_SIZE_MAX, 'w') + "\"}"),
              "nothing");
    for (const std::string &json :
         { std::string("{}"), std::string(R"({"worker":""})"), std::string(R"({"worker":1})"),
           R"({"worker":")" + std::string(SL_WORKER_SIZE_MAX + 1, 'w') + "\"}" })
        EXPECT_NE(Wrong(sl_control_parse_claim, json), "nothing") << json;
}

TEST(ControlBody, ReadsAcks)
{
    Body one(sl_control_parse_acks, R"({"wake_id":"w_1","generation":7,"done":true,"acks":[
        {"stream":"/a","offset":"0000000000000000_0000000000000042"},
        {"path":"b","offset":"-1"}, {"stream":"a//b","offset":"x"}]})");
    ASSERT_EQ(one.err, SL_OK) << one.what;
    EXPECT_EQ(StringOf(one.body.wake_id), "w_1");
    EXPECT_TRUE(one.body.has_generation);
    EXPECT_EQ(one.body.generation, 7u);
    EXPECT_TRUE(one.body.done);
    ASSERT_EQ(one.body.ack_count, 3u);
    EXPECT_EQ(StringOf(one.body.acks[0].stream), "a");
    EXPECT_TRUE(one.body.acks[0].has_offset);
    EXPECT_EQ(one.body.acks[0].offset, 42u);
    EXPECT_EQ(StringOf(one.body.acks[1].stream), "b");
    EXPECT_FALSE(one.body.acks[1].has_offset);
    EXPECT_EQ(one.body.acks[2].stream.size, 0u);
}

TEST(ControlBody, LeavesOutWhatCannotMatchAWake)
{
    Body none(sl_control_parse_acks, "");
    EXPECT_EQ(none.err, SL_OK);
    EXPECT_FALSE(none.body.has_generation);
    EXPECT_FALSE(none.body.done);
    Body odd(sl_control_parse_acks, R"({"wake_id":7,"generation":"7","done":1})");
    EXPECT_EQ(odd.err, SL_OK);
    EXPECT_EQ(odd.body.wake_id.size, 0u);
    EXPECT_FALSE(odd.body.has_generation);
    EXPECT_FALSE(odd.body.done);
}

TEST(ControlBody, RefusesMalformedAcks)
{
    for (const char *acks : { "{}", "[1]", R"([{"stream":"a"}])", R"([{"offset":"-1"}])",
                              R"([{"stream":1,"offset":"-1"}])", R"([{"stream":"a","offset":1}])" })
        EXPECT_NE(Wrong(sl_control_parse_acks, "{\"acks\":" + std::string(acks) + "}"), "nothing")
            << acks;
}

TEST(ControlBody, RefusesALargeBody)
{
    std::string json = "{\"x\":\"" + std::string(SL_CONTROL_BODY_SIZE_MAX - 8, 'x') + "\"}";
    ASSERT_EQ(json.size(), static_cast<size_t>(SL_CONTROL_BODY_SIZE_MAX));
    EXPECT_EQ(Body(sl_control_parse_acks, json).err, SL_OK);
    Body large(sl_control_parse_acks, json + " ");
    EXPECT_EQ(large.err, SL_ERR_PAYLOAD_TOO_LARGE);
    EXPECT_STREQ(large.what, "the body may have at most 4194304 bytes");
}

TEST(ControlBody, KnowsWhatDoneLooksLike)
{
    auto done = [](const std::string &json) {
        return sl_control_says_done(sl_bytes(json.data(), json.size()));
    };
    EXPECT_TRUE(done(R"( {"done":true})"));
    EXPECT_TRUE(done(R"({"x":[1],"done":true})"));
    for (const char *json :
         { "", "true", R"({"done":1})", R"({"done":false})", R"([{"done":true}])",
           R"({"x":{"done":true}})", R"({"done":true)", "<html>" })
        EXPECT_FALSE(done(json)) << json;
}

} // namespace
