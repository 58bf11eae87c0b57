/*
 * stream/content.h - what one append brings, for the tests of this room
 *
 * Why      A payload borrows; this owns, and remembers where the messages end.
 */
#ifndef SL_TESTS_STREAM_CONTENT_H
#define SL_TESTS_STREAM_CONTENT_H

#include "protocol/varint.h"
#include "stream/slab.h"

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

struct Content {
    std::string bytes;
    std::string lengths;       /* as the session makes them: only when there are several messages */
    std::vector<size_t> sizes; /* of the messages */

    explicit Content(std::string text) : Content(std::move(text), {})
    {
    }

    Content(std::string text, std::vector<size_t> messages)
        : bytes(std::move(text)), sizes(std::move(messages))
    {
        if (sizes.empty())
            sizes = { bytes.size() };
        for (size_t size : sizes.size() > 1 ? sizes : std::vector<size_t>()) {
            uint8_t varint[SL_VARINT_SIZE_MAX];
            lengths.append(reinterpret_cast<char *>(varint), sl_varint_write(size, varint));
        }
    }

    /* Random bytes: `count` messages of 1 to `size_max` bytes each. */
    static Content Random(std::mt19937_64 &random, size_t count, size_t size_max)
    {
        std::vector<size_t> sizes;
        std::string bytes;
        for (size_t i = 0; i < count; i++) {
            sizes.push_back(1 + random() % size_max);
            for (size_t n = sizes.back(); n > 0; n--)
                bytes.push_back(static_cast<char>(random()));
        }
        return Content(bytes, sizes);
    }

    sl_payload Payload() const
    {
        sl_payload payload = {};
        payload.bytes = sl_bytes(bytes.data(), bytes.size());
        payload.lengths = sl_bytes(lengths.data(), lengths.size());
        payload.count = static_cast<uint32_t>(sizes.size());
        return payload;
    }

    /* The same in a block of its own, as a session makes it of a large one. */
    sl_payload PayloadInBlock(sl_account *account) const
    {
        sl_payload payload = Payload();
        payload.block = sl_block_create(bytes.size() + lengths.size(), account);
        memcpy(sl_block_data(payload.block), bytes.data(), bytes.size());
        memcpy(sl_block_data(payload.block) + bytes.size(), lengths.data(), lengths.size());
        payload.bytes.data = sl_block_data(payload.block);
        return payload;
    }
};

inline std::string TextOf(struct sl_bytes bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

inline struct sl_bytes BytesOf(const std::string &text)
{
    return sl_bytes(text.data(), text.size());
}

#endif
