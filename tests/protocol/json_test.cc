#include "protocol/json.h"

#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "protocol/text.h"
#include "protocol/varint.h"

namespace
{

using Messages = std::vector<std::string>;

struct Split : sl_json_split {
    Split() : sl_json_split{}
    {
    }
    Split(const Split &) = delete;
    Split &operator=(const Split &) = delete;
    ~Split()
    {
        sl_json_split_deinit(this);
    }

    sl_err add(const std::string &text)
    {
        return ::sl_json_split(Text(text), this);
    }

    std::string bytes() const
    {
        return std::string(messages.data, messages.data + messages.size);
    }

    /* The messages without their commas, cut by the lengths. */
    Messages list() const
    {
        Messages list;
        size_t at = 0, lengths_at = 0;
        while (lengths_at < lengths.size) {
            uint64_t size = 0;
            size_t used =
                sl_varint_read(lengths.data + lengths_at, lengths.size - lengths_at, &size);
            EXPECT_GT(used, 0u);
            EXPECT_GE(size, 2u);
            EXPECT_LE(size, messages.size - at);
            if (used == 0 || size < 2 || size > messages.size - at)
                return list;
            lengths_at += used;
            list.push_back(bytes().substr(at, size - 1));
            at += size;
            EXPECT_EQ(messages.data[at - 1], ',');
        }
        EXPECT_EQ(at, messages.size);
        EXPECT_EQ(list.size(), count);
        return list;
    }
};

/*
 * The grammar of RFC 8259, rule by rule, recursive and slow. Writes the text without the whitespace
 * between tokens.
 */
class Reference
{
  public:
    /* The messages; nothing when the text is not valid. */
    static std::optional<Messages> split(const std::string &text)
    {
        Reference reference(text);
        Messages messages;
        reference.space();
        if (reference.next() == '[') {
            if (!reference.array(&messages))
                return std::nullopt;
        } else {
            if (!reference.value())
                return std::nullopt;
            messages.push_back(reference.out_);
        }
        reference.space();
        if (reference.at_ != text.size())
            return std::nullopt;
        return messages;
    }

  private:
    explicit Reference(const std::string &text) : text_(text)
    {
    }

    int next() const
    {
        return at_ < text_.size() ? static_cast<uint8_t>(text_[at_]) : -1;
    }

    bool take(int byte)
    {
        if (next() != byte)
            return false;
        out_ += text_[at_++];
        return true;
    }

    bool take_range(int low, int high)
    {
        return next() >= low && next() <= high && take(next());
    }

    bool take_all(const char *word)
    {
        for (; *word != '\0'; word++)
            if (!take(*word))
                return false;
        return true;
    }

    void space()
    {
        while (next() == ' ' || next() == '\t' || next() == '\n' || next() == '\r')
            at_++;
    }

    bool value()
    {
        switch (next()) {
        case '{':
            return object();
        case '[':
            return array(nullptr);
        case '"':
            return string();
        case 't':
            return take_all("true");
        case 'f':
            return take_all("false");
        case 'n':
            return take_all("null");
        default:
            return number();
        }
    }

    bool array(Messages *messages)
    {
        if (++depth_ > SL_JSON_DEPTH_MAX || !take('['))
            return false;
        space();
        while (next() != ']') {
            size_t start = out_.size();
            if (!value())
                return false;
            if (messages != nullptr)
                messages->push_back(out_.substr(start));
            space();
            if (next() == ']')
                break;
            if (!take(','))
                return false;
            space();
            if (next() == ']')
                return false;
        }
        depth_--;
        return take(']');
    }

    bool object()
    {
        if (++depth_ > SL_JSON_DEPTH_MAX || !take('{'))
            return false;
        space();
        while (next() != '}') {
            if (!string())
                return false;
            space();
            if (!take(':'))
                return false;
            space();
            if (!value())
                return false;
            space();
            if (next() == '}')
                break;
            if (!take(','))
                return false;
            space();
            if (next() == '}')
                return false;
        }
        depth_--;
        return take('}');
    }

    bool hex()
    {
        return take_range('0', '9') || take_range('a', 'f') || take_range('A', 'F');
    }

    bool string()
    {
        if (!take('"'))
            return false;
        while (!take('"')) {
            if (take('\\')) {
                if (take('u')) {
                    if (!hex() || !hex() || !hex() || !hex())
                        return false;
                } else if (!take('"') && !take('\\') && !take('/') && !take('b') && !take('f') &&
                           !take('n') && !take('r') && !take('t')) {
                    return false;
                }
            } else if (!character()) {
                return false;
            }
        }
        return true;
    }

    /* The UTF-8 of RFC 3629, section 4, from U+0020 on. */
    bool character()
    {
        auto tail = [this] { return take_range(0x80, 0xbf); };
        if (take_range(0x20, 0x7f))
            return true;
        if (take_range(0xc2, 0xdf))
            return tail();
        if (take(0xe0))
            return take_range(0xa0, 0xbf) && tail();
        if (take(0xed))
            return take_range(0x80, 0x9f) && tail();
        if (take_range(0xe1, 0xef))
            return tail() && tail();
        if (take(0xf0))
            return take_range(0x90, 0xbf) && tail() && tail();
        if (take_range(0xf1, 0xf3))
            return tail() && tail() && tail();
        return take(0xf4) && take_range(0x80, 0x8f) && tail() && tail();
    }

    bool digits()
    {
        if (!take_range('0', '9'))
            return false;
        while (take_range('0', '9'))
            ;
        return true;
    }

    bool number()
    {
        take('-');
        if (!take('0') && !digits())
            return false;
        if (take('.') && !digits())
            return false;
        if (take('e') || take('E')) {
            if (!take('+'))
                take('-');
            return digits();
        }
        return true;
    }

    const std::string &text_;
    std::string out_;
    size_t at_ = 0;
    int depth_ = 0;
};

std::string repeat(const std::string &text, size_t count)
{
    std::string result;
    result.reserve(text.size() * count);
    while (count-- > 0)
        result += text;
    return result;
}

std::string nul(const std::string &before, const std::string &after)
{
    return before + std::string(1, '\0') + after;
}

/* Splits and checks everything that holds for any text. */
void check(const std::string &text)
{
    SCOPED_TRACE(testing::PrintToString(text.substr(0, 200)));
    std::optional<Messages> expected = Reference::split(text);
    Split split;
    sl_err err = split.add(text);
    if (!expected) {
        EXPECT_EQ(err, SL_ERR_INVALID_JSON);
    } else if (expected->empty()) {
        EXPECT_EQ(err, SL_ERR_EMPTY_ARRAY);
    } else {
        ASSERT_EQ(err, SL_OK);
        EXPECT_EQ(split.list(), *expected);
        EXPECT_LE(split.messages.size, text.size() + 1);
        EXPECT_LE(split.lengths.size, split.messages.size / 2);
        /* Read back and sent again, the messages are the same. */
        std::string array = "[" + split.bytes();
        array.back() = ']';
        Split again;
        ASSERT_EQ(again.add(array), SL_OK);
        EXPECT_EQ(again.bytes(), split.bytes());
        EXPECT_EQ(again.list(), *expected);
        return;
    }
    EXPECT_EQ(split.messages.size, 0u);
    EXPECT_EQ(split.lengths.size, 0u);
    EXPECT_EQ(split.count, 0u);
}

TEST(Json, FlattensTheTopLevelArrayExactlyOneLevel)
{
    const struct {
        const char *text;
        const char *messages;
        Messages list;
    } cases[] = {
        { "{}", "{},", { "{}" } },
        { "1", "1,", { "1" } },
        { "[1]", "1,", { "1" } },
        { "[1,2]", "1,2,", { "1", "2" } },
        { "[[]]", "[],", { "[]" } },
        { "[[],[]]", "[],[],", { "[]", "[]" } },
        { "[[1,2]]", "[1,2],", { "[1,2]" } },
        { "[[1],[2]]", "[1],[2],", { "[1]", "[2]" } },
        { "[{\"a\":[]},null]", "{\"a\":[]},null,", { "{\"a\":[]}", "null" } },
        { "\"[1,2]\"", "\"[1,2]\",", { "\"[1,2]\"" } },
        { "{\"a\":[1,2]}", "{\"a\":[1,2]},", { "{\"a\":[1,2]}" } },
    };
    for (const auto &c : cases) {
        Split split;
        ASSERT_EQ(split.add(c.text), SL_OK) << c.text;
        EXPECT_EQ(split.bytes(), c.messages);
        EXPECT_EQ(split.list(), c.list);
        check(c.text);
    }
}

TEST(Json, DropsWhitespaceBetweenTokensAndKeepsItInStrings)
{
    const struct {
        const char *text;
        const char *messages;
    } cases[] = {
        { " \t\r\n1 \t\r\n", "1," },
        { " [ 1 , 2 ] ", "1,2," },
        { "[\n  {\n    \"a\": 1,\n    \"b b\": [ ]\n  },\n  \" \\t \"\n]\n",
          "{\"a\":1,\"b b\":[]},\" \\t \"," },
        { "{ \"a\" : { } , \"b\" : [ { } , [ ] ] }", "{\"a\":{},\"b\":[{},[]]}," },
        { "[ [ 1 , 2 ] , [ ] ]", "[1,2],[]," },
        { " true", "true," },
        { "\"a  b\"  ", "\"a  b\"," },
    };
    for (const auto &c : cases) {
        Split split;
        ASSERT_EQ(split.add(c.text), SL_OK) << c.text;
        EXPECT_EQ(split.bytes(), c.messages);
        check(c.text);
    }
}

TEST(Json, KeepsTokensVerbatim)
{
    const std::vector<std::string> same = {
        "1e400",
        "12345678901234567890",
        "-0",
        "1.0",
        "0.10",
        "1E+2",
        "{\"b\":1,\"a\":2,\"b\":3}",
        "\"\\u0041\\/\\u00e9\\uD83D\\ude00\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\xe2\x80\xa8\xe2\x80\xa9\x7f\"",
        "\"\xef\xbb\xbf\"",
    };
    for (const std::string &text : same) {
        Split split;
        ASSERT_EQ(split.add(text), SL_OK) << text;
        EXPECT_EQ(split.bytes(), text + ",");
        check(text);
    }
}

TEST(Json, RefusesEmptyArrays)
{
    for (const char *text : { "[]", "[ ]", " [\n]\t", "[\r\n]" }) {
        Split split;
        EXPECT_EQ(split.add(text), SL_ERR_EMPTY_ARRAY) << text;
        EXPECT_EQ(split.count, 0u);
        check(text);
    }
}

/* In the spirit of JSONTestSuite, the y_ cases. */
TEST(Json, AcceptsWhatTheGrammarAllows)
{
    const std::vector<std::string> good = {
        "[[]   ]",
        "[\"\"]",
        "[\"a\"]",
        "[false]",
        "[null, 1, \"1\", {}]",
        "[null]",
        "[1\n]",
        " [1]",
        "[1,null,null,null,2]",
        "[2] ",
        "[0e+1]",
        "[0e1]",
        "[ 4]",
        "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]",
        "[20e1]",
        "[-0]",
        "[-123]",
        "[-1]",
        "[123]",
        "[1E22]",
        "[1E-2]",
        "[1E+2]",
        "[123e45]",
        "[123.456e78]",
        "[1e-2]",
        "[1e+2]",
        "[123e65]",
        "[123.456789]",
        "[0.4e00669999999999999999999999999999999999999999999999999999999969999999006]",
        "[-1e+9999]",
        "[1.5e+9999]",
        "[123123e100000]",
        "{\"asd\":\"sdf\", \"dfg\":\"fgh\"}",
        "{\"asd\":\"sdf\"}",
        "{\"a\":\"b\",\"a\":\"c\"}",
        "{\"a\":\"b\",\"a\":\"b\"}",
        "{}",
        "{\"\":0}",
        "{\"foo\\u0000bar\": 42}",
        "{ \"min\": -1.0e+28, \"max\": 1.0e+28 }",
        "{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}], \"id\": \"xxxxxx\"}",
        "{\"a\":[]}",
        "{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430\" }",
        "{\n\"a\": \"b\"\n}",
        "[\"\\u0060\\u012a\\u12AB\"]",
        "[\"\\uD801\\udc37\"]",
        "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
        "[\"\\\\u0000\"]",
        "[\"\\\"\"]",
        "[\"a/*b*/c/*d//e\"]",
        "[\"\\\\a\"]",
        "[\"\\\\n\"]",
        "[\"\\u0012\"]",
        "[\"\\uFFFF\"]",
        "[\"asd\"]",
        "[ \"asd\"]",
        "[\"\\uDBFF\\uDFFF\"]",
        "[\"new\\u00A0line\"]",
        "[\"\xf4\x8f\xbf\xbf\"]",
        "[\"\xef\xbf\xbf\"]",
        "[\"\\u0000\"]",
        "[\"\\u002c\"]",
        "[\"\xcf\x80\"]",
        "[\"\xf0\x9b\xbf\xbf\"]",
        "[\"asd \"]",
        "\" \"",
        "[\"\\uD834\\uDd1e\"]",
        "[\"\\u0821\"]",
        "[\"\\u0123\"]",
        "[\"\xe2\x80\xa8\"]",
        "[\"\xe2\x80\xa9\"]",
        "[\"\\u0061\\u30af\\u30EA\\u30b9\"]",
        "[\"new\\u000Aline\"]",
        "[\"\x7f\"]",
        "[\"\\uA66D\"]",
        "[\"\\u005C\"]",
        "[\"\xe2\x8d\x82\xe3\x88\xb4\xe2\x8d\x82\"]",
        "[\"\\u200B\"]",
        "[\"\\uFDD0\"]",
        "[\"\\u0022\"]",
        "[\"\xe2\x82\xac\xf0\x9d\x84\x9e\"]",
        "[\"a\x7f\x61\"]",
        "false",
        "42",
        "-0.1",
        "null",
        "\"asd\"",
        "true",
        "\"\"",
        "[\"a\"]\n",
        "[true]",
        " [] ",
        "\r\n1\t",
        /* i_ cases that are accepted here */
        "[\"\\uDADA\"]",
        "[\"\\uD888\\u1234\"]",
        "[\"\\uD800\\n\"]",
        "[\"\\uDd1ea\"]",
        "[\"\\uD800\\uD800\\n\"]",
        "[\"\\ud800\"]",
        "[\"\\uDFAA\"]",
        "[-237462374673276894279832749832423479823246327846]",
        "[100000000000000000000]",
    };
    for (const std::string &text : good) {
        EXPECT_TRUE(Reference::split(text)) << text;
        check(text);
    }
}

/* In the spirit of JSONTestSuite, the n_ cases. */
TEST(Json, RefusesWhatTheGrammarDoesNotAllow)
{
    const std::vector<std::string> bad = {
        "",
        " ",
        "\n\t\r ",
        nul("", ""),
        nul("1", ""),
        nul("[1", "]"),
        "[1 true]",
        "[a\xe5]",
        "[\"\": 1]",
        "[\"\"],",
        "[,1]",
        "[1,,2]",
        "[\"x\",,]",
        "[\"x\"]]",
        "[\"\",]",
        "[\"x\"",
        "[x",
        "[3[4]]",
        "[\xff]",
        "[1:2]",
        "[,]",
        "[-]",
        "[   , \"\"]",
        "[\"a\",\n4\n,1,",
        "[1,]",
        "[1,,]",
        "[\"\va\"\\f]",
        "[*]",
        "[\"\"",
        "[1,",
        "[1,\n1\n,1",
        "[{}",
        "[fals]",
        "[nul]",
        "[tru]",
        "[truex]",
        "[True]",
        "[NULL]",
        "[++1234]",
        "[+1]",
        "[+Inf]",
        "[-01]",
        "[-1.0.]",
        "[-2.]",
        "[-NaN]",
        "[.-1]",
        "[.2e-3]",
        "[0.1.2]",
        "[0.3e+]",
        "[0.3e]",
        "[0.e1]",
        "[0E+]",
        "[0E]",
        "[0e+]",
        "[0e]",
        "[1.0e+]",
        "[1.0e-]",
        "[1.0e]",
        "[1 000.0]",
        "[1eE2]",
        "[2.e+3]",
        "[2.e-3]",
        "[2.e3]",
        "[9.e+]",
        "[Inf]",
        "[NaN]",
        "NaN",
        "Infinity",
        "[\xef\xbc\x91]",
        "[1+2]",
        "[0x1]",
        "[0x42]",
        "[Infinity]",
        "[0e+-1]",
        "[-123.123foo]",
        "[123\xe5]",
        "[1e1\xe5]",
        "[0\xe5]",
        "[-Infinity]",
        "[-foo]",
        "[- 1]",
        "[-012]",
        "[-.123]",
        "[-1x]",
        "[1ea]",
        "[1e1\xe5]",
        "[1.]",
        "[.123]",
        "[1.2a-3]",
        "[1.8011670033376514H-308]",
        "[012]",
        "01",
        "-",
        "1.",
        "1e",
        "1e+",
        "--1",
        "00",
        "[\"x\", truth]",
        "{[: \"x\"}",
        "{\"x\", null}",
        "{\"x\"::\"b\"}",
        "{\xf0\x9f\x87\xa8}",
        "{\"a\":\"a\" 123}",
        "{key: 'value'}",
        "{\"a\" b}",
        "{:\"b\"}",
        "{\"a\" \"b\"}",
        "{\"a\":",
        "{\"a\"",
        "{1:1}",
        "{9999E9999:1}",
        "{null:null,null:null}",
        "{\"id\":0,,,,,}",
        "{'a':0}",
        "{\"id\":0,}",
        "{\"a\":\"b\"}/**/",
        "{\"a\":\"b\"}/**//",
        "{\"a\":\"b\"}//",
        "{\"a\":\"b\"}/",
        "{\"a\":\"b\",,\"c\":\"d\"}",
        "{a: \"b\"}",
        "{\"a\":\"a",
        "{ \"foo\" : \"bar\", \"a\" }",
        "{\"a\":\"b\"}#",
        "{,}",
        "{\"a\":}",
        "{]",
        "[}",
        "{\"a\":1]",
        "[1}",
        "[[1}",
        "{\"a\":[1}}",
        "[{\"a\":1]]",
        "[\"\\uD800\\\"]",
        "[\"\\uD800\\u\"]",
        "[\"\\uD800\\u1\"]",
        "[\"\\uD800\\u1x\"]",
        "[\xc3\xa9]",
        "[\"\\x00\"]",
        "[\"\\\\\\\"]",
        "[\"\\\t\"]",
        "[\"\\\xf0\x9f\x8c\x80\"]",
        "[\"\\\"]",
        "[\"\\u00A\"]",
        "[\"\\uD834\\uDd\"]",
        "[\"\\uD800\\uD800\\x\"]",
        "[\"\\u\xe5\"]",
        "[\"\\a\"]",
        "[\"\\uqqqq\"]",
        "[\"\\U0041\"]",
        "[\"\\\xe5\"]",
        "[\\u0020\"asd\"]",
        "[\\n]",
        "\"",
        "['single quote']",
        "abc",
        "[\"\\",
        "[\"\\u",
        "[\"\\u1",
        "[\"\\u12",
        "[\"\\u123",
        "[\"\\u1234",
        nul("[\"a", "a\"]"),
        nul("[\"\\", "\"]"),
        "[\"new\nline\"]",
        "[\"\t\"]",
        "[\"\x1f\"]",
        "\"\\UA66D\"",
        "\"\"x",
        "<.>",
        "[<null>]",
        "[1]x",
        "[1]]",
        "[\"asd]",
        "aa\xc3\xa5",
        "[True]",
        "1]",
        "{\"x\": true,",
        "[][]",
        "1 2",
        "{}{}",
        "\"a\"\"b\"",
        "]",
        "}",
        ",",
        ":",
        "[",
        "{",
        "\xef\xbb\xbf{}",
        "\xef\xbb\xbf",
        "\xef\xbb",
        "\xe5",
        "[[],",
        "{\"",
        "{\"a\"",
        "[{\"a\":1},",
        "2@",
        "{}}",
        "{\"\":",
        "{\"a\":/*comment*/\"b\"}",
        "{\"a\": true} \"x\"",
        "['",
        "[,",
        "[{",
        "[\"a",
        "[\"a\"",
        "{[",
        "{,",
        "{'a'",
        "{\"\":{\"\":",
        "*",
        "{\"a\":\"b\"}#{}",
        "[\\u000A\"\"]",
        "[1",
        "[ false, nul",
        "[ true, fals",
        "[ false, tru",
        "{\"asd\":\"asd\"",
        "\xc3\xa5",
        "[\xe2\x81\xa0]",
        "[\v]",
        "[\f]",
        "\f1",
        "1\xc2\xa0",
        "\xe2\x80\xa8"
        "1",
        /* i_ cases that are refused here: not UTF-8 */
        "[\"\xff\"]",
        "[\"\xe9\"]",
        "[\"\x81\"]",
        "[\"\xf4\xbf\xbf\xbf\"]",
        "[\"\xe6\x97\xa5\xd1\x88\xfa\"]",
        "[\"\xc0\xaf\"]",
        "[\"\xfc\x80\x80\x80\x80\x80\"]",
        "[\"\xfc\x83\xbf\xbf\xbf\xbf\"]",
        "[\"\xe0\xff\"]",
        "[\"\xed\xa0\x80\"]",
        std::string("\xff\xfe[\0\"\0]\0", 8),
        std::string("\0[\0\"\0]", 6),
    };
    for (const std::string &text : bad) {
        EXPECT_FALSE(Reference::split(text)) << testing::PrintToString(text);
        check(text);
    }
}

TEST(Json, RefusesEveryTextThatIsCutShort)
{
    const std::string text =
        "[{\"key\":[-1.5e+3,true,false,null,{}],\"\\u00e9\\n\":\"\xe2\x82\xac\"}]";
    for (size_t size = 0; size < text.size(); size++) {
        Split split;
        /* What follows in memory does not count. */
        EXPECT_EQ(::sl_json_split(sl_bytes(text.data(), size), &split), SL_ERR_INVALID_JSON)
            << size;
    }
    check(text);
}

TEST(Json, FindsWhatEndsAStringAtEveryPlaceOfAWord)
{
    for (size_t before = 0; before < 40; before++) {
        std::string a(before, 'a');
        for (size_t after = 0; after < 20; after++) {
            std::string b(after, 'b');
            check("\"" + a + "\"");
            check("\"" + a + "\\\"" + b + "\"");
            check("\"" + a + "\\u12aF" + b + "\"");
            check("\"" + a + "\\q" + b + "\"");
            check("\"" + a + "\x1f" + b + "\"");
            check("\"" + a + "\xf0\x9f\x98\x80" + b + "\"");
            check("\"" + a + "\xf0\x9f\x98" + b + "\"");
            check(nul("\"" + a, b + "\""));
        }
    }
    for (int byte = 0; byte < 256; byte++)
        check("\"aaaa" + std::string(1, static_cast<char>(byte)) + "bbbbbbbb\"");
}

TEST(Json, JudgesEveryByteAfterABackslashAndAsADigit)
{
    for (int byte = 0; byte < 256; byte++) {
        std::string one(1, static_cast<char>(byte));
        check("\"\\" + one + "\"");
        check("\"\\u000" + one + "\"");
        check("\"\\u" + one + "000\"");
        check("1" + one);
        check("[" + one + "]");
        check("{" + one + "}");
        check(one);
    }
}

TEST(Json, LimitsTheDepth)
{
    const size_t max = SL_JSON_DEPTH_MAX;
    for (size_t depth : { max - 1, max, max + 1 }) {
        SCOPED_TRACE(depth);
        sl_err expected = depth <= max ? SL_OK : SL_ERR_INVALID_JSON;
        Split arrays, objects, mixed;
        EXPECT_EQ(arrays.add(repeat("[", depth) + "1" + repeat("]", depth)), expected);
        EXPECT_EQ(objects.add(repeat("{\"a\":", depth) + "1" + repeat("}", depth)), expected);
        EXPECT_EQ(mixed.add(repeat("[{\"a\":", depth / 2) + repeat("[", depth % 2) +
                            repeat("]", depth % 2) + (depth % 2 == 0 ? "1" : "") +
                            repeat("}]", depth / 2)),
                  expected);
    }
    /* What was closed does not count. */
    Split wide;
    EXPECT_EQ(wide.add("[" + repeat("[[]],", 5000) + "1]"), SL_OK);
    EXPECT_EQ(wide.count, 5001u);
}

TEST(Json, RemembersTheKindOfEveryLevel)
{
    std::mt19937_64 random(4);
    for (int i = 0; i < 200; i++) {
        std::string open, close;
        for (size_t depth = 1 + random() % 300; depth > 0; depth--) {
            bool object = random() % 2 == 0;
            open += object ? "{\"\":" : "[";
            close = (object ? "}" : "]") + close;
        }
        check(open + "0" + close);
        close[random() % close.size()] ^= ']' ^ '}';
        EXPECT_FALSE(Reference::split(open + "0" + close));
        check(open + "0" + close);
    }
}

TEST(Json, LimitsTheMessages)
{
    const size_t max = SL_MESSAGES_PER_REQUEST_MAX;
    for (size_t count : { max - 1, max, max + 1 }) {
        SCOPED_TRACE(count);
        Split split;
        EXPECT_EQ(split.add("[" + repeat("1,", count - 1) + "1]"),
                  count <= max ? SL_OK : SL_ERR_TOO_MANY_MESSAGES);
        EXPECT_EQ(split.count, count <= max ? count : 0);
        EXPECT_EQ(split.messages.size, count <= max ? 2 * count : 0);
        EXPECT_EQ(split.lengths.size, count <= max ? count : 0);
    }
}

TEST(Json, LimitsTheMessagesOfABatchTogether)
{
    Split split;
    ASSERT_EQ(split.add("[" + repeat("1,", SL_MESSAGES_PER_REQUEST_MAX - 2) + "1]"), SL_OK);
    EXPECT_EQ(split.add("[2,3]"), SL_ERR_TOO_MANY_MESSAGES);
    EXPECT_EQ(split.count, SL_MESSAGES_PER_REQUEST_MAX - 1u);
    EXPECT_EQ(split.add("2"), SL_OK);
    EXPECT_EQ(split.count, static_cast<uint32_t>(SL_MESSAGES_PER_REQUEST_MAX));
    EXPECT_EQ(split.add("3"), SL_ERR_TOO_MANY_MESSAGES);
    EXPECT_EQ(split.add("[]"), SL_ERR_EMPTY_ARRAY);
    EXPECT_EQ(split.count, static_cast<uint32_t>(SL_MESSAGES_PER_REQUEST_MAX));
}

TEST(Json, ReadsNothingBehindTheOneTooMany)
{
    Split split;
    const std::string most = "[" + repeat("1,", SL_MESSAGES_PER_REQUEST_MAX);
    EXPECT_EQ(split.add(most + "1!"), SL_ERR_TOO_MANY_MESSAGES);
    EXPECT_EQ(split.add(most + "!"), SL_ERR_INVALID_JSON);
}

TEST(Json, ABatchAddsUp)
{
    Split split;
    ASSERT_EQ(split.add("[1, 2]"), SL_OK);
    ASSERT_EQ(split.add(" {\"a\": [3]} "), SL_OK);
    ASSERT_EQ(split.add("[ [ ] ]"), SL_OK);
    EXPECT_EQ(split.bytes(), "1,2,{\"a\":[3]},[],");
    EXPECT_EQ(split.list(), (Messages{ "1", "2", "{\"a\":[3]}", "[]" }));
}

TEST(Json, AnErrorLeavesTheBatchAsItWas)
{
    Split split;
    ASSERT_EQ(split.add("[1,{\"a\":2}]"), SL_OK);
    for (const char *text :
         { "", "[", "[3,4,", "[3,4]x", "[3,4,\"\xff\"]", "[]", "{\"a\":[1,2}" }) {
        EXPECT_NE(split.add(text), SL_OK);
        EXPECT_EQ(split.bytes(), "1,{\"a\":2},");
        EXPECT_EQ(split.list(), (Messages{ "1", "{\"a\":2}" }));
    }
    ASSERT_EQ(split.add("5"), SL_OK);
    EXPECT_EQ(split.list(), (Messages{ "1", "{\"a\":2}", "5" }));
}

TEST(Json, ClearKeepsTheMemory)
{
    Split split;
    ASSERT_EQ(split.add("[1,2,3]"), SL_OK);
    const uint8_t *memory = split.messages.data;
    sl_json_split_clear(&split);
    EXPECT_EQ(split.count, 0u);
    EXPECT_TRUE(split.list().empty());
    ASSERT_EQ(split.add("[4,5]"), SL_OK);
    EXPECT_EQ(split.messages.data, memory);
    EXPECT_EQ(split.bytes(), "4,5,");
    sl_json_split_deinit(&split);
    EXPECT_EQ(split.messages.data, nullptr);
    EXPECT_EQ(split.count, 0u);
    ASSERT_EQ(split.add("6"), SL_OK);
    EXPECT_EQ(split.bytes(), "6,");
}

TEST(Json, LongMessagesHaveLongLengths)
{
    for (size_t size : { 126u, 127u, 128u, 16382u, 16383u, 16384u, 3000000u }) {
        Split split;
        std::string text = "\"" + std::string(size - 3, 'x') + "\"";
        ASSERT_EQ(split.add("[" + text + " , 1]"), SL_OK);
        EXPECT_EQ(split.list(), (Messages{ text, "1" }));
    }
}

/* A random value as text, with random whitespace where it is allowed. */
class Generator
{
  public:
    explicit Generator(uint64_t seed) : random_(seed)
    {
    }

    std::string text()
    {
        spaces_ = below(3);
        return space() + value(below(5)) + space();
    }

    std::string mutated(std::string text)
    {
        static const char bytes[] = "[]{},:\"\\ \n\t-+.eE019utfn/a\x1f\x7f\x80\xc3\xe2\xf0";
        for (size_t edits = 1 + below(2); edits > 0 && !text.empty(); edits--) {
            size_t at = below(text.size());
            std::string byte(1, bytes[below(sizeof(bytes))]);
            if (below(3) == 0)
                text.erase(at, 1);
            else if (below(2) == 0)
                text.insert(at, byte);
            else
                text.replace(at, 1, byte);
        }
        return text;
    }

  private:
    size_t below(size_t limit)
    {
        return random_() % limit;
    }

    std::string space()
    {
        std::string space;
        while (spaces_ > 0 && below(4) < spaces_)
            space += " \n\r\t"[below(4)];
        return space;
    }

    std::string string()
    {
        static const char *const parts[] = { "a",        "key",          " ",
                                             "\\n",      "\\\"",         "\\\\",
                                             "\\/",      "\\u00e9",      "\\uD800",
                                             "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                             "[,]",      "{:}",          "long plain text" };
        std::string string = "\"";
        for (size_t n = below(6); n > 0; n--)
            string += parts[below(sizeof(parts) / sizeof(parts[0]))];
        return string + "\"";
    }

    std::string value(size_t depth)
    {
        static const char *const scalars[] = { "0",      "-0",   "1",     "-12.50", "1e9",
                                               "3.1E-7", "true", "false", "null" };
        size_t kind = below(depth == 0 ? 2 : 4);
        if (kind == 0)
            return scalars[below(sizeof(scalars) / sizeof(scalars[0]))];
        if (kind == 1)
            return string();
        std::string text = (kind == 2 ? "[" : "{") + space();
        for (size_t n = below(5), i = 0; i < n; i++) {
            text += i > 0 ? "," + space() : "";
            text += kind == 2 ? "" : string() + space() + ":" + space();
            text += value(depth - 1) + space();
        }
        return text + (kind == 2 ? "]" : "}");
    }

    std::mt19937_64 random_;
    size_t spaces_ = 0;
};

TEST(Json, AgreesWithTheGrammarOnRandomTexts)
{
    Generator generator(5);
    int refused = 0;
    for (int i = 0; i < 30000 && !HasFailure(); i++) {
        std::string text = generator.text();
        ASSERT_TRUE(Reference::split(text)) << text;
        check(text);
        std::string mutated = generator.mutated(text);
        refused += !Reference::split(mutated);
        check(mutated);
    }
    EXPECT_GT(refused, 5000);
    EXPECT_LT(refused, 29000);
}

TEST(Json, WorstCasesAreLinear)
{
    const size_t size = 16 * 1024 * 1024;
    Split split;
    EXPECT_EQ(split.add(repeat("[", size)), SL_ERR_INVALID_JSON);
    EXPECT_EQ(split.add(repeat("{\"a\":", size / 5)), SL_ERR_INVALID_JSON);
    EXPECT_EQ(split.add("[" + repeat("1,", 1000000) + "1]"), SL_ERR_TOO_MANY_MESSAGES);
    EXPECT_EQ(split.add(repeat(" ", size)), SL_ERR_INVALID_JSON);
    EXPECT_EQ(split.add(repeat(" ", size) + "1"), SL_OK);
    EXPECT_EQ(split.add("\"" + repeat("\\n", size / 2)), SL_ERR_INVALID_JSON);
    EXPECT_EQ(split.add("[[" + repeat("1 , ", size / 4) + "1]]"), SL_OK);
    EXPECT_EQ(split.add(repeat("\xc3\xa9", size / 2)), SL_ERR_INVALID_JSON);
    EXPECT_EQ(split.count, 2u);
}

} // namespace
