#include "stream/change.h"

#include "base/limits.h"
#include "protocol/expiry.h"
#include "stream/made.h"

#include <gtest/gtest.h>

namespace
{

std::string Take(sl_buffer *buffer)
{
    std::string text = TextOf(sl_buffer_bytes(buffer));
    sl_buffer_deinit(buffer);
    return text;
}

std::string Varint(uint64_t number)
{
    uint8_t bytes[SL_VARINT_SIZE_MAX];
    return std::string(reinterpret_cast<char *>(bytes), sl_varint_write(number, bytes));
}

std::string Text(const std::string &text)
{
    return Varint(text.size()) + text;
}

std::string Byte(unsigned byte)
{
    return std::string(1, static_cast<char>(byte));
}

void Free(sl_change *change)
{
    if (change->origin != nullptr)
        sl_memory_free(change->origin->lineage);
    sl_memory_free(change->origin);
    change->origin = nullptr;
}

/* Is it taken? Refused changes own nothing and say nothing. */
bool Decodes(uint8_t kind, const std::string &head, size_t payload_size = 0)
{
    sl_change change;
    memset(&change, 0xee, sizeof(change));
    bool ok = false;
    WithExactBytes(head, [&](struct sl_bytes bytes) {
        ok = sl_change_decode(kind, bytes, payload_size, &change);
    });
    EXPECT_TRUE(ok || (change.origin == nullptr && change.name.size == 0 && change.count == 0));
    Free(&change);
    return ok;
}

/* Every shorter one, and one with a byte more, is refused; a wrong bit at least does no harm. */
void CheckDamaged(uint8_t kind, const std::string &head, size_t payload_size)
{
    ASSERT_TRUE(Decodes(kind, head, payload_size));
    for (size_t size = 0; size < head.size(); size++)
        ASSERT_FALSE(Decodes(kind, head.substr(0, size), payload_size)) << size;
    ASSERT_FALSE(Decodes(kind, head + '\0', payload_size));
    for (size_t bit = 0; bit < 8 * head.size(); bit++) {
        std::string wrong = head;
        wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
        Decodes(kind, wrong, payload_size);
    }
}

class Change : public ::testing::Test
{
  protected:
    ~Change() override
    {
        sl_media_set_deinit(&media_);
    }

    std::string Create(const Made &made, const sl_payload &payload, bool closed)
    {
        sl_stream *stream = made.Stream(1, &media_, &now_);
        stream->closed = closed;
        sl_buffer out{};
        sl_change_encode_create(stream, &payload, &out);
        sl_stream_destroy(&stream, &media_);
        return Take(&out);
    }

    static std::string Append(const sl_append &append, const sl_payload &payload)
    {
        sl_buffer out{};
        sl_change_encode_append(&append, &payload, &out);
        return Take(&out);
    }

    sl_media_set media_{};
    sl_now now_{ 1000, 1700000000000 };
};

TEST_F(Change, CreateComesBackAsItWas)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 500; i++) {
        Made made = Made::Random(random);
        Content content = Content::Random(random, 1 + random() % 5, 50);
        sl_payload payload = content.Payload();
        bool closed = random() % 2 == 0;
        if (random() % 2 == 0)
            payload = sl_payload{};
        size_t payload_size = payload.bytes.size + payload.lengths.size;
        std::string head = Create(made, payload, closed);
        sl_change change;
        ASSERT_TRUE(sl_change_decode(SL_CHANGE_CREATE, BytesOf(head), payload_size, &change));
        EXPECT_EQ(change.kind, SL_CHANGE_CREATE);
        EXPECT_EQ(TextOf(change.name), made.name);
        EXPECT_EQ(TextOf(change.config.content_type), made.content_type);
        EXPECT_EQ(change.config.has_ttl, made.has_ttl);
        EXPECT_EQ(change.config.ttl_s, made.ttl_s);
        EXPECT_EQ(change.config.has_expires_at, made.has_expires_at);
        EXPECT_EQ(change.config.expires_at_ms, made.expires_at_ms);
        EXPECT_EQ(TextOf(change.config.expires_at_text), made.expires_text);
        EXPECT_EQ(change.lifetime_inherited, made.inherited);
        EXPECT_EQ(change.base, made.base);
        EXPECT_EQ(change.closed, closed);
        EXPECT_EQ(change.count, payload.count);
        EXPECT_EQ(change.lengths_size, payload.lengths.size);
        sl_origin *origin = made.Origin();
        EXPECT_EQ(TextOf(change.origin), TextOf(origin));
        if (origin != nullptr)
            sl_memory_free(origin->lineage);
        sl_memory_free(origin);
        Free(&change);
        if (i % 10 == 0)
            CheckDamaged(SL_CHANGE_CREATE, head, payload_size);
        ASSERT_FALSE(HasFailure());
    }
}

TEST_F(Change, AppendComesBackAsItWas)
{
    std::mt19937_64 random(2);
    for (int i = 0; i < 500; i++) {
        Content content = Content::Random(random, 1 + random() % 5, 50);
        std::string id = Made::Text(random, 1, SL_PRODUCER_ID_SIZE_MAX);
        std::string seq = Made::Text(random, 0, SL_SEQ_SIZE_MAX);
        sl_append append{};
        append.close = random() % 2 == 0;
        sl_payload payload = content.Payload();
        if (append.close && random() % 2 == 0)
            payload = sl_payload{};
        append.has_producer = random() % 2 == 0;
        if (append.has_producer)
            append.producer = { BytesOf(id), random() % SL_PRODUCER_NUMBER_MAX,
                                SL_PRODUCER_NUMBER_MAX };
        append.has_seq = random() % 2 == 0;
        append.seq = BytesOf(seq);
        size_t payload_size = payload.bytes.size + payload.lengths.size;
        std::string head = Append(append, payload);
        sl_change change;
        ASSERT_TRUE(sl_change_decode(SL_CHANGE_APPEND, BytesOf(head), payload_size, &change));
        EXPECT_EQ(change.kind, SL_CHANGE_APPEND);
        EXPECT_EQ(change.closed, append.close);
        EXPECT_EQ(change.has_producer, append.has_producer);
        EXPECT_EQ(TextOf(change.producer.id), append.has_producer ? id : "");
        EXPECT_EQ(change.producer.epoch, append.producer.epoch);
        EXPECT_EQ(change.producer.sequence, append.producer.sequence);
        EXPECT_EQ(change.has_seq, append.has_seq && payload.count > 0)
            << "a close without data does not look at it";
        EXPECT_EQ(TextOf(change.seq), change.has_seq ? seq : "");
        EXPECT_EQ(change.count, payload.count);
        EXPECT_EQ(change.lengths_size, payload.lengths.size);
        std::string stored = payload.count == 0 ? "" : content.bytes + content.lengths;
        EXPECT_TRUE(sl_change_check_payload(&change, BytesOf(stored)));
        sl_payload again = sl_change_payload(&change, BytesOf(stored));
        EXPECT_EQ(TextOf(again.bytes), payload.count == 0 ? "" : content.bytes);
        EXPECT_EQ(TextOf(again.lengths), payload.count == 0 ? "" : content.lengths);
        EXPECT_EQ(again.count, payload.count);
        EXPECT_EQ(again.block, nullptr);
        if (i % 10 == 0)
            CheckDamaged(SL_CHANGE_APPEND, head, payload_size);
        ASSERT_FALSE(HasFailure());
    }
}

TEST_F(Change, RemoveAndTouchComeBackAsTheyWere)
{
    for (bool soft : { false, true })
        for (sl_removal why : { SL_REMOVAL_DELETE, SL_REMOVAL_EXPIRE, SL_REMOVAL_UNPIN }) {
            if (soft && why == SL_REMOVAL_UNPIN)
                continue;
            sl_buffer out{};
            sl_change_encode_remove(soft, why, &out);
            std::string head = Take(&out);
            sl_change change;
            ASSERT_TRUE(sl_change_decode(SL_CHANGE_REMOVE, BytesOf(head), 0, &change));
            EXPECT_EQ(change.kind, SL_CHANGE_REMOVE);
            EXPECT_EQ(change.soft, soft);
            EXPECT_EQ(change.why, why);
            CheckDamaged(SL_CHANGE_REMOVE, head, 0);
            EXPECT_FALSE(Decodes(SL_CHANGE_REMOVE, head, 1)) << "it has no payload";
        }
    sl_buffer out{};
    sl_change_encode_touch(&out);
    std::string head = Take(&out);
    CheckDamaged(SL_CHANGE_TOUCH, head, 0);
    EXPECT_FALSE(Decodes(SL_CHANGE_TOUCH, head, 1));
    EXPECT_FALSE(Decodes(SL_CHANGE_REMOVE, "\1\6")) << "no such reason";
    EXPECT_FALSE(Decodes(SL_CHANGE_REMOVE, "\1\5")) << "soft, though the last fork is gone";
    EXPECT_FALSE(Decodes(SL_CHANGE_REMOVE, "\1\200")) << "no such flag";
}

TEST_F(Change, RefusesOtherKindsAndFormats)
{
    sl_buffer out{};
    sl_change_encode_touch(&out);
    std::string head = Take(&out);
    for (unsigned kind = 0; kind < 256; kind++)
        EXPECT_EQ(Decodes(static_cast<uint8_t>(kind), head), kind == SL_CHANGE_TOUCH) << kind;
    EXPECT_FALSE(Decodes(SL_CHANGE_TOUCH, Byte(0)));
    EXPECT_FALSE(Decodes(SL_CHANGE_TOUCH, Byte(2)));
}

/* A CREATE by hand: 1 TTL, 2 expiry, 4 inherited, 8 fork, 16 closed, 32 payload. */
std::string Head(unsigned flags, const std::string &rest)
{
    return Byte(1) + Byte(flags) + rest;
}

TEST_F(Change, CreateKeepsEveryLimit)
{
    auto decodes = [](const std::string &head, size_t payload_size = 0) {
        return Decodes(SL_CHANGE_CREATE, head, payload_size);
    };
    const std::string start = Text("n") + Text("t");
    EXPECT_TRUE(decodes(Head(0, start + Varint(0))));
    EXPECT_FALSE(decodes(Head(0, start + Varint(1)))) << "only a fork has a base";
    EXPECT_FALSE(decodes(Head(64, start + Varint(0)))) << "no such flag";
    EXPECT_FALSE(decodes(Head(0, start + "\x80" + Byte(0)))) << "a number in a longer form";
    EXPECT_FALSE(decodes(Head(0, Text("") + Text("t") + Varint(0))));
    EXPECT_FALSE(decodes(Head(0, Text("n") + Text("") + Varint(0))));
    for (int more : { 0, 1 }) {
        std::string name(SL_NAME_SIZE_MAX + more, 'n'), type(SL_CONTENT_TYPE_SIZE_MAX + more, 't');
        std::string expires(SL_EXPIRES_TEXT_SIZE_MAX + more, 'e'), instant(8, 'i');
        EXPECT_EQ(decodes(Head(0, Text(name) + Text("t") + Varint(0))), !more);
        EXPECT_EQ(decodes(Head(0, Text("n") + Text(type) + Varint(0))), !more);
        EXPECT_EQ(decodes(Head(2, start + instant + Text(expires) + Varint(0))), !more);
        EXPECT_EQ(decodes(Head(1, start + Varint(SL_TTL_S_MAX + more) + Varint(0))), !more);
    }
    EXPECT_FALSE(decodes(Head(3, start + Varint(5) + std::string(8, 'i') + Text("e") + Varint(0))))
        << "TTL and expiry";
    EXPECT_FALSE(decodes(Head(5, start + Varint(5) + Varint(0)))) << "inherited by no fork";
}

/* The part of a fork: offset, sub-offset, name of the source, ancestors by up_to. */
std::string Fork(uint64_t base, uint64_t offset, uint64_t sub_offset, const std::string &source,
                 const std::vector<uint64_t> &ancestors)
{
    std::string text = Text("n") + Text("t") + Varint(base) + Varint(1) + Varint(2) +
                       Varint(offset) + Varint(sub_offset) + Text(source) +
                       Varint(ancestors.size());
    for (uint64_t up_to : ancestors)
        text += Varint(1) + Varint(2) + Varint(up_to);
    return Head(8, text);
}

TEST_F(Change, ForksKeepEveryLimit)
{
    auto decodes = [](const std::string &head) { return Decodes(SL_CHANGE_CREATE, head); };
    EXPECT_TRUE(decodes(Fork(0, 0, 0, "s", {})));
    EXPECT_TRUE(decodes(Fork(10, 10, 0, "s", { 10 })));
    EXPECT_TRUE(decodes(Fork(10, 4, 6, "s", { 10, 9, 1 })));
    EXPECT_FALSE(decodes(Fork(10, 11, 0, "s", { 10 })));
    EXPECT_FALSE(decodes(Fork(10, 4, 7, "s", { 10 })));
    EXPECT_FALSE(decodes(Fork(10, 10, 0, "", { 10 })));
    EXPECT_FALSE(decodes(Fork(10, 10, 0, "s", {}))) << "nobody has what was inherited";
    EXPECT_FALSE(decodes(Fork(0, 0, 0, "s", { 0 })));
    EXPECT_FALSE(decodes(Fork(10, 10, 0, "s", { 9 }))) << "a gap before the fork's own data";
    EXPECT_FALSE(decodes(Fork(10, 10, 0, "s", { 11 })));
    EXPECT_FALSE(decodes(Fork(10, 10, 0, "s", { 10, 10 }))) << "the second has nothing to give";
    EXPECT_FALSE(decodes(Fork(10, 10, 0, "s", { 10, 0 })));
    for (uint64_t more : { 0, 1 }) {
        std::vector<uint64_t> ancestors;
        for (uint64_t i = 0; i < SL_FORK_DEPTH_MAX + more; i++)
            ancestors.push_back(1000 - i);
        EXPECT_EQ(decodes(Fork(1000, 1000, 0, "s", ancestors)), !more);
        std::string source(SL_NAME_SIZE_MAX + more, 's');
        EXPECT_EQ(decodes(Fork(10, 10, 0, source, { 10 })), !more);
        uint64_t base = SL_OFFSET_MAX + more;
        EXPECT_EQ(decodes(Fork(base, base, 0, "s", { base })), !more);
    }
}

/* An APPEND by hand: 1 closes, 2 producer, 4 seq, 8 payload. */
TEST_F(Change, AppendKeepsEveryLimit)
{
    auto decodes = [](const std::string &head, size_t payload_size = 0) {
        return Decodes(SL_CHANGE_APPEND, head, payload_size);
    };
    EXPECT_TRUE(decodes(Head(1, "")));
    EXPECT_FALSE(decodes(Head(0, ""))) << "nothing happens";
    EXPECT_FALSE(decodes(Head(16, ""))) << "no such flag";
    EXPECT_FALSE(decodes(Head(1, ""), 1)) << "a payload that nobody speaks of";
    EXPECT_FALSE(decodes(Head(5, Text("s")))) << "a sequence without data";
    EXPECT_FALSE(decodes(Head(3, Text("") + Varint(0) + Varint(0))));
    for (uint64_t more : { 0, 1 }) {
        std::string id(SL_PRODUCER_ID_SIZE_MAX + more, 'p'), seq(SL_SEQ_SIZE_MAX + more, 's');
        uint64_t number = SL_PRODUCER_NUMBER_MAX + more;
        EXPECT_EQ(decodes(Head(3, Text(id) + Varint(0) + Varint(0))), !more);
        EXPECT_EQ(decodes(Head(3, Text("p") + Varint(number) + Varint(0))), !more);
        EXPECT_EQ(decodes(Head(3, Text("p") + Varint(0) + Varint(number))), !more);
        EXPECT_EQ(decodes(Head(12, Text(seq) + Varint(1) + Varint(0)), 5), !more);
        uint64_t count = SL_MESSAGES_PER_REQUEST_MAX + more;
        EXPECT_EQ(decodes(Head(8, Varint(count) + Varint(count)), 2 * count), !more);
        EXPECT_EQ(decodes(Head(8, Varint(1) + Varint(0)),
                          SL_BODY_SIZE_MAX + SL_MESSAGES_PER_REQUEST_MAX + more),
                  !more);
    }
    EXPECT_FALSE(decodes(Head(8, Varint(0) + Varint(0)), 0));
    EXPECT_FALSE(decodes(Head(8, Varint(0) + Varint(0)), 5));
    EXPECT_FALSE(decodes(Head(8, Varint(1) + Varint(0)), 0)) << "no bytes";
    EXPECT_FALSE(decodes(Head(8, Varint(1) + Varint(1)), 5)) << "one message needs no length";
    EXPECT_TRUE(decodes(Head(8, Varint(2) + Varint(2)), 4));
    EXPECT_FALSE(decodes(Head(8, Varint(2) + Varint(1)), 4)) << "a length each";
    EXPECT_FALSE(decodes(Head(8, Varint(2) + Varint(2)), 3)) << "a byte each";
    EXPECT_FALSE(decodes(Head(8, Varint(2) + Varint(5)), 4)) << "more lengths than payload";
}

TEST_F(Change, LengthsMustBeThoseOfThePayload)
{
    for (uint32_t count : { 2u, 255u, 256u, 257u, 512u, 513u, 1000u }) {
        std::vector<size_t> sizes;
        std::string bytes;
        for (uint32_t i = 0; i < count; i++) {
            sizes.push_back(1 + i * 7 % 300);
            bytes.append(sizes.back(), 'x');
        }
        Content content(bytes, sizes);
        sl_buffer lengths{};
        sl_buffer_append(&lengths, content.lengths.data(), content.lengths.size());
        sl_lengths_add_index(&lengths, count);
        std::string all = Take(&lengths);
        sl_change change{};
        change.kind = SL_CHANGE_APPEND;
        change.count = count;
        change.lengths_size = static_cast<uint32_t>(all.size());
        EXPECT_TRUE(sl_change_check_payload(&change, BytesOf(bytes + all)));
        for (size_t i = 0; i < all.size(); i++) {
            std::string wrong = all;
            wrong[i] ^= 1;
            WithExactBytes(bytes + wrong, [&](struct sl_bytes payload) {
                EXPECT_FALSE(sl_change_check_payload(&change, payload)) << count << " " << i;
            });
        }
        EXPECT_FALSE(sl_change_check_payload(&change, BytesOf(bytes + "x" + all)));
        EXPECT_FALSE(sl_change_check_payload(&change, BytesOf(bytes.substr(1) + all)));
        change.lengths_size++;
        std::string longer = all;
        longer.insert(content.lengths.size(), 1, '\1');
        EXPECT_FALSE(sl_change_check_payload(&change, BytesOf(bytes + longer)));
        change.lengths_size--;
        for (uint32_t wrong : { count - 1, count + 1, count + 256, 1u, UINT32_MAX }) {
            change.count = wrong;
            EXPECT_FALSE(sl_change_check_payload(&change, BytesOf(bytes + all))) << wrong;
        }
    }
}

TEST_F(Change, LengthsMustNotAddUpByOverflow)
{
    const size_t size = size_t{ 1 } << 30;
    std::string lengths;
    for (int i = 0; i < 5; i++)
        lengths += Varint(size);
    EXPECT_FALSE(sl_lengths_are_valid(BytesOf(lengths), 5, size)) << "2^32 too many";
}

} // namespace
