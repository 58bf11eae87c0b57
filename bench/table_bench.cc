/* Finding a stream by its name among few and among a million: hash, bucket, comparison. */
#include "base/hash.h"
#include "base/link.h"
#include "stream/stream.h"

#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

enum { LOOKUPS = 1 << 16 };

static const struct sl_hash_key kKey = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

static std::string NameOf(size_t number)
{
    return "tenant-" + std::to_string(number % 1000) + "/chat/" + std::to_string(number);
}

static struct sl_bytes BytesOf(const std::string &text)
{
    return sl_bytes(text.data(), text.size());
}

/* Streams in a table by name, as a shard has them. */
class Streams
{
  public:
    explicit Streams(size_t count)
    {
        struct sl_stream_config config = {};
        struct sl_now now = { 1, 1 };

        for (size_t i = 0; i < count; i++) {
            std::string name = NameOf(i);
            struct sl_stream_setup setup = {};
            setup.name = BytesOf(name);
            setup.content_type = sl_bytes_of("application/json");
            setup.config = &config;
            setup.id = i + 1;
            struct sl_stream *stream = sl_stream_create(&setup, &media_, &now);
            sl_table_insert(&names_, &stream->by_name, sl_hash(&kKey, setup.name));
            streams_.push_back(stream);
        }
    }

    ~Streams()
    {
        for (struct sl_stream *&stream : streams_) {
            sl_table_remove(&names_, &stream->by_name);
            sl_stream_destroy(&stream, &media_);
        }
        sl_table_deinit(&names_);
        sl_media_set_deinit(&media_);
    }

    struct sl_stream *Find(struct sl_bytes name) const
    {
        uint64_t hash = sl_hash(&kKey, name);

        for (struct sl_table_node *node = sl_table_bucket(&names_, hash); node != nullptr;
             node = node->next) {
            struct sl_stream *stream = SL_OBJECT(node, struct sl_stream, by_name);
            if (node->hash == hash && sl_bytes_equal(sl_stream_name(stream), name))
                return stream;
        }
        return nullptr;
    }

  private:
    struct sl_table names_ = {};
    struct sl_media_set media_ = {};
    std::vector<struct sl_stream *> streams_;
};

/* The last ones made are kept: a benchmark is called several times until it runs long enough. */
static const Streams &StreamsOf(size_t count)
{
    static std::unique_ptr<Streams> streams;
    static size_t made;

    if (made != count) {
        streams = std::make_unique<Streams>(count);
        made = count;
    }
    return *streams;
}

static void StreamLookup(benchmark::State &state)
{
    size_t count = static_cast<size_t>(state.range(0));
    const Streams &streams = StreamsOf(count);
    std::mt19937_64 random(1);
    std::vector<std::string> names;
    size_t next = 0;

    for (size_t i = 0; i < LOOKUPS; i++)
        names.push_back(NameOf(random() % count));
    for (auto _ : state) {
        if (streams.Find(BytesOf(names[next++ % LOOKUPS])) == nullptr)
            state.SkipWithError("a stream was not found");
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(StreamLookup)->ArgName("streams")->Arg(100)->Arg(1000000);
