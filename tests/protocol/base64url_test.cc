#include "protocol/base64url.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

static std::string encode(std::string_view bytes)
{
    std::string out(SL_BASE64URL_SIZE(bytes.size()), '?');
    sl_base64url_encode(Text(bytes), out.data());
    return out;
}

/* The `size` bytes, or "no". */
static std::string decode(std::string_view text, size_t size)
{
    std::string out(size, '?');
    return sl_base64url_decode(Text(text), out.data(), size) ? out : "no";
}

TEST(Base64url, EncodesTheVectorsOfTheRfcWithoutPadding)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        { "", "" },           { "f", "Zg" },          { "fo", "Zm8" },          { "foo", "Zm9v" },
        { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" },
    };
    for (const auto &c : cases) {
        EXPECT_EQ(encode(c.bytes), c.text);
        EXPECT_EQ(decode(c.text, strlen(c.bytes)), c.bytes);
    }
    EXPECT_EQ(encode("\xfb\xff\xbf"), "-_-_");
}

TEST(Base64url, EveryRunOfBytesComesBack)
{
    std::mt19937_64 random(1);
    for (size_t size = 0; size < 70; size++) {
        std::string bytes(size, '\0');
        for (char &byte : bytes)
            byte = static_cast<char>(random());
        EXPECT_EQ(decode(encode(bytes), size), bytes);
    }
}

TEST(Base64url, TakesOneSpellingOnly)
{
    EXPECT_EQ(decode("Zg==", 1), "no");
    EXPECT_EQ(decode("Zh", 1), "no"); /* a bit is left over */
    EXPECT_EQ(decode("Zm9", 2), "no");
    EXPECT_EQ(decode("Zm8", 1), "no"); /* another size */
    EXPECT_EQ(decode("Zm8", 3), "no");
    EXPECT_EQ(decode("+/+/", 3), "no");
    EXPECT_EQ(decode("Zm9 ", 3), "no");
    EXPECT_EQ(decode(std::string("Zm9\0", 4), 3), "no");
    EXPECT_EQ(decode("Zm9\xc3", 3), "no");
}
