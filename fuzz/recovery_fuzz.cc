/*
 * Any bytes as damage to a data directory. It begins as a small one with everything in it, and every
 * command changes a file: bytes of the input in the place of others, cut, removed, taken for
 * another. Then a start refuses the directory, or serves what it has: every stream can be asked for
 * and read until its end or its first damaged byte, and all that was read is there again after an
 * orderly end. A directory in which fsck finds nothing wrong starts and can be read.
 *
 * The first byte says whether all checksums are put right afterwards, or whether the damage is of
 * the kind that they notice for certain: then what can be read is what was written.
 *
 * The directory lies in fuzz/base, so that an input means the same damage in every run and in every
 * later version; log files end there with their last byte that is not zero. FUZZ_MAKE_BASE=1 makes
 * another one, with which all inputs mean something else.
 */
#include "base/log.h"
#include "base/memory.h"
#include "server/fsck.h"
#include "support/seal.h"
#include "support/small_directory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

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
        kind_ = kinds[input_->Number(1) % 3];
        for (unsigned i = 0; i < kCommandsMax && !input_->IsEmpty(); i++)
            Command();
        if (kind_ == DamageKind::kSealed)
            Seal();
    }
    DamageKind kind() const
    {
        return kind_;
    }

  private:
    static constexpr const char *kShard = "/disk/data/shard-00/";

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
    void Command()
    {
        uint64_t command = input_->Number(1);
        std::string file = AnyFile();
        std::string bytes = disk_->Exists(file) ? disk_->Bytes(file) : "";
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
        std::string manifest_path = std::string(kShard) + "MANIFEST";
        std::string manifest = disk_->Exists(manifest_path) ? disk_->Bytes(manifest_path) : "";
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
            disk_->SetBytes(manifest_path, manifest);
    }

    SimDisk *disk_;
    Input *input_;
    DamageKind kind_ = DamageKind::kAny;
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

std::map<std::string, Shown> ReadAll(struct sl_engine *engine)
{
    std::map<std::string, Shown> all;
    Session session(engine);
    for (const std::string &name : session.List())
        all[name] = ReadStream(&session, name);
    return all;
}

std::map<std::string, Shown> ReadUndamaged(const SimDisk &base)
{
    std::unique_ptr<SimDisk> disk = base.Clone(1);
    struct sl_engine *engine = nullptr;
    Must(SmallDirectory::Open(disk.get(), &engine) == SL_OK, "what is not damaged starts");
    std::map<std::string, Shown> all = ReadAll(engine);
    sl_engine_close(&engine);
    for (const auto &[name, shown] : all)
        Must(shown.err == SL_OK, "what is not damaged can be read");
    return all;
}

/* Something of everything that a client may ask. */
void Serve(struct sl_engine *engine, const std::map<std::string, Shown> &streams)
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

/* What is shown of each stream is its beginning, or all of it if nothing is said. */
void CheckRight(const std::map<std::string, Shown> &streams,
                const std::map<std::string, Shown> &right)
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

void Start(SimDisk *disk, enum sl_exit_code fsck, const std::map<std::string, Shown> *right)
{
    struct sl_engine *engine = nullptr;
    enum sl_err err = SmallDirectory::Open(disk, &engine);
    Must(err == SL_OK || (IsRefusal(err) && engine == nullptr), "a start succeeds or refuses");
    Must(err == SL_OK || fsck != SL_EXIT_CLEAN, "what fsck finds well starts");
    if (err != SL_OK)
        return;
    std::map<std::string, Shown> first = ReadAll(engine);
    if (right != nullptr)
        CheckRight(first, *right);
    for (const auto &[name, shown] : first)
        Must(shown.err == SL_OK || fsck != SL_EXIT_CLEAN, "what fsck finds well can be read");
    sl_engine_close(&engine);
    Must(SmallDirectory::Open(disk, &engine) == SL_OK, "what was started and ended starts again");
    std::map<std::string, Shown> second = ReadAll(engine);
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
    static std::map<std::string, Shown> whole; /* what it shows without damage */
    if (base == nullptr) {
        if (getenv("FUZZ_LOG") == nullptr)
            sl_log_set_level(kNoLog);
        if (getenv("FUZZ_MAKE_BASE") != nullptr)
            MakeBase();
        base = LoadBase();
        whole = ReadUndamaged(*base);
        Must(freopen("/dev/null", "w", stdout) != nullptr, "fsck can talk to nobody");
    }
    std::unique_ptr<SimDisk> disk = base->Clone(1);
    Input input(data, size);
    Damage damage(disk.get(), &input);
    damage.Do();
    bool must_be_right = damage.kind() == DamageKind::kRot && !IsForgotten(*disk);
    Start(disk.get(), Fsck(disk.get()), must_be_right ? &whole : nullptr);
    Must(!testing::Test::HasFailure(), "answers are consistent");
    return 0;
}
