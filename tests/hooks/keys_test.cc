#include "hooks/keys.h"

#include "base/crc32c.h"
#include "hooks/token.h"
#include "support/sim_disk.h"
#include "support/vfs_files.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <memory>

using sluice_test::DiskCall;
using sluice_test::SimDisk;
using sluice_test::TemporaryDirectory;

constexpr char kDirectory[] = "/data";
constexpr char kFile[] = "/data/KEYS";
constexpr int64_t kNow = 1764132000123;

struct Close {
    void operator()(struct sl_keys *keys) const
    {
        sl_keys_close(&keys);
        EXPECT_EQ(keys, nullptr);
    }
};
using Keys = std::unique_ptr<struct sl_keys, Close>;

static enum sl_err open_keys(const struct sl_vfs *vfs, const char *directory, Keys *keys)
{
    struct sl_keys *opened = nullptr;
    enum sl_err err = sl_keys_open(vfs, directory, &opened);
    EXPECT_EQ(err == SL_OK, opened != nullptr);
    keys->reset(opened);
    return err;
}

static Keys keys_in(const SimDisk &disk)
{
    Keys keys;
    EXPECT_EQ(open_keys(disk.vfs(), kDirectory, &keys), SL_OK);
    return keys;
}

static enum sl_err read_keys(const struct sl_vfs *vfs, const char *directory, Keys *keys)
{
    struct sl_keys *read = nullptr;
    enum sl_err err = sl_keys_read(vfs, directory, &read);
    EXPECT_EQ(err == SL_OK, read != nullptr);
    keys->reset(read);
    return err;
}

/* What makes two keys the same: who they are and whose tokens they know. */
static std::string identity(const Keys &keys)
{
    return std::string(sl_keys_id(keys.get())) + " " +
           std::string(reinterpret_cast<const char *>(sl_keys_token_secret(keys.get())),
                       SL_TOKEN_SECRET_SIZE);
}

static std::string take(struct sl_buffer *buffer)
{
    std::string text(reinterpret_cast<char *>(buffer->data), buffer->size);
    sl_buffer_deinit(buffer);
    return text;
}

static std::string sign(const Keys &keys, int64_t wall_ms, std::string_view body)
{
    struct sl_buffer out = {};
    sl_keys_sign(keys.get(), wall_ms, sl_bytes(body.data(), body.size()), &out);
    return take(&out);
}

static std::string jwks(const Keys &keys, int64_t wall_ms = kNow)
{
    struct sl_buffer out = {};
    sl_keys_append_jwks(keys.get(), wall_ms, &out);
    return take(&out);
}

/* What stands between two texts, from *at on, which moves behind it; "" if nothing does. */
static std::string between(const std::string &text, const char *before, const char *after,
                           size_t *at)
{
    size_t start = text.find(before, *at);
    size_t end = start == std::string::npos ? start : text.find(after, start + strlen(before));
    *at = end;
    if (end == std::string::npos)
        return "";
    start += strlen(before);
    return text.substr(start, end - start);
}

/* The ids in a set, in their order. */
static std::vector<std::string> ids_in(const std::string &set)
{
    std::vector<std::string> ids;
    for (size_t at = 0; at != std::string::npos;) {
        std::string id = between(set, "\"kid\":\"", "\"", &at);
        if (!id.empty())
            ids.push_back(id);
    }
    return ids;
}

/* As a receiver does it: with nothing but the header, the body and the set. */
static bool verifies(const std::string &header, const std::string &body, const std::string &set)
{
    size_t at = 0;
    const std::string seconds = between(header, "t=", ",", &at);
    const std::string kid = between(header, ",kid=", ",", &at);
    const std::string signature_text = between(header + "\n", ",ed25519=", "\n", &at);
    EXPECT_EQ(header, "t=" + seconds + ",kid=" + kid + ",ed25519=" + signature_text);
    size_t place = set.find("\",\"kid\":\"" + kid + "\"");
    if (place == std::string::npos)
        return false;
    const std::string x = set.substr(place - SL_BASE64URL_SIZE(32), SL_BASE64URL_SIZE(32));
    uint8_t public_key[32], signature[64];
    if (!sl_base64url_decode(sl_bytes_of(x.c_str()), public_key, sizeof(public_key)) ||
        !sl_base64url_decode(sl_bytes_of(signature_text.c_str()), signature, sizeof(signature)))
        return false;
    std::string text = seconds + "." + body;
    EVP_PKEY *known =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key, sizeof(public_key));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EXPECT_EQ(EVP_DigestVerifyInit(context, nullptr, nullptr, nullptr, known), 1);
    bool good = EVP_DigestVerify(context, signature, sizeof(signature),
                                 reinterpret_cast<const uint8_t *>(text.data()), text.size()) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(known);
    return good;
}

class KeysTest : public ::testing::Test
{
  protected:
    KeysTest() : disk_(1)
    {
        disk_.MakeDirectory(kDirectory);
    }

    SimDisk disk_;
};

TEST_F(KeysTest, SurviveARestart)
{
    std::string before = identity(keys_in(disk_));
    EXPECT_EQ(identity(keys_in(disk_)), before);
    EXPECT_EQ(disk_.Files(), std::vector<std::string>{ kFile });
}

TEST_F(KeysTest, AreNewInANewDirectoryAndInMemory)
{
    Keys memory, more;
    ASSERT_EQ(open_keys(nullptr, nullptr, &memory), SL_OK);
    ASSERT_EQ(open_keys(nullptr, nullptr, &more), SL_OK);
    EXPECT_NE(identity(memory), identity(more));
    EXPECT_NE(identity(memory), identity(keys_in(disk_)));
    ASSERT_EQ(sl_keys_rotate(memory.get(), kNow), SL_OK);
    EXPECT_EQ(ids_in(jwks(memory)).size(), 2u);
}

/* RFC 8037, appendix A: its key, and its thumbprint. */
TEST_F(KeysTest, TheIdIsTheThumbprint)
{
    keys_in(disk_);
    std::string bytes = disk_.Bytes(kFile);
    ASSERT_EQ(bytes.size(), 364u);
    EXPECT_EQ(bytes.substr(0, 16), std::string("SLKEYS\n\0\1\0\0\0\0\0\0\0", 16));
    ASSERT_TRUE(sl_base64url_decode(sl_bytes_of("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"),
                                    &bytes[48], 32));
    uint32_t crc = sl_crc32c(0, bytes.data(), 360);
    memcpy(&bytes[360], &crc, sizeof(crc));
    disk_.SetBytes(kFile, bytes);
    EXPECT_EQ(jwks(keys_in(disk_)), "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                                    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\","
                                    "\"kid\":\"ds_kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\","
                                    "\"use\":\"sig\",\"alg\":\"EdDSA\"}]}");
}

TEST_F(KeysTest, SignaturesVerifyAndAreOfOneBodyAndTime)
{
    Keys keys = keys_in(disk_);
    const std::string set = jwks(keys);
    for (const std::string &body : { std::string(), std::string("{\"a\":1}"),
                                     std::string("\0\r\n", 3), std::string(1 << 20, 'x') }) {
        std::string header = sign(keys, kNow, body);
        EXPECT_EQ(header.compare(0, 13, "t=1764132000,"), 0) << header;
        EXPECT_TRUE(verifies(header, body, set));
        EXPECT_FALSE(verifies(header, body + " ", set));
        header[11]++;
        EXPECT_FALSE(verifies(header, body, set));
    }
    Keys other;
    ASSERT_EQ(open_keys(nullptr, nullptr, &other), SL_OK);
    EXPECT_FALSE(verifies(sign(keys, kNow, "x"), "x", jwks(other)));
}

/* ---- durability --------------------------------------------------------------------------- */

/* Whatever call the power fails in, and whichever one the process is killed in before that. */
TEST_F(KeysTest, NothingIsSignedWithAKeyThatAPowerCutTakesBack)
{
    for (bool power_cut : { false, true }) {
        for (uint64_t n = 1; n < 20; n++) {
            SimDisk disk(n);
            disk.MakeDirectory(kDirectory);
            power_cut ? disk.PowerCutNth(DiskCall::kAny, n) : disk.CrashNth(DiskCall::kAny, n);
            std::string used;
            {
                Keys keys;
                if (open_keys(disk.VfsOfThisLife(), kDirectory, &keys) == SL_OK)
                    used = identity(keys);
            }
            disk.PowerCutNth(DiskCall::kAny, 0);
            std::string again = identity(keys_in(disk));
            if (!used.empty()) {
                EXPECT_EQ(again, used) << n;
            }
            disk.PowerCut();
            EXPECT_EQ(identity(keys_in(disk)), again) << n;
        }
    }
}

/* It is a private key as well. */
TEST_F(KeysTest, WhatAKillHasLeftOfANewKeyIsRemoved)
{
    for (uint64_t n = 1; n <= 6; n++) {
        SimDisk disk(n);
        disk.MakeDirectory(kDirectory);
        {
            Keys keys;
            ASSERT_EQ(open_keys(disk.VfsOfThisLife(), kDirectory, &keys), SL_OK);
            disk.CrashNth(DiskCall::kAny, n);
            EXPECT_EQ(sl_keys_rotate(keys.get(), kNow), SL_ERR_STORAGE_FAILED) << n;
        }
        keys_in(disk);
        EXPECT_EQ(disk.Files(), std::vector<std::string>{ kFile }) << n;
        disk.PowerCut();
        EXPECT_EQ(disk.Files(), std::vector<std::string>{ kFile }) << n;
    }
}

TEST_F(KeysTest, EveryFailureOfTheDiskIsAnError)
{
    for (bool is_there : { false, true }) {
        uint64_t failures = 0;
        for (uint64_t n = 1; n < 20; n++) {
            SimDisk disk(n);
            disk.MakeDirectory(kDirectory);
            std::string before = is_there ? identity(keys_in(disk)) : "";
            disk.FailNth(DiskCall::kAny, n, EIO);
            Keys keys;
            enum sl_err err = open_keys(disk.vfs(), kDirectory, &keys);
            bool failed = disk.failures() > 0;
            disk.FailNth(DiskCall::kAny, 0, 0);
            failures += failed;
            if (failed) {
                EXPECT_TRUE(err == SL_ERR_STORAGE_FAILED || err == SL_ERR_DATA_DIRECTORY) << n;
            } else {
                EXPECT_EQ(err, SL_OK) << n;
            }
            if (is_there) {
                EXPECT_EQ(identity(keys_in(disk)), before) << n;
            }
        }
        EXPECT_GE(failures, is_there ? 4u : 6u);
    }
}

TEST_F(KeysTest, AFullDiskIsNoFailedDisk)
{
    disk_.SetFreeSpace(0);
    Keys keys;
    EXPECT_EQ(open_keys(disk_.vfs(), kDirectory, &keys), SL_ERR_DISK_FULL);
}

/* ---- only to look ------------------------------------------------------------------------- */

TEST_F(KeysTest, ReadingMakesAndChangesNothing)
{
    Keys keys;
    EXPECT_EQ(read_keys(disk_.vfs(), kDirectory, &keys), SL_ERR_NOT_FOUND);
    EXPECT_TRUE(disk_.Files().empty());
    const std::string before = identity(keys_in(disk_));
    const std::string bytes = disk_.Bytes(kFile);
    const uint64_t written = disk_.written_bytes();
    disk_.FailNth(DiskCall::kSyncDirectory, 1, EROFS, true);
    ASSERT_EQ(read_keys(disk_.vfs(), kDirectory, &keys), SL_OK);
    EXPECT_EQ(identity(keys), before);
    EXPECT_EQ(disk_.Bytes(kFile), bytes);
    EXPECT_EQ(disk_.written_bytes(), written);
}

TEST_F(KeysTest, ReadingRefusesWhatAStartRefuses)
{
    keys_in(disk_);
    const std::string good = disk_.Bytes(kFile);
    Keys keys;
    disk_.Flip(kFile, good.size() - 1, 0);
    EXPECT_EQ(read_keys(disk_.vfs(), kDirectory, &keys), SL_ERR_DATA_CORRUPT);
    disk_.SetBytes(kFile, good);
    disk_.Flip(kFile, 8, 1);
    EXPECT_EQ(read_keys(disk_.vfs(), kDirectory, &keys), SL_ERR_DATA_VERSION);
    disk_.SetBytes(kFile, good);
    disk_.FailNth(DiskCall::kRead, 1, EIO);
    EXPECT_EQ(read_keys(disk_.vfs(), kDirectory, &keys), SL_ERR_STORAGE_FAILED);
}

TEST_F(KeysTest, RetiredOnesAreTold)
{
    Keys keys = keys_in(disk_);
    char id[SL_KEYS_ID_SIZE];
    int64_t retired_ms;
    EXPECT_FALSE(sl_keys_retired(keys.get(), 0, id, &retired_ms));
    std::vector<std::string> ids;
    for (int i = 0; i < 2; i++) {
        ids.push_back(sl_keys_id(keys.get()));
        ASSERT_EQ(sl_keys_rotate(keys.get(), kNow + i), SL_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        ASSERT_TRUE(sl_keys_retired(keys.get(), i, id, &retired_ms));
        EXPECT_EQ(id, ids[1 - i]);
        EXPECT_EQ(retired_ms, kNow + 1 - i);
    }
    EXPECT_FALSE(sl_keys_retired(keys.get(), 2, id, &retired_ms));
}

/* ---- what is refused ----------------------------------------------------------------------- */

TEST(KeysMode, OnlyTheOwnerMayRead)
{
    TemporaryDirectory root;
    const std::string file = root.path() + "/KEYS";
    const struct sl_vfs *vfs = sl_vfs_posix();
    Keys keys;
    ASSERT_EQ(open_keys(vfs, root.path().c_str(), &keys), SL_OK);
    struct stat about;
    ASSERT_EQ(stat(file.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777, 0600u);
    const std::string before = identity(keys);
    for (mode_t mode : { 0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666 }) {
        ASSERT_EQ(chmod(file.c_str(), mode), 0);
        EXPECT_EQ(open_keys(vfs, root.path().c_str(), &keys), SL_ERR_DATA_DIRECTORY) << mode;
        EXPECT_EQ(read_keys(vfs, root.path().c_str(), &keys), SL_ERR_DATA_DIRECTORY) << mode;
    }
    for (mode_t mode : { 0600, 0400 }) {
        ASSERT_EQ(chmod(file.c_str(), mode), 0);
        ASSERT_EQ(open_keys(vfs, root.path().c_str(), &keys), SL_OK) << mode;
        EXPECT_EQ(identity(keys), before);
    }
}

TEST(KeysMode, FollowsNoLink)
{
    TemporaryDirectory root;
    Keys keys;
    ASSERT_EQ(open_keys(sl_vfs_posix(), root.path().c_str(), &keys), SL_OK);
    std::filesystem::rename(root.path() + "/KEYS", root.path() + "/other");
    std::filesystem::create_symlink("other", root.path() + "/KEYS");
    EXPECT_EQ(open_keys(sl_vfs_posix(), root.path().c_str(), &keys), SL_ERR_DATA_DIRECTORY);
}

/* One that waited for a writer of the FIFO would never come back. */
TEST(KeysMode, OnlyAFileIsRead)
{
    TemporaryDirectory root;
    const std::string file = root.path() + "/KEYS";
    for (mode_t kind : { S_IFDIR, S_IFIFO, S_IFSOCK }) {
        Keys keys;
        ASSERT_EQ(kind == S_IFDIR ? mkdir(file.c_str(), 0700) : mknod(file.c_str(), kind | 0600, 0),
                  0);
        testing::internal::CaptureStderr();
        EXPECT_EQ(open_keys(sl_vfs_posix(), root.path().c_str(), &keys), SL_ERR_DATA_DIRECTORY);
        EXPECT_EQ(read_keys(sl_vfs_posix(), root.path().c_str(), &keys), SL_ERR_DATA_DIRECTORY);
        const std::string log = testing::internal::GetCapturedStderr();
        EXPECT_NE(log.find("it is no file"), std::string::npos) << log;
        std::filesystem::remove(file);
        EXPECT_EQ(open_keys(sl_vfs_posix(), root.path().c_str(), &keys), SL_OK);
        std::filesystem::remove(file);
    }
}

TEST_F(KeysTest, RefuseEveryFlippedBitAndKeepTheFile)
{
    keys_in(disk_);
    const std::string good = disk_.Bytes(kFile);
    for (size_t bit = 0; bit < good.size() * 8; bit++) {
        disk_.SetBytes(kFile, good);
        disk_.Flip(kFile, bit / 8, bit % 8);
        const std::string damaged = disk_.Bytes(kFile);
        bool in_version = bit / 8 >= 8 && bit / 8 < 12;
        Keys keys;
        ASSERT_EQ(open_keys(disk_.vfs(), kDirectory, &keys),
                  in_version ? SL_ERR_DATA_VERSION : SL_ERR_DATA_CORRUPT)
            << bit;
        ASSERT_EQ(disk_.Bytes(kFile), damaged);
    }
}

TEST_F(KeysTest, RefuseEveryOtherLength)
{
    keys_in(disk_);
    const std::string good = disk_.Bytes(kFile);
    for (size_t size = 0; size < good.size(); size++) {
        disk_.SetBytes(kFile, good.substr(0, size));
        Keys keys;
        ASSERT_EQ(open_keys(disk_.vfs(), kDirectory, &keys), SL_ERR_DATA_CORRUPT) << size;
    }
    disk_.SetBytes(kFile, good + '\0');
    Keys keys;
    EXPECT_EQ(open_keys(disk_.vfs(), kDirectory, &keys), SL_ERR_DATA_CORRUPT);
}

/* ---- rotation ------------------------------------------------------------------------------ */

TEST_F(KeysTest, ARetiredKeyIsKnownUntilItsTimeIsOver)
{
    Keys keys = keys_in(disk_);
    const std::string old_id = sl_keys_id(keys.get());
    const std::string old_header = sign(keys, kNow, "body");
    const std::string secret = identity(keys).substr(old_id.size());
    ASSERT_EQ(sl_keys_rotate(keys.get(), kNow), SL_OK);
    for (int restart = 0; restart < 2; restart++) {
        const std::string id = sl_keys_id(keys.get());
        const std::vector<std::string> both = { id, old_id };
        EXPECT_NE(id, old_id);
        EXPECT_EQ(identity(keys).substr(id.size()), secret);
        EXPECT_TRUE(verifies(sign(keys, kNow, "body"), "body", jwks(keys)));
        EXPECT_TRUE(verifies(old_header, "body", jwks(keys)));
        EXPECT_EQ(ids_in(jwks(keys, kNow - 1)), both);
        EXPECT_EQ(ids_in(jwks(keys, kNow + SL_KEYS_RETIRED_MS - 1)), both);
        EXPECT_EQ(ids_in(jwks(keys, kNow + SL_KEYS_RETIRED_MS)), std::vector<std::string>{ id });
        EXPECT_FALSE(verifies(old_header, "body", jwks(keys, kNow + SL_KEYS_RETIRED_MS)));
        disk_.PowerCut();
        keys = keys_in(disk_);
    }
}

TEST_F(KeysTest, NoKeyIsForgottenBeforeItsTime)
{
    Keys keys = keys_in(disk_);
    std::vector<std::string> ids = { sl_keys_id(keys.get()) };
    for (int i = 0; i < SL_KEYS_RETIRED_MAX; i++) {
        ASSERT_EQ(sl_keys_rotate(keys.get(), kNow + i), SL_OK);
        ids.insert(ids.begin(), sl_keys_id(keys.get()));
        EXPECT_EQ(ids_in(jwks(keys, kNow + i)), ids);
    }
    EXPECT_EQ(sl_keys_rotate(keys.get(), kNow + SL_KEYS_RETIRED_MS - 1), SL_ERR_OVERLOADED);
    EXPECT_EQ(ids_in(jwks(keys)), ids);
    ASSERT_EQ(sl_keys_rotate(keys.get(), kNow + SL_KEYS_RETIRED_MS), SL_OK);
    ids.insert(ids.begin(), sl_keys_id(keys.get()));
    ids.pop_back();
    EXPECT_EQ(ids_in(jwks(keys)), ids);
    keys = keys_in(disk_);
    EXPECT_EQ(ids_in(jwks(keys)), ids);
}

TEST_F(KeysTest, AFailedRotationKeepsTheActiveKey)
{
    Keys keys = keys_in(disk_);
    const std::string before = identity(keys);
    const std::string set = jwks(keys);
    for (uint64_t n = 1; n <= 6; n++) {
        disk_.FailNth(DiskCall::kAny, n, EIO);
        EXPECT_EQ(sl_keys_rotate(keys.get(), kNow), SL_ERR_STORAGE_FAILED) << n;
        EXPECT_EQ(identity(keys), before);
        EXPECT_EQ(jwks(keys), set);
    }
    disk_.FailNth(DiskCall::kAny, 0, 0);
    /* The file may name the new one already, but then the old one as well. */
    EXPECT_TRUE(verifies(sign(keys, kNow, "body"), "body", jwks(keys_in(disk_))));
}
