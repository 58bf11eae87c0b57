#include "stream/stream.h"

#include "base/memory.h"
#include "protocol/expiry.h"
#include "stream/change.h"
#include "stream/content.h"
#include "stream/snapshot.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <memory>

namespace
{

constexpr unsigned kProducersMax = 3;
constexpr uint64_t kId = 0x1234;

/* Everything that a CREATE can say, in memory of its own. */
struct Asked {
    std::string name = "s", content_type = "text/plain", expires_text, source = "src";
    bool has_ttl = false, has_expires_at = false, inherited = false, fork = false;
    uint64_t ttl_s = 0;
    int64_t expires_at_ms = 0;
    uint64_t id = kId, base = 0, offset = 0, sub_offset = 0;
    sl_lineage *lineage = nullptr; /* goes to the stream */

    void Ttl(uint64_t seconds)
    {
        has_ttl = true;
        ttl_s = seconds;
    }

    void ExpiresAt(int64_t instant_ms)
    {
        has_expires_at = true;
        expires_at_ms = instant_ms;
    }

    sl_origin *Origin() const
    {
        if (!fork)
            return nullptr;
        void *memory = sl_memory_zalloc(sizeof(sl_origin) + source.size());
        auto *origin = static_cast<sl_origin *>(memory);
        origin->lineage = lineage;
        origin->offset = offset;
        origin->sub_offset = sub_offset;
        origin->source_size = static_cast<uint16_t>(source.size());
        source.copy(origin->source, source.size());
        return origin;
    }
};

sl_stream_config ConfigOf(const Asked &asked)
{
    sl_stream_config config = {};
    config.has_ttl = asked.has_ttl;
    config.ttl_s = asked.ttl_s;
    config.has_expires_at = asked.has_expires_at;
    config.expires_at_ms = asked.expires_at_ms;
    config.expires_at_text = BytesOf(asked.expires_text);
    return config;
}

class Stream : public ::testing::Test
{
  protected:
    Stream()
    {
        sl_slab_init(&slab_, 4096, &account_);
    }

    ~Stream() override
    {
        while (!streams_.empty())
            Destroy(streams_.back());
        sl_slab_deinit(&slab_);
        sl_media_set_deinit(&media_);
        EXPECT_EQ(sl_account_bytes(&account_), 0u);
    }

    sl_stream *Make(const Asked &asked = Asked())
    {
        sl_stream_config config = ConfigOf(asked);
        sl_stream_setup setup = {};
        setup.name = BytesOf(asked.name);
        setup.content_type = BytesOf(asked.content_type);
        setup.config = &config;
        setup.lifetime_inherited = asked.inherited;
        setup.id = asked.id;
        setup.base = asked.base;
        setup.origin = asked.Origin();
        sl_stream *stream = sl_stream_create(&setup, &media_, &now_);
        streams_.push_back(stream);
        sl_stream_check(stream);
        return stream;
    }

    void Destroy(sl_stream *stream)
    {
        streams_.erase(std::find(streams_.begin(), streams_.end(), stream));
        size_t memory = sl_stream_memory(stream);
        EXPECT_EQ(sl_stream_destroy(&stream, &media_), memory);
        EXPECT_EQ(stream, nullptr);
    }

    enum sl_err Judge(const sl_stream *stream, sl_append *append, bool has_data,
                      enum sl_err late_err = SL_OK)
    {
        return sl_stream_judge(stream, append, has_data, late_err, kProducersMax, &now_,
                               &judgement_);
    }

    /* Judges and, when it is accepted, applies. */
    enum sl_err Append(sl_stream *stream, sl_append append, const std::string &text)
    {
        enum sl_err err = Judge(stream, &append, !text.empty());
        EXPECT_EQ(err == SL_OK, judgement_.verdict != SL_VERDICT_REFUSED);
        if (judgement_.verdict != SL_VERDICT_ACCEPTED)
            return err;
        Content content(text);
        sl_payload payload = content.Payload();
        auto before = static_cast<int64_t>(sl_stream_memory(stream));
        int64_t change = sl_stream_apply_append(stream, &append, &judgement_, &slab_, &payload,
                                                kProducersMax, &now_);
        EXPECT_EQ(static_cast<int64_t>(sl_stream_memory(stream)), before + change);
        sl_stream_check(stream);
        return SL_OK;
    }

    std::string Bytes(const sl_stream *stream)
    {
        struct sl_log_read read = {};
        read.start = stream->log.base;
        read.bound = sl_log_end(&stream->log);
        read.page_size = read.piece_size = UINT32_MAX;
        sl_pieces pieces = {};
        EXPECT_EQ(sl_log_read(&stream->log, &read, &account_, &pieces), SL_OK);
        std::string text;
        for (uint32_t i = 0; i < pieces.count; i++)
            text += TextOf(pieces.slices[i]);
        sl_pieces_clear(&pieces);
        return text;
    }

    struct sl_stream_view View(const sl_stream *stream, uint64_t tail = 0, bool closed = false)
    {
        struct sl_stream_view view;
        memset(&view, 0xee, sizeof(view));
        sl_stream_view(stream, tail, closed, &now_, &view);
        return view;
    }

    sl_account account_{};
    sl_slab slab_{};
    sl_media_set media_{};
    sl_now now_{ 1000, 1700000000000 };
    sl_judgement judgement_{};
    std::vector<sl_stream *> streams_;
};

/* ---- create and destroy ---- */

TEST_F(Stream, BeginsOpenAndEmpty)
{
    Asked asked;
    asked.name = "a/b";
    asked.base = 0;
    sl_stream *stream = Make(asked);
    EXPECT_EQ(TextOf(sl_stream_name(stream)), "a/b");
    EXPECT_EQ(stream->id, kId);
    EXPECT_EQ(sl_log_end(&stream->log), 0u);
    EXPECT_EQ(stream->durable_tail, 0u);
    EXPECT_EQ(stream->accessed_ms, now_.running_ms);
    EXPECT_FALSE(stream->closed || stream->durable_closed || stream->durable_created);
    EXPECT_FALSE(stream->soft_deleted || stream->removed);
    EXPECT_EQ(stream->lifetime, nullptr) << "only streams that have an end have one";
    EXPECT_EQ(stream->writers, nullptr) << "only streams with producers or a sequence have one";
    EXPECT_EQ(stream->origin, nullptr);
}

TEST_F(Stream, AForkBeginsAtItsBase)
{
    Asked asked;
    asked.fork = true;
    asked.base = 4711;
    sl_stream *stream = Make(asked);
    EXPECT_EQ(sl_log_end(&stream->log), 4711u);
    EXPECT_EQ(stream->durable_tail, 4711u);
    EXPECT_EQ(TextOf(sl_bytes(stream->origin->source, stream->origin->source_size)), "src");
}

TEST_F(Stream, NamesHaveOneByteToTheMaximum)
{
    for (size_t size : { 1, SL_NAME_SIZE_MAX - 1, +SL_NAME_SIZE_MAX }) {
        Asked asked;
        asked.name = std::string(size, 'n');
        EXPECT_EQ(TextOf(sl_stream_name(Make(asked))), asked.name);
    }
}

TEST_F(Stream, MemoryIsWhatTheStreamHas)
{
    Asked asked;
    EXPECT_EQ(sl_stream_memory(Make(asked)), sizeof(sl_stream)) << "it fits into the padding";
    asked.name = "sixteen letters!";
    EXPECT_EQ(sl_stream_memory(Make(asked)), offsetof(sl_stream, name) + 16);
    asked.Ttl(1);
    EXPECT_EQ(sl_stream_memory(Make(asked)), offsetof(sl_stream, name) + 16 + sizeof(sl_lifetime));
    asked.fork = true;
    asked.source = "source";
    EXPECT_EQ(sl_stream_memory(Make(asked)),
              offsetof(sl_stream, name) + 16 + sizeof(sl_lifetime) + sizeof(sl_origin) + 6);
}

TEST_F(Stream, SharesItsContentType)
{
    sl_stream *first = Make(), *second = Make();
    EXPECT_EQ(first->media, second->media);
    EXPECT_EQ(first->media->uses, 2u);
    Destroy(first);
    EXPECT_EQ(second->media->uses, 1u);
}

TEST_F(Stream, DestroyClearsTheTimer)
{
    auto wheel = std::make_unique<sl_timer_wheel>();
    sl_timer_wheel_init(wheel.get(), 0);
    Asked asked;
    asked.Ttl(5);
    sl_stream *stream = Make(asked);
    EXPECT_EQ(stream->lifetime->stream, stream);
    EXPECT_FALSE(sl_timer_is_set(&stream->lifetime->timer));
    sl_timer_set(wheel.get(), &stream->lifetime->timer, 5000);
    Destroy(stream);
    size_t fired = sl_timer_wheel_advance(
        wheel.get(), 9000, 9, [](void *, sl_timer *) {}, nullptr);
    EXPECT_EQ(fired, 0u);
}

/* ---- expiry ---- */

TEST_F(Stream, WithoutALifetimeNeverExpires)
{
    sl_stream *stream = Make();
    now_ = { UINT64_MAX, INT64_MAX };
    EXPECT_FALSE(sl_stream_has_expired(stream, &now_));
    EXPECT_EQ(View(stream).remaining_ms, -1);
}

TEST_F(Stream, ATtlEndsWithItsLastMillisecond)
{
    for (uint64_t ttl_s : { 1, 2, 60, 86400 }) {
        Asked asked;
        asked.Ttl(ttl_s);
        sl_stream *stream = Make(asked);
        uint64_t start = now_.running_ms;
        EXPECT_EQ(sl_stream_deadline(stream, &now_), start + ttl_s * 1000);
        for (uint64_t passed : { uint64_t{ 0 }, ttl_s * 1000 - 1, ttl_s * 1000, ttl_s * 2000 }) {
            now_.running_ms = start + passed;
            EXPECT_EQ(sl_stream_has_expired(stream, &now_), passed >= ttl_s * 1000) << passed;
            EXPECT_EQ(View(stream).remaining_ms,
                      static_cast<int64_t>(ttl_s * 1000 - std::min(passed, ttl_s * 1000)));
        }
    }
}

TEST_F(Stream, ATtlSlidesWithTheLastAccessAndNotWithTheWallClock)
{
    Asked asked;
    asked.Ttl(10);
    sl_stream *stream = Make(asked);
    now_.running_ms += 9999;
    stream->accessed_ms = now_.running_ms;
    now_.running_ms += 9999;
    now_.wall_ms = INT64_MAX;
    EXPECT_FALSE(sl_stream_has_expired(stream, &now_));
    EXPECT_EQ(sl_stream_deadline(stream, &now_), now_.running_ms + 1);
    now_.running_ms++;
    EXPECT_TRUE(sl_stream_has_expired(stream, &now_));
}

TEST_F(Stream, ATtlOfZeroHasEndedAtOnce)
{
    Asked asked;
    asked.Ttl(0);
    sl_stream *stream = Make(asked);
    EXPECT_TRUE(sl_stream_has_expired(stream, &now_));
    EXPECT_EQ(sl_stream_deadline(stream, &now_), now_.running_ms);
    EXPECT_EQ(View(stream).remaining_ms, 0);
}

TEST_F(Stream, AWaitingReadKeepsATtlOpen)
{
    Asked asked;
    asked.Ttl(1);
    sl_stream *stream = Make(asked);
    sl_link read;
    sl_link_init(&read);
    sl_link_append(&stream->waiting, &read);
    now_.running_ms += 5000;
    EXPECT_FALSE(sl_stream_has_expired(stream, &now_));
    EXPECT_EQ(sl_stream_deadline(stream, &now_), now_.running_ms + 1000);
    EXPECT_EQ(View(stream).remaining_ms, 1000);
    sl_link_remove(&read);
    EXPECT_TRUE(sl_stream_has_expired(stream, &now_));
}

TEST_F(Stream, TheLargestTtlDoesNotOverflow)
{
    constexpr uint64_t kMs = SL_TTL_S_MAX * 1000;
    Asked asked;
    asked.Ttl(SL_TTL_S_MAX);
    now_.running_ms = uint64_t{ 1 } << 45;
    sl_stream *stream = Make(asked);
    EXPECT_FALSE(sl_stream_has_expired(stream, &now_));
    EXPECT_EQ(sl_stream_deadline(stream, &now_), now_.running_ms + kMs);
    EXPECT_EQ(View(stream).remaining_ms, static_cast<int64_t>(kMs));
    EXPECT_EQ(View(stream).ttl_s, SL_TTL_S_MAX);
    now_.running_ms += kMs - 1;
    EXPECT_FALSE(sl_stream_has_expired(stream, &now_));
    now_.running_ms++;
    EXPECT_TRUE(sl_stream_has_expired(stream, &now_));
}

TEST_F(Stream, AnInstantIsThatOfTheWallClock)
{
    Asked asked;
    asked.ExpiresAt(now_.wall_ms + 5000);
    sl_stream *stream = Make(asked);
    uint64_t start = now_.running_ms;
    int64_t wall = now_.wall_ms;
    for (int64_t passed : { 0, 4999, 5000, 5001 }) {
        now_ = { start + 7 * static_cast<uint64_t>(passed), wall + passed };
        EXPECT_EQ(sl_stream_has_expired(stream, &now_), passed >= 5000);
        uint64_t left = static_cast<uint64_t>(std::max<int64_t>(0, 5000 - passed));
        EXPECT_EQ(sl_stream_deadline(stream, &now_), now_.running_ms + left);
        EXPECT_EQ(View(stream).remaining_ms, static_cast<int64_t>(left));
    }
    now_ = { start + 100000, wall };
    EXPECT_FALSE(sl_stream_has_expired(stream, &now_)) << "the wall clock was set back";
}

TEST_F(Stream, NeitherAccessNorWaitingMovesAnInstant)
{
    Asked asked;
    asked.ExpiresAt(now_.wall_ms + 5000);
    sl_stream *stream = Make(asked);
    now_ = { now_.running_ms + 5000, now_.wall_ms + 5000 };
    stream->accessed_ms = now_.running_ms;
    sl_link read;
    sl_link_init(&read);
    sl_link_append(&stream->waiting, &read);
    EXPECT_TRUE(sl_stream_has_expired(stream, &now_));
    EXPECT_EQ(sl_stream_deadline(stream, &now_), now_.running_ms);
    sl_link_remove(&read);
}

TEST_F(Stream, TheEndsOfTimeDoNotOverflow)
{
    constexpr int64_t kYear9999 = 253402300799999;
    for (int64_t instant : { INT64_MIN, int64_t{ -1 }, int64_t{ 0 }, now_.wall_ms }) {
        Asked asked;
        asked.ExpiresAt(instant);
        sl_stream *stream = Make(asked);
        EXPECT_TRUE(sl_stream_has_expired(stream, &now_));
        EXPECT_EQ(sl_stream_deadline(stream, &now_), now_.running_ms);
        EXPECT_EQ(View(stream).remaining_ms, 0);
        EXPECT_EQ(View(stream).expires_at_ms, instant);
    }
    for (int64_t instant : { now_.wall_ms + 1, kYear9999, INT64_MAX }) {
        Asked asked;
        asked.ExpiresAt(instant);
        sl_stream *stream = Make(asked);
        EXPECT_FALSE(sl_stream_has_expired(stream, &now_));
        EXPECT_EQ(sl_stream_deadline(stream, &now_),
                  now_.running_ms + static_cast<uint64_t>(instant - now_.wall_ms));
        EXPECT_EQ(View(stream).remaining_ms, instant - now_.wall_ms);
    }
}

TEST_F(Stream, WhatIsSoftDeletedDoesNotExpireAgain)
{
    for (bool instant : { false, true }) {
        Asked asked;
        if (instant)
            asked.ExpiresAt(now_.wall_ms);
        else
            asked.Ttl(0);
        sl_stream *stream = Make(asked);
        EXPECT_TRUE(sl_stream_has_expired(stream, &now_));
        stream->forks = 1;
        stream->soft_deleted = true;
        EXPECT_FALSE(sl_stream_has_expired(stream, &now_));
    }
}

/* ---- is a CREATE the one that made the stream? ---- */

struct sl_create RequestOf(const Asked &asked)
{
    struct sl_create create = {};
    create.name = BytesOf(asked.name);
    create.config = ConfigOf(asked);
    create.config.content_type = BytesOf(asked.content_type);
    create.fork = asked.fork;
    if (asked.fork)
        create.fork_source = BytesOf(asked.source);
    create.has_fork_offset = asked.fork;
    create.fork_offset = asked.offset;
    create.fork_sub_offset = asked.sub_offset;
    return create;
}

TEST_F(Stream, MatchesByMediaType)
{
    Asked asked;
    asked.content_type = "Text/Plain; charset=utf-8";
    sl_stream *stream = Make(asked);
    struct sl_create create = RequestOf(asked);
    EXPECT_TRUE(sl_stream_matches(stream, &create));
    for (auto [text, matches] :
         std::vector<std::pair<const char *, bool>>{ { "text/plain", true },
                                                     { "TEXT/PLAIN;x=y", true },
                                                     { "text/html", false },
                                                     { "", false },
                                                     { "application/octet-stream", false } }) {
        create.config.content_type = sl_bytes_of(text);
        EXPECT_EQ(sl_stream_matches(stream, &create), matches) << text;
    }
}

TEST_F(Stream, NoContentTypeMeansBytes)
{
    Asked asked;
    asked.content_type = "application/octet-stream";
    sl_stream *stream = Make(asked);
    struct sl_create create = RequestOf(asked);
    create.config.content_type = sl_bytes(nullptr, 0);
    EXPECT_TRUE(sl_stream_matches(stream, &create));
}

TEST_F(Stream, MatchesByTheClosedFlagOfNow)
{
    Asked asked;
    sl_stream *stream = Make(asked);
    struct sl_create create = RequestOf(asked);
    EXPECT_TRUE(sl_stream_matches(stream, &create));
    create.close = true;
    EXPECT_FALSE(sl_stream_matches(stream, &create));
    stream->closed = true;
    EXPECT_TRUE(sl_stream_matches(stream, &create));
    create.close = false;
    EXPECT_FALSE(sl_stream_matches(stream, &create));
}

/* Streams and requests with every kind of lifetime: only equal ones match. */
TEST_F(Stream, MatchesByTheLifetimeThatWasAskedFor)
{
    std::vector<Asked> all(7);
    all[1].Ttl(0);
    all[2].Ttl(1);
    all[3].Ttl(2);
    all[4].ExpiresAt(0);
    all[5].ExpiresAt(1);
    all[6].ExpiresAt(1);
    all[5].expires_text = "1970-01-01T00:00:00.001Z";
    all[6].expires_text = "1970-01-01T01:00:00.001+01:00";
    for (size_t i = 0; i < all.size(); i++)
        for (size_t j = 0; j < all.size(); j++) {
            struct sl_create create = RequestOf(all[j]);
            bool same = i == j || (i >= 5 && j >= 5); /* as an instant, not as a text */
            EXPECT_EQ(sl_stream_matches(Make(all[i]), &create), same) << i << " and " << j;
        }
}

TEST_F(Stream, AForkThatInheritedItsLifetimeMatchesOnlyARequestThatAsksForNone)
{
    for (bool instant : { false, true }) {
        Asked asked;
        asked.fork = asked.inherited = true;
        if (instant)
            asked.ExpiresAt(77);
        else
            asked.Ttl(77);
        sl_stream *stream = Make(asked);
        struct sl_create create = RequestOf(asked);
        EXPECT_FALSE(sl_stream_matches(stream, &create));
        create.config.has_ttl = create.config.has_expires_at = false;
        EXPECT_TRUE(sl_stream_matches(stream, &create));
        asked.inherited = false;
        EXPECT_FALSE(sl_stream_matches(Make(asked), &create));
    }
}

TEST_F(Stream, AForkMatchesByItsSourceAndPoints)
{
    Asked asked;
    asked.fork = true;
    asked.offset = asked.base = 100;
    asked.sub_offset = 5;
    sl_stream *fork = Make(asked);
    struct sl_create create = RequestOf(asked), other = create;
    EXPECT_TRUE(sl_stream_matches(fork, &create));
    for (const char *source : { "sr", "src2", "SRC", "s" }) {
        other = create;
        other.fork_source = sl_bytes_of(source);
        EXPECT_FALSE(sl_stream_matches(fork, &other)) << source;
    }
    for (uint64_t offset : { 0, 99, 101, 105 }) {
        other = create;
        other.fork_offset = offset;
        EXPECT_FALSE(sl_stream_matches(fork, &other)) << offset;
        other.has_fork_offset = false;
        EXPECT_TRUE(sl_stream_matches(fork, &other)) << "not asked for";
    }
    for (uint64_t sub_offset : { 0, 4, 6 }) {
        other = create;
        other.fork_sub_offset = sub_offset;
        EXPECT_FALSE(sl_stream_matches(fork, &other)) << sub_offset;
    }
    other = create;
    other.config.content_type = sl_bytes(nullptr, 0);
    EXPECT_TRUE(sl_stream_matches(fork, &other)) << "inherited";
    other.config.content_type = sl_bytes_of("text/html");
    EXPECT_FALSE(sl_stream_matches(fork, &other));
}

TEST_F(Stream, AForkIsNotAnOrdinaryStream)
{
    Asked plain, fork;
    fork.fork = true;
    struct sl_create create = RequestOf(fork);
    EXPECT_FALSE(sl_stream_matches(Make(plain), &create));
    create = RequestOf(plain);
    EXPECT_FALSE(sl_stream_matches(Make(fork), &create));
}

/* ---- judging ---- */

sl_append PlainAppend(const char *content_type = "text/plain")
{
    sl_append append = {};
    append.content_type = sl_bytes_of(content_type);
    return append;
}

sl_append ProducerAppend(const char *id, uint64_t epoch, uint64_t sequence, bool close = false)
{
    sl_append append = PlainAppend();
    append.has_producer = true;
    append.producer.id = sl_bytes_of(id);
    append.producer.epoch = epoch;
    append.producer.sequence = sequence;
    append.close = close;
    return append;
}

sl_append SeqAppend(const std::string &seq)
{
    sl_append append = PlainAppend();
    append.has_seq = true;
    append.seq = BytesOf(seq);
    return append;
}

sl_append Close()
{
    sl_append append = {};
    append.close = true;
    return append;
}

enum Tuple { NO_PRODUCER, NEXT, FENCED, NEW_EPOCH, GAP, DUPLICATE, ONE_TOO_MANY, TUPLES };

/* A stream with three producers at (5, 3), a sequence "m"; requests with every set of faults. */
TEST_F(Stream, TheFirstFaultInTheOrderOfTheContractDecides)
{
    sl_stream *stream = Make();
    for (uint64_t sequence = 0; sequence <= 3; sequence++)
        for (const char *id : { "a", "b", "c" })
            ASSERT_EQ(Append(stream, ProducerAppend(id, 5, sequence), "x"), SL_OK);
    ASSERT_EQ(Append(stream, SeqAppend("m"), "x"), SL_OK);
    const uint64_t epochs[TUPLES] = { 0, 5, 4, 6, 5, 5, 0 };
    const uint64_t sequences[TUPLES] = { 0, 4, 9, 1, 5, 1, 0 };
    const enum sl_err errs[TUPLES] = { SL_OK,
                                       SL_OK,
                                       SL_ERR_EPOCH_FENCED,
                                       SL_ERR_INVALID_PRODUCER_STATE,
                                       SL_ERR_SEQUENCE_GAP,
                                       SL_OK,
                                       SL_ERR_TOO_MANY_PRODUCERS };
    for (int bits = 0; bits < 32; bits++)
        for (int tuple = 0; tuple < TUPLES; tuple++) {
            bool closed = bits & 1, mismatch = bits & 2, regress = bits & 4, late = bits & 8;
            bool has_data = bits & 16;
            sl_append append = ProducerAppend(tuple == ONE_TOO_MANY ? "d" : "a", epochs[tuple],
                                              sequences[tuple], !has_data);
            append.has_producer = tuple != NO_PRODUCER;
            append.content_type = sl_bytes_of(mismatch ? "text/html" : "text/plain");
            append.has_seq = true;
            append.seq = sl_bytes_of(regress ? "m" : "n");
            enum sl_err expected = late ? SL_ERR_INVALID_JSON : SL_OK;
            if (regress && has_data)
                expected = SL_ERR_SEQ_ORDERING_VIOLATION;
            bool nothing = tuple == DUPLICATE;
            if (nothing || errs[tuple] != SL_OK)
                expected = errs[tuple];
            if (mismatch && has_data) {
                expected = SL_ERR_CONTENT_TYPE_MISMATCH;
                nothing = false;
            }
            if (closed) {
                nothing = !has_data && tuple == NO_PRODUCER;
                expected = nothing ? SL_OK : SL_ERR_STREAM_CLOSED;
            }
            stream->closed = closed;
            size_t memory = sl_stream_memory(stream);
            EXPECT_EQ(Judge(stream, &append, has_data, late ? SL_ERR_INVALID_JSON : SL_OK),
                      expected)
                << "faults " << bits << " tuple " << tuple;
            EXPECT_EQ(judgement_.verdict, expected != SL_OK ? SL_VERDICT_REFUSED
                                          : nothing         ? SL_VERDICT_NOTHING
                                                            : SL_VERDICT_ACCEPTED)
                << "faults " << bits << " tuple " << tuple;
            EXPECT_EQ(append.duplicate, nothing && tuple == DUPLICATE);
            EXPECT_EQ(sl_stream_memory(stream), memory);
        }
    stream->closed = false;
    EXPECT_EQ(Append(stream, ProducerAppend("a", 5, 4), "y"), SL_OK) << "nothing had changed";
    EXPECT_EQ(Append(stream, SeqAppend("n"), "y"), SL_OK);
    EXPECT_EQ(Bytes(stream), std::string(13, 'x') + "yy");
}

TEST_F(Stream, JudgeTellsTheProducerWhatItNeeds)
{
    sl_stream *stream = Make();
    ASSERT_EQ(Append(stream, ProducerAppend("a", 5, 0), "x"), SL_OK);
    ASSERT_EQ(Append(stream, ProducerAppend("a", 5, 1), "x"), SL_OK);
    sl_append append = ProducerAppend("a", 4, 0);
    EXPECT_EQ(Judge(stream, &append, true), SL_ERR_EPOCH_FENCED);
    EXPECT_EQ(append.producer_epoch, 5u);
    append = ProducerAppend("a", 5, 9);
    EXPECT_EQ(Judge(stream, &append, true), SL_ERR_SEQUENCE_GAP);
    EXPECT_EQ(append.expected_sequence, 2u);
    append = ProducerAppend("a", 5, 0);
    EXPECT_EQ(Judge(stream, &append, true), SL_OK);
    EXPECT_TRUE(append.duplicate);
    EXPECT_EQ(append.producer_sequence, 1u) << "the highest, not that of the request";
    append = ProducerAppend("b", 0, 0);
    EXPECT_EQ(Judge(stream, &append, true), SL_OK);
    EXPECT_EQ(judgement_.producer, nullptr);
    append = ProducerAppend("a", 5, 2);
    EXPECT_EQ(Judge(stream, &append, true), SL_OK);
    EXPECT_EQ(judgement_.producer, sl_producer_find(&stream->writers->producers, sl_bytes_of("a")));
}

TEST_F(Stream, ProducersAreLimitedUntilOneWasIdleForAWeek)
{
    sl_stream *stream = Make();
    for (const char *id : { "a", "b", "c" }) {
        ASSERT_EQ(Append(stream, ProducerAppend(id, 0, 0), "x"), SL_OK);
        now_.running_ms++;
    }
    EXPECT_EQ(Append(stream, ProducerAppend("d", 0, 0), "x"), SL_ERR_TOO_MANY_PRODUCERS);
    EXPECT_EQ(Append(stream, ProducerAppend("a", 0, 1), "x"), SL_OK);
    now_.running_ms = 1000 + SL_PRODUCER_IDLE_MAX_MS;
    EXPECT_EQ(Append(stream, ProducerAppend("d", 0, 0), "x"), SL_ERR_TOO_MANY_PRODUCERS);
    now_.running_ms++;
    EXPECT_EQ(Append(stream, ProducerAppend("d", 0, 0), "x"), SL_OK) << "b was idle for a week";
    EXPECT_EQ(Append(stream, ProducerAppend("b", 0, 1), "x"), SL_ERR_SEQUENCE_GAP);
    EXPECT_EQ(Append(stream, ProducerAppend("a", 0, 2), "x"), SL_OK);
}

TEST_F(Stream, SequencesAreComparedBytewise)
{
    const std::string rising[] = { "",
                                   std::string(1, '\0'),
                                   "0",
                                   "00",
                                   "1",
                                   "10",
                                   "2",
                                   "9",
                                   "A",
                                   "a",
                                   "aa",
                                   std::string(SL_SEQ_SIZE_MAX - 1, 'a'),
                                   "b",
                                   std::string(SL_SEQ_SIZE_MAX - 1, 'b'),
                                   "c",
                                   "\x7f",
                                   "\x80",
                                   "\xff",
                                   std::string(SL_SEQ_SIZE_MAX - 1, '\xff'),
                                   std::string(SL_SEQ_SIZE_MAX, '\xff') };
    sl_stream *stream = Make();
    for (const std::string &seq : rising) {
        EXPECT_EQ(Append(stream, SeqAppend(seq), "x"), SL_OK) << seq;
        for (const std::string &lower : rising) {
            EXPECT_EQ(Append(stream, SeqAppend(lower), "x"), SL_ERR_SEQ_ORDERING_VIOLATION);
            if (lower == seq)
                break;
        }
    }
    EXPECT_EQ(Bytes(stream).size(), std::size(rising));
    EXPECT_EQ(Append(stream, PlainAppend(), "y"), SL_OK) << "without a sequence";
    EXPECT_EQ(Append(stream, SeqAppend("\xff"), "x"), SL_ERR_SEQ_ORDERING_VIOLATION);
}

TEST_F(Stream, ACloseWithoutDataDoesNotLookAtTypeAndSequence)
{
    sl_stream *stream = Make();
    ASSERT_EQ(Append(stream, SeqAppend("m"), "x"), SL_OK);
    sl_append append = SeqAppend("a");
    append.content_type = sl_bytes_of("text/html");
    append.close = true;
    EXPECT_EQ(Append(stream, append, ""), SL_OK);
    EXPECT_TRUE(stream->closed);
    EXPECT_EQ(TextOf(sl_bytes(stream->writers->seq, stream->writers->seq_size)), "m");
}

/* ---- applying ---- */

TEST_F(Stream, AnAppendChangesEverythingTogether)
{
    sl_stream *stream = Make();
    sl_append append = ProducerAppend("p", 7, 0, true);
    append.has_seq = true;
    append.seq = sl_bytes_of("s1");
    ASSERT_EQ(Append(stream, append, "data"), SL_OK);
    EXPECT_EQ(Bytes(stream), "data");
    EXPECT_TRUE(stream->closed);
    EXPECT_FALSE(stream->durable_closed) << "only when it is durable";
    EXPECT_EQ(stream->durable_tail, 0u);
    EXPECT_EQ(TextOf(sl_bytes(stream->writers->seq, stream->writers->seq_size)), "s1");
    ASSERT_NE(stream->writers->closer, nullptr);
    EXPECT_EQ(stream->writers->closer->epoch, 7u);
    EXPECT_EQ(judgement_.producer, stream->writers->closer);
}

TEST_F(Stream, AnAppendWithoutProducerAndSequenceNeedsNoWriters)
{
    sl_stream *stream = Make();
    ASSERT_EQ(Append(stream, PlainAppend(), "data"), SL_OK);
    ASSERT_EQ(Append(stream, Close(), ""), SL_OK);
    EXPECT_EQ(stream->writers, nullptr);
    EXPECT_TRUE(stream->closed);
}

TEST_F(Stream, FirstDataAndCloseOfACreate)
{
    for (bool close : { false, true })
        for (const char *text : { "", "first" }) {
            Asked asked;
            asked.base = 50;
            asked.fork = true;
            sl_stream *stream = Make(asked);
            Content content{ std::string(text) };
            sl_payload payload = content.Payload();
            auto before = static_cast<int64_t>(sl_stream_memory(stream));
            int64_t change = sl_stream_apply_first(stream, &slab_, &payload, close);
            EXPECT_EQ(static_cast<int64_t>(sl_stream_memory(stream)), before + change);
            EXPECT_EQ(change == 0, *text == '\0');
            EXPECT_EQ(Bytes(stream), text);
            EXPECT_EQ(sl_log_end(&stream->log), 50 + strlen(text));
            EXPECT_EQ(stream->closed, close);
        }
}

TEST_F(Stream, MemoryFollowsEveryAppend)
{
    sl_stream *stream = Make();
    std::mt19937_64 random(2);
    std::string text;
    for (int i = 0; i < 2000; i++) {
        now_.running_ms += random() % (SL_PRODUCER_IDLE_MAX_MS / 4);
        std::string id(1 + random() % 40, 'p');
        const sl_producer_state *known =
            stream->writers == nullptr ? nullptr
                                       : sl_producer_find(&stream->writers->producers, BytesOf(id));
        sl_append append = ProducerAppend(id.c_str(), known == nullptr ? 0 : known->epoch,
                                          known == nullptr ? 0 : known->sequence + 1);
        append.has_producer = random() % 2 == 0;
        std::string data(1 + random() % 100, static_cast<char>('a' + i % 26));
        if (Append(stream, append, data) == SL_OK)
            text += data;
    }
    EXPECT_EQ(Bytes(stream), text);
}

/* ---- closed streams ---- */

TEST_F(Stream, OnlyTheClosingTupleIsADuplicateOfTheClose)
{
    for (const char *data : { "", "last" }) {
        sl_stream *stream = Make();
        ASSERT_EQ(Append(stream, ProducerAppend("a", 1, 0), "x"), SL_OK);
        ASSERT_EQ(Append(stream, ProducerAppend("b", 1, 0), "x"), SL_OK);
        ASSERT_EQ(Append(stream, ProducerAppend("a", 1, 1, true), data), SL_OK);
        for (bool has_data : { false, true })
            for (bool close : { false, true }) {
                sl_append append = ProducerAppend("a", 1, 1, close);
                append.content_type = sl_bytes_of("text/html");
                EXPECT_EQ(Judge(stream, &append, has_data, SL_ERR_INVALID_JSON), SL_OK);
                EXPECT_EQ(judgement_.verdict, SL_VERDICT_NOTHING);
                EXPECT_TRUE(append.duplicate);
                EXPECT_EQ(append.producer_epoch, 1u);
                EXPECT_EQ(append.producer_sequence, 1u);
                for (sl_append other :
                     { ProducerAppend("a", 1, 0, close), ProducerAppend("a", 1, 2, close),
                       ProducerAppend("a", 0, 1, close), ProducerAppend("a", 2, 0, close),
                       ProducerAppend("b", 1, 1, close), ProducerAppend("aa", 1, 1, close) }) {
                    EXPECT_EQ(Judge(stream, &other, has_data), SL_ERR_STREAM_CLOSED);
                    EXPECT_EQ(judgement_.verdict, SL_VERDICT_REFUSED);
                    EXPECT_FALSE(other.duplicate);
                }
            }
    }
}

TEST_F(Stream, APlainCloseHasNoTuple)
{
    sl_stream *stream = Make();
    ASSERT_EQ(Append(stream, ProducerAppend("a", 1, 0), "x"), SL_OK);
    ASSERT_EQ(Append(stream, Close(), ""), SL_OK);
    EXPECT_EQ(Append(stream, ProducerAppend("a", 1, 0, true), ""), SL_ERR_STREAM_CLOSED);
    EXPECT_EQ(Append(stream, ProducerAppend("a", 1, 1, true), ""), SL_ERR_STREAM_CLOSED);
    EXPECT_EQ(Append(stream, PlainAppend(), "y"), SL_ERR_STREAM_CLOSED);
    EXPECT_EQ(Append(stream, PlainAppend("text/html"), "y"), SL_ERR_STREAM_CLOSED);
    EXPECT_EQ(Append(stream, Close(), ""), SL_OK);
    EXPECT_EQ(judgement_.verdict, SL_VERDICT_NOTHING);
    EXPECT_EQ(Bytes(stream), "x");
}

TEST_F(Stream, APlainCloseOfWhatAProducerClosedIsFine)
{
    sl_stream *stream = Make();
    ASSERT_EQ(Append(stream, ProducerAppend("a", 1, 0, true), "x"), SL_OK);
    EXPECT_EQ(Append(stream, Close(), ""), SL_OK);
    EXPECT_EQ(judgement_.verdict, SL_VERDICT_NOTHING);
}

/* ---- lineage ---- */

/* A tree of forks in which everybody knows who owns each byte that it inherited. */
class Lineage : public Stream
{
  protected:
    struct Owner {
        uint32_t shard;
        uint64_t id;

        bool operator==(const Owner &other) const
        {
            return shard == other.shard && id == other.id;
        }
    };

    struct Member {
        sl_stream *stream;
        Owner self;
        std::vector<Owner> owners; /* of every byte */
    };

    /* The owners in runs, nearest first: what a lineage must say. */
    static std::vector<sl_ancestor> Runs(const std::vector<Owner> &owners, uint64_t position)
    {
        std::vector<sl_ancestor> runs;
        for (uint64_t at = position; at > 0; at--)
            if (at == position || !(owners[at - 1] == owners[at]))
                runs.push_back({ owners[at - 1].shard, owners[at - 1].id, at });
        return runs;
    }

    static void CheckLineage(const sl_lineage *lineage, const std::vector<Owner> &owners,
                             uint64_t position)
    {
        std::vector<sl_ancestor> runs = Runs(owners, position);
        ASSERT_EQ(lineage == nullptr, runs.empty());
        if (lineage == nullptr)
            return;
        ASSERT_EQ(lineage->count, runs.size());
        for (uint32_t i = 0; i < lineage->count; i++) {
            EXPECT_EQ(lineage->ancestors[i].shard, runs[i].shard);
            EXPECT_EQ(lineage->ancestors[i].stream_id, runs[i].stream_id);
            EXPECT_EQ(lineage->ancestors[i].up_to, runs[i].up_to);
        }
        for (uint64_t at = 0; at < position; at++) {
            const sl_ancestor *found = sl_lineage_find(lineage, at);
            ASSERT_EQ(found->stream_id, owners[at].id) << at << " of " << position;
            ASSERT_EQ(found->shard, owners[at].shard);
            ASSERT_GT(found->up_to, at);
        }
    }

    Member MakeFork(const Member *source, uint64_t position, uint64_t own_size)
    {
        Asked asked;
        Member made{ nullptr, { static_cast<uint32_t>(random_() % 3), ++ids_ }, {} };
        asked.id = made.self.id;
        if (source != nullptr) {
            asked.fork = true;
            asked.base = position;
            asked.lineage = sl_stream_lineage_at(source->stream, source->self.shard, position);
            made.owners.assign(source->owners.begin(), source->owners.begin() + position);
        }
        made.stream = Make(asked);
        for (uint64_t left = own_size; left > 0;) {
            uint64_t size = 1 + random_() % left;
            EXPECT_EQ(Append(made.stream, PlainAppend(), std::string(size, 'x')), SL_OK);
            left -= size;
        }
        made.owners.insert(made.owners.end(), own_size, made.self);
        return made;
    }

    std::mt19937_64 random_{ 21 };
    uint64_t ids_ = 0;
};

TEST_F(Lineage, OfAForkOfAnOrdinaryStream)
{
    Member source = MakeFork(nullptr, 0, 10);
    for (uint64_t position = 0; position <= 10; position++) {
        sl_lineage *lineage = sl_stream_lineage_at(source.stream, source.self.shard, position);
        CheckLineage(lineage, source.owners, position);
        sl_memory_free(lineage);
    }
}

TEST_F(Lineage, OfAnEmptyStreamIsNothing)
{
    Member source = MakeFork(nullptr, 0, 0);
    EXPECT_EQ(sl_stream_lineage_at(source.stream, 0, 0), nullptr);
    Member fork = MakeFork(&source, 0, 5);
    EXPECT_EQ(fork.stream->origin->lineage, nullptr);
    sl_lineage *lineage = sl_stream_lineage_at(fork.stream, fork.self.shard, 5);
    CheckLineage(lineage, fork.owners, 5);
    sl_memory_free(lineage);
}

TEST_F(Lineage, LeavesOutWhoHasNothingToGive)
{
    Member first = MakeFork(nullptr, 0, 10), second = MakeFork(&first, 10, 0);
    Member third = MakeFork(&second, 10, 0), fourth = MakeFork(&third, 7, 3);
    ASSERT_EQ(fourth.stream->origin->lineage->count, 1u);
    CheckLineage(fourth.stream->origin->lineage, fourth.owners, 7);
    EXPECT_EQ(fourth.stream->origin->lineage->ancestors[0].stream_id, first.self.id);
}

TEST_F(Lineage, OfTreesOfForksAgreesWithTheModel)
{
    for (int tree = 0; tree < 30; tree++) {
        std::vector<Member> members{ MakeFork(nullptr, 0, random_() % 30) };
        for (int i = 0; i < 25; i++) {
            const Member &source =
                members[random_() % 2 ? members.size() - 1 : random_() % members.size()];
            uint64_t tail = source.owners.size();
            uint64_t position = random_() % 4 == 0 ? tail : random_() % (tail + 1);
            Member fork = MakeFork(&source, position, random_() % 3 == 0 ? 0 : random_() % 20);
            CheckLineage(fork.stream->origin->lineage, fork.owners, position);
            members.push_back(fork);
        }
        for (const Member &member : members) {
            uint64_t tail = member.owners.size();
            for (uint64_t position = 0; position <= tail; position++) {
                sl_lineage *lineage =
                    sl_stream_lineage_at(member.stream, member.self.shard, position);
                CheckLineage(lineage, member.owners, position);
                uint64_t cut = random_() % (position + 1);
                if (lineage != nullptr) {
                    sl_lineage_cut(&lineage, cut);
                    CheckLineage(lineage, member.owners, cut);
                }
                sl_memory_free(lineage);
            }
        }
    }
}

TEST_F(Lineage, CutAtOrBeyondItsEndChangesNothing)
{
    Member first = MakeFork(nullptr, 0, 10), second = MakeFork(&first, 8, 4);
    for (uint64_t position : { 12, 13, 1000 }) {
        sl_lineage *lineage = sl_stream_lineage_at(second.stream, second.self.shard, 12);
        sl_lineage_cut(&lineage, position);
        CheckLineage(lineage, second.owners, 12);
        sl_memory_free(lineage);
    }
}

TEST_F(Lineage, IsWholeWhenEveryAncestorHasItsPartAndTheSourceIsThere)
{
    Member first = MakeFork(nullptr, 0, 10), second = MakeFork(&first, 8, 4);
    Member third = MakeFork(&second, 11, 0); /* [8, 11) of the second, [0, 8) of the first */
    const sl_lineage *lineage = third.stream->origin->lineage;
    ASSERT_EQ(lineage->count, 2u);
    using Streams = std::map<std::pair<uint32_t, uint64_t>, std::pair<uint64_t, uint64_t>>;
    const auto own = [](const void *context, uint32_t shard, uint64_t id, uint64_t *base,
                        uint64_t *end) {
        const auto &streams = *static_cast<const Streams *>(context);
        const auto found = streams.find({ shard, id });
        if (found == streams.end())
            return false;
        *base = found->second.first;
        *end = found->second.second;
        return true;
    };
    const std::pair<uint32_t, uint64_t> near{ lineage->ancestors[0].shard,
                                              lineage->ancestors[0].stream_id };
    const std::pair<uint32_t, uint64_t> far{ lineage->ancestors[1].shard,
                                             lineage->ancestors[1].stream_id };
    const std::pair<uint32_t, uint64_t> source{ 77, 4711 };
    const auto is_whole = [&](const Streams &streams) {
        return sl_lineage_is_whole(lineage, source.first, source.second, own, &streams);
    };
    EXPECT_TRUE(is_whole({ { near, { 8, 11 } }, { far, { 0, 8 } }, { source, { 5, 5 } } }));
    EXPECT_TRUE(is_whole({ { near, { 7, 12 } }, { far, { 0, 9 } }, { source, { 0, 1 } } }));
    EXPECT_FALSE(is_whole({ { near, { 9, 11 } }, { far, { 0, 8 } }, { source, { 5, 5 } } }));
    EXPECT_FALSE(is_whole({ { near, { 8, 10 } }, { far, { 0, 8 } }, { source, { 5, 5 } } }));
    EXPECT_FALSE(is_whole({ { near, { 8, 11 } }, { far, { 1, 8 } }, { source, { 5, 5 } } }));
    EXPECT_FALSE(is_whole({ { near, { 8, 11 } }, { far, { 0, 7 } }, { source, { 5, 5 } } }));
    EXPECT_FALSE(is_whole({ { near, { 8, 11 } }, { far, { 0, 8 } } }));
    EXPECT_FALSE(is_whole({ { far, { 0, 8 } }, { source, { 5, 5 } } }));
    EXPECT_TRUE(sl_lineage_is_whole(nullptr, source.first, source.second, own, &near));
}

TEST_F(Lineage, AsDeepAsForksMayBe)
{
    Member member = MakeFork(nullptr, 0, 3);
    for (uint32_t depth = 1; depth <= SL_FORK_DEPTH_MAX; depth++) {
        member = MakeFork(&member, member.owners.size(), 1 + depth % 3);
        ASSERT_EQ(member.stream->origin->lineage->count, depth);
    }
    CheckLineage(member.stream->origin->lineage, member.owners, member.stream->log.base);
    size_t memory = sl_stream_memory(member.stream);
    EXPECT_GE(memory, SL_FORK_DEPTH_MAX * sizeof(sl_ancestor));
}

/* ---- views ---- */

TEST_F(Stream, AViewShowsWhatWasAskedAndTheGivenTail)
{
    Asked asked;
    asked.content_type = "Application/JSON; charset=utf-8";
    asked.Ttl(60);
    sl_stream *stream = Make(asked);
    struct sl_stream_view view = View(stream, 4711, true);
    EXPECT_EQ(view.id, kId);
    EXPECT_EQ(view.tail, 4711u);
    EXPECT_TRUE(view.closed);
    EXPECT_TRUE(view.json);
    EXPECT_EQ(std::string(view.content_type, view.content_type_size), asked.content_type);
    EXPECT_STREQ(view.content_type, asked.content_type.c_str());
    EXPECT_TRUE(view.has_ttl);
    EXPECT_FALSE(view.has_expires_at);
    EXPECT_EQ(view.ttl_s, 60u);
    EXPECT_EQ(view.expires_text_size, 0u);
    EXPECT_STREQ(view.expires_text, "");
    EXPECT_EQ(view.remaining_ms, 60000);
    now_.running_ms += 59999;
    EXPECT_EQ(View(stream).remaining_ms, 1);
    EXPECT_EQ(View(stream).ttl_s, 60u) << "as configured";
    EXPECT_FALSE(View(stream).closed);
}

TEST_F(Stream, AViewWithoutALifetimeHasNone)
{
    struct sl_stream_view view = View(Make());
    EXPECT_FALSE(view.has_ttl || view.has_expires_at || view.json || view.closed);
    EXPECT_EQ(view.ttl_s, 0u);
    EXPECT_EQ(view.expires_at_ms, 0);
    EXPECT_EQ(view.expires_text_size, 0u);
    EXPECT_STREQ(view.expires_text, "");
    EXPECT_EQ(view.remaining_ms, -1);
}

TEST_F(Stream, AViewHasRoomForTheLongestTexts)
{
    Asked asked;
    asked.content_type = std::string(SL_CONTENT_TYPE_SIZE_MAX, 'c');
    asked.ExpiresAt(now_.wall_ms + 1);
    asked.expires_text = std::string(SL_EXPIRES_TEXT_SIZE_MAX, 'e');
    struct sl_stream_view view = View(Make(asked));
    EXPECT_EQ(view.content_type, asked.content_type);
    EXPECT_EQ(view.expires_text, asked.expires_text);
    EXPECT_EQ(view.content_type_size, SL_CONTENT_TYPE_SIZE_MAX);
    EXPECT_EQ(view.expires_text_size, SL_EXPIRES_TEXT_SIZE_MAX);
    EXPECT_TRUE(view.has_expires_at);
    EXPECT_FALSE(view.has_ttl);
    EXPECT_EQ(view.expires_at_ms, asked.expires_at_ms);
    EXPECT_EQ(view.remaining_ms, 1);
}

/* ---- our own mistakes ---- */

using StreamDeathTest = Stream;

TEST_F(StreamDeathTest, CheckFindsEveryBrokenInvariant)
{
    Asked asked;
    asked.Ttl(1);
    asked.fork = true;
    asked.base = 10;
    sl_stream *stream = Make(asked);
    ASSERT_EQ(Append(stream, PlainAppend(), "data"), SL_OK);
    for (uint64_t tail : { 10, 13, 14 }) {
        stream->durable_tail = tail;
        sl_stream_check(stream);
    }
    stream->durable_tail = 9;
    EXPECT_DEATH(sl_stream_check(stream), "panic");
    stream->durable_tail = 15;
    EXPECT_DEATH(sl_stream_check(stream), "panic");
    stream->durable_tail = 14;

    stream->durable_closed = true;
    EXPECT_DEATH(sl_stream_check(stream), "panic");
    stream->closed = true;
    sl_stream_check(stream);
    stream->durable_tail = 13;
    EXPECT_DEATH(sl_stream_check(stream), "panic");
    stream->durable_tail = 14;

    stream->soft_deleted = true;
    EXPECT_DEATH(sl_stream_check(stream), "panic");
    stream->forks = 1;
    sl_stream_check(stream);
    sl_link read;
    sl_link_init(&read);
    sl_link_append(&stream->waiting, &read);
    EXPECT_DEATH(sl_stream_check(stream), "panic");
    sl_link_remove(&read);

    auto wheel = std::make_unique<sl_timer_wheel>();
    sl_timer_wheel_init(wheel.get(), 0);
    sl_timer_set(wheel.get(), &stream->lifetime->timer, 5000);
    EXPECT_DEATH(sl_stream_check(stream), "panic");
    stream->soft_deleted = false;
    sl_stream_check(stream);
    sl_timer_clear(&stream->lifetime->timer);
}

TEST_F(StreamDeathTest, RefusesNamesOfOtherSizes)
{
    Asked asked;
    asked.name = "";
    EXPECT_DEATH(Make(asked), "panic");
    asked.name = std::string(SL_NAME_SIZE_MAX + 1, 'n');
    EXPECT_DEATH(Make(asked), "panic");
}

TEST_F(StreamDeathTest, RefusesAnAppendToAClosedStream)
{
    sl_stream *stream = Make();
    ASSERT_EQ(Append(stream, Close(), ""), SL_OK);
    sl_append append = PlainAppend();
    Content content("x");
    sl_payload payload = content.Payload();
    EXPECT_DEATH(sl_stream_apply_append(stream, &append, &judgement_, &slab_, &payload,
                                        kProducersMax, &now_),
                 "panic");
}

TEST_F(StreamDeathTest, IsNotFreedWhileSomebodyPointsToIt)
{
    sl_stream *stream = Make(), *copy = stream;
    stream->unsettled = 1;
    EXPECT_DEATH(sl_stream_destroy(&copy, &media_), "panic");
    stream->unsettled = 0;
    sl_link read;
    sl_link_init(&read);
    sl_link_append(&stream->waiting, &read);
    EXPECT_DEATH(sl_stream_destroy(&copy, &media_), "panic");
    sl_link_remove(&read);
}

TEST_F(StreamDeathTest, FindsOnlyWhatIsBelowTheBase)
{
    sl_stream *source = Make();
    ASSERT_EQ(Append(source, PlainAppend(), "data"), SL_OK);
    sl_lineage *lineage = sl_stream_lineage_at(source, 0, 3);
    EXPECT_EQ(sl_lineage_find(lineage, 2)->stream_id, kId);
    EXPECT_DEATH(sl_lineage_find(lineage, 3), "panic");
    sl_memory_free(lineage);
}

/* ---- a restart ---- */

TEST_F(Stream, AMomentOfTheWallClockIsNeverInTheFuture)
{
    const struct {
        int64_t wall_ms;
        uint64_t running_ms;
    } rows[] = {
        { now_.wall_ms, 1000 },    { now_.wall_ms + 1, 1000 }, { INT64_MAX, 1000 },
        { now_.wall_ms - 1, 999 }, { now_.wall_ms - 1000, 0 }, { now_.wall_ms - 1001, 0 },
        { now_.wall_ms - 999, 1 }, { INT64_MIN, 0 },
    };
    for (const auto &row : rows) {
        sl_now at = sl_now_at(&now_, row.wall_ms);
        EXPECT_EQ(at.running_ms, row.running_ms) << row.wall_ms;
        EXPECT_EQ(at.wall_ms, row.wall_ms);
    }
}

TEST_F(Stream, ARestartIsAnAccessForShortTtls)
{
    now_.running_ms = 100000000;
    for (uint64_t ttl_s : { 0, 1, 3599 }) {
        Asked asked;
        asked.Ttl(ttl_s);
        sl_stream *stream = Make(asked);
        sl_stream_set_access_after_restart(stream, now_.wall_ms - 90000000, &now_);
        EXPECT_EQ(stream->accessed_ms, now_.running_ms);
        EXPECT_EQ(stream->lifetime->logged_ms, 10000000u);
        EXPECT_FALSE(sl_stream_wants_touch(stream, &now_)) << "those are not logged";
    }
}

TEST_F(Stream, ARestartGivesLongTtlsTheirSlack)
{
    now_.running_ms = 100000000;
    const uint64_t slack = 3600 * 1000 / 8;
    for (uint64_t ago : { uint64_t{ 0 }, slack - 1, slack, slack + 1, 10 * slack }) {
        Asked asked;
        asked.Ttl(3600);
        sl_stream *stream = Make(asked);
        sl_stream_set_access_after_restart(stream, now_.wall_ms - static_cast<int64_t>(ago), &now_);
        EXPECT_EQ(stream->accessed_ms, std::min(now_.running_ms, now_.running_ms - ago + slack));
        EXPECT_EQ(stream->lifetime->logged_ms, now_.running_ms - ago)
            << "the slack is not an access: the next restart does not know of it";
    }
}

TEST_F(Stream, TheLogHearsOfAnAccessEveryEighthOfALongTtl)
{
    const uint64_t slack = 3600 * 1000 / 8;
    Asked asked;
    asked.Ttl(3600);
    sl_stream *stream = Make(asked);
    EXPECT_EQ(stream->lifetime->logged_ms, now_.running_ms) << "the CREATE is in the log";
    stream->accessed_ms += slack - 1;
    now_.running_ms += 2 * slack;
    EXPECT_FALSE(sl_stream_wants_touch(stream, &now_));
    stream->accessed_ms++;
    EXPECT_TRUE(sl_stream_wants_touch(stream, &now_));
    sl_stream_set_logged(stream, stream->accessed_ms);
    EXPECT_FALSE(sl_stream_wants_touch(stream, &now_));
    sl_link reader;
    sl_link_init(&reader);
    sl_link_append(&stream->waiting, &reader);
    EXPECT_TRUE(sl_stream_wants_touch(stream, &now_)) << "a waiting read keeps the window open";
    sl_link_remove(&reader);
    stream->lifetime->logged_ms = stream->accessed_ms + 5;
    EXPECT_FALSE(sl_stream_wants_touch(stream, &now_));
}

TEST_F(Stream, StreamsWithoutTtlAreNeverTouched)
{
    Asked asked;
    sl_stream *plain = Make(asked);
    asked.ExpiresAt(now_.wall_ms + 1000000000);
    sl_stream *limited = Make(asked);
    now_.running_ms += 900000000;
    for (sl_stream *stream : { plain, limited }) {
        stream->accessed_ms = now_.running_ms;
        sl_stream_set_logged(stream, 5);
        EXPECT_FALSE(sl_stream_wants_touch(stream, &now_));
        sl_stream_set_access_after_restart(stream, now_.wall_ms - 5, &now_);
        EXPECT_EQ(stream->accessed_ms, now_.running_ms);
    }
}

TEST_F(Stream, ReplayLeadsToTheSameStream)
{
    std::mt19937_64 random(1);
    for (int round = 0; round < 50; round++) {
        sl_stream *stream = Make(), *again = Make();
        for (int i = 0; i < 30 && !stream->closed; i++) {
            now_.running_ms += random() % 1000;
            std::string id = "p" + std::to_string(random() % 3);
            std::string seq = std::to_string(100 + random() % 100);
            std::string text(random() % 3, 'x');
            sl_append append{};
            append.content_type = sl_bytes_of("text/plain");
            append.close = text.empty() ? random() % 4 == 0 : random() % 20 == 0;
            append.has_producer = random() % 2 == 0;
            append.producer = { BytesOf(id), random() % 2, random() % 4 };
            append.has_seq = random() % 4 == 0;
            append.seq = BytesOf(seq);
            if (text.empty() && !append.close)
                continue;
            uint64_t tail = sl_log_end(&stream->log);
            if (Append(stream, append, text) != SL_OK ||
                (judgement_.verdict != SL_VERDICT_ACCEPTED))
                continue;
            EXPECT_EQ(sl_log_end(&stream->log), tail + text.size());
            sl_change change{};
            change.kind = SL_CHANGE_APPEND;
            change.closed = append.close;
            change.has_producer = append.has_producer;
            change.producer = append.producer;
            change.has_seq = append.has_seq && !text.empty();
            change.seq = append.seq;
            Content content(text);
            sl_payload payload = content.Payload();
            ASSERT_TRUE(sl_stream_replay_append(again, &change, &slab_, &payload, &now_));
        }
        EXPECT_EQ(Bytes(again), Bytes(stream));
        EXPECT_EQ(again->closed, stream->closed);
        std::string snapshots[2];
        for (int i = 0; i < 2; i++) {
            sl_buffer out{};
            sl_stream *one = i == 0 ? stream : again;
            one->accessed_ms = now_.running_ms;
            sl_snapshot_encode(one, &now_, &out);
            snapshots[i] = TextOf(sl_buffer_bytes(&out));
            sl_buffer_deinit(&out);
        }
        EXPECT_EQ(snapshots[0], snapshots[1]) << "producers, their age, closer and sequence";
        sl_change change{};
        change.kind = SL_CHANGE_APPEND;
        change.closed = true;
        sl_payload none{};
        EXPECT_EQ(sl_stream_replay_append(again, &change, &slab_, &none, &now_), !stream->closed)
            << "nothing comes after the end";
    }
}

TEST_F(Stream, DirtyStreamsAreNotDestroyed)
{
    EXPECT_DEATH(
        {
            sl_link dirty;
            sl_link_init(&dirty);
            sl_stream *stream = Make();
            sl_link_append(&dirty, &stream->dirty);
            sl_stream_destroy(&stream, &media_);
        },
        "panic");
}

} // namespace
