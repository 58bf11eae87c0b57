#include "http/front.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

namespace
{

class Front : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        registry_ = sl_metrics_registry_create();
        sl_engine_options engine_options = {};
        engine_options.metrics = registry_;
        ASSERT_EQ(SL_OK, sl_engine_open(&engine_options, &engine_));
        options_.stream_root = sl_bytes_of("/v1/stream");
        options_.body_size_max = 1000;
        options_.upload_budget_bytes = 1 << 20;
        options_.long_poll_timeout_ms = 60000;
        options_.sse_lifetime_ms = 60000;
        options_.sse_heartbeat_ms = 15000;
        options_.stall_timeout_ms = 30000;
        options_.request_timeout_ms = 30000;
        options_.drain_timeout_ms = 10000;
        options_.connections_max = 1000;
        options_.live_readers_max = 1000;
        options_.acceptors = 3;
    }

    void TearDown() override
    {
        if (front_ != nullptr)
            Stop();
        sl_engine_close(&engine_);
        sl_metrics_registry_destroy(&registry_);
    }

    void Start(const char *address = "127.0.0.1:0")
    {
        front_ = sl_front_start(engine_, registry_, &options_, &address, 1);
        ASSERT_NE(nullptr, front_);
        std::string url = sl_front_url(front_, 0);
        port_ = static_cast<uint16_t>(std::atoi(url.c_str() + url.rfind(':') + 1));
        ASSERT_NE(0, port_);
    }

    void Stop()
    {
        sl_front_drain(front_);
        sl_front_destroy(&front_);
        EXPECT_EQ(nullptr, front_);
    }

    /* A connected socket, -1 when it is refused. */
    int Connect()
    {
        sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_port = htons(port_);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0)
            return fd;
        close(fd);
        return -1;
    }

    static void Send(int fd, const std::string &text)
    {
        ASSERT_EQ(static_cast<ssize_t>(text.size()), send(fd, text.data(), text.size(), 0));
    }

    /* A connection whose request has been read up to the middle of its body of 6 bytes: the server
     * asks for a body only when it has read the head (RFC 9110, 10.1.1). */
    int SendHalf(const std::string &target)
    {
        const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        std::string answer(go_on.size(), ' ');
        int fd = Connect();
        Send(fd, "PUT " + target +
                     " HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n");
        EXPECT_EQ(static_cast<ssize_t>(answer.size()),
                  recv(fd, answer.data(), answer.size(), MSG_WAITALL));
        EXPECT_EQ(go_on, answer);
        Send(fd, "abc");
        return fd;
    }

    /* Everything until the server closes the connection. */
    static std::string ReceiveAll(int fd)
    {
        std::string all;
        char buffer[4096];
        for (ssize_t size; (size = recv(fd, buffer, sizeof buffer, 0)) > 0;)
            all.append(buffer, static_cast<size_t>(size));
        close(fd);
        return all;
    }

    std::string Ask(const std::string &method, const std::string &target,
                    const std::string &more = "\r\n")
    {
        int fd = Connect();
        EXPECT_GE(fd, 0);
        Send(fd, method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + more);
        return ReceiveAll(fd);
    }

    static std::string Status(const std::string &response)
    {
        return response.substr(0, response.find('\r'));
    }

    sl_engine *engine_ = nullptr;
    sl_metrics_registry *registry_ = nullptr;
    sl_http_options options_ = {};
    sl_front *front_ = nullptr;
    uint16_t port_ = 0;
};

} // namespace

TEST_F(Front, AnswersOnThePortThatItFound)
{
    Start();
    for (int i = 0; i < 20; i++)
        EXPECT_EQ("HTTP/1.1 200 OK", Status(Ask("GET", "/readyz")));
}

TEST_F(Front, ListensOnSeveralAddresses)
{
    const char *addresses[] = { "127.0.0.1:0", "[::1]:0" };
    front_ = sl_front_start(engine_, registry_, &options_, addresses, 2);
    ASSERT_NE(nullptr, front_);
    EXPECT_EQ(0u, std::string(sl_front_url(front_, 0)).find("http://127.0.0.1:"));
    EXPECT_EQ(0u, std::string(sl_front_url(front_, 1)).find("http://[::1]:"));
}

TEST_F(Front, RefusesWhatIsNoAddress)
{
    for (const char *address :
         { "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1:65536",
           "127.0.0.1:000080", "::1:80", "[:80", "[::1:80", "::1]:80", "256.0.0.1:80" })
        EXPECT_EQ(nullptr, sl_front_start(engine_, registry_, &options_, &address, 1)) << address;
}

TEST_F(Front, RefusesAPortThatIsTakenAndClosesTheOthers)
{
    int taken = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(0, bind(taken, reinterpret_cast<sockaddr *>(&address), size));
    ASSERT_EQ(0, listen(taken, 1));
    ASSERT_EQ(0, getsockname(taken, reinterpret_cast<sockaddr *>(&address), &size));
    std::string second = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    const char *addresses[] = { "127.0.0.1:0", second.c_str() };
    int next = dup(taken);
    close(next);
    EXPECT_EQ(nullptr, sl_front_start(engine_, registry_, &options_, addresses, 2));
    EXPECT_EQ(next, dup(taken)); /* no descriptor below is still open */
    close(next);
    close(taken);
}

TEST_F(Front, StartsAgainInTheSameProcess)
{
    for (int i = 0; i < 3; i++) {
        Start();
        EXPECT_EQ("HTTP/1.1 200 OK", Status(Ask("GET", "/healthz")));
        Stop();
        EXPECT_EQ(-1, Connect());
    }
}

TEST_F(Front, KeepsStreamsOfTheEngineWhenItEnds)
{
    Start();
    EXPECT_EQ("HTTP/1.1 201 Created", Status(Ask("PUT", "/v1/stream/a")));
    Stop();
    Start();
    EXPECT_EQ("HTTP/1.1 200 OK", Status(Ask("PUT", "/v1/stream/a")));
}

TEST_F(Front, AnswersWhatIsUnderWayWhenItDrains)
{
    Start();
    int fd = SendHalf("/v1/stream/a");
    std::string poll = "GET /v1/stream/b?offset=-1&live=long-poll HTTP/1.1\r\nHost: x\r\n\r\n";
    EXPECT_EQ("HTTP/1.1 201 Created", Status(Ask("PUT", "/v1/stream/b")));
    int waiting = Connect();
    Send(waiting, poll);
    struct sl_engine_status status = {};
    while (status.waiting_reads == 0)
        sl_engine_status(engine_, &status);
    sl_front_drain(front_);
    for (int late; (late = Connect()) != -1;) /* until the listeners are closed */
        close(late);
    Send(fd, "def");
    EXPECT_EQ("HTTP/1.1 201 Created", Status(ReceiveAll(fd)));
    EXPECT_EQ("HTTP/1.1 204 No Content", Status(ReceiveAll(waiting)));
    sl_front_destroy(&front_);
}

TEST_F(Front, ClosesIdleConnectionsWhenItDrains)
{
    Start();
    int fd = Connect();
    EXPECT_EQ("HTTP/1.1 200 OK", Status(Ask("GET", "/healthz"))); /* accepted after fd */
    auto start = std::chrono::steady_clock::now();
    Stop();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    EXPECT_EQ("", ReceiveAll(fd));
}

TEST_F(Front, CutsWhatIsNotAnsweredAtTheDeadlineOfTheDrain)
{
    options_.drain_timeout_ms = 200;
    Start();
    int fd = SendHalf("/v1/stream/a");
    auto start = std::chrono::steady_clock::now();
    Stop();
    /* The acceptor counts whole milliseconds of a clock of its own. */
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(198));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    EXPECT_EQ("", ReceiveAll(fd));
}

TEST_F(Front, TakesABodyOfTheLimitAndRefusesOneByteMore)
{
    Start();
    for (size_t size : { 999, 1000, 1001, 1002 }) {
        std::string path = "/v1/stream/" + std::to_string(size);
        std::string body(size, 'x');
        std::string plain = "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body;
        char hex[16];
        snprintf(hex, sizeof hex, "%zx", size);
        std::string chunked = "Transfer-Encoding: chunked\r\n\r\n" + std::string(hex) + "\r\n" +
                              body + "\r\n0\r\n\r\n";
        bool fits = size <= 1000;
        EXPECT_EQ(fits ? "HTTP/1.1 201" : "HTTP/1.1 413", Ask("PUT", path, plain).substr(0, 12));
        EXPECT_EQ(fits ? "HTTP/1.1 201" : "HTTP/1.1 413",
                  Ask("PUT", path + "c", chunked).substr(0, 12));
    }
}
