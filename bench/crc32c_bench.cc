/* The checksum of everything that goes to the disk. */
#include "base/crc32c.h"

#include <benchmark/benchmark.h>

#include <vector>

static void Crc32c(benchmark::State &state)
{
    std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 'x');

    for (auto _ : state)
        benchmark::DoNotOptimize(sl_crc32c(0, bytes.data(), bytes.size()));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Crc32c)->ArgName("bytes")->Arg(64)->Arg(4096)->Arg(64 << 10)->Arg(1 << 20);
