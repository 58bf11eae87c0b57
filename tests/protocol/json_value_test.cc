#include "protocol/json_value.h"

#include "protocol/json.h"

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

/* The stored form of a text, as a request of control is read. */
class Text
{
  public:
    explicit Text(const std::string &text)
    {
        EXPECT_EQ(sl_json_split(sl_bytes(text.data(), text.size()), &split_), SL_OK) << text;
        rest_ = sl_buffer_bytes(&split_.messages);
    }
    ~Text()
    {
        sl_json_split_deinit(&split_);
    }
    struct sl_bytes Value()
    {
        struct sl_bytes value;
        EXPECT_TRUE(sl_json_next(&rest_, &value));
        return value;
    }
    struct sl_bytes rest_;

  private:
    struct sl_json_split split_ = {};
};

std::string Find(const std::string &text, const char *name)
{
    Text object(text);
    struct sl_bytes value;
    return sl_json_find(object.Value(), name, &value) ? StringOf(value) : "none";
}

std::string Decode(const std::string &text)
{
    Text string(text);
    sl_buffer out = {};
    bool ok = sl_json_decode_string(string.Value(), &out);
    std::string said = ok ? StringOf(sl_buffer_bytes(&out)) : "refused";
    EXPECT_TRUE(ok || out.size == 0);
    sl_buffer_deinit(&out);
    return said;
}

std::string Encode(const std::string &text)
{
    sl_buffer out = {};
    sl_json_append_string(&out, sl_bytes(text.data(), text.size()));
    std::string said = StringOf(sl_buffer_bytes(&out));
    sl_buffer_deinit(&out);
    return said;
}

TEST(JsonValue, FindsMembersOfEveryKind)
{
    std::string text = R"({ "a" : 1, "b":"x,}]\"", "c":[1,{"a":2}], "d":{"a":3,"z":{}}, "e":null,
                           "f": true, "": 5, "g": -1.5e3 })";
    EXPECT_EQ(Find(text, "a"), "1");
    EXPECT_EQ(Find(text, "b"), R"("x,}]\"")");
    EXPECT_EQ(Find(text, "c"), R"([1,{"a":2}])");
    EXPECT_EQ(Find(text, "d"), R"({"a":3,"z":{}})");
    EXPECT_EQ(Find(text, "e"), "null");
    EXPECT_EQ(Find(text, "f"), "true");
    EXPECT_EQ(Find(text, ""), "5");
    EXPECT_EQ(Find(text, "g"), "-1.5e3");
    EXPECT_EQ(Find(text, "z"), "none");
    EXPECT_EQ(Find("{}", "a"), "none");
    EXPECT_EQ(Find("\"a\"", "a"), "none");
    EXPECT_EQ(Find("7", "a"), "none");
}

TEST(JsonValue, TakesTheLastOfTwoMembersOfOneName)
{
    EXPECT_EQ(Find(R"({"a":1,"b":2,"a":3})", "a"), "3");
}

TEST(JsonValue, KnowsANameHoweverItIsEscaped)
{
    EXPECT_EQ(Find(R"({"\u0061b":1})", "ab"), "1");
    EXPECT_EQ(Find(R"({"a\\b":1})", "a\\b"), "1");
    EXPECT_EQ(Find(R"({"\ud800":1})", "a"), "none");
}

TEST(JsonValue, GivesTheElementsOfAnArray)
{
    Text object(R"({"a":[1, "b,]", [], {"x":[2]}], "e":[]})");
    struct sl_bytes value, array, rest;
    struct sl_bytes whole = object.Value();
    ASSERT_TRUE(sl_json_find(whole, "a", &array));
    std::vector<std::string> all;
    for (rest = sl_json_elements(array); sl_json_next(&rest, &value);)
        all.push_back(StringOf(value));
    EXPECT_EQ(all, (std::vector<std::string>{ "1", "\"b,]\"", "[]", "{\"x\":[2]}" }));
    ASSERT_TRUE(sl_json_find(whole, "e", &array));
    rest = sl_json_elements(array);
    EXPECT_FALSE(sl_json_next(&rest, &value));
    EXPECT_EQ(value.size, 0u);
}

TEST(JsonValue, GivesStoredMessagesOneAfterTheOther)
{
    Text stored(R"([{"a":1}, 2, "c"])");
    EXPECT_EQ(StringOf(stored.Value()), "{\"a\":1}");
    EXPECT_EQ(StringOf(stored.Value()), "2");
    EXPECT_EQ(StringOf(stored.Value()), "\"c\"");
    struct sl_bytes value;
    EXPECT_FALSE(sl_json_next(&stored.rest_, &value));
}

TEST(JsonValue, DecodesEscapes)
{
    EXPECT_EQ(Decode(R"("")"), "");
    EXPECT_EQ(Decode(R"("plain")"), "plain");
    EXPECT_EQ(Decode(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
    EXPECT_EQ(Decode(R"("\u0041\u00e4\u20AC\uffff")"), "A\u00e4\u20ac\xef\xbf\xbf");
    EXPECT_EQ(Decode(R"("\ud83d\ude00!")"), "\xf0\x9f\x98\x80!");
    EXPECT_EQ(Decode(R"("a\u0000b")"), std::string("a\0b", 3));
}

TEST(JsonValue, RefusesLoneSurrogates)
{
    for (const char *text : { R"("\ud83d")", R"("\ude00")", R"("\ud83dx")", R"("\ud83d\u0041")",
                              R"("\ud83d\ud83d\ude00")", R"("\ud83d\n12345")" })
        EXPECT_EQ(Decode(text), "refused") << text;
}

TEST(JsonValue, ReadsBackWhatItWrites)
{
    for (const std::string &text : { std::string(), std::string("a\"b\\c"),
                                     std::string("\0\x1f\x7f", 3), std::string("\u00e4\u20ac") })
        EXPECT_EQ(Decode(Encode(text)), text);
    EXPECT_EQ(Encode("\xe4"), "\"\\u00e4\"");
}

} // namespace
