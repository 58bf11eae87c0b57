/*
 * Any bytes as damage to a data directory. It begins as a small one with everything in it, and every
 * command changes a file: bytes of the input in the place of others, cut, removed, taken for
 * another. Then a start refuses the directory, or serves what it has: every stream can be asked for
 * and read until its end or its first damaged byte, and all that was read is there again after an
 * orderly end. A directory in which fsck finds nothing wrong starts and can be read.
 *
 * The first byte says whether all checksums are put right afterwards, or whether the damage is of
 * the kind that they notice for certain: then what can be read is what was written. It says, too,
 * whether the directory is that of a server which was killed: then its last frames may be gone, but
 * only as far as nothing behind them shows that they were there, as a plain reading of the log says.
 *
 * The directory lies in fuzz/base, so that an input means the same damage in every run and in every
 * later version; log files end there with their last byte that is not zero. FUZZ_MAKE_BASE=1 makes
 * another one, with which all inputs mean something else.
 */
#include "base/log.h"
#include "base/memory.h"
#include "journal/wal_files.h"
#include "server/fsck.h"
#include "support/plain_log.h"
#include "support/seal.h"
#include "support/small_directory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

using namespace sluice_test;

namespace
{

constexpr enum sl_log_level kNoLog = static_cast<enum sl_log_level>(SL_LOG_ERROR + 1);
constexpr unsigned kCommandsMax = 32;
constexpr uint64_t kPagesMax = 64; /* of a stream; what its state says may be any number */

void Must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "broken rule: %s\n", what);
    abort();
}

/* The input, front to back; zeros behind its end. */
class Input
{
  public:
    Input(const uint8_t *data, size_t size) : data_(data), size_(size)
    {
    }
    bool IsEmpty() const
    {
        return size_ == 0;
    }
    uint64_t Number(unsigned bytes)
    {
        uint64_t number = 0;
        for (; bytes > 0; bytes--)
            number = number << 8 | (size_ == 0 ? 0 : (size_--, *data_++));
        return number;
    }
    std::string Bytes(size_t most)
    {
        size_t size = std::min(size_, most);
        std::string bytes(reinterpret_cast<const char *>(data_), size);
        data_ += size;
        size_ -= size;
        return bytes;
    }

  private:
    const uint8_t *data_;
    size_t size_;
};

/* ---- the directory ---- */

namespace fs = std::filesystem;

const fs::path kBase = SL_FUZZ_BASE; /* holds what is in kData on the simulated disk */
constexpr const char *kData = "/disk/data";
constexpr const char *kShard = "/disk/data/shard-00/";
constexpr const char *kManifest = "/disk/data/shard-00/MANIFEST";

bool IsLogFile(const fs::path &path)
{
    return path.filename().string().compare(0, 4, "wal-") == 0;
}

void MakeBase()
{
    SmallDirectory made;
    Must(!testing::Test::HasFailure(), "the directory is made");
    fs::remove_all(kBase);
    for (const std::string &file : made.disk().Files()) {
        fs::path path = kBase / fs::relative(file, kData);
        std::string bytes = made.disk().Bytes(file);
        if (IsLogFile(path))
            bytes.resize(bytes.find_last_not_of('\0') + 1);
        fs::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << bytes;
    }
}

std::unique_ptr<SimDisk> LoadBase()
{
    auto disk = std::make_unique<SimDisk>(1);
    disk->MakeDirectory("/disk");
    disk->MakeDirectory(kData);
    for (const fs::directory_entry &entry : fs::recursive_directory_iterator(kBase)) {
        std::string place = kData / fs::relative(entry.path(), kBase);
        if (entry.is_directory()) {
            disk->MakeDirectory(place);
            continue;
        }
        std::ifstream file(entry.path(), std::ios::binary);
        std::string bytes{ std::istreambuf_iterator<char>(file), {} };
        if (IsLogFile(place))
            bytes.resize(SmallDirectory::kWalFileBytes);
        disk->SetBytes(place, bytes);
    }
    Must(!disk->Files().empty(), "the directory is there");
    return disk;
}

/* What a clean end has said of the log is not there: as if the process had been killed before. */
void ForgetEnd(SimDisk *disk)
{
    std::string bytes = disk->Bytes(kManifest);
    struct sl_manifest manifest;
    struct sl_buffer encoded = {};
    bool one_copy;
    Must(sl_manifest_decode(sl_bytes(bytes.data(), bytes.size()), &manifest, &one_copy),
         "the manifest can be read");
    manifest.durable_lsn = manifest.mark.lsn - 1;
    sl_manifest_encode(&manifest, &encoded);
    disk->SetBytes(kManifest, std::string(reinterpret_cast<char *>(encoded.data), encoded.size));
    sl_buffer_deinit(&encoded);
    sl_manifest_deinit(&manifest);
}

/* None: the manifest cannot be read. */
std::optional<PlainLog> ReadLog(const SimDisk &disk)
{
    std::string bytes = disk.Exists(kManifest) ? disk.Bytes(kManifest) : "";
    struct sl_manifest manifest;
    bool one_copy;
    if (!sl_manifest_decode(sl_bytes(bytes.data(), bytes.size()), &manifest, &one_copy))
        return std::nullopt;
    PlainLog::Files files;
    for (const std::string &file : disk.Files()) {
        uint64_t number;
        if (sl_wal_file_number(file.c_str() + file.rfind('/') + 1, &number))
            files[number] = disk.Bytes(file);
    }
    PlainLog log(std::move(files), SmallDirectory::kWalFileBytes, manifest);
    sl_manifest_deinit(&manifest);
    return log;
}

/* Nothing shows that anything was ever there. */
bool IsForgotten(const SimDisk &disk)
{
    std::vector<std::string> files = disk.Files();
    return std::none_of(files.begin(), files.end(), [](const std::string &file) {
        return file.find("/shard-00/") != std::string::npos ||
               file.find("/SLUICE") != std::string::npos;
    });
}

/* ---- damage ---- */

enum class DamageKind {
    kAny,
    kSealed, /* with checksums that fit */
    kRot,    /* no bytes of the input, in which a checksum could be */
};

class Damage
{
  public:
    Damage(SimDisk *disk, Input *input) : disk_(disk), input_(input)
    {
    }
    void Do()
    {
        static constexpr DamageKind kinds[] = { DamageKind::kAny, DamageKind::kSealed,
                                                DamageKind::kRot };
        uint64_t first = input_->Number(1);
        kind_ = kinds[first % 3];
        killed_ = first >= kKilled;
        if (killed_)
            ForgetEnd(disk_);
        for (unsigned i = 0; i < kCommandsMax && !input_->IsEmpty(); i++)
            Command();
        if (kind_ == DamageKind::kSealed)
            Seal();
    }
    DamageKind kind() const
    {
        return kind_;
    }
    bool killed() const
    {
        return killed_;
    }

  private:
    static constexpr uint64_t kKilled = 0x80;
    static constexpr uint64_t kField = 0xe; /* upper half of the command that changes a frame */

    std::string AnyFile()
    {
        std::vector<std::string> files = disk_->Files();
        return files.empty() ? "/disk/data/SLUICE" : files[input_->Number(1) % files.size()];
    }
    /* A file that need not be there. */
    std::string AnyName()
    {
        uint64_t kind = input_->Number(1), number = input_->Number(1);
        char name[32];
        snprintf(name, sizeof(name), kind % 2 == 0 ? "seg-%016llx" : "wal-%016llx",
                 static_cast<unsigned long long>(number));
        return kind % 4 < 2 ? AnyFile() : kShard + std::string(name);
    }
    /* Bytes to be put in the place of so many; a CRC notices any change within 32 bits. */
    std::string OtherBytes(const std::string &bytes, size_t size)
    {
        if (kind_ != DamageKind::kRot)
            return input_->Bytes(size);
        std::string other = bytes;
        for (char &byte : other)
            byte = static_cast<char>(byte ^ static_cast<char>(input_->Number(1)));
        return other;
    }
    /* One field of the header of one frame, with a checksum that fits. */
    void ChangeField(std::string *bytes)
    {
        static constexpr struct {
            size_t at, size;
        } fields[] = { { 8, 2 },  { 10, 2 }, { 12, 4 }, { 16, 4 }, { 20, 4 }, { 24, 8 },
                       { 32, 8 }, { 40, 8 }, { 48, 8 }, { 56, 8 }, { 64, 8 }, { 72, 4 } };
        std::vector<size_t> frames;
        for (size_t at = 0; at + SL_FRAME_HEADER_BYTES <= bytes->size(); at += 4096)
            if (bytes->compare(at, 4, "SLFR") == 0)
                frames.push_back(at);
        if (frames.empty())
            return;
        uint8_t *frame = Data(bytes) + frames[input_->Number(1) % frames.size()];
        auto field = fields[input_->Number(1) % std::size(fields)];
        uint64_t value = 0;
        memcpy(&value, frame + field.at, field.size);
        value += static_cast<uint64_t>(static_cast<int8_t>(input_->Number(1)));
        memcpy(frame + field.at, &value, field.size);
        seal_frame_header(frame);
    }
    void Command()
    {
        uint64_t command = input_->Number(1);
        std::string file = AnyFile();
        std::string bytes = disk_->Exists(file) ? disk_->Bytes(file) : "";
        if (command >> 4 == kField && kind_ != DamageKind::kRot) {
            ChangeField(&bytes);
            disk_->SetBytes(file, bytes);
            return;
        }
        size_t at = bytes.empty() ? 0 : input_->Number(2) % bytes.size();
        size_t size = input_->Number(1);
        switch (command % 8) {
        case 0:
        case 1:
            bytes.replace(at, size, OtherBytes(bytes.substr(at, std::min<size_t>(size, 4)), size));
            break;
        case 2:
            bytes.insert(at, OtherBytes("", size));
            break;
        case 3:
            bytes.resize(at);
            break;
        case 4:
            bytes.replace(at, size, std::string(std::min(size, bytes.size() - at), '\0'));
            break;
        case 5:
            bytes = OtherBytes("", SIZE_MAX);
            break;
        case 6:
            if (disk_->Exists(file))
                disk_->Remove(file);
            return;
        default:
            file = AnyName();
            break;
        }
        disk_->SetBytes(file, bytes);
    }

    static uint8_t *Data(std::string *bytes)
    {
        return reinterpret_cast<uint8_t *>(&(*bytes)[0]);
    }
    void Seal()
    {
        std::vector<std::string> files = disk_->Files();
        std::string manifest = disk_->Exists(kManifest) ? disk_->Bytes(kManifest) : "";
        uint32_t chain = 0;
        bool is_first = true;
        for (const std::string &file : files) {
            std::string bytes = disk_->Bytes(file);
            size_t name = file.rfind('/') + 1;
            if (file.compare(name, 4, "seg-") == 0) {
                seal_segment(Data(&bytes), bytes.size());
                seal_manifest_segment(Data(&manifest), manifest.size(),
                                      strtoull(file.c_str() + name + 4, nullptr, 16), Data(&bytes),
                                      bytes.size());
            } else if (file.compare(name, 4, "wal-") == 0) {
                if (is_first && bytes.size() >= 76)
                    memcpy(&chain, bytes.data() + 72, sizeof(chain));
                is_first = false;
                chain = seal_frames(Data(&bytes), bytes.size(), chain);
            } else if (file.compare(name, 6, "SLUICE") == 0) {
                seal_identity(Data(&bytes), bytes.size());
            } else {
                continue;
            }
            disk_->SetBytes(file, bytes);
        }
        seal_manifest(Data(&manifest), manifest.size());
        if (!manifest.empty())
            disk_->SetBytes(kManifest, manifest);
    }

    SimDisk *disk_;
    Input *input_;
    DamageKind kind_ = DamageKind::kAny;
    bool killed_ = false;
};

/* ---- what may come of it ---- */

/* What a stream shows. */
struct Shown {
    uint64_t id = 0;
    enum sl_err err = SL_OK; /* that ended the read */
    std::string bytes;
};

Shown ReadStream(Session *session, const std::string &name)
{
    Shown shown;
    ReadReply reply = session->Read(name, FromStart());
    for (uint64_t page = 0; page < kPagesMax && reply.err == SL_OK; page++) {
        shown.id = reply.stream.id;
        shown.bytes += reply.data;
        if (reply.next >= reply.stream.tail)
            break;
        Must(!reply.data.empty(), "a read makes progress");
        reply = session->Read(
            name, From(reply.next).Limit(reply.next < reply.page_end ? reply.page_end : 0));
    }
    shown.err = reply.err;
    Must(shown.err == SL_OK || shown.err == SL_ERR_DATA_DAMAGED, "a read is answered or damaged");
    return shown;
}

using Streams = std::map<std::string, Shown>; /* by name */

Streams ReadAll(struct sl_engine *engine)
{
    Streams all;
    Session session(engine);
    for (const std::string &name : session.List())
        all[name] = ReadStream(&session, name);
    return all;
}

/* None: a start refuses it. */
std::optional<Streams> ReadUndamaged(SimDisk *disk)
{
    struct sl_engine *engine = nullptr;
    if (SmallDirectory::Open(disk, &engine) != SL_OK)
        return std::nullopt;
    Streams all = ReadAll(engine);
    sl_engine_close(&engine);
    for (const auto &[name, shown] : all)
        Must(shown.err == SL_OK, "what is not damaged can be read");
    return all;
}

/* Of the directory of a server that was killed when its log had so many frames. */
const std::optional<Streams> &ReadKilled(const SimDisk &base, size_t count)
{
    static std::map<size_t, std::optional<Streams>> known;
    auto [found, is_new] = known.try_emplace(count);
    if (!is_new)
        return found->second;
    std::unique_ptr<SimDisk> disk = base.Clone(1);
    ForgetEnd(disk.get());
    const std::vector<uint64_t> frames = ReadLog(*disk)->frames();
    for (size_t i = count; i < frames.size(); i++) {
        char name[SL_WAL_FILE_NAME_SIZE];
        sl_wal_file_name(frames[i] / SmallDirectory::kWalFileBytes, name);
        std::string bytes = disk->Bytes(kShard + std::string(name));
        bytes.resize(frames[i] % SmallDirectory::kWalFileBytes);
        bytes.resize(SmallDirectory::kWalFileBytes);
        disk->SetBytes(kShard + std::string(name), bytes);
    }
    return found->second = ReadUndamaged(disk.get());
}

/* Something of everything that a client may ask. */
void Serve(struct sl_engine *engine, const Streams &streams)
{
    Session session(engine);
    (void)session.Create("a new one");
    Must(session.Append("a new one", Body("bytes")).err == SL_OK, "a new stream works");
    for (const auto &[name, shown] : streams) {
        Reply head = session.Head(name);
        Must(head.err == SL_OK, "what is listed is there");
        std::string type(head.stream.content_type, head.stream.content_type_size);
        (void)session.Append(name, Body("\"more\"").Type(type).Producer("producer", 0, 3));
        (void)session.Create("fork of " + name, ForkOf(name));
    }
    (void)session.Delete("cold");
    (void)session.Delete("a new one");
}

enum sl_exit_code Fsck(SimDisk *disk)
{
    struct sl_store_setup setup = {};
    struct sl_store *store = nullptr;
    setup.vfs = disk->VfsOfThisLife();
    setup.path = "/disk/data";
    setup.must_exist = true;
    setup.read_only = true;
    if (sl_store_open(&setup, &store) != SL_OK)
        return SL_EXIT_CORRUPT;
    enum sl_exit_code code = sl_fsck_check(store);
    sl_store_close(&store);
    return code;
}

bool IsRefusal(enum sl_err err)
{
    return err == SL_ERR_DATA_CORRUPT || err == SL_ERR_DATA_VERSION || err == SL_ERR_DATA_SHARDS ||
           err == SL_ERR_DATA_DIRECTORY || err == SL_ERR_DATA_KIND || err == SL_ERR_STORAGE_FAILED;
}

/* What is known of a damaged directory. */
struct Verdict {
    bool is_refused = false;        /* a start may not believe it */
    const Streams *right = nullptr; /* what is shown is a part of this; NULL: anything may be */
};

Verdict Judge(const SimDisk &base, const SimDisk &disk, const Damage &damage)
{
    static const std::optional<Streams> whole = ReadUndamaged(base.Clone(1).get());
    constexpr const char *identity = "/disk/data/SLUICE";
    Verdict verdict;
    Must(whole.has_value(), "what is not damaged starts");
    std::optional<PlainLog> log;
    /* The log is read by what this file says. */
    if (disk.Exists(identity) && disk.Bytes(identity) == base.Bytes(identity))
        log = ReadLog(disk);
    verdict.is_refused = log && log->is_damaged();
    if (damage.kind() != DamageKind::kRot || IsForgotten(disk) || verdict.is_refused)
        return verdict;
    if (!damage.killed()) {
        verdict.right = &*whole;
    } else if (log) {
        const std::optional<Streams> &left = ReadKilled(base, log->frames().size());
        verdict.is_refused = !left;
        verdict.right = left ? &*left : nullptr;
    }
    return verdict;
}

/* What is shown of each stream is its beginning, or all of it if nothing is said. */
void CheckRight(const Streams &streams, const Streams &right)
{
    Must(streams.size() == right.size(), "no stream comes or goes");
    for (const auto &[name, shown] : right) {
        auto found = streams.find(name);
        Must(found != streams.end(), "no stream is taken for another");
        const Shown &now = found->second;
        Must(shown.bytes.compare(0, now.bytes.size(), now.bytes) == 0, "what is shown is right");
        Must(now.err != SL_OK || now.bytes.size() == shown.bytes.size(),
             "nothing is lost silently");
    }
}

void Start(SimDisk *disk, enum sl_exit_code fsck, const Verdict &verdict)
{
    struct sl_engine *engine = nullptr;
    enum sl_err err = SmallDirectory::Open(disk, &engine);
    Must(err == SL_OK || (IsRefusal(err) && engine == nullptr), "a start succeeds or refuses");
    Must(err == SL_OK || fsck != SL_EXIT_CLEAN, "what fsck finds well starts");
    if (err != SL_OK)
        return;
    Must(!verdict.is_refused, "damage to what was durable is no end of a log");
    Streams first = ReadAll(engine);
    if (verdict.right != nullptr)
        CheckRight(first, *verdict.right);
    for (const auto &[name, shown] : first)
        Must(shown.err == SL_OK || fsck != SL_EXIT_CLEAN, "what fsck finds well can be read");
    sl_engine_close(&engine);
    Must(SmallDirectory::Open(disk, &engine) == SL_OK, "what was started and ended starts again");
    Streams second = ReadAll(engine);
    for (const auto &[name, shown] : first) {
        const Shown &again = second[name];
        Must(shown.id == again.id, "a stream stays");
        Must(shown.err != SL_OK || (again.err == SL_OK && again.bytes == shown.bytes),
             "what was read can be read again");
    }
    Serve(engine, second);
    sl_engine_close(&engine);
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static std::unique_ptr<SimDisk> base;
    if (base == nullptr) {
        if (getenv("FUZZ_LOG") == nullptr)
            sl_log_set_level(kNoLog);
        if (getenv("FUZZ_MAKE_BASE") != nullptr)
            MakeBase();
        base = LoadBase();
        Must(freopen("/dev/null", "w", stdout) != nullptr, "fsck can talk to nobody");
    }
    std::unique_ptr<SimDisk> disk = base->Clone(1);
    Input input(data, size);
    Damage damage(disk.get(), &input);
    damage.Do();
    Start(disk.get(), Fsck(disk.get()), Judge(*base, *disk, damage));
    Must(!testing::Test::HasFailure(), "answers are consistent");
    return 0;
}
