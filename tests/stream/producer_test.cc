#include "stream/producer.h"

#include "stream/content.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>

namespace
{

constexpr uint64_t kMax = SL_PRODUCER_NUMBER_MAX;
constexpr uint64_t kWeek = SL_PRODUCER_IDLE_MAX_MS;
constexpr unsigned kMany = 1000;

sl_append AppendOf(uint64_t epoch, uint64_t sequence)
{
    sl_append append = {};
    append.has_producer = true;
    append.producer.epoch = epoch;
    append.producer.sequence = sequence;
    return append;
}

class Producer : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        sl_producer_set_init(&set_);
    }

    void TearDown() override
    {
        sl_producer_set_deinit(&set_);
        EXPECT_EQ(set_.table.count, 0u);
        EXPECT_TRUE(sl_link_is_empty(&set_.by_age));
    }

    sl_producer_state *Find(const std::string &id) const
    {
        return sl_producer_find(&set_, BytesOf(id));
    }

    sl_producer_state *Accept(const std::string &id, uint64_t epoch, uint64_t sequence,
                              uint64_t now_ms = 0, unsigned max = kMany)
    {
        sl_producer producer = {};
        producer.id = BytesOf(id);
        producer.epoch = epoch;
        producer.sequence = sequence;
        auto *state = sl_producer_accept(&set_, Find(id), &producer, max, now_ms, &bytes_);
        EXPECT_EQ(static_cast<int64_t>(sl_producer_set_memory(&set_)), bytes_);
        EXPECT_EQ(Find(id), state);
        EXPECT_EQ(state->epoch, epoch);
        EXPECT_EQ(state->sequence, sequence);
        EXPECT_EQ(state->used_ms, now_ms);
        return state;
    }

    bool HasRoom(unsigned max, uint64_t now_ms) const
    {
        return sl_producer_set_has_room(&set_, max, now_ms);
    }

    sl_producer_set set_{};
    int64_t bytes_ = 0; /* as accept reported */
};

/* ---- what a tuple is: protocol section 7, row by row ---- */

struct Row {
    const char *what;
    bool known;
    uint64_t epoch_known, sequence_known;
    uint64_t epoch, sequence;
    enum sl_err err;
    bool duplicate;
    uint64_t epoch_told, sequence_told, expected_told;
};

const Row kRows[] = {
    { "no state, q = 0", false, 0, 0, 0, 0, SL_OK, false, 0, 0, 0 },
    { "no state, q = 0, any e", false, 0, 0, 7, 0, SL_OK, false, 7, 0, 0 },
    { "no state, q = 0, last e", false, 0, 0, kMax, 0, SL_OK, false, kMax, 0, 0 },
    { "no state, q = 1", false, 0, 0, 0, 1, SL_ERR_SEQUENCE_GAP, false, 0, 1, 0 },
    { "no state, last q", false, 0, 0, 3, kMax, SL_ERR_SEQUENCE_GAP, false, 3, kMax, 0 },
    { "e < E", true, 5, 3, 4, 4, SL_ERR_EPOCH_FENCED, false, 5, 4, 0 },
    { "e < E, q = 0", true, 5, 3, 4, 0, SL_ERR_EPOCH_FENCED, false, 5, 0, 0 },
    { "e < E, q <= S", true, 5, 3, 0, 3, SL_ERR_EPOCH_FENCED, false, 5, 3, 0 },
    { "e > E, q = 1", true, 5, 3, 6, 1, SL_ERR_INVALID_PRODUCER_STATE, false, 6, 1, 0 },
    { "e > E, q = S + 1", true, 5, 3, 6, 4, SL_ERR_INVALID_PRODUCER_STATE, false, 6, 4, 0 },
    { "e > E, last q", true, 5, 3, 9, kMax, SL_ERR_INVALID_PRODUCER_STATE, false, 9, kMax, 0 },
    { "e > E, q = 0", true, 5, 3, 6, 0, SL_OK, false, 6, 0, 0 },
    { "e far above E, q = 0", true, 5, 3, kMax, 0, SL_OK, false, kMax, 0, 0 },
    { "e = E, q = 0", true, 5, 3, 5, 0, SL_OK, true, 5, 3, 0 },
    { "e = E, q = S - 1", true, 5, 3, 5, 2, SL_OK, true, 5, 3, 0 },
    { "e = E, q = S", true, 5, 3, 5, 3, SL_OK, true, 5, 3, 0 },
    { "e = E, q = S + 1", true, 5, 3, 5, 4, SL_OK, false, 5, 4, 0 },
    { "e = E, q = S + 2", true, 5, 3, 5, 5, SL_ERR_SEQUENCE_GAP, false, 5, 5, 4 },
    { "e = E, last q", true, 5, 3, 5, kMax, SL_ERR_SEQUENCE_GAP, false, 5, kMax, 4 },
    { "e = E, S = 0, q = 0", true, 0, 0, 0, 0, SL_OK, true, 0, 0, 0 },
    { "e = E, S = 0, q = 1", true, 0, 0, 0, 1, SL_OK, false, 0, 1, 0 },
    { "last q", true, 0, kMax - 1, 0, kMax, SL_OK, false, 0, kMax, 0 },
    { "last q again", true, 0, kMax, 0, kMax, SL_OK, true, 0, kMax, 0 },
    { "last e and q again", true, kMax, kMax, kMax, kMax, SL_OK, true, kMax, kMax, 0 },
};

TEST_F(Producer, JudgesEveryRowOfTheProtocol)
{
    for (const Row &row : kRows) {
        sl_producer_state state = {};
        state.epoch = row.epoch_known;
        state.sequence = row.sequence_known;
        sl_append append = AppendOf(row.epoch, row.sequence);
        EXPECT_EQ(sl_producer_judge(row.known ? &state : nullptr, &append), row.err) << row.what;
        EXPECT_EQ(append.duplicate, row.duplicate) << row.what;
        EXPECT_EQ(append.producer_epoch, row.epoch_told) << row.what;
        EXPECT_EQ(append.producer_sequence, row.sequence_told) << row.what;
        EXPECT_EQ(append.expected_sequence, row.expected_told) << row.what;
        EXPECT_EQ(append.producer.epoch, row.epoch) << row.what;
        EXPECT_EQ(append.producer.sequence, row.sequence) << row.what;
        EXPECT_EQ(state.epoch, row.epoch_known) << row.what;
        EXPECT_EQ(state.sequence, row.sequence_known) << row.what;
    }
}

/* ---- the set ---- */

TEST_F(Producer, AnEmptySetHasNothing)
{
    EXPECT_EQ(Find("a"), nullptr);
    EXPECT_EQ(sl_producer_set_memory(&set_), 0u);
    EXPECT_TRUE(HasRoom(1, 0));
}

TEST_F(Producer, RemembersTheLastAcceptedTuple)
{
    sl_producer_state *state = Accept("a", 0, 0, 10);
    EXPECT_EQ(Accept("a", 0, 1, 20), state);
    EXPECT_EQ(Accept("a", 3, 0, 30), state);
    EXPECT_EQ(Accept("a", kMax, kMax, 30), state);
    EXPECT_EQ(set_.table.count, 1u);
}

TEST_F(Producer, KeepsIdsApart)
{
    const std::string ids[] = { "a",
                                "A",
                                "aa",
                                "a ",
                                std::string("a\0", 2),
                                std::string("a\0b", 3),
                                std::string(1, '\0'),
                                "\xff",
                                std::string(SL_PRODUCER_ID_SIZE_MAX, 'a'),
                                std::string(SL_PRODUCER_ID_SIZE_MAX - 1, 'a') };
    uint64_t epoch = 0;
    for (const std::string &id : ids) {
        EXPECT_EQ(Find(id), nullptr);
        Accept(id, epoch++, 0);
    }
    epoch = 0;
    for (const std::string &id : ids) {
        const sl_producer_state *state = Find(id);
        ASSERT_NE(state, nullptr);
        EXPECT_EQ(state->epoch, epoch++);
        EXPECT_EQ(std::string(state->id, state->id_size), id);
    }
    EXPECT_EQ(Find("ab"), nullptr);
}

TEST_F(Producer, CopiesTheId)
{
    std::string id = "borrowed";
    Accept(id, 1, 0);
    id = "changed!";
    EXPECT_NE(Find("borrowed"), nullptr);
    EXPECT_EQ(Find("changed!"), nullptr);
}

TEST_F(Producer, HasRoomBelowTheMaximum)
{
    for (unsigned count = 0; count < 5; count++) {
        EXPECT_EQ(HasRoom(4, 0), count < 4) << count;
        Accept(std::to_string(count), 0, 0);
    }
}

TEST_F(Producer, AtTheMaximumOnlyAWeekOfIdlenessMakesRoom)
{
    Accept("old", 0, 0, 1000);
    Accept("new", 0, 0, 5000);
    EXPECT_FALSE(HasRoom(2, 5000));
    EXPECT_FALSE(HasRoom(2, 1000 + kWeek - 1));
    EXPECT_TRUE(HasRoom(2, 1000 + kWeek));
    EXPECT_TRUE(HasRoom(2, 1000 + kWeek + 1));
    EXPECT_TRUE(HasRoom(3, 5000));
}

TEST_F(Producer, TheOneThatWasIdleLongestGivesWay)
{
    Accept("a", 0, 0, 1);
    Accept("b", 0, 0, 2);
    Accept("c", 0, 0, 3);
    Accept("a", 0, 1, 4);
    EXPECT_FALSE(HasRoom(3, 1 + kWeek)) << "a was used again";
    ASSERT_TRUE(HasRoom(3, 2 + kWeek));
    Accept("d", 0, 0, 2 + kWeek, 3);
    EXPECT_EQ(Find("b"), nullptr);
    EXPECT_NE(Find("a"), nullptr);
    EXPECT_NE(Find("c"), nullptr);
    EXPECT_EQ(set_.table.count, 3u);
    EXPECT_FALSE(HasRoom(3, 2 + kWeek));
    EXPECT_TRUE(HasRoom(3, 3 + kWeek)) << "c is next";
}

TEST_F(Producer, AKnownOneNeedsNoRoom)
{
    Accept("a", 0, 0, 1, 2);
    Accept("b", 0, 0, 2, 2);
    Accept("b", 0, 1, 3 + kWeek, 2);
    EXPECT_NE(Find("a"), nullptr);
    EXPECT_EQ(set_.table.count, 2u);
}

TEST_F(Producer, OneIsEnough)
{
    for (uint64_t i = 0; i < 5; i++) {
        EXPECT_TRUE(HasRoom(1, i * kWeek));
        Accept(std::to_string(i), 0, 0, i * kWeek, 1);
        EXPECT_FALSE(HasRoom(1, i * kWeek));
        EXPECT_EQ(set_.table.count, 1u);
    }
}

TEST_F(Producer, MemoryCountsStatesAndBuckets)
{
    Accept("a", 0, 0);
    size_t one = sl_producer_set_memory(&set_);
    EXPECT_EQ(one, sizeof(sl_producer_state) + 1 + sl_table_memory(&set_.table));
    Accept("a", 0, 1);
    EXPECT_EQ(sl_producer_set_memory(&set_), one);
    Accept(std::string(100, 'b'), 0, 0);
    EXPECT_EQ(sl_producer_set_memory(&set_), one + sizeof(sl_producer_state) + 100);
}

TEST_F(Producer, AgreesWithAModelOverManyWeeks)
{
    struct Known {
        std::string id;
        uint64_t epoch, sequence, used_ms;
    };
    constexpr unsigned kRoom = 16;
    std::list<Known> model; /* idle longest first */
    std::mt19937_64 random(5);
    uint64_t now = 0, evicted = 0, refused = 0;
    for (int i = 0; i < 20000; i++) {
        now += random() % (kWeek / 30);
        std::string id = std::string(1 + random() % 3, 'p') + std::to_string(random() % 9);
        auto known = std::find_if(model.begin(), model.end(),
                                  [&](const Known &one) { return one.id == id; });
        sl_producer_state *state = Find(id);
        ASSERT_EQ(state != nullptr, known != model.end());
        uint64_t epoch = random() % 4, sequence = random() % 3;
        if (state != nullptr && random() % 4 > 0) {
            epoch = state->epoch;
            sequence = state->sequence + 1;
        }
        sl_append append = AppendOf(epoch, sequence);
        if (sl_producer_judge(state, &append) != SL_OK || append.duplicate)
            continue;
        bool room = model.size() < kRoom || now - model.front().used_ms >= kWeek;
        ASSERT_EQ(HasRoom(kRoom, now), room);
        if (state == nullptr && !room) {
            refused++;
            continue;
        }
        if (state != nullptr) {
            model.erase(known);
        } else if (model.size() == kRoom) {
            model.pop_front();
            evicted++;
        }
        model.push_back({ id, epoch, sequence, now });
        Accept(id, epoch, sequence, now, kRoom);
        ASSERT_EQ(set_.table.count, model.size());
        for (const Known &one : model) {
            const sl_producer_state *found = Find(one.id);
            ASSERT_NE(found, nullptr);
            ASSERT_EQ(found->epoch, one.epoch);
            ASSERT_EQ(found->sequence, one.sequence);
        }
    }
    EXPECT_GT(evicted, 100u);
    EXPECT_GT(refused, 100u);
}

using ProducerDeathTest = Producer;

TEST_F(ProducerDeathTest, RefusesIdsOfOtherSizes)
{
    EXPECT_DEATH(Accept("", 0, 0), "panic");
    EXPECT_DEATH(Accept(std::string(SL_PRODUCER_ID_SIZE_MAX + 1, 'a'), 0, 0), "panic");
}

} // namespace
