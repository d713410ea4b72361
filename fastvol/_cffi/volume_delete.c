#include "bytes.h"
#include "deletion.h"
#include "volume_append.h"

#include <assert.h>
#include <string.h>

#define RUN_MAX 64
#define TOMBSTONE_MAX 32 /* of any version */

static int delete_locked(fv_volume *volume, uint64_t id, uint32_t cookie, uint32_t checksum,
                         int always, int nowait, fv_write_result *out)
{
    unsigned forbidding = FV_VOLUME_NO_DELETE | (always ? FV_VOLUME_NO_WRITE : 0);
    int result = fv_append_check(volume, forbidding, out);
    if (result != FV_OK)
        return result;
    fv_entry entry;
    int known = fv_map_find(volume->map, id, nowait, &entry);
    if (known < 0)
        return fv_append_map_failed(known, out);
    int is_there = known && entry.size >= 0;
    if (!is_there && !always)
        return FV_OK;
    fv_needle tombstone;
    memset(&tombstone, 0, sizeof tombstone);
    tombstone.id = id;
    tombstone.cookie = cookie;
    tombstone.checksum = checksum;
    tombstone.append_at_ns = fv_append_time(volume);
    uint64_t dat_size = volume->stat.dat_size, idx_size = volume->stat.idx_size;
    result = volume->dat_is_elsewhere ? fv_append_row(volume, id, -1, out)
                                      : fv_append_needle(volume, &tombstone, -1, out);
    if (result != FV_OK)
        return result;
    int deleted = is_there ? fv_map_delete(volume->map, id, NULL) : 0;
    if (deleted < 0)
        return fv_append_undo_unmapped(volume, deleted, dat_size, idx_size, out);
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
    int result = fv_append_begin(volume, nowait);
    if (result != FV_OK)
        return result;
    result = delete_locked(volume, id, cookie, checksum, always, nowait, out);
    pthread_mutex_unlock(&volume->write_lock);
    return result;
}

/* --- many ---------------------------------------------------------------------------------------- */

/* Needles of one volume that are deleted with one append; no id twice. */
typedef struct {
    fv_deletion *items[RUN_MAX];
    uint32_t checksums[RUN_MAX];
    size_t count;
} deletion_run;

static int holds(const deletion_run *run, uint64_t id)
{
    for (size_t at = 0; at < run->count; at++)
        if (run->items[at]->id == id)
            return 1;
    return 0;
}

/* FV_OK: the record is the one meant, *checksum is its own. */
static int check_record(fv_volume *volume, const fv_deletion *item, uint32_t *checksum)
{
    fv_read found;
    memset(&found, 0, sizeof found);
    int result = fv_volume_read(volume, item->id, 0, &found);
    const fv_needle *needle = &found.needle;
    *checksum = needle->checksum;
    if (result != FV_OK)
        result = result == FV_NOT_FOUND || result == FV_DELETED ? result : FV_DELETION_OPEN;
    else if (needle->size == 0 || (needle->flags & FV_NEEDLE_HAS_TTL) != 0)
        result = FV_DELETION_OPEN;
    else if (needle->cookie != item->cookie)
        result = FV_BAD_COOKIE;
    else if ((needle->flags & FV_NEEDLE_CHUNK_MANIFEST) != 0)
        result = FV_DELETION_MANIFEST;
    fv_read_release(&found);
    return result;
}

/* Keeps what is still alive, under the lock; the others are decided. */
static void keep_live(fv_volume *volume, deletion_run *run)
{
    size_t kept = 0;
    for (size_t at = 0; at < run->count; at++) {
        fv_deletion *item = run->items[at];
        fv_entry entry;
        int known = fv_map_find(volume->map, item->id, 0, &entry);
        if (known < 0) {
            item->result = FV_DELETION_OPEN;
        } else if (!known || entry.size < 0) {
            item->result = FV_OK;
        } else {
            item->size = entry.size;
            run->items[kept] = item;
            run->checksums[kept++] = run->checksums[at];
        }
    }
    run->count = kept;
}

static void leave(deletion_run *run, size_t from)
{
    for (size_t at = from; at < run->count; at++) {
        run->items[at]->result = FV_DELETION_OPEN;
        run->items[at]->size = 0;
    }
}

static void delete_run_locked(fv_volume *volume, deletion_run *run)
{
    fv_write_result out;
    memset(&out, 0, sizeof out);
    /* Few are deleted where the data is elsewhere: one by one will do. */
    if (volume->dat_is_elsewhere || fv_append_check(volume, FV_VOLUME_NO_DELETE, &out) != FV_OK) {
        leave(run, 0);
        return;
    }
    keep_live(volume, run);
    size_t length = fv_needle_actual_size(0, volume->version), rows_length = 0;
    assert(length <= TOMBSTONE_MAX);
    if (run->count == 0)
        return;
    if (fv_append_room(volume, run->count * length, &out) != FV_OK) {
        leave(run, 0);
        return;
    }
    uint8_t records[RUN_MAX * TOMBSTONE_MAX], rows[RUN_MAX * FV_ROW_MAX];
    uint64_t first_ns = fv_append_time(volume);
    uint64_t dat_size = volume->stat.dat_size, idx_size = volume->stat.idx_size;
    for (size_t at = 0; at < run->count; at++) {
        fv_needle tombstone;
        memset(&tombstone, 0, sizeof tombstone);
        tombstone.id = run->items[at]->id;
        tombstone.cookie = run->items[at]->cookie;
        tombstone.checksum = run->checksums[at];
        tombstone.append_at_ns = first_ns + at;
        uint8_t suffix[FV_NEEDLE_META_MAX];
        uint8_t *record = records + at * length;
        size_t head = fv_needle_build_prefix(&tombstone, volume->version, record);
        size_t tail = fv_needle_build_suffix(&tombstone, volume->version, suffix);
        assert(head + tail == length);
        memcpy(record + head, suffix, tail);
        rows_length += fv_row_encode(rows + rows_length, volume->offset_width, tombstone.id,
                                     (dat_size + at * length) / 8, -1);
    }
    struct iovec part = {.iov_base = records, .iov_len = run->count * length};
    if (fv_append_bytes(volume, &part, 1, rows, rows_length, first_ns + run->count - 1, &out) !=
        FV_OK) {
        leave(run, 0);
        return;
    }
    size_t row_length = rows_length / run->count;
    for (size_t at = 0; at < run->count; at++) {
        fv_deletion *item = run->items[at];
        int deleted = fv_map_delete(volume->map, item->id, NULL);
        if (deleted < 0) {
            fv_append_undo_unmapped(volume, deleted, dat_size + at * length,
                                    idx_size + at * row_length, &out);
            leave(run, at);
            return;
        }
        pthread_mutex_lock(&volume->stat_lock);
        fv_counters_delete(&volume->stat.counters, item->size);
        if (item->id > volume->stat.counters.max_key)
            volume->stat.counters.max_key = item->id;
        pthread_mutex_unlock(&volume->stat_lock);
        item->result = FV_OK;
    }
}

static void delete_run(fv_volume *volume, deletion_run *run)
{
    if (run->count == 0)
        return;
    fv_append_begin(volume, 0);
    delete_run_locked(volume, run);
    pthread_mutex_unlock(&volume->write_lock);
    run->count = 0;
}

void fv_volume_delete_many(fv_volume *volume, uint32_t volume_id, fv_deletion *items, size_t count,
                           int check_cookie)
{
    deletion_run run = {.count = 0};
    for (size_t at = 0; at < count; at++) {
        fv_deletion *item = &items[at];
        if (item->volume_id != volume_id || item->result != FV_DELETION_PENDING)
            continue;
        if (run.count == RUN_MAX || holds(&run, item->id))
            delete_run(volume, &run);
        uint32_t checksum = 0;
        if (check_cookie) {
            item->result = check_record(volume, item, &checksum);
            if (item->result != FV_OK)
                continue;
        }
        run.checksums[run.count] = checksum;
        run.items[run.count++] = item;
    }
    delete_run(volume, &run);
}
