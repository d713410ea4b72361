#include "volume_append.h"

#include "bytes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DELETES_RESERVED 2048u
#define TOMBSTONE_MAX 32u

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

int fv_append_begin(fv_volume *volume, int nowait)
{
    if (!nowait)
        pthread_mutex_lock(&volume->write_lock);
    else if (pthread_mutex_trylock(&volume->write_lock) != 0)
        return FV_BUSY;
    while (volume->paused && !nowait)
        pthread_cond_wait(&volume->unpaused, &volume->write_lock);
    if (!volume->paused)
        return FV_OK;
    pthread_mutex_unlock(&volume->write_lock);
    return FV_BUSY;
}

static int pwritev_all(int fd, struct iovec *parts, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, parts, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return ENOSPC;
        offset += (uint64_t)n;
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static int truncate_file(int fd, uint64_t size)
{
    int result;
    do
        result = ftruncate(fd, (off_t)size);
    while (result != 0 && errno == EINTR);
    return result;
}

/* Undo of a half-made append, row first: a row without its record is the worse of the two. */
static void cut_back(fv_volume *volume, uint64_t dat_size, uint64_t idx_size, fv_write_result *out)
{
    int idx_failed = truncate_file(volume->idx_fd, idx_size) != 0;
    int dat_failed = !volume->dat_is_elsewhere && truncate_file(volume->dat_fd, dat_size) != 0;
    if (idx_failed || dat_failed) {
        volume->broken = 1;
        out->rollback_failed = 1;
    }
}

int fv_append_check(const fv_volume *volume, unsigned forbidding, fv_write_result *out)
{
    if (volume->sealed)
        return FV_CLOSED;
    /* Again for each: the one that failed may not have had anybody to tell it to. */
    out->rollback_failed = volume->broken;
    if (volume->dat_is_elsewhere && (forbidding & FV_VOLUME_NO_WRITE) != 0)
        return FV_READ_ONLY;
    if (volume->broken || volume->idx_fd < 0 || (fv_volume_flags(volume) & forbidding) != 0)
        return FV_READ_ONLY;
    return FV_OK;
}

uint64_t fv_append_time(const fv_volume *volume)
{
    uint64_t now = now_ns();
    uint64_t last = volume->stat.last_append_ns;
    return now > last || last == UINT64_MAX ? now : last + 1;
}

static uint64_t total(const struct iovec *parts, int count)
{
    uint64_t length = 0;
    for (int at = 0; at < count; at++)
        length += parts[at].iov_len;
    return length;
}

int fv_append_room(const fv_volume *volume, uint64_t length, fv_write_result *out)
{
    out->offset = volume->stat.dat_size;
    out->limit = volume->size_max;
    return out->offset + length > out->limit ? FV_OVERFLOW : FV_OK;
}

int fv_append_bytes(fv_volume *volume, struct iovec *parts, int count, const uint8_t *rows,
                    size_t rows_length, uint64_t append_at_ns, fv_write_result *out)
{
    uint64_t dat_size = volume->stat.dat_size;
    uint64_t idx_size = volume->stat.idx_size;
    uint64_t length = total(parts, count);
    assert(volume->dat_is_elsewhere ? length == 0 : dat_size % 8 == 0 && length % 8 == 0);
    int result = fv_append_room(volume, length, out);
    if (result != FV_OK)
        return result;
    int failed = pwritev_all(volume->dat_fd, parts, count, dat_size);
    if (failed != 0) {
        out->sys_errno = failed;
        cut_back(volume, dat_size, idx_size, out);
        return FV_IO_ERROR;
    }
    struct iovec row_part = {.iov_base = (void *)rows, .iov_len = rows_length};
    failed = pwritev_all(volume->idx_fd, &row_part, 1, idx_size);
    if (failed != 0) {
        out->sys_errno = failed;
        out->failed_on_index = 1;
        cut_back(volume, dat_size, idx_size, out);
        return FV_IO_ERROR;
    }
    pthread_mutex_lock(&volume->stat_lock);
    volume->stat.dat_size = dat_size + length;
    volume->stat.idx_size = idx_size + rows_length;
    if (!volume->dat_is_elsewhere) {
        volume->stat.last_append_ns = append_at_ns;
        volume->stat.modified_second = (int64_t)(now_ns() / 1000000000ull);
    }
    pthread_mutex_unlock(&volume->stat_lock);
    return FV_OK;
}

int fv_append_parts(fv_volume *volume, uint64_t id, int32_t row_size, uint64_t append_at_ns,
                    struct iovec *parts, int count, fv_write_result *out)
{
    int result = fv_append_room(volume, total(parts, count), out);
    if (result != FV_OK)
        return result;
    uint8_t row[FV_ROW_MAX];
    uint64_t offset_units = volume->stat.dat_size / 8;
    size_t length = fv_row_encode(row, volume->offset_width, id, offset_units, row_size);
    return fv_append_bytes(volume, parts, count, row, length, append_at_ns, out);
}

int fv_append_row(fv_volume *volume, uint64_t id, int32_t row_size, fv_write_result *out)
{
    assert(volume->dat_is_elsewhere);
    uint8_t row[FV_ROW_MAX];
    size_t length = fv_row_encode(row, volume->offset_width, id, 0, row_size);
    return fv_append_bytes(volume, NULL, 0, row, length, 0, out);
}

int fv_append_needle(fv_volume *volume, fv_needle *needle, int32_t row_size, fv_write_result *out)
{
    uint8_t prefix[FV_NEEDLE_PREFIX];
    uint8_t suffix[FV_NEEDLE_META_MAX];
    size_t prefix_size = fv_needle_build_prefix(needle, volume->version, prefix);
    size_t suffix_size = fv_needle_build_suffix(needle, volume->version, suffix);
    assert(prefix_size + needle->data_size + suffix_size ==
           fv_needle_actual_size(needle->size, volume->version));
    struct iovec parts[3] = {
        {.iov_base = prefix, .iov_len = prefix_size},
        {.iov_base = (void *)needle->data, .iov_len = needle->data_size},
        {.iov_base = suffix, .iov_len = suffix_size},
    };
    if (needle->data_size == 0) {
        parts[1] = parts[2];
    }
    return fv_append_parts(volume, needle->id, row_size, needle->append_at_ns, parts,
                        needle->data_size == 0 ? 2 : 3, out);
}

int fv_append_map_failed(int error, fv_write_result *out)
{
    int result = fv_volume_map_result(error, &out->sys_errno);
    out->failed_on_map = result == FV_IO_ERROR;
    return result;
}

/* Takes the append that was made last back again. */
static void undo_append(fv_volume *volume, uint64_t dat_size, uint64_t idx_size,
                        fv_write_result *out)
{
    cut_back(volume, dat_size, idx_size, out);
    pthread_mutex_lock(&volume->stat_lock);
    volume->stat.dat_size = dat_size;
    volume->stat.idx_size = idx_size;
    pthread_mutex_unlock(&volume->stat_lock);
}

int fv_append_undo_unmapped(fv_volume *volume, int error, uint64_t dat_size, uint64_t idx_size,
                         fv_write_result *out)
{
    undo_append(volume, dat_size, idx_size, out);
    int result = fv_append_map_failed(error, out);
    if (result != FV_NO_MEMORY) {
        volume->broken = 1;
        out->rollback_failed = 1;
    }
    return result;
}

static int sync_file(int fd)
{
    int result;
    do
        result = fdatasync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

int fv_volume_sync(fv_volume *volume, int *on_index)
{
    *on_index = 0;
    int result = sync_file(volume->dat_fd);
    if (result != 0 || volume->idx_fd < 0)
        return result;
    result = sync_file(volume->idx_fd);
    if (result == 0)
        result = fv_map_sync(volume->map);
    *on_index = result != 0;
    return result;
}

void fv_volume_reserve_for_deletes(fv_volume *volume)
{
    if (volume->idx_fd < 0)
        return;
    fv_volume_stat stat;
    fv_volume_get_stat(volume, &stat);
    if (!volume->dat_is_elsewhere)
        fv_reserve(volume->dat_fd, stat.dat_size + DELETES_RESERVED * TOMBSTONE_MAX);
    fv_reserve(volume->idx_fd, stat.idx_size + DELETES_RESERVED * FV_ROW_MAX);
}

void fv_reserve(int fd, uint64_t size)
{
    int ignored = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    (void)ignored;
}

void fv_write_behind(int fd, uint64_t offset, uint64_t length)
{
    /* Where the file system cannot, the sync does it all. */
    (void)sync_file_range(fd, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE);
}
