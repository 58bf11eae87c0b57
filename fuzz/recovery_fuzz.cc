/*
 * Any bytes as damage to a data directory. It begins as a small one with everything in it, and every
 * command changes a file: bytes of the input in the place of others, cut, removed, taken for
 * another. An odd first byte asks for the checksums to be put right afterwards. Then a start refuses
 * the directory, or serves what it has: every stream can be asked for and read until its end or its
 * first damaged byte, and all that was read is there again after an orderly end. A directory in
 * which fsck finds nothing wrong starts.
 */
#include "base/log.h"
#include "base/memory.h"
#include "server/fsck.h"
#include "support/seal.h"
#include "support/small_directory.h"

#include <cstdio>
#include <cstdlib>

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

/* ---- damage ---- */

class Damage
{
  public:
    Damage(SimDisk *disk, Input *input) : disk_(disk), input_(input)
    {
    }
    void Do()
    {
        bool seals = input_->Number(1) % 2 == 1;
        for (unsigned i = 0; i < kCommandsMax && !input_->IsEmpty(); i++)
            Command();
        if (seals)
            Seal();
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
            bytes.replace(at, size, input_->Bytes(size));
            break;
        case 2:
            bytes.insert(at, input_->Bytes(size));
            break;
        case 3:
            bytes.resize(at);
            break;
        case 4:
            bytes.replace(at, size, std::string(std::min(size, bytes.size() - at), '\0'));
            break;
        case 5:
            bytes = input_->Bytes(SIZE_MAX);
            break;
        case 6:
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

void Start(SimDisk *disk, enum sl_exit_code fsck)
{
    struct sl_engine *engine = nullptr;
    enum sl_err err = SmallDirectory::Open(disk, &engine);
    Must(err == SL_OK || (IsRefusal(err) && engine == nullptr), "a start succeeds or refuses");
    Must(err == SL_OK || fsck != SL_EXIT_CLEAN, "what fsck finds well starts");
    if (err != SL_OK)
        return;
    std::map<std::string, Shown> first = ReadAll(engine);
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
    static SmallDirectory *made = nullptr;
    if (made == nullptr) {
        if (getenv("FUZZ_LOG") == nullptr)
            sl_log_set_level(kNoLog);
        made = new SmallDirectory();
        Must(!testing::Test::HasFailure(), "the directory is made");
        Must(freopen("/dev/null", "w", stdout) != nullptr, "fsck can talk to nobody");
    }
    std::unique_ptr<SimDisk> disk = made->disk().Clone(1);
    Input input(data, size);
    Damage(disk.get(), &input).Do();
    Start(disk.get(), Fsck(disk.get()));
    Must(!testing::Test::HasFailure(), "answers are consistent");
    return 0;
}
