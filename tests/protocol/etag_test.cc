#include "protocol/etag.h"

#include "protocol/text.h"
#include "sluice/operation.h"

#include <gtest/gtest.h>

static const std::string zeros = "0000000000000000";

static std::string format(uint64_t history, uint64_t stream, std::string_view start, uint64_t end,
                          enum sl_etag_end mark)
{
    char out[SL_ETAG_SIZE_MAX];
    size_t size = sl_etag_format(out, history, stream, Text(start), end, mark);
    return std::string(out, size);
}

TEST(Etag, NamesIncarnationRangeAndWhatItsEndIs)
{
    EXPECT_EQ(format(0x1a2b, 0x3c, "-1", 42, SL_ETAG_AT_TAIL),
              "\"0000000000001a2b-3c:-1:" + zeros + "_0000000000000042\"");
    EXPECT_EQ(format(0x1a2b, 0x3c, "-1", 42, SL_ETAG_CLOSED),
              "\"0000000000001a2b-3c:-1:" + zeros + "_0000000000000042:c\"");
    EXPECT_EQ(format(0x1a2b, 0x3c, "-1", 42, SL_ETAG_PARTIAL),
              "\"0000000000001a2b-3c:-1:" + zeros + "_0000000000000042:p\"");
    EXPECT_EQ(format(0, 0, "now", 0, SL_ETAG_AT_TAIL),
              "\"" + zeros + "-0:now:" + zeros + "_" + zeros + "\"");
    EXPECT_EQ(format(0, 0xfff, "-1", 0, SL_ETAG_AT_TAIL),
              "\"" + zeros + "-fff:-1:" + zeros + "_" + zeros + "\"");
    EXPECT_EQ(format(0, 0x10, "-1", 0, SL_ETAG_AT_TAIL),
              "\"" + zeros + "-10:-1:" + zeros + "_" + zeros + "\"");
}

TEST(Etag, LargestFitsExactly)
{
    std::string token = "9999999999999999_9999999999999999";
    std::string etag = format(UINT64_MAX, UINT64_MAX, token, SL_OFFSET_MAX, SL_ETAG_CLOSED);
    EXPECT_EQ(etag.size(), (size_t)SL_ETAG_SIZE_MAX);
    EXPECT_EQ(etag, "\"ffffffffffffffff-ffffffffffffffff:" + token + ":" + zeros +
                        "_9999999999999999:c\"");
}

TEST(Etag, MatchesAListWeakly)
{
    const std::string etag = "\"a-1:-1:5\"";
    for (const std::string &list :
         { etag, "W/" + etag, " \t" + etag + " ", std::string("*"), std::string(" * "),
           "\"x\"," + etag, "\"x\", " + etag, "\"x\" ,\t" + etag + ",\"y\"", etag + ", garbage",
           "W/\"x\", W/" + etag, ",, ," + etag + ",", "\"\"," + etag, "\"a,b\"," + etag,
           "\"*\", " + etag })
        EXPECT_TRUE(sl_etag_matches(Text(list), Text(etag))) << list;
    EXPECT_TRUE(sl_etag_matches(Text(etag), Text("W/" + etag)));
}

TEST(Etag, OtherTagsDoNotMatch)
{
    const std::string etag = "\"a-1:-1:5\"";
    for (const std::string &list : { std::string(),
                                     std::string(" "),
                                     std::string(","),
                                     std::string("a-1:-1:5"),
                                     std::string("\"a-1:-1:5"),
                                     std::string("a-1:-1:5\""),
                                     std::string("\"a-1:-1:5:c\""),
                                     std::string("\"A-1:-1:5\""),
                                     std::string("\"a-1:-1:\""),
                                     std::string("\""),
                                     std::string("\"\""),
                                     std::string("W/"),
                                     "W/," + etag,
                                     std::string("W"),
                                     "w/" + etag,
                                     "W/ " + etag,
                                     "W/W/" + etag,
                                     std::string("**"),
                                     std::string("\"*\""),
                                     "*, " + etag,
                                     "\"x\" " + etag,
                                     "x, " + etag,
                                     "\"x, " + etag,
                                     etag + etag,
                                     "\"x" + etag.substr(1),
                                     std::string("\"x,") + etag.substr(1) })
        EXPECT_FALSE(sl_etag_matches(Text(list), Text(etag))) << list;
    EXPECT_FALSE(sl_etag_matches(sl_bytes(nullptr, 0), Text(etag)));
}

TEST(Etag, AnyListEndsAndNeverMatchesByAccident)
{
    std::mt19937_64 random(4);
    for (int i = 0; i < 50000; i++) {
        std::string list = random_text(random, "\"\"\",, W/*ab", 20);
        bool has_tag = list.find("\"ab\"") != std::string::npos;
        bool star = list.find('*') != std::string::npos;
        EXPECT_LE(sl_etag_matches(Text(list), Text("\"ab\"")), has_tag || star) << list;
    }
}
