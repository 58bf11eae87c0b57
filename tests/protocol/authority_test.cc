#include "protocol/authority.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

TEST(Authority, TakesNamesAndAddressesWithAndWithoutPort)
{
    for (const char *text :
         { "", "a", "example.test", "example.test:80", "example.test:", ":80", "127.0.0.1:4437",
           "[::1]", "[::1]:80", "[v1.a:b]", "a-b_c~d", "%41%c3%a9", "a,b;c=d", "a:00080" })
        EXPECT_TRUE(sl_authority_is_valid(Text(text))) << text;
}

TEST(Authority, RefusesWhatAnotherServerWouldReadDifferently)
{
    for (const char *text :
         { "a b",   " a",   "a ",    "a\tb",  "user@a",   "a/b",     "/",         "a?b",
           "a#b",   "a\\b", "\"a\"", "<a>",   "a:b",      "a:80:90", "a:+80",     "a:-1",
           "a:8 0", "::1",  "[::1",  "[]",    "[::1]a",   "[::1]]",  "[::1%25a]", "[a/b]",
           "%",     "%4",   "%zz",   "a\x7f", "\xc3\xa9", "http://a" })
        EXPECT_FALSE(sl_authority_is_valid(Text(text))) << text;
    EXPECT_FALSE(sl_authority_is_valid(sl_bytes("a\0b", 3)));
    EXPECT_FALSE(sl_authority_is_valid(sl_bytes("[\0]", 3)));
}
