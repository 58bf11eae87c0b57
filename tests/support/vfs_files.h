/*
 * tests/support/vfs_files.h - files of a vfs, in one line each
 *
 * What     Open handles that close themselves, aligned memory, and a real directory that removes
 *          itself.
 * Thread   Whoever owns the object.
 */
#ifndef SL_TESTS_VFS_FILES_H
#define SL_TESTS_VFS_FILES_H

#include "journal/vfs.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace sluice_test
{

/* A directory of the real disk, removed with everything in it. */
class TemporaryDirectory
{
  public:
    TemporaryDirectory()
    {
        const std::string any(6, 'X'); /* mkdtemp() puts a name there that is not taken */
        std::string name = (std::filesystem::temp_directory_path() / ("sluice-" + any)).string();
        EXPECT_NE(mkdtemp(name.data()), nullptr);
        path_ = name;
    }

    ~TemporaryDirectory()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    TemporaryDirectory(const TemporaryDirectory &) = delete;
    TemporaryDirectory &operator=(const TemporaryDirectory &) = delete;

    const std::string &path() const
    {
        return path_;
    }

  private:
    std::string path_;
};

/* Memory for direct reads and writes. */
class AlignedBytes
{
  public:
    explicit AlignedBytes(size_t size, uint8_t byte = 0)
        : size_(size), data_(static_cast<uint8_t *>(std::aligned_alloc(SL_DISK_BLOCK_BYTES, size)))
    {
        memset(data_.get(), byte, size);
    }

    uint8_t *data() const
    {
        return data_.get();
    }

    size_t size() const
    {
        return size_;
    }

    std::string text() const
    {
        return std::string(reinterpret_cast<const char *>(data()), size_);
    }

  private:
    struct Free {
        void operator()(uint8_t *data) const
        {
            std::free(data);
        }
    };
    size_t size_;
    std::unique_ptr<uint8_t, Free> data_;
};

/* An open file. */
class VfsFile
{
  public:
    VfsFile(const struct sl_vfs *vfs, const std::string &path, unsigned flags)
    {
        error_ = vfs->open(vfs, path.c_str(), flags, &file_);
        EXPECT_EQ(error_ == 0, file_ != nullptr);
    }

    ~VfsFile()
    {
        Close();
    }

    VfsFile(const VfsFile &) = delete;
    VfsFile &operator=(const VfsFile &) = delete;

    void Close()
    {
        if (file_ != nullptr)
            file_->vfs->close(file_);
        file_ = nullptr;
    }

    /* Of the open. */
    int error() const
    {
        return error_;
    }

    struct sl_file *get() const
    {
        return file_;
    }

    int Write(const std::string &bytes, uint64_t at)
    {
        return file_->vfs->write(file_, bytes.data(), bytes.size(), at);
    }

    int Write(const AlignedBytes &bytes, uint64_t at)
    {
        return file_->vfs->write(file_, bytes.data(), bytes.size(), at);
    }

    /* What was read, or "error <errno>". */
    std::string Read(size_t size, uint64_t at)
    {
        AlignedBytes to((size + SL_DISK_BLOCK_BYTES) / SL_DISK_BLOCK_BYTES * SL_DISK_BLOCK_BYTES);
        size_t got = 0;
        int error = file_->vfs->read(file_, to.data(), size, at, &got);
        return error == 0 ? to.text().substr(0, got) : "error " + std::to_string(error);
    }

    int Sync()
    {
        return file_->vfs->sync(file_);
    }

    int Truncate(uint64_t size)
    {
        return file_->vfs->truncate(file_, size);
    }

    int Lock()
    {
        return file_->vfs->lock(file_);
    }

    uint64_t Size()
    {
        uint64_t size = 0;
        EXPECT_EQ(file_->vfs->size(file_, &size), 0);
        return size;
    }

  private:
    struct sl_file *file_ = nullptr;
    int error_ = 0;
};

inline int ListNames(const struct sl_vfs *vfs, const std::string &path,
                     std::vector<std::string> *names)
{
    names->clear();
    auto add = [](void *context, const char *name) {
        static_cast<std::vector<std::string> *>(context)->push_back(name);
    };
    return vfs->list(vfs, path.c_str(), add, names);
}

} // namespace sluice_test

#endif
