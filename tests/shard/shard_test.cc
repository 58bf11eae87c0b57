#include "shard/shard.h"

#include "base/limits.h"
#include "base/memory.h"
#include "bus/messages.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace
{

constexpr uint32_t kShards = 2, kSessions = 3;
constexpr uint32_t kFast = 2;       /* the session that has room for every answer */
constexpr unsigned kReplySlots = 4; /* of the others: three answers fit, the rest has to wait */

/* Two shards whose sessions are this test: it fills and empties the rings itself. */
class Shard : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        metrics_ = sl_metrics_registry_create();
        route_.shards = kShards;
        sl_shard_setup setup = {};
        setup.route = &route_;
        setup.peers = shards_;
        setup.account = &account_;
        setup.memory_budget_bytes = 1 << 20;
        setup.copies = &copies_;
        setup.copies_max_bytes = 1 << 20;
        setup.streams = &streams_;
        setup.streams_max = 1000;
        setup.producers_max = 10;
        setup.slab_size = 4096;
        for (uint32_t shard = 0; shard < kShards; shard++) {
            setup.index = shard;
            setup.metrics = sl_metrics_registry_join(metrics_);
            shards_[shard] = sl_shard_create(&setup);
        }
        for (uint32_t session = 0; session < kSessions; session++)
            Connect(session);
    }

    void TearDown() override
    {
        for (uint32_t shard = 0; shard < kShards; shard++)
            Stop(shard);
        for (sl_shard *&shard : shards_) {
            sl_shard_destroy(&shard);
            EXPECT_EQ(shard, nullptr);
        }
        EXPECT_EQ(sl_account_bytes(&account_), 0u);
        EXPECT_EQ(sl_account_bytes(&streams_), 0u);
        for (Lane &lane : lanes_) {
            sl_port_destroy(&lane.port);
            for (uint32_t shard = 0; shard < kShards; shard++) {
                sl_ring_destroy(&lane.requests[shard]);
                sl_ring_destroy(&lane.replies[shard]);
            }
        }
        for (const auto &message : messages_)
            sl_memory_free(message->names);
        sl_metrics_registry_destroy(&metrics_);
    }

    void Start()
    {
        for (uint32_t shard = 0; shard < kShards; shard++) {
            sl_shard_start(shards_[shard]);
            started_[shard] = true;
        }
    }

    void Stop(uint32_t shard)
    {
        if (started_[shard])
            sl_shard_stop(shards_[shard]);
        started_[shard] = false;
    }

    sl_message *Make(enum sl_request request)
    {
        messages_.push_back(std::make_unique<sl_message>());
        sl_message *message = messages_.back().get();
        message->request = request;
        sl_link_init(&message->shard.link);
        return message;
    }

    sl_message *Head(const char *name)
    {
        sl_message *message = Make(SL_REQUEST_HEAD);
        message->op.u.head.name = sl_bytes_of(name);
        return message;
    }

    sl_message *Create(const char *name)
    {
        sl_message *message = Make(SL_REQUEST_CREATE);
        message->op.u.create.name = sl_bytes_of(name);
        message->config.content_type = sl_bytes_of("text/plain");
        message->op.u.create.config = message->config;
        return message;
    }

    sl_message *Delete(const char *name)
    {
        sl_message *message = Make(SL_REQUEST_DELETE);
        message->op.u.remove.name = sl_bytes_of(name);
        return message;
    }

    void Push(sl_message *message, uint32_t session = 0, uint32_t shard = 0)
    {
        message->session_index = session;
        ASSERT_TRUE(sl_ring_push(lanes_[session].requests[shard], message));
    }

    void Signal(uint32_t session = 0, uint32_t shard = 0)
    {
        sl_port_signal(sl_shard_port(shards_[shard]), session);
    }

    /* The next answer, in the order of the ring. */
    sl_message *Pop(uint32_t session = 0, uint32_t shard = 0)
    {
        Lane &lane = lanes_[session];
        for (;;) {
            if (void *message = sl_ring_pop(lane.replies[shard]))
                return static_cast<sl_message *>(message);
            if (sl_port_sleep(lane.port))
                sl_port_wait(lane.port, -1);
            sl_port_take(lane.port);
        }
    }

    /* Asks and waits for the answer. */
    enum sl_err Ask(sl_message *message, uint32_t session = 0, uint32_t shard = 0)
    {
        Push(message, session, shard);
        Signal(session, shard);
        EXPECT_EQ(Pop(session, shard), message);
        return message->err;
    }

    /* A fork of `source` on shard 0 that lives on shard 1, as a session makes it. */
    void MakeFork(const char *name, const char *source)
    {
        sl_message *message = Create(name);
        struct sl_create *create = &message->op.u.create;
        create->fork = true;
        create->fork_source = sl_bytes_of(source);
        ASSERT_EQ(Ask(message, 0, 1), SL_OK);
        ASSERT_TRUE(message->fork.name_free);
        message->request = SL_REQUEST_PIN;
        ASSERT_EQ(Ask(message, 0, 0), SL_OK);
        message->fork.pinned = true;
        message->request = SL_REQUEST_CREATE;
        ASSERT_EQ(Ask(message, 0, 1), SL_OK);
        ASSERT_TRUE(create->created);
    }

    sl_shard *shards_[kShards];
    sl_account account_{}, streams_{}, copies_{};

  private:
    struct Lane {
        sl_ring *requests[kShards], *replies[kShards];
        sl_port *port;
    };

    void Connect(uint32_t session)
    {
        Lane &lane = lanes_[session];
        unsigned slots = session == kFast ? +SL_RING_CAPACITY : kReplySlots;
        lane.port = sl_port_create();
        for (uint32_t shard = 0; shard < kShards; shard++) {
            lane.requests[shard] = sl_ring_create(SL_RING_CAPACITY);
            lane.replies[shard] = sl_ring_create(slots);
            sl_shard_connect(shards_[shard], session, lane.requests[shard], lane.replies[shard],
                             lane.port);
        }
    }

    sl_metrics_registry *metrics_ = nullptr;
    sl_route route_{};
    bool started_[kShards] = {};
    std::array<Lane, kSessions> lanes_{};
    std::deque<std::unique_ptr<sl_message>> messages_;
};

TEST_F(Shard, EndsWithoutHavingBegun)
{
}

TEST_F(Shard, EndsWhileItSleeps)
{
    Start();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

TEST_F(Shard, EveryRequestComesBackAsItsOwnAnswer)
{
    Start();
    EXPECT_EQ(Ask(Head("a")), SL_ERR_NOT_FOUND);
    sl_message *made = Create("a");
    EXPECT_EQ(Ask(made), SL_OK);
    EXPECT_TRUE(made->op.u.create.created);
    sl_message *head = Head("a");
    EXPECT_EQ(Ask(head), SL_OK);
    EXPECT_EQ(head->op.stream.id, made->op.stream.id);
    EXPECT_EQ(Ask(Head("a"), 0, 1), SL_ERR_NOT_FOUND) << "the other shard has its own streams";
    EXPECT_EQ(Ask(Delete("a")), SL_OK);
    EXPECT_EQ(Ask(Head("a")), SL_ERR_NOT_FOUND);
}

TEST_F(Shard, EveryChangeHasANumberAndIsDurableWhenItIsAnswered)
{
    Start();
    EXPECT_EQ(sl_shard_appended_lsn(shards_[0]), 0u);
    EXPECT_EQ(Ask(Create("a")), SL_OK);
    EXPECT_EQ(sl_shard_durable_lsn(shards_[0]), 1u);
    EXPECT_EQ(Ask(Create("a")), SL_OK) << "is there";
    EXPECT_EQ(Ask(Head("a")), SL_OK);
    EXPECT_EQ(sl_shard_durable_lsn(shards_[0]), 1u);
    EXPECT_EQ(Ask(Delete("a")), SL_OK);
    EXPECT_EQ(sl_shard_durable_lsn(shards_[0]), 2u);
    EXPECT_EQ(sl_shard_appended_lsn(shards_[0]), 2u);
    EXPECT_EQ(sl_shard_appended_lsn(shards_[1]), 0u);
}

TEST_F(Shard, AnswersThatFindTheirRingFullComeLaterAndInOrder)
{
    Start();
    std::deque<sl_message *> asked;
    auto push = [&] {
        asked.push_back(Head("a"));
        Push(asked.back(), 0);
        Signal(0);
    };
    for (int i = 0; i < 300; i++)
        push();
    EXPECT_EQ(Ask(Head("b"), 1), SL_ERR_NOT_FOUND) << "others do not wait for the slow one";
    for (int i = 0; i < 300; i++) {
        sl_message *answer = Pop(0);
        EXPECT_EQ(answer, asked.front()) << "and nobody overtakes, " << i;
        asked.pop_front();
        push();
    }
    for (; !asked.empty(); asked.pop_front())
        EXPECT_EQ(Pop(0), asked.front());
    EXPECT_EQ(Ask(Head("a"), 0), SL_ERR_NOT_FOUND);
}

/* Everything is pushed before the shard runs, so its turns are known. */
TEST_F(Shard, TakesABoundedBatchFromOneSessionBeforeTheNext)
{
    std::vector<sl_message *> heads;
    for (unsigned i = 0; i < 3 * SL_DRAIN_BATCH_MAX; i++) {
        heads.push_back(Head("a"));
        Push(heads.back(), 0);
    }
    sl_message *create = Create("a");
    Push(create, 1);
    Signal(0);
    Signal(1);
    Start();
    EXPECT_EQ(Pop(1), create);
    for (size_t i = 0; i < heads.size(); i++) {
        ASSERT_EQ(Pop(0), heads[i]);
        ASSERT_EQ(heads[i]->err, i < SL_DRAIN_BATCH_MAX ? SL_ERR_NOT_FOUND : SL_OK) << i;
    }
}

TEST_F(Shard, OneSignalIsEnoughForAFullRing)
{
    std::vector<sl_message *> asked;
    for (int i = 0; i < SL_RING_CAPACITY - 1; i++) {
        asked.push_back(Head("a"));
        Push(asked.back(), kFast);
    }
    Start();
    Signal(kFast);
    for (sl_message *message : asked)
        ASSERT_EQ(Pop(kFast), message);
}

TEST_F(Shard, AReadThatWaitsIsAnsweredByItsCancelOrTheNextBytes)
{
    Start();
    ASSERT_EQ(Ask(Create("a")), SL_OK);
    sl_message *reads[2];
    for (sl_message *&read : reads) {
        read = Make(SL_REQUEST_READ);
        read->op.u.read.name = sl_bytes_of("a");
        read->op.u.read.wait = true;
        read->read.page_size = read->read.piece_size = 100;
        Push(read);
    }
    ASSERT_EQ(Ask(Head("a")), SL_OK);
    EXPECT_EQ(sl_shard_waiting_reads(shards_[0]), 2u);
    sl_message *cancel = Make(SL_REQUEST_CANCEL);
    cancel->target = reads[0];
    Push(cancel);
    Signal();
    EXPECT_EQ(Pop(), reads[0]);
    EXPECT_EQ(reads[0]->err, SL_ERR_CANCELLED);
    EXPECT_EQ(Pop(), cancel);
    EXPECT_EQ(sl_shard_waiting_reads(shards_[0]), 1u);

    sl_message *append = Make(SL_REQUEST_APPEND);
    append->op.u.append.name = sl_bytes_of("a");
    append->op.u.append.content_type = sl_bytes_of("text/plain");
    append->has_data = true;
    append->payload.bytes = sl_bytes_of("data");
    append->payload.count = 1;
    Push(append);
    Signal();
    EXPECT_EQ(Pop(), append);
    EXPECT_EQ(Pop(), reads[1]);
    EXPECT_EQ(sl_shard_waiting_reads(shards_[0]), 0u);
    ASSERT_EQ(reads[1]->read.pieces.count, 1u);
    EXPECT_TRUE(sl_bytes_equal(reads[1]->read.pieces.slices[0], sl_bytes_of("data")));
    sl_pieces_clear(&reads[1]->read.pieces);
}

TEST_F(Shard, ARemovedForkGivesItsReferenceBackToTheOtherShard)
{
    Start();
    ASSERT_EQ(Ask(Create("source"), 0, 0), SL_OK);
    MakeFork("fork", "source");
    ASSERT_EQ(Ask(Delete("source"), 0, 0), SL_OK);
    EXPECT_EQ(Ask(Head("source"), 0, 0), SL_ERR_GONE);
    ASSERT_EQ(Ask(Delete("fork"), 0, 1), SL_OK);
    enum sl_err err = SL_ERR_GONE;
    for (int i = 0; i < 10000 && err == SL_ERR_GONE; i++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        err = Ask(Head("source"), 0, 0);
    }
    EXPECT_EQ(err, SL_ERR_NOT_FOUND);
}

TEST_F(Shard, WhileItIsHeldNoForkBeginsAndNoSourceIsLetGoOf)
{
    sl_shard_task task = {};
    task.mutex = sl_mutex_create();
    task.changed = sl_condition_create();
    auto tell = [&](enum sl_shard_task_kind kind) {
        task.kind = kind;
        sl_shard_give(shards_[0], &task);
        return sl_shard_await(&task);
    };
    Start();
    ASSERT_EQ(Ask(Create("source"), 0, 0), SL_OK);
    ASSERT_EQ(Ask(Create("other"), 0, 0), SL_OK);
    MakeFork("fork", "source");
    ASSERT_EQ(Ask(Delete("source"), 0, 0), SL_OK);
    ASSERT_EQ(tell(SL_SHARD_TASK_HOLD), SL_OK);
    ASSERT_EQ(Ask(Delete("fork"), 0, 1), SL_OK);
    sl_message *pin = Make(SL_REQUEST_PIN);
    pin->op.u.create.fork = true;
    pin->op.u.create.fork_source = sl_bytes_of("other");
    Push(pin, 0, 0);
    Signal(0, 0);
    /* The unpin and the pin are there: what comes later is answered. */
    Stop(1);
    EXPECT_EQ(Ask(Head("other"), 1, 0), SL_OK);
    EXPECT_EQ(Ask(Head("source"), 0, 0), SL_ERR_GONE);
    ASSERT_EQ(tell(SL_SHARD_TASK_RELEASE), SL_OK);
    EXPECT_EQ(Pop(0, 0), pin);
    EXPECT_EQ(pin->err, SL_OK);
    EXPECT_EQ(Ask(Head("source"), 0, 0), SL_ERR_NOT_FOUND);
    sl_memory_free(pin->fork.lineage);
    sl_condition_destroy(&task.changed);
    sl_mutex_destroy(&task.mutex);
}

TEST_F(Shard, AReferenceThatFindsItsShardStoppedIsFreedWithIt)
{
    Start();
    ASSERT_EQ(Ask(Create("source"), 0, 0), SL_OK);
    MakeFork("fork", "source");
    Stop(0);
    ASSERT_EQ(Ask(Delete("fork"), 0, 1), SL_OK);
}

TEST_F(Shard, WhatItStillHasIsFreedWithIt)
{
    Start();
    for (int i = 0; i < 100; i++) {
        std::string name = "s" + std::to_string(i);
        ASSERT_EQ(Ask(Create(name.c_str()), 0, 0), SL_OK);
        if (i % 3 == 0)
            MakeFork(name.c_str(), name.c_str());
        enum sl_err err = i % 6 == 0 ? Ask(Delete(name.c_str()), 0, 0) : SL_OK;
        ASSERT_EQ(err, SL_OK);
    }
    EXPECT_GT(sl_account_bytes(&account_), 0u);
    EXPECT_EQ(sl_account_bytes(&streams_), 134u) << "soft-deleted ones count";
}

} // namespace
