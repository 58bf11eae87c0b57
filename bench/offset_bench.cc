/* The token of a position: one is written into every answer and read from most requests. */
#include "protocol/offset.h"

#include <benchmark/benchmark.h>

static void OffsetFormat(benchmark::State &state)
{
    char token[SL_OFFSET_TOKEN_SIZE];
    uint64_t offset = 1234567;

    for (auto _ : state) {
        sl_offset_format(offset++, token);
        benchmark::DoNotOptimize(token);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(OffsetFormat);

static void OffsetParse(benchmark::State &state)
{
    char token[SL_OFFSET_TOKEN_SIZE];
    uint64_t offset;

    sl_offset_format(1234567, token);
    for (auto _ : state) {
        benchmark::DoNotOptimize(token);
        benchmark::DoNotOptimize(sl_offset_parse(sl_bytes(token, sizeof token), &offset));
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(OffsetParse);
