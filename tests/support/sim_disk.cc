#include "support/sim_disk.h"

#include "base/assert.h"
#include "base/thread.h"

#include <errno.h>

#include <algorithm>
#include <chrono>
#include <set>

namespace sluice_test
{

namespace
{

constexpr size_t kSectorBytes = 512;

enum class Sector : uint8_t {
    kClean,
    kDirty,
    kStale, /* clean in the cache, but the platter has other bytes */
};

size_t SectorsOf(uint64_t bytes)
{
    return (bytes + kSectorBytes - 1) / kSectorBytes;
}

/* "/a//b/" is "/a/b". */
std::string Plain(const std::string &path)
{
    SL_ASSERT(!path.empty() && path[0] == '/');
    std::string plain;
    for (char c : path)
        if (c != '/' || plain.empty() || plain.back() != '/')
            plain += c;
    if (plain.size() > 1 && plain.back() == '/')
        plain.pop_back();
    return plain;
}

std::string ParentOf(const std::string &path)
{
    size_t slash = path.rfind('/');
    return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string &path)
{
    return path.substr(path.rfind('/') + 1);
}

} // namespace

/* A file or a directory. */
struct SimDisk::Node {
    bool is_directory = false;
    std::vector<uint8_t> cache; /* what readers see */
    std::vector<uint8_t>
        platter; /* may have more than platter_size: landed, but not yet in the file */
    uint64_t platter_size = 0;
    std::vector<Sector> sectors; /* of the cache */
    const Handle *locked_by = nullptr;
};

struct SimDisk::Handle : sl_file {
    SimDisk *disk;
    std::shared_ptr<Node> node;
    unsigned flags;
    uint64_t life;
};

/* Names `node` as `set` (unless empty), and no longer as `clear` (unless empty). */
struct SimDisk::Change {
    std::string set;
    std::string clear;
    std::shared_ptr<Node> node;

    std::string Directory() const
    {
        return ParentOf(set.empty() ? clear : set);
    }
};

/* A write that has begun; `node` is null for a sync. */
struct SimDisk::Flight {
    Node *node;
    const uint8_t *from;
    size_t size;
    uint64_t at;
    bool sync;
};

/*
 * ---- chance, counting, finding ----------------------------------------------------------------
 */

bool SimDisk::Coin()
{
    return (random_() & 1) != 0;
}

uint64_t SimDisk::Below(uint64_t bound)
{
    return random_() % bound;
}

/*
 * Counts the call. The errno that it is to fail with, or 0. It may be the last call of this life:
 * then EIO, and nothing that the caller holds is alive any more.
 */
int SimDisk::Enter(DiskCall call, Flight *flight)
{
    int error = 0;
    bool ends = false;
    for (DiskCall counted : { call, DiskCall::kAny }) {
        size_t index = static_cast<size_t>(counted);
        uint64_t count = ++counts_[index];
        ends |= ending_.call == counted && ending_.at == count;
        const Failure &failure = failures_[index];
        if (failure.at != 0 && (count == failure.at || (failure.sticky && count > failure.at)))
            error = failure.error;
    }
    if (ends) {
        if (flight != nullptr)
            flights_.push_back(flight);
        EndLife(ending_.power_cut);
        if (flight != nullptr)
            flights_.remove(flight);
        return EIO;
    }
    failed_ += error != 0;
    if ((error == kShortWrite && call != DiskCall::kWrite) ||
        (error == kShortRead && call != DiskCall::kRead))
        return EIO;
    return error;
}

int SimDisk::EnterHandle(DiskCall call, const Handle *handle)
{
    return handle->life != life_ ? EIO : Enter(call);
}

SimDisk::NodePointer SimDisk::Find(const std::string &path) const
{
    auto found = names_.find(path);
    return found == names_.end() ? nullptr : found->second;
}

SimDisk::NodePointer SimDisk::FileAt(const std::string &path) const
{
    NodePointer node = Find(Plain(path));
    SL_ASSERT(node != nullptr && !node->is_directory);
    return node;
}

int SimDisk::CheckParent(const std::string &path) const
{
    NodePointer parent = Find(ParentOf(path));
    if (parent == nullptr)
        return ENOENT;
    return parent->is_directory ? 0 : ENOTDIR;
}

uint64_t SimDisk::Used() const
{
    std::set<const Node *> nodes;
    uint64_t used = 0;
    for (const auto &[path, node] : names_)
        if (nodes.insert(node.get()).second)
            used += node->cache.size();
    return used;
}

uint64_t SimDisk::Free() const
{
    constexpr uint64_t kPlenty = UINT64_C(1) << 40;
    if (capacity_ == UINT64_MAX)
        return kPlenty;
    uint64_t used = Used();
    return used < capacity_ ? capacity_ - used : 0;
}

/*
 * ---- the content of files ---------------------------------------------------------------------
 */

/* The sector as the cache has it is on the platter. */
void SimDisk::LandSector(Node *node, size_t sector)
{
    size_t begin = sector * kSectorBytes;
    size_t end = std::min(begin + kSectorBytes, node->cache.size());
    if (node->platter.size() < end)
        node->platter.resize(end);
    std::copy(node->cache.begin() + begin, node->cache.begin() + end,
              node->platter.begin() + begin);
}

void SimDisk::CommitSize(Node *node)
{
    node->platter_size = node->cache.size();
    node->platter.resize(node->platter_size);
}

void SimDisk::Resize(Node *node, uint64_t size)
{
    uint64_t before = node->cache.size();
    if (size == before)
        return;
    if (node->platter_size != before && Coin())
        CommitSize(node);
    node->cache.resize(size);
    node->sectors.resize(SectorsOf(size), Sector::kClean);
    if (size < before && size % kSectorBytes != 0)
        node->sectors.back() = Sector::kDirty;
    /* Where the platter still has what was cut off before, there are zeros now. */
    if (size > before)
        for (size_t sector = before / kSectorBytes;
             sector < node->sectors.size() && sector * kSectorBytes < node->platter.size();
             sector++)
            node->sectors[sector] = Sector::kDirty;
}

void SimDisk::WriteCache(Node *node, const uint8_t *from, size_t size, uint64_t at)
{
    if (size == 0)
        return;
    if (at + size > node->cache.size())
        Resize(node, at + size);
    for (size_t sector = at / kSectorBytes; sector < SectorsOf(at + size); sector++) {
        if (node->sectors[sector] == Sector::kDirty && Coin())
            LandSector(node, sector);
        node->sectors[sector] = Sector::kDirty;
    }
    std::copy(from, from + size, node->cache.begin() + at);
}

void SimDisk::MakeDurable(Node *node, uint64_t at, size_t size)
{
    if (size == 0)
        return;
    for (size_t sector = at / kSectorBytes; sector < SectorsOf(at + size); sector++) {
        LandSector(node, sector);
        node->sectors[sector] = Sector::kClean;
    }
    if (at + size > node->platter_size)
        CommitSize(node);
}

void SimDisk::WriteBeginning(const Flight &flight, size_t size)
{
    WriteCache(flight.node, flight.from, size, flight.at);
    if (flight.sync)
        MakeDurable(flight.node, flight.at, size);
}

/* Nothing, everything, the beginning up to any sector, or any sectors. */
void SimDisk::WriteSome(const Flight &flight)
{
    enum { kNothing, kEverything, kBeginning, kAnySectors, kModes };
    uint64_t mode = Below(kModes);
    uint64_t first = flight.at / kSectorBytes;
    uint64_t sectors = SectorsOf(flight.at + flight.size) - first;
    uint64_t kept = mode == kBeginning ? Below(sectors + 1) : sectors;
    if (mode == kNothing)
        return;
    for (uint64_t i = 0; i < kept; i++) {
        if (mode == kAnySectors && Coin())
            continue;
        uint64_t begin = std::max((first + i) * kSectorBytes, flight.at);
        uint64_t end = std::min((first + i + 1) * kSectorBytes, flight.at + flight.size);
        Flight part = flight;
        part.from += begin - flight.at;
        part.at = begin;
        WriteBeginning(part, end - begin);
    }
}

void SimDisk::SyncNode(Node *node)
{
    for (size_t sector = 0; sector < node->sectors.size(); sector++) {
        if (node->sectors[sector] != Sector::kDirty)
            continue;
        LandSector(node, sector);
        node->sectors[sector] = Sector::kClean;
    }
    CommitSize(node);
}

void SimDisk::FailSync(Node *node)
{
    bool all = Coin();
    for (size_t sector = 0; sector < node->sectors.size(); sector++) {
        if (node->sectors[sector] != Sector::kDirty)
            continue;
        bool lost = all || Coin();
        if (!lost)
            LandSector(node, sector);
        node->sectors[sector] = lost ? Sector::kStale : Sector::kClean;
    }
}

/* The file becomes what the power cut leaves of it. */
void SimDisk::CutNode(Node *node)
{
    if (Coin())
        node->platter_size = node->cache.size();
    std::vector<uint8_t> left(node->platter_size, 0);
    uint64_t old_size = node->platter.size();
    std::copy_n(node->platter.begin(), std::min<uint64_t>(old_size, left.size()), left.begin());
    for (size_t sector = 0; sector < SectorsOf(left.size()); sector++) {
        Sector state = sector < node->sectors.size() ? node->sectors[sector] : Sector::kClean;
        size_t begin = sector * kSectorBytes;
        size_t end = std::min(begin + kSectorBytes, left.size());
        if (state == Sector::kDirty && Coin())
            std::copy(node->cache.begin() + begin,
                      node->cache.begin() + std::min(end, node->cache.size()),
                      left.begin() + begin);
        else if (state != Sector::kClean && begin >= old_size && Coin())
            std::generate(left.begin() + begin, left.begin() + end,
                          [this] { return static_cast<uint8_t>(random_()); });
    }
    node->cache = left;
    node->platter = std::move(left);
    node->sectors.assign(SectorsOf(node->platter_size), Sector::kClean);
}

/*
 * ---- names ------------------------------------------------------------------------------------
 */

void SimDisk::Apply(const Change &change)
{
    if (!change.set.empty())
        platter_names_[change.set] = change.node;
    auto cleared = platter_names_.find(change.clear);
    if (cleared != platter_names_.end() && cleared->second == change.node)
        platter_names_.erase(cleared);
}

void SimDisk::Record(const std::string &set, const std::string &clear, const NodePointer &node)
{
    if (!set.empty())
        names_[set] = node;
    if (!clear.empty())
        names_.erase(clear);
    changes_.push_back({ set, clear, node });
}

/*
 * ---- what happens to the machine --------------------------------------------------------------
 */

/* Waits as long as the device takes. EIO: it did not live to see the end. */
int SimDisk::Wait(std::unique_lock<std::mutex> *lock, Flight *flight)
{
    auto is_held = [&] { return hold_ || (hold_syncs_ && flight->node == nullptr); };
    if (!is_held() && delay_ms_ == 0)
        return 0;
    auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(delay_ms_);
    uint64_t life = life_;
    flights_.push_back(flight);
    changed_.notify_all();
    while (life == life_ && (is_held() || std::chrono::steady_clock::now() < end)) {
        if (is_held())
            changed_.wait(*lock);
        else
            changed_.wait_until(*lock, end);
    }
    flights_.remove(flight);
    return life == life_ ? 0 : EIO;
}

void SimDisk::EndLife(bool power_cut)
{
    for (Flight *flight : flights_) {
        if (flight->node == nullptr)
            continue;
        Flight landing = *flight;
        landing.sync = power_cut;
        WriteSome(landing);
    }
    life_++;
    ending_ = Ending();
    for (const auto &[path, node] : names_)
        node->locked_by = nullptr;
    if (power_cut)
        LoseUnsynced();
    changed_.notify_all();
}

void SimDisk::LoseUnsynced()
{
    for (const Change &change : changes_)
        if (Coin())
            Apply(change);
    changes_.clear();
    std::set<Node *> cut;
    for (auto at = platter_names_.begin(); at != platter_names_.end();) {
        /* Sorted: a directory comes before what is in it. */
        bool reachable = at->first == "/" || platter_names_.count(ParentOf(at->first)) != 0;
        if (reachable && cut.insert(at->second.get()).second)
            CutNode(at->second.get());
        at = reachable ? std::next(at) : platter_names_.erase(at);
    }
    names_ = platter_names_;
}

void SimDisk::PowerCut()
{
    std::lock_guard<std::mutex> lock(mutex_);
    EndLife(true);
}

void SimDisk::Crash()
{
    std::lock_guard<std::mutex> lock(mutex_);
    EndLife(false);
}

void SimDisk::EndNth(DiskCall call, uint64_t n, bool power_cut)
{
    std::lock_guard<std::mutex> lock(mutex_);
    ending_ = Ending();
    if (n != 0)
        ending_ = { call, counts_[static_cast<size_t>(call)] + n, power_cut };
}

void SimDisk::PowerCutNth(DiskCall call, uint64_t n)
{
    EndNth(call, n, true);
}

void SimDisk::CrashNth(DiskCall call, uint64_t n)
{
    EndNth(call, n, false);
}

uint64_t SimDisk::life() const
{
    std::lock_guard<std::mutex> lock(mutex_);
    return life_;
}

void SimDisk::DropCaches()
{
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto &[path, node] : names_) {
        for (size_t sector = 0; sector < node->sectors.size(); sector++) {
            if (node->sectors[sector] != Sector::kStale)
                continue;
            size_t end = std::min((sector + 1) * kSectorBytes, node->cache.size());
            for (size_t i = sector * kSectorBytes; i < end; i++)
                node->cache[i] = i < node->platter.size() ? node->platter[i] : 0;
            node->sectors[sector] = Sector::kClean;
        }
    }
}

/*
 * ---- the calls --------------------------------------------------------------------------------
 */

struct SimDisk::Table : sl_vfs {
    SimDisk *disk;
    uint64_t life; /* the only one in which it works; 0: any */
};

int SimDisk::Open(const struct sl_vfs *vfs, const std::string &path, unsigned flags,
                  struct sl_file **file)
{
    NodePointer node = Find(path);
    if (int error = CheckParent(path))
        return error;
    if ((flags & SL_VFS_CREATE) != 0 && node != nullptr)
        return EEXIST;
    if ((flags & SL_VFS_CREATE) == 0 && node == nullptr)
        return ENOENT;
    if (node != nullptr && node->is_directory)
        return EISDIR;
    if ((flags & SL_VFS_DIRECT) != 0 && direct_ == DirectIo::kRefusedAtOpen)
        return EINVAL;
    if (node == nullptr) {
        node = std::make_shared<Node>();
        Record(path, "", node);
    }
    auto *handle = new Handle();
    handle->vfs = vfs;
    handle->disk = this;
    handle->node = node;
    handle->flags = flags;
    handle->life = life_;
    *file = handle;
    return 0;
}

int SimDisk::Read(const Handle &handle, uint8_t *to, size_t size, uint64_t at, size_t *got)
{
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return reader_held_ != sl_thread_name() || handle.life != life_; });
    int error = EnterHandle(DiskCall::kRead, &handle);
    if (error != 0 && error != kShortRead)
        return error;
    const Node &node = *handle.node;
    if (at >= node.cache.size())
        return 0;
    *got = std::min<uint64_t>(size, node.cache.size() - at);
    if (error == kShortRead)
        *got = Below(*got);
    std::copy_n(node.cache.begin() + at, *got, to);
    if ((handle.flags & SL_VFS_DIRECT) == 0)
        return 0;
    for (size_t i = 0; i < *got; i++)
        if (node.sectors[(at + i) / kSectorBytes] == Sector::kStale)
            to[i] = at + i < node.platter.size() ? node.platter[at + i] : 0;
    return 0;
}

int SimDisk::Write(const Handle &handle, const uint8_t *from, size_t size, uint64_t at)
{
    std::unique_lock<std::mutex> lock(mutex_);
    if (handle.life != life_)
        return EIO;
    bool sync = (handle.flags & SL_VFS_SYNC) != 0;
    Flight flight = { handle.node.get(), from, size, at, sync };
    int error = Enter(DiskCall::kWrite, &flight);
    if (handle.life != life_)
        return EIO;
    if (error == kShortWrite) {
        uint64_t part = size == 0 ? 0 : Below(size);
        WriteBeginning(flight, Coin() ? part : part / kSectorBytes * kSectorBytes);
        return EIO;
    }
    if ((handle.flags & SL_VFS_DIRECT) != 0 && direct_ == DirectIo::kRefusedAtWrite)
        return EINVAL;
    uint64_t room = capacity_ == UINT64_MAX ? UINT64_MAX - at : handle.node->cache.size() + Free();
    if (error == ENOSPC || at + size > room) {
        uint64_t fits = at < room ? std::min<uint64_t>(size, room - at) : 0;
        WriteBeginning(flight, Below(fits + 1));
        return ENOSPC;
    }
    if (error != 0) {
        WriteSome(flight);
        return error;
    }
    if (sync && Wait(&lock, &flight) != 0)
        return EIO;
    WriteBeginning(flight, size);
    written_bytes_ += size;
    return 0;
}

int SimDisk::Sync(const Handle &handle)
{
    std::unique_lock<std::mutex> lock(mutex_);
    if (handle.life != life_)
        return EIO;
    if (int error = Enter(DiskCall::kSync)) {
        if (handle.life != life_)
            return EIO;
        FailSync(handle.node.get());
        return error;
    }
    Flight flight = { nullptr, nullptr, 0, 0, true };
    if (Wait(&lock, &flight) != 0)
        return EIO;
    SyncNode(handle.node.get());
    return 0;
}

/* The functions of the table. */
struct SimDisk::Calls {
    using Lock = std::lock_guard<std::mutex>;

    static SimDisk *DiskOf(const struct sl_vfs *vfs)
    {
        return static_cast<const Table *>(vfs)->disk;
    }

    /* Before a call on a path. */
    static int EnterPath(const struct sl_vfs *vfs, DiskCall call)
    {
        const Table *table = static_cast<const Table *>(vfs);
        if (table->life != 0 && table->life != table->disk->life_)
            return EIO;
        return table->disk->Enter(call);
    }

    static Handle *HandleOf(struct sl_file *file)
    {
        return static_cast<Handle *>(file);
    }

    static void CheckAligned(const Handle *handle, const void *memory, size_t size, uint64_t at)
    {
        if ((handle->flags & SL_VFS_DIRECT) == 0)
            return;
        SL_ASSERT(reinterpret_cast<uintptr_t>(memory) % SL_DISK_BLOCK_BYTES == 0);
        SL_ASSERT(size % SL_DISK_BLOCK_BYTES == 0);
        SL_ASSERT(at % SL_DISK_BLOCK_BYTES == 0);
    }

    static int Open(const struct sl_vfs *vfs, const char *path, unsigned flags,
                    struct sl_file **file)
    {
        *file = nullptr;
        SL_ASSERT((flags & SL_VFS_CREATE) == 0 || (flags & SL_VFS_WRITE) != 0);
        SimDisk *disk = DiskOf(vfs);
        Lock lock(disk->mutex_);
        int error = EnterPath(vfs, DiskCall::kOpen);
        return error != 0 ? error : disk->Open(vfs, Plain(path), flags, file);
    }

    static void Close(struct sl_file *file)
    {
        Handle *handle = HandleOf(file);
        {
            Lock lock(handle->disk->mutex_);
            if (handle->node->locked_by == handle)
                handle->node->locked_by = nullptr;
        }
        delete handle;
    }

    static int Read(struct sl_file *file, void *to, size_t size, uint64_t at, size_t *got)
    {
        Handle *handle = HandleOf(file);
        *got = 0;
        CheckAligned(handle, to, size, at);
        return handle->disk->Read(*handle, static_cast<uint8_t *>(to), size, at, got);
    }

    static int Write(struct sl_file *file, const void *from, size_t size, uint64_t at)
    {
        Handle *handle = HandleOf(file);
        SL_ASSERT((handle->flags & SL_VFS_WRITE) != 0);
        CheckAligned(handle, from, size, at);
        return handle->disk->Write(*handle, static_cast<const uint8_t *>(from), size, at);
    }

    static int Sync(struct sl_file *file)
    {
        Handle *handle = HandleOf(file);
        return handle->disk->Sync(*handle);
    }

    static int Truncate(struct sl_file *file, uint64_t size)
    {
        Handle *handle = HandleOf(file);
        SL_ASSERT((handle->flags & SL_VFS_WRITE) != 0);
        SimDisk *disk = handle->disk;
        Lock lock(disk->mutex_);
        if (int error = disk->EnterHandle(DiskCall::kTruncate, handle))
            return error;
        uint64_t before = handle->node->cache.size();
        if (size > before && size - before > disk->Free())
            return ENOSPC;
        disk->Resize(handle->node.get(), size);
        return 0;
    }

    static int Size(struct sl_file *file, uint64_t *size)
    {
        Handle *handle = HandleOf(file);
        *size = 0;
        Lock lock(handle->disk->mutex_);
        if (int error = handle->disk->EnterHandle(DiskCall::kSize, handle))
            return error;
        *size = handle->node->cache.size();
        return 0;
    }

    static int Links(struct sl_file *file, uint64_t *count)
    {
        Handle *handle = HandleOf(file);
        *count = 0;
        Lock lock(handle->disk->mutex_);
        if (int error = handle->disk->EnterHandle(DiskCall::kSize, handle))
            return error;
        for (const auto &[name, node] : handle->disk->names_)
            *count += node == handle->node;
        return 0;
    }

    static int Mode(struct sl_file *file, unsigned *bits)
    {
        Handle *handle = HandleOf(file);
        *bits = 0;
        Lock lock(handle->disk->mutex_);
        if (int error = handle->disk->EnterHandle(DiskCall::kSize, handle))
            return error;
        *bits = 0600;
        return 0;
    }

    static int MakeDirectory(const struct sl_vfs *vfs, const char *path)
    {
        SimDisk *disk = DiskOf(vfs);
        Lock lock(disk->mutex_);
        if (int error = EnterPath(vfs, DiskCall::kMakeDirectory))
            return error;
        std::string plain = Plain(path);
        if (disk->Find(plain) != nullptr)
            return EEXIST;
        if (int error = disk->CheckParent(plain))
            return error;
        NodePointer node = std::make_shared<Node>();
        node->is_directory = true;
        disk->Record(plain, "", node);
        return 0;
    }

    static int SyncDirectory(const struct sl_vfs *vfs, const char *path)
    {
        SimDisk *disk = DiskOf(vfs);
        Lock lock(disk->mutex_);
        if (int error = EnterPath(vfs, DiskCall::kSyncDirectory))
            return error;
        std::string plain = Plain(path);
        NodePointer node = disk->Find(plain);
        if (node == nullptr)
            return ENOENT;
        if (!node->is_directory)
            return ENOTDIR;
        for (auto at = disk->changes_.begin(); at != disk->changes_.end();) {
            bool here = at->Directory() == plain;
            if (here)
                disk->Apply(*at);
            at = here ? disk->changes_.erase(at) : std::next(at);
        }
        return 0;
    }

    static int List(const struct sl_vfs *vfs, const char *path,
                    void (*each)(void *context, const char *name), void *context)
    {
        SimDisk *disk = DiskOf(vfs);
        std::vector<std::string> found;
        {
            Lock lock(disk->mutex_);
            if (int error = EnterPath(vfs, DiskCall::kList))
                return error;
            std::string plain = Plain(path);
            NodePointer node = disk->Find(plain);
            if (node == nullptr)
                return ENOENT;
            if (!node->is_directory)
                return ENOTDIR;
            for (const auto &[name, entry] : disk->names_)
                if (name != "/" && ParentOf(name) == plain)
                    found.push_back(NameOf(name));
            std::shuffle(found.begin(), found.end(), disk->random_);
        }
        for (const std::string &name : found)
            each(context, name.c_str());
        return 0;
    }

    /* The file that a rename or link begins with. */
    static int Source(SimDisk *disk, const std::string &from, const std::string &to,
                      NodePointer *node)
    {
        *node = disk->Find(from);
        if (*node == nullptr)
            return ENOENT;
        if ((*node)->is_directory)
            return EPERM;
        return disk->CheckParent(to);
    }

    static int Rename(const struct sl_vfs *vfs, const char *from, const char *to)
    {
        SimDisk *disk = DiskOf(vfs);
        Lock lock(disk->mutex_);
        if (int error = EnterPath(vfs, DiskCall::kRename))
            return error;
        NodePointer node;
        if (int error = Source(disk, Plain(from), Plain(to), &node))
            return error;
        NodePointer replaced = disk->Find(Plain(to));
        if (replaced != nullptr && replaced->is_directory)
            return EISDIR;
        if (replaced != node)
            disk->Record(Plain(to), Plain(from), node);
        return 0;
    }

    static int Link(const struct sl_vfs *vfs, const char *from, const char *to)
    {
        SimDisk *disk = DiskOf(vfs);
        Lock lock(disk->mutex_);
        if (int error = EnterPath(vfs, DiskCall::kLink))
            return error;
        NodePointer node;
        if (int error = Source(disk, Plain(from), Plain(to), &node))
            return error;
        if (disk->Find(Plain(to)) != nullptr)
            return EEXIST;
        disk->Record(Plain(to), "", node);
        return 0;
    }

    static int Unlink(const struct sl_vfs *vfs, const char *path)
    {
        SimDisk *disk = DiskOf(vfs);
        Lock lock(disk->mutex_);
        if (int error = EnterPath(vfs, DiskCall::kUnlink))
            return error;
        NodePointer node = disk->Find(Plain(path));
        if (node == nullptr)
            return ENOENT;
        if (node->is_directory)
            return EISDIR;
        disk->Record("", Plain(path), node);
        return 0;
    }

    static int LockFile(struct sl_file *file)
    {
        Handle *handle = HandleOf(file);
        Lock lock(handle->disk->mutex_);
        if (int error = handle->disk->EnterHandle(DiskCall::kLock, handle))
            return error;
        const Handle *owner = handle->node->locked_by;
        if (owner != nullptr && owner != handle)
            return EWOULDBLOCK;
        handle->node->locked_by = handle;
        return 0;
    }

    static int Space(const struct sl_vfs *vfs, const char *path, uint64_t *free_bytes)
    {
        SimDisk *disk = DiskOf(vfs);
        Lock lock(disk->mutex_);
        *free_bytes = 0;
        if (int error = EnterPath(vfs, DiskCall::kSpace))
            return error;
        if (disk->Find(Plain(path)) == nullptr)
            return ENOENT;
        *free_bytes = disk->Free();
        return 0;
    }

    static int IsVolatile(const struct sl_vfs *vfs, const char *path, bool *result)
    {
        SimDisk *disk = DiskOf(vfs);
        Lock lock(disk->mutex_);
        const Table *table = static_cast<const Table *>(vfs);
        *result = disk->volatile_;
        if (table->life != 0 && table->life != disk->life_)
            return EIO;
        return disk->Find(Plain(path)) == nullptr ? ENOENT : 0;
    }
};

SimDisk::SimDisk(uint64_t seed) : table_(std::make_unique<Table>()), random_(seed)
{
    table_->open = Calls::Open;
    table_->close = Calls::Close;
    table_->read = Calls::Read;
    table_->write = Calls::Write;
    table_->sync = Calls::Sync;
    table_->truncate = Calls::Truncate;
    table_->size = Calls::Size;
    table_->links = Calls::Links;
    table_->mode = Calls::Mode;
    table_->make_directory = Calls::MakeDirectory;
    table_->sync_directory = Calls::SyncDirectory;
    table_->list = Calls::List;
    table_->rename = Calls::Rename;
    table_->link = Calls::Link;
    table_->unlink = Calls::Unlink;
    table_->lock = Calls::LockFile;
    table_->space = Calls::Space;
    table_->is_volatile = Calls::IsVolatile;
    table_->disk = this;
    table_->life = 0;
    NodePointer root = std::make_shared<Node>();
    root->is_directory = true;
    names_["/"] = platter_names_["/"] = root;
}

SimDisk::~SimDisk() = default;

const struct sl_vfs *SimDisk::vfs() const
{
    return table_.get();
}

const struct sl_vfs *SimDisk::VfsOfThisLife()
{
    std::lock_guard<std::mutex> lock(mutex_);
    tables_.push_back(std::make_unique<Table>(*table_));
    tables_.back()->life = life_;
    return tables_.back().get();
}

/*
 * ---- what tests do and ask --------------------------------------------------------------------
 */

std::unique_ptr<SimDisk> SimDisk::Clone(uint64_t seed) const
{
    auto clone = std::make_unique<SimDisk>(seed);
    std::lock_guard<std::mutex> lock(mutex_);
    std::map<const Node *, NodePointer> copies;
    auto copy_of = [&](const NodePointer &node) {
        NodePointer &copy = copies[node.get()];
        if (copy == nullptr) {
            copy = std::make_shared<Node>(*node);
            copy->locked_by = nullptr;
        }
        return copy;
    };
    for (const auto &[path, node] : names_)
        clone->names_[path] = copy_of(node);
    for (const auto &[path, node] : platter_names_)
        clone->platter_names_[path] = copy_of(node);
    for (const Change &change : changes_)
        clone->changes_.push_back({ change.set, change.clear, copy_of(change.node) });
    return clone;
}

void SimDisk::FailNth(DiskCall call, uint64_t n, int error, bool sticky)
{
    std::lock_guard<std::mutex> lock(mutex_);
    size_t index = static_cast<size_t>(call);
    failures_[index] = Failure();
    if (n == 0)
        return;
    failures_[index].at = counts_[index] + n;
    failures_[index].error = error;
    failures_[index].sticky = sticky;
}

uint64_t SimDisk::failures() const
{
    std::lock_guard<std::mutex> lock(mutex_);
    return failed_;
}

void SimDisk::SetFreeSpace(uint64_t bytes)
{
    std::lock_guard<std::mutex> lock(mutex_);
    capacity_ = bytes == UINT64_MAX ? UINT64_MAX : Used() + bytes;
}

void SimDisk::SetDirectIo(DirectIo mode)
{
    std::lock_guard<std::mutex> lock(mutex_);
    direct_ = mode;
}

void SimDisk::SetVolatile(bool is_volatile)
{
    std::lock_guard<std::mutex> lock(mutex_);
    volatile_ = is_volatile;
}

void SimDisk::SetDelay(unsigned delay_ms)
{
    std::lock_guard<std::mutex> lock(mutex_);
    delay_ms_ = delay_ms;
}

void SimDisk::Hold(bool hold)
{
    std::lock_guard<std::mutex> lock(mutex_);
    hold_ = hold;
    changed_.notify_all();
}

void SimDisk::HoldSyncs(bool hold)
{
    std::lock_guard<std::mutex> lock(mutex_);
    hold_syncs_ = hold;
    changed_.notify_all();
}

void SimDisk::HoldReadsOf(const std::string &thread)
{
    std::lock_guard<std::mutex> lock(mutex_);
    reader_held_ = thread;
    changed_.notify_all();
}

bool SimDisk::WaitForHeld(size_t count)
{
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10),
                             [&] { return flights_.size() >= count; });
}

uint64_t SimDisk::Count(DiskCall call) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    return counts_[static_cast<size_t>(call)];
}

uint64_t SimDisk::written_bytes() const
{
    std::lock_guard<std::mutex> lock(mutex_);
    return written_bytes_;
}

std::vector<std::string> SimDisk::Paths() const
{
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> paths;
    for (const auto &[path, node] : names_)
        if (path != "/")
            paths.push_back(node->is_directory ? path + "/" : path);
    return paths;
}

std::vector<std::string> SimDisk::Files() const
{
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> paths;
    for (const auto &[path, node] : names_)
        if (!node->is_directory)
            paths.push_back(path);
    return paths;
}

bool SimDisk::Exists(const std::string &path) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    return Find(Plain(path)) != nullptr;
}

std::string SimDisk::Bytes(const std::string &path) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    NodePointer node = FileAt(path);
    return std::string(node->cache.begin(), node->cache.end());
}

bool SimDisk::IsDurable(const std::string &path) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    NodePointer node = FileAt(path);
    auto named = platter_names_.find(Plain(path));
    return named != platter_names_.end() && named->second == node &&
           node->platter_size == node->cache.size() &&
           std::all_of(node->sectors.begin(), node->sectors.end(),
                       [](Sector sector) { return sector == Sector::kClean; });
}

void SimDisk::Flip(const std::string &path, uint64_t byte, unsigned bit)
{
    std::lock_guard<std::mutex> lock(mutex_);
    FlipIn(FileAt(path).get(), byte, bit);
}

void SimDisk::FlipWhere(const std::string &part, const std::string &needle, unsigned bit)
{
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto &[path, node] : names_) {
        if (node->is_directory || path.find(part) == std::string::npos)
            continue;
        auto found =
            std::search(node->cache.begin(), node->cache.end(), needle.begin(), needle.end());
        if (found != node->cache.end())
            FlipIn(node.get(), static_cast<uint64_t>(found - node->cache.begin()), bit);
    }
}

void SimDisk::FlipIn(Node *node, uint64_t byte, unsigned bit)
{
    SL_ASSERT(byte < node->cache.size() && bit < 8);
    node->cache[byte] ^= static_cast<uint8_t>(1u << bit);
    if (byte < node->platter.size())
        node->platter[byte] ^= static_cast<uint8_t>(1u << bit);
}

void SimDisk::SetBytes(const std::string &path, const std::string &bytes)
{
    std::lock_guard<std::mutex> lock(mutex_);
    std::string plain = Plain(path);
    NodePointer node = Find(plain);
    if (node == nullptr) {
        SL_ASSERT(CheckParent(plain) == 0);
        node = std::make_shared<Node>();
        names_[plain] = platter_names_[plain] = node;
    }
    node->cache.assign(bytes.begin(), bytes.end());
    node->sectors.assign(SectorsOf(bytes.size()), Sector::kDirty);
    SyncNode(node.get());
}

void SimDisk::Remove(const std::string &path)
{
    std::lock_guard<std::mutex> lock(mutex_);
    SL_ASSERT(Find(Plain(path)) != nullptr);
    names_.erase(Plain(path));
    platter_names_.erase(Plain(path));
}

void SimDisk::MakeDirectory(const std::string &path)
{
    std::lock_guard<std::mutex> lock(mutex_);
    std::string plain = Plain(path);
    SL_ASSERT(CheckParent(plain) == 0);
    NodePointer node = std::make_shared<Node>();
    node->is_directory = true;
    names_[plain] = platter_names_[plain] = node;
}

} // namespace sluice_test
