/*
 * tests/support/sim_disk.h - a disk in memory that fails on purpose
 *
 * What     SimDisk is a file system behind a `struct sl_vfs`. It knows for every 512-byte sector,
 *          file size and directory entry whether it is durable; it cuts the power, kills the
 *          process, fails the nth call, runs full, rots and delays.
 * Why      What a real disk does once a year happens here in every test run, and the same again
 *          with the same seed.
 * Thread   Any. With several threads the seed does not decide the order of their calls.
 *
 * Model    A file has what readers see (cache) and what is on the platter.
 *          write          into the cache; its sectors are dirty. With SL_VFS_SYNC these sectors,
 *                         and the size when the file has grown, are on the platter when it returns.
 *          dirty sector   at any moment the old or the new bytes are on the platter; overwritten
 *                         again while dirty: the bytes between may be, too.
 *          sync           every dirty sector, and the size.
 *          failed sync    (fsyncgate) says so once: some or all dirty sectors did not reach the
 *                         platter, and they count as clean: later syncs return 0 and do not write
 *                         them. The cache shows the new bytes until DropCaches(); direct reads
 *                         show the old ones.
 *          failed write   nothing, the beginning, or any part of its sectors has been written.
 *          size           without sync, the old or the new one is on the platter.
 *          lost growth    inside a size that was kept: zeros, or garbage where a write was lost.
 *          directory      create, rename, link, unlink and make_directory are durable after
 *                         sync_directory of the directory (of `to`, for a rename); before that
 *                         each is kept or lost on its own, a rename as a whole. A synced file
 *                         without a synced name is lost.
 * Paths    Absolute. "/" is there. No rename of directories.
 */
#ifndef SL_TESTS_SIM_DISK_H
#define SL_TESTS_SIM_DISK_H

#include "journal/vfs.h"

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace sluice_test
{

enum class DiskCall {
    kOpen,
    kRead,
    kWrite,
    kSync,
    kTruncate,
    kSize,
    kMakeDirectory,
    kSyncDirectory,
    kList,
    kRename,
    kLink,
    kUnlink,
    kLock,
    kSpace,
    kAny, /* all of the above, counted together */
};

enum class DirectIo {
    kWorks,
    kRefusedAtOpen,  /* EINVAL */
    kRefusedAtWrite, /* EINVAL */
};

/* In the place of an errno: a part of the write lands, then it ends in EIO. */
constexpr int kShortWrite = -1;
/* Likewise: the read gives less than there is, and no error. */
constexpr int kShortRead = -2;

class SimDisk
{
  public:
    explicit SimDisk(uint64_t seed);
    ~SimDisk();
    SimDisk(const SimDisk &) = delete;
    SimDisk &operator=(const SimDisk &) = delete;

    /* Valid as long as the disk. Handles must be closed before the disk is destroyed. */
    const struct sl_vfs *vfs() const;
    /*
     * For one process: after the next power cut or crash every call through it returns EIO, so what
     * is left of that process cannot touch the disk. Valid as long as the disk.
     */
    const struct sl_vfs *VfsOfThisLife();

    /*
     * The power fails and is there again: what is on the platter is the disk now. A write under way
     * is lost, torn or complete. All handles are dead: their calls return EIO; close them.
     */
    void PowerCut();
    /* The process is killed: everything written stays, and what was not durable still is not. */
    void Crash();
    /*
     * The same in the middle of the nth call of this kind from now on (1: the next one), while the
     * callers are at it: a write that meets it is lost, torn or complete. n = 0: not any more.
     */
    void PowerCutNth(DiskCall call, uint64_t n);
    void CrashNth(DiskCall call, uint64_t n);
    /* Power cuts and crashes so far, and one. */
    uint64_t life() const;
    /* Memory is short: clean sectors are read from the platter again. */
    void DropCaches();
    /* The same content, durable or not as here; no handles, failures, limits or delays. */
    std::unique_ptr<SimDisk> Clone(uint64_t seed) const;

    /*
     * The nth call of this kind from now on (1: the next one) fails with this errno, `sticky`: and
     * all later ones. One failure at a time for each kind; n = 0: none.
     */
    void FailNth(DiskCall call, uint64_t n, int error, bool sticky = false);
    /* Calls that were made to fail. */
    uint64_t failures() const;
    /* Files may grow by so many bytes, then ENOSPC. */
    void SetFreeSpace(uint64_t bytes);
    void SetDirectIo(DirectIo mode);
    void SetVolatile(bool is_volatile);
    /* Synced writes and syncs take so long; a power cut or crash ends them. */
    void SetDelay(unsigned delay_ms);
    /* Synced writes and syncs do not return until Hold(false), a power cut or a crash. */
    void Hold(bool hold);
    /* The same of syncs alone: the log is written on, segments and new files are not done. */
    void HoldSyncs(bool hold);
    /* Reads of the thread of this name do not return until another call, a power cut or a crash. */
    void HoldReadsOf(const std::string &thread);
    /* Returns when so many calls are held or delayed; false: not within ten seconds. */
    bool WaitForHeld(size_t count);

    /* Calls so far. */
    uint64_t Count(DiskCall call) const;
    /* Bytes of successful writes. */
    uint64_t written_bytes() const;

    /* Of all files, sorted; directories end in "/". */
    std::vector<std::string> Paths() const;
    /* Files only, sorted. */
    std::vector<std::string> Files() const;
    bool Exists(const std::string &path) const;
    /* As readers see it. Aborts when there is no such file. */
    std::string Bytes(const std::string &path) const;
    /* Everything in the file is durable? */
    bool IsDurable(const std::string &path) const;

    /* Damage, durable at once and in the cache, too; the names of files are not touched. */
    void Flip(const std::string &path, uint64_t byte, unsigned bit);
    /* In the first byte of `needle` in all files in whose path is `part`, which may come and go. */
    void FlipWhere(const std::string &part, const std::string &needle, unsigned bit);
    /* Replaces the content; makes the file if it is not there, its name durable. */
    void SetBytes(const std::string &path, const std::string &bytes);
    void Remove(const std::string &path);
    void MakeDirectory(const std::string &path);

  private:
    struct Node;
    struct Handle;
    struct Change;
    struct Flight;
    struct Table;
    struct Calls;
    struct Failure {
        uint64_t at = 0; /* value of the counter; 0: none */
        int error = 0;
        bool sticky = false;
    };
    using NodePointer = std::shared_ptr<Node>;
    using Names = std::map<std::string, NodePointer>;

    struct Ending {
        DiskCall call = DiskCall::kAny;
        uint64_t at = 0; /* value of the counter; 0: none */
        bool power_cut = false;
    };

    bool Coin();
    uint64_t Below(uint64_t bound);
    void EndNth(DiskCall call, uint64_t n, bool power_cut);
    int Enter(DiskCall call, Flight *flight = nullptr);
    int EnterHandle(DiskCall call, const Handle *handle);
    NodePointer Find(const std::string &path) const;
    NodePointer FileAt(const std::string &path) const;
    int CheckParent(const std::string &path) const;
    uint64_t Used() const;
    uint64_t Free() const;

    void LandSector(Node *node, size_t sector);
    void CommitSize(Node *node);
    void Resize(Node *node, uint64_t size);
    void WriteCache(Node *node, const uint8_t *from, size_t size, uint64_t at);
    void MakeDurable(Node *node, uint64_t at, size_t size);
    void WriteSome(const Flight &flight);
    void WriteBeginning(const Flight &flight, size_t size);
    static void FlipIn(Node *node, uint64_t byte, unsigned bit);
    void SyncNode(Node *node);
    void FailSync(Node *node);
    void CutNode(Node *node);
    void Apply(const Change &change);
    void Record(const std::string &set, const std::string &clear, const NodePointer &node);
    int Wait(std::unique_lock<std::mutex> *lock, Flight *flight);
    void EndLife(bool power_cut);
    void LoseUnsynced();

    int Open(const struct sl_vfs *vfs, const std::string &path, unsigned flags,
             struct sl_file **file);
    int Read(const Handle &handle, uint8_t *to, size_t size, uint64_t at, size_t *got);
    int Write(const Handle &handle, const uint8_t *from, size_t size, uint64_t at);
    int Sync(const Handle &handle);

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::unique_ptr<Table> table_;
    std::vector<std::unique_ptr<Table>> tables_; /* of single lives */
    std::mt19937_64 random_;
    uint64_t life_ = 1;   /* one more after every power cut and crash: older handles are dead */
    Names names_;         /* as the processes see them */
    Names platter_names_; /* as they are durable */
    std::list<Change> changes_; /* of directories, oldest first */
    std::list<Flight *> flights_;
    Ending ending_;
    Failure failures_[static_cast<size_t>(DiskCall::kAny) + 1];
    uint64_t counts_[static_cast<size_t>(DiskCall::kAny) + 1] = {};
    uint64_t failed_ = 0;
    uint64_t written_bytes_ = 0;
    uint64_t capacity_ = UINT64_MAX; /* bytes of all files */
    DirectIo direct_ = DirectIo::kWorks;
    bool volatile_ = false;
    bool hold_ = false;
    bool hold_syncs_ = false;
    std::string reader_held_; /* name of a thread; empty: none */
    unsigned delay_ms_ = 0;
};

} // namespace sluice_test

#endif
