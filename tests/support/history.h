/*
 * tests/support/history.h - random histories of an engine whose power fails
 *
 * What     History runs one: several lives of an engine on one SimDisk. In each life requests of
 *          all kinds are under way when the power fails, the process is killed, or it is closed;
 *          then everything is read back and compared with what was answered and shown.
 * Why      The promise I1 to I6, checked on the whole engine. The seed decides what is asked and
 *          what the disk does; the order of the engine's threads it does not decide.
 * Thread   One; the engine has its own.
 */
#ifndef SL_TESTS_HISTORY_H
#define SL_TESTS_HISTORY_H

#include "support/history_model.h"

#include <list>
#include <random>
#include <sstream>
#include <stdexcept>

namespace sluice_test
{

/* What happened in many histories: a proof that they bite. */
struct HistoryTotals {
    uint64_t lives = 0, cuts = 0, crashes = 0, clean = 0, cut_recoveries = 0;
    uint64_t answered = 0, unknown = 0, kept = 0, reads = 0, forks = 0, refused = 0;
    uint64_t torn = 0, segments = 0, probes = 0;
};

class History
{
  public:
    History(uint64_t seed, HistoryTotals *totals)
        : seed_(seed), random_(seed), disk_(seed ^ UINT64_C(0x5a5a)), totals_(totals)
    {
    }
    ~History()
    {
        End();
    }
    /* Empty: every rule was kept; else what was wrong. */
    std::string Run()
    {
        try {
            RunLives();
        } catch (const std::runtime_error &broken) {
            return broken.what();
        }
        return "";
    }

  private:
    enum class Held { kNo, kMaybe, kYes };

    /* An operation under way. */
    struct Flying {
        enum sl_operation_kind kind;
        std::string name;
        HistoryChangeRef change; /* null: it reads */
        ReadRequest read;
        std::vector<struct sl_bytes> parts;
        struct sl_operation *op = nullptr;
        size_t session = 0;
        uint64_t since = 0; /* when it was submitted */
        bool looks = false; /* asks what is there after a restart: nobody judges it but the asker */
        bool done = false;
    };

    /* ---- chance ---- */

    uint64_t Any(uint64_t below)
    {
        return random_() % below;
    }
    bool OneIn(uint64_t n)
    {
        return Any(n) == 0;
    }
    void Check(bool holds, const std::string &what, const std::string &name = "")
    {
        if (holds)
            return;
        std::ostringstream text;
        text << what << (name.empty() ? "" : ": stream ") << name << " (life " << lives_ << ")";
        for (const std::string &line : story_)
            text << "\n  " << line;
        throw std::runtime_error(text.str());
    }
    /* What led to a failure. */
    void Tell(const std::string &line)
    {
        constexpr size_t kStoryLines = 60;
        story_.push_back(line);
        if (story_.size() > kStoryLines)
            story_.pop_front();
    }
    static std::string CodeOf(enum sl_err err)
    {
        return sl_err_code(err);
    }
    /* The power has failed or the process was killed since the engine was opened. */
    bool Dead() const
    {
        return disk_.life() != life_;
    }
    HistorySlot &Slot(const std::string &name)
    {
        return slots_[name];
    }

    /* ---- lives ---- */

    void RunLives()
    {
        disk_.MakeDirectory("/disk");
        static const DirectIo modes[] = { DirectIo::kWorks, DirectIo::kRefusedAtOpen,
                                          DirectIo::kRefusedAtWrite };
        if (OneIn(10))
            disk_.SetDirectIo(modes[1 + Any(2)]);
        options_.shards = static_cast<unsigned>(1 + Any(3));
        options_.data_directory = "/disk/data";
        static const uint64_t file_sizes[] = { 64 << 10, 128 << 10, 128 << 10, 256 << 10 };
        options_.wal_file_bytes = file_sizes[Any(4)];
        options_.memory_budget_bytes = OneIn(3) ? 8 << 20 : 64 << 20;
        options_.free_bytes_min = 1;
        names_ = 3 + Any(5);
        long_ = OneIn(6);
        uint64_t lives = 2 + Any(3);
        for (uint64_t i = 0; i < lives; i++) {
            options_.wal_budget_bytes = (OneIn(3) ? 4 << 10 : 48 << 10) * options_.shards;
            Live(i + 1 == lives);
        }
    }

    void Live(bool last)
    {
        lives_++;
        totals_->lives++;
        bool cut_recovery = !last && OneIn(4);
        if (cut_recovery)
            EndNth(1 + Any(70));
        if (!Open()) {
            totals_->cut_recoveries++;
            return;
        }
        LookAtEverything();
        if (last) {
            End();
            return;
        }
        unsigned ending = static_cast<unsigned>(Any(20));
        if (!Dead() && ending < 9)
            EndNth(1 + Any(long_ ? 500 : OneIn(2) ? 12 : 60));
        Work(long_ ? 100 + Any(200) : 3 + Any(OneIn(3) ? 60 : 20));
        if (ending < 14)
            EndAtOnce(ending);
        else if (!Dead())
            disk_.PowerCutNth(DiskCall::kAny, 0);
        EndLife();
    }

    /* The power fails, or the process is killed, at a call. */
    void EndNth(uint64_t n)
    {
        static const DiskCall calls[] = { DiskCall::kAny,    DiskCall::kAny,
                                          DiskCall::kWrite,  DiskCall::kSync,
                                          DiskCall::kRename, DiskCall::kSyncDirectory };
        DiskCall call = calls[Any(6)];
        if (call != DiskCall::kAny)
            n = 1 + n / 4;
        if (OneIn(4))
            disk_.CrashNth(call, n);
        else
            disk_.PowerCutNth(call, n);
    }

    /* The power fails while requests are under way, perhaps while a write is. */
    void EndAtOnce(unsigned ending)
    {
        bool held = ending >= 11 && !Dead();
        if (held) {
            disk_.Hold(true);
            HistoryChangeRef change = std::make_shared<HistoryChange>();
            change->kind = SL_OPERATION_CREATE;
            change->name = "held" + std::to_string(lives_);
            SubmitChange(change);
        }
        for (uint64_t i = Any(6); i > 0 && !Dead(); i--)
            SubmitAny();
        FlushAll();
        if (held)
            Check(disk_.WaitForHeld(1) || Dead(), "a write that must come did not come");
        for (uint64_t i = held ? Any(4) : 0; i > 0; i--)
            SubmitAny();
        FlushAll();
        if (OneIn(4))
            disk_.Crash();
        else
            disk_.PowerCut();
        disk_.Hold(false);
    }

    bool Open()
    {
        life_ = disk_.life();
        options_.vfs = disk_.VfsOfThisLife();
        enum sl_err err = sl_engine_open(&options_, &engine_);
        Tell("open: " + CodeOf(err));
        if (err != SL_OK) {
            Check(Dead(), "the engine was not opened: " + CodeOf(err));
            Check(err == SL_ERR_STORAGE_FAILED, "power was cut while opening: " + CodeOf(err));
            Check(engine_ == nullptr, "a failed open left an engine");
            return false;
        }
        sessions_.resize(1 + Any(3));
        for (struct sl_session *&session : sessions_)
            Check(sl_session_open(engine_, &session) == SL_OK, "no session");
        struct sl_engine_status status;
        sl_engine_status(engine_, &status);
        for (unsigned i = 0; i < status.shards; i++) {
            totals_->torn += status.shard[i].torn_bytes > 0;
        }
        return true;
    }

    /* Everything comes back, then the engine is closed; also on a dead disk. */
    void EndLife()
    {
        Tell("end of life, dead " + std::to_string(Dead()));
        for (const auto &flying : flying_)
            if (flying->kind == SL_OPERATION_READ && flying->read.wait)
                sl_session_cancel(sessions_[flying->session], flying->op);
        Settle();
        bool dead = Dead();
        End();
        totals_->clean += !dead;
        totals_->cuts += dead;
        for (auto &[name, slot] : slots_)
            Check(slot.pending.empty(), "not answered", name);
        if (!dead && OneIn(2))
            disk_.PowerCut(); /* what was closed is durable */
    }

    void End()
    {
        if (engine_ != nullptr) {
            struct sl_engine_status status;
            sl_engine_status(engine_, &status);
            for (unsigned i = 0; i < status.shards; i++)
                totals_->segments += status.shard[i].segments;
        }
        flying_.clear();
        for (struct sl_session *&session : sessions_)
            if (session != nullptr)
                sl_session_close(&session);
        sessions_.clear();
        if (engine_ != nullptr)
            sl_engine_close(&engine_);
    }

    /* ---- submitting and waiting ---- */

    void Submit(std::unique_ptr<Flying> flying)
    {
        struct sl_session *session = sessions_[flying->session];
        struct sl_operation *op = flying->op = sl_session_take(session, flying->kind);
        struct sl_bytes name = BytesOf(flying->name);
        if (flying->kind == SL_OPERATION_CREATE)
            Session::Fill(op, name, flying->change->create);
        else if (flying->kind == SL_OPERATION_APPEND)
            Session::Fill(op, name, flying->change->append, &flying->parts);
        else if (flying->kind == SL_OPERATION_READ)
            Session::Fill(op, name, flying->read);
        else if (flying->kind == SL_OPERATION_HEAD)
            op->u.head.name = name;
        else
            op->u.remove.name = name;
        op->context = flying.get();
        flying->since = ++clock_;
        flying_.push_back(std::move(flying));
        sl_session_submit(session, op);
    }

    /* Changes of one name always go through the same session: they stay in order. */
    void SubmitChange(const HistoryChangeRef &change)
    {
        auto flying = std::make_unique<Flying>();
        flying->kind = change->kind;
        flying->name = change->name;
        flying->change = change;
        flying->session = std::hash<std::string>()(change->name) % sessions_.size();
        Slot(change->name).pending.push_back(change);
        Tell("ask " + What(*change));
        Submit(std::move(flying));
    }

    Flying *SubmitRead(const std::string &name, const ReadRequest &read, bool looks)
    {
        auto flying = std::make_unique<Flying>();
        flying->kind = SL_OPERATION_READ;
        flying->name = name;
        flying->read = read;
        flying->session = Any(sessions_.size());
        flying->looks = looks;
        Flying *raw = flying.get();
        Submit(std::move(flying));
        return raw;
    }

    Flying *SubmitHead(const std::string &name, bool looks)
    {
        auto flying = std::make_unique<Flying>();
        flying->kind = SL_OPERATION_HEAD;
        flying->name = name;
        flying->session = Any(sessions_.size());
        flying->looks = looks;
        Flying *raw = flying.get();
        Submit(std::move(flying));
        return raw;
    }

    static std::string What(const HistoryChange &change)
    {
        static const char *const kinds[] = { "create", "append", "read", "head", "delete" };
        std::string text = std::string(kinds[change.kind]) + " " + change.name + " +" +
                           std::to_string(StoredSize(change, false));
        if (change.create.fork)
            text += " fork of " + change.create.source;
        return text;
    }

    void FlushAll()
    {
        for (struct sl_session *session : sessions_)
            sl_session_flush(session);
    }

    bool PollAll()
    {
        bool any = false;
        for (struct sl_session *session : sessions_)
            while (struct sl_operation *op = sl_session_poll(session)) {
                any = true;
                OnAnswer(static_cast<Flying *>(op->context));
            }
        return any;
    }

    /* Blocks until something was answered, a little while at most. */
    void Pump()
    {
        if (PollAll())
            return;
        std::vector<struct pollfd> fds;
        bool idle = true;
        for (struct sl_session *session : sessions_) {
            idle = sl_session_sleep(session) && idle;
            fds.push_back({ sl_session_fd(session), POLLIN, 0 });
        }
        if (idle)
            (void)::poll(fds.data(), fds.size(), 100);
        for (struct sl_session *session : sessions_)
            sl_session_wake(session);
        PollAll();
    }

    template <typename Condition> void PumpUntil(const Condition &condition)
    {
        constexpr int64_t kHang_ms = 30000;
        for (int64_t end_ms = Steady_ms() + kHang_ms; !condition(); Pump())
            if (Steady_ms() > end_ms) {
                std::string what = "hangs:";
                for (const auto &flying : flying_)
                    what += " " + std::to_string(flying->kind) + ":" + flying->name +
                            (flying->read.wait ? " waits" : "") + (flying->looks ? " looks" : "");
                fprintf(stderr, "%s SLUICE_POWER_SEED=%llu\n", what.c_str(),
                        static_cast<unsigned long long>(seed_));
                abort(); /* with everything as it is: a session cannot be closed now */
            }
    }
    void Settle()
    {
        PumpUntil([this] { return flying_.empty(); });
    }

    void OnAnswer(Flying *flying)
    {
        flying->done = true;
        if (flying->looks)
            return;
        std::unique_ptr<Flying> held = Take(flying);
        struct sl_operation *op = held->op;
        /* Put back whatever is found wrong. */
        struct Put {
            struct sl_session *session;
            struct sl_operation *op;
            ~Put()
            {
                sl_session_put(session, &op);
            }
        } put = { sessions_[held->session], op };
        totals_->answered++;
        if (held->change != nullptr)
            OnChange(*held);
        else
            OnLook(*held);
    }
    std::unique_ptr<Flying> Take(const Flying *flying)
    {
        for (auto at = flying_.begin(); at != flying_.end(); ++at)
            if (at->get() == flying) {
                std::unique_ptr<Flying> taken = std::move(*at);
                flying_.erase(at);
                return taken;
            }
        abort();
    }

    /* ---- answers to changes ---- */

    static bool IsRefusal(enum sl_err err)
    {
        return err == SL_ERR_OVERLOADED || err == SL_ERR_DISK_FULL ||
               err == SL_ERR_MEMORY_LIMIT_EXCEEDED;
    }

    void OnChange(const Flying &flying)
    {
        HistorySlot &slot = Slot(flying.name);
        const HistoryChangeRef &change = flying.change;
        enum sl_err err = flying.op->err;
        auto at = std::find(slot.pending.begin(), slot.pending.end(), change);
        bool overtakes = at != slot.pending.begin();
        for (auto before = slot.pending.begin(); before != at; ++before)
            (*before)->had_no_effect = true;
        slot.pending.erase(at);
        Tell("answer " + CodeOf(err) + " to " + What(*change));
        if (err == SL_ERR_STORAGE_FAILED) {
            Check(Dead(), "the log failed on a good disk", flying.name);
            if (!change->had_no_effect)
                slot.unknown.push_back(change);
            totals_->unknown++;
            return;
        }
        if (IsRefusal(err)) {
            Check(!change->must_be_there, "refused, but it was there: " + CodeOf(err), flying.name);
            refused_ = true;
            totals_->refused++;
            return;
        }
        Check(slot.unknown.empty(), "answered after a change that nobody knows of", flying.name);
        if (slot.stream != nullptr && slot.stream->deleted && StaysGone(&slot, *change, err))
            return;
        HistoryReply expected =
            change->create.fork ? ExpectFork(&slot, flying) : HistoryApply(&slot.stream, *change);
        Compare(flying, expected);
        Check(!HasEffect(*change, expected) || (!overtakes && !change->had_no_effect),
              "changes of one stream are answered out of order", flying.name);
        AfterChange(&slot, flying, expected);
    }

    /* A change of a deleted stream; true: its forks still hold it, and the answer says so. */
    bool StaysGone(HistorySlot *slot, const HistoryChange &change, enum sl_err err)
    {
        Held held = HeldByForks(*slot->stream);
        if (err == (change.kind == SL_OPERATION_CREATE ? SL_ERR_PATH_BLOCKED : SL_ERR_GONE)) {
            Check(held != Held::kNo, "still gone though no fork is left", change.name);
            return true;
        }
        Check(held != Held::kYes, "a source vanished under its forks", change.name);
        Vanish(slot);
        return false;
    }

    static bool HasEffect(const HistoryChange &change, const HistoryReply &reply)
    {
        if (change.kind == SL_OPERATION_CREATE)
            return reply.created;
        return reply.err == SL_OK && !reply.duplicate &&
               (change.kind == SL_OPERATION_DELETE || !change.pieces.empty());
    }

    void Vanish(HistorySlot *slot)
    {
        slot->stream = nullptr;
        slot->last_absent = ++clock_;
    }

    static uint64_t StoredSize(const HistoryChange &change, bool json)
    {
        uint64_t size = 0;
        for (const std::string &piece : change.pieces)
            size += piece.size() + (json ? 1 : 0);
        return size;
    }

    HistoryReply ExpectFork(HistorySlot *slot, const Flying &flying)
    {
        const HistoryChange &change = *flying.change;
        HistoryReply expected;
        enum sl_err err = flying.op->err;
        expected.err = SL_ERR_FORK_SOURCE_NOT_FOUND;
        if (change.source == nullptr)
            return expected;
        HistoryStream &source = *change.source;
        if (source.deleted) {
            Held held = HeldByForks(source);
            bool is_gone =
                held == Held::kYes || (held == Held::kMaybe && err == SL_ERR_FORK_SOURCE_GONE);
            if (is_gone)
                expected.err = SL_ERR_FORK_SOURCE_GONE;
            return expected;
        }
        expected.err = SL_ERR_INVALID_FORK_OFFSET;
        if (change.create.has_offset && !change.point)
            return expected;
        /* At the tail of its moment: after some of the appends that are under way. */
        HistoryStream then = source;
        for (const HistoryChangeRef &append : Slot(source.name).pending)
            (void)HistoryAppend(&then, *append);
        uint64_t point = change.point ? *change.point : 0;
        if (err == SL_OK && !change.point)
            point = flying.op->stream.tail - StoredSize(change, source.json);
        Check(err != SL_OK || change.point || (then.appends.count(point) != 0),
              "a fork begins inside an append", change.name);
        totals_->forks++;
        return HistoryApply(&slot->stream, change, point, &then);
    }

    void Compare(const Flying &flying, const HistoryReply &expected)
    {
        const struct sl_operation *op = flying.op;
        const std::string &name = flying.name;
        std::string asked;
        if (flying.change->append.has_producer)
            asked = " for producer " + flying.change->append.producer_id + " " +
                    std::to_string(flying.change->append.epoch) + "/" +
                    std::to_string(flying.change->append.sequence);
        Check(op->err == expected.err,
              "answered " + CodeOf(op->err) + ", expected " + CodeOf(expected.err) + asked, name);
        if (op->kind == SL_OPERATION_CREATE && op->err == SL_OK)
            Check(op->u.create.created == expected.created, "created or not", name);
        if (op->kind != SL_OPERATION_APPEND)
            return;
        const struct sl_append &append = op->u.append;
        Check(append.duplicate == expected.duplicate,
              (append.duplicate ? "a duplicate" : "no duplicate") + asked, name);
        if (op->err == SL_ERR_SEQUENCE_GAP)
            Check(append.expected_sequence == expected.expected_sequence, "wrong sequence", name);
        if (op->err == SL_ERR_EPOCH_FENCED || append.duplicate)
            Check(append.producer_epoch == expected.producer_epoch, "wrong epoch", name);
        if (append.duplicate)
            Check(append.producer_sequence == expected.producer_sequence, "wrong highest", name);
    }

    void AfterChange(HistorySlot *slot, const Flying &flying, const HistoryReply &expected)
    {
        const struct sl_operation *op = flying.op;
        if (expected.created)
            slot->last_absent = ++clock_; /* until now */
        if (expected.created && flying.change->source != nullptr)
            flying.change->source->forks.push_back(slot->stream);
        if (op->kind == SL_OPERATION_DELETE) {
            slot->last_absent = ++clock_;
            if (op->err == SL_OK && HeldByForks(*slot->stream) == Held::kNo)
                Vanish(slot);
            return;
        }
        if (op->err != SL_OK || slot->stream == nullptr)
            return;
        HistoryStream &stream = *slot->stream;
        SetId(slot->stream, op->stream.id);
        Check(op->stream.tail == stream.bytes.size(), "wrong tail", stream.name);
        Check(op->stream.closed == stream.closed, "wrong closed flag", stream.name);
        CheckSeen(&stream, false);
    }

    /* ---- incarnations ---- */

    void SetId(const HistoryStreamRef &stream, uint64_t id)
    {
        Check(id != 0, "no id", stream->name);
        Check(stream->id == 0 || stream->id == id, "another incarnation", stream->name);
        HistoryStreamRef &known = by_id_[id];
        if (known == stream)
            return;
        if (known != nullptr) { /* readers were faster than the answer of the creator */
            Check(known->name == stream->name && early_.erase(id) != 0, "an id is used twice",
                  stream->name);
            stream->seen = std::move(known->seen);
            stream->seen_tail = known->seen_tail;
            stream->seen_closed = known->seen_closed;
        }
        stream->id = id;
        known = stream;
    }

    /* Bytes that were shown against bytes that are known. `all`: nothing more can come. */
    void CheckSeen(HistoryStream *stream, bool all)
    {
        std::vector<HistorySeen> left;
        for (HistorySeen &seen : stream->seen) {
            if (seen.at + seen.bytes.size() <= stream->bytes.size())
                Check(stream->bytes.compare(seen.at, seen.bytes.size(), seen.bytes) == 0,
                      "a reader saw other bytes", stream->name);
            else
                left.push_back(std::move(seen));
        }
        stream->seen = std::move(left);
        if (!all)
            return;
        Check(stream->seen.empty() && stream->seen_tail <= stream->bytes.size(),
              "a reader saw bytes that are gone", stream->name);
        Check(!stream->seen_closed || stream->closed, "a reader saw it closed", stream->name);
    }

    bool MayEnd(const HistorySlot &slot)
    {
        for (const auto *changes : { &slot.unknown })
            for (const HistoryChangeRef &change : *changes)
                if (change->kind == SL_OPERATION_DELETE)
                    return true;
        for (const HistoryChangeRef &change : slot.pending)
            if (change->kind == SL_OPERATION_DELETE)
                return true;
        return false;
    }

    /* Is there a fork that keeps this deleted stream? */
    Held HeldByForks(const HistoryStream &stream)
    {
        Held held = stream.maybe_pinned ? Held::kMaybe : Held::kNo;
        for (const auto &weak : stream.forks) {
            HistoryStreamRef fork = weak.lock();
            if (fork == nullptr)
                continue;
            HistorySlot &slot = Slot(fork->name);
            Held one = Held::kMaybe; /* a fork is gone, and its reference is on the way back */
            if (slot.stream == fork && !MayEnd(slot))
                one = fork->deleted && HeldByForks(*fork) != Held::kYes ? Held::kMaybe : Held::kYes;
            else if (slot.stream != fork && settled_.count(fork.get()) != 0)
                one = Held::kNo;
            held = std::max(held, one);
        }
        return held;
    }

    /* ---- answers to readers ---- */

    void OnLook(const Flying &flying)
    {
        enum sl_err err = flying.op->err;
        totals_->reads++;
        if (err == SL_ERR_OVERLOADED || (err == SL_ERR_CANCELLED && flying.read.wait))
            return;
        if (err == SL_ERR_INVALID_OFFSET) /* of an older incarnation */
            return;
        if (err == SL_ERR_STORAGE_FAILED || err == SL_ERR_DATA_DAMAGED) {
            Check(Dead(), "a read on a good disk: " + CodeOf(err), flying.name);
            return;
        }
        if (err == SL_ERR_NOT_FOUND || err == SL_ERR_GONE) {
            SawNothing(flying, err);
            return;
        }
        Check(err == SL_OK, "a read was answered " + CodeOf(err), flying.name);
        Saw(flying);
    }

    void Saw(const Flying &flying)
    {
        const struct sl_stream_view &view = flying.op->stream;
        HistoryStreamRef &known = by_id_[view.id];
        if (known == nullptr) { /* its creator has no answer yet */
            known = std::make_shared<HistoryStream>();
            known->name = flying.name;
            known->id = view.id;
            early_[view.id] = known;
        }
        Check(known->name == flying.name, "a stream under another's name", flying.name);
        HistoryStream &stream = *known;
        stream.seen_tail = std::max(stream.seen_tail, view.tail);
        stream.seen_closed |= view.closed;
        if (stream.closed)
            Check(view.tail <= stream.bytes.size(), "a closed stream grew", flying.name);
        if (flying.kind == SL_OPERATION_READ) {
            ReadReply reply = Session::Collect(flying.op);
            if (!reply.data.empty())
                stream.seen.push_back({ reply.start, std::move(reply.data) });
        }
        CheckSeen(&stream, false);
    }

    /* NOT_FOUND or GONE: true now, or at some time since it was asked. */
    void SawNothing(const Flying &flying, enum sl_err err)
    {
        HistorySlot &slot = Slot(flying.name);
        bool is_absent = slot.stream == nullptr || slot.stream->deleted;
        if (is_absent || slot.last_absent >= flying.since) {
            if (slot.stream == nullptr || !slot.stream->deleted || slot.last_absent >= flying.since)
                return;
            Held held = HeldByForks(*slot.stream);
            Check(held != (err == SL_ERR_GONE ? Held::kNo : Held::kYes),
                  "deleted, and answered " + CodeOf(err), flying.name);
            if (err == SL_ERR_NOT_FOUND && slot.pending.empty())
                Vanish(&slot);
            return;
        }
        std::vector<HistoryChangeRef> changes = slot.unknown;
        changes.insert(changes.end(), slot.pending.begin(), slot.pending.end());
        for (const HistoryChangeRef &change : changes)
            if (change->kind == SL_OPERATION_DELETE) {
                change->must_be_there = true;
                return;
            }
        Check(false, "a stream that nobody deleted is answered " + CodeOf(err), flying.name);
    }

    /* ---- after a restart ---- */

    /* What is there under a name. */
    struct Found {
        enum sl_err err = SL_OK;
        struct sl_stream_view view = {};
        std::string bytes;
        bool complete = false; /* false: the power failed while it was read */
    };

    ReadReply Finish(Flying *flying)
    {
        PumpUntil([flying] { return flying->done; });
        ReadReply reply;
        if (flying->kind == SL_OPERATION_READ) {
            reply = Session::Collect(flying->op);
        } else {
            reply.err = flying->op->err;
            reply.stream = flying->op->stream;
        }
        std::unique_ptr<Flying> taken = Take(flying);
        sl_session_put(sessions_[taken->session], &taken->op);
        return reply;
    }

    Found Read(const std::string &name, Flying *first)
    {
        Found found;
        ReadReply reply = Finish(first);
        found.err = reply.err;
        found.view = reply.stream;
        while (reply.err == SL_OK && reply.next < reply.stream.tail) {
            Check(!reply.data.empty(), "a read makes no progress", name);
            found.bytes += reply.data;
            uint64_t limit = reply.next < reply.page_end ? reply.page_end : 0;
            uint64_t next = reply.next;
            reply = Finish(SubmitRead(name, From(next).Limit(limit), true));
            if (reply.err == SL_OK)
                Check(reply.start == next, "a read begins elsewhere", name);
        }
        found.bytes += reply.data;
        found.complete = reply.err != SL_ERR_OVERLOADED;
        if (reply.err == SL_ERR_STORAGE_FAILED || reply.err == SL_ERR_DATA_DAMAGED) {
            Check(Dead(), "a read on a good disk: " + CodeOf(reply.err), name);
            found.complete = false;
        }
        return found;
    }

    bool HasUnknownFork(const HistorySlot &slot)
    {
        return std::any_of(slot.unknown.begin(), slot.unknown.end(),
                           [](const HistoryChangeRef &change) { return change->create.fork; });
    }

    void LookAtEverything()
    {
        std::vector<std::pair<std::string, Flying *>> reads[2];
        settled_.clear();
        for (const auto &[name, slot] : slots_) {
            ReadRequest request = FromStart();
            if (OneIn(4))
                request.Page(1 + static_cast<uint32_t>(Any(20000))).Piece(1 + Any(20000));
            /* A fork is judged when it is known what its source has. */
            reads[HasUnknownFork(slot)].emplace_back(name, SubmitRead(name, request, true));
        }
        bool complete = true;
        for (const auto &part : reads)
            for (const auto &[name, flying] : part) {
                Found found = Read(name, flying);
                complete = complete && found.complete;
                if (found.complete)
                    Resolve(name, found);
            }
        if (!complete || Dead())
            return;
        for (const auto &[id, stream] : early_)
            Check(early_ended_.count(id) != 0, "a reader saw a stream that is gone", stream->name);
        early_.clear();
        CheckSources();
        CheckList();
        Probe();
    }

    /* Which of the changes that nobody knows of have been kept? */
    void Resolve(const std::string &name, const Found &found)
    {
        HistorySlot &slot = Slot(name);
        size_t count = slot.unknown.size();
        Tell("found " + name + " " + CodeOf(found.err) + " " + std::to_string(found.view.tail));
        for (size_t kept = count + 1; kept-- > 0;)
            if (Try(&slot, (UINT64_C(1) << kept) - 1, found))
                return;
        /* Refused ones leave holes. */
        for (uint64_t mask = 0; refused_ && count < 12 && mask < UINT64_C(1) << count; mask++)
            if (Try(&slot, mask, found))
                return;
        std::ostringstream text;
        text << "nothing explains what is there: " << CodeOf(found.err) << " tail "
             << found.view.tail << " closed " << found.view.closed << " id " << found.view.id
             << " bytes \"" << found.bytes.substr(0, 60) << "\"; known: ";
        if (slot.stream == nullptr)
            text << "none";
        else
            text << "tail " << slot.stream->bytes.size() << " closed " << slot.stream->closed
                 << " deleted " << slot.stream->deleted << " id " << slot.stream->id << " seen "
                 << slot.stream->seen_tail << " fork " << slot.stream->is_fork;
        for (const HistoryChangeRef &change : slot.unknown)
            text << ", unknown " << change->kind << "+" << StoredSize(*change, false)
                 << (change->must_be_there ? "!" : "");
        Check(false, text.str(), name);
    }

    bool Try(HistorySlot *slot, uint64_t mask, const Found &found)
    {
        HistoryStreamRef trial;
        if (slot->stream != nullptr)
            trial = std::make_shared<HistoryStream>(*slot->stream);
        HistoryChangeRef creator;
        uint64_t kept = 0;
        for (size_t i = 0; i < slot->unknown.size(); i++) {
            const HistoryChangeRef &change = slot->unknown[i];
            if ((mask >> i & 1) == 0) {
                if (change->must_be_there)
                    return false;
                continue;
            }
            kept++;
            uint64_t point = 0;
            if (change->create.fork && !ForkPointOf(*change, found, &point))
                return false;
            if (change->kind == SL_OPERATION_CREATE && trial != nullptr && trial->deleted)
                trial = nullptr;
            if (HistoryApply(&trial, *change, point, change->source.get()).created)
                creator = change;
        }
        if (!Explains(*slot, trial, creator != nullptr, found))
            return false;
        totals_->kept += kept;
        Accept(slot, trial, creator, found);
        return true;
    }

    /* False: it cannot have been made. */
    bool ForkPointOf(const HistoryChange &change, const Found &found, uint64_t *point)
    {
        if (change.source == nullptr || (change.create.has_offset && !change.point))
            return false;
        const HistoryStream &source = *change.source;
        uint64_t stored = StoredSize(change, source.json);
        if (found.err != SL_OK || found.view.tail < stored)
            return false;
        *point = change.point ? *change.point : found.view.tail - stored;
        return *point <= source.bytes.size() && (change.point || source.appends.count(*point) != 0);
    }

    bool Explains(const HistorySlot &slot, const HistoryStreamRef &trial, bool is_new,
                  const Found &found)
    {
        if (found.err == SL_ERR_NOT_FOUND)
            return trial == nullptr ||
                   (trial->deleted &&
                    (slot.stream == nullptr || HeldByForks(*slot.stream) != Held::kYes));
        if (found.err == SL_ERR_GONE)
            return trial != nullptr && trial->deleted && !is_new &&
                   HeldByForks(*slot.stream) != Held::kNo;
        if (found.err != SL_OK || trial == nullptr || trial->deleted)
            return false;
        std::string type(found.view.content_type, found.view.content_type_size);
        auto known = by_id_.find(found.view.id);
        bool is_other = known != by_id_.end() && known->second->id != trial->id &&
                        early_.count(found.view.id) == 0;
        return (trial->id == 0 || trial->id == found.view.id) && !is_other &&
               trial->bytes == found.bytes && trial->closed == found.view.closed &&
               trial->bytes.size() == found.view.tail && trial->content_type == type &&
               trial->ttl_s.has_value() == found.view.has_ttl &&
               (!trial->ttl_s || *trial->ttl_s == found.view.ttl_s) &&
               trial->bytes.size() >= trial->seen_tail && (trial->closed || !trial->seen_closed);
    }

    /* It is so from now on. */
    void Accept(HistorySlot *slot, const HistoryStreamRef &trial, const HistoryChangeRef &creator,
                const Found &found)
    {
        for (const auto &[id, stream] : early_)
            if (stream->name == SlotName(slot) && id != found.view.id && MayEnd(*slot))
                early_ended_.insert(id);
        slot->unknown.clear();
        if (found.err == SL_ERR_NOT_FOUND) {
            Vanish(slot);
            return;
        }
        if (creator == nullptr) { /* the same incarnation: others hold it by reference */
            HistoryStream &stream = *slot->stream;
            std::vector<std::weak_ptr<HistoryStream>> forks = stream.forks;
            stream = *trial;
            stream.forks = std::move(forks);
        } else {
            slot->stream = trial;
            if (creator->source != nullptr)
                creator->source->forks.push_back(trial);
        }
        if (found.err != SL_OK)
            return;
        SetId(slot->stream, found.view.id);
        CheckSeen(slot->stream.get(), true);
        next_[SlotName(slot)] = slot->stream->producers;
    }
    std::string SlotName(const HistorySlot *slot) const
    {
        for (const auto &[name, one] : slots_)
            if (&one == slot)
                return name;
        return "";
    }

    /* Sources live as long as their forks, and no longer. */
    void CheckSources()
    {
        for (auto &[name, slot] : slots_)
            if (slot.stream != nullptr)
                slot.stream->maybe_pinned = false;
        for (auto &[name, slot] : slots_) {
            if (slot.stream == nullptr)
                continue;
            for (const auto &weak : slot.stream->forks)
                if (HistoryStreamRef fork = weak.lock())
                    if (Slot(fork->name).stream != fork)
                        settled_.insert(fork.get());
            if (slot.stream->source != nullptr)
                Check(Slot(slot.stream->source->name).stream == slot.stream->source,
                      "a fork without its source", name);
        }
        for (bool again = true; again && !Dead();) {
            again = false;
            for (auto &[name, slot] : slots_) {
                if (slot.stream == nullptr || !slot.stream->deleted)
                    continue;
                CheckDeleted(name, &slot);
                again = again || slot.stream == nullptr;
                if (slot.stream == nullptr)
                    MarkSettled();
            }
        }
    }
    void MarkSettled()
    {
        for (auto &[name, slot] : slots_)
            if (slot.stream != nullptr)
                for (const auto &weak : slot.stream->forks)
                    if (HistoryStreamRef fork = weak.lock())
                        if (Slot(fork->name).stream != fork)
                            settled_.insert(fork.get());
    }
    void CheckDeleted(const std::string &name, HistorySlot *slot)
    {
        Held held = HeldByForks(*slot->stream);
        if (held == Held::kMaybe)
            return; /* its forks are deleted themselves: they go first */
        for (int64_t end_ms = Steady_ms() + kPatience_ms;; Sleep_ms(1)) {
            enum sl_err err = Finish(SubmitHead(name, true)).err;
            if (Dead() || err == SL_ERR_STORAGE_FAILED)
                return;
            if (held == Held::kYes) {
                Check(err == SL_ERR_GONE, "a held source is answered " + CodeOf(err), name);
                return;
            }
            if (err == SL_ERR_NOT_FOUND)
                break;
            Check(Steady_ms() < end_ms, "a source without forks stays", name);
        }
        Vanish(slot);
    }

    void CheckList()
    {
        std::vector<std::string> expected, found;
        for (const auto &[name, slot] : slots_)
            if (slot.stream != nullptr && !slot.stream->deleted)
                expected.push_back(name);
        uint64_t cursor = 0;
        do {
            struct sl_operation *op = sl_session_take(sessions_[0], SL_OPERATION_LIST);
            op->u.list.cursor = cursor;
            enum sl_err err = sl_session_run(sessions_[0], op);
            for (uint32_t i = 0; err == SL_OK && i < op->u.list.name_count; i++)
                found.emplace_back(reinterpret_cast<const char *>(op->u.list.names[i].data),
                                   op->u.list.names[i].size);
            cursor = op->u.list.next_cursor;
            sl_session_put(sessions_[0], &op);
            if (err != SL_OK) {
                Check(Dead(), "LIST was answered " + CodeOf(err));
                return;
            }
        } while (cursor != 0);
        std::sort(found.begin(), found.end());
        Check(found == expected, "LIST names other streams");
    }

    /* The last request of a producer once more: a duplicate, for its data is there. */
    void Probe()
    {
        for (const auto &[name, slot] : slots_) {
            if (slot.stream == nullptr || slot.stream->deleted)
                continue;
            for (const auto &[id, last] : slot.stream->producers) {
                if (!OneIn(2))
                    continue;
                HistoryChangeRef change = std::make_shared<HistoryChange>();
                change->kind = SL_OPERATION_APPEND;
                change->name = name;
                change->append.Type(slot.stream->content_type)
                    .Producer(id, last.first, last.second);
                GiveBytes(change.get(), slot.stream->json);
                SubmitChange(change);
                totals_->probes++;
            }
        }
        Settle();
    }

    /* ---- what is asked ---- */

    uint64_t AnySize()
    {
        uint64_t dice = Any(100);
        if (dice < 70)
            return Any(60);
        if (dice < 90)
            return Any(3000);
        return Any(dice < 98 ? 10000 : SL_PAYLOAD_BYTES_MAX(options_.wal_file_bytes) - 4096);
    }
    /* Like no other bytes of this history. */
    std::string AnyText()
    {
        std::string text = std::to_string(++texts_) + ":";
        return text + std::string(AnySize(), static_cast<char>('a' + texts_ % 26));
    }
    /* Fills the parts of an append, and says what they add. */
    void GiveBytes(HistoryChange *change, bool json)
    {
        uint64_t parts = OneIn(4) ? 2 + Any(3) : 1;
        std::string joined;
        for (uint64_t i = 0; i < parts; i++) {
            std::string text = parts == 1 ? AnyText() : AnyText().substr(0, 900);
            if (!json) {
                change->append.Part(text);
                joined += text;
                continue;
            }
            std::string array = "[";
            for (uint64_t k = 0, messages = OneIn(3) ? 1 + Any(5) : 1; k < messages; k++) {
                std::string message = "\"" + std::to_string(k) + "/" +
                                      text.substr(0, k == 0 ? std::string::npos : 300) + "\"";
                array += (k == 0 ? "" : ", ") + message;
                change->pieces.push_back(message);
            }
            change->append.Part(array + "]");
        }
        if (!json)
            change->pieces.push_back(joined);
    }

    std::string AnyName()
    {
        return "s" + std::to_string(std::min(Any(names_), Any(names_)));
    }

    /* Will there be a stream when all that is under way is done? */
    bool Expects(const HistorySlot &slot)
    {
        bool there = slot.stream != nullptr && !slot.stream->deleted;
        for (const HistoryChangeRef &change : slot.pending) {
            if (change->kind == SL_OPERATION_CREATE)
                there = true;
            else if (change->kind == SL_OPERATION_DELETE)
                there = false;
        }
        return there;
    }
    bool HasPending(const HistorySlot &slot, bool but_appends)
    {
        for (const HistoryChangeRef &change : slot.pending)
            if (!but_appends || change->kind != SL_OPERATION_APPEND)
                return true;
        return false;
    }
    bool IsBeingForked(const std::string &name)
    {
        for (const auto &flying : flying_)
            if (flying->change != nullptr && flying->change->create.fork &&
                (flying->change->create.source == name || flying->name == name))
                return true;
        return false;
    }

    void SubmitAny()
    {
        if (OneIn(5))
            SubmitAnyRead();
        else
            SubmitAnyChange();
    }

    void SubmitAnyRead()
    {
        std::string name = AnyName();
        const HistorySlot &slot = Slot(name);
        if (OneIn(3)) {
            (void)SubmitHead(name, false);
            return;
        }
        ReadRequest request = OneIn(3) ? FromNow() : FromStart();
        if (slot.stream != nullptr && OneIn(2)) {
            const auto &ends = slot.stream->json ? slot.stream->messages : slot.stream->appends;
            request = From(*std::next(ends.begin(), static_cast<long>(Any(ends.size()))));
        }
        if (OneIn(3))
            request.Wait();
        if (OneIn(4))
            request.Page(1 + static_cast<uint32_t>(Any(9000)));
        (void)SubmitRead(name, request, false);
    }

    void SubmitAnyChange()
    {
        std::string name = AnyName();
        HistorySlot &slot = Slot(name);
        if (slot.pending.size() >= 8)
            return;
        bool expects = Expects(slot);
        bool forked = IsBeingForked(name);
        uint64_t dice = Any(100);
        if (HasPendingFork(slot))
            return;
        if (!expects ? dice < 85 : dice < 4) {
            if (!forked)
                SubmitCreate(name, slot);
        } else if (dice > 93) {
            if (!forked)
                SubmitDelete(name);
        } else {
            SubmitAppend(name, slot);
        }
    }
    bool HasPendingFork(const HistorySlot &slot)
    {
        return !slot.pending.empty() && slot.pending.back()->create.fork;
    }

    void SubmitDelete(const std::string &name)
    {
        HistoryChangeRef change = std::make_shared<HistoryChange>();
        change->kind = SL_OPERATION_DELETE;
        change->name = name;
        next_.erase(name);
        SubmitChange(change);
    }

    void SubmitCreate(const std::string &name, const HistorySlot &slot)
    {
        HistoryChangeRef change = std::make_shared<HistoryChange>();
        change->kind = SL_OPERATION_CREATE;
        change->name = name;
        if (OneIn(2) && slot.pending.empty() && !Expects(slot) && PlanFork(change.get())) {
            SubmitChange(change);
            return;
        }
        static const char *const types[] = { kBytes, kJson, "text/plain" };
        change->create = {};
        change->source = nullptr;
        change->create.Type(types[Any(3)]);
        if (OneIn(4))
            change->create.Ttl(100000 * (1 + Any(2)));
        if (slot.stream != nullptr && !slot.stream->deleted && OneIn(2)) {
            change->create.Type(slot.stream->content_type).Closed(slot.stream->closed);
            change->create.has_ttl = slot.stream->ttl_s.has_value();
            change->create.ttl_s = slot.stream->ttl_s.value_or(0);
        }
        GiveFirst(change.get(), change->create.content_type == kJson);
        SubmitChange(change);
    }
    void GiveFirst(HistoryChange *change, bool json)
    {
        change->create.Closed(OneIn(15) || change->create.close);
        if (!OneIn(2))
            return;
        std::string text = AnyText();
        change->pieces = { json ? "\"" + text + "\"" : text };
        change->create.Data(change->pieces[0]);
    }

    /* False: what would come of it could not be told. */
    bool PlanFork(HistoryChange *change)
    {
        std::string source_name = AnyName();
        HistorySlot &slot = Slot(source_name);
        if (source_name == change->name || HasPending(slot, true) || !slot.unknown.empty())
            return false;
        bool quiet = slot.pending.empty();
        if (refused_ && !quiet)
            return false;
        CreateRequest &request = change->create;
        request = ForkOf(source_name);
        change->source = slot.stream;
        if (slot.stream == nullptr || slot.stream->deleted)
            return true;
        HistoryStream &stream = *slot.stream;
        if (OneIn(2)) {
            const auto &ends = stream.json && OneIn(2) ? stream.messages : stream.appends;
            request.At(*std::next(ends.begin(), static_cast<long>(Any(ends.size()))));
            if (OneIn(2))
                request.Sub(Any(6));
            change->point = HistoryForkPoint(stream, request.offset, request.sub_offset);
            if (!change->point && !quiet)
                return false;
        }
        stream.maybe_pinned = true;
        GiveFirst(change, stream.json);
        return true;
    }

    /* An append would make a point out of what is none. */
    bool IsBeingForkedAtNoPoint(const std::string &name)
    {
        for (const auto &flying : flying_)
            if (flying->change != nullptr && flying->change->create.source == name &&
                flying->change->create.has_offset && !flying->change->point)
                return true;
        return false;
    }

    void SubmitAppend(const std::string &name, const HistorySlot &slot)
    {
        if (IsBeingForkedAtNoPoint(name))
            return;
        HistoryChangeRef change = std::make_shared<HistoryChange>();
        AppendRequest &request = change->append;
        change->kind = SL_OPERATION_APPEND;
        change->name = name;
        std::string type = kBytes;
        if (slot.stream != nullptr)
            type = slot.stream->content_type;
        for (const HistoryChangeRef &pending : slot.pending)
            if (pending->kind == SL_OPERATION_CREATE && !pending->create.fork)
                type = pending->create.content_type;
        request.Type(type);
        request.Close(OneIn(25));
        if (!request.close || OneIn(2))
            GiveBytes(change.get(), type == kJson);
        if (OneIn(2))
            GiveProducer(name, &request);
        if (OneIn(6) && !change->pieces.empty())
            request.Seq(std::to_string(100000 + texts_ - (OneIn(5) ? 20 : 0)));
        SubmitChange(change);
    }

    void GiveProducer(const std::string &name, AppendRequest *request)
    {
        auto &known = next_[name];
        std::string id = OneIn(3) ? "p" : "q";
        auto found = known.find(id);
        if (found == known.end()) {
            request->Producer(id, Any(3), OneIn(10) ? 1 : 0);
        } else {
            auto [epoch, sequence] = found->second;
            if (OneIn(10))
                request->Producer(id, epoch + 1, 0);
            else if (OneIn(5))
                request->Producer(id, epoch, sequence - Any(sequence + 1) % 3); /* again */
            else
                request->Producer(id, epoch, sequence + (OneIn(12) ? 2 : 1));
        }
        known[id] = { request->epoch, request->sequence };
    }

    void Work(uint64_t steps)
    {
        uint64_t most = 1 + Any(OneIn(3) ? 24 : 6);
        for (uint64_t i = 0; i < steps && !Dead(); i++) {
            SubmitAny();
            size_t waiting = 0;
            for (const auto &flying : flying_)
                waiting += flying->kind == SL_OPERATION_READ && flying->read.wait;
            if (OneIn(3))
                PollAll();
            if (flying_.size() > most + waiting)
                PumpUntil([&, before = flying_.size()] { return flying_.size() < before; });
        }
        for (uint64_t i = Dead() ? Any(4) : 0; i > 0; i--)
            SubmitAnyRead();
    }

    uint64_t seed_;
    std::mt19937_64 random_;
    SimDisk disk_;
    HistoryTotals *totals_;
    struct sl_engine_options options_ = {};
    struct sl_engine *engine_ = nullptr;
    std::vector<struct sl_session *> sessions_;
    std::list<std::unique_ptr<Flying>> flying_;
    std::map<std::string, HistorySlot> slots_;
    std::map<uint64_t, HistoryStreamRef> by_id_;
    std::map<uint64_t, HistoryStreamRef> early_; /* seen before the creator had its answer */
    std::set<uint64_t> early_ended_;
    std::set<const HistoryStream *> settled_; /* forks that are gone, their references too */
    /* What each producer would say next, as far as the asker knows. */
    std::map<std::string, std::map<std::string, std::pair<uint64_t, uint64_t>>> next_;
    std::deque<std::string> story_;
    uint64_t life_ = 0, lives_ = 0, names_ = 0, texts_ = 0, clock_ = 0;
    bool long_ = false;    /* so much is written that flushes and compactions follow each other */
    bool refused_ = false; /* something was refused for want of room: changes may have holes */
};

} // namespace sluice_test

#endif
