/* Maps that are not in memory: the sorted file, foreign ones, and the counters that go with them. */
#include "foreign_map.h"
#include "sorted_map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guard.h"
#include "records.h"
#include "volume.h"

/* ---- the index's counters ---------------------------------------------------------------------- */

static void append_row(int fd, int width, uint64_t id, uint64_t offset, int32_t size)
{
    uint8_t row[17];
    append_bytes(fd, row, fv_row_encode(row, width, id, offset, size));
}

void test_counting_backwards(void)
{
    for (int width = 4; width <= 5; width++) {
        int fd = empty_file();
        fv_counters counters;
        fv_live live;
        append_row(fd, width, 1, 1, 11);
        append_row(fd, width, 2, 5, 0);
        append_row(fd, width, 2, 9, -1);
        append_row(fd, width, 9, 13, 0);
        append_row(fd, width, 9, 17, -1);
        append_row(fd, width, 10, 21, 0);
        append_row(fd, width, 10, 25, 0);
        append_row(fd, width, 10, 29, 32);
        append_row(fd, width, 10, 36, -1);
        append_row(fd, width, 10, 40, 52);
        append_bytes(fd, "cut", 3);
        for (uint64_t at_once = 1; at_once <= 16; at_once += 3) {
            CHECK(fv_count_in_parts(fd, width, 3, at_once, &counters, &live) == 0);
            CHECK(counters.rows == 10 && counters.file_count == 10 && counters.file_bytes == 95);
            CHECK(counters.deletion_count == 8 && counters.deletion_bytes == 32);
            CHECK(counters.max_key == 10 && counters.max_end == 40 * 8 + 88);
            CHECK(live.count == 2);
            fv_entry one = {1, 1, 11}, ten = {10, 40, 52};
            CHECK(live.sum == fv_live_hash(&one) + fv_live_hash(&ten));
        }
        CHECK(fv_count_backwards(fd, 6, 3, &counters, &live) == -EINVAL);
        CHECK(fv_count_backwards(-1, width, 3, &counters, &live) == -EBADF);
        close(fd);
    }
}

/* ---- the sorted file --------------------------------------------------------------------------- */

/* More rows than there are fences with a block each between them. */
#define KEYS 300000

static uint64_t key_of(uint64_t i)
{
    return i * 7 + i % 3 + (i > KEYS / 2 ? UINT64_C(1) << 50 : 0);
}

/* Every third key deleted, some overwritten, in an order that is not theirs. */
static int shuffled_index(int width, uint64_t keys)
{
    int fd = empty_file();
    uint8_t *rows = malloc(keys * 2 * 17);
    size_t length = 0;
    CHECK(rows != NULL);
    for (uint64_t i = 0; i < keys; i++) {
        uint64_t k = (i * 77777) % keys;
        length += fv_row_encode(rows + length, width, key_of(k), i + 1, (int32_t)(k % 90));
    }
    for (uint64_t k = 0; k < keys; k += 3)
        length += fv_row_encode(rows + length, width, key_of(k), keys + k, -1);
    append_bytes(fd, rows, length);
    free(rows);
    return fd;
}

static fv_map *sorted_from(int idx, int width, int *fd)
{
    fv_counters counters;
    fv_live live;
    fv_map *map;
    int file = empty_file();
    CHECK(fv_count_backwards(idx, width, 3, &counters, &live) == 0);
    CHECK(fv_sorted_write(idx, file, width) == 0);
    CHECK(file_size(file) == live.count * (12u + (unsigned)width));
    *fd = dup(file);
    CHECK(fv_map_open_sorted(file, width, &live, &map) == 0);
    CHECK(fv_map_count(map) == live.count);
    return map;
}

static void check_scan(fv_map *map, fv_map *model)
{
    fv_entry batch[333], want[333];
    uint64_t first = 0;
    for (;;) {
        size_t live = 0;
        uint64_t from = first;
        int64_t have = fv_map_scan(map, first, batch, 333);
        CHECK(have >= 0);
        while (live < (size_t)have) {
            int64_t seen = fv_map_scan(model, from, want, 333);
            CHECK(seen > 0);
            for (int64_t i = 0; i < seen && live < (size_t)have; i++)
                if (want[i].size >= 0) {
                    CHECK(batch[live].id == want[i].id && batch[live].offset == want[i].offset);
                    CHECK(batch[live++].size == want[i].size);
                }
            from = want[seen - 1].id + 1;
        }
        if (have < 333)
            return;
        first = batch[have - 1].id + 1;
    }
}

void test_sorted_map_answers_as_the_index(void)
{
    for (int width = 4; width <= 5; width++) {
        int idx = shuffled_index(width, KEYS), fd;
        fv_map *map = sorted_from(idx, width, &fd), *model = fv_map_new();
        fv_counters counters;
        fv_entry got, want;
        CHECK(fv_map_load(model, idx, width, 3, &counters) == 0);
        for (uint64_t k = 0; k < KEYS; k++) {
            CHECK(fv_map_get(model, key_of(k), &want) == 1);
            int found = fv_map_find(map, key_of(k), (int)(k & 1), &got);
            CHECK(found == (want.size >= 0));
            CHECK(!found || (got.id == want.id && got.offset == want.offset && got.size == want.size));
            CHECK(fv_map_get(map, key_of(k) + 3, &got) == 0);
        }
        CHECK(fv_map_get(map, UINT64_MAX, &got) == 0);
        check_scan(map, model);
        CHECK(fv_map_scan(map, UINT64_MAX, &got, 1) == 0);
        CHECK(fv_map_memory(map) < 10000);
        CHECK(fv_map_set(map, 1, 1, 1, NULL) == -EROFS && fv_map_remove(map, 1) == -EROFS);
        CHECK(fv_map_load(map, idx, width, 3, &counters) == -EINVAL);
        fv_map_free(map);
        fv_map_free(model);
        close(fd);
        close(idx);
    }
}

void test_sorted_map_deletes_in_place(void)
{
    int idx = shuffled_index(5, 1000), fd;
    fv_map *map = sorted_from(idx, 5, &fd);
    fv_entry got, old;
    uint64_t size = file_size(fd);
    for (uint64_t k = 1; k < 1000; k += 2) {
        int live = k % 3 != 0;
        CHECK(fv_map_delete(map, key_of(k), &old) == live);
        CHECK(!live || old.size == (int32_t)(k % 90));
        CHECK(fv_map_get(map, key_of(k), &got) == live && (!live || got.size == -1));
        CHECK(fv_map_delete(map, key_of(k), &old) == 0);
        append_row(idx, 5, key_of(k), 4000 + k, -1);
    }
    CHECK(fv_map_sync(map) == 0 && file_size(fd) == size);
    fv_map_free(map);
    fv_counters counters;
    fv_live live;
    CHECK(fv_count_backwards(idx, 5, 3, &counters, &live) == 0);
    CHECK(fv_map_open_sorted(fd, 5, &live, &map) == 0);
    CHECK(fv_map_get(map, key_of(1), &got) == 1 && got.size == -1);
    fv_map_free(map);
    close(idx);
}

static void refuses(int fd, const fv_live *live)
{
    fv_map *map;
    CHECK(fv_map_open_sorted(dup(fd), 5, live, &map) == -EBADMSG && map == NULL);
}

void test_sorted_map_refuses_what_is_not_the_index(void)
{
    int idx = shuffled_index(5, 1000), fd;
    fv_counters counters;
    fv_live live;
    fv_entry got;
    fv_map *map = sorted_from(idx, 5, &fd);
    CHECK(fv_count_backwards(idx, 5, 3, &counters, &live) == 0);
    for (uint64_t at = 0; at < 17 * 3; at++) {
        flip_byte(fd, 17 * 100 + at);
        refuses(fd, &live);
        flip_byte(fd, 17 * 100 + at);
    }
    CHECK(ftruncate(fd, (off_t)file_size(fd) - 1) == 0);
    refuses(fd, &live);
    CHECK(ftruncate(fd, (off_t)file_size(fd) - 16) == 0);
    refuses(fd, &live);
    CHECK(fv_map_get(map, key_of(998), &got) == -EIO); /* cut short while it is open */
    CHECK(ftruncate(fd, 0) == 0);
    refuses(fd, &live);
    fv_map_free(map);
    live = (fv_live){0, 0};
    CHECK(fv_map_open_sorted(fd, 5, &live, &map) == 0);
    CHECK(fv_map_get(map, 1, &got) == 0 && fv_map_scan(map, 0, &got, 1) == 0);
    fv_map_free(map);
    close(idx);
}

typedef struct {
    fv_map *map;
    atomic_int stop;
} shared_map;

/* A size is seen as it was or as deleted, never half of each. */
static void *read_sizes(void *argument)
{
    shared_map *s = argument;
    unsigned long long seed = 3;
    fv_entry got;
    while (!atomic_load(&s->stop)) {
        uint64_t k = next_random(&seed) % 1000;
        int found = fv_map_find(s->map, key_of(k), (int)(k & 1), &got);
        CHECK(found == -EAGAIN || found == (k % 3 != 0));
        CHECK(found != 1 || got.size == -1 || got.size == (int32_t)(k % 90));
    }
    return NULL;
}

void test_sorted_map_readers_and_deleter(void)
{
    int idx = shuffled_index(5, 1000), fd;
    shared_map s = {sorted_from(idx, 5, &fd), 0};
    pthread_t readers[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&readers[i], NULL, read_sizes, &s) == 0);
    for (uint64_t k = 0; k < 1000; k++)
        CHECK(fv_map_delete(s.map, key_of(k), NULL) == (k % 3 != 0));
    atomic_store(&s.stop, 1);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(readers[i], NULL) == 0);
    fv_map_free(s.map);
    close(fd);
    close(idx);
}

/* ---- foreign maps ------------------------------------------------------------------------------ */

typedef struct {
    fv_map *entries;
    int find_error;
    int set_error;
    int freed;
} host;

static int host_find(void *self, uint64_t id, fv_entry *out)
{
    host *h = self;
    return h->find_error != 0 ? h->find_error : fv_map_get(h->entries, id, out);
}

static int host_set(void *self, uint64_t id, uint64_t offset, int32_t size)
{
    host *h = self;
    int result = h->set_error != 0 ? h->set_error : fv_map_set(h->entries, id, offset, size, NULL);
    return result < 0 ? result : 0;
}

static int host_remove(void *self, uint64_t id)
{
    return fv_map_remove(((host *)self)->entries, id);
}

static int64_t host_scan(void *self, uint64_t first, fv_entry *out, size_t capacity)
{
    host *h = self;
    return h->find_error != 0 ? h->find_error : fv_map_scan(h->entries, first, out, capacity);
}

static void host_free(void *self)
{
    host *h = self;
    fv_map_free(h->entries);
    h->freed++;
}

static const fv_foreign_calls host_calls = {host_find, host_set, host_remove, host_scan, host_free};

void test_foreign_map(void)
{
    host h = {.entries = fv_map_new()};
    fv_map *map = fv_map_new_foreign(&host_calls, &h, 12, 345);
    fv_entry got;
    CHECK(fv_map_count(map) == 12 && fv_map_memory(map) >= 345);
    CHECK(fv_map_set(map, 1, 5, 0, &got) == 0 && fv_map_set(map, 1, 6, 0, &got) == 1);
    CHECK(got.offset == 5 && fv_map_set(map, 2, 7, 70, NULL) == 0);
    CHECK(fv_map_find(map, 1, 1, &got) == -EAGAIN);
    CHECK(fv_map_find(map, 1, 0, &got) == 1 && got.offset == 6 && fv_map_get(map, 3, &got) == 0);
    CHECK(fv_map_delete(map, 1, &got) == 1 && got.size == 0 && fv_map_delete(map, 1, &got) == 0);
    CHECK(fv_map_delete(map, 2, &got) == 1 && got.size == 70 && fv_map_delete(map, 3, &got) == 0);
    CHECK(fv_map_get(map, 1, &got) == 1 && got.size == -1 && got.offset == 6);
    CHECK(fv_map_get(map, 2, &got) == 1 && got.size == -70 && got.offset == 7);
    CHECK(fv_map_scan(map, 0, &got, 1) == 1 && got.id == 1);
    CHECK(fv_map_remove(map, 1) == 1 && fv_map_remove(map, 1) == 0);
    h.find_error = -EIO;
    CHECK(fv_map_get(map, 1, &got) == -EIO && fv_map_delete(map, 2, &got) == -EIO);
    CHECK(fv_map_set(map, 1, 1, 1, &got) == -EIO && fv_map_scan(map, 0, &got, 1) == -EIO);
    h.set_error = -ENOSPC;
    CHECK(fv_map_set(map, 1, 1, 1, NULL) == -ENOSPC);
    CHECK(fv_map_sync(map) == 0);
    fv_map_free(map);
    CHECK(h.freed == 1);
}

static int put(fv_volume *volume, uint64_t id, int nowait, fv_write_result *out)
{
    fv_needle needle = {.id = id, .cookie = 5, .data = (const uint8_t *)"data", .data_size = 4};
    needle.checksum = fv_crc32c(0, needle.data, needle.data_size);
    return fv_volume_write(volume, &needle, 1, nowait, out);
}

static fv_volume *volume_over(host *h)
{
    int dat = new_data(3);
    fv_volume_spec spec = {.id = 7, .version = 3, .offset_width = 5, .dat_fd = dat,
                           .idx_fd = empty_file(), .dat_size = file_size(dat)};
    fv_counters counters = {0};
    return fv_volume_new(&spec, fv_map_new_foreign(&host_calls, h, 0, 0), &counters);
}

static int read_of(fv_volume *volume, uint64_t id, unsigned mode, fv_read *read)
{
    int result = fv_volume_read(volume, id, mode, read);
    fv_read_release(read);
    return result;
}

/* What a map cannot tell is an error, never "not found"; what it must be waited for, is not. */
void test_volume_over_a_foreign_map(void)
{
    host h = {.entries = fv_map_new()};
    fv_volume *volume = volume_over(&h);
    fv_write_result out;
    fv_volume_stat stat;
    fv_read read;
    fv_entry entry;
    int sys_errno = 0;
    CHECK(put(volume, 1, 0, &out) == FV_OK && read_of(volume, 1, 0, &read) == FV_OK);
    CHECK(read_of(volume, 1, FV_READ_NOWAIT, &read) == FV_COLD);
    CHECK(put(volume, 1, 1, &out) == FV_COLD);
    CHECK(fv_volume_delete(volume, 1, 5, 0, 0, 1, &out) == FV_COLD);
    CHECK(fv_volume_find(volume, 1, 1, &entry, &sys_errno) == FV_COLD);
    CHECK(fv_volume_find(volume, 2, 0, &entry, &sys_errno) == FV_NOT_FOUND);
    h.find_error = -EUCLEAN;
    CHECK(read_of(volume, 1, 0, &read) == FV_IO_ERROR && read.failed_on_map);
    CHECK(read.sys_errno == EUCLEAN && read_of(volume, 2, 0, &read) == FV_IO_ERROR);
    CHECK(put(volume, 1, 0, &out) == FV_IO_ERROR && out.failed_on_map && !out.rollback_failed);
    CHECK(fv_volume_delete(volume, 1, 5, 0, 0, 0, &out) == FV_IO_ERROR && out.failed_on_map);
    CHECK(fv_volume_has_live_empty_file(volume) == -EUCLEAN);
    h.find_error = -ESHUTDOWN;
    CHECK(read_of(volume, 1, 0, &read) == FV_CLOSED);
    h.find_error = 0;
    h.set_error = -ENOSPC;
    fv_volume_get_stat(volume, &stat);
    CHECK(put(volume, 2, 0, &out) == FV_IO_ERROR && out.failed_on_map && out.rollback_failed);
    CHECK(out.sys_errno == ENOSPC && file_size(fv_volume_dat_fd(volume)) == stat.dat_size);
    h.set_error = 0;
    CHECK(put(volume, 2, 0, &out) == FV_READ_ONLY);
    CHECK(read_of(volume, 1, 0, &read) == FV_OK && read_of(volume, 2, 0, &read) == FV_NOT_FOUND);
    fv_volume_unref(volume);
    CHECK(h.freed == 1);
}

void test_volume_undoes_a_deletion_without_a_map(void)
{
    host h = {.entries = fv_map_new()};
    fv_volume *volume = volume_over(&h);
    fv_write_result out;
    fv_volume_stat before, after;
    fv_read read;
    CHECK(put(volume, 1, 0, &out) == FV_OK);
    fv_volume_get_stat(volume, &before);
    h.set_error = -EIO;
    CHECK(fv_volume_delete(volume, 1, 5, 0, 0, 0, &out) == FV_IO_ERROR && out.rollback_failed);
    fv_volume_get_stat(volume, &after);
    CHECK(after.dat_size == before.dat_size && after.idx_size == before.idx_size);
    CHECK(after.counters.deletion_count == 0 && read_of(volume, 1, 0, &read) == FV_OK);
    fv_volume_unref(volume);
}

/* ---- LevelDB's mappings ------------------------------------------------------------------------ */

static const uint8_t *map_and_cut(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 8192) == 0);
    const uint8_t *base = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(base != MAP_FAILED && ftruncate(fd, 0) == 0);
    close(fd);
    return base;
}

/* Looks at a page of a file that was cut short, and perhaps removed. */
static int dies_of(const char *name, int removed)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO); /* the sanitizer's report of it */
        const volatile uint8_t *base = map_and_cut(name);
        if (removed)
            unlink(name);
        uint64_t before = fv_guard_lost_pages();
        _exit(base[4096] == 0 && fv_guard_lost_pages() == before + 1 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

/* Twice, since the first takes the one that was kept for it. */
static void lose_without_descriptors(const char *name)
{
    const volatile uint8_t *bases[] = {map_and_cut(name), map_and_cut(name)};
    struct rlimit old;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    struct rlimit few = {64, old.rlim_max};
    for (size_t i = 0; i < 2; i++) {
        int held[64], count = 0;
        CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
        while (count < 64 && (held[count] = open("/dev/null", O_RDONLY)) >= 0)
            count++;
        CHECK(errno == EMFILE && count > 0);
        CHECK(bases[i][4096] == 0);
        while (count > 0)
            close(held[--count]);
        CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    }
    for (size_t i = 0; i < 2; i++)
        munmap((void *)bases[i], 8192);
}

/* A table's lost page becomes one of zeros, and is counted; anything else's stays deadly. */
void test_guard_replaces_pages_of_tables(void)
{
    char directory[] = "/tmp/fastvol-ctest-XXXXXX", name[64];
    static const struct {
        const char *name;
        int dies;
    } cases[] = {{"000123.ldb", 0}, {"7.sst", 0},  {"7x.ldb", 1}, {".ldb", 1},
                 {"7.dat", 1},      {"12.log", 1}, {"x7.ldb", 1}};
    CHECK(mkdtemp(directory) != NULL);
    fv_guard_install();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", directory, cases[i].name);
        if (!cases[i].dies) {
            const volatile uint8_t *base = map_and_cut(name);
            uint64_t before = fv_guard_lost_pages();
            CHECK(base[5000] == 0 && base[4096] == 0 && fv_guard_lost_pages() == before + 1);
            CHECK(base[0] == 0 && fv_guard_lost_pages() == before + 2);
            munmap((void *)base, 8192);
            lose_without_descriptors(name);
        } else {
            CHECK(dies_of(name, 0) != 0);
        }
        CHECK((dies_of(name, 1) != 0) == cases[i].dies);
    }
    CHECK(rmdir(directory) == 0);
}
