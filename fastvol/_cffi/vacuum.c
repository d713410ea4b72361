#include "vacuum.h"

#include "bytes.h"
#include "index_rows.h"
#include "file_bytes.h"
#include "guard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define BATCH 1024
#define DATA_BUFFER (128u << 10)
#define INDEX_BUFFER (64u << 10)
/* Larger records go to the new file straight from the mapping. */
#define BUFFERED_RECORD_MAX (64u << 10)
/* Dirty pages are handed to the disk in bounds, or the sync at the end would stall everybody; but in
 * few large lots: readers feel a disk at work beside the copy more than either alone. */
#define WRITE_BEHIND (256u << 20)
/* Read-ahead joins records with a smaller gap than this between them. */
#define GAP_READ 65536u

typedef struct {
    int fd;
    int failure; /* the result that a failed write gives */
    uint64_t end; /* of the file, the buffered bytes included */
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    uint64_t flushed; /* handed to the disk */
} sink;

struct fv_vacuum {
    fv_volume *volume;
    int source_idx_fd;
    int order;
    int version;
    int offset_width;
    uint64_t size_max;
    uint64_t source_size; /* of the old data file when it was looked at last */
    uint64_t now_ns;
    sink data;
    sink index;
    uint64_t caught_up; /* bytes of the old index that are replayed, or were there at the start */

    fv_entry batch[BATCH];
    size_t batch_count;
    size_t batch_at;
    uint64_t next_id;
    int map_ended;
    fv_entry *by_offset;
    size_t by_offset_count;
    size_t by_offset_at;

    fv_vacuum_stat stat;
};

/* ---- the new files ---------------------------------------------------------------------------- */

static int write_all(fv_vacuum *v, sink *s, const uint8_t *bytes, size_t length, uint64_t offset)
{
    if (fv_write_fully(s->fd, bytes, length, offset) == 0)
        return 0;
    v->stat.sys_errno = errno;
    /* EFAULT: the page of the old file that the bytes come from is gone. */
    return errno == EFAULT ? FV_VACUUM_SOURCE_FAILED : s->failure;
}

static int flush(fv_vacuum *v, sink *s)
{
    int result = write_all(v, s, s->bytes, s->length, s->end - s->length);
    if (result != 0)
        return result;
    s->length = 0;
    if (s->end - s->flushed >= WRITE_BEHIND) {
        /* Only a hint: whether the bytes are durable, fsync says. */
        (void)sync_file_range(s->fd, (off_t)s->flushed, (off_t)(s->end - s->flushed),
                              SYNC_FILE_RANGE_WRITE);
        s->flushed = s->end;
    }
    return 0;
}

static int make_room(fv_vacuum *v, sink *s, size_t length)
{
    assert(length <= s->capacity);
    return s->length + length > s->capacity ? flush(v, s) : 0;
}

static int put_row(fv_vacuum *v, uint64_t id, uint64_t position, int32_t size)
{
    int result = make_room(v, &v->index, FV_ROW_MAX);
    if (result != 0)
        return result;
    size_t length = fv_row_encode(v->index.bytes + v->index.length, v->offset_width, id,
                                  position / 8, size);
    v->index.length += length;
    v->index.end += length;
    return 0;
}

/* ---- one record ------------------------------------------------------------------------------- */

#define RECORD_GOOD 0
#define RECORD_EXPIRED 1
#define RECORD_DAMAGED 2 /* all there, but its checksum or a field of it is wrong */
#define RECORD_ABSENT 3  /* the index does not lead to it */

static uint64_t ttl_minutes(const uint8_t ttl[2])
{
    static const uint64_t minutes[] = {0, 1, 60, 1440, 10080, 43200, 525600};
    return ttl[1] < sizeof minutes / sizeof minutes[0] ? ttl[0] * minutes[ttl[1]] : 0;
}

/* As a read would say it. */
static int is_expired(const fv_needle *needle, uint64_t now_ns)
{
    uint64_t minutes = ttl_minutes(needle->ttl);
    if ((needle->flags & FV_NEEDLE_HAS_TTL) == 0 ||
        (needle->flags & FV_NEEDLE_HAS_LAST_MODIFIED) == 0 || minutes == 0)
        return 0;
    return now_ns >= needle->append_at_ns + minutes * 60u * 1000000000u;
}

typedef struct {
    const fv_vacuum *vacuum;
    const uint8_t *record;
    uint64_t length;
    int32_t size;
    uint8_t *copy; /* NULL: only look */
    int found;
} look;

/* Runs under the guard: touches the mapping. */
static void look_and_copy(void *arg)
{
    look *l = arg;
    fv_needle needle;
    fv_fault fault;
    int parsed = fv_needle_parse(l->record, l->length, l->size, l->vacuum->version, 1, &needle,
                                 &fault);
    l->found = RECORD_DAMAGED;
    if (parsed == FV_NEEDLE_SIZE_MISMATCH)
        l->found = RECORD_ABSENT;
    else if (parsed == FV_NEEDLE_OK && is_expired(&needle, l->vacuum->now_ns))
        l->found = RECORD_EXPIRED;
    else if (parsed == FV_NEEDLE_OK)
        l->found = RECORD_GOOD;
    if (l->copy != NULL && l->found != RECORD_ABSENT)
        memcpy(l->copy, l->record, l->length);
}

static int see_source_size(fv_vacuum *v)
{
    struct stat status;
    if (fstat(fv_volume_dat_fd(v->volume), &status) != 0) {
        v->stat.sys_errno = errno;
        return -1;
    }
    v->source_size = (uint64_t)status.st_size;
    return 0;
}

/* Looks at the record at `offset`, and copies it to the end of the data buffer if it fits there.
 * 0, or why the vacuum fails. */
static int look_at(fv_vacuum *v, uint64_t offset, int32_t size, look *out)
{
    uint64_t length = fv_needle_actual_size(size, v->version);
    *out = (look){.vacuum = v, .length = length, .size = size, .found = RECORD_ABSENT};
    /* The file grows while it is copied. */
    if (offset + length > v->source_size && see_source_size(v) != 0)
        return FV_VACUUM_SOURCE_FAILED;
    if (offset + length > v->source_size)
        return 0;
    const uint8_t *base = fv_volume_mapped(v->volume, offset + length);
    if (base == NULL)
        return FV_VACUUM_NO_MEMORY;
    if (length <= BUFFERED_RECORD_MAX)
        out->copy = v->data.bytes + v->data.length;
    out->record = base + offset;
    if (fv_guard_run(look_and_copy, out) != 0) {
        v->stat.sys_errno = EIO;
        return FV_VACUUM_SOURCE_FAILED;
    }
    return 0;
}

static int find_record(fv_vacuum *v, uint64_t *offset, int32_t size, look *out)
{
    int result = look_at(v, *offset, size, out);
    if (result != 0 || out->found != RECORD_ABSENT || v->offset_width != 4 ||
        *offset >= FV_HISTORIC_WRAP)
        return result;
    result = look_at(v, *offset + FV_HISTORIC_WRAP, size, out);
    if (result == 0 && out->found != RECORD_ABSENT)
        *offset += FV_HISTORIC_WRAP;
    return result;
}

static void note_damage(fv_vacuum *v, const fv_entry *entry, int dropped)
{
    if (dropped)
        v->stat.unreadable++;
    else
        v->stat.carried++;
    if (v->stat.damage_count == FV_VACUUM_DAMAGE_LISTED)
        return;
    v->stat.damage[v->stat.damage_count++] = (fv_vacuum_damage){
        .id = entry->id, .offset = entry->offset * 8, .size = entry->size, .dropped = dropped};
}

/* Appends the record that `entry` leads to, and its row.  *done is what it cost.  A replayed one is
 * kept whatever its age: without it an earlier version would be valid again. */
static int copy_record(fv_vacuum *v, const fv_entry *entry, int is_replay, uint64_t *done)
{
    int32_t size = entry->size < 0 ? 0 : entry->size;
    uint64_t offset = entry->offset * 8;
    look found;
    int result = make_room(v, &v->data, BUFFERED_RECORD_MAX);
    if (result == 0)
        result = find_record(v, &offset, size, &found);
    if (result != 0)
        return result;
    *done += found.length;
    if (found.found == RECORD_ABSENT && is_replay) {
        v->stat.sys_errno = EIO;
        return FV_VACUUM_SOURCE_FAILED;
    }
    if (found.found == RECORD_ABSENT) {
        note_damage(v, entry, 1);
        return 0;
    }
    if (found.found == RECORD_EXPIRED && !is_replay) {
        v->stat.expired++;
        return 0;
    }
    if (v->data.end + found.length > v->size_max)
        return FV_VACUUM_TOO_LARGE;
    if (found.found == RECORD_DAMAGED)
        note_damage(v, entry, 0);
    uint64_t position = v->data.end;
    if (found.copy != NULL) {
        v->data.length += found.length;
    } else {
        result = flush(v, &v->data);
        if (result == 0)
            result = write_all(v, &v->data, found.record, found.length, position);
        if (result != 0)
            return result;
    }
    v->data.end += found.length;
    v->stat.records++;
    v->stat.bytes += found.length;
    v->stat.source_offset = offset;
    return put_row(v, entry->id, position, entry->size < 0 ? -1 : entry->size);
}

/* ---- what is alive ---------------------------------------------------------------------------- */

static int compare_offsets(const void *left, const void *right)
{
    uint64_t a = ((const fv_entry *)left)->offset, b = ((const fv_entry *)right)->offset;
    return (a > b) - (a < b);
}

static int map_failed(fv_vacuum *v, int64_t error)
{
    v->stat.sys_errno = (int)-error;
    return FV_VACUUM_SOURCE_FAILED;
}

/* All live entries, sorted by where they lie. */
static int collect_by_offset(fv_vacuum *v)
{
    size_t capacity = 0, count = 0;
    uint64_t first = 0;
    for (;;) {
        int64_t scanned = fv_map_scan(fv_volume_map(v->volume), first, v->batch, BATCH);
        if (scanned < 0)
            return map_failed(v, scanned);
        size_t got = (size_t)scanned;
        if (count + got > capacity) {
            capacity = (count + got) * 2;
            fv_entry *grown = realloc(v->by_offset, capacity * sizeof *grown);
            if (grown == NULL)
                return FV_VACUUM_NO_MEMORY;
            v->by_offset = grown;
        }
        for (size_t i = 0; i < got; i++)
            if (v->batch[i].size >= 0 && v->batch[i].offset != 0)
                v->by_offset[count++] = v->batch[i];
        if (got < BATCH || v->batch[got - 1].id == UINT64_MAX)
            break;
        first = v->batch[got - 1].id + 1;
    }
    if (count > 1)
        qsort(v->by_offset, count, sizeof *v->by_offset, compare_offsets);
    v->by_offset_count = count;
    return 0;
}

/* Gets the records of the batch moving; cold ones would be faulted in page by page otherwise. */
static void read_ahead(fv_vacuum *v)
{
    int fd = fv_volume_dat_fd(v->volume);
    uint64_t start = 0, end = 0;
    for (size_t i = 0; i < v->batch_count; i++) {
        const fv_entry *entry = &v->batch[i];
        if (entry->size < 0 || entry->offset == 0)
            continue;
        uint64_t offset = entry->offset * 8;
        uint64_t behind = offset + fv_needle_actual_size(entry->size, v->version);
        if (offset >= start && offset <= end + GAP_READ) {
            end = behind > end ? behind : end;
            continue;
        }
        if (end > start)
            posix_fadvise(fd, (off_t)start, (off_t)(end - start), POSIX_FADV_WILLNEED);
        start = offset;
        end = behind;
    }
    if (end > start)
        posix_fadvise(fd, (off_t)start, (off_t)(end - start), POSIX_FADV_WILLNEED);
}

static int fill_batch(fv_vacuum *v)
{
    v->batch_at = 0;
    v->batch_count = 0;
    if (v->order == FV_VACUUM_BY_OFFSET) {
        size_t left = v->by_offset_count - v->by_offset_at;
        v->batch_count = left < BATCH ? left : BATCH;
        if (v->batch_count > 0)
            memcpy(v->batch, v->by_offset + v->by_offset_at, v->batch_count * sizeof *v->batch);
        v->by_offset_at += v->batch_count;
    } else if (!v->map_ended) {
        int64_t scanned = fv_map_scan(fv_volume_map(v->volume), v->next_id, v->batch, BATCH);
        if (scanned < 0)
            return map_failed(v, scanned);
        v->batch_count = (size_t)scanned;
        v->map_ended = v->batch_count < BATCH || v->batch[v->batch_count - 1].id == UINT64_MAX;
        if (!v->map_ended)
            v->next_id = v->batch[v->batch_count - 1].id + 1;
    }
    read_ahead(v);
    return 0;
}

static int begin_step(fv_vacuum *v)
{
    struct timespec now;
    if (see_source_size(v) != 0)
        return FV_VACUUM_SOURCE_FAILED;
    clock_gettime(CLOCK_REALTIME, &now);
    v->now_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    return 0;
}

static int end_step(fv_vacuum *v, int result)
{
    if (result >= 0) {
        int failed = flush(v, &v->data);
        if (failed == 0)
            failed = flush(v, &v->index);
        if (failed != 0)
            result = failed;
    }
    return result;
}

int fv_vacuum_copy(fv_vacuum *v, uint64_t bytes)
{
    int result = begin_step(v);
    if (result == 0 && v->order == FV_VACUUM_BY_OFFSET && v->by_offset == NULL)
        result = collect_by_offset(v);
    uint64_t done = 0;
    uint64_t seen = 0;
    while (result == 0 && done < bytes && seen < bytes) {
        if (v->batch_at == v->batch_count) {
            result = fill_batch(v);
            if (result == 0 && v->batch_count == 0)
                return end_step(v, FV_VACUUM_DONE);
            if (result != 0)
                break;
        }
        const fv_entry *entry = &v->batch[v->batch_at++];
        seen += FV_ROW_MAX;
        if (entry->size >= 0 && entry->offset != 0)
            result = copy_record(v, entry, 0, &done);
    }
    return end_step(v, result == 0 ? FV_VACUUM_MORE : result);
}

/* ---- what came since --------------------------------------------------------------------------- */

static uint64_t old_index_size(fv_vacuum *v)
{
    fv_volume_stat stat;
    fv_volume_get_stat(v->volume, &stat);
    return stat.idx_size;
}

static int read_rows(fv_vacuum *v, uint8_t *rows, size_t length)
{
    int code = fv_read_exactly(v->source_idx_fd, rows, length, v->caught_up);
    if (code == FV_OK)
        return 0;
    v->stat.sys_errno = code == FV_IO_ERROR ? errno : 0;
    return FV_VACUUM_SOURCE_FAILED;
}

int fv_vacuum_catch_up(fv_vacuum *v, uint64_t bytes)
{
    uint8_t rows[256 * FV_ROW_MAX];
    size_t width = 12u + (size_t)v->offset_width;
    /* The index first: the records of the rows below this are in the data file already. */
    uint64_t until = old_index_size(v);
    int result = begin_step(v);
    if (result == 0 && until < v->caught_up) {
        v->stat.sys_errno = 0;
        return FV_VACUUM_SOURCE_FAILED;
    }
    uint64_t done = 0;
    while (result == 0 && done < bytes && until - v->caught_up >= width) {
        size_t length = (size_t)((until - v->caught_up) / width);
        length = (length < 256 ? length : 256) * width;
        result = read_rows(v, rows, length);
        for (size_t at = 0; result == 0 && at < length; at += width) {
            fv_entry row;
            fv_row_decode(rows + at, v->offset_width, &row);
            if (row.offset != 0)
                result = copy_record(v, &row, 1, &done);
        }
        if (result == 0)
            v->caught_up += length;
    }
    if (result == 0)
        result = until - v->caught_up >= width ? FV_VACUUM_MORE : FV_VACUUM_DONE;
    return end_step(v, result);
}

/* ---- life -------------------------------------------------------------------------------------- */

fv_vacuum *fv_vacuum_new(fv_volume *volume, int source_idx_fd, int dat_fd, int idx_fd,
                         uint64_t first, int order)
{
    assert(first % 8 == 0);
    fv_vacuum *v = calloc(1, sizeof *v);
    if (v == NULL)
        return NULL;
    v->volume = fv_volume_ref(volume);
    v->source_idx_fd = source_idx_fd;
    v->order = order;
    v->version = fv_volume_version(volume);
    v->offset_width = fv_volume_offset_width(volume);
    v->size_max = (uint64_t)8 << (8 * v->offset_width);
    v->data = (sink){.fd = dat_fd, .failure = FV_VACUUM_DATA_FAILED, .end = first,
                     .capacity = DATA_BUFFER, .bytes = malloc(DATA_BUFFER)};
    v->index = (sink){.fd = idx_fd, .failure = FV_VACUUM_INDEX_FAILED, .end = 0,
                      .capacity = INDEX_BUFFER, .bytes = malloc(INDEX_BUFFER)};
    /* Noted before the map is looked at: what comes in between is caught up with. */
    v->caught_up = fv_volume_settled_idx_size(volume);
    if (v->data.bytes == NULL || v->index.bytes == NULL) {
        fv_vacuum_free(v);
        return NULL;
    }
    return v;
}

void fv_vacuum_free(fv_vacuum *v)
{
    if (v == NULL)
        return;
    fv_volume_unref(v->volume);
    free(v->data.bytes);
    free(v->index.bytes);
    free(v->by_offset);
    free(v);
}

void fv_vacuum_get_stat(fv_vacuum *v, fv_vacuum_stat *out)
{
    *out = v->stat;
    out->dat_size = v->data.end;
    out->idx_size = v->index.end;
    uint64_t now = old_index_size(v);
    out->behind = now > v->caught_up ? now - v->caught_up : 0;
}
