#include "hooks/token.h"

#include "protocol/text.h"

#include <gtest/gtest.h>

#include <vector>

static const uint8_t kSecret[SL_TOKEN_SECRET_SIZE] = { 1, 2, 3 };
static const struct sl_token kToken = { 0x0102030405060708, 7, 1764132000123 };

static std::string format(const struct sl_token &token, std::string_view id = "sub-1",
                          const uint8_t *secret = kSecret)
{
    std::string text(SL_TOKEN_SIZE, '?');
    sl_token_format(secret, Text(id), &token, text.data());
    return text;
}

static bool parse(std::string_view text, struct sl_token *token, std::string_view id = "sub-1",
                  const uint8_t *secret = kSecret)
{
    memset(token, 0xff, sizeof(*token));
    bool good = sl_token_parse(secret, Text(id), Text(text), token);
    if (!good) {
        EXPECT_EQ(token->incarnation | token->generation |
                      static_cast<uint64_t>(token->expires_at_ms),
                  0u);
    }
    return good;
}

static bool parses(std::string_view text, std::string_view id = "sub-1",
                   const uint8_t *secret = kSecret)
{
    struct sl_token token;
    return parse(text, &token, id, secret);
}

TEST(Token, SaysWhatItWasMadeOf)
{
    static const struct sl_token tokens[] = {
        kToken,
        { 0, 0, 0 },
        { UINT64_MAX, UINT64_MAX, INT64_MAX },
        { 1, 2, INT64_MIN },
    };
    for (const struct sl_token &token : tokens) {
        struct sl_token parsed;
        ASSERT_TRUE(parse(format(token), &parsed));
        EXPECT_EQ(parsed.incarnation, token.incarnation);
        EXPECT_EQ(parsed.generation, token.generation);
        EXPECT_EQ(parsed.expires_at_ms, token.expires_at_ms);
    }
}

/* Tokens outlive the process that made them, and the program. */
TEST(Token, StaysTheSameInEveryVersion)
{
    EXPECT_EQ(format(kToken), "AQECAwQFBgcIAAAAAAAAAAcAAAGavnYRe3UJyT"
                              "lg7tMfCX7Q9ZO1zrAX8KlhbiKywJKaHhNxA3k0");
}

TEST(Token, IsOfOneSubscription)
{
    std::string text = format(kToken, "sub-1");
    EXPECT_TRUE(parses(text, "sub-1"));
    EXPECT_FALSE(parses(text, "sub-2"));
    EXPECT_FALSE(parses(text, "sub-"));
    EXPECT_FALSE(parses(text, "sub-11"));
    EXPECT_FALSE(parses(text, ""));
    EXPECT_TRUE(parses(format(kToken, ""), ""));
}

TEST(Token, IsOfOneSecret)
{
    uint8_t other[SL_TOKEN_SECRET_SIZE];
    for (size_t i = 0; i < sizeof(other); i++) {
        memcpy(other, kSecret, sizeof(other));
        other[i] ^= 0x80;
        EXPECT_FALSE(parses(format(kToken), "sub-1", other));
        EXPECT_FALSE(parses(format(kToken, "sub-1", other)));
    }
}

TEST(Token, EveryCharacterCounts)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const std::string good = format(kToken);
    for (size_t i = 0; i < good.size(); i++) {
        for (const char *digit = digits; *digit != '\0'; digit++) {
            std::string text = good;
            text[i] = *digit;
            EXPECT_EQ(parses(text), text == good) << i << " " << *digit;
        }
    }
}

TEST(Token, HasOneLength)
{
    const std::string good = format(kToken);
    EXPECT_EQ(good.size(), 76u);
    EXPECT_FALSE(parses(good.substr(0, good.size() - 1)));
    EXPECT_FALSE(parses(good + "A"));
    EXPECT_FALSE(parses(good + "="));
    EXPECT_FALSE(parses(" " + good));
    EXPECT_FALSE(parses(good + good));
    EXPECT_FALSE(parses(""));
    EXPECT_FALSE(parses(std::string(SL_TOKEN_SIZE, 'A')));
    EXPECT_FALSE(parses(std::string(SL_TOKEN_SIZE, '\0')));
    EXPECT_FALSE(parses(std::string(SL_TOKEN_SIZE, '=')));
    EXPECT_FALSE(parses(std::string(1 << 20, 'A')));
}
