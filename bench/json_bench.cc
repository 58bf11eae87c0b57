/* Check, split and minify the JSON of an append; bytes are those of the request. */
#include "protocol/json.h"

#include <benchmark/benchmark.h>

#include <string>

enum { TEXT_SIZE = 64 * 1024 };

/* An array that repeats `message` up to TEXT_SIZE; `between` stands behind every comma. */
static std::string ArrayOf(const std::string &message, const std::string &between)
{
    std::string text = "[" + message;

    while (text.size() < TEXT_SIZE)
        text += "," + between + message;
    return text + "]";
}

/* What the texts are like. */
static const struct {
    const char *name;
    std::string text;
} kTexts[] = {
    { "one event of 100 B", R"({"type":"message","id":12345678,"user":"ada","text":"hello, how are)"
                            R"( you today?","at":1700000000123,"ok":true})" },
    { "events", ArrayOf(R"({"type":"message","id":12345678,"user":"ada","text":"hello, how are you)"
                        R"( today?","at":1700000000123,"ok":true})",
                        "") },
    { "events, indented", ArrayOf("{\n    \"type\": \"message\",\n    \"id\": 12345678,\n"
                                  "    \"text\": \"hello, how are you today?\"\n  }",
                                  "\n  ") },
    { "small numbers", ArrayOf("7", "") },
    { "long ASCII strings", ArrayOf('"' + std::string(1000, 'x') + '"', "") },
    { "strings of 2 and 3 bytes a character",
      ArrayOf("\"Grüße aus Köln, 東京からこんにちは\"", "") },
};

static void JsonSplit(benchmark::State &state)
{
    const auto &input = kTexts[state.range(0)];
    struct sl_bytes text = sl_bytes(input.text.data(), input.text.size());
    struct sl_json_split split = {};
    uint32_t messages = 0;

    for (auto _ : state) {
        sl_json_split_clear(&split);
        if (sl_json_split(text, &split) != SL_OK)
            state.SkipWithError("refused");
        messages = split.count;
    }
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size));
    state.SetItemsProcessed(state.iterations() * messages);
    state.SetLabel(input.name);
    sl_json_split_deinit(&split);
}
BENCHMARK(JsonSplit)->DenseRange(0, sizeof kTexts / sizeof *kTexts - 1);
