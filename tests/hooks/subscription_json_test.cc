#include "hooks/subscription_json.h"

#include "hooks/registry_fixture.h"
#include "protocol/json.h"
#include "protocol/json_value.h"
#include "protocol/stream_name.h"

using namespace sluice_test;

namespace
{

constexpr sl_hooks_now kNow = { 5000000, 1764132000123 };

class SubscriptionJson : public RegistryTest
{
  protected:
    /* What `write` appends, which is valid JSON. */
    template <typename Write> static std::string Text(Write write)
    {
        sl_buffer out = {};
        write(&out);
        std::string text = String(sl_buffer_bytes(&out));
        struct sl_json_split split = {};
        EXPECT_EQ(sl_json_split(sl_buffer_bytes(&out), &split), SL_OK) << text;
        EXPECT_EQ(String(sl_buffer_bytes(&split.messages)), text + ",") << "minified";
        sl_json_split_deinit(&split);
        sl_buffer_deinit(&out);
        return text;
    }

    static std::string Records(struct sl_subscription *subscription, size_t size_max = 1 << 20)
    {
        std::string all =
            Text([&](sl_buffer *out) { sl_subscription_append_first_record(subscription, out); });
        sl_subscription_touch_all(subscription);
        while (sl_subscription_is_unwritten(subscription))
            all += "," + Record(subscription, size_max);
        return all + ",{\"complete\":true}";
    }

    static std::string Record(struct sl_subscription *subscription, size_t size_max = 1 << 20)
    {
        return Text([&](sl_buffer *out) {
            sl_subscription_take_record(subscription, &kNow, size_max, out);
        });
    }

    /* The subscription that the records say; NULL: malformed. */
    struct sl_subscription *Read(const std::string &id, const std::string &records,
                                 const sl_hooks_now &now = kNow)
    {
        struct sl_bytes rest = Bytes(records), record;
        bool complete = false;
        EXPECT_TRUE(sl_json_next(&rest, &record));
        auto *made =
            static_cast<struct sl_subscription *>(sl_memory_zalloc(sizeof(sl_subscription)));
        if (!sl_subscription_read_first_record(record, made, Bytes(id))) {
            sl_memory_free(made);
            return nullptr;
        }
        sl_registry_add(&registry_, made);
        while (sl_json_next(&rest, &record))
            if (!sl_subscription_apply_record(record, &registry_, made, &now, &complete)) {
                sl_registry_remove(&registry_, &made);
                return nullptr;
            }
        EXPECT_TRUE(complete);
        sl_subscription_check(made);
        return made;
    }
};

TEST_F(SubscriptionJson, ShowsAWebhookSubscription)
{
    struct sl_subscription *s = Make("a%20b", std::string(kWebhook) + R"("pattern":"x/*"})");
    s->created_at_ms = kNow.wall_ms;
    Link(s, "x/1", -1, 0)->is_explicit = false;
    Link(s, "x/2", 42, 50);
    sl_hooks_address address = { sl_bytes_of("http://h:1/v1/stream"), "ds_k" };
    EXPECT_EQ(
        Text([&](sl_buffer *out) { sl_subscription_append_view(s, &address, out); }),
        R"({"id":"a b","subscription_id":"a b","type":"webhook","pattern":"x/*","streams":[)"
        R"({"path":"x/1","link_type":"glob","acked_offset":"-1"},)"
        R"({"path":"x/2","link_type":"explicit","acked_offset":"0000000000000000_0000000000000042"}],)"
        R"("webhook":{"url":"https://x.example/","signing":{"alg":"ed25519","kid":"ds_k",)"
        R"("jwks_url":"http://h:1/v1/stream/__ds/jwks.json"}},"wake_stream":null,)"
        R"("lease_ttl_ms":1000,"created_at":"2025-11-26T04:40:00.123Z","status":"active",)"
        R"("description":null})");
}

TEST_F(SubscriptionJson, SaysFailedWhileARetryIsScheduled)
{
    struct sl_subscription *s = Make("a", std::string(kWebhook) + R"("pattern":"x/*"})");
    sl_hooks_address address = { sl_bytes_of("http://h/s"), "ds_k" };
    auto view = [&](sl_buffer *out) { sl_subscription_append_view(s, &address, out); };
    s->retry_count = 1;
    EXPECT_NE(Text(view).find("\"status\":\"failed\""), std::string::npos);
}

TEST_F(SubscriptionJson, TellsAWorkerTheTailsOfTodayAndAReceiverThoseOfTheWake)
{
    struct sl_subscription *s = Make("s", std::string(kWebhook) + R"("pattern":"x/*"})");
    struct sl_cursor *one = Link(s, "x/1", 5, 10);
    sl_subscription_wake(s, kRandom);
    Grow(one, 20);
    Link(s, "x/2", -1, 3);
    EXPECT_EQ(
        Text([&](sl_buffer *out) {
            sl_subscription_append_webhook(s, sl_bytes_of("https://h/s"), sl_bytes_of("tok"), out);
        }),
        R"({"subscription_id":"s","wake_id":"w_0123456789abcdefff001020","generation":1,"streams":[)"
        R"({"path":"x/1","link_type":"explicit","acked_offset":"0000000000000000_0000000000000005",)"
        R"("tail_offset":"0000000000000000_0000000000000010","has_pending":true}],)"
        R"("callback_url":"https://h/s/__ds/subscriptions/s/callback","callback_token":"tok"})");
    std::string claim =
        Text([&](sl_buffer *out) { sl_subscription_append_claim(s, sl_bytes_of("tok"), out); });
    EXPECT_NE(claim.find("_0000000000000020"), std::string::npos) << claim;
    EXPECT_NE(claim.find("x/2"), std::string::npos) << claim;
    EXPECT_NE(claim.find("\"token\":\"tok\""), std::string::npos) << claim;
}

TEST_F(SubscriptionJson, NoAnswerIsLargerThanItsRoom)
{
    const std::string id(SL_SUBSCRIPTION_ID_SIZE_MAX, 'i'), root(2000, 'r');
    const std::string odd = R"(\u0001\u0001\u0001)", key(100, 'k');
    struct sl_subscription *s =
        Make(id, std::string(kPullWake) + "\"description\":\"" + odd + "\",\"pattern\":\"x/*\"}");
    const struct sl_hooks_address address = { Bytes(root), key.c_str() };
    auto view = [&](sl_buffer *out) { sl_subscription_append_view(s, &address, out); };
    auto claim = [&](sl_buffer *out) { sl_subscription_append_claim(s, Bytes(key), out); };
    const size_t view_size = Text(view).size(), claim_size = Text(claim).size();
    const size_t room = sl_subscription_answer_size_max(s, Bytes(root));
    EXPECT_LE(view_size, room);
    EXPECT_LE(claim_size, room);
    const std::string name(SL_NAME_SIZE_MAX, 'n');
    struct sl_cursor *cursor = Link(s, name, 1, 1);
    Link(s, "n", 1, 1);
    const size_t more = sl_subscription_answer_size_max(s, Bytes(root)) - room;
    EXPECT_LE(Text(view).size(), view_size + more);
    EXPECT_EQ(Text(claim).size(), claim_size + more - 1) << "a comma less than links";
    sl_registry_unlink(&registry_, &cursor);
    EXPECT_LT(sl_subscription_answer_size_max(s, Bytes(root)), room + more - name.size());
}

TEST_F(SubscriptionJson, WritesAWakeEvent)
{
    struct sl_subscription *s = Make("s", std::string(kPullWake) + R"("pattern":"x/*"})");
    Link(s, "x/1", 5, 5);
    Link(s, "x/2", 5, 6);
    sl_subscription_wake(s, kRandom);
    EXPECT_EQ(Text([&](sl_buffer *out) { sl_subscription_append_event(s, 77, out); }),
              R"({"type":"wake","subscription_id":"s","stream":"x/2","generation":1,"ts":77})");
}

TEST_F(SubscriptionJson, TellsTheOperatorTheLastFailure)
{
    struct sl_subscription *s = Make("s", std::string(kWebhook) + R"("pattern":"x/*"})");
    Link(s, "x/1", 5, 6);
    sl_subscription_wake(s, kRandom);
    s->pending_since_ms = kNow.running_ms;
    auto summary = [&] {
        return Text([&](sl_buffer *out) { sl_subscription_append_summary(s, &kNow, out); });
    };
    EXPECT_EQ(summary(),
              R"({"id":"s","type":"webhook","state":"waking","generation":1,"failures":0,)"
              R"("last_error":null,"last_status":0,"next_attempt_ms":0,"leases_expired":0,)"
              R"("streams":1,"pending_streams":1,"lag_ms":0})");
    sl_subscription_on_failed(s, { "not 2xx", 503 }, kNow.running_ms, 200);
    std::string next = std::to_string(kNow.wall_ms + 1000);
    EXPECT_NE(summary().find(R"("failures":1,"last_error":"not 2xx","last_status":503,)"
                             R"("next_attempt_ms":)" +
                             next + ","),
              std::string::npos)
        << summary();
}

TEST_F(SubscriptionJson, HasOneTextForConfigurationsThatMeanTheSame)
{
    auto config = [](const std::string &json) {
        struct sl_control_body body = {};
        const char *what;
        EXPECT_EQ(sl_control_parse_subscription(Bytes(json), &body, &what), SL_OK) << what;
        std::string text = Text([&](sl_buffer *out) { sl_subscription_append_config(&body, out); });
        sl_control_body_deinit(&body);
        return text;
    };
    std::string base = config(R"({"type":"pull-wake","streams":["a","b"],"wake_stream":"w"})");
    EXPECT_EQ(config(R"({"wake_stream":"/w","streams":["b","/a/","b"],"type":"pull-wake",
                         "lease_ttl_ms":30000,"pattern":null,"description":null})"),
              base);
    for (const char *other :
         { R"({"type":"pull-wake","streams":["a"],"wake_stream":"w"})",
           R"({"type":"pull-wake","streams":["a","b"],"wake_stream":"v"})",
           R"({"type":"pull-wake","streams":["a","b"],"wake_stream":"w","description":""})",
           R"({"type":"pull-wake","streams":["a","b"],"wake_stream":"w","pattern":"p"})",
           R"({"type":"pull-wake","streams":["a","b"],"wake_stream":"w","lease_ttl_ms":1000})" })
        EXPECT_NE(config(other), base) << other;
}

TEST_F(SubscriptionJson, ReadsBackWhatItWrote)
{
    struct sl_subscription *s = Make(
        "s", std::string(kPullWake) + R"("pattern":"x/*","streams":["y"],"description":"d\""})");
    s->created_at_ms = 12345;
    s->incarnation = UINT64_MAX - 1;
    Link(s, "x/1", -1, 9)->is_glob = true;
    Link(s, "y", 7, 9);
    sl_subscription_wake(s, kRandom);
    ASSERT_EQ(sl_subscription_claim(s, Bytes("worker \"1\""), kNow.running_ms), SL_OK);
    std::string records = Records(s);
    EXPECT_FALSE(sl_subscription_is_unwritten(s));
    sl_registry_remove(&registry_, &s);

    struct sl_subscription *again = Read("s", records);
    ASSERT_NE(again, nullptr) << records;
    EXPECT_EQ(again->created_at_ms, 12345);
    EXPECT_EQ(again->incarnation, UINT64_MAX - 1);
    EXPECT_EQ(String(sl_buffer_bytes(&again->root)), "http://h/s");
    EXPECT_EQ(String(again->config.description), "d\"");
    EXPECT_TRUE(sl_glob_matches(again->glob, Bytes("x/5")));
    EXPECT_EQ(again->phase, SL_SUBSCRIPTION_HELD);
    EXPECT_EQ(again->generation, 1u);
    EXPECT_EQ(std::string(again->wake_id, SL_WAKE_ID_SIZE), "w_0123456789abcdefff001020");
    EXPECT_EQ(String(sl_buffer_bytes(&again->worker)), "worker \"1\"");
    EXPECT_EQ(again->lease_until_ms, kNow.running_ms + 1000) << "from the restart on";
    ASSERT_EQ(again->cursor_count, 2u);
    struct sl_cursor *x =
        sl_subscription_find(again, sl_registry_find_stream(&registry_, Bytes("x/1")));
    struct sl_cursor *y =
        sl_subscription_find(again, sl_registry_find_stream(&registry_, Bytes("y")));
    EXPECT_EQ(x->acked, -1);
    EXPECT_TRUE(x->is_glob && x->is_explicit);
    EXPECT_EQ(y->acked, 7);
    EXPECT_EQ(y->stream_id, 7u);
    EXPECT_FALSE(y->is_glob);
    EXPECT_FALSE(sl_subscription_is_unwritten(again)) << "nothing is new";
    EXPECT_EQ(Records(again), records);
}

TEST_F(SubscriptionJson, KeepsWhatWasMadeAnewDuringTheWake)
{
    struct sl_subscription *s = Make("s", std::string(kPullWake) + R"("pattern":"x/*"})");
    struct sl_cursor *cursor = Link(s, "x/1", 0, 9);
    sl_subscription_wake(s, kRandom);
    sl_registry_unlink(&registry_, &cursor);
    Link(s, "x/1", -1, 9);
    std::string records = Records(s);
    sl_registry_remove(&registry_, &s);
    struct sl_subscription *again = Read("s", records, kNow);
    ASSERT_NE(again, nullptr);
    cursor = sl_subscription_find(again, sl_registry_find_stream(&registry_, Bytes("x/1")));
    ASSERT_NE(cursor, nullptr);
    EXPECT_EQ(cursor->renewed_in, again->generation);
}

TEST_F(SubscriptionJson, KeepsTheRetryScheduleAndDoesNotTrustTheClock)
{
    struct sl_subscription *s = Make("s", std::string(kWebhook) + R"("pattern":"x/*"})");
    Link(s, "x/1", 0, 9);
    sl_subscription_wake(s, kRandom);
    sl_subscription_on_failed(s, { "refused", 0 }, kNow.running_ms, 200);
    std::string records = Records(s);
    sl_registry_remove(&registry_, &s);
    sl_hooks_now later = { 77000, kNow.wall_ms + 400 };
    struct sl_subscription *again = Read("s", records, later);
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->retry_count, 1u);
    EXPECT_EQ(again->next_attempt_ms, 77000u + 600u);
    sl_registry_remove(&registry_, &again);
    sl_hooks_now much_later = { 77000, kNow.wall_ms + 100000 };
    again = Read("s", records, much_later);
    EXPECT_EQ(again->next_attempt_ms, 77000u);
    sl_registry_remove(&registry_, &again);
    sl_hooks_now before = { 77000, kNow.wall_ms - 86400000 };
    again = Read("s", records, before);
    EXPECT_LE(again->next_attempt_ms, 77000u + 60000u);
}

TEST_F(SubscriptionJson, CutsRecordsThatWouldBeLarge)
{
    struct sl_subscription *s = Make("s", std::string(kPullWake) + R"("pattern":"x/*"})");
    for (int i = 0; i < 50; i++)
        Link(s, "x/" + std::to_string(i), i, 100);
    std::string records = Records(s, 300);
    EXPECT_GT(std::count(records.begin(), records.end(), '\n') + records.size(), 2000u);
    sl_registry_remove(&registry_, &s);
    struct sl_subscription *again = Read("s", records);
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->cursor_count, 50u);
}

TEST_F(SubscriptionJson, CutsRecordsOfManyUnlinksAndLinksAfterThem)
{
    struct sl_subscription *s = Make("s", std::string(kPullWake) + R"("pattern":"x/*"})");
    std::vector<struct sl_cursor *> cursors;
    for (int i = 0; i < 50; i++)
        cursors.push_back(Link(s, "x/" + std::to_string(i) + std::string(100, 'n'), i, 100));
    std::string records = Records(s);
    for (struct sl_cursor *cursor : cursors)
        sl_registry_unlink(&registry_, &cursor);
    Link(s, "x/49" + std::string(100, 'n'), 7, 100);
    while (sl_subscription_is_unwritten(s)) {
        std::string record = Record(s, 300);
        EXPECT_LT(record.size(), 700u);
        records += "," + record;
    }
    sl_registry_remove(&registry_, &s);
    struct sl_subscription *again = Read("s", records);
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->cursor_count, 1u) << "the one that was linked anew";
}

/* Names grow when they become canonical: what was taken must be read back, else nothing starts. */
TEST_F(SubscriptionJson, ReadsBackAConfigurationThatHasGrownBeyondTheLimitOfBodies)
{
    std::string json = std::string(kPullWake) + R"("streams":["a")";
    while (json.size() < SL_CONTROL_BODY_SIZE_MAX / 2)
        json += ",\"" + std::to_string(json.size()) + std::string(300, ' ') + "\"";
    struct sl_subscription *s = Make("s", json + "]}");
    std::string records = Records(s);
    EXPECT_GT(records.size(), size_t(SL_CONTROL_BODY_SIZE_MAX));
    sl_registry_remove(&registry_, &s);
    EXPECT_NE(Read("s", records), nullptr);
}

TEST_F(SubscriptionJson, AppliesChangesInOrder)
{
    struct sl_subscription *s = Make("s", std::string(kPullWake) + R"("pattern":"x/*"})");
    struct sl_cursor *one = Link(s, "x/1", 0, 9);
    Link(s, "x/2", 0, 9);
    std::string records = Records(s);
    sl_cursor_ack(one, 4);
    records += "," + Record(s);
    sl_registry_unlink(&registry_, &one);
    records += "," + Record(s);
    one = Link(s, "x/1", -1, 3);
    sl_registry_unlink(&registry_, &one);
    Link(s, "x/1", 2, 3);
    records += "," + Record(s);
    sl_registry_remove(&registry_, &s);
    struct sl_subscription *again = Read("s", records);
    ASSERT_NE(again, nullptr) << records;
    ASSERT_EQ(again->cursor_count, 2u);
    struct sl_cursor *x =
        sl_subscription_find(again, sl_registry_find_stream(&registry_, Bytes("x/1")));
    ASSERT_NE(x, nullptr);
    EXPECT_EQ(x->acked, 2);
}

TEST_F(SubscriptionJson, RefusesRecordsThatMakeNoSense)
{
    struct sl_subscription *s = Make("s", std::string(kPullWake) + R"("pattern":"x/*"})");
    std::string first = Text([&](sl_buffer *out) { sl_subscription_append_first_record(s, out); });
    sl_registry_remove(&registry_, &s);
    for (const char *wrong :
         { "7", "{}", R"({"config":{"type":"none"},"created_at_ms":1,"incarnation":1,"root":"x"})",
           R"({"config":{"type":"pull-wake","wake_stream":"w","pattern":"a"},"created_at_ms":1})" })
        EXPECT_EQ(Read("s", wrong), nullptr) << wrong;
    for (const char *wrong : { "7", R"({"wake":{}})", R"({"links":[7]})", R"({"links":[{}]})",
                               R"({"links":[{"path":"","stream":1}]})", R"({"unlinks":[7]})",
                               R"({"links":[{"path":"a","acked":10000000000000000,"stream":1}]})" })
        EXPECT_EQ(Read("s", first + "," + wrong), nullptr) << wrong;
}

TEST_F(SubscriptionJson, RefusesWhatABrokenInvariantWouldFollowFrom)
{
    const std::string config = R"({"config":{"type":"webhook","pattern":"a","webhook":{)"
                               R"("url":"https://x.example/"}},"incarnation":1,)";
    const std::string first = config + R"("created_at_ms":253402300799999,"root":"r"})";
    for (const char *rest :
         { R"("created_at_ms":253402300800000,"root":"r"})", R"("created_at_ms":1,"root":""})" })
        EXPECT_EQ(Read("s", config + rest + ",{\"complete\":true}"), nullptr) << rest;
    for (const char *wake :
         { R"({"generation":1,"id":"x_0123456789abcdefff001020"})", R"({"generation":1,"id":"w_"})",
           R"({"generation":1,"id":"w_0123456789abcdefff001020","worker":"w"})" })
        EXPECT_EQ(Read("s", first + R"(,{"wake":)" + wake + "}"), nullptr) << wake;
    EXPECT_NE(Read("s", first + ",{\"complete\":true}"), nullptr);
}

} // namespace
