#include "volume_state.h"

#include "bytes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define TTL_UNIT_MAX 6u
#define DELETES_RESERVED 2048u
#define TOMBSTONE_MAX 32u

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static int take_write_lock(fv_volume *volume, int nowait)
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
    int dat_failed = truncate_file(volume->dat_fd, dat_size) != 0;
    if (idx_failed || dat_failed) {
        volume->broken = 1;
        out->rollback_failed = 1;
    }
}

/* 0, or why this volume takes no append of the kind that `forbidding` forbids. */
static int check_may_append(const fv_volume *volume, unsigned forbidding, fv_write_result *out)
{
    if (volume->sealed)
        return FV_CLOSED;
    /* Again for each: the one that failed may not have had anybody to tell it to. */
    out->rollback_failed = volume->broken;
    if (volume->broken || volume->idx_fd < 0 || (fv_volume_flags(volume) & forbidding) != 0)
        return FV_READ_ONLY;
    return FV_OK;
}

/* Strictly increasing, whatever the clock does. */
static uint64_t next_append_ns(const fv_volume *volume)
{
    uint64_t now = now_ns();
    uint64_t last = volume->stat.last_append_ns;
    return now > last || last == UINT64_MAX ? now : last + 1;
}

/* Record, then row; FV_OK means that both are with the kernel. Called with the write lock. */
static int append_parts(fv_volume *volume, uint64_t id, int32_t row_size, uint64_t append_at_ns,
                        struct iovec *parts, int count, fv_write_result *out)
{
    uint64_t dat_size = volume->stat.dat_size;
    uint64_t idx_size = volume->stat.idx_size;
    uint64_t length = 0;
    for (int at = 0; at < count; at++)
        length += parts[at].iov_len;
    assert(dat_size % 8 == 0 && length % 8 == 0);
    if (dat_size + length > volume->size_max) {
        out->limit = volume->size_max;
        out->offset = dat_size;
        return FV_OVERFLOW;
    }
    out->offset = dat_size;
    int failed = pwritev_all(volume->dat_fd, parts, count, dat_size);
    if (failed != 0) {
        out->sys_errno = failed;
        cut_back(volume, dat_size, idx_size, out);
        return FV_IO_ERROR;
    }
    uint8_t row[FV_ROW_MAX];
    size_t row_length = fv_row_encode(row, volume->offset_width, id, dat_size / 8, row_size);
    struct iovec row_part = {.iov_base = row, .iov_len = row_length};
    failed = pwritev_all(volume->idx_fd, &row_part, 1, idx_size);
    if (failed != 0) {
        out->sys_errno = failed;
        out->failed_on_index = 1;
        cut_back(volume, dat_size, idx_size, out);
        return FV_IO_ERROR;
    }
    pthread_mutex_lock(&volume->stat_lock);
    volume->stat.dat_size = dat_size + length;
    volume->stat.idx_size = idx_size + row_length;
    volume->stat.last_append_ns = append_at_ns;
    volume->stat.modified_second = (int64_t)(now_ns() / 1000000000ull);
    pthread_mutex_unlock(&volume->stat_lock);
    return FV_OK;
}

static int append(fv_volume *volume, fv_needle *needle, int32_t row_size, fv_write_result *out)
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
    return append_parts(volume, needle->id, row_size, needle->append_at_ns, parts,
                        needle->data_size == 0 ? 2 : 3, out);
}

/* FV_OK with out->unchanged set when the stored bytes already are these. */
static int check_unchanged(fv_volume *volume, const fv_needle *needle, const fv_entry *entry,
                           int nowait, fv_write_result *out)
{
    if (volume->ttl[0] != 0 && volume->ttl[1] != 0 && volume->ttl[1] <= TTL_UNIT_MAX)
        return FV_OK;
    if (entry->offset == 0 || entry->size <= 0 || needle->data_size == 0)
        return FV_OK;
    fv_read old;
    memset(&old, 0, sizeof old);
    old.offset = entry->offset * 8;
    int result = fv_volume_read_record(volume, entry->size, nowait ? FV_READ_NOWAIT : 0, &old);
    if (result == FV_NEEDLE_OK && old.needle.cookie == needle->cookie &&
        old.needle.checksum == needle->checksum && old.needle.data_size == needle->data_size &&
        memcmp(old.needle.data, needle->data, needle->data_size) == 0) {
        out->unchanged = 1;
        out->offset = old.offset;
        out->size = entry->size;
        out->old_data_size = old.needle.data_size;
    }
    fv_read_release(&old);
    /* A damaged old record only means "not the same". */
    return result == FV_COLD ? FV_COLD : FV_OK;
}

static int check_stored_cookie(fv_volume *volume, fv_needle *needle, const fv_entry *entry,
                               int check_cookie, int nowait, fv_write_result *out)
{
    if (entry->offset == 0)
        return FV_OK;
    uint8_t header[FV_NEEDLE_HEADER];
    int result = fv_volume_pread(volume, header, sizeof header, entry->offset * 8, nowait,
                                 &out->sys_errno);
    if (result != FV_OK) {
        out->failed_on_read = 1;
        return result;
    }
    uint32_t cookie = fv_load_be32(header);
    if (needle->cookie == 0 && !check_cookie)
        needle->cookie = cookie;
    return needle->cookie == cookie ? FV_OK : FV_BAD_COOKIE;
}

static int map_failed(int error, fv_write_result *out)
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

/* The map did not take what has just been appended. */
static int undo_unmapped(fv_volume *volume, int error, uint64_t dat_size, uint64_t idx_size,
                         fv_write_result *out)
{
    undo_append(volume, dat_size, idx_size, out);
    int result = map_failed(error, out);
    if (result != FV_NO_MEMORY) {
        volume->broken = 1;
        out->rollback_failed = 1;
    }
    return result;
}

/* The map and the counters after a record was appended, the files were of those sizes before; `entry`
 * is what the map had, or NULL. */
static int map_appended(fv_volume *volume, const fv_needle *needle, const fv_entry *entry,
                        uint64_t dat_size, uint64_t idx_size, fv_write_result *out)
{
    out->append_at_ns = needle->append_at_ns;
    /* An entry further back stays: only possible where old servers let 4-byte offsets wrap. */
    int set = entry != NULL && entry->offset >= out->offset / 8
                  ? 0
                  : fv_map_set(volume->map, needle->id, out->offset / 8, needle->size, NULL);
    if (set < 0)
        return undo_unmapped(volume, set, dat_size, idx_size, out);
    pthread_mutex_lock(&volume->stat_lock);
    fv_counters_put(&volume->stat.counters, needle->id, entry != NULL ? entry->size : 0,
                    needle->size);
    if (needle->last_modified > volume->stat.last_modified_second)
        volume->stat.last_modified_second = needle->last_modified;
    pthread_mutex_unlock(&volume->stat_lock);
    return FV_OK;
}

static int write_locked(fv_volume *volume, fv_needle *needle, int check_cookie, int nowait,
                        fv_write_result *out)
{
    int result = check_may_append(volume, FV_VOLUME_NO_WRITE, out);
    if (result != FV_OK)
        return result;
    fv_entry entry;
    int known = fv_map_find(volume->map, needle->id, nowait, &entry);
    if (known < 0)
        return map_failed(known, out);
    if (known) {
        result = check_unchanged(volume, needle, &entry, nowait, out);
        if (result != FV_OK || out->unchanged)
            return result;
        result = check_stored_cookie(volume, needle, &entry, check_cookie, nowait, out);
        if (result != FV_OK)
            return result;
    }
    int64_t size = fv_needle_body_size(needle, volume->version);
    if (size < 0)
        return FV_BAD_NEEDLE;
    needle->size = (int32_t)size;
    needle->append_at_ns = next_append_ns(volume);
    out->size = needle->size;
    uint64_t dat_size = volume->stat.dat_size, idx_size = volume->stat.idx_size;
    result = append(volume, needle, needle->size, out);
    if (result != FV_OK)
        return result;
    return map_appended(volume, needle, known ? &entry : NULL, dat_size, idx_size, out);
}

int fv_volume_write(fv_volume *volume, fv_needle *needle, int check_cookie, int nowait,
                    fv_write_result *out)
{
    memset(out, 0, sizeof *out);
    int result = take_write_lock(volume, nowait);
    if (result != FV_OK)
        return result;
    result = write_locked(volume, needle, check_cookie, nowait, out);
    pthread_mutex_unlock(&volume->write_lock);
    return result;
}

static int append_record_locked(fv_volume *volume, fv_needle *needle, const uint8_t *record,
                                size_t length, fv_write_result *out)
{
    int result = check_may_append(volume, FV_VOLUME_NO_WRITE, out);
    if (result != FV_OK)
        return result;
    fv_entry entry;
    int known = fv_map_find(volume->map, needle->id, 0, &entry);
    if (known < 0)
        return map_failed(known, out);
    out->size = needle->size;
    if (known && entry.size == needle->size) {
        result = check_unchanged(volume, needle, &entry, 0, out);
        if (result != FV_OK || out->unchanged)
            return result;
    }
    needle->append_at_ns = next_append_ns(volume);
    uint8_t header[FV_NEEDLE_HEADER], stamp[8];
    memcpy(header, record, sizeof header);
    fv_store_be64(header + 4, needle->id);
    fv_store_be64(stamp, needle->append_at_ns);
    size_t stamp_at = length, stamp_size = 0;
    if (volume->version == 3) {
        stamp_at = FV_NEEDLE_HEADER + (size_t)needle->size + 4;
        stamp_size = sizeof stamp;
    }
    assert(stamp_at + stamp_size <= length);
    struct iovec parts[4] = {
        {.iov_base = header, .iov_len = sizeof header},
        {.iov_base = (void *)(record + sizeof header), .iov_len = stamp_at - sizeof header},
        {.iov_base = stamp, .iov_len = stamp_size},
        {.iov_base = (void *)(record + stamp_at + stamp_size),
         .iov_len = length - stamp_at - stamp_size},
    };
    uint64_t dat_size = volume->stat.dat_size, idx_size = volume->stat.idx_size;
    result = append_parts(volume, needle->id, needle->size, needle->append_at_ns, parts,
                          stamp_size == 0 ? 2 : 4, out);
    if (result != FV_OK)
        return result;
    return map_appended(volume, needle, known ? &entry : NULL, dat_size, idx_size, out);
}

int fv_volume_append_record(fv_volume *volume, uint64_t id, const uint8_t *record, size_t length,
                            fv_write_result *out)
{
    memset(out, 0, sizeof *out);
    fv_needle needle;
    fv_fault fault;
    memset(&needle, 0, sizeof needle);
    assert(length >= FV_NEEDLE_HEADER);
    fv_needle_parse_header(record, &needle);
    int32_t size = needle.size;
    if (size < 0 || fv_needle_actual_size(size, volume->version) != length)
        return FV_BAD_NEEDLE;
    if (fv_needle_parse(record, length, size, volume->version, 0, &needle, &fault) != FV_NEEDLE_OK) {
        /* Stored as it is: what it lacks, a read finds. */
        memset(&needle, 0, sizeof needle);
        fv_needle_parse_header(record, &needle);
    }
    needle.id = id;
    int result = take_write_lock(volume, 0);
    if (result != FV_OK)
        return result;
    result = append_record_locked(volume, &needle, record, length, out);
    pthread_mutex_unlock(&volume->write_lock);
    return result;
}

static int delete_locked(fv_volume *volume, uint64_t id, uint32_t cookie, uint32_t checksum,
                         int always, int nowait, fv_write_result *out)
{
    unsigned forbidding = FV_VOLUME_NO_DELETE | (always ? FV_VOLUME_NO_WRITE : 0);
    int result = check_may_append(volume, forbidding, out);
    if (result != FV_OK)
        return result;
    fv_entry entry;
    int known = fv_map_find(volume->map, id, nowait, &entry);
    if (known < 0)
        return map_failed(known, out);
    int is_there = known && entry.size >= 0;
    if (!is_there && !always)
        return FV_OK;
    fv_needle tombstone;
    memset(&tombstone, 0, sizeof tombstone);
    tombstone.id = id;
    tombstone.cookie = cookie;
    tombstone.checksum = checksum;
    tombstone.append_at_ns = next_append_ns(volume);
    uint64_t dat_size = volume->stat.dat_size, idx_size = volume->stat.idx_size;
    result = append(volume, &tombstone, -1, out);
    if (result != FV_OK)
        return result;
    int deleted = is_there ? fv_map_delete(volume->map, id, NULL) : 0;
    if (deleted < 0)
        return undo_unmapped(volume, deleted, dat_size, idx_size, out);
    out->size = is_there ? entry.size : 0;
    pthread_mutex_lock(&volume->stat_lock);
    fv_counters_delete(&volume->stat.counters, out->size);
    /* As the row counts when the index is loaded. */
    if (id > volume->stat.counters.max_key)
        volume->stat.counters.max_key = id;
    pthread_mutex_unlock(&volume->stat_lock);
    out->append_at_ns = tombstone.append_at_ns;
    return FV_OK;
}

int fv_volume_delete(fv_volume *volume, uint64_t id, uint32_t cookie, uint32_t checksum, int always,
                     int nowait, fv_write_result *out)
{
    memset(out, 0, sizeof *out);
    int result = take_write_lock(volume, nowait);
    if (result != FV_OK)
        return result;
    result = delete_locked(volume, id, cookie, checksum, always, nowait, out);
    pthread_mutex_unlock(&volume->write_lock);
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
    fv_reserve(volume->dat_fd, stat.dat_size + DELETES_RESERVED * TOMBSTONE_MAX);
    fv_reserve(volume->idx_fd, stat.idx_size + DELETES_RESERVED * FV_ROW_MAX);
}

void fv_reserve(int fd, uint64_t size)
{
    int ignored = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    (void)ignored;
}
