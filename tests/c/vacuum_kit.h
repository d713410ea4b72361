/* A volume to be vacuumed, the files made of it, and whether they are what they must be. */
#ifndef FASTVOL_TEST_VACUUM_KIT_H
#define FASTVOL_TEST_VACUUM_KIT_H

#include "records.h"
#include "vacuum.h"

#define FIRST 8u
#define ALL (1ull << 40)
#define WRAP (32ull << 30)
/* More than two batches of entries, and more rows than one call of catching up reads. */
#define MANY 2500u
#define LARGE 66000u /* beyond what the vacuum buffers */

static const int orders[] = {FV_VACUUM_BY_KEY, FV_VACUUM_BY_OFFSET};

/* ---- the volume that is copied -------------------------------------------------------------- */

typedef struct {
    fv_volume *volume;
    int version;
    int width;
    int dat; /* both are the volume's */
    int idx;
} source;

static inline source open_source(int version, int width, int dat, int idx, fv_map *map)
{
    fv_volume_spec spec = {.id = 7, .version = version, .offset_width = width, .dat_fd = dat,
                           .idx_fd = idx, .dat_size = file_size(dat), .idx_size = file_size(idx)};
    fv_counters counters = {0};
    source s = {NULL, version, width, dat, idx};
    if (map == NULL) {
        map = fv_map_new();
        CHECK(map != NULL && fv_map_load(map, idx, width, version, &counters) == 0);
    }
    s.volume = fv_volume_new(&spec, map, &counters);
    CHECK(s.volume != NULL);
    return s;
}

static inline source fresh(int version, int width)
{
    return open_source(version, width, new_data(version), empty_file(), NULL);
}

static inline fv_needle needle_of(uint64_t id, uint32_t data_size, uint8_t filling)
{
    static uint8_t data[LARGE];
    CHECK(data_size <= sizeof data);
    memset(data, filling, data_size);
    return (fv_needle){.id = id, .cookie = (uint32_t)id * 3 + 1, .data = data,
                       .data_size = data_size, .checksum = fv_crc32c(0, data, data_size)};
}

static inline void put(const source *s, uint64_t id, uint32_t data_size, uint8_t filling)
{
    fv_needle needle = needle_of(id, data_size, filling);
    fv_write_result out;
    CHECK(fv_volume_write(s->volume, &needle, 1, 0, &out) == FV_OK);
}

static inline void drop(const source *s, uint64_t id)
{
    fv_write_result out;
    CHECK(fv_volume_delete(s->volume, id, (uint32_t)id * 3 + 1, 99, 0, 0, &out) == FV_OK);
}

/* A tombstone, whether there is something to delete or not. */
static inline void bury(const source *s, uint64_t id)
{
    fv_write_result out;
    CHECK(fv_volume_delete(s->volume, id, 5, 99, 1, 0, &out) == FV_OK && out.append_at_ns > 0);
}

/* Ids descend while offsets ascend; some are written twice, deleted, empty or large. */
static inline source filled(int version, int width)
{
    source s = fresh(version, width);
    for (uint64_t id = MANY; id > 0; id--)
        put(&s, id, id % 1000 == 7 ? LARGE : (uint32_t)(id % 9) * 5, 1);
    for (uint64_t id = 1; id <= MANY; id += 10)
        put(&s, id, 33, 2);
    for (uint64_t id = 5; id <= MANY; id += 7)
        drop(&s, id);
    put(&s, 12, 12, 3);
    put(&s, UINT64_MAX, 1, 4);
    return s;
}

static inline void let_go(source *s)
{
    fv_volume_unref(s->volume);
    s->volume = NULL;
}

/* ---- what is made of it --------------------------------------------------------------------- */

typedef struct {
    fv_vacuum *vacuum;
    int dat;
    int idx;
    fv_vacuum_stat stat;
} copy;

static inline copy begin_into(const source *s, int order, int dat, int idx, uint64_t first)
{
    copy c = {.dat = dat, .idx = idx};
    c.vacuum = fv_vacuum_new(s->volume, s->idx, dat, idx, first, order);
    CHECK(c.vacuum != NULL);
    return c;
}

static inline copy begin(const source *s, int order)
{
    return begin_into(s, order, new_data(s->version), empty_file(), FIRST);
}

static inline int copy_all(copy *c, uint64_t step)
{
    int result;
    do
        result = fv_vacuum_copy(c->vacuum, step);
    while (result == FV_VACUUM_MORE);
    fv_vacuum_get_stat(c->vacuum, &c->stat);
    return result;
}

static inline int catch_up(copy *c, uint64_t step)
{
    int result;
    do
        result = fv_vacuum_catch_up(c->vacuum, step);
    while (result == FV_VACUUM_MORE);
    fv_vacuum_get_stat(c->vacuum, &c->stat);
    return result;
}

static inline void end(copy *c)
{
    fv_vacuum_free(c->vacuum);
    close(c->dat);
    close(c->idx);
}

static inline fv_entry row_at(const copy *c, int width, uint64_t at)
{
    uint8_t row[FV_ROW_MAX];
    fv_entry entry;
    size_t length = 12u + (size_t)width;
    CHECK(pread(c->idx, row, length, (off_t)(at * length)) == (ssize_t)length);
    fv_row_decode(row, width, &entry);
    return entry;
}

static inline uint64_t row_count(const copy *c, int width)
{
    CHECK(file_size(c->idx) % (12u + (unsigned)width) == 0);
    return file_size(c->idx) / (12u + (unsigned)width);
}

/* The rows name the records of the new file, one after the other and without a gap. */
static inline void check_rows(const copy *c, const source *s)
{
    uint64_t at = FIRST;
    for (uint64_t i = 0; i < row_count(c, s->width); i++) {
        uint8_t header[FV_NEEDLE_HEADER];
        fv_needle needle;
        fv_entry row = row_at(c, s->width, i);
        CHECK(row.offset * 8 == at);
        CHECK(pread(c->dat, header, sizeof header, (off_t)at) == (ssize_t)sizeof header);
        fv_needle_parse_header(header, &needle);
        CHECK(needle.id == row.id && needle.size == (row.size < 0 ? 0 : row.size));
        at += fv_needle_actual_size(row.size, s->version);
    }
    CHECK(at == file_size(c->dat) && at == c->stat.dat_size);
    CHECK(c->stat.idx_size == file_size(c->idx) && c->stat.bytes == at - FIRST);
}

static inline void check_needle(fv_volume *old, fv_volume *new, uint64_t id)
{
    fv_read was, is;
    int before = fv_volume_read(old, id, 0, &was), after = fv_volume_read(new, id, 0, &is);
    CHECK((before == FV_OK) == (after == FV_OK));
    CHECK(after == FV_OK || after == FV_NOT_FOUND || after == FV_DELETED);
    if (before == FV_OK) {
        CHECK(was.buffer_size == is.buffer_size);
        CHECK(is.buffer_size == 0 || memcmp(was.buffer, is.buffer, is.buffer_size) == 0);
    }
    fv_read_release(&was);
    fv_read_release(&is);
}

/* Opened anew, the copy answers as the volume does. */
static inline void check_answers(const copy *c, const source *s)
{
    source twin = open_source(s->version, s->width, dup(c->dat), dup(c->idx), NULL);
    for (uint64_t id = 0; id <= MANY + 100; id++)
        check_needle(s->volume, twin.volume, id);
    check_needle(s->volume, twin.volume, UINT64_MAX);
    let_go(&twin);
}

#endif
