// http/live_fixture.h - live reads between an engine and an HTTP front that are made up
//
// Both sides of live.c are replaced when linking (so this is included once): an engine whose
// replies come when a test wants them, and clients that take what is sent when a test wants it.
#ifndef HTTP_LIVE_FIXTURE_H
#define HTTP_LIVE_FIXTURE_H

#include "http/live.h"

#include "base/limits.h"
#include "base/memory.h"
#include "http/catch_up.h"
#include "http/reply.h"
#include "protocol/sse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace
{

std::string token(uint64_t offset)
{
    char text[SL_OFFSET_TOKEN_SIZE];
    sl_offset_format(offset, text);
    return std::string(text, sizeof text);
}

// ---- the engine ---------------------------------------------------------------------------------

struct Stream {
    uint64_t id = 0;
    std::string type = "text/plain";
    bool json = false;
    bool closed = false;
    std::string data;
    std::vector<uint64_t> ends = { 0 }; // of messages
    uint64_t piece_end = 0;             // no piece goes on behind it
};

std::map<std::string, Stream> streams;
uint64_t last_id;
std::map<sl_operation *, std::string> results; // of every operation that was taken
std::list<sl_operation *> parked;              // wait at the tail
std::deque<sl_operation *> done;
unsigned cancels;

Stream &make_stream(const std::string &name, const std::string &type = "text/plain")
{
    Stream &stream = streams[name];
    stream = Stream();
    stream.id = ++last_id;
    stream.type = type;
    stream.json = type == "application/json";
    return stream;
}

uint64_t page_end_of(const Stream &stream, uint64_t start, const sl_read &read)
{
    uint64_t wanted = std::min<uint64_t>(stream.data.size(), start + read.page_size_max);
    if (read.limit != 0)
        return read.limit;
    if (!stream.json || wanted == start)
        return wanted;
    uint64_t end = 0;
    for (uint64_t at : stream.ends)
        if (at <= wanted || end <= start)
            end = at;
    return end;
}

void view(const Stream &stream, sl_stream_view *out)
{
    out->id = stream.id;
    out->tail = stream.data.size();
    out->closed = stream.closed;
    out->json = stream.json;
    out->remaining_ms = -1;
    out->content_type_size = static_cast<uint8_t>(stream.type.size());
    memcpy(out->content_type, stream.type.data(), stream.type.size());
}

// False: it waits.
bool run(sl_operation *op)
{
    sl_read &read = op->u.read;
    std::string name(reinterpret_cast<const char *>(read.name.data), read.name.size);
    auto found = streams.find(name);
    op->err = SL_OK;
    if (found == streams.end() || (read.id != 0 && found->second.id != read.id))
        op->err = SL_ERR_NOT_FOUND;
    else if (read.request_err != SL_OK)
        op->err = read.request_err;
    if (op->err != SL_OK)
        return true;
    const Stream &stream = found->second;
    uint64_t tail = stream.data.size();
    read.start = read.from == SL_READ_FROM_START ? 0
                 : read.from == SL_READ_FROM_NOW ? tail
                                                 : std::min(read.offset, tail);
    if (read.wait && read.start == tail && !stream.closed)
        return false;
    read.page_end = page_end_of(stream, read.start, read);
    read.next = std::min<uint64_t>(read.page_end, read.start + read.piece_size_max);
    if (read.start < stream.piece_end)
        read.next = std::min(read.next, stream.piece_end);
    std::string &bytes = results[op] = stream.data.substr(read.start, read.next - read.start);
    read.slice_count = 0;
    size_t half = bytes.size() / 2; // so that there are cuts
    for (auto [at, size] : { std::pair<size_t, size_t>{ 0, half }, { half, bytes.size() - half } })
        if (size > 0)
            read.slices[read.slice_count++] = sl_bytes(bytes.data() + at, size);
    view(stream, &op->stream);
    return true;
}

void wake()
{
    for (auto at = parked.begin(); at != parked.end();) {
        if (run(*at)) {
            done.push_back(*at);
            at = parked.erase(at);
        } else {
            ++at;
        }
    }
}

void append(const std::string &name, const std::string &message)
{
    Stream &stream = streams.at(name);
    stream.data += message;
    stream.ends.push_back(stream.data.size());
    wake();
}

void close_stream(const std::string &name)
{
    streams.at(name).closed = true;
    wake();
}

void delete_stream(const std::string &name)
{
    streams.erase(name);
    wake();
}

// ---- the front ----------------------------------------------------------------------------------

struct Client {
    h2o_req_t request = {};          // without headers
    sl_exchange *exchange = nullptr; // until its request has ended
    int status = 0;
    std::map<std::string, std::string> headers;
    std::vector<struct sl_bytes> on_the_way;
    std::string body; // what was taken
    std::string page; // what is sent of a page
    size_t sends = 0;
    bool final = false; // all was sent
    bool slow = false;  // takes only when told to
    uint64_t start = 0; // of its first read
};

std::map<sl_exchange *, Client *> clients;

void free_exchange(sl_exchange *exchange)
{
    if (exchange->op != nullptr)
        sl_exchange_put(exchange);
    sl_memory_free(exchange);
}

void end_request(Client *client)
{
    sl_exchange *exchange = client->exchange;
    client->exchange = nullptr;
    clients.erase(exchange);
    exchange->req = nullptr;
    if (exchange->on_gone != nullptr)
        exchange->on_gone(exchange);
    if (!exchange->op_under_way)
        free_exchange(exchange);
}

void take_bytes(Client *client)
{
    for (struct sl_bytes bytes : client->on_the_way)
        client->body.append(reinterpret_cast<const char *>(bytes.data), bytes.size);
    client->on_the_way.clear();
}

// The client takes what is on the way to it.
void take(Client *client)
{
    sl_exchange *exchange = client->exchange;
    if (exchange == nullptr || !exchange->sending)
        return;
    take_bytes(client);
    exchange->sending = false;
    if (exchange->ended)
        end_request(client);
    else
        exchange->on_proceed(exchange);
}

class Live : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        options.acceptors = 1;
        options.live_readers_max = 10000;
        options.long_poll_timeout_ms = 1000;
        options.sse_lifetime_ms = 60000;
        options.sse_heartbeat_ms = 15000;
        acceptor.options = &options;
        acceptor.metrics = &metrics;
        acceptor.wall_ms = INT64_C(1728432000000) + 20000 * 7; // cursor 7
        acceptor.now_ms = 1000;
        sl_timer_wheel_init(&acceptor.wheel, acceptor.now_ms);
        live = acceptor.live = sl_live_create(&acceptor);
        cancels = 0;
    }

    void TearDown() override
    {
        for (auto &client : all)
            gone(client.get());
        settle();
        EXPECT_TRUE(parked.empty()) << "a group without members still waits";
        EXPECT_TRUE(results.empty()) << "an operation was not put back";
        EXPECT_EQ(metrics.value[SL_METRIC_READERS_SSE], 0u);
        EXPECT_EQ(metrics.value[SL_METRIC_READERS_LONG_POLL], 0u);
        EXPECT_EQ(sl_timer_wheel_next(&acceptor.wheel), UINT64_MAX);
        sl_live_destroy(&live);
        streams.clear();
    }

    // One turn of the acceptor's loop; false: there was nothing to do.
    bool turn()
    {
        bool busy = false;
        for (size_t left = done.size(); left > 0; left--) {
            sl_operation *op = done.front();
            done.pop_front();
            auto *completion = static_cast<sl_completion *>(op->context);
            completion->on_done(completion, op);
            busy = true;
        }
        busy = !sl_live_work(live) || busy;
        for (auto &client : all) {
            if (client->slow || client->exchange == nullptr || !client->exchange->sending)
                continue;
            take(client.get());
            busy = true;
        }
        return busy || !done.empty();
    }

    void settle()
    {
        while (turn())
            ;
    }

    static void fire(void *, sl_timer *timer)
    {
        auto *alarm = SL_OBJECT(timer, struct sl_alarm, timer);
        alarm->on_alarm(alarm);
    }

    void pass(uint64_t ms)
    {
        for (uint64_t i = 0; i < ms; i += 10) {
            acceptor.now_ms += 10;
            sl_timer_wheel_advance(&acceptor.wheel, acceptor.now_ms, 1000000, fire, nullptr);
            settle();
        }
    }

    Client *get(const std::string &name, const std::string &query)
    {
        all.push_back(std::make_unique<Client>());
        Client *client = all.back().get();
        auto *exchange =
            static_cast<sl_exchange *>(sl_memory_zalloc(sizeof(sl_exchange) + name.size()));
        exchange->acceptor = &acceptor;
        exchange->req = &client->request;
        exchange->name_size = name.size();
        memcpy(exchange->name, name.data(), name.size());
        sl_query_parse(sl_bytes(query.data(), query.size()), &exchange->query);
        client->exchange = exchange;
        clients[exchange] = client;
        sl_live_start(live, exchange);
        return client;
    }

    Client *sse(const std::string &name, const std::string &offset, const std::string &more = "")
    {
        return get(name, "live=sse&offset=" + offset + more);
    }

    Client *long_poll(const std::string &name, const std::string &offset)
    {
        return get(name, "live=long-poll&offset=" + offset);
    }

    // The connection of the client is gone.
    void gone(Client *client)
    {
        if (client->exchange == nullptr)
            return;
        sl_live_gone(live, client->exchange);
        end_request(client);
    }

    sl_http_options options = {};
    sl_metrics metrics = {};
    sl_acceptor acceptor = {};
    struct sl_live *live = nullptr;
    std::vector<std::unique_ptr<Client>> all;
};

std::string control(uint64_t next, const std::string &rest)
{
    return "event: control\ndata:{\"streamNextOffset\":\"" + token(next) + "\"" + rest + "}\n\n";
}

const std::string at_tail = ",\"streamCursor\":\"7\",\"upToDate\":true";
const std::string at_end = ",\"upToDate\":true,\"streamClosed\":true";

// Checks the order of events and returns the bytes they carry; `next`: of the last control.
std::string payload_of(const std::string &body, bool json, uint64_t start, uint64_t *next)
{
    std::string payload;
    size_t at = 0;
    bool data_open = false;
    *next = start;
    while (at < body.size()) {
        size_t end = body.find("\n\n", at);
        if (end == std::string::npos)
            break; // an event that was cut off
        std::string event = body.substr(at, end - at);
        at = end + 2;
        if (event == ":")
            continue;
        if (event.rfind("event: data\ndata:", 0) == 0) {
            EXPECT_FALSE(data_open) << "two data events without a control event";
            data_open = true;
            std::string data = event.substr(17);
            for (size_t line; (line = data.find("\ndata:")) != std::string::npos;)
                data.replace(line, 6, "\n");
            payload += json ? data.substr(1, data.size() - 2) + "," : data;
        } else {
            EXPECT_EQ(event.rfind("event: control\n", 0), 0u) << event;
            data_open = false;
            *next = std::stoull(event.substr(event.find("_") + 1, 16));
            EXPECT_EQ(*next, start + payload.size());
        }
    }
    EXPECT_TRUE(!data_open || at >= body.size());
    return payload;
}

} // namespace

extern "C" {

struct sl_operation *sl_session_take(struct sl_session *, enum sl_operation_kind kind)
{
    auto *op = static_cast<sl_operation *>(sl_memory_zalloc(sizeof(sl_operation)));
    op->kind = kind;
    results[op];
    return op;
}

void sl_session_put(struct sl_session *, struct sl_operation **op)
{
    ASSERT_EQ(results.erase(*op), 1u);
    sl_memory_free(*op);
    *op = nullptr;
}

void sl_session_submit(struct sl_session *, struct sl_operation *op)
{
    if (run(op))
        done.push_back(op);
    else
        parked.push_back(op);
}

void sl_session_cancel(struct sl_session *, struct sl_operation *op)
{
    cancels++;
    for (auto at = parked.begin(); at != parked.end(); ++at) {
        if (*at != op)
            continue;
        op->err = SL_ERR_CANCELLED;
        done.push_back(op);
        parked.erase(at);
        return;
    }
}

struct sl_operation *sl_exchange_take(struct sl_exchange *exchange, enum sl_operation_kind kind,
                                      void (*on_done)(struct sl_completion *,
                                                      struct sl_operation *))
{
    SL_ASSERT(exchange->op == nullptr);
    exchange->op = sl_session_take(nullptr, kind);
    exchange->completion.on_done = on_done;
    exchange->op->context = &exchange->completion;
    return exchange->op;
}

void sl_exchange_submit(struct sl_exchange *exchange)
{
    exchange->op_under_way = true;
    sl_session_submit(nullptr, exchange->op);
}

bool sl_exchange_came_back(struct sl_exchange *exchange)
{
    exchange->op_under_way = false;
    if (exchange->req != nullptr)
        return true;
    free_exchange(exchange);
    return false;
}

void sl_exchange_put(struct sl_exchange *exchange)
{
    SL_ASSERT(!exchange->op_under_way);
    sl_session_put(nullptr, &exchange->op);
}

void sl_reply_begin(struct sl_exchange *exchange, int status, const char *cache_control)
{
    SL_ASSERT(!exchange->started);
    clients[exchange]->status = status;
    clients[exchange]->headers["Cache-Control"] = cache_control;
}

void sl_reply_header(struct sl_exchange *exchange, const char *name, struct sl_bytes value)
{
    clients[exchange]->headers[name] =
        std::string(reinterpret_cast<const char *>(value.data), value.size);
}

void sl_reply_header_number(struct sl_exchange *exchange, const char *name, uint64_t value)
{
    clients[exchange]->headers[name] = std::to_string(value);
}

void sl_reply_next_offset(struct sl_exchange *exchange, uint64_t offset)
{
    clients[exchange]->headers["Stream-Next-Offset"] = token(offset);
}

void sl_reply_stream(struct sl_exchange *exchange, size_t)
{
    SL_ASSERT(!exchange->started);
    exchange->started = true;
}

void sl_reply_send(struct sl_exchange *exchange, const struct sl_bytes *pieces, size_t count,
                   bool final)
{
    SL_ASSERT(exchange->started && !exchange->sending && !exchange->ended);
    Client *client = clients[exchange];
    client->on_the_way.assign(pieces, pieces + count);
    client->sends++;
    client->final = exchange->ended = final;
    exchange->sending = true;
    if (final && count == 0)
        end_request(client); /* as h2o does: at once */
}

bool sl_reply_send_at_once(struct sl_exchange *exchange, const struct sl_bytes *pieces,
                           size_t count)
{
    SL_ASSERT(count > 0 && pieces[0].size > 0);
    sl_reply_send(exchange, pieces, count, false);
    Client *client = clients[exchange];
    if (client->slow)
        return false;
    exchange->sending = false;
    take_bytes(client);
    return true;
}

void sl_reply_finish(struct sl_exchange *exchange, const struct sl_bytes *body, size_t count)
{
    sl_reply_stream(exchange, 0);
    sl_reply_send(exchange, body, count, true);
}

/* The page of a long-poll, at once. Of a stream that is gone there is only what was read of it. */
void sl_catch_up_send(struct sl_exchange *exchange, uint64_t page_end)
{
    const struct sl_operation *op = exchange->op;
    const struct sl_read &read = op->u.read;
    std::string &page = clients[exchange]->page;
    for (uint32_t i = 0; i < read.slice_count; i++)
        page.append(reinterpret_cast<const char *>(read.slices[i].data), read.slices[i].size);
    for (const auto &[name, stream] : streams)
        if (stream.id == op->stream.id)
            page = stream.data.substr(read.start, page_end - read.start);
    bool cut = page.size() < page_end - read.start;
    if (op->stream.json)
        page = "[" + page.substr(0, page.empty() ? 0 : page.size() - 1) + "]";
    struct sl_bytes body = sl_bytes(page.data(), page.size());
    sl_reply_finish(exchange, &body, cut ? 0 : 1);
}

void sl_reply_problem(struct sl_exchange *exchange, enum sl_err err)
{
    clients[exchange]->headers["problem"] = sl_err_code(err);
    sl_reply_stream(exchange, 0);
    sl_reply_send(exchange, nullptr, 0, true);
}

} // extern "C"

#endif
