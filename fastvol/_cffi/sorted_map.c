#include "sorted_map.h"

#include "bytes.h"
#include "file_bytes.h"
#include "map_methods.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* About a page. */
#define BLOCK_ROWS 240u
/* Keys held in memory, at even distances: ten steps of a look-up that need no file. */
#define FENCES 1024u
#define WRITE_BUFFER (1u << 16)
#define SCAN_ENTRIES 256

typedef struct {
    int fd;
    int offset_width;
    size_t row_bytes;
    uint64_t rows;
    uint64_t step; /* rows from fence to fence */
    uint64_t fence_count;
    uint64_t fences[FENCES];
    atomic_uint changes; /* odd while a row is being changed */
    atomic_int unsynced;
    atomic_int nowait_unsupported;
} sorted;

/* ---- reading ---------------------------------------------------------------------------------- */

static int read_rows(sorted *s, uint8_t *out, uint64_t first, uint64_t count, int nowait)
{
    assert(first + count <= s->rows);
    size_t length = (size_t)count * s->row_bytes;
    uint64_t from = first * s->row_bytes;
    if (nowait && !atomic_load_explicit(&s->nowait_unsupported, memory_order_relaxed)) {
        struct iovec part = {.iov_base = out, .iov_len = length};
        ssize_t n = preadv2(s->fd, &part, 1, (off_t)from, RWF_NOWAIT);
        if (n == (ssize_t)length)
            return 0;
        if (n >= 0 || errno == EAGAIN || errno == EINTR)
            return -EAGAIN;
        if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS)
            return -errno;
        atomic_store(&s->nowait_unsupported, 1);
    }
    ssize_t got = fv_read_fully(s->fd, out, length, from);
    if (got < 0)
        return -errno;
    return got == (ssize_t)length ? 0 : -EIO; /* somebody cut the file short */
}

/* Index of the last fence whose key is not above the id; 0 when all are above. */
static uint64_t find_fence(const sorted *s, uint64_t id)
{
    uint64_t from = 0, count = s->fence_count;
    while (count > 1) {
        uint64_t half = count / 2;
        from = s->fences[from + half] <= id ? from + half : from;
        count -= half;
    }
    return from;
}

/* Reads the block that the key must be in, if it is there: *count rows from *first on. */
static int read_block_of(sorted *s, uint64_t id, int nowait, uint8_t *rows, uint64_t *first,
                         uint64_t *count)
{
    uint64_t from = find_fence(s, id) * s->step;
    uint64_t end = from + s->step < s->rows ? from + s->step : s->rows;
    /* rows[from] <= id < rows[end], as far as there are such rows */
    while (end - from > BLOCK_ROWS) {
        uint64_t middle = from + (end - from) / 2;
        int error = read_rows(s, rows, middle, 1, nowait);
        if (error != 0)
            return error;
        if (fv_load_be64(rows) <= id)
            from = middle;
        else
            end = middle;
    }
    *first = from;
    *count = end - from;
    return read_rows(s, rows, from, *count, nowait);
}

/* 1 with the entry and its row number, 0, or a negative errno. */
static int locate(sorted *s, uint64_t id, int nowait, fv_entry *out, uint64_t *row)
{
    uint8_t rows[BLOCK_ROWS * FV_ROW_MAX];
    uint64_t first = 0, count = 0;
    if (s->rows == 0)
        return 0;
    for (;;) {
        unsigned before = atomic_load(&s->changes);
        int error = read_block_of(s, id, nowait, rows, &first, &count);
        if (error != 0)
            return error;
        if ((before & 1) == 0 && atomic_load(&s->changes) == before)
            break;
        if (nowait)
            return -EAGAIN;
        sched_yield();
    }
    uint64_t at = 0;
    while (count > 1) {
        uint64_t half = count / 2;
        at = fv_load_be64(rows + (at + half) * s->row_bytes) <= id ? at + half : at;
        count -= half;
    }
    fv_row_decode(rows + at * s->row_bytes, s->offset_width, out);
    *row = first + at;
    return out->id == id;
}

static int find(void *self, uint64_t id, int nowait, fv_entry *out)
{
    uint64_t row;
    return locate(self, id, nowait, out, &row);
}

/* The row of the first key that is not below the id. */
static int lower_bound(sorted *s, uint64_t id, uint64_t *row)
{
    fv_entry entry;
    *row = 0;
    int found = locate(s, id, 0, &entry, row);
    if (found == 0 && *row < s->rows && entry.id < id)
        ++*row;
    return found < 0 ? found : 0;
}

static int64_t scan(void *self, uint64_t first, fv_entry *out, size_t capacity)
{
    sorted *s = self;
    uint8_t rows[SCAN_ENTRIES * FV_ROW_MAX];
    uint64_t row;
    size_t copied = 0;
    int error = s->rows == 0 ? 0 : lower_bound(s, first, &row);
    if (error != 0 || s->rows == 0)
        return error;
    while (copied < capacity && row < s->rows) {
        uint64_t count = s->rows - row;
        if (count > capacity - copied)
            count = capacity - copied;
        if (count > SCAN_ENTRIES)
            count = SCAN_ENTRIES;
        unsigned before = atomic_load(&s->changes);
        error = read_rows(s, rows, row, count, 0);
        if (error != 0)
            return error;
        if ((before & 1) != 0 || atomic_load(&s->changes) != before) {
            sched_yield();
            continue;
        }
        for (uint64_t i = 0; i < count; i++)
            fv_row_decode(rows + i * s->row_bytes, s->offset_width, &out[copied++]);
        row += count;
    }
    return (int64_t)copied;
}

/* ---- changing --------------------------------------------------------------------------------- */

static int delete_row(void *self, uint64_t id, fv_entry *old)
{
    static const uint8_t tombstone[4] = {0xff, 0xff, 0xff, 0xff};
    sorted *s = self;
    fv_entry entry;
    uint64_t row;
    int found = locate(s, id, 0, &entry, &row);
    if (found != 1 || entry.size < 0)
        return found < 0 ? found : 0;
    atomic_store(&s->unsynced, 1);
    atomic_fetch_add(&s->changes, 1);
    int failed = fv_write_fully(s->fd, tombstone, sizeof tombstone,
                                (row + 1) * s->row_bytes - sizeof tombstone);
    atomic_fetch_add(&s->changes, 1);
    if (failed)
        return -errno;
    if (old != NULL)
        *old = entry;
    return 1;
}

static int sync_rows(void *self)
{
    sorted *s = self;
    if (!atomic_exchange(&s->unsynced, 0))
        return 0;
    if (fdatasync(s->fd) == 0)
        return 0;
    int error = -errno;
    atomic_store(&s->unsynced, 1);
    return error;
}

/* ---- life ------------------------------------------------------------------------------------- */

static uint64_t count(void *self)
{
    return ((sorted *)self)->rows;
}

static uint64_t memory(void *self)
{
    (void)self;
    return sizeof(sorted);
}

static void free_sorted(void *self)
{
    sorted *s = self;
    close(s->fd);
    free(s);
}

static const fv_map_methods methods = {
    .find = find,
    .delete = delete_row,
    .scan = scan,
    .sync = sync_rows,
    .count = count,
    .memory = memory,
    .free = free_sorted,
};

/* One pass over the rows: the fences, and whether the rows are what they must be. */
static int look_through(sorted *s, uint8_t *block, size_t block_bytes, const fv_live *want)
{
    fv_live live = {0, 0};
    uint64_t row = 0, last = 0;
    while (row < s->rows) {
        uint64_t rows = s->rows - row;
        if (rows > block_bytes / s->row_bytes)
            rows = block_bytes / s->row_bytes;
        int error = read_rows(s, block, row, rows, 0);
        if (error != 0)
            return error;
        for (uint64_t i = 0; i < rows; i++, row++) {
            fv_entry entry;
            fv_row_decode(block + i * s->row_bytes, s->offset_width, &entry);
            if ((row > 0 && entry.id <= last) || entry.offset == 0 || entry.size < -1)
                return -EBADMSG;
            last = entry.id;
            if (row % s->step == 0)
                s->fences[s->fence_count++] = entry.id;
            if (entry.size < 0)
                continue;
            live.count++;
            live.sum += fv_live_hash(&entry);
        }
    }
    return live.count == want->count && live.sum == want->sum ? 0 : -EBADMSG;
}

static int prepare(sorted *s, const fv_live *want)
{
    struct stat status;
    if (fstat(s->fd, &status) != 0)
        return -errno;
    if ((uint64_t)status.st_size % s->row_bytes != 0)
        return -EBADMSG;
    s->rows = (uint64_t)status.st_size / s->row_bytes;
    s->step = (s->rows + FENCES - 1) / FENCES;
    if (s->step < BLOCK_ROWS)
        s->step = BLOCK_ROWS;
    uint8_t *block = malloc(WRITE_BUFFER);
    if (block == NULL)
        return -ENOMEM;
    int error = look_through(s, block, WRITE_BUFFER, want);
    free(block);
    return error;
}

int fv_map_open_sorted(int fd, int offset_width, const fv_live *live, fv_map **map)
{
    assert(offset_width == 4 || offset_width == 5);
    *map = NULL;
    sorted *s = calloc(1, sizeof *s);
    if (s == NULL) {
        close(fd);
        return -ENOMEM;
    }
    s->fd = fd;
    s->offset_width = offset_width;
    s->row_bytes = fv_row_bytes(offset_width);
    int error = prepare(s, live);
    if (error != 0) {
        free_sorted(s);
        return error;
    }
    *map = fv_map_new_with(&methods, s);
    return *map == NULL ? -ENOMEM : 0;
}

/* ---- writing one ------------------------------------------------------------------------------ */

static int write_live(fv_map *loaded, int fd, int offset_width)
{
    fv_entry batch[SCAN_ENTRIES];
    uint8_t rows[SCAN_ENTRIES * FV_ROW_MAX];
    uint64_t first = 0, position = 0;
    for (;;) {
        int64_t got = fv_map_scan(loaded, first, batch, SCAN_ENTRIES);
        if (got < 0)
            return (int)got;
        size_t length = 0;
        for (int64_t i = 0; i < got; i++)
            if (fv_entry_is_live(&batch[i]))
                length += fv_row_encode(rows + length, offset_width, batch[i].id, batch[i].offset,
                                        batch[i].size);
        if (fv_write_fully(fd, rows, length, position) != 0)
            return -errno;
        position += length;
        if (got < SCAN_ENTRIES || batch[got - 1].id == UINT64_MAX)
            return 0;
        first = batch[got - 1].id + 1;
    }
}

int fv_sorted_write(int idx_fd, int fd, int offset_width)
{
    fv_counters counters;
    fv_map *loaded = fv_map_new();
    if (loaded == NULL)
        return -ENOMEM;
    int error = fv_map_load(loaded, idx_fd, offset_width, 3, &counters);
    if (error == 0)
        error = write_live(loaded, fd, offset_width);
    fv_map_free(loaded);
    if (error == 0 && fsync(fd) != 0)
        error = -errno;
    return error;
}
