/* A data event and its control event, encoded once for all subscribers; bytes of the payload. */
#include "protocol/sse.h"

#include <benchmark/benchmark.h>

#include <string>

static void SseEvent(benchmark::State &state, enum sl_sse_encoding encoding, const char *message)
{
    std::string payload;
    struct sl_buffer out = {};
    struct sl_sse_data data;
    struct sl_sse_control control = {};

    while (payload.size() < static_cast<size_t>(state.range(0)))
        payload += message;
    control.next_offset = 1234567;
    control.cursor = 3361099;
    control.has_cursor = true;
    control.up_to_date = true;
    for (auto _ : state) {
        sl_buffer_clear(&out);
        sl_sse_data_begin(&data, encoding, &out);
        sl_sse_data_add(&data, sl_bytes(payload.data(), payload.size()), &out);
        sl_sse_data_end(&data, &out);
        sl_sse_control(&out, &control);
        benchmark::DoNotOptimize(out.data);
    }
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(payload.size()));
    state.SetItemsProcessed(state.iterations());
    sl_buffer_deinit(&out);
}

static void SseText(benchmark::State &state)
{
    SseEvent(state, SL_SSE_TEXT, "a line of text that is as long as lines of text are\n");
}
BENCHMARK(SseText)->ArgName("bytes")->Arg(256)->Arg(64 << 10);

static void SseJson(benchmark::State &state)
{
    SseEvent(state, SL_SSE_JSON, R"({"id":12345678,"text":"hello, how are you today?"},)");
}
BENCHMARK(SseJson)->ArgName("bytes")->Arg(256)->Arg(64 << 10);

static void SseBase64(benchmark::State &state)
{
    SseEvent(state, SL_SSE_BASE64, "\x01\x02\xfe\xff");
}
BENCHMARK(SseBase64)->ArgName("bytes")->Arg(256)->Arg(64 << 10);
