#include "hooks/courier.h"

#include "base/clock.h"
#include "hooks/fake_names.h"
#include "hooks/keys.h"
#include "hooks/receiver.h"
#include "support/vfs_files.h"

#include <gtest/gtest.h>

#include <sys/syscall.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <future>

using namespace sluice_test;

constexpr int64_t kNow = 1764132000123;
constexpr char kTimeout[] = "error: Timeout was reached";
constexpr char kNotAllowed[] = "error: the host of the URL has no address that is allowed";
constexpr char kLargeHead[] = "error: the head of the answer is too large";
constexpr size_t kAnswerMax = 1000;
constexpr unsigned kHourMs = 3600 * 1000; /* longer than any test */

/* A delivery, and what became of it. */
struct Post {
    explicit Post(std::string to, std::string text = "{}") : url(std::move(to)), body(text)
    {
        sl_delivery_init(&delivery, url.c_str());
    }

    struct sl_delivery delivery; /* first, see of() */
    std::string url;
    std::string body;
    unsigned started = 0;
    std::function<void()> on_start;      /* before it is sent */
    std::vector<std::string> results;    /* "200 body", or "error: text" */
    std::function<void(Post *)> on_done; /* after a result was added */

    static Post *of(struct sl_delivery *delivery)
    {
        return reinterpret_cast<Post *>(delivery);
    }
};

class Courier : public ::testing::Test
{
  protected:
    Courier()
    {
        signal(SIGPIPE, SIG_IGN); /* the threads of the house block it */
        struct sl_keys *keys = nullptr;
        EXPECT_EQ(sl_keys_open(nullptr, nullptr, &keys), SL_OK);
        keys_ = keys;
        setup_.keys = keys;
        setup_.allow_local = true;
        setup_.in_flight_max = 4;
        setup_.connect_timeout_ms = kHourMs;
        setup_.total_timeout_ms = kHourMs;
        setup_.answer_size_max = kAnswerMax;
        setup_.on_start = [](void *, struct sl_delivery *delivery, struct sl_buffer *body) {
            Post *post = Post::of(delivery);
            post->started++;
            if (post->on_start)
                post->on_start();
            sl_buffer_append(body, post->body.data(), post->body.size());
        };
        setup_.on_done = [](void *, struct sl_delivery *delivery,
                            const struct sl_delivery_result *result) {
            Post *post = Post::of(delivery);
            EXPECT_TRUE(sl_delivery_is_idle(delivery));
            EXPECT_EQ(result->status == 0, result->error != nullptr);
            std::string body(reinterpret_cast<const char *>(result->body.data), result->body.size);
            post->results.push_back(result->error != nullptr
                                        ? std::string("error: ") + result->error
                                        : std::to_string(result->status) + " " + body);
            if (post->on_done)
                post->on_done(post);
        };
    }

    ~Courier() override
    {
        TearDownCourier();
        sl_keys_close(&keys_);
    }

    /* The next one is made with what setup_ says then. */
    void TearDownCourier()
    {
        sl_courier_destroy(&courier_);
    }

    struct sl_courier *courier()
    {
        if (courier_ == nullptr)
            courier_ = sl_courier_create(&setup_);
        return courier_;
    }

    void Send(Post *post)
    {
        sl_courier_send(courier(), &post->delivery);
    }

    void Run()
    {
        sl_courier_run(courier(), now_ms_ == 0 ? sl_clock_running_ms() : now_ms_, kNow);
    }

    void RunOnce()
    {
        Run();
        sl_courier_wait(courier(), nullptr, 0, 10);
    }

    void RunUntil(const std::function<bool()> &is_over)
    {
        auto end = std::chrono::steady_clock::now() + std::chrono::minutes(5);
        while (!is_over()) {
            ASSERT_LT(std::chrono::steady_clock::now(), end) << "it never happens";
            RunOnce();
        }
    }

    /* The post, which is sent, ends when so much time has gone by, and not before. */
    void ExpectTimeoutAfter(unsigned ms, const Post &post)
    {
        now_ms_ += ms - 1;
        Run();
        EXPECT_TRUE(post.results.empty());
        now_ms_++;
        Run();
        EXPECT_EQ(post.results, std::vector<std::string>{ kTimeout });
    }

    void RunUntilDone(const Post &post)
    {
        RunUntil([&] { return !post.results.empty(); });
    }

    void RunUntilAllDone(const std::list<Post> &posts)
    {
        RunUntil([&] {
            return std::all_of(posts.begin(), posts.end(),
                               [](const Post &post) { return !post.results.empty(); });
        });
    }

    static unsigned Started(const std::list<Post> &posts)
    {
        return static_cast<unsigned>(std::count_if(
            posts.begin(), posts.end(), [](const Post &post) { return post.started > 0; }));
    }

    /* What becomes of one delivery. */
    std::string Deliver(const std::string &url, const std::string &body = "{}")
    {
        Post post(url, body);
        Send(&post);
        RunUntilDone(post);
        return post.results.empty() ? "nothing" : post.results[0];
    }

    /* The same to a receiver of its own. */
    std::string DeliverTo(Receiver::Answerer answerer)
    {
        Receiver receiver(std::move(answerer));
        return Deliver(receiver.Url());
    }

    struct sl_courier_setup setup_ = {};
    uint64_t now_ms_ = 0; /* the running clock; 0: the real one */

  private:
    struct sl_keys *keys_ = nullptr;
    struct sl_courier *courier_ = nullptr;
};

TEST_F(Courier, PostsASignedBody)
{
    Receiver receiver(Always(Answer(200, "{\"done\":true}")));
    EXPECT_EQ(Deliver(receiver.Url(), "{\"a\":1}"), "200 {\"done\":true}");
    ASSERT_EQ(receiver.requests().size(), 1u);
    const Request request = receiver.requests()[0];
    EXPECT_EQ(request.head.substr(0, request.head.find("\r\n")), "POST /hook HTTP/1.1");
    EXPECT_EQ(request.body, "{\"a\":1}");
    EXPECT_EQ(request.Header("Content-Type"), "application/json");
    EXPECT_EQ("http://" + request.Header("Host") + "/hook", receiver.Url());
    EXPECT_EQ(request.Header("Accept-Encoding"), "none");
    struct sl_buffer signature = {};
    sl_keys_sign(setup_.keys, kNow, sl_bytes_of("{\"a\":1}"), &signature);
    EXPECT_EQ(request.Header("Webhook-Signature"),
              std::string(reinterpret_cast<char *>(signature.data), signature.size));
    sl_buffer_deinit(&signature);
}

TEST_F(Courier, PostsBodiesOfEverySize)
{
    Receiver receiver(Always(Answer(204)));
    for (size_t size : { size_t(0), size_t(1), size_t(3 << 20) }) {
        const std::string body(size, 'x');
        EXPECT_EQ(Deliver(receiver.Url(), body), "204 ");
        EXPECT_EQ(receiver.requests().back().body, body);
        EXPECT_EQ(receiver.requests().back().Header("Expect"), "none");
    }
}

TEST_F(Courier, TellsTheStatusAndTheBodyOfASuccess)
{
    EXPECT_EQ(DeliverTo(Always(Answer(200, "yes"))), "200 yes");
    EXPECT_EQ(DeliverTo(Always(Answer(202, "yes"))), "202 yes");
    EXPECT_EQ(DeliverTo(Always(Answer(299, "yes"))), "299 yes");
    EXPECT_EQ(DeliverTo(Always(Answer(300, "no"))), "300 ");
    EXPECT_EQ(DeliverTo(Always(Answer(404, "no"))), "404 ");
    EXPECT_EQ(DeliverTo(Always(Answer(500, "no"))), "500 ");
    EXPECT_EQ(DeliverTo(Always("HTTP/1.1 100 Continue\r\n\r\n" + Answer(200, "yes"))), "200 yes");
    EXPECT_EQ(DeliverTo(Once("HTTP/1.1 200 OK\r\n\r\nyes")), "200 yes");
    EXPECT_EQ(DeliverTo(Always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "2\r\nye\r\n1\r\ns\r\n0\r\n\r\n")),
              "200 yes");
}

TEST_F(Courier, WhatIsNoWholeAnswerIsNone)
{
    EXPECT_EQ(DeliverTo(Once("")), "error: Server returned nothing (no headers, no data)");
    EXPECT_EQ(DeliverTo(Once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")),
              "error: Transferred a partial file");
    EXPECT_EQ(DeliverTo(Once("garbage\r\n\r\n")), "error: Unsupported protocol");
    std::string url;
    {
        Receiver receiver(Silent());
        url = receiver.Url();
    }
    EXPECT_EQ(Deliver(url), "error: Couldn't connect to server");
}

TEST_F(Courier, FollowsNoRedirect)
{
    Receiver trap(Always(Answer(200)));
    for (int status : { 301, 302, 303, 307, 308 })
        EXPECT_EQ(DeliverTo(Always(Answer(status, "", "Location: " + trap.Url() + "\r\n"))),
                  std::to_string(status) + " ");
    EXPECT_EQ(trap.connections(), 0u);
}

TEST_F(Courier, AsksNoProxy)
{
    Receiver trap(Always(Answer(502)));
    const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                  "ALL_PROXY" };
    for (const char *name : names)
        setenv(name, trap.Url().c_str(), 1);
    EXPECT_EQ(DeliverTo(Always(Answer(204))), "204 ");
    for (const char *name : names)
        unsetenv(name);
    EXPECT_EQ(trap.connections(), 0u);
}

/* ---- limits of the answer ------------------------------------------------------------------ */

TEST_F(Courier, BoundsTheBodyOfAnAnswer)
{
    for (size_t size : { kAnswerMax - 1, kAnswerMax }) {
        const std::string body(size, 'x');
        EXPECT_EQ(DeliverTo(Always(Answer(200, body))), "200 " + body);
    }
    EXPECT_EQ(DeliverTo(Always(Answer(200, std::string(kAnswerMax + 1, 'x')))), "200 ");
    EXPECT_EQ(DeliverTo(Always(Answer(500, std::string(kAnswerMax + 1, 'x')))), "500 ");
}

TEST_F(Courier, EndsAnEndlessBody)
{
    const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    EXPECT_EQ(DeliverTo(Endless(chunked, "1\r\nx\r\n")), "200 ");
    EXPECT_EQ(DeliverTo(Endless("HTTP/1.1 200 OK\r\n\r\n", std::string(100, 'x'))), "200 ");
    EXPECT_EQ(DeliverTo(Endless("HTTP/1.1 503 No\r\n\r\n", std::string(100, 'x'))), "503 ");
}

TEST_F(Courier, BoundsTheHeadOfAnAnswer)
{
    const std::string before = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", after = "\r\n\r\n";
    const size_t rest = SL_COURIER_HEAD_SIZE_MAX - before.size() - after.size();
    EXPECT_EQ(DeliverTo(Always(before + std::string(rest - 1, 'x') + after)), "200 ");
    EXPECT_EQ(DeliverTo(Always(before + std::string(rest, 'x') + after)), "200 ");
    EXPECT_EQ(DeliverTo(Always(before + std::string(rest + 1, 'x') + after)), kLargeHead);
}

TEST_F(Courier, EndsAnEndlessHead)
{
    EXPECT_EQ(DeliverTo(Endless("HTTP/1.1 200 OK\r\n", "X: y\r\n")), kLargeHead);
    EXPECT_EQ(DeliverTo(Endless("", "HTTP/1.1 100 Continue\r\n\r\n")), kLargeHead);
    EXPECT_EQ(DeliverTo(Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                                "X: y\r\n")),
              kLargeHead);
}

/* ---- limits of time ------------------------------------------------------------------------ */

TEST_F(Courier, EndsASilence)
{
    setup_.connect_timeout_ms = 10;
    setup_.total_timeout_ms = 100;
    now_ms_ = 1000;
    for (const char *answer :
         { "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc" }) {
        Receiver receiver(Silent(answer));
        Post post(receiver.Url());
        Send(&post);
        RunUntil([&] { return receiver.requests().size() == 1; });
        ExpectTimeoutAfter(100, post);
    }
}

/* One of a full backlog: the kernel does not answer. */
TEST_F(Courier, EndsAConnectionThatIsNeverMade)
{
    now_ms_ = 1000;
    struct sockaddr_in address = {};
    socklen_t size = sizeof(address);
    auto *any = reinterpret_cast<struct sockaddr *>(&address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(bind(listener, any, size), 0);
    ASSERT_EQ(listen(listener, 0), 0);
    ASSERT_EQ(getsockname(listener, any, &size), 0);
    std::vector<int> fillers;
    for (int i = 0; i < 4; i++) {
        fillers.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        (void)connect(fillers.back(), any, size);
    }
    for (unsigned connect_timeout_ms : { 99u, 100u, 101u }) {
        setup_.connect_timeout_ms = connect_timeout_ms;
        setup_.total_timeout_ms = 100;
        Post post("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/");
        Send(&post);
        Run();
        ExpectTimeoutAfter(std::min(connect_timeout_ms, 100u), post);
        TearDownCourier();
    }
    for (int fd : fillers)
        close(fd);
    close(listener);
}

/* The resolver hangs until the test is over: whoever waited for it would wait for ever. */
TEST_F(Courier, ANameThatIsNeverResolvedHoldsNothingUp)
{
    FakeNames names;
    names.Hang("hang.example.com");
    setup_.in_flight_max = 8;
    setup_.connect_timeout_ms = 100;
    now_ms_ = 1000;
    Post first("https://hang.example.com/"), second("https://hang.example.com/"),
        third("https://hang.example.com/");
    Send(&first);
    RunUntil([&] { return names.asked() == 1; });
    ExpectTimeoutAfter(100, first);
    Send(&second);
    RunUntil([&] { return names.asked() == 2; });
    sl_courier_cancel(courier(), &second.delivery);
    EXPECT_TRUE(sl_delivery_is_idle(&second.delivery));
    Send(&third);
    RunUntil([&] { return names.asked() == 3; });
    TearDownCourier();
    EXPECT_TRUE(sl_delivery_is_idle(&third.delivery));
}

/* Sockets that the courier has asked for; as long as it is set, it gets none. */
static std::atomic<int> sockets_asked = -1;

extern "C" int socket(int domain, int type, int protocol) noexcept
{
    if (sockets_asked < 0)
        return static_cast<int>(syscall(SYS_socket, domain, type, protocol));
    sockets_asked++;
    errno = ENETUNREACH;
    return -1;
}

/* Nothing would end that connection any more. */
TEST_F(Courier, WhatWasGivenUpConnectsToNobodyWhenItsNameIsResolved)
{
    FakeNames names;
    Post post("https://hang.example.com/"), next("https://next.example.com/");
    names.Hang("hang.example.com");
    names.Set("hang.example.com", { "8.8.8.8" });
    names.Set("next.example.com", { "8.8.8.8" });
    int asked_for_post = -1;
    next.on_start = [&] { asked_for_post = sockets_asked; };
    setup_.in_flight_max = 1;
    Send(&post);
    Send(&next);
    RunUntil([&] { return names.asked() == 1; });
    sl_courier_cancel(courier(), &post.delivery);
    sockets_asked = 0;
    names.Answer();
    RunUntilDone(next);
    EXPECT_EQ(asked_for_post, 0);
    EXPECT_GT(sockets_asked, 0);
    sockets_asked = -1;
}

/* Else a thread would be left behind by every timeout, as long as nobody answers for a name. */
TEST_F(Courier, NoMoreNamesAreBeingResolvedThanThereArePlaces)
{
    FakeNames names;
    std::list<Post> posts;
    setup_.connect_timeout_ms = 100;
    now_ms_ = 1000;
    for (int i = 0; i < 20; i++) {
        std::string host = "n" + std::to_string(i) + ".example.com";
        names.Hang(host);
        posts.emplace_back("https://" + host + "/");
        posts.back().on_done = [&](Post *post) { Send(post); };
        Send(&posts.back());
    }
    RunUntil([&] { return names.asked() == 4; });
    for (int i = 0; i < 20; i++) {
        now_ms_ += 100;
        RunOnce();
    }
    EXPECT_EQ(Started(posts), 4u);
    for (Post &post : posts) {
        EXPECT_EQ(post.results, std::vector<std::string>(post.started, kTimeout));
        post.on_done = nullptr;
    }
    names.Answer();
    RunUntil([&] {
        return std::all_of(posts.begin(), posts.end(),
                           [](const Post &post) { return sl_delivery_is_idle(&post.delivery); });
    });
    EXPECT_EQ(Started(posts), posts.size());
    EXPECT_EQ(DeliverTo(Always(Answer(204))), "204 ");
}

TEST_F(Courier, APlaceWhoseNameIsBeingResolvedStaysInTheShareOfItsReceiver)
{
    FakeNames names;
    std::list<Post> posts;
    names.Hang("hang.example.com");
    setup_.connect_timeout_ms = 100;
    now_ms_ = 1000;
    for (int i = 0; i < 3; i++) {
        posts.emplace_back("https://hang.example.com/");
        Send(&posts.back());
    }
    RunUntil([&] { return names.asked() == 2; });
    ExpectTimeoutAfter(100, posts.front());
    Run();
    EXPECT_EQ(Started(posts), 2u);
    EXPECT_EQ(DeliverTo(Always(Answer(204))), "204 ");
    EXPECT_EQ(Started(posts), 2u);
    names.Answer();
    while (posts.back().results.empty()) { /* a wait that misses its reason takes an hour */
        sl_courier_wait(courier(), nullptr, 0, kHourMs);
        Run();
    }
    EXPECT_EQ(posts.back().results[0], "error: Couldn't resolve host name");
}

/* ---- where it goes ------------------------------------------------------------------------- */

static const char *const kForbidden[] = {
    "127.0.0.1",
    "127.0.0.2",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "fe80::1",
    "fd00::1",
    "ff02::1",
};

TEST_F(Courier, ConnectsToNoForbiddenAddressWhateverItsNameIs)
{
    Receiver receiver(Always(Answer(200)));
    setup_.total_timeout_ms = 5000; /* else an attempt would only be seen after an hour */
    for (bool allow_local : { false, true }) {
        FakeNames names;
        setup_.allow_local = allow_local;
        for (const char *address : kForbidden) {
            std::string host = "n" + std::to_string(names.asked()) + ".example.com";
            unsigned asked = names.asked();
            names.Set(host, { address });
            EXPECT_EQ(Deliver(receiver.Url("https://" + host)), kNotAllowed) << address;
            EXPECT_GT(names.asked(), asked);
        }
        names.Set("all.example.com",
                  std::vector<std::string>(std::begin(kForbidden), std::end(kForbidden)));
        EXPECT_EQ(Deliver(receiver.Url("https://all.example.com")), kNotAllowed);
        TearDownCourier();
    }
    EXPECT_EQ(receiver.connections(), 0u);
}

/* It was public when the subscription was made, and when the first webhook was delivered. */
TEST_F(Courier, AsksAgainWhereANameLeads)
{
    FakeNames names;
    Receiver receiver(Always(Answer(200)));
    const std::string url = receiver.Url("https://moves.example.com");
    EXPECT_EQ(Deliver(url), "error: Couldn't resolve host name");
    names.Set("moves.example.com", { "127.0.0.1" });
    EXPECT_EQ(Deliver(url), kNotAllowed);
    EXPECT_EQ(receiver.connections(), 0u);
}

TEST_F(Courier, JudgesTheUrlAgainWhenItsTurnComes)
{
    Receiver receiver(Always(Answer(200)));
    setup_.allow_local = false;
    setup_.in_flight_max = 1;
    for (const std::string &url :
         { receiver.Url(), receiver.Url("http://localhost"), receiver.Url("https://127.0.0.1"),
           std::string("ftp://a.com/"), std::string("file:///etc/passwd"), std::string() }) {
        Post post(url);
        Send(&post);
        RunUntilDone(post);
        EXPECT_EQ(post.started, 0u);
        EXPECT_EQ(post.results[0].compare(0, 7, "error: "), 0) << post.results[0];
    }
    EXPECT_EQ(receiver.connections(), 0u);
}

TEST_F(Courier, KnowsThisMachineByItsName)
{
    EXPECT_EQ(DeliverTo(Always(Answer(204))), "204 ");
    Receiver receiver(Always(Answer(204)));
    EXPECT_EQ(Deliver(receiver.Url("http://localhost")), "204 ");
    EXPECT_EQ(Deliver(receiver.Url("http://LocalHost")), "204 ");
}

TEST_F(Courier, TrustsOnlyKnownCertificates)
{
    TemporaryDirectory directory;
    Certificate certificate;
    const std::string file = directory.path() + "/ca.pem";
    certificate.Save(file);
    Receiver receiver(Always(Answer(204)), 1, &certificate);
    EXPECT_EQ(Deliver(receiver.Url("https://localhost")),
              "error: SSL peer certificate or SSH remote key was not OK");
    TearDownCourier();
    setup_.ca_file = file.c_str();
    EXPECT_EQ(Deliver(receiver.Url("https://localhost")), "204 ");
    EXPECT_EQ(Deliver(receiver.Url("https://127.0.0.1")),
              "error: SSL peer certificate or SSH remote key was not OK");
    EXPECT_EQ(receiver.requests().size(), 1u);
}

TEST_F(Courier, SpeaksNoHttpWhereHttpsIsSaid)
{
    Receiver receiver(Always(Answer(204)));
    setup_.total_timeout_ms = 300;
    EXPECT_EQ(Deliver(receiver.Url("https://127.0.0.1")).compare(0, 7, "error: "), 0);
    EXPECT_EQ(receiver.requests().size(), 0u);
}

/* ---- connections --------------------------------------------------------------------------- */

TEST_F(Courier, UsesAConnectionAgain)
{
    Receiver receiver(Always(Answer(204)));
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(Deliver(receiver.Url()), "204 ");
    EXPECT_EQ(receiver.connections(), 1u);
    EXPECT_EQ(receiver.requests().size(), 3u);
}

/* Connections that are kept all end without an answer: libcurl would try one after the other. */
TEST_F(Courier, WhatIsRepeatedIsSentOnce)
{
    std::atomic<bool> is_up = true;
    Receiver receiver([&](Peer &peer, const Request &) { return is_up && peer.Send(Answer(204)); });
    EXPECT_EQ(Deliver(receiver.Url()), "204 ");
    is_up = false;
    Post post(receiver.Url());
    post.delivery.is_repeated = true;
    Send(&post);
    RunUntilDone(post);
    EXPECT_EQ(post.results[0].substr(0, 5), "error");
    EXPECT_EQ(receiver.requests().size(), 2u);
}

TEST_F(Courier, MakesANewConnectionWhenTheOldOneIsClosed)
{
    Receiver receiver(Once(Answer(204)));
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(Deliver(receiver.Url()), "204 ");
    EXPECT_EQ(receiver.connections(), 3u);
}

/* ---- many, and none any more --------------------------------------------------------------- */

TEST_F(Courier, WithoutPlacesEverythingWaits)
{
    Receiver receiver(Always(Answer(204)));
    Post post(receiver.Url());
    setup_.in_flight_max = 0;
    Send(&post);
    for (int i = 0; i < 3; i++)
        RunOnce();
    EXPECT_EQ(post.started, 0u);
    EXPECT_FALSE(sl_delivery_is_idle(&post.delivery));
    sl_courier_cancel(courier(), &post.delivery);
    EXPECT_TRUE(sl_delivery_is_idle(&post.delivery));
    EXPECT_EQ(receiver.connections(), 0u);
}

/* Answers when the gate is open. */
class Gate
{
  public:
    Receiver::Answerer Answerer()
    {
        return [opened = opened_](Peer &peer, const Request &request) {
            opened.wait();
            return peer.Send(Answer(200, request.body));
        };
    }

    void Open()
    {
        if (!is_open_)
            open_.set_value();
        is_open_ = true;
    }

    ~Gate()
    {
        Open();
    }

  private:
    std::promise<void> open_;
    std::shared_future<void> opened_ = open_.get_future().share();
    bool is_open_ = false;
};

/* A receiver for each of so many deliveries. */
TEST_F(Courier, SendsOnlySoManyAtTheSameTimeInTheirOrder)
{
    for (unsigned max : { 1u, 3u }) {
        Gate gate;
        std::list<Receiver> receivers;
        std::list<Post> posts;
        setup_.in_flight_max = max;
        for (unsigned i = 0; i < max + 2; i++) {
            receivers.emplace_back(gate.Answerer(), i + 1);
            posts.emplace_back(receivers.back().Url(), std::to_string(i));
            Send(&posts.back());
        }
        RunUntil([&] { return !receivers.front().requests().empty(); });
        unsigned index = 0;
        for (const Post &post : posts)
            EXPECT_EQ(post.started, index++ < max ? 1u : 0u) << index;
        gate.Open();
        RunUntilAllDone(posts);
        index = 0;
        for (const Post &post : posts)
            EXPECT_EQ(post.results, std::vector<std::string>{ "200 " + std::to_string(index++) });
        TearDownCourier();
    }
}

TEST_F(Courier, SendsToAReceiverInTheOrderInWhichTheyCame)
{
    Receiver receiver(Always(Answer(204)));
    setup_.in_flight_max = 1;
    std::list<Post> posts;
    for (unsigned i = 0; i < 4; i++) {
        posts.emplace_back(receiver.Url(), std::to_string(i));
        Send(&posts.back());
    }
    RunUntilAllDone(posts);
    for (unsigned i = 0; i < posts.size(); i++)
        EXPECT_EQ(receiver.requests()[i].body, std::to_string(i));
}

/* ---- shares: a receiver is a host ---------------------------------------------------------- */

/* Alone it holds half of the places, rounded up: then no more of them are free than it has. */
TEST_F(Courier, AReceiverGetsOneMoreOnlyWhileItHasFewerThanAreFree)
{
    for (unsigned max : { 1u, 2u, 3u, 4u, 5u, 8u, 9u }) {
        const unsigned share = (max + 1) / 2;
        for (unsigned count : { share - 1, share, share + 1, 2 * max }) {
            Gate gate;
            Receiver receiver(gate.Answerer());
            setup_.in_flight_max = max;
            std::list<Post> posts;
            for (unsigned i = 0; i < count; i++) {
                posts.emplace_back(receiver.Url());
                Send(&posts.back());
            }
            RunOnce();
            EXPECT_EQ(Started(posts), std::min(count, share)) << max << " " << count;
            RunOnce();
            EXPECT_EQ(Started(posts), std::min(count, share)) << max << " " << count;
            gate.Open();
            RunUntilAllDone(posts);
            TearDownCourier();
        }
    }
}

TEST_F(Courier, DeliversPastAReceiverThatHangs)
{
    Receiver hanging(Silent(), 1), good(Always(Answer(204)), 2);
    std::list<Post> stuck, posts;
    setup_.in_flight_max = 4;
    for (unsigned i = 0; i < 20; i++) {
        stuck.emplace_back(hanging.Url());
        Send(&stuck.back());
    }
    RunUntil([&] { return hanging.requests().size() == 2; });
    for (unsigned i = 0; i < 20; i++) {
        posts.emplace_back(good.Url());
        Send(&posts.back());
    }
    RunUntilAllDone(posts);
    EXPECT_EQ(Started(stuck), 2u);
    EXPECT_EQ(hanging.requests().size(), 2u);
    EXPECT_EQ(posts.back().results[0], "204 ");
    TearDownCourier(); /* before the deliveries that it has not done */
}

/* Of 8 places the first one holds 4, the second one 2, the third one 1, and 1 is left. */
TEST_F(Courier, DeliversPastSeveralReceiversThatHang)
{
    std::list<Receiver> hanging;
    std::list<std::list<Post>> stuck;
    setup_.in_flight_max = 8;
    for (unsigned share : { 4u, 2u, 1u }) {
        hanging.emplace_back(Silent(), 1 + share);
        stuck.emplace_back();
        for (unsigned i = 0; i < 8; i++) {
            stuck.back().emplace_back(hanging.back().Url());
            Send(&stuck.back().back());
        }
        RunOnce();
        EXPECT_EQ(Started(stuck.back()), share);
    }
    EXPECT_EQ(DeliverTo(Always(Answer(204))), "204 ");
    unsigned started = 0;
    for (const std::list<Post> &posts : stuck)
        started += Started(posts);
    EXPECT_EQ(started, 7u);
    TearDownCourier(); /* before the deliveries that it has not done */
}

TEST_F(Courier, ReceiversTakeTurns)
{
    Gate gate;
    Receiver busy(gate.Answerer(), 1), first(gate.Answerer(), 2), second(gate.Answerer(), 3);
    std::list<Post> posts;
    std::vector<std::string> order;
    setup_.in_flight_max = 1;
    for (const Receiver *receiver : { &busy, &first, &first, &first, &second, &second }) {
        posts.emplace_back(receiver->Url(), receiver == &first ? "first" : "second");
        posts.back().on_done = [&](Post *post) { order.push_back(post->body); };
        Send(&posts.back());
    }
    posts.front().on_done = nullptr;
    gate.Open();
    RunUntilAllDone(posts);
    EXPECT_EQ(order, (std::vector<std::string>{ "first", "second", "first", "second", "first" }));
}

TEST_F(Courier, AReceiverIsItsHostInAnyCase)
{
    Receiver hanging(Silent());
    setup_.in_flight_max = 2;
    Post one(hanging.Url("http://localhost")), same(hanging.Url("http://LOCALHOST"));
    Send(&one);
    Send(&same);
    RunOnce();
    EXPECT_EQ(one.started, 1u);
    EXPECT_EQ(same.started, 0u);
    EXPECT_EQ(DeliverTo(Always(Answer(204))), "204 ");
    EXPECT_EQ(same.started, 0u);
    TearDownCourier(); /* before the deliveries that it has not done */
}

/* Else whoever has a host has as many shares as it has ports. */
TEST_F(Courier, PortsOfOneHostShareItsPlaces)
{
    std::list<Receiver> hanging;
    std::list<Post> stuck;
    setup_.in_flight_max = 8;
    for (unsigned i = 0; i < 20; i++) {
        hanging.emplace_back(Silent(), 1);
        stuck.emplace_back(hanging.back().Url());
        Send(&stuck.back());
    }
    RunOnce();
    EXPECT_EQ(Started(stuck), 4u);
    Receiver good(Always(Answer(204)), 2);
    EXPECT_EQ(Deliver(good.Url()), "204 ");
    EXPECT_EQ(Started(stuck), 4u);
    TearDownCourier(); /* before the deliveries that it has not done */
}

TEST_F(Courier, WhatIsCancelledGivesItsShareBack)
{
    Receiver hanging(Silent());
    setup_.in_flight_max = 2;
    std::list<Post> posts;
    for (unsigned i = 0; i < 3; i++) {
        posts.emplace_back(hanging.Url());
        Send(&posts.back());
    }
    RunOnce();
    EXPECT_EQ(Started(posts), 1u);
    sl_courier_cancel(courier(), &posts.back().delivery); /* waits */
    sl_courier_cancel(courier(), &posts.front().delivery);
    RunOnce();
    EXPECT_EQ(Started(posts), 2u);
    EXPECT_EQ(posts.back().started, 0u);
    TearDownCourier(); /* before the deliveries that it has not done */
}

/* ---- cancelling, and the end --------------------------------------------------------------- */

TEST_F(Courier, CancelsWhatWaits)
{
    Gate gate;
    Receiver receiver(gate.Answerer());
    setup_.in_flight_max = 1;
    Post sent(receiver.Url()), cancelled(receiver.Url()), next(receiver.Url());
    for (Post *post : { &sent, &cancelled, &next })
        Send(post);
    RunUntil([&] { return receiver.requests().size() == 1; });
    sl_courier_cancel(courier(), &cancelled.delivery);
    EXPECT_TRUE(sl_delivery_is_idle(&cancelled.delivery));
    gate.Open();
    RunUntilDone(next);
    EXPECT_EQ(sent.results.size(), 1u);
    EXPECT_EQ(cancelled.started, 0u);
    EXPECT_TRUE(cancelled.results.empty());
    EXPECT_EQ(receiver.requests().size(), 2u);
}

TEST_F(Courier, CancelsWhatIsSent)
{
    Receiver receiver([](Peer &peer, const Request &request) {
        if (request.body != "cancelled")
            return peer.Send(Answer(204));
        peer.WaitForEnd();
        return false;
    });
    setup_.in_flight_max = 1;
    Post cancelled(receiver.Url(), "cancelled"), next(receiver.Url());
    Send(&cancelled);
    Send(&next);
    RunUntil([&] { return receiver.requests().size() == 1; });
    sl_courier_cancel(courier(), &cancelled.delivery);
    EXPECT_TRUE(sl_delivery_is_idle(&cancelled.delivery));
    RunUntilDone(next);
    EXPECT_EQ(next.results[0], "204 ");
    EXPECT_TRUE(cancelled.results.empty());
    /* It is idle, so it may be sent once more. */
    cancelled.body = "again";
    Send(&cancelled);
    RunUntilDone(cancelled);
    EXPECT_EQ(cancelled.results, std::vector<std::string>{ "204 " });
}

TEST_F(Courier, CancelsNothingThatIsIdle)
{
    Post post("http://127.0.0.1:1/");
    sl_courier_cancel(courier(), &post.delivery);
    EXPECT_TRUE(sl_delivery_is_idle(&post.delivery));
}

/* Both are answered, and whichever is told first cancels the other one. */
TEST_F(Courier, WhatIsCancelledByAnotherOneIsNotTold)
{
    Receiver receiver(Always(Answer(204)));
    Post a(receiver.Url()), b(receiver.Url());
    a.on_done = [&](Post *) { sl_courier_cancel(courier(), &b.delivery); };
    b.on_done = [&](Post *) { sl_courier_cancel(courier(), &a.delivery); };
    Send(&a);
    Send(&b);
    RunUntil([&] { return receiver.requests().size() == 2; });
    RunUntil([&] { return a.results.size() + b.results.size() > 0; });
    for (int i = 0; i < 5; i++)
        RunOnce();
    EXPECT_EQ(a.results.size() + b.results.size(), 1u);
    EXPECT_TRUE(sl_delivery_is_idle(&a.delivery) && sl_delivery_is_idle(&b.delivery));
}

TEST_F(Courier, MayBeSentAgainWhenItIsDone)
{
    Receiver receiver(Always(Answer(500)));
    Post post(receiver.Url());
    post.on_done = [&](Post *done) {
        if (done->results.size() < 3)
            Send(done);
    };
    Send(&post);
    RunUntil([&] { return post.results.size() == 3; });
    EXPECT_EQ(receiver.requests().size(), 3u);
}

/* Else it would never come back from one call. */
TEST_F(Courier, WhatIsRefusedAndSentAgainForEverIsTriedABoundedNumberOfTimes)
{
    setup_.in_flight_max = 3;
    Post post("http://10.0.0.1/hook");
    post.on_done = [&](Post *done) { Send(done); };
    Send(&post);
    Run();
    EXPECT_EQ(post.results.size(), 3u);
    sl_courier_cancel(courier(), &post.delivery);
}

TEST_F(Courier, EndsWithoutTellingWhatIsUnderWay)
{
    Receiver receiver(Silent());
    setup_.in_flight_max = 1;
    Post sent(receiver.Url()), waiting(receiver.Url());
    Send(&sent);
    Send(&waiting);
    RunUntil([&] { return receiver.requests().size() == 1; });
    TearDownCourier();
    for (Post *post : { &sent, &waiting }) {
        EXPECT_TRUE(sl_delivery_is_idle(&post->delivery));
        EXPECT_TRUE(post->results.empty());
    }
}

/* ---- waiting: a wait that misses its reason takes an hour ---------------------------------- */

TEST_F(Courier, WaitsForTheDescriptorsOfOthers)
{
    for (unsigned which = 0; which < SL_COURIER_FDS_MAX; which++) {
        int pipes[SL_COURIER_FDS_MAX][2];
        int fds[SL_COURIER_FDS_MAX];
        for (unsigned i = 0; i < SL_COURIER_FDS_MAX; i++) {
            ASSERT_EQ(pipe(pipes[i]), 0);
            fds[i] = pipes[i][0];
        }
        ASSERT_EQ(write(pipes[which][1], "x", 1), 1);
        sl_courier_wait(courier(), fds, SL_COURIER_FDS_MAX, kHourMs);
        char byte;
        EXPECT_EQ(read(fds[which], &byte, 1), 1); /* it was not read */
        for (auto &ends : pipes) {
            close(ends[0]);
            close(ends[1]);
        }
    }
}

TEST_F(Courier, WaitsForItsOwnWork)
{
    Receiver receiver(Always(Answer(204)));
    Post post(receiver.Url());
    Send(&post);
    while (post.results.empty()) {
        sl_courier_wait(courier(), nullptr, 0, kHourMs);
        Run();
    }
    EXPECT_EQ(post.results[0], "204 ");
}

TEST_F(Courier, WaitsForItsOwnTimeouts)
{
    setup_.total_timeout_ms = 100;
    Receiver receiver(Silent());
    Post post(receiver.Url());
    Send(&post);
    while (post.results.empty()) {
        sl_courier_wait(courier(), nullptr, 0, kHourMs);
        Run();
    }
    EXPECT_EQ(post.results[0], kTimeout);
}
