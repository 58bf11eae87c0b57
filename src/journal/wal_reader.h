/*
 * journal/wal_reader.h - the files of a log, read from the front to the back
 *
 * What     Gives bytes by their position in the log, out of a window that moves forward, and reads
 *          what follows the window while its bytes are being looked at.
 * Why      Reading and replaying take about as long as each other: a start does both at once.
 * Thread   The opener; reads ahead in a thread of its own.
 */
#ifndef SL_JOURNAL_WAL_READER_H
#define SL_JOURNAL_WAL_READER_H

#include "journal/vfs.h"
#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_wal_reader;

enum {
    SL_WAL_READER_WINDOW_BYTES = 2 * 1024 * 1024, /* one read; larger for a larger request */
};

/* Borrows both until close. `file_size`: bytes, whole blocks. */
struct sl_wal_reader *sl_wal_reader_open(const struct sl_vfs *vfs, const char *directory,
                                         uint64_t file_size);
void sl_wal_reader_close(struct sl_wal_reader **reader);

/*
 * Sets *bytes to the `size` bytes at `position`, which are all in one file and begin with a block;
 * valid until the next call. NULL: the file is not there, or *wrong_size: files are made whole and
 * never change their size, so this one is damaged. Direct reads, unless the file system refuses
 * them, because the page cache may show what the disk never took. Returns an errno value.
 */
SL_NODISCARD int sl_wal_reader_view(struct sl_wal_reader *reader, uint64_t position, size_t size,
                                    const uint8_t **bytes, bool *wrong_size);

/* Direct reads were refused so far. */
bool sl_wal_reader_is_buffered(const struct sl_wal_reader *reader);

#ifdef __cplusplus
}
#endif
#endif
