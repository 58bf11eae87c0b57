/*
 * fuzz/support/plain_log.h - a log, read slowly and plainly
 *
 * What     How many frames follow each other from the manifest's mark on, and whether what stands
 *          behind their end shows that the log went on there.
 * Why      Shares no line with journal/wal_scan.c, so it can say what a start must not believe. What
 *          the records mean, and what segments know to be durable, it does not look at.
 * Thread   Any.
 */
#ifndef SL_FUZZ_SUPPORT_PLAIN_LOG_H
#define SL_FUZZ_SUPPORT_PLAIN_LOG_H

#include "base/crc32c.h"
#include "journal/frame.h"
#include "journal/manifest.h"

#include <map>
#include <string>
#include <vector>

namespace sluice_test
{

class PlainLog
{
  public:
    using Files = std::map<uint64_t, std::string>; /* by number */

    PlainLog(Files files, uint64_t file_size, const struct sl_manifest &manifest)
        : files_(std::move(files)), file_size_(file_size), log_id_(manifest.log_id),
          end_(manifest.mark)
    {
        is_damaged_ =
            end_.position % file_size != 0 && files_.count(end_.position / file_size) == 0;
        while (!is_damaged_ && (Take(end_.position) || Take(NextFile()))) {
        }
        is_damaged_ = is_damaged_ || GoesOn();
    }
    /* A frame or a file is not what it was, and something that came later is there. */
    bool is_damaged() const
    {
        return is_damaged_;
    }
    /* Positions of those that follow each other. */
    const std::vector<uint64_t> &frames() const
    {
        return frames_;
    }

  private:
    enum class Found { kNothing, kCut, kGood };

    uint64_t NextFile() const
    {
        return (end_.position + file_size_ - 1) / file_size_ * file_size_;
    }
    /* What stands at a position, as bytes up to the end of the file. */
    struct sl_bytes At(uint64_t position)
    {
        auto file = files_.find(position / file_size_);
        if (file == files_.end())
            return sl_bytes(nullptr, 0);
        if (file->second.size() != file_size_) {
            is_damaged_ = true;
            return sl_bytes(nullptr, 0);
        }
        return sl_bytes_from(sl_bytes(file->second.data(), file->second.size()),
                             position % file_size_);
    }
    /* The frame that has to come next, if it stands there. */
    Found Look(uint64_t position, struct sl_frame *frame)
    {
        struct sl_bytes bytes = At(position);
        if (bytes.size == 0 || !sl_frame_decode(bytes, frame) || frame->log_id != log_id_ ||
            frame->position != position || frame->first_lsn != end_.lsn ||
            frame->chain != end_.chain ||
            frame->epoch != end_.epoch + ((frame->flags & SL_FRAME_OPEN) != 0 ? 1 : 0))
            return Found::kNothing;
        if (frame->body_size > bytes.size - SL_FRAME_HEADER_BYTES ||
            sl_crc32c(0, bytes.data + SL_FRAME_HEADER_BYTES, frame->body_size) != frame->body_crc)
            return Found::kCut;
        return Found::kGood;
    }
    bool Take(uint64_t position)
    {
        struct sl_frame frame;
        if (Look(position, &frame) != Found::kGood)
            return false;
        is_damaged_ = is_damaged_ || frame.durable_lsn >= frame.first_lsn;
        frames_.push_back(position);
        uint64_t size = SL_FRAME_HEADER_BYTES + frame.body_size;
        end_.position = position + (size + kBlock - 1) / kBlock * kBlock;
        end_.lsn = frame.first_lsn + frame.record_count;
        end_.epoch = frame.epoch;
        end_.chain = frame.header_crc;
        return true;
    }
    bool IsLater(const struct sl_frame &frame) const
    {
        bool is_behind = frame.position >= end_.position && frame.first_lsn >= end_.lsn;
        return frame.log_id == log_id_ && frame.epoch >= end_.epoch &&
               (is_behind || frame.durable_lsn >= end_.lsn);
    }
    /* The write that was cut itself says nothing. */
    bool GoesOn()
    {
        struct sl_frame frame;
        uint64_t here = end_.position, next = NextFile();
        uint64_t cut = Look(here, &frame) == Found::kCut   ? here
                       : Look(next, &frame) == Found::kCut ? next
                                                           : UINT64_MAX;
        uint64_t number = here / file_size_;
        for (auto file = files_.lower_bound(number); file != files_.end(); ++file, ++number) {
            if (file->first != number || file->second.size() != file_size_)
                return true;
            for (uint64_t at = 0; at < file_size_; at += kBlock) {
                uint64_t position = number * file_size_ + at;
                if (position >= here && position != cut && sl_frame_decode(At(position), &frame) &&
                    IsLater(frame))
                    return true;
            }
        }
        return false;
    }

    static constexpr uint64_t kBlock = 4096;

    Files files_;
    uint64_t file_size_;
    uint64_t log_id_;
    struct sl_wal_mark end_;
    bool is_damaged_ = false;
    std::vector<uint64_t> frames_;
};

} // namespace sluice_test

#endif
