#include "support/engine_fixture.h"

using namespace sluice_test;

SL_ENGINE_SUITE(SessionTest);

TEST_P(SessionTest, TellsByItsDescriptorThatThereIsSomethingToPoll)
{
    Make("a");
    Session other(engine());
    struct sl_operation *op = sl_session_take(s().get(), SL_OPERATION_READ);
    Session::Fill(op, sl_bytes_of("a"), FromNow().Wait());
    sl_session_submit(s().get(), op);
    EXPECT_EQ(sl_session_poll(s().get()), nullptr);
    EXPECT_EQ(sl_session_pending(s().get()), 1u);
    ASSERT_TRUE(sl_session_sleep(s().get()));
    struct pollfd fd = { sl_session_fd(s().get()), POLLIN, 0 };
    EXPECT_EQ(poll(&fd, 1, 20), 0);
    ASSERT_EQ(other.Append("a", Body("x")).err, SL_OK);
    EXPECT_EQ(poll(&fd, 1, kPatience_ms), 1);
    sl_session_wake(s().get());
    EXPECT_EQ(sl_session_poll(s().get()), op);
    EXPECT_EQ(op->err, SL_OK);
    EXPECT_EQ(sl_session_pending(s().get()), 0u);
    EXPECT_EQ(poll(&fd, 1, 0), 0) << "wake clears the descriptor";
    sl_session_put(s().get(), &op);
    EXPECT_EQ(op, nullptr);
}

TEST_P(SessionTest, LeavesOtherOperationsForPollWhileItRunsOne)
{
    Make("a");
    Make("b");
    auto waiting = s().StartRead("a", FromNow().Wait());
    ASSERT_EQ(s().Append("a", Body("x")).err, SL_OK);
    for (int i = 0; i < 50; i++)
        ASSERT_EQ(s().Append("b", Body("y")).err, SL_OK);
    EXPECT_EQ(waiting->Result().data, "x");
}

TEST_P(SessionTest, GivesEveryOperationBackExactlyOnce)
{
    constexpr size_t kOperations = 20000;
    Make("a");
    std::vector<int> seen(kOperations);
    for (size_t i = 0; i < kOperations; i++) {
        struct sl_operation *op = sl_session_take(s().get(), SL_OPERATION_HEAD);
        op->u.head.name = i % 2 == 0 ? sl_bytes_of("a") : sl_bytes_of("nobody");
        op->context = &seen[i];
        sl_session_submit(s().get(), op);
    }
    size_t back = 0;
    for (int64_t end_ms = Steady_ms() + kPatience_ms; back < kOperations && Steady_ms() < end_ms;) {
        struct sl_operation *op = sl_session_poll(s().get());
        if (op == nullptr)
            continue;
        int *count = static_cast<int *>(op->context);
        EXPECT_EQ(++*count, 1);
        if (op->err != SL_ERR_OVERLOADED) {
            EXPECT_EQ(op->err, (count - seen.data()) % 2 == 0 ? SL_OK : SL_ERR_NOT_FOUND);
        }
        back++;
        sl_session_put(s().get(), &op);
    }
    EXPECT_EQ(back, kOperations);
    EXPECT_EQ(sl_session_poll(s().get()), nullptr);
    EXPECT_EQ(sl_session_pending(s().get()), 0u);
}

TEST_P(SessionTest, TakeGivesArgumentsOfZeroAlsoWhenReused)
{
    for (int i = 0; i < 3; i++) {
        struct sl_operation *op = sl_session_take(s().get(), SL_OPERATION_APPEND);
        EXPECT_EQ(op->kind, SL_OPERATION_APPEND);
        EXPECT_EQ(op->context, nullptr);
        EXPECT_EQ(op->u.append.name.size, 0u);
        EXPECT_EQ(op->u.append.part_count, 0u);
        EXPECT_FALSE(op->u.append.close);
        EXPECT_FALSE(op->u.append.has_producer);
        EXPECT_EQ(op->u.append.request_err, SL_OK);
        op->u.append.name = sl_bytes_of("nobody");
        op->u.append.close = true;
        op->u.append.has_producer = true;
        op->u.append.producer.id = sl_bytes_of("p");
        op->context = &op;
        EXPECT_EQ(sl_session_run(s().get(), op), SL_ERR_NOT_FOUND);
        sl_session_put(s().get(), &op);
    }
}

TEST_P(SessionTest, ClosesWithReadsWaitingAndOperationsUnderWay)
{
    Make("a");
    Session other(engine());
    struct sl_bytes name = sl_bytes_of("a"), part = sl_bytes_of("x");
    for (int i = 0; i < 100; i++) {
        struct sl_operation *read = sl_session_take(other.get(), SL_OPERATION_READ);
        Session::Fill(read, name, FromNow().Wait());
        sl_session_submit(other.get(), read);
        struct sl_operation *append = sl_session_take(other.get(), SL_OPERATION_APPEND);
        append->u.append.name = name;
        append->u.append.content_type = sl_bytes_of(kBytes);
        append->u.append.parts = &part;
        append->u.append.part_count = 1;
        sl_session_submit(other.get(), append);
        (void)sl_session_take(other.get(), SL_OPERATION_HEAD);
    }
    other.Close();
    EXPECT_TRUE(Eventually([&] { return Status().waiting_reads == 0; }));
    EXPECT_EQ(s().Append("a", Body("y")).err, SL_OK);
}

TEST_P(SessionTest, OpensUpToTheLimitAndAgainAfterAClose)
{
    std::vector<struct sl_session *> sessions;
    for (int i = 1; i < SL_SESSIONS_MAX; i++) { /* one more is the fixture's */
        struct sl_session *session = nullptr;
        ASSERT_EQ(sl_session_open(engine(), &session), SL_OK) << i;
        sessions.push_back(session);
    }
    for (int i = 0; i < 3; i++) {
        struct sl_session *session = sessions.front();
        EXPECT_EQ(sl_session_open(engine(), &session), SL_ERR_OVERLOADED);
        EXPECT_EQ(session, nullptr);
        sl_session_close(&sessions.back());
        EXPECT_EQ(sessions.back(), nullptr);
        EXPECT_EQ(sl_session_open(engine(), &sessions.back()), SL_OK);
    }
    for (struct sl_session *session : sessions)
        sl_session_close(&session);
}

TEST_P(SessionTest, EnginesRefuseBadOptionsAndHaveHistoriesOfTheirOwn)
{
    struct sl_engine *other = engine();
    struct sl_engine_options options = {};
    options.shards = SL_SHARDS_MAX + 1;
    EXPECT_EQ(sl_engine_open(&options, &other), SL_ERR_INVALID_ARGUMENT);
    EXPECT_EQ(other, nullptr);
    options.shards = 0;
    ASSERT_EQ(sl_engine_open(&options, &other), SL_OK);
    EXPECT_NE(sl_engine_history_id(other), sl_engine_history_id(engine()));
    struct sl_engine_status status;
    sl_engine_status(other, &status);
    EXPECT_EQ(status.shards, 1u);
    EXPECT_EQ(Status().shards, Shards());
    sl_engine_close(&other);
}

TEST_P(SessionTest, StatusFollowsTheChanges)
{
    Make("a");
    ASSERT_EQ(s().Append("a", Body("x")).err, SL_OK);
    EXPECT_TRUE(Eventually([&] { return Status().streams == 1; }));
    struct sl_engine_status status = Status();
    EXPECT_GT(status.memory_used_bytes, 0u);
    for (unsigned i = 0; i < status.shards; i++)
        EXPECT_LE(status.shard[i].durable_lsn, status.shard[i].appended_lsn);
    ASSERT_EQ(s().Delete("a"), SL_OK);
    EXPECT_TRUE(Eventually([&] { return Status().streams == 0; }));
}
