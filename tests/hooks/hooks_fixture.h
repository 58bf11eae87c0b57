/*
 * tests/hooks/hooks_fixture.h - subscriptions with their thread, on an engine whose disk fails
 *
 * What     Ask() sends one request, as the HTTP threads do, and waits for its answer.
 * Thread   The test's; the hooks have their own.
 */
#ifndef SL_TESTS_HOOKS_HOOKS_FIXTURE_H
#define SL_TESTS_HOOKS_HOOKS_FIXTURE_H

#include "hooks/hooks.h"
#include "protocol/json_value.h"
#include "support/engine_fixture.h"

#include <future>

namespace sluice_test
{

class HooksTest : public ::testing::Test
{
  protected:
    struct Answer {
        enum sl_err err = SL_OK;
        std::string text;

        /* The text of a member, or its number. */
        std::string Member(const char *name) const
        {
            struct sl_bytes value;
            if (!sl_json_find(BytesOf(text), name, &value))
                return "";
            std::string raw(reinterpret_cast<const char *>(value.data), value.size);
            return sl_json_is_string(value) ? raw.substr(1, raw.size() - 2) : raw;
        }
    };

    HooksTest() : disk_(1)
    {
        disk_.MakeDirectory("/disk");
    }

    void SetUp() override
    {
        Open();
    }

    void TearDown() override
    {
        Close();
    }

    void Open()
    {
        Prepare();
        Start();
    }

    /* What happens between this and the start is told to the hooks all at once. */
    void Prepare()
    {
        struct sl_engine_options options = {};
        options.shards = 1;
        options.data_directory = "/disk/data";
        options.vfs = disk_.vfs();
        options.wal_file_bytes = 1 << 20;
        options.free_bytes_min = 1;
        ASSERT_EQ(sl_engine_open(&options, &engine_), SL_OK);
        session_ = std::make_unique<Session>(engine_);
        metrics_ = sl_metrics_registry_create();
        struct sl_hooks_setup setup = {};
        setup.engine = engine_;
        setup.registry = metrics_;
        setup.data_directory = "/disk/data";
        setup.vfs = disk_.vfs();
        setup.subscriptions_max = 10;
        setup.links_max = links_max_;
        setup.bytes_max = bytes_max_;
        setup.deliveries_max = 1;
        setup.delivery_timeout_ms = 1000;
        ASSERT_EQ(sl_hooks_open(&setup, &hooks_), SL_OK);
    }

    void Start()
    {
        sl_hooks_start(hooks_);
    }

    void Close()
    {
        if (hooks_ != nullptr)
            sl_hooks_stop(&hooks_);
        session_.reset();
        if (engine_ != nullptr)
            sl_engine_close(&engine_);
        if (metrics_ != nullptr)
            sl_metrics_registry_destroy(&metrics_);
    }

    /* A request, and what it borrows. */
    struct Asked {
        struct sl_hooks_request request = {}; /* first, see the constructor */
        std::string id, token;
        std::promise<void> done;
        std::future<void> answered = done.get_future();

        Asked(enum sl_hooks_action action, std::string of, const std::string &json = "",
              std::string shown = "")
            : id(std::move(of)), token(std::move(shown))
        {
            const char *what = nullptr;
            request.action = action;
            request.id = BytesOf(id);
            request.root = sl_bytes_of("http://h/s");
            request.token = BytesOf(token);
            request.on_done = [](struct sl_hooks_request *answer) {
                reinterpret_cast<Asked *>(answer)->done.set_value();
            };
            if (!json.empty()) {
                EXPECT_EQ(Parser(action)(BytesOf(json), &request.body, &what), SL_OK) << what;
            }
        }

        bool IsAnswered() const
        {
            return answered.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
        }
    };

    /* Once it is answered. */
    Answer Take(Asked *asked)
    {
        asked->answered.wait();
        Answer answer;
        answer.err = asked->request.err;
        answer.text.assign(reinterpret_cast<const char *>(asked->request.text.data),
                           asked->request.text.size);
        sl_hooks_let_go(hooks_, &asked->request);
        sl_control_body_deinit(&asked->request.body);
        sl_buffer_deinit(&asked->request.text);
        return answer;
    }

    Answer Ask(enum sl_hooks_action action, const std::string &id, const std::string &json = "",
               const std::string &token = "")
    {
        Asked asked(action, id, json, token);
        sl_hooks_submit(hooks_, &asked.request);
        return Take(&asked);
    }

    Answer Put(const std::string &id, const std::string &members)
    {
        return Ask(SL_HOOKS_PUT, id,
                   R"({"type":"pull-wake","wake_stream":"w","lease_ttl_ms":600000,)" + members +
                       "}");
    }

    Answer Claim(const std::string &id)
    {
        return Ask(SL_HOOKS_CLAIM, id, R"({"worker":"me"})");
    }

    static std::string ReportBody(const Answer &claim, const std::string &members)
    {
        return R"({"wake_id":")" + claim.Member("wake_id") + R"(","generation":)" +
               claim.Member("generation") + "," + members + "}";
    }

    /* Reports with the token of this claim. */
    Answer Report(const std::string &id, const Answer &claim, const std::string &members)
    {
        return Ask(SL_HOOKS_ACK, id, ReportBody(claim, members), claim.Member("token"));
    }

    void Reopen()
    {
        Close();
        Open();
    }

    /* What /metrics says of this one, which has no labels. */
    uint64_t Metric(const std::string &name)
    {
        struct sl_buffer text = {};
        sl_metrics_render(metrics_, &text);
        std::string all(reinterpret_cast<const char *>(text.data), text.size);
        sl_buffer_deinit(&text);
        size_t at = all.find("\n" + name + " ");
        EXPECT_NE(at, std::string::npos) << name;
        return at == std::string::npos ? 0 : std::stoull(all.substr(at + name.size() + 2));
    }

    /* Until nothing more may be added. */
    void FillDisk()
    {
        const std::string block(50000, 'f');
        enum sl_err err = session_->Create("fill").err;
        disk_.SetFreeSpace(0);
        for (int i = 0; i < 1000 && err == SL_OK; i++)
            err = session_->Append("fill", Body(block)).err;
        EXPECT_EQ(err, SL_ERR_DISK_FULL);
    }

    void MakeSpace()
    {
        disk_.SetFreeSpace(1 << 30);
        EXPECT_TRUE(Eventually([&] { return session_->Append("fill", Body("x")).err == SL_OK; }));
    }

    SimDisk disk_;
    size_t links_max_ = 100;
    size_t bytes_max_ = SIZE_MAX;
    std::unique_ptr<Session> session_;
    struct sl_hooks *hooks_ = nullptr;

  private:
    using Parse = enum sl_err (*)(struct sl_bytes, struct sl_control_body *, const char **);

    static Parse Parser(enum sl_hooks_action action)
    {
        return action == SL_HOOKS_PUT     ? sl_control_parse_subscription
               : action == SL_HOOKS_ADD   ? sl_control_parse_streams
               : action == SL_HOOKS_CLAIM ? sl_control_parse_claim
                                          : sl_control_parse_acks;
    }

    struct sl_metrics_registry *metrics_ = nullptr;
    struct sl_engine *engine_ = nullptr;
};

} // namespace sluice_test

#endif
