#include "stream/snapshot.h"

#include "stream/change.h"
#include "stream/made.h"

#include <gtest/gtest.h>

namespace
{

constexpr uint64_t kHour = 3600 * 1000;

class Snapshot : public ::testing::Test
{
  protected:
    Snapshot()
    {
        sl_slab_init(&slab_, 4096, &account_);
    }

    ~Snapshot() override
    {
        sl_slab_deinit(&slab_);
        sl_media_set_deinit(&media_);
        EXPECT_EQ(sl_account_bytes(&account_), 0u);
    }

    std::string Encode(const sl_stream *stream)
    {
        sl_buffer out{};
        sl_snapshot_encode(stream, &now_, &out);
        std::string text = TextOf(sl_buffer_bytes(&out));
        sl_buffer_deinit(&out);
        return text;
    }

    sl_stream *Decode(const std::string &text, uint64_t *end = nullptr)
    {
        sl_stream *stream = nullptr;
        uint64_t there = 77;
        WithExactBytes(text, [&](struct sl_bytes bytes) {
            stream = sl_snapshot_decode(bytes, 99, &media_, &now_, &there);
        });
        if (stream != nullptr)
            CheckDecoded(stream);
        else
            EXPECT_EQ(there, 0u);
        if (end != nullptr)
            *end = there;
        return stream;
    }

    bool Decodes(const std::string &text)
    {
        sl_stream *stream = Decode(text);
        bool ok = stream != nullptr;
        if (ok)
            sl_stream_destroy(&stream, &media_);
        return ok;
    }

    /* An append with everything that `random` asks for. */
    void Append(sl_stream *stream, std::mt19937_64 &random, bool close)
    {
        std::string id = "producer " + std::to_string(random() % 6),
                    seq = Made::Text(random, 0, 256);
        Content content = Content::Random(random, 1, 20);
        sl_payload payload = content.Payload();
        sl_append append{};
        append.close = close;
        append.has_producer = random() % 3 > 0;
        append.producer = { BytesOf(id), random() % 100, random() % 100 };
        append.has_seq = random() % 3 == 0;
        append.seq = BytesOf(seq);
        sl_judgement judgement{};
        if (append.has_producer && stream->writers != nullptr)
            judgement.producer = sl_producer_find(&stream->writers->producers, append.producer.id);
        sl_stream_apply_append(stream, &append, &judgement, &slab_, &payload, 4, &now_);
        stream->accessed_ms = now_.running_ms;
        now_.running_ms += random() % kHour;
    }

    static std::string ProducersOf(const sl_stream *stream, uint64_t running_ms)
    {
        std::string text;
        if (stream->writers == nullptr)
            return "none";
        const sl_link *head = &stream->writers->producers.by_age;
        for (sl_link *link = head->next; link != head; link = link->next) {
            auto *state = SL_OBJECT(link, sl_producer_state, by_age);
            text += std::string(state->id, state->id_size) + ' ' + std::to_string(state->epoch) +
                    ' ' + std::to_string(state->sequence) + ' ' +
                    std::to_string(running_ms - state->used_ms) +
                    (state == stream->writers->closer ? " closer, " : ", ");
        }
        return text + (stream->writers->has_seq
                           ? "seq " + std::string(stream->writers->seq, stream->writers->seq_size)
                           : "");
    }

    sl_media_set media_{};
    sl_account account_{};
    sl_slab slab_{};
    sl_now now_{ 1000 * kHour, 1700000000000 };

  private:
    static void CheckDecoded(const sl_stream *stream)
    {
        EXPECT_EQ(sl_log_end(&stream->log), stream->log.base);
        EXPECT_EQ(stream->durable_closed, stream->closed);
        EXPECT_TRUE(stream->durable_created);
        EXPECT_EQ(stream->id, 99u);
        EXPECT_FALSE(stream->removed);
        EXPECT_EQ(stream->forks, 0u);
        EXPECT_EQ(stream->state_segment, nullptr);
    }
};

TEST_F(Snapshot, AStreamComesBackAsItWas)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 300; i++) {
        Made made = Made::Random(random);
        sl_stream *stream = made.Stream(99, &media_, &now_);
        for (size_t n = random() % 10; n > 0; n--)
            Append(stream, random, n == 1 && random() % 2 == 0);
        stream->soft_deleted = random() % 4 == 0;
        sl_now before = now_;
        std::string text = Encode(stream);
        /* The machine was off for a while, and its running clock starts again. */
        now_ = { 500 * kHour, now_.wall_ms + 12345 };
        uint64_t end = 0;
        sl_stream *again = Decode(text, &end);
        ASSERT_NE(again, nullptr);
        EXPECT_EQ(TextOf(sl_stream_name(again)), made.name);
        EXPECT_EQ(again->media, stream->media);
        EXPECT_EQ(again->log.base, made.base);
        EXPECT_EQ(end, sl_log_end(&stream->log));
        EXPECT_EQ(again->durable_tail, end);
        EXPECT_EQ(again->closed, stream->closed);
        EXPECT_EQ(again->soft_deleted, stream->soft_deleted);
        EXPECT_EQ(TextOf(again->origin), TextOf(stream->origin));
        EXPECT_EQ(ProducersOf(again, now_.running_ms - 12345),
                  ProducersOf(stream, before.running_ms));
        struct sl_stream_view views[2];
        memset(views, 0, sizeof(views));
        sl_stream_view(stream, 0, false, &before, &views[0]);
        sl_stream_view(again, 0, false, &now_, &views[1]);
        views[0].remaining_ms = views[1].remaining_ms = 0;
        EXPECT_EQ(memcmp(&views[0], &views[1], sizeof(views[0])), 0);
        EXPECT_EQ(again->lifetime != nullptr && again->lifetime->inherited, made.inherited);
        EXPECT_EQ(sl_stream_memory(again), sl_stream_memory(stream) - sl_log_memory(&stream->log));
        sl_stream_destroy(&again, &media_);
        sl_stream_destroy(&stream, &media_);
        now_ = before;
        ASSERT_FALSE(HasFailure()) << i;
    }
}

TEST_F(Snapshot, IsTheSameAgainWhenNothingHappened)
{
    std::mt19937_64 random(2);
    for (int i = 0; i < 100; i++) {
        Made made = Made::Random(random);
        made.has_ttl = made.inherited = false; /* a restart moves the access of those */
        sl_stream *stream = made.Stream(99, &media_, &now_);
        std::string text = Encode(stream);
        sl_stream *again = Decode(text);
        ASSERT_NE(again, nullptr);
        EXPECT_EQ(Encode(again), text);
        sl_stream_destroy(&again, &media_);
        sl_stream_destroy(&stream, &media_);
    }
}

TEST_F(Snapshot, RefusesEveryShorterAndLongerOneAndSurvivesEveryWrongBit)
{
    std::mt19937_64 random(3);
    for (int i = 0; i < 30; i++) {
        sl_stream *stream = Made::Random(random).Stream(99, &media_, &now_);
        for (size_t n = random() % 8; n > 0; n--)
            Append(stream, random, n == 1);
        std::string text = Encode(stream);
        sl_stream_destroy(&stream, &media_);
        for (size_t size = 0; size < text.size(); size++)
            ASSERT_FALSE(Decodes(text.substr(0, size))) << size;
        ASSERT_FALSE(Decodes(text + '\0'));
        for (size_t bit = 0; bit < 8 * text.size(); bit++) {
            std::string wrong = text;
            wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
            Decodes(wrong);
        }
    }
}

std::string Number(uint64_t number)
{
    uint8_t bytes[SL_VARINT_SIZE_MAX];
    return std::string(reinterpret_cast<char *>(bytes), sl_varint_write(number, bytes));
}

/* A snapshot by hand: of stream "n", text "t", without base; what follows is from `end` on. */
std::string Head(unsigned flags, const std::string &rest)
{
    return std::string("\1") + static_cast<char>(flags) + "\1n\1t" + Number(0) + rest;
}

std::string Producer(const std::string &id, uint64_t epoch, uint64_t sequence, unsigned closer)
{
    return Number(id.size()) + id + Number(epoch) + Number(sequence) + std::string(8, '\0') +
           static_cast<char>(closer);
}

TEST_F(Snapshot, KeepsEveryLimit)
{
    const std::string instant(8, '\0'), state = Number(5) + instant;
    EXPECT_TRUE(Decodes(Head(0, state + Number(0))));
    EXPECT_FALSE(Decodes(Head(32, state + Number(0)))) << "a payload";
    EXPECT_TRUE(Decodes(Head(128, state + Number(0)))) << "soft-deleted";
    EXPECT_TRUE(Decodes(Head(0, state + Number(1) + Producer("p", 1, 2, 0))));
    EXPECT_FALSE(Decodes(Head(0, state + Number(2) + Producer("p", 1, 2, 0))));
    EXPECT_FALSE(Decodes(Head(0, state + Number(0) + Producer("p", 1, 2, 0))));
    EXPECT_FALSE(Decodes(Head(0, state + Number(UINT64_MAX) + Producer("p", 1, 2, 0))));
    EXPECT_FALSE(Decodes(Head(0, state + Number(1) + Producer("p", 1, 2, 1)))) << "not closed";
    EXPECT_TRUE(Decodes(Head(16, state + Number(1) + Producer("p", 1, 2, 1))));
    EXPECT_FALSE(Decodes(Head(16, state + Number(1) + Producer("p", 1, 2, 2))));
    std::string two = Producer("p", 1, 2, 1);
    EXPECT_FALSE(Decodes(Head(16, state + Number(2) + two + two))) << "twice the same";
    EXPECT_FALSE(Decodes(Head(16, state + Number(2) + two + Producer("q", 1, 2, 1))))
        << "closed by two";
    EXPECT_TRUE(Decodes(Head(16, state + Number(2) + two + Producer("q", 1, 2, 0))));
    EXPECT_FALSE(Decodes(Head(0, state + Number(1) + Producer("", 1, 2, 0) + "x")));
    for (uint64_t more : { 0, 1 }) {
        uint64_t number = SL_PRODUCER_NUMBER_MAX + more;
        std::string id(SL_PRODUCER_ID_SIZE_MAX + more, 'p'), seq(SL_SEQ_SIZE_MAX + more, 's');
        EXPECT_EQ(Decodes(Head(0, Number(SL_OFFSET_MAX + more) + instant + Number(0))), !more);
        EXPECT_EQ(Decodes(Head(0, state + Number(1) + Producer(id, 1, 2, 0))), !more);
        EXPECT_EQ(Decodes(Head(0, state + Number(1) + Producer("p", number, 2, 0))), !more);
        EXPECT_EQ(Decodes(Head(0, state + Number(1) + Producer("p", 1, number, 0))), !more);
        EXPECT_EQ(Decodes(Head(64, state + Number(seq.size()) + seq + Number(0))), !more);
    }
}

TEST_F(Snapshot, TheEndIsNotBeforeTheBase)
{
    Made made;
    made.fork = true;
    made.base = 300;
    made.ancestors = { { 1, 2, 300 } };
    sl_stream *stream = made.Stream(99, &media_, &now_);
    std::string text = Encode(stream);
    sl_stream_destroy(&stream, &media_);
    size_t at = text.size() - 1 - 8 - 2; /* two bytes of end, the instant, no producers */
    ASSERT_EQ(text.substr(at, 2), Number(300));
    EXPECT_TRUE(Decodes(text.replace(at, 2, Number(301))));
    EXPECT_FALSE(Decodes(text.replace(at, 2, Number(299))));
}

TEST_F(Snapshot, InstantsAreNeverInTheFutureNorBeforeTheClock)
{
    for (int64_t jump_ms : { INT64_MIN / 4, INT64_C(-1), INT64_C(0), INT64_C(1), INT64_MAX / 4 }) {
        std::mt19937_64 random(4);
        Made made;
        made.has_ttl = true;
        made.ttl_s = 1000000;
        sl_now then = now_;
        sl_stream *stream = made.Stream(99, &media_, &now_);
        for (int i = 0; i < 10; i++)
            Append(stream, random, false);
        std::string text = Encode(stream);
        sl_stream_destroy(&stream, &media_);
        now_.wall_ms += jump_ms;
        stream = Decode(text);
        ASSERT_NE(stream, nullptr);
        EXPECT_LE(stream->accessed_ms, now_.running_ms);
        EXPECT_LE(stream->lifetime->logged_ms, stream->accessed_ms);
        const sl_link *head = &stream->writers->producers.by_age;
        for (sl_link *link = head->next; link != head; link = link->next) {
            auto *state = SL_OBJECT(link, sl_producer_state, by_age);
            EXPECT_LE(state->used_ms, now_.running_ms);
            EXPECT_TRUE(jump_ms < INT64_MAX / 4 || state->used_ms == 0);
        }
        sl_stream_destroy(&stream, &media_);
        now_ = then;
    }
}

} // namespace
