#include "volume_append.h"

#include "bytes.h"

#include <assert.h>
#include <string.h>
#include <sys/uio.h>

#define TTL_UNIT_MAX 6u

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
        return fv_append_undo_unmapped(volume, set, dat_size, idx_size, out);
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
    int result = fv_append_check(volume, FV_VOLUME_NO_WRITE, out);
    if (result != FV_OK)
        return result;
    fv_entry entry;
    int known = fv_map_find(volume->map, needle->id, nowait, &entry);
    if (known < 0)
        return fv_append_map_failed(known, out);
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
    needle->append_at_ns = fv_append_time(volume);
    out->size = needle->size;
    uint64_t dat_size = volume->stat.dat_size, idx_size = volume->stat.idx_size;
    result = fv_append_needle(volume, needle, needle->size, out);
    if (result != FV_OK)
        return result;
    return map_appended(volume, needle, known ? &entry : NULL, dat_size, idx_size, out);
}

int fv_volume_write(fv_volume *volume, fv_needle *needle, int check_cookie, int nowait,
                    fv_write_result *out)
{
    memset(out, 0, sizeof *out);
    int result = fv_append_begin(volume, nowait);
    if (result != FV_OK)
        return result;
    result = write_locked(volume, needle, check_cookie, nowait, out);
    pthread_mutex_unlock(&volume->write_lock);
    return result;
}

static int append_record_locked(fv_volume *volume, fv_needle *needle, const uint8_t *record,
                                size_t length, fv_write_result *out)
{
    int result = fv_append_check(volume, FV_VOLUME_NO_WRITE, out);
    if (result != FV_OK)
        return result;
    fv_entry entry;
    int known = fv_map_find(volume->map, needle->id, 0, &entry);
    if (known < 0)
        return fv_append_map_failed(known, out);
    out->size = needle->size;
    if (known && entry.size == needle->size) {
        result = check_unchanged(volume, needle, &entry, 0, out);
        if (result != FV_OK || out->unchanged)
            return result;
    }
    needle->append_at_ns = fv_append_time(volume);
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
    result = fv_append_parts(volume, needle->id, needle->size, needle->append_at_ns, parts,
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
    int result = fv_append_begin(volume, 0);
    if (result != FV_OK)
        return result;
    result = append_record_locked(volume, &needle, record, length, out);
    pthread_mutex_unlock(&volume->write_lock);
    return result;
}

