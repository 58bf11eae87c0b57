/*
 * tests/support/engine_fixture.h - an engine, its sessions, and requests in one line
 *
 * What     EngineTest opens an engine with Shards() shards and one session; Create(), Append(),
 *          Read() and the others of Session run one operation and give back a plain value.
 * Why      Contract tests see the public API only and say the rule, not the calls.
 * Thread   A Session belongs to one thread, as the sl_session in it.
 */
#ifndef SL_TESTS_ENGINE_FIXTURE_H
#define SL_TESTS_ENGINE_FIXTURE_H

/* In C++ a function with the name of a struct hides its constructor: meant so. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "sluice/session.h"
#include "sluice/storage.h"
#include "support/sim_disk.h"
#pragma GCC diagnostic pop

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

/* Found by argument-dependent lookup: failures name the code. */
inline void PrintTo(enum sl_err err, std::ostream *out)
{
    *out << sl_err_code(err);
}

namespace sluice_test
{

constexpr char kBytes[] = "application/octet-stream";
constexpr char kJson[] = "application/json";
constexpr int kPatience_ms = 10000; /* for what must happen, also on a busy machine */

inline struct sl_bytes BytesOf(const std::string &text)
{
    return sl_bytes(text.data(), text.size());
}

inline int64_t WallClock_ms()
{
    using std::chrono::system_clock;
    auto now = system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

inline int64_t Steady_ms()
{
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

inline void Sleep_ms(int64_t ms)
{
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

/* For effects that may come a little later: the release of a fork's source, the timer wheel. */
inline bool Eventually(const std::function<bool()> &condition, int64_t patience_ms = kPatience_ms)
{
    for (int64_t end_ms = Steady_ms() + patience_ms; !condition(); Sleep_ms(2))
        if (Steady_ms() > end_ms)
            return condition();
    return true;
}

/* Arguments of CREATE: Plain().Type("text/plain").Ttl(5), ForkOf("source").At(3).Sub(1). */
struct CreateRequest {
    std::string content_type, data, source, expires_text;
    bool has_ttl = false, has_expires_at = false, close = false, fork = false, has_offset = false;
    uint64_t ttl_s = 0, offset = 0, sub_offset = 0;
    int64_t expires_at_ms = 0;

    CreateRequest &Type(const std::string &type)
    {
        content_type = type;
        return *this;
    }
    CreateRequest &Data(const std::string &bytes)
    {
        data = bytes;
        return *this;
    }
    CreateRequest &Closed(bool closed = true)
    {
        close = closed;
        return *this;
    }
    CreateRequest &Ttl(uint64_t seconds)
    {
        has_ttl = true;
        ttl_s = seconds;
        return *this;
    }
    CreateRequest &ExpiresAt(int64_t wall_ms, const std::string &text = "as given")
    {
        has_expires_at = true;
        expires_at_ms = wall_ms;
        expires_text = text;
        return *this;
    }
    CreateRequest &At(uint64_t fork_offset)
    {
        has_offset = true;
        offset = fork_offset;
        return *this;
    }
    CreateRequest &Sub(uint64_t fork_sub_offset)
    {
        sub_offset = fork_sub_offset;
        return *this;
    }
};

inline CreateRequest Plain()
{
    return {};
}

inline CreateRequest Json()
{
    return CreateRequest().Type(kJson);
}

inline CreateRequest ForkOf(const std::string &source)
{
    CreateRequest request;
    request.fork = true;
    request.source = source;
    return request;
}

/* Arguments of APPEND: Body("x").Producer("p", 0, 1).Close(), CloseOnly(). */
struct AppendRequest {
    std::vector<std::string> parts;
    std::string content_type = kBytes, producer_id, seq;
    bool close = false, has_producer = false, has_seq = false;
    uint64_t epoch = 0, sequence = 0;
    enum sl_err request_err = SL_OK;

    AppendRequest &Part(const std::string &bytes)
    {
        parts.push_back(bytes);
        return *this;
    }
    AppendRequest &Type(const std::string &type)
    {
        content_type = type;
        return *this;
    }
    AppendRequest &Close(bool closed = true)
    {
        close = closed;
        return *this;
    }
    AppendRequest &Producer(const std::string &id, uint64_t producer_epoch,
                            uint64_t producer_sequence)
    {
        has_producer = true;
        producer_id = id;
        epoch = producer_epoch;
        sequence = producer_sequence;
        return *this;
    }
    AppendRequest &Seq(const std::string &value)
    {
        has_seq = true;
        seq = value;
        return *this;
    }
    AppendRequest &RequestError(enum sl_err err)
    {
        request_err = err;
        return *this;
    }
};

inline AppendRequest Body(const std::string &bytes)
{
    return AppendRequest().Part(bytes);
}

inline AppendRequest JsonBody(const std::string &text)
{
    return AppendRequest().Part(text).Type(kJson);
}

inline AppendRequest CloseOnly()
{
    return AppendRequest().Type("").Close();
}

/* Arguments of READ: FromStart().Page(10), From(7).Wait(). */
struct ReadRequest {
    enum sl_read_from from = SL_READ_FROM_START;
    bool wait = false;
    enum sl_err request_err = SL_OK;
    uint64_t offset = 0, id = 0, limit = 0;
    uint32_t page_size_max = 1 << 20, piece_size_max = 1 << 20;

    ReadRequest &Wait()
    {
        wait = true;
        return *this;
    }
    ReadRequest &Id(uint64_t incarnation)
    {
        id = incarnation;
        return *this;
    }
    ReadRequest &Limit(uint64_t page_end)
    {
        limit = page_end;
        return *this;
    }
    ReadRequest &Page(uint32_t size)
    {
        page_size_max = size;
        return *this;
    }
    ReadRequest &Piece(uint32_t size)
    {
        piece_size_max = size;
        return *this;
    }
    ReadRequest &RequestError(enum sl_err err)
    {
        request_err = err;
        return *this;
    }
};

inline ReadRequest FromStart()
{
    return {};
}

inline ReadRequest From(uint64_t offset)
{
    ReadRequest request;
    request.from = SL_READ_FROM_OFFSET;
    request.offset = offset;
    return request;
}

inline ReadRequest FromNow()
{
    ReadRequest request;
    request.from = SL_READ_FROM_NOW;
    return request;
}

/* What came back: the fields of the operation that are not there for its kind are zero. */
struct Reply {
    enum sl_err err = SL_OK;
    struct sl_stream_view stream = {};
    bool created = false, duplicate = false;
    uint64_t producer_epoch = 0, producer_sequence = 0, expected_sequence = 0;
};

struct ReadReply {
    enum sl_err err = SL_OK;
    struct sl_stream_view stream = {};
    uint64_t start = 0, next = 0, page_end = 0;
    uint32_t slice_count = 0;
    std::string data; /* the slices, joined */
};

/* One open sl_session. */
class Session
{
  public:
    /* A read under way: the name lives here because the operation only borrows it. */
    class Waiting
    {
      public:
        Waiting(Session *session, std::string name, const ReadRequest &request)
            : session_(session), name_(std::move(name)),
              op_(sl_session_take(session->get(), SL_OPERATION_READ))
        {
            Fill(op_, BytesOf(name_), request);
            op_->context = this;
            sl_session_submit(session->get(), op_);
            sl_session_flush(session->get());
        }
        Waiting(const Waiting &) = delete;
        Waiting &operator=(const Waiting &) = delete;
        ~Waiting()
        {
            if (session_->get() == nullptr)
                return;
            if (!done_)
                Cancel();
            Result();
            sl_session_put(session_->get(), &op_);
        }
        void Cancel()
        {
            sl_session_cancel(session_->get(), op_);
            sl_session_flush(session_->get());
        }
        bool Done()
        {
            session_->Pump(0);
            return done_;
        }
        /* Stays away for `ms`, as a read at a quiet tail must. */
        bool StaysFor(int ms)
        {
            for (int64_t end_ms = Steady_ms() + ms; !done_ && Steady_ms() < end_ms;)
                session_->Pump(static_cast<int>(std::max<int64_t>(1, end_ms - Steady_ms())));
            return !done_;
        }
        ReadReply Result(int patience_ms = kPatience_ms)
        {
            StaysFor(patience_ms);
            EXPECT_TRUE(done_) << "a read of " << name_ << " was never answered";
            return done_ ? Collect(op_) : ReadReply{};
        }

      private:
        friend class Session;
        Session *session_;
        std::string name_;
        struct sl_operation *op_;
        bool done_ = false;
    };

    explicit Session(struct sl_engine *engine)
    {
        EXPECT_EQ(sl_session_open(engine, &session_), SL_OK);
    }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;
    ~Session()
    {
        Close();
    }
    void Close()
    {
        if (session_ != nullptr)
            sl_session_close(&session_);
    }
    struct sl_session *get() const
    {
        return session_;
    }

    /* `name` and the strings of the request live until the operation is back. */
    static void Fill(struct sl_operation *op, struct sl_bytes name, const CreateRequest &request)
    {
        struct sl_create *create = &op->u.create;
        create->name = name;
        create->config.content_type = BytesOf(request.content_type);
        create->config.has_ttl = request.has_ttl;
        create->config.ttl_s = request.ttl_s;
        create->config.has_expires_at = request.has_expires_at;
        create->config.expires_at_ms = request.expires_at_ms;
        create->config.expires_at_text = BytesOf(request.expires_text);
        create->data = BytesOf(request.data);
        create->close = request.close;
        create->fork = request.fork;
        create->fork_source = BytesOf(request.source);
        create->has_fork_offset = request.has_offset;
        create->fork_offset = request.offset;
        create->fork_sub_offset = request.sub_offset;
    }
    /* So does `parts`, which is filled. */
    static void Fill(struct sl_operation *op, struct sl_bytes name, const AppendRequest &request,
                     std::vector<struct sl_bytes> *parts)
    {
        struct sl_append *append = &op->u.append;
        for (const std::string &part : request.parts)
            parts->push_back(BytesOf(part));
        append->name = name;
        append->content_type = BytesOf(request.content_type);
        append->parts = parts->data();
        append->part_count = parts->size();
        append->close = request.close;
        append->request_err = request.request_err;
        append->has_producer = request.has_producer;
        append->producer.id = BytesOf(request.producer_id);
        append->producer.epoch = request.epoch;
        append->producer.sequence = request.sequence;
        append->has_seq = request.has_seq;
        append->seq = BytesOf(request.seq);
    }
    static void Fill(struct sl_operation *op, struct sl_bytes name, const ReadRequest &request)
    {
        struct sl_read *read = &op->u.read;
        read->name = name;
        read->from = request.from;
        read->wait = request.wait;
        read->request_err = request.request_err;
        read->offset = request.offset;
        read->id = request.id;
        read->limit = request.limit;
        read->page_size_max = request.page_size_max;
        read->piece_size_max = request.piece_size_max;
    }
    static ReadReply Collect(const struct sl_operation *op)
    {
        const struct sl_read *read = &op->u.read;
        ReadReply reply;
        reply.err = op->err;
        if (op->err != SL_OK)
            return reply;
        reply.stream = op->stream;
        reply.start = read->start;
        reply.next = read->next;
        reply.page_end = read->page_end;
        reply.slice_count = read->slice_count;
        EXPECT_LE(read->slice_count, static_cast<uint32_t>(SL_READ_SLICES_MAX));
        for (uint32_t i = 0; i < read->slice_count; i++)
            reply.data.append(reinterpret_cast<const char *>(read->slices[i].data),
                              read->slices[i].size);
        EXPECT_EQ(reply.start + reply.data.size(), reply.next);
        EXPECT_LE(reply.next, reply.page_end);
        EXPECT_LE(reply.page_end, reply.stream.tail);
        return reply;
    }

    Reply Create(const std::string &name, const CreateRequest &request = {})
    {
        struct sl_operation *op = sl_session_take(session_, SL_OPERATION_CREATE);
        Fill(op, BytesOf(name), request);
        Reply reply = Run(op);
        reply.created = op->u.create.created;
        sl_session_put(session_, &op);
        return reply;
    }
    Reply Append(const std::string &name, const AppendRequest &request)
    {
        struct sl_operation *op = sl_session_take(session_, SL_OPERATION_APPEND);
        std::vector<struct sl_bytes> parts;
        Fill(op, BytesOf(name), request, &parts);
        Reply reply = Run(op);
        reply.duplicate = op->u.append.duplicate;
        reply.producer_epoch = op->u.append.producer_epoch;
        reply.producer_sequence = op->u.append.producer_sequence;
        reply.expected_sequence = op->u.append.expected_sequence;
        sl_session_put(session_, &op);
        return reply;
    }
    ReadReply Read(const std::string &name, const ReadRequest &request = {})
    {
        struct sl_operation *op = sl_session_take(session_, SL_OPERATION_READ);
        Fill(op, BytesOf(name), request);
        Run(op);
        ReadReply reply = Collect(op);
        sl_session_put(session_, &op);
        return reply;
    }
    Reply Head(const std::string &name)
    {
        struct sl_operation *op = sl_session_take(session_, SL_OPERATION_HEAD);
        op->u.head.name = BytesOf(name);
        Reply reply = Run(op);
        sl_session_put(session_, &op);
        return reply;
    }
    enum sl_err Delete(const std::string &name)
    {
        struct sl_operation *op = sl_session_take(session_, SL_OPERATION_DELETE);
        op->u.remove.name = BytesOf(name);
        Reply reply = Run(op);
        sl_session_put(session_, &op);
        return reply.err;
    }
    uint64_t Cleanup()
    {
        struct sl_operation *op = sl_session_take(session_, SL_OPERATION_CLEANUP);
        EXPECT_EQ(Run(op).err, SL_OK);
        uint64_t expired = op->u.cleanup.expired;
        sl_session_put(session_, &op);
        return expired;
    }
    /* One page; *cursor moves on. */
    std::vector<std::string> ListPage(const std::string &prefix, uint64_t *cursor)
    {
        struct sl_operation *op = sl_session_take(session_, SL_OPERATION_LIST);
        op->u.list.prefix = BytesOf(prefix);
        op->u.list.cursor = *cursor;
        EXPECT_EQ(Run(op).err, SL_OK);
        EXPECT_LE(op->u.list.name_count, static_cast<uint32_t>(SL_LIST_NAMES_MAX));
        std::vector<std::string> names;
        for (uint32_t i = 0; i < op->u.list.name_count; i++)
            names.emplace_back(reinterpret_cast<const char *>(op->u.list.names[i].data),
                               op->u.list.names[i].size);
        *cursor = op->u.list.next_cursor;
        sl_session_put(session_, &op);
        return names;
    }
    /* Every page, sorted; a name listed twice is there twice. */
    std::vector<std::string> List(const std::string &prefix = "")
    {
        std::vector<std::string> names;
        uint64_t cursor = 0;
        do {
            std::vector<std::string> page = ListPage(prefix, &cursor);
            names.insert(names.end(), page.begin(), page.end());
        } while (cursor != 0);
        std::sort(names.begin(), names.end());
        return names;
    }
    /* The whole stream, page by page and piece by piece. */
    std::string ReadAll(const std::string &name, uint32_t page = 1 << 20, uint32_t piece = 1 << 20)
    {
        std::string data;
        ReadReply reply = Read(name, FromStart().Page(page).Piece(piece));
        for (;;) {
            EXPECT_EQ(reply.err, SL_OK) << name << " at " << data.size();
            if (reply.err != SL_OK)
                return data;
            EXPECT_EQ(reply.start, data.size());
            data += reply.data;
            if (reply.next == reply.stream.tail)
                return data;
            EXPECT_FALSE(reply.data.empty()) << "no progress at " << reply.next;
            if (reply.data.empty())
                return data;
            uint64_t limit = reply.next < reply.page_end ? reply.page_end : 0;
            reply = Read(name, From(reply.next).Limit(limit).Page(page).Piece(piece));
        }
    }
    std::unique_ptr<Waiting> StartRead(const std::string &name, const ReadRequest &request)
    {
        return std::make_unique<Waiting>(this, name, request);
    }
    /* Takes what is done; blocks up to `ms` when there is nothing. */
    void Pump(int ms)
    {
        if (Drain() || ms == 0)
            return;
        struct pollfd fd = { sl_session_fd(session_), POLLIN, 0 };
        if (sl_session_sleep(session_))
            (void)::poll(&fd, 1, ms);
        sl_session_wake(session_);
        Drain();
    }

  private:
    Reply Run(struct sl_operation *op)
    {
        Reply reply;
        reply.err = sl_session_run(session_, op);
        EXPECT_EQ(reply.err, op->err);
        reply.stream = op->stream;
        return reply;
    }
    bool Drain()
    {
        bool any = false;
        while (struct sl_operation *op = sl_session_poll(session_)) {
            Waiting *waiting = static_cast<Waiting *>(op->context);
            EXPECT_FALSE(waiting->done_) << "came back twice";
            waiting->done_ = true;
            any = true;
        }
        return any;
    }

    struct sl_session *session_ = nullptr;
};

/* Where the streams of a suite live: added to the number of shards. */
enum Storage : unsigned {
    kInMemory = 0,
    kDurable = 0x100,  /* a log, nothing is flushed */
    kFlushing = 0x200, /* a log so small that data moves to segments all the time */
};
constexpr unsigned kShardsMask = 0xff;
constexpr uint64_t kWalFileBytes = 8 << 20; /* small, since every engine makes two */

/* An engine with Shards() shards on Storage GetParam() and one session `s`. */
class EngineTest : public testing::TestWithParam<unsigned>
{
  protected:
    void SetUp() override
    {
        Open();
    }
    void TearDown() override
    {
        s_.reset();
        if (engine_ != nullptr)
            sl_engine_close(&engine_);
        EXPECT_EQ(engine_, nullptr);
    }
    /* Also opens anew: with other limits, 0 being the default. */
    void Open(uint64_t streams_max = 0, unsigned producers_max = 0, uint64_t budget_bytes = 0)
    {
        s_.reset();
        if (engine_ != nullptr)
            sl_engine_close(&engine_);
        struct sl_engine_options options = {};
        options.shards = Shards();
        options.streams_max = streams_max;
        options.producers_per_stream_max = producers_max;
        options.memory_budget_bytes = budget_bytes;
        if (IsDurable()) {
            disk_ = std::make_unique<SimDisk>(1);
            disk_->MakeDirectory("/disk");
        }
        Start(options);
    }
    /* Ends the engine and opens it again on what the disk has; 0: the default. */
    void Restart(unsigned producers_max = 0)
    {
        struct sl_engine_options options = {};
        options.producers_per_stream_max = producers_max;
        s_.reset();
        sl_engine_close(&engine_);
        Start(options);
    }
    unsigned Shards() const
    {
        return GetParam() & kShardsMask;
    }
    bool IsDurable() const
    {
        return (GetParam() & ~kShardsMask) != kInMemory;
    }
    /* Flushed JSON has pages that end with an extent: a little later than asked. */
    bool HasLatePages() const
    {
        return (GetParam() & kFlushing) != 0;
    }
    SimDisk &disk()
    {
        return *disk_;
    }
    Session &s()
    {
        return *s_;
    }
    struct sl_engine *engine()
    {
        return engine_;
    }
    struct sl_engine_status Status() const
    {
        struct sl_engine_status status;
        sl_engine_status(engine_, &status);
        return status;
    }
    /* Creates; the test goes on only with a new stream. */
    Reply Make(const std::string &name, const CreateRequest &request = {})
    {
        Reply reply = s().Create(name, request);
        EXPECT_EQ(reply.err, SL_OK) << name;
        EXPECT_TRUE(reply.created) << name;
        return reply;
    }
    bool Becomes(const std::string &name, enum sl_err err)
    {
        return Eventually([&] { return s().Head(name).err == err; });
    }

  private:
    void Start(struct sl_engine_options &options)
    {
        if (IsDurable()) {
            options.data_directory = "/disk/data";
            options.vfs = disk_->vfs();
            options.wal_file_bytes = kWalFileBytes;
            options.free_bytes_min = 1;
        }
        if ((GetParam() & kFlushing) != 0)
            options.wal_budget_bytes = 64 << 10;
        ASSERT_EQ(sl_engine_open(&options, &engine_), SL_OK);
        s_ = std::make_unique<Session>(engine_);
    }

    std::unique_ptr<SimDisk> disk_;
    struct sl_engine *engine_ = nullptr;
    std::unique_ptr<Session> s_;
};

inline std::string ShardsOf(const testing::TestParamInfo<unsigned> &info)
{
    unsigned shards = info.param & kShardsMask;
    return std::to_string(shards) + (shards == 1 ? "Shard" : "Shards") +
           ((info.param & kDurable) != 0    ? "Durable"
            : (info.param & kFlushing) != 0 ? "Flushing"
                                            : "");
}

} // namespace sluice_test

/* A suite of EngineTest over one shard and several, in memory and on a disk. */
#define SL_ENGINE_SUITE(Suite)                                                                     \
    class Suite : public sluice_test::EngineTest                                                   \
    {                                                                                              \
    };                                                                                             \
    SL_ENGINE_STORAGES(Suite)
#define SL_ENGINE_STORAGES(Suite)                                                                  \
    INSTANTIATE_TEST_SUITE_P(                                                                      \
        Engine, Suite,                                                                             \
        testing::Values(1u, 4u, 1u | sluice_test::kDurable, 4u | sluice_test::kDurable,            \
                        1u | sluice_test::kFlushing, 4u | sluice_test::kFlushing),                 \
        sluice_test::ShardsOf)

#endif
