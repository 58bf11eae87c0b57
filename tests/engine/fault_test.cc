#include "base/log.h"
#include "support/engine_fixture.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <unistd.h>

using namespace sluice_test;

/*
 * The same story again and again, and each time another call of the disk fails:
 * SLUICE_FAULT_STRIDE=1 runs every call, SLUICE_FAULT_CASE="write 17 5 1" (call, index, errno,
 * sticky) only one.
 */
namespace
{

struct Fault {
    const char *name;
    DiskCall call;
    uint64_t nth = 0;
    int error = 0;
    bool sticky = false;
};

constexpr Fault kCalls[] = {
    { "open", DiskCall::kOpen },
    { "read", DiskCall::kRead },
    { "write", DiskCall::kWrite },
    { "sync", DiskCall::kSync },
    { "truncate", DiskCall::kTruncate },
    { "size", DiskCall::kSize },
    { "make_directory", DiskCall::kMakeDirectory },
    { "sync_directory", DiskCall::kSyncDirectory },
    { "list", DiskCall::kList },
    { "rename", DiskCall::kRename },
    { "link", DiskCall::kLink },
    { "unlink", DiskCall::kUnlink },
    { "lock", DiskCall::kLock },
    { "space", DiskCall::kSpace },
};

char current_case[128];

/* A hang: says where, and stops. */
void OnAlarm(int)
{
    static const char text[] = "hangs at SLUICE_FAULT_CASE=";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)!write(STDERR_FILENO, current_case, strlen(current_case));
    (void)!write(STDERR_FILENO, "\n", 1);
    abort();
}

/* What is known of a stream: in order what was given to it. */
struct Given {
    struct Piece {
        std::string bytes;
        bool is_sure; /* else nobody knows */
    };
    std::vector<Piece> pieces;
    bool may_exist = false, must_exist = false, may_be_gone = false;

    bool HasUnknown() const
    {
        return std::any_of(pieces.begin(), pieces.end(),
                           [](const Piece &piece) { return !piece.is_sure; });
    }
    /* The content is every sure piece, and any of the others, in order. */
    bool Explains(const std::string &content) const
    {
        size_t at = 0;
        for (const Piece &piece : pieces) {
            if (content.compare(at, piece.bytes.size(), piece.bytes) == 0)
                at += piece.bytes.size();
            else if (piece.is_sure)
                return false;
        }
        return at == content.size();
    }
};

class Story
{
  public:
    explicit Story(const Fault &fault) : disk_(fault.nth * 31 + fault.error), fault_(fault)
    {
        disk_.MakeDirectory("/disk");
    }

    /* Empty: all is well; else what is not. */
    std::string Run()
    {
        if (fault_.nth != 0)
            disk_.FailNth(fault_.call, fault_.nth, fault_.error, fault_.sticky);
        for (int part = 0; part < 3 && what_.empty(); part++) {
            if (Open(false))
                Part(part);
            LookNow();
            Close();
            segments_ = SegmentFiles();
            segments_ = SegmentFiles();
        }
        for (const Fault &call : kCalls)
            counts_[call.call] = disk_.Count(call.call);
        disk_.FailNth(fault_.call, 0, 0);
        EndAndLook();
        return what_;
    }
    uint64_t Count(DiskCall call) const
    {
        return counts_.at(call);
    }
    uint64_t failures() const
    {
        return disk_.failures();
    }
    uint64_t segments_ = 0, merges_ = 0;

  private:
    void Expect(bool holds, const std::string &what)
    {
        if (!holds && what_.empty())
            what_ = what;
    }

    bool Open(bool must)
    {
        struct sl_engine_options options = {};
        options.shards = 1;
        options.data_directory = "/disk/data";
        options.vfs = disk_.VfsOfThisLife();
        options.wal_file_bytes = 64 << 10;
        options.wal_budget_bytes = 8 << 10;
        options.free_bytes_min = 1;
        enum sl_err err = sl_engine_open(&options, &engine_);
        if (err == SL_OK) {
            session_ = std::make_unique<Session>(engine_);
            return true;
        }
        Expect(!must && disk_.failures() > 0, std::string("not opened: ") + sl_err_code(err));
        Expect(err == SL_ERR_STORAGE_FAILED || err == SL_ERR_DISK_FULL,
               std::string("a failing disk is taken for ") + sl_err_code(err));
        return false;
    }
    void Close()
    {
        if (session_ == nullptr)
            return;
        session_.reset();
        sl_engine_close(&engine_);
    }

    /* True: done for sure; the others are booked by the caller. */
    bool Judge(enum sl_err err, const char *what)
    {
        if (err == SL_OK)
            return true;
        bool allowed =
            err == SL_ERR_STORAGE_FAILED || err == SL_ERR_DISK_FULL || err == SL_ERR_OVERLOADED;
        Expect(allowed && disk_.failures() > 0,
               std::string(what) + " was answered " + sl_err_code(err));
        return false;
    }
    static bool IsUnknown(enum sl_err err)
    {
        return err == SL_ERR_STORAGE_FAILED;
    }

    void Forget(const std::string &name)
    {
        given_[name] = Given();
        sequence_[name] = 0;
    }
    void Create(const std::string &name, const CreateRequest &request)
    {
        Given &given = given_[name];
        Reply reply = session_->Create(name, request);
        enum sl_err err = reply.err;
        if (err == SL_OK && reply.created && given.may_exist)
            Forget(name); /* one whose fate was not known is not there, or not any more */
        if (err == SL_ERR_FORK_SOURCE_NOT_FOUND && !given_[request.source].must_exist)
            return;
        if (Judge(err, "a create"))
            given.must_exist = given.may_exist = true;
        else if (IsUnknown(err))
            given.may_exist = true;
        if (err == SL_OK)
            given.may_be_gone = false;
        bool added = reply.created || IsUnknown(err);
        if (added && !request.data.empty())
            given.pieces.push_back({ request.data, err == SL_OK });
    }
    void Append(const std::string &name, size_t size)
    {
        Given &given = given_[name];
        std::string bytes = "<" + std::to_string(++number_) + std::string(size, '.') + ">";
        AppendRequest request = Body(bytes);
        request.Producer("p", 0, sequence_[name]);
        Reply reply = session_->Append(name, request);
        enum sl_err err = reply.err;
        if (err == SL_ERR_NOT_FOUND && (!given.must_exist || given.may_be_gone))
            return;
        if (err == SL_ERR_SEQUENCE_GAP && given.pieces.empty())
            return;
        if (Judge(err, "an append"))
            sequence_[name]++;
        if (reply.duplicate) { /* one whose fate was not known is there, and this one is not */
            Expect(err == SL_OK && given.HasUnknown(), "a duplicate of nothing");
            return;
        }
        if (err == SL_OK || IsUnknown(err))
            given.pieces.push_back({ bytes, err == SL_OK });
    }
    void Delete(const std::string &name)
    {
        Given &given = given_[name];
        enum sl_err err = session_->Delete(name);
        if (err == SL_ERR_NOT_FOUND && !given.must_exist)
            return;
        if (Judge(err, "a delete"))
            Forget(name);
        else if (IsUnknown(err))
            given.may_be_gone = true;
    }

    void Part(int part)
    {
        if (part > 0)
            WaitForMerge();
        for (const char *name : { "a", "b", "old" })
            if (part == 0 || std::string(name) == "old")
                Create(name, Plain().Data(std::string("first of ") + name));
        for (int i = 0; i < 12; i++) {
            Append("a", 200);
            Append("b", i % 4 == 0 ? 3000 : 10);
            if (i % 4 < 2 && part < 2)
                Append("old", 9000);
            if (i % 4 == 3)
                WaitForFlush();
        }
        if (part == 0)
            MakeFork();
        Append("fork", 300);
        Delete("old"); /* more than half of some segments is dead then */
        Create("new" + std::to_string(part), Plain().Data("new"));
        if (part == 1) /* what a flush left behind */
            (void)session_->Read("b", FromStart());
    }
    /* Segments of the parts before are merged as soon as a shard runs. */
    void WaitForMerge()
    {
        for (int i = 0; i < 20; i++, Sleep_ms(1)) {
            uint64_t count = SegmentFiles();
            if (count < segments_) {
                merges_++;
                return;
            }
        }
    }
    uint64_t SegmentFiles() const
    {
        uint64_t count = 0;
        for (const std::string &file : disk_.Files())
            count += file.find("/shard-00/seg-") != std::string::npos;
        return count;
    }
    void MakeFork()
    {
        Given source = given_["a"];
        Create("fork", ForkOf("a"));
        given_["fork"].pieces = source.pieces;
    }
    /* A flush, and at the start of a part a compaction, have their time; they may fail. */
    void WaitForFlush()
    {
        struct sl_engine_status status;
        sl_engine_status(engine_, &status);
        uint64_t before = status.shard[0].segments;
        for (int i = 0; i < 5 && !status.shard[0].failed; i++) {
            Sleep_ms(1);
            sl_engine_status(engine_, &status);
            if (status.shard[0].segments != before)
                break;
        }
    }

    ReadReply ReadWhole(const std::string &name)
    {
        std::string content;
        ReadReply reply = session_->Read(name, FromStart());
        while (reply.err == SL_OK && !reply.data.empty() && reply.next < reply.stream.tail) {
            content += reply.data;
            uint64_t limit = reply.next < reply.page_end ? reply.page_end : 0;
            reply = session_->Read(name, From(reply.next).Limit(limit));
        }
        reply.data = content + reply.data;
        return reply;
    }

    /* `must`: it can be read, unless a call fails just now. */
    void LookAt(const std::string &name, const Given &given, bool must)
    {
        uint64_t failures = disk_.failures();
        ReadReply reply = ReadWhole(name);
        if (must && reply.err != SL_OK && disk_.failures() > failures)
            reply = ReadWhole(name); /* that was all that was wrong */
        std::string code = sl_err_code(reply.err);
        if (reply.err == SL_ERR_NOT_FOUND) {
            Expect(!given.must_exist || given.may_be_gone, name + " is gone");
            return;
        }
        if (reply.err != SL_OK) {
            Expect(!must, name + " is answered " + code);
            Expect(reply.err == SL_ERR_STORAGE_FAILED || reply.err == SL_ERR_DATA_DAMAGED,
                   name + " is answered " + code);
            return;
        }
        Expect(given.may_exist, name + " is there");
        Expect(given.Explains(reply.data), name + " holds other bytes");
    }

    /* What was answered OK can be read, as long as nothing but that call has failed. */
    void LookNow()
    {
        if (session_ == nullptr)
            return;
        struct sl_engine_status status;
        sl_engine_status(engine_, &status);
        for (const auto &[name, given] : given_)
            LookAt(name, given, !status.failed && !fault_.sticky);
    }

    void EndAndLook()
    {
        if (fault_.nth % 3 == 0)
            disk_.PowerCut();
        else
            disk_.Crash();
        if (fault_.nth % 3 == 1)
            disk_.DropCaches();
        if (!Open(true))
            return;
        for (const auto &[name, given] : given_)
            LookAt(name, given, true);
        Close();
    }

    SimDisk disk_;
    Fault fault_;
    struct sl_engine *engine_ = nullptr;
    std::unique_ptr<Session> session_;
    std::map<std::string, Given> given_;
    std::map<std::string, uint64_t> sequence_;
    std::map<DiskCall, uint64_t> counts_;
    uint64_t number_ = 0;
    std::string what_;
};

bool RunCase(const Fault &fault, uint64_t *failed_calls)
{
    snprintf(current_case, sizeof(current_case), "%s %llu %d %d", fault.name,
             static_cast<unsigned long long>(fault.nth), fault.error, fault.sticky);
    alarm(60);
    Story story(fault);
    std::string what = story.Run();
    alarm(0);
    *failed_calls += story.failures();
    EXPECT_EQ(what, "") << "SLUICE_FAULT_CASE=\"" << current_case << "\"";
    return what.empty();
}

class FaultTest : public testing::Test
{
  protected:
    void SetUp() override
    {
        if (getenv("SLUICE_FAULT_LOG") == nullptr)
            sl_log_set_level(static_cast<enum sl_log_level>(SL_LOG_ERROR + 1));
        signal(SIGALRM, OnAlarm);
    }
};

} // namespace

TEST_F(FaultTest, OneCase)
{
    const char *given = getenv("SLUICE_FAULT_CASE");
    const char *text = given == nullptr ? "write 17 5 1" : given;
    char name[32];
    unsigned long long nth = 0;
    int error = 0, sticky = 0;
    ASSERT_EQ(sscanf(text, "%31s %llu %d %d", name, &nth, &error, &sticky), 4) << text;
    uint64_t failed_calls = 0;
    for (Fault fault : kCalls) {
        if (strcmp(fault.name, name) != 0)
            continue;
        fault.nth = nth;
        fault.error = error;
        fault.sticky = sticky != 0;
        EXPECT_TRUE(RunCase(fault, &failed_calls));
    }
}

TEST_F(FaultTest, NoFailingCallLosesWhatWasAnswered)
{
    const char *text = getenv("SLUICE_FAULT_STRIDE");
    uint64_t stride = text == nullptr ? 0 : strtoull(text, nullptr, 10);
    Story whole(Fault{});
    ASSERT_EQ(whole.Run(), "");
    printf("segments=%llu merges=%llu", static_cast<unsigned long long>(whole.segments_),
           static_cast<unsigned long long>(whole.merges_));
    uint64_t cases = 0, broken = 0, failed_calls = 0;
    for (Fault fault : kCalls) {
        uint64_t count = whole.Count(fault.call);
        printf(" %s=%llu", fault.name, static_cast<unsigned long long>(count));
        fflush(stdout);
        /* By default about so many of each kind and way, another place each time. */
        constexpr uint64_t kOfEach = 3;
        uint64_t step = stride != 0 ? stride : count / kOfEach + 1;
        for (int error : { EIO, ENOSPC, kShortWrite })
            for (bool sticky : { false, true })
                for (uint64_t nth = 1 + cases % step; nth <= count && broken < 10; nth += step) {
                    if (error == kShortWrite && fault.call != DiskCall::kWrite)
                        continue;
                    fault.nth = nth;
                    fault.error = error;
                    fault.sticky = sticky;
                    broken += !RunCase(fault, &failed_calls);
                    cases++;
                }
    }
    printf("\ncases=%llu failed_calls=%llu\n", static_cast<unsigned long long>(cases),
           static_cast<unsigned long long>(failed_calls));
    EXPECT_GT(failed_calls, cases / 2) << "most cases must really meet their failure";
}
