#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(CreateTest);
SL_ENGINE_SUITE(HeadTest);

TEST_P(CreateTest, MakesAnEmptyOpenStream)
{
    Reply made = Make("a");
    EXPECT_NE(made.stream.id, 0u);
    EXPECT_EQ(made.stream.tail, 0u);
    EXPECT_FALSE(made.stream.closed);
    EXPECT_FALSE(made.stream.json);
    EXPECT_FALSE(made.stream.has_ttl);
    EXPECT_FALSE(made.stream.has_expires_at);
    EXPECT_EQ(made.stream.remaining_ms, -1);
    EXPECT_STREQ(made.stream.content_type, kBytes);
    EXPECT_EQ(made.stream.content_type_size, strlen(kBytes));
    EXPECT_EQ(s().ReadAll("a"), "");
}

TEST_P(CreateTest, KeepsTheContentTypeVerbatim)
{
    Make("a", Plain().Type("Text/Plain ; Charset=UTF-8"));
    EXPECT_STREQ(s().Head("a").stream.content_type, "Text/Plain ; Charset=UTF-8");
}

TEST_P(CreateTest, TellsJsonByTheMediaTypeAlone)
{
    for (const char *type : { "application/json", "Application/JSON", "application/json;a=b",
                              "application/json ; charset=utf-8" })
        EXPECT_TRUE(Make(type, Plain().Type(type)).stream.json) << type;
    for (const char *type : { "application/json-seq", "application/vnd.x+json",
                              "application/ndjson", "text/json", "application/jso" })
        EXPECT_FALSE(Make(type, Plain().Type(type)).stream.json) << type;
}

TEST_P(CreateTest, HoldsItsInitialData)
{
    EXPECT_EQ(Make("a", Plain().Data("hello")).stream.tail, 5u);
    EXPECT_EQ(s().ReadAll("a"), "hello");
    EXPECT_EQ(Make("j", Json().Data(" [ 1 , [2, 3], {\"k\" : \"v w\"} ] ")).stream.tail, 20u);
    EXPECT_EQ(s().ReadAll("j"), "1,[2,3],{\"k\":\"v w\"},");
    EXPECT_EQ(Make("one", Json().Data("\"x\"")).stream.tail, 4u);
}

TEST_P(CreateTest, TakesAnEmptyArrayAsAnEmptyStream)
{
    EXPECT_EQ(Make("a", Json().Data("[]")).stream.tail, 0u);
    EXPECT_EQ(Make("b", Json().Data(" [ ] ")).stream.tail, 0u);
}

TEST_P(CreateTest, MakesAClosedStream)
{
    Reply made = Make("a", Plain().Data("all").Closed());
    EXPECT_TRUE(made.stream.closed);
    EXPECT_EQ(made.stream.tail, 3u);
    EXPECT_EQ(s().Append("a", Body("x")).err, SL_ERR_STREAM_CLOSED);
    EXPECT_TRUE(Make("empty", Plain().Closed()).stream.closed);
    EXPECT_EQ(s().ReadAll("a"), "all");
}

TEST_P(CreateTest, LeavesNothingOfABadJsonBody)
{
    for (const char *body : { "{", "1 2", "[1,]", "01", "NaN", "   ", "[1", "\"\x01\"", "\"\xff\"",
                              "\xef\xbb\xbf"
                              "1" }) {
        EXPECT_EQ(s().Create("a", Json().Data(body)).err, SL_ERR_INVALID_JSON) << body;
        EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND) << body;
    }
    EXPECT_TRUE(s().List().empty());
    Make("a", Plain().Type("text/plain"));
}

TEST_P(CreateTest, SaysThatTheStreamIsThereAndIgnoresTheData)
{
    uint64_t id = Make("a", Plain().Type("text/plain").Data("one")).stream.id;
    ASSERT_EQ(s().Append("a", Body("two").Type("text/plain")).err, SL_OK);
    Reply again = s().Create("a", Plain().Type("text/plain").Data("three"));
    EXPECT_EQ(again.err, SL_OK);
    EXPECT_FALSE(again.created);
    EXPECT_EQ(again.stream.id, id);
    EXPECT_EQ(again.stream.tail, 6u);
    EXPECT_EQ(s().ReadAll("a"), "onetwo");
}

TEST_P(CreateTest, IgnoresABadJsonBodyOfARepeat)
{
    Make("a", Json());
    Reply again = s().Create("a", Json().Data("{"));
    EXPECT_EQ(again.err, SL_OK);
    EXPECT_FALSE(again.created);
}

TEST_P(CreateTest, ComparesContentTypesByMediaType)
{
    Make("a", Plain().Type("text/plain; charset=utf-8"));
    EXPECT_EQ(s().Create("a", Plain().Type("TEXT/plain")).err, SL_OK);
    EXPECT_EQ(s().Create("a", Plain().Type("text/plain;x=y")).err, SL_OK);
    EXPECT_EQ(s().Create("a", Plain().Type("text/html")).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_STREQ(s().Head("a").stream.content_type, "text/plain; charset=utf-8");
    Make("default");
    EXPECT_EQ(s().Create("default", Plain().Type(kBytes)).err, SL_OK);
}

TEST_P(CreateTest, ComparesTheWholeConfiguration)
{
    int64_t later_ms = WallClock_ms() + 1000000;
    Make("plain");
    Make("ttl", Plain().Ttl(1000));
    Make("at", Plain().ExpiresAt(later_ms));
    EXPECT_EQ(s().Create("plain", Plain().Ttl(1000)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("plain", Plain().ExpiresAt(later_ms)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("plain", ForkOf("ttl")).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("ttl", Plain()).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("ttl", Plain().Ttl(1001)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("ttl", Plain().ExpiresAt(later_ms)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("ttl", Plain().Ttl(1000)).err, SL_OK);
    EXPECT_EQ(s().Create("at", Plain()).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("at", Plain().ExpiresAt(later_ms + 1)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("at", Plain().Ttl(1000)).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_EQ(s().Create("at", Plain().ExpiresAt(later_ms)).err, SL_OK);
}

TEST_P(CreateTest, ComparesTheExpiryAsAnInstantNotAsText)
{
    int64_t later_ms = WallClock_ms() + 1000000;
    Make("a", Plain().ExpiresAt(later_ms, "2099-01-01T00:00:00Z"));
    Reply again = s().Create("a", Plain().ExpiresAt(later_ms, "2099-01-01T00:00:00.000Z"));
    EXPECT_EQ(again.err, SL_OK);
    EXPECT_FALSE(again.created);
    EXPECT_STREQ(s().Head("a").stream.expires_text, "2099-01-01T00:00:00Z");
}

TEST_P(CreateTest, ComparesTheClosedFlagWithTheStateNow)
{
    Make("a");
    EXPECT_EQ(s().Create("a", Plain().Closed()).err, SL_ERR_CONFIG_MISMATCH);
    EXPECT_FALSE(s().Head("a").stream.closed);
    ASSERT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_EQ(s().Create("a", Plain()).err, SL_ERR_CONFIG_MISMATCH);
    Reply again = s().Create("a", Plain().Closed());
    EXPECT_EQ(again.err, SL_OK);
    EXPECT_FALSE(again.created);
    EXPECT_TRUE(again.stream.closed);
}

TEST_P(CreateTest, NamesAreComparedAsBytes)
{
    const std::string names[] = { "a", "A", "a/b", "a/", "\xc3\xa4", "a b" };
    for (const std::string &name : names)
        Make(name, Plain().Data("<" + name + ">"));
    for (const std::string &name : names)
        EXPECT_EQ(s().ReadAll(name), "<" + name + ">");
}

TEST_P(CreateTest, RefusesTtlAndExpiryTogether)
{
    EXPECT_EQ(s().Create("a", Plain().Ttl(9).ExpiresAt(WallClock_ms() + 9000)).err,
              SL_ERR_TTL_AND_EXPIRES_AT);
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
}

TEST_P(CreateTest, TakesContentTypesUpToTheLimit)
{
    std::string type = "text/" + std::string(SL_CONTENT_TYPE_SIZE_MAX - 5, 'x');
    Make("a", Plain().Type(type));
    EXPECT_EQ(s().Head("a").stream.content_type, type);
    EXPECT_EQ(s().Create("b", Plain().Type(type + "x")).err, SL_ERR_INVALID_CONTENT_TYPE);
    EXPECT_EQ(s().Head("b").err, SL_ERR_NOT_FOUND);
}

TEST_P(CreateTest, TakesExpiryTextsUpToTheLimit)
{
    int64_t later_ms = WallClock_ms() + 1000000;
    std::string text(SL_EXPIRES_TEXT_SIZE_MAX, '0');
    Make("a", Plain().ExpiresAt(later_ms, text));
    EXPECT_EQ(s().Head("a").stream.expires_text, text);
    EXPECT_EQ(s().Create("b", Plain().ExpiresAt(later_ms, text + "0")).err,
              SL_ERR_INVALID_EXPIRES_AT);
}

TEST_P(CreateTest, IsSeenByOthersOnlyWhole)
{
    Session other(engine());
    const std::string data(100000, 'd');
    for (int round = 0; round < 20; round++) {
        std::string name = "whole" + std::to_string(round);
        std::thread maker(
            [&] { EXPECT_EQ(other.Create(name, Plain().Data(data).Closed()).err, SL_OK); });
        Reply seen;
        while ((seen = s().Head(name)).err == SL_ERR_NOT_FOUND) {
        }
        maker.join();
        ASSERT_EQ(seen.err, SL_OK);
        EXPECT_EQ(seen.stream.tail, data.size());
        EXPECT_TRUE(seen.stream.closed);
    }
}

TEST_P(HeadTest, AgreesWithTheOperationBefore)
{
    Make("a", Plain().Type("text/plain").Ttl(500));
    Reply appended = s().Append("a", Body("abc").Type("text/plain"));
    Reply head = s().Head("a");
    EXPECT_EQ(head.err, SL_OK);
    EXPECT_EQ(head.stream.id, appended.stream.id);
    EXPECT_EQ(head.stream.tail, 3u);
    EXPECT_TRUE(head.stream.has_ttl);
    EXPECT_EQ(head.stream.ttl_s, 500u);
    EXPECT_GT(head.stream.remaining_ms, 400000);
    EXPECT_LE(head.stream.remaining_ms, 500000);
    ASSERT_EQ(s().Append("a", CloseOnly()).err, SL_OK);
    EXPECT_TRUE(s().Head("a").stream.closed);
}

TEST_P(HeadTest, TellsTheExpiryInstant)
{
    int64_t later_ms = WallClock_ms() + 500000;
    Make("a", Plain().ExpiresAt(later_ms, "2099-01-01T00:00:00+02:00"));
    Reply head = s().Head("a");
    EXPECT_EQ(head.stream.expires_at_ms, later_ms);
    EXPECT_TRUE(head.stream.has_expires_at);
    EXPECT_FALSE(head.stream.has_ttl);
    EXPECT_STREQ(head.stream.expires_text, "2099-01-01T00:00:00+02:00");
    EXPECT_EQ(head.stream.expires_text_size, 25u);
    EXPECT_GT(head.stream.remaining_ms, 400000);
    EXPECT_LE(head.stream.remaining_ms, 500000);
}

TEST_P(HeadTest, RefusesWhatIsNotThere)
{
    EXPECT_EQ(s().Head("a").err, SL_ERR_NOT_FOUND);
}
