#include "support/engine_fixture.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>

using namespace sluice_test;

/*
 * Many threads on few streams. Everything that is appended is a record "writer:number;", where the
 * numbers of a writer only grow, so every reader can tell what is lost, doubled or out of order.
 */
namespace
{

/* Ends the process with a message when a test hangs: a lost wake-up would otherwise be silent. */
class Watchdog
{
  public:
    explicit Watchdog(std::chrono::seconds patience = std::chrono::seconds(60))
        : thread_([this, patience] {
              std::unique_lock<std::mutex> lock(mutex_);
              if (done_.wait_for(lock, patience, [this] { return fed_; }))
                  return;
              fprintf(stderr, "stress_test: a thread did not end: a wake-up was lost\n");
              abort();
          })
    {
    }
    ~Watchdog()
    {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            fed_ = true;
        }
        done_.notify_one();
        thread_.join();
    }

  private:
    std::mutex mutex_;
    std::condition_variable done_;
    bool fed_ = false;
    std::thread thread_;
};

std::string Record(int writer, uint64_t number)
{
    return std::to_string(writer) + ":" + std::to_string(number) + ";";
}

/* Takes data in any pieces; the numbers of every writer must grow. */
class RecordChecker
{
  public:
    void Take(const std::string &data)
    {
        for (char c : data) {
            if (c != ';') {
                record_ += c;
                continue;
            }
            size_t colon = record_.find(':');
            ASSERT_NE(colon, std::string::npos) << record_;
            uint64_t number = strtoull(record_.c_str() + colon + 1, nullptr, 10);
            ASSERT_GT(number, last_[record_.substr(0, colon)]) << "writer " << record_;
            last_[record_.substr(0, colon)] = number;
            count_++;
            record_.clear();
        }
    }
    uint64_t count() const
    {
        return count_;
    }
    bool whole() const
    {
        return record_.empty();
    }

  private:
    std::string record_; /* not yet whole */
    std::map<std::string, uint64_t> last_;
    uint64_t count_ = 0;
};

class StressTest : public EngineTest
{
  protected:
    std::string StreamName(uint64_t i) const
    {
        return "stream" + std::to_string(i);
    }
    void Start(const std::function<void(Session &, std::mt19937_64 &)> &work)
    {
        threads_.emplace_back([this, work, seed = threads_.size()] {
            Session session(engine());
            std::mt19937_64 random(seed);
            work(session, random);
        });
    }
    void Join(size_t from = 0)
    {
        for (size_t i = from; i < threads_.size(); i++)
            threads_[i].join();
        threads_.resize(from);
    }

    std::vector<std::thread> threads_;
    std::atomic<bool> stop_{ false };
};

SL_ENGINE_STORAGES(StressTest);

} // namespace

TEST_P(StressTest, FollowersSeeEveryAcceptedByteOnceAndInOrder)
{
    constexpr uint64_t kStreams = 3, kAppends = 400;
    constexpr int kWriters = 3, kFollowers = 3;
    Watchdog watchdog;
    for (uint64_t i = 0; i < kStreams; i++)
        Make(StreamName(i));
    std::vector<std::string> seen(kFollowers * kStreams);
    for (size_t f = 0; f < seen.size(); f++)
        Start([&, f](Session &session, std::mt19937_64 &random) {
            std::string name = StreamName(f % kStreams);
            ReadReply reply;
            do {
                uint32_t piece = static_cast<uint32_t>(1 + random() % 300);
                reply = session.Read(name, From(reply.next).Wait().Page(500).Piece(piece));
                ASSERT_EQ(reply.err, SL_OK);
                ASSERT_EQ(reply.start, seen[f].size());
                seen[f] += reply.data;
            } while (!reply.stream.closed || reply.next < reply.stream.tail);
        });
    size_t writers_from = threads_.size();
    for (int w = 0; w < kWriters; w++)
        Start([&, w](Session &session, std::mt19937_64 &random) {
            std::vector<uint64_t> tails(kStreams);
            for (uint64_t q = 0; q < kAppends; q++)
                for (uint64_t i = 0; i < kStreams; i++) {
                    AppendRequest request = Body(Record(w, q + 1));
                    request.Producer("w" + std::to_string(w), 0, q);
                    bool first = true;
                    do { /* a retry must not land twice */
                        Reply reply = session.Append(StreamName(i), request);
                        ASSERT_EQ(reply.err, SL_OK);
                        ASSERT_EQ(reply.duplicate, !first);
                        if (first) {
                            ASSERT_GT(reply.stream.tail, tails[i]);
                        }
                        tails[i] = reply.stream.tail;
                        first = false;
                    } while (random() % 4 == 0);
                }
        });
    Start(
        [&](Session &session,
            std::mt19937_64 &random) { /* forks are prefixes */
                                       for (int n = 0; n < 100; n++) {
                                           std::string source = StreamName(random() % kStreams),
                                                       fork = "f" + std::to_string(n);
                                           Reply made = session.Create(fork, ForkOf(source));
                                           ASSERT_EQ(made.err, SL_OK);
                                           std::string inherited = session.ReadAll(fork);
                                           ASSERT_EQ(inherited.size(), made.stream.tail);
                                           ASSERT_EQ(session.Append(fork, Body("own")).err, SL_OK);
                                           ASSERT_TRUE(session.ReadAll(source).compare(
                                                           0, inherited.size(), inherited) == 0);
                                           ASSERT_TRUE(session.ReadAll(fork) == inherited + "own");
                                           ASSERT_EQ(session.Delete(fork), SL_OK);
                                       }
        });
    Join(writers_from);
    for (uint64_t i = 0; i < kStreams; i++)
        EXPECT_EQ(s().Append(StreamName(i), CloseOnly()).err, SL_OK);
    Join();
    for (size_t f = 0; f < seen.size(); f++) {
        RecordChecker checker;
        checker.Take(seen[f]);
        EXPECT_TRUE(checker.whole());
        EXPECT_EQ(checker.count(), kWriters * kAppends);
        EXPECT_TRUE(seen[f] == seen[f % kStreams]) << "all followers see the same bytes";
    }
}

TEST_P(StressTest, OffsetsOfOneStreamAreUniqueOverAllWriters)
{
    constexpr int kWriters = 4, kAppends = 500;
    Watchdog watchdog;
    Make("a");
    std::vector<std::vector<uint64_t>> tails(kWriters);
    for (size_t w = 0; w < kWriters; w++)
        Start([&, w](Session &session, std::mt19937_64 &) {
            for (int i = 0; i < kAppends; i++) {
                Reply reply = session.Append("a", Body("1234567"));
                ASSERT_EQ(reply.err, SL_OK);
                tails[w].push_back(reply.stream.tail);
            }
        });
    Join();
    std::vector<uint64_t> all;
    for (const std::vector<uint64_t> &some : tails) {
        EXPECT_TRUE(std::is_sorted(some.begin(), some.end()));
        all.insert(all.end(), some.begin(), some.end());
    }
    std::sort(all.begin(), all.end());
    ASSERT_EQ(all.size(), static_cast<size_t>(kWriters * kAppends));
    for (size_t i = 0; i < all.size(); i++)
        ASSERT_EQ(all[i], (i + 1) * 7);
}

TEST_P(StressTest, StreamsComeAndGoUnderReadersAndForks)
{
    constexpr uint64_t kNames = 4;
    constexpr int kChurners = 4, kFollowers = 3;
    constexpr int kSteps = 1200;
    Watchdog watchdog;
    auto any_name = [this](std::mt19937_64 &random) { return StreamName(random() % kNames); };
    for (int f = 0; f < kFollowers; f++)
        Start([&](Session &session, std::mt19937_64 &random) {
            while (!stop_) { /* one incarnation from its start to its end */
                std::string name = any_name(random);
                RecordChecker checker;
                ReadReply reply = session.Read(name, FromStart().Wait());
                uint64_t id = reply.stream.id;
                for (uint64_t at = 0; reply.err == SL_OK && !stop_;) {
                    ASSERT_EQ(reply.stream.id, id);
                    ASSERT_EQ(reply.start, at);
                    at = reply.next;
                    checker.Take(reply.data);
                    if (reply.stream.closed && at == reply.stream.tail) {
                        ASSERT_TRUE(checker.whole());
                        break;
                    }
                    reply = session.Read(name, From(at).Wait().Id(id).Piece(100));
                }
                if (reply.err != SL_OK) {
                    ASSERT_TRUE(reply.err == SL_ERR_NOT_FOUND || reply.err == SL_ERR_GONE)
                        << sl_err_code(reply.err);
                }
            }
        });
    for (int w = 0; w < kChurners; w++)
        Start([&, w](Session &session, std::mt19937_64 &random) {
            uint64_t number = 0;
            for (int step = 0; step < kSteps; step++) {
                std::string name = any_name(random);
                std::string record = Record(w, ++number);
                uint64_t dice = random() % 100;
                enum sl_err err;
                if (dice < 60)
                    err = session.Append(name, Body(record)).err;
                else if (dice < 70)
                    err = session.Create(name, Plain().Data(record)).err;
                else if (dice < 80)
                    err = session.Create(name, ForkOf(any_name(random)).Data(record)).err;
                else if (dice < 84)
                    err = session.Append(name, Body(record).Close()).err;
                else if (dice < 92)
                    err = session.Delete(name);
                else
                    err = session.Read(name).err;
                ASSERT_TRUE(err == SL_OK || err == SL_ERR_NOT_FOUND || err == SL_ERR_GONE ||
                            err == SL_ERR_STREAM_CLOSED || err == SL_ERR_CONFIG_MISMATCH ||
                            err == SL_ERR_PATH_BLOCKED || err == SL_ERR_FORK_SOURCE_NOT_FOUND ||
                            err == SL_ERR_FORK_SOURCE_GONE || err == SL_ERR_FORK_TOO_DEEP)
                    << sl_err_code(err);
            }
        });
    Join(kFollowers);
    stop_ = true;
    for (uint64_t i = 0; i < kNames; i++)
        (void)s().Delete(StreamName(i));
    Join();
    EXPECT_TRUE(Eventually([&] {
        struct sl_engine_status status = Status();
        return status.streams == 0 && status.waiting_reads == 0;
    })) << Status().streams
        << " streams are left";
}

TEST_P(StressTest, ExpiryAndWaitingReadsRace)
{
    constexpr int kRounds = 60;
    Watchdog watchdog;
    for (int t = 0; t < 3; t++)
        Start([&, t](Session &session, std::mt19937_64 &random) {
            for (int i = 0; i < kRounds; i++) {
                std::string name = "e" + std::to_string(t) + "." + std::to_string(i);
                int64_t end_ms = WallClock_ms() + static_cast<int64_t>(random() % 20);
                ASSERT_EQ(session.Create(name, Plain().ExpiresAt(end_ms)).err, SL_OK);
                ASSERT_EQ(session.Read(name, FromNow().Wait()).err, SL_ERR_NOT_FOUND);
            }
        });
    Join();
    EXPECT_TRUE(Eventually([&] { return Status().streams == 0; }));
    EXPECT_EQ(Status().expired_total, static_cast<uint64_t>(3 * kRounds));
}

TEST_P(StressTest, SessionsComeAndGoWithReadsWaiting)
{
    Watchdog watchdog;
    Make("a");
    for (int t = 0; t < 3; t++)
        Start([&](Session &, std::mt19937_64 &random) {
            for (int i = 0; i < 100; i++) {
                Session session(engine());
                std::vector<std::unique_ptr<Session::Waiting>> waiting;
                for (int j = 0; j < 20; j++)
                    waiting.push_back(session.StartRead("a", FromNow().Wait()));
                if (random() % 2 == 0)
                    waiting[random() % 20]->Cancel();
                session.Close();
            }
        });
    Start([&](Session &session, std::mt19937_64 &) {
        while (!stop_)
            ASSERT_EQ(session.Append("a", Body("x")).err, SL_OK);
    });
    for (size_t i = 0; i < 3; i++)
        threads_[i].join();
    stop_ = true;
    threads_[3].join();
    threads_.clear();
    EXPECT_TRUE(Eventually([&] { return Status().waiting_reads == 0; }));
}
