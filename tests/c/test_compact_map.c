#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "compact_map.h"
#include "scan.h"

/* ---- against a plain array --------------------------------------------------------------------- */

typedef struct {
    int present;
    fv_entry entry;
} expected;

enum { KEYS = 6000, STEPS = 60000, BATCH = 700 };

/* Keys whose gaps ask for every width of delta. */
static uint64_t key_of(size_t i)
{
    if (i < KEYS / 3)
        return i + 1;
    if (i < 2 * KEYS / 3)
        return (UINT64_C(1) << 32) + i * UINT64_C(1000003);
    return i * UINT64_C(0x0003ffffffffffff);
}

static void compare(fv_map *map, const expected *model)
{
    fv_entry batch[BATCH], got;
    uint64_t count = 0, first = 0;
    size_t at = 0, have = 0;
    for (size_t i = 0; i < KEYS; i++) {
        CHECK(fv_map_get(map, key_of(i), &got) == model[i].present);
        if (!model[i].present)
            continue;
        CHECK(memcmp(&got.id, &model[i].entry.id, sizeof got.id) == 0);
        CHECK(got.offset == model[i].entry.offset && got.size == model[i].entry.size);
        if (at == have) {
            have = fv_map_scan(map, first, batch, BATCH);
            at = 0;
            CHECK(have > 0);
            first = batch[have - 1].id + 1;
        }
        CHECK(batch[at].id == got.id && batch[at].offset == got.offset);
        at++;
        count++;
    }
    CHECK(at == have);
    CHECK(fv_map_count(map) == count);
}

static void step(fv_map *map, expected *model, unsigned long long *seed)
{
    size_t i = next_random(seed) % KEYS;
    fv_entry old = {0};
    expected before = model[i];
    unsigned choice = next_random(seed) % 10;
    if (choice < 6) {
        uint64_t offset = next_random(seed) >> (next_random(seed) % 20 == 0 ? 24 : 40);
        int32_t size = choice == 0 ? 0 : (int32_t)(next_random(seed) >> 40);
        CHECK(fv_map_set(map, key_of(i), offset, size, &old) == before.present);
        model[i] = (expected){1, {key_of(i), offset, size}};
    } else if (choice < 9) {
        int live = before.present && before.entry.size >= 0;
        CHECK(fv_map_delete(map, key_of(i), &old) == live);
        if (!live)
            return;
        model[i].entry.size = before.entry.size == 0 ? -1 : -before.entry.size;
    } else {
        CHECK(fv_map_remove(map, key_of(i)) == before.present);
        model[i].present = 0;
        return;
    }
    if (before.present)
        CHECK(old.id == before.entry.id && old.offset == before.entry.offset &&
              old.size == before.entry.size);
}

void test_map_against_array(void)
{
    expected *model = calloc(KEYS, sizeof *model);
    fv_map *map = fv_map_new();
    unsigned long long seed = 3;
    CHECK(model != NULL && map != NULL);
    for (int i = 0; i < STEPS; i++) {
        step(map, model, &seed);
        if (i % (STEPS / 10) == 0)
            compare(map, model);
    }
    compare(map, model);
    for (size_t i = 0; i < KEYS; i++)
        fv_map_remove(map, key_of(i));
    CHECK(fv_map_count(map) == 0);
    CHECK(fv_map_set(map, 5, 1, 2, NULL) == 0);
    fv_map_free(map);
    free(model);
}

/* ---- shape ------------------------------------------------------------------------------------- */

void test_map_ascending_memory(void)
{
    enum { ENTRIES = 200000 };
    fv_map *map = fv_map_new();
    for (uint64_t i = 0; i < ENTRIES; i++)
        CHECK(fv_map_set(map, i + 1, i, 7, NULL) == 0);
    CHECK(fv_map_memory(map) < ENTRIES * UINT64_C(13));
    fv_map_free(map);
    map = fv_map_new();
    for (uint64_t i = ENTRIES; i > 0; i--)
        CHECK(fv_map_set(map, i, i, 7, NULL) == 0);
    CHECK(fv_map_memory(map) < ENTRIES * UINT64_C(13));
    fv_map_free(map);
}

/* ---- memory, whatever the order of the ids ------------------------------------------------------- */

#define ORDER_ENTRIES UINT64_C(120000)
#define ORDER_BYTES_MAX 20

static uint64_t random_id(uint64_t i)
{
    unsigned long long seed = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return next_random(&seed);
}

static uint64_t descending(uint64_t i) { return (ORDER_ENTRIES - i) * 3; }
static uint64_t descending_far(uint64_t i) { return (ORDER_ENTRIES - i) << 34; }
static uint64_t descending_runs(uint64_t i) { return ((ORDER_ENTRIES - i) / 300 << 33) + i % 300; }
static uint64_t streams(uint64_t i) { return (i % 1000 << 40) + i / 1000 * 7; }
static uint64_t clusters(uint64_t i) { return (i / 5 * 2654435761u % 104729 << 40) + i % 5; }
static uint64_t just_too_far(uint64_t i) { return i * 65537; }
static uint64_t near_and_far(uint64_t i) { return i % 2 ? i : (UINT64_C(1) << 63) + (i << 32); }
static uint64_t rarely_far(uint64_t i)
{
    return i % 257 == 256 ? (UINT64_C(1) << 62) - (i << 34) : i;
}

/* Towards the entries behind a gap: each id lies just below the one before. */
static uint64_t into_a_gap(uint64_t i)
{
    return i < ORDER_ENTRIES / 2 ? i : (UINT64_C(1) << 60) - i;
}

static uint64_t into_many_gaps(uint64_t i)
{
    uint64_t round = i / 300;
    return (i % 300 << 40) + (round % 2 ? (1 << 20) - round : round);
}

static uint64_t spread(uint64_t i) { return __builtin_bswap64(i); }

void test_map_memory_whatever_the_order(void)
{
    static uint64_t (*const orders[])(uint64_t) = {
        random_id,    descending,   descending_far, descending_runs, streams, clusters,
        just_too_far, near_and_far, rarely_far,     into_a_gap,      spread,  into_many_gaps};
    for (size_t order = 0; order < sizeof orders / sizeof orders[0]; order++) {
        fv_map *map = fv_map_new();
        fv_entry got;
        for (uint64_t i = 0; i < ORDER_ENTRIES; i++)
            CHECK(fv_map_set(map, orders[order](i), i, 7, NULL) >= 0);
        uint64_t count = fv_map_count(map);
        CHECK(count > ORDER_ENTRIES * 9 / 10);
        CHECK(fv_map_memory(map) < count * ORDER_BYTES_MAX);
        for (uint64_t i = 0; i < ORDER_ENTRIES; i++)
            CHECK(fv_map_get(map, orders[order](i), &got) == 1);
        fv_map_free(map);
    }
}

/* Removing and inserting again must not leave a leaf for every few entries. */
void test_map_memory_after_much_change(void)
{
    unsigned long long seed = 77;
    fv_map *map = fv_map_new();
    for (uint64_t i = 0; i < 4 * ORDER_ENTRIES; i++) {
        uint64_t slot = next_random(&seed) % ORDER_ENTRIES;
        if (i % 4 == 3)
            fv_map_remove(map, random_id(slot));
        else
            CHECK(fv_map_set(map, random_id(slot), i, 7, NULL) >= 0);
    }
    CHECK(fv_map_memory(map) < fv_map_count(map) * ORDER_BYTES_MAX * 3 / 2);
    fv_map_free(map);
}

void test_map_high_offsets(void)
{
    const uint64_t high = (UINT64_C(1) << 40) - 1;
    fv_map *map = fv_map_new();
    fv_entry got;
    for (uint64_t id = 0; id < 3000; id++)
        CHECK(fv_map_set(map, id, id, 1, NULL) == 0);
    CHECK(fv_map_set(map, 1500, high, 2, &got) == 1 && got.offset == 1500);
    for (uint64_t id = 0; id < 3000; id++) {
        CHECK(fv_map_get(map, id, &got));
        CHECK(got.offset == (id == 1500 ? high : id));
    }
    fv_map_free(map);
}

void test_map_full_range_of_ids(void)
{
    static const uint64_t ids[] = {UINT64_MAX, 0, UINT64_MAX - 1, 1, UINT64_C(1) << 63};
    fv_map *map = fv_map_new();
    fv_entry got[8];
    for (size_t i = 0; i < 5; i++)
        CHECK(fv_map_set(map, ids[i], i, (int32_t)i, NULL) == 0);
    CHECK(fv_map_scan(map, 0, got, 8) == 5);
    CHECK(got[0].id == 0 && got[1].id == 1 && got[2].id == UINT64_C(1) << 63);
    CHECK(got[3].id == UINT64_MAX - 1 && got[4].id == UINT64_MAX);
    CHECK(fv_map_scan(map, UINT64_MAX, got, 8) == 1 && fv_map_scan(map, 2, got, 1) == 1);
    fv_map_free(map);
}

/* ---- loading ----------------------------------------------------------------------------------- */

typedef struct {
    uint64_t id, offset;
    int32_t size;
} row;

static int file_of(const row *rows, size_t count, int width, size_t extra)
{
    char path[] = "/tmp/fastvol-ctest-XXXXXX";
    int fd = mkstemp(path);
    uint8_t buffer[17];
    CHECK(fd >= 0 && unlink(path) == 0);
    for (size_t i = 0; i < count; i++) {
        size_t length = fv_row_encode(buffer, width, rows[i].id, rows[i].offset, rows[i].size);
        CHECK(write(fd, buffer, length) == (ssize_t)length);
    }
    memset(buffer, 0xff, sizeof buffer);
    CHECK(extra == 0 || write(fd, buffer, extra) == (ssize_t)extra);
    return fd;
}

void test_map_load_counters(void)
{
    static const row rows[] = {{1, 1, 11}, {2, 5, 0},  {2, 9, -1},  {9, 13, 0}, {9, 17, -1},
                               {10, 21, 0}, {10, 25, 0}, {10, 29, 32}, {10, 36, -1}, {10, 40, 52}};
    for (int width = 4; width <= 5; width++) {
        int fd = file_of(rows, 10, width, 3);
        fv_map *map = fv_map_new();
        fv_counters counters;
        fv_entry got;
        CHECK(fv_map_load(map, fd, width, 3, &counters) == 0);
        CHECK(counters.rows == 10 && counters.file_count == 7 && counters.deletion_count == 5);
        CHECK(counters.file_bytes == 95 && counters.deletion_bytes == 32);
        CHECK(counters.max_key == 10 && counters.max_end == 40 * 8 + 88);
        CHECK(fv_map_count(map) == 4);
        CHECK(fv_map_get(map, 2, &got) && got.offset == 5 && got.size == -1);
        CHECK(fv_map_get(map, 10, &got) && got.offset == 40 && got.size == 52);
        fv_map_free(map);
        close(fd);
    }
}

void test_map_load_errors(void)
{
    static const row rows[] = {{1, 1, 11}};
    int fd = file_of(rows, 1, 5, 0);
    fv_map *map = fv_map_new();
    fv_counters counters;
    CHECK(fv_map_load(map, fd, 6, 3, &counters) == -EINVAL);
    CHECK(fv_map_load(map, fd, 5, 4, &counters) == -EINVAL);
    CHECK(fv_map_load(map, -1, 5, 3, &counters) == -EBADF);
    CHECK(fv_map_count(map) == 0);
    CHECK(fv_map_load(map, fd, 5, 3, &counters) == 0);
    CHECK(fv_map_load(map, fd, 5, 3, &counters) == -EINVAL); /* not empty any more */
    CHECK(fv_map_count(map) == 1);
    fv_map_free(map);
    close(fd);
}

/* Rows as volumes have them: mostly new ids in rising order, and now and then anything else. */
static void likely_rows(row *rows, size_t count, int width, unsigned long long *seed)
{
    const uint64_t limit = width == 5 ? FV_OFFSET_LIMIT : UINT64_C(1) << 32;
    const unsigned usual = next_random(seed) % 4; /* 0: nothing is usual */
    uint64_t id = next_random(seed) % 3;
    uint64_t offset = next_random(seed) % 2 ? 1 : limit - 40 * count; /* across 32 GiB */
    offset = width == 5 && next_random(seed) % 2 ? (UINT64_C(1) << 32) - 10 * count : offset;
    const unsigned gap = next_random(seed) % 3 ? 2 : 40; /* of ids, as a power */
    for (size_t i = 0; i < count; i++) {
        unsigned what = next_random(seed) % (usual == 0 ? 8 : usual == 1 ? 64 : 2000);
        id += 1 + (next_random(seed) % 300 == 0 ? next_random(seed) >> (64 - gap) : 0);
        offset += 1 + next_random(seed) % 20;
        rows[i] = (row){id, offset, 1 + (int32_t)(next_random(seed) % 120)};
        if (what < 4)
            rows[i].id = next_random(seed) % (id + 1);
        if (what == 0 || what == 4)
            rows[i].size = -1;
        else if (what == 1 || what == 5)
            rows[i].size = 0;
        if (what == 2 || what == 6)
            rows[i].offset = next_random(seed) % 3 ? next_random(seed) % offset : 0;
        if (what == 7)
            rows[i].size = INT32_MAX - (int32_t)(next_random(seed) % 9);
    }
}

/* The load as it is defined, a row at a time. */
static void load_plainly(fv_map *map, const row *rows, size_t count, int version, fv_counters *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < count; i++) {
        const row *r = &rows[i];
        fv_entry old = {0};
        c->rows++;
        c->max_key = r->id > c->max_key ? r->id : c->max_key;
        if (r->offset == 0 || r->size < 0) {
            c->deletion_count++;
            if (fv_map_delete(map, r->id, &old))
                c->deletion_bytes += (uint64_t)old.size;
            continue;
        }
        uint64_t end = r->size > 0 ? r->offset * 8 + fv_needle_actual_size(r->size, version) : 0;
        c->max_end = end > c->max_end ? end : c->max_end;
        c->file_count++;
        c->file_bytes += (uint64_t)r->size;
        if (fv_map_set(map, r->id, r->offset, r->size, &old) == 1 && fv_entry_is_live(&old)) {
            c->deletion_count++;
            c->deletion_bytes += (uint64_t)old.size;
        }
    }
}

static void check_same_entries(fv_map *map, fv_map *model)
{
    fv_entry got[BATCH], want[BATCH];
    uint64_t first = 0;
    size_t have = BATCH;
    CHECK(fv_map_count(map) == fv_map_count(model));
    while (have == BATCH) {
        have = (size_t)fv_map_scan(model, first, want, BATCH);
        CHECK((size_t)fv_map_scan(map, first, got, BATCH) == have);
        for (size_t i = 0; i < have; i++)
            CHECK(got[i].id == want[i].id && got[i].offset == want[i].offset &&
                  got[i].size == want[i].size);
        first = have > 0 ? want[have - 1].id + 1 : 0;
    }
}

static void check_same_tail(int fd, int width, int version, uint64_t dat_size,
                            const fv_counters *want)
{
    fv_map *map = fv_map_new();
    fv_counters counters;
    fv_index_tail tail, plain;
    CHECK(fv_scan_index_tail(fd, width, version, dat_size, &plain) == 0);
    CHECK(fv_map_load_with_tail(map, fd, width, version, dat_size, &counters, &tail) == 0);
    CHECK(memcmp(&counters, want, sizeof counters) == 0);
    CHECK(tail.rows == plain.rows && tail.last_row == plain.last_row);
    CHECK(tail.last_id == plain.last_id && tail.last_offset == plain.last_offset);
    CHECK(tail.last_size == plain.last_size && tail.beyond == plain.beyond);
    CHECK(tail.previous_end == plain.previous_end);
    fv_map_free(map);
}

/* Runs of usual rows are taken at once: entries, counters, memory and the end that the data file is
 * held against are those of one row after the other. */
void test_map_load_of_any_rows(void)
{
    enum { ROWS_MAX = 9000 };
    static row rows[ROWS_MAX];
    unsigned long long seed = 11;
    for (int round = 0; round < 120; round++) {
        int width = 4 + round % 2, version = 1 + round % 3;
        size_t count = next_random(&seed) % (round % 4 == 0 ? ROWS_MAX : 600);
        likely_rows(rows, count, width, &seed);
        int fd = file_of(rows, count, width, round % 5);
        fv_map *map = fv_map_new(), *model = fv_map_new();
        fv_counters counters, want;
        load_plainly(model, rows, count, version, &want);
        CHECK(fv_map_load(map, fd, width, version, &counters) == 0);
        CHECK(memcmp(&counters, &want, sizeof counters) == 0);
        check_same_entries(map, model);
        CHECK(fv_map_memory(map) <= fv_map_memory(model) + 16 * 1024);
        for (uint64_t less = 0; less <= 48; less += 8)
            check_same_tail(fd, width, version, want.max_end - less, &want);
        check_same_tail(fd, width, version, want.max_end / 2, &want);
        /* It takes changes like any other. */
        CHECK(fv_map_set(map, want.max_key + 1, 5, 6, NULL) == 0);
        CHECK(fv_map_set(model, want.max_key + 1, 5, 6, NULL) == 0);
        check_same_entries(map, model);
        fv_map_free(map);
        fv_map_free(model);
        close(fd);
    }
}

/* ---- threads ----------------------------------------------------------------------------------- */

typedef struct {
    fv_map *map;
    int stop;
} shared;

/* An entry written as (id, 2 * id, id % 1000) must never be seen half written. */
static void *read_for_a_while(void *argument)
{
    shared *s = argument;
    unsigned long long seed = 9;
    fv_entry got, batch[64];
    while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
        uint64_t id = next_random(&seed) % 50000;
        if (fv_map_get(s->map, id, &got))
            CHECK(got.id == id && got.offset == 2 * id && got.size == (int32_t)(id % 1000));
        size_t have = fv_map_scan(s->map, id, batch, 64);
        for (size_t i = 1; i < have; i++)
            CHECK(batch[i - 1].id < batch[i].id && batch[i].offset == 2 * batch[i].id);
    }
    return NULL;
}

void test_map_readers_and_writer(void)
{
    shared s = {fv_map_new(), 0};
    pthread_t readers[2];
    unsigned long long seed = 4;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&readers[i], NULL, read_for_a_while, &s) == 0);
    for (int i = 0; i < 30000; i++) {
        uint64_t id = next_random(&seed) % 50000;
        if (i % 5 == 0)
            fv_map_remove(s.map, id);
        else
            CHECK(fv_map_set(s.map, id, 2 * id, (int32_t)(id % 1000), NULL) >= 0);
    }
    __atomic_store_n(&s.stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(readers[i], NULL) == 0);
    fv_map_free(s.map);
}

/* ---- rows and counters ------------------------------------------------------------------------- */

void test_rows(void)
{
    static const uint8_t live[] = {0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0x42, 0, 0, 0, 0, 0x20};
    static const uint8_t tombstone[] = {0, 0, 0, 0,    0, 0,    0,    3,    0,
                                        0, 0, 0x4e, 0, 0xff, 0xff, 0xff, 0xff};
    uint8_t buffer[17];
    fv_entry got;
    CHECK(fv_row_encode(buffer, 5, 7, 528 / 8, 32) == 17 && memcmp(buffer, live, 17) == 0);
    CHECK(fv_row_encode(buffer, 5, 3, 624 / 8, -1) == 17 && memcmp(buffer, tombstone, 17) == 0);
    CHECK(fv_row_encode(buffer, 5, 1, UINT64_C(0x100000001), 1) == 17);
    CHECK(memcmp(buffer + 8, "\0\0\0\1\1", 5) == 0);
    fv_row_decode(buffer, 5, &got);
    CHECK(got.id == 1 && got.offset == UINT64_C(0x100000001) && got.size == 1);
    CHECK(fv_row_encode(buffer, 4, 1, 1, 32) == 16);
    fv_row_decode(buffer, 4, &got);
    CHECK(got.id == 1 && got.offset == 1 && got.size == 32);
}

void test_runtime_counters(void)
{
    fv_counters c = {0};
    fv_counters_put(&c, 1, 0, 11);
    fv_counters_put(&c, 10, 0, 0);
    fv_counters_put(&c, 10, 0, 32);
    fv_counters_delete(&c, 32);
    fv_counters_put(&c, 10, -32, 52);
    fv_counters_delete(&c, 0);
    CHECK(c.file_count == 4 && c.file_bytes == 95 && c.max_key == 10);
    CHECK(c.deletion_count == 1 && c.deletion_bytes == 32);
}
