#include "protocol/expiry.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

static std::string ttl(std::string_view text)
{
    uint64_t ttl_s = 77;
    if (sl_ttl_parse(Text(text), &ttl_s))
        return std::to_string(ttl_s);
    EXPECT_EQ(ttl_s, 0u) << text;
    return "refused";
}

static std::string instant(std::string_view text)
{
    int64_t ms = 77;
    if (sl_expires_at_parse(Text(text), &ms))
        return std::to_string(ms);
    EXPECT_EQ(ms, 0) << text;
    return "refused";
}

TEST(Ttl, IsACanonicalNumberOfSeconds)
{
    EXPECT_EQ(ttl("0"), "0");
    EXPECT_EQ(ttl("3600"), "3600");
    EXPECT_EQ(ttl("9007199254740990"), "9007199254740990");
    EXPECT_EQ(ttl("9007199254740991"), "9007199254740991");
    EXPECT_EQ(ttl("9007199254740992"), "refused");
    for (const char *text : { "", "+60", "-60", "060", "00", "60.0", "6e1", "abc", "60s", " 60",
                              "0x3c", "99999999999999999999999" })
        EXPECT_EQ(ttl(text), "refused") << text;
}

TEST(ExpiresAt, KnowsInstants)
{
    const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01T00:00:00.001Z", 1 },
        { "1970-01-01t00:00:00z", 0 },
        { "2000-02-29T12:34:56Z", 951827696000 },
        { "2024-10-09T00:00:00Z", 1728432000000 },
        { "2038-01-19T03:14:08Z", 2147483648000 },
        { "9999-12-31T23:59:59.999Z", 253402300799999 },
        { "0000-01-01T00:00:00Z", -62167219200000 },
        { "0000-02-29T00:00:00Z", -62162121600000 },
        { "0001-01-01T00:00:00Z", -62135596800000 },
        { "1969-12-31T23:59:59Z", -1000 },
        { "1969-12-31T23:59:59.9Z", -100 },
        { "1900-03-01T00:00:00Z", -2203891200000 },
        /* zones */
        { "1970-01-01T00:00:00+00:00", 0 },
        { "1970-01-01T00:00:00-00:00", 0 },
        { "1970-01-01T01:30:00+01:30", 0 },
        { "1969-12-31T16:00:00-08:00", 0 },
        { "1970-01-01T23:59:00+23:59", 0 },
        { "0000-01-01T00:00:00+23:59", -62167305540000 },
        { "9999-12-31T23:59:59-23:59", 253402387139000 },
        /* fractions are cut, not rounded */
        { "1970-01-01T00:00:00.1Z", 100 },
        { "1970-01-01T00:00:00.12Z", 120 },
        { "1970-01-01T00:00:00.0009Z", 0 },
        { "1970-01-01T00:00:00.999999999999999999999999999Z", 999 },
        { "1970-01-01T00:00:00.5+00:00", 500 },
        /* leap seconds */
        { "2016-12-31T23:59:60Z", 1483228800000 },
        { "2016-12-31T23:59:60.25Z", 1483228800250 },
        { "2016-12-31T15:59:60-08:00", 1483228800000 },
        { "1969-12-31T23:59:60Z", 0 },
    };
    for (const auto &c : cases)
        EXPECT_EQ(instant(c.text), std::to_string(c.ms)) << c.text;
}

TEST(ExpiresAt, RefusesWhatIsNotRfc3339)
{
    for (const char *text : { "",
                              "garbage",
                              "0",
                              "1700000000",
                              "2024",
                              "2024-10-09",
                              "2024-10-09T00:00Z",
                              "2024-10-09T00:00:00",
                              "2024-10-09 00:00:00Z",
                              "2024-10-09T00:00:00 Z",
                              " 2024-10-09T00:00:00Z",
                              "2024-10-09T00:00:00Z ",
                              "2024-10-09T00:00:00ZZ",
                              "2024-10-9T00:00:00Z",
                              "2024-1-09T00:00:00Z",
                              "24-10-09T00:00:00Z",
                              "02024-10-09T00:00:00Z",
                              "12024-10-09T00:00:00Z",
                              "-2024-10-09T00:00:00Z",
                              "+2024-10-09T00:00:00Z",
                              "20241009T000000Z",
                              "2024/10/09T00:00:00Z",
                              "2024-10-09T0:00:00Z",
                              "2024-10-09T00.00.00Z",
                              "2024-10-09T00:00:00.Z",
                              "2024-10-09T00:00:00,5Z",
                              "2024-10-09T00:00:00.5",
                              "2024-10-09T00:00:00.5.5Z",
                              "2024-10-09T00:00:00.-5Z",
                              "2024-10-09T00:00:00+0000",
                              "2024-10-09T00:00:00+00",
                              "2024-10-09T00:00:00+00:0",
                              "2024-10-09T00:00:00+00:000",
                              "2024-10-09T00:00:00+24:00",
                              "2024-10-09T00:00:00+00:60",
                              "2024-10-09T00:00:00-99:00",
                              "2024-10-09T00:00:00+-1:00",
                              "2024-10-09T00:00:00UTC",
                              "2024-10-09T00:00:00GMT",
                              "2024-10-09T24:00:00Z",
                              "2024-10-09T00:60:00Z",
                              "2024-10-09T00:00:61Z",
                              "2024-10-09T-1:00:00Z",
                              "2024-W41-3T00:00:00Z",
                              "2024-283T00:00:00Z",
                              "Wed, 09 Oct 2024 00:00:00 GMT" })
        EXPECT_EQ(instant(text), "refused") << text;
    EXPECT_EQ(instant(std::string_view("2024-10-09T00:00:00Z\0", 21)), "refused");
}

TEST(ExpiresAt, RefusesDaysThatTheCalendarDoesNotHave)
{
    for (const char *date : { "2023-02-29", "1900-02-29", "2100-02-29", "2024-02-30", "2024-04-31",
                              "2024-06-31", "2024-09-31", "2024-11-31", "2024-01-32", "2024-12-32",
                              "2024-00-01", "2024-13-01", "2024-01-00" })
        EXPECT_EQ(instant(std::string(date) + "T00:00:00Z"), "refused") << date;
    for (const char *date :
         { "2024-02-29", "2000-02-29", "2400-02-29", "2024-01-31", "2024-12-31" })
        EXPECT_NE(instant(std::string(date) + "T00:00:00Z"), "refused") << date;
}

TEST(ExpiresAt, LeapSecondsEndADayOfUtc)
{
    for (const char *text :
         { "2016-12-31T12:30:60Z", "2016-12-31T23:58:60Z", "2016-12-31T22:59:60Z",
           "2016-12-31T23:59:60+01:00", "2016-12-31T23:59:60-08:00" })
        EXPECT_EQ(instant(text), "refused") << text;
}

TEST(ExpiresAt, EveryDayFollowsTheDayBefore)
{
    const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t expected = -62167219200000;
    for (int year = 0; year <= 9999; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= days[month - 1] + (leap && month == 2); day++) {
                char text[32];
                int size =
                    snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", year, month, day);
                int64_t ms;
                ASSERT_TRUE(sl_expires_at_parse(sl_bytes(text, (size_t)size), &ms)) << text;
                ASSERT_EQ(ms, expected) << text;
                expected += 86400000;
            }
        }
    }
}

TEST(ExpiresAt, NoPrefixOfAnInstantIsOne)
{
    const std::string text = "2024-10-09T01:02:03.456+01:30";
    for (size_t size = 0; size < text.size(); size++)
        EXPECT_EQ(instant(text.substr(0, size)), "refused") << size;
    EXPECT_NE(instant(text), "refused");
}
