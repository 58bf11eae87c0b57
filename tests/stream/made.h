/*
 * stream/made.h - streams of every shape, for the tests of records and snapshots
 */
#ifndef SL_TESTS_STREAM_MADE_H
#define SL_TESTS_STREAM_MADE_H

#include "base/memory.h"
#include "stream/content.h"
#include "stream/stream.h"

/* What a stream is made of; random ones stay within every limit. */
struct Made {
    std::string name = "a/b", content_type = "text/plain", expires_text, source = "src";
    bool has_ttl = false, has_expires_at = false, inherited = false, fork = false;
    uint64_t ttl_s = 0;
    int64_t expires_at_ms = 0;
    uint64_t base = 0, sub_offset = 0;
    std::vector<sl_ancestor> ancestors;

    static std::string Text(std::mt19937_64 &random, size_t min, size_t max)
    {
        size_t size = random() % 4 == 0 ? (random() % 2 ? min : max)
                                        : min + random() % std::min<size_t>(30, max - min + 1);
        std::string text;
        while (text.size() < size)
            text.push_back(static_cast<char>(random()));
        return text;
    }

    static Made Random(std::mt19937_64 &random)
    {
        Made made;
        made.name = Text(random, 1, SL_NAME_SIZE_MAX);
        made.content_type = Text(random, 1, SL_CONTENT_TYPE_SIZE_MAX);
        made.fork = random() % 2 == 0;
        if (made.fork) {
            made.source = Text(random, 1, SL_NAME_SIZE_MAX);
            made.base = random() % 3 == 0 ? 0 : 1 + random() % (uint64_t{ 1 } << random() % 50);
            made.sub_offset = made.base == 0 ? 0 : random() % (made.base + 1);
            uint64_t count = random() % 8 == 0 ? +SL_FORK_DEPTH_MAX : 1 + random() % 3;
            for (uint64_t up_to = made.base; up_to > 0 && made.ancestors.size() < count;
                 up_to = random() % up_to)
                made.ancestors.push_back({ static_cast<uint32_t>(random()), random(), up_to });
        }
        if (random() % 3 == 0) {
            made.has_ttl = true;
            made.ttl_s = random() % 4 == 0 ? 9007199254740991 : random() % 100000;
        } else if (random() % 2 == 0) {
            made.has_expires_at = true;
            made.expires_at_ms = static_cast<int64_t>(random());
            made.expires_text = Text(random, 0, SL_EXPIRES_TEXT_SIZE_MAX);
        }
        made.inherited = made.fork && (made.has_ttl || made.has_expires_at) && random() % 2 == 0;
        return made;
    }

    sl_origin *Origin() const
    {
        if (!fork)
            return nullptr;
        auto *origin =
            static_cast<sl_origin *>(sl_memory_zalloc(sizeof(sl_origin) + source.size()));
        origin->source_shard = 3;
        origin->source_id = 0x1234567890;
        origin->sub_offset = sub_offset;
        origin->offset = base - sub_offset;
        origin->source_size = static_cast<uint16_t>(source.size());
        source.copy(origin->source, source.size());
        if (ancestors.empty())
            return origin;
        size_t bytes = ancestors.size() * sizeof(sl_ancestor);
        origin->lineage = static_cast<sl_lineage *>(sl_memory_alloc(sizeof(sl_lineage) + bytes));
        origin->lineage->count = static_cast<uint32_t>(ancestors.size());
        memcpy(origin->lineage->ancestors, ancestors.data(), bytes);
        return origin;
    }

    sl_stream *Stream(uint64_t id, sl_media_set *media, const sl_now *now) const
    {
        sl_stream_config config = {};
        config.has_ttl = has_ttl;
        config.ttl_s = ttl_s;
        config.has_expires_at = has_expires_at;
        config.expires_at_ms = expires_at_ms;
        config.expires_at_text = BytesOf(expires_text);
        sl_stream_setup setup = {};
        setup.name = BytesOf(name);
        setup.content_type = BytesOf(content_type);
        setup.config = &config;
        setup.lifetime_inherited = inherited;
        setup.id = id;
        setup.base = base;
        setup.origin = Origin();
        return sl_stream_create(&setup, media, now);
    }
};

/* Byte by byte what does not hold pointers: of two origins that say the same. */
inline std::string TextOf(const sl_origin *origin)
{
    if (origin == nullptr)
        return "none";
    std::string text = std::to_string(origin->source_shard) + ' ' +
                       std::to_string(origin->source_id) + ' ' + std::to_string(origin->offset) +
                       ' ' + std::to_string(origin->sub_offset) + ' ' +
                       std::string(origin->source, origin->source_size);
    for (uint32_t i = 0; origin->lineage != nullptr && i < origin->lineage->count; i++) {
        const sl_ancestor &ancestor = origin->lineage->ancestors[i];
        text += ' ' + std::to_string(ancestor.shard) + ':' + std::to_string(ancestor.stream_id) +
                ':' + std::to_string(ancestor.up_to);
    }
    return text;
}

/* Reads from memory of exactly this size, so that a sanitizer sees a read beyond it. */
template <typename Use> void WithExactBytes(const std::string &text, Use use)
{
    std::vector<char> exact(text.begin(), text.end());
    exact.shrink_to_fit();
    use(sl_bytes(exact.data(), exact.size()));
}

#endif
