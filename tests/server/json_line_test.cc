#include "server/json_line.h"

#include "protocol/json.h"

#include <gtest/gtest.h>

#include <string>

namespace
{

/* A line, built by `fill`; without its newline. */
template <typename Fill> std::string Line(Fill fill)
{
    sl_buffer line = {};
    sl_json_line_begin(&line, "x");
    fill(&line);
    sl_json_line_end(&line);
    std::string text(reinterpret_cast<const char *>(line.data), line.size);
    sl_buffer_deinit(&line);
    EXPECT_EQ(text.back(), '\n');
    text.pop_back();
    EXPECT_EQ(text.find('\n'), std::string::npos);
    struct sl_json_split split = {};
    EXPECT_EQ(sl_json_split(sl_bytes(text.data(), text.size()), &split), SL_OK) << text;
    sl_json_split_deinit(&split);
    return text;
}

std::string Text(const std::string &bytes)
{
    return Line([&](sl_buffer *line) {
        sl_json_line_text(line, "t", sl_bytes(bytes.data(), bytes.size()));
    });
}

std::string Base64(const std::string &bytes)
{
    return Line([&](sl_buffer *line) {
        sl_json_line_base64(line, "b", sl_bytes(bytes.data(), bytes.size()));
    });
}

TEST(JsonLine, HasNumbersAndFlags)
{
    EXPECT_EQ(Line([](sl_buffer *line) {
                  sl_json_line_number(line, "n", UINT64_MAX);
                  sl_json_line_signed(line, "s", INT64_MIN);
                  sl_json_line_hex(line, "h", 255);
                  sl_json_line_flag(line, "f", true);
              }),
              "{\"kind\":\"x\",\"n\":18446744073709551615,\"s\":-9223372036854775808,"
              "\"h\":\"00000000000000ff\",\"f\":true}");
}

TEST(JsonLine, LeavesTextAloneAndEscapesWhatItMust)
{
    EXPECT_EQ(Text("a/\u00e4\"\\"), "{\"kind\":\"x\",\"t\":\"a/\u00e4\\\"\\\\\"}");
    EXPECT_EQ(Text(std::string("\n\0\x7f", 3)), "{\"kind\":\"x\",\"t\":\"\\u000a\\u0000\\u007f\"}");
}

TEST(JsonLine, IsValidWhateverTheTextHolds)
{
    EXPECT_EQ(Text("\xe4"), "{\"kind\":\"x\",\"t\":\"\\u00e4\"}");
    std::string all;
    for (int byte = 0; byte < 256; byte++) {
        Text(std::string(1, static_cast<char>(byte)));
        all += static_cast<char>(byte);
    }
    Text(all);
}

TEST(JsonLine, WritesBase64)
{
    const char *wanted[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t size = 0; size <= 6; size++)
        EXPECT_EQ(Base64(std::string("foobar", size)),
                  "{\"kind\":\"x\",\"b\":\"" + std::string(wanted[size]) + "\"}");
    EXPECT_EQ(Base64("\xff\xfe\xfd"), "{\"kind\":\"x\",\"b\":\"//79\"}");
}

} // namespace
