#include "index_counters.h"

#include "compact_tree.h"
#include "file_bytes.h"
#include "needle.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Memory against passes: 10 to 17 bytes a key at once, and no more passes than this. */
#define KEYS_AT_ONCE_MIN (1u << 20)
#define PARTS_MAX 16u

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

uint64_t fv_live_hash(const fv_entry *entry)
{
    return mix(mix(mix(entry->id) + entry->offset) + (uint32_t)entry->size);
}

typedef struct {
    int fd;
    int offset_width;
    int version;
    uint64_t parts;
    uint64_t part;
    fv_tree newest; /* of this part's keys: their newest row */
    uint64_t sized; /* keys whose newest row has a size */
    uint64_t sized_bytes;
    fv_counters *counters;
    fv_live *live;
} counting;

static void count_row(counting *c, const fv_entry *row)
{
    fv_counters *counters = c->counters;
    counters->rows++;
    counters->file_count++;
    if (row->id > counters->max_key)
        counters->max_key = row->id;
    if (row->size <= 0)
        return;
    counters->file_bytes += (uint64_t)row->size;
    uint64_t end = row->offset * 8 + fv_needle_actual_size(row->size, c->version);
    if (row->offset != 0 && end > counters->max_end)
        counters->max_end = end;
}

static int take_newest(counting *c, const fv_entry *row)
{
    fv_entry old;
    int known = fv_tree_set(&c->newest, row->id, row->offset, row->size, &old);
    if (known < 0)
        return -ENOMEM;
    if (known && old.size > 0) {
        c->sized--;
        c->sized_bytes -= (uint64_t)old.size;
    }
    if (known && fv_entry_is_live(&old)) {
        c->live->count--;
        c->live->sum -= fv_live_hash(&old);
    }
    if (row->size > 0) {
        c->sized++;
        c->sized_bytes += (uint64_t)row->size;
    }
    if (fv_entry_is_live(row)) {
        c->live->count++;
        c->live->sum += fv_live_hash(row);
    }
    return 0;
}

static int take_row(counting *c, const fv_entry *row)
{
    if (c->part == 0)
        count_row(c, row);
    return c->parts == 1 || mix(row->id) % c->parts == c->part ? take_newest(c, row) : 0;
}

static int count_part(counting *c)
{
    fv_row_reader reader;
    fv_entry row;
    int result = fv_row_reader_open(&reader, c->fd, c->offset_width);
    while (result == 0 && (result = fv_row_reader_next(&reader, &row)) == 1)
        result = take_row(c, &row);
    fv_row_reader_close(&reader);
    return result;
}

int fv_count_in_parts(int fd, int offset_width, int version, uint64_t keys_at_once,
                      fv_counters *counters, fv_live *live)
{
    assert(keys_at_once > 0);
    memset(counters, 0, sizeof *counters);
    memset(live, 0, sizeof *live);
    if ((offset_width != 4 && offset_width != 5) || version < 1 || version > 3)
        return -EINVAL;
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    uint64_t rows = (uint64_t)status.st_size / fv_row_bytes(offset_width);
    counting c = {.fd = fd, .offset_width = offset_width, .version = version,
                  .parts = rows / keys_at_once + 1, .counters = counters, .live = live};
    int error = 0;
    for (; c.part < c.parts && error == 0; c.part++) {
        error = count_part(&c);
        fv_tree_free(&c.newest);
    }
    counters->deletion_count = counters->rows - c.sized;
    counters->deletion_bytes = counters->file_bytes - c.sized_bytes;
    return error;
}

int fv_count_backwards(int fd, int offset_width, int version, fv_counters *counters, fv_live *live)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    uint64_t keys = (uint64_t)status.st_size / 12u / PARTS_MAX;
    return fv_count_in_parts(fd, offset_width, version,
                             keys < KEYS_AT_ONCE_MIN ? KEYS_AT_ONCE_MIN : keys, counters, live);
}
