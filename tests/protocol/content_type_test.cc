#include "protocol/content_type.h"

#include "protocol/text.h"
#include "sluice/operation.h"

#include <gtest/gtest.h>

TEST(ContentType, MediaTypeEndsAtTheFirstSemicolon)
{
    const struct {
        const char *text, *media_type;
    } cases[] = {
        { "text/plain", "text/plain" },
        { "text/plain; charset=utf-8", "text/plain" },
        { " \ttext/plain\t ;a;b", "text/plain" },
        { "Text/PLAIN;", "Text/PLAIN" },
        { ";text/plain", "" },
        { "", "" },
        { " ; ", "" },
    };
    for (const auto &c : cases)
        EXPECT_EQ(string_of(sl_media_type(Text(c.text))), c.media_type) << c.text;
}

TEST(ContentType, ComparesMediaTypesWithoutCaseOrParameters)
{
    const struct {
        const char *a, *b;
        bool equal;
    } cases[] = {
        { "text/plain", "text/plain", true },
        { "text/plain", "TEXT/Plain; charset=utf-8", true },
        { "text/plain;a=1", "text/plain;a=2", true },
        { "text/plain", " text/plain ", true },
        { "text/plain", "text/plai", false },
        { "text/plain", "text/plain2", false },
        { "text/plain", "", false },
        { "a/[", "a/{", false },
        { "", "", true },
    };
    for (const auto &c : cases) {
        EXPECT_EQ(sl_media_type_equal(Text(c.a), Text(c.b)), c.equal) << c.a << " " << c.b;
        EXPECT_EQ(sl_media_type_equal(Text(c.b), Text(c.a)), c.equal) << c.a << " " << c.b;
    }
}

TEST(ContentType, JsonIsApplicationJsonAlone)
{
    for (const char *text : { "application/json", "APPLICATION/Json",
                              "application/json; charset=utf-8", " application/json " })
        EXPECT_TRUE(sl_content_type_is_json(Text(text))) << text;
    for (const char *text :
         { "application/json-seq", "application/ndjson", "application/vnd.x+json",
           "application/jso", "text/json", "json", "", "x;application/json" })
        EXPECT_FALSE(sl_content_type_is_json(Text(text))) << text;
}

TEST(ContentType, TextIsEverythingBelowText)
{
    for (const char *text : { "text/plain", "TEXT/html", "text/x;y", " text/csv", "text/" })
        EXPECT_TRUE(sl_content_type_is_text(Text(text))) << text;
    for (const char *text :
         { "text", "tex", "", "texts/plain", "application/text", "text;/", "xtext/plain" })
        EXPECT_FALSE(sl_content_type_is_text(Text(text))) << text;
}

TEST(ContentType, UsableIsTokenSlashToken)
{
    for (const char *text :
         { "text/plain", "a/b", "application/vnd.x-1+json", "a!#$%&'*+-.^_`|~/b",
           "text/plain; charset=\"utf-8\"", " text/plain\t;\tx", "a/b;", "a/b;;/ /" })
        EXPECT_TRUE(sl_content_type_is_usable(Text(text))) << text;
    for (const char *text :
         { "",         " ",        "/",        "a",        "a/",           "/b",
           "a/b/c",    "a /b",     "a/ b",     "a b/c",    "a/b c",        "a,b/c",
           "a/b, c/d", "a/\"b\"",  "(a)/b",    "a/b@",     "a/b=",         ";a/b",
           "a/b\x7f",  "a/b;\x7f", "a/b;\r\n", "a/b;\x1f", "a/b;\xc3\xa4", "\xc3\xa4/b",
           "a/b;\x80" })
        EXPECT_FALSE(sl_content_type_is_usable(Text(text))) << text;
    EXPECT_FALSE(sl_content_type_is_usable(Text(std::string_view("a/b\0", 4))));
    EXPECT_FALSE(sl_content_type_is_usable(Text(std::string_view("a/b;\0", 5))));
    EXPECT_FALSE(sl_content_type_is_usable(sl_bytes(nullptr, 0)));
}

TEST(ContentType, UsableHasALimitOfSize)
{
    for (int size = SL_CONTENT_TYPE_SIZE_MAX - 1; size <= SL_CONTENT_TYPE_SIZE_MAX + 1; size++) {
        EXPECT_EQ(sl_content_type_is_usable(Text("a/" + std::string((size_t)size - 2, 'b'))),
                  size <= SL_CONTENT_TYPE_SIZE_MAX);
        EXPECT_EQ(sl_content_type_is_usable(Text("a/b;" + std::string((size_t)size - 4, ' '))),
                  size <= SL_CONTENT_TYPE_SIZE_MAX);
    }
}
