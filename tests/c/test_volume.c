#include "volume.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "guard.h"
#include "records.h"

static fv_volume *open_pair(int version, int width, int dat, int idx)
{
    fv_volume_spec spec = {.id = 7, .version = version, .offset_width = width, .dat_fd = dat,
                           .idx_fd = idx, .dat_size = file_size(dat), .idx_size = 0};
    fv_counters counters = {0};
    fv_volume *volume = fv_volume_new(&spec, fv_map_new(), &counters);
    CHECK(volume != NULL);
    return volume;
}

static fv_volume *fresh(int version, int width)
{
    return open_pair(version, width, new_data(version), empty_file());
}

static int put_with_cookie(fv_volume *volume, uint64_t id, uint32_t cookie, const char *text,
                           int check_cookie, fv_write_result *out)
{
    fv_needle needle = {.id = id, .cookie = cookie, .data = (const uint8_t *)text,
                        .data_size = (uint32_t)strlen(text)};
    needle.checksum = fv_crc32c(0, needle.data, needle.data_size);
    return fv_volume_write(volume, &needle, check_cookie, 0, out);
}

static int put(fv_volume *volume, uint64_t id, const char *text)
{
    fv_write_result out;
    return put_with_cookie(volume, id, 5, text, 1, &out);
}

static int holds(fv_volume *volume, uint64_t id, const char *text)
{
    fv_read found;
    int result = fv_volume_read(volume, id, 0, &found);
    int same = result == FV_OK && found.needle.data_size == strlen(text) &&
               memcmp(found.needle.data, text, strlen(text)) == 0;
    fv_read_release(&found);
    return same;
}

void test_volume_round_trip(void)
{
    for (int version = 1; version <= 3; version++)
        for (int width = 4; width <= 5; width++) {
            fv_volume *volume = fresh(version, width);
            fv_read found;
            CHECK(fv_volume_read(volume, 1, 0, &found) == FV_NOT_FOUND);
            CHECK(put(volume, 1, "one") == FV_OK && put(volume, 2, "two, longer") == FV_OK);
            CHECK(holds(volume, 1, "one") && holds(volume, 2, "two, longer"));
            CHECK(put(volume, 1, "another one") == FV_OK && holds(volume, 1, "another one"));
            fv_write_result out;
            CHECK(put_with_cookie(volume, 1, 5, "another one", 1, &out) == FV_OK && out.unchanged);
            CHECK(put_with_cookie(volume, 1, 6, "x", 1, &out) == FV_BAD_COOKIE);
            CHECK(put_with_cookie(volume, 1, 0, "x", 1, &out) == FV_BAD_COOKIE);
            CHECK(put_with_cookie(volume, 1, 0, "adopted", 0, &out) == FV_OK);
            CHECK(fv_volume_delete(volume, 2, 5, 0, 0, 0, &out) == FV_OK && out.size > 0);
            CHECK(fv_volume_delete(volume, 2, 5, 0, 0, 0, &out) == FV_OK && out.size == 0);
            CHECK(fv_volume_read(volume, 2, 0, &found) == FV_DELETED);
            fv_read_release(&found);
            CHECK(fv_volume_read(volume, 2, FV_READ_DELETED, &found) == FV_OK);
            CHECK(found.needle.data_size == strlen("two, longer"));
            fv_read_release(&found);
            fv_volume_stat stat;
            fv_volume_get_stat(volume, &stat);
            CHECK(stat.counters.file_count == 4 && stat.counters.deletion_count == 3);
            CHECK(stat.idx_size == 5 * (12 + (uint64_t)width));
            CHECK(stat.dat_size == file_size(fv_volume_dat_fd(volume)));
            int on_index;
            CHECK(fv_volume_sync(volume, &on_index) == 0);
            fv_volume_unref(volume);
        }
}

/* Of a needle that is not there, or not any more. */
void test_volume_tombstones_of_nothing(void)
{
    for (int version = 1; version <= 3; version++)
        for (int width = 4; width <= 5; width++) {
            int idx = empty_file();
            uint64_t row_bytes = 12 + (uint64_t)width;
            fv_volume *volume = open_pair(version, width, new_data(version), idx);
            fv_write_result out;
            fv_volume_stat stat;
            fv_entry before, entry, row;
            int sys_errno;
            CHECK(put(volume, 1, "one") == FV_OK);
            CHECK(fv_volume_delete(volume, 1, 5, 0, 1, 0, &out) == FV_OK && out.size > 0);
            CHECK(fv_volume_find(volume, 1, 0, &before, &sys_errno) == FV_OK && before.size < -1);
            uint64_t ids[] = {1, 9, UINT64_MAX};
            for (uint64_t i = 0; i < 3; i++) {
                uint64_t end = file_size(fv_volume_dat_fd(volume));
                uint8_t bytes[FV_ROW_MAX];
                CHECK(fv_volume_delete(volume, ids[i], 5, 77, 1, 0, &out) == FV_OK);
                CHECK(out.size == 0 && out.offset == end && out.append_at_ns > 0);
                CHECK(file_size(fv_volume_dat_fd(volume)) == end + fv_needle_actual_size(0, version));
                CHECK(pread(idx, bytes, row_bytes, (off_t)((2 + i) * row_bytes)) > 0);
                fv_row_decode(bytes, width, &row);
                CHECK(row.id == ids[i] && row.offset * 8 == end && row.size == -1);
            }
            CHECK(fv_volume_find(volume, 1, 0, &entry, &sys_errno) == FV_OK);
            CHECK(entry.offset == before.offset && entry.size == before.size);
            CHECK(fv_volume_find(volume, 9, 0, &entry, &sys_errno) == FV_NOT_FOUND);
            fv_volume_get_stat(volume, &stat);
            CHECK(stat.counters.file_count == 1 && stat.counters.deletion_count == 1);
            CHECK(stat.counters.deletion_bytes == stat.counters.file_bytes);
            CHECK(stat.counters.max_key == UINT64_MAX && stat.map_count == 1);
            CHECK(stat.idx_size == 5 * row_bytes && file_size(idx) == stat.idx_size);
            CHECK(put(volume, 9, "nine") == FV_OK && holds(volume, 9, "nine"));
            fv_volume_set_flags(volume, FV_VOLUME_NO_WRITE);
            CHECK(fv_volume_delete(volume, 9, 5, 0, 1, 0, &out) == FV_READ_ONLY);
            CHECK(fv_volume_delete(volume, 9, 5, 0, 0, 0, &out) == FV_OK && out.size > 0);
            fv_volume_unref(volume);
        }
}

void test_volume_reads_metadata_alone(void)
{
    fv_volume *volume = fresh(3, 5);
    CHECK(put(volume, 1, "some payload") == FV_OK);
    fv_read found;
    CHECK(fv_volume_read(volume, 1, FV_READ_META, &found) == FV_OK);
    CHECK(found.meta_only && found.needle.data_size == 12 && found.data_offset == 8 + 20);
    fv_fault fault;
    CHECK(fv_volume_verify(volume, found.data_offset, 12, found.needle.checksum, FV_VERIFY_WAIT,
                           &fault) == FV_OK);
    CHECK(fv_volume_verify(volume, found.data_offset, 12, found.needle.checksum ^ 1, FV_VERIFY_WAIT,
                           &fault) == FV_NEEDLE_BAD_CRC);
    fv_read_release(&found);
    flip_byte(fv_volume_dat_fd(volume), 8 + 19); /* the data size */
    CHECK(fv_volume_read(volume, 1, FV_READ_META, &found) != FV_OK);
    fv_read_release(&found);
    fv_volume_unref(volume);
}

void test_volume_flags_and_seal(void)
{
    fv_volume *volume = fresh(3, 5);
    fv_write_result out;
    CHECK(put(volume, 1, "x") == FV_OK);
    fv_volume_set_flags(volume, FV_VOLUME_NO_WRITE);
    CHECK(put(volume, 2, "x") == FV_READ_ONLY);
    CHECK(fv_volume_delete(volume, 1, 5, 0, 0, 0, &out) == FV_OK);
    fv_volume_set_flags(volume, FV_VOLUME_NO_WRITE | FV_VOLUME_NO_DELETE);
    CHECK(fv_volume_delete(volume, 1, 5, 0, 0, 0, &out) == FV_READ_ONLY);
    fv_volume_set_flags(volume, 0);
    CHECK(put(volume, 2, "x") == FV_OK);
    fv_volume_seal(volume);
    CHECK(put(volume, 3, "x") == FV_CLOSED);
    CHECK(fv_volume_delete(volume, 2, 5, 0, 0, 0, &out) == FV_CLOSED);
    CHECK(holds(volume, 2, "x"));
    fv_volume_unref(volume);
    volume = open_pair(3, 5, new_data(3), -1);
    CHECK(put(volume, 1, "x") == FV_READ_ONLY);
    int on_index;
    CHECK(fv_volume_sync(volume, &on_index) == 0);
    fv_volume_unref(volume);
}

/* /dev/full takes neither the row nor the cut that would undo the record. */
void test_volume_after_a_failed_rollback(void)
{
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    CHECK(full >= 0);
    fv_volume *volume = open_pair(3, 5, new_data(3), full);
    fv_write_result out;
    CHECK(put_with_cookie(volume, 1, 5, "x", 1, &out) == FV_IO_ERROR);
    CHECK(out.failed_on_index && out.rollback_failed && out.sys_errno == ENOSPC);
    CHECK(file_size(fv_volume_dat_fd(volume)) == 8);
    CHECK(put(volume, 1, "x") == FV_READ_ONLY);
    fv_volume_set_flags(volume, 0);
    CHECK(put(volume, 1, "x") == FV_READ_ONLY);
    fv_read found;
    CHECK(fv_volume_read(volume, 1, 0, &found) == FV_NOT_FOUND);
    fv_volume_unref(volume);
}

void test_volume_fields_too_long(void)
{
    fv_volume *volume = fresh(3, 5);
    static uint8_t mime[256];
    fv_needle needle = {.id = 1, .data = mime, .data_size = 1, .flags = FV_NEEDLE_HAS_MIME,
                        .mime = mime, .mime_size = sizeof mime};
    fv_write_result out;
    CHECK(fv_volume_write(volume, &needle, 1, 0, &out) == FV_BAD_NEEDLE);
    CHECK(file_size(fv_volume_dat_fd(volume)) == 8);
    fv_volume_unref(volume);
}

void test_volume_offsets_end(void)
{
    int dat = new_data(3);
    CHECK(ftruncate(dat, (off_t)((UINT64_C(1) << 35) - 32)) == 0);
    fv_volume *volume = open_pair(3, 4, dat, empty_file());
    fv_write_result out;
    CHECK(put_with_cookie(volume, 1, 5, "does not fit", 1, &out) == FV_OVERFLOW);
    CHECK(out.limit == UINT64_C(1) << 35);
    CHECK(put(volume, 1, "") == FV_OK); /* 32 bytes: the last that fit */
    CHECK(put_with_cookie(volume, 2, 5, "", 1, &out) == FV_OVERFLOW);
    fv_read found;
    CHECK(fv_volume_read(volume, 1, 0, &found) == FV_OK);
    fv_volume_unref(volume);
}

void test_volume_verified_once(void)
{
    fv_volume *volume = fresh(3, 5);
    uint64_t offsets[] = {8, FV_ONCE_GRANULE * 3 + 40, UINT64_C(5) << 30, UINT64_C(1) << 42};
    for (size_t i = 0; i < 4; i++) {
        CHECK(!fv_volume_was_verified(volume, offsets[i]));
        fv_volume_note_verified(volume, offsets[i]);
        CHECK(fv_volume_was_verified(volume, offsets[i]));
        CHECK(!fv_volume_was_verified(volume, offsets[i] + FV_ONCE_GRANULE));
    }
    CHECK(!fv_volume_was_verified(volume, (UINT64_C(1) << 43) - 8));
    fv_volume_unref(volume);
}

void test_volume_mapping_follows_the_file(void)
{
    int dat = new_data(3);
    fv_volume *volume = open_pair(3, 5, dat, empty_file());
    const uint8_t *first = fv_volume_mapped(volume, 8);
    CHECK(first != NULL && first[0] == 3);
    CHECK(fv_volume_mapped(volume, 1000) == first);
    uint64_t far = UINT64_C(300) << 20;
    CHECK(ftruncate(dat, (off_t)far) == 0);
    append_bytes(dat, "far", 3);
    uint8_t bytes[3];
    CHECK(fv_volume_copy_mapped(volume, far, 3, bytes) == FV_OK && memcmp(bytes, "far", 3) == 0);
    CHECK(first[0] == 3); /* whoever is in the old mapping stays there */
    CHECK(fv_volume_resident(volume, 0, 8) && fv_volume_resident(volume, far, 0));
    fv_volume_unref(volume);
}

void test_volume_outlives_its_owner(void)
{
    fv_volume *volume = fresh(3, 5);
    CHECK(put(volume, 1, "x") == FV_OK);
    fv_volume *reader = fv_volume_ref(volume);
    fv_volume_unref(volume);
    CHECK(holds(reader, 1, "x"));
    fv_volume_unref(reader);
}

typedef struct {
    const volatile uint8_t *at;
    uint8_t seen;
} touch_work;

static void touch(void *arg)
{
    touch_work *work = arg;
    work->seen = *work->at;
}

void test_guard_survives_missing_pages(void)
{
    fv_guard_install();
    fv_guard_install();
    int fd = empty_file();
    CHECK(ftruncate(fd, 8192) == 0);
    uint8_t *base = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(base != MAP_FAILED);
    touch_work work = {.at = base + 4096, .seen = 9};
    CHECK(fv_guard_run(touch, &work) == 0 && work.seen == 0);
    CHECK(ftruncate(fd, 4096) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(fv_guard_run(touch, &work) == -1);
    work.at = base;
    CHECK(fv_guard_run(touch, &work) == 0);
    munmap(base, 8192);
    close(fd);
}

void test_volume_cut_short_under_its_mapping(void)
{
    fv_volume *volume = fresh(3, 5);
    CHECK(put(volume, 1, "stays") == FV_OK);
    uint64_t keep = file_size(fv_volume_dat_fd(volume));
    static uint8_t data[50000];
    fv_needle needle = {.id = 2, .cookie = 5, .data = data, .data_size = sizeof data};
    needle.checksum = fv_crc32c(0, data, sizeof data);
    fv_write_result out;
    CHECK(fv_volume_write(volume, &needle, 1, 0, &out) == FV_OK);
    fv_fault fault;
    uint64_t at = out.offset + FV_NEEDLE_PREFIX;
    CHECK(fv_volume_verify(volume, at, sizeof data, needle.checksum, FV_VERIFY_CACHED, &fault) ==
          FV_OK);
    CHECK(ftruncate(fv_volume_dat_fd(volume), (off_t)keep) == 0);
    CHECK(fv_volume_verify(volume, at, sizeof data, needle.checksum, FV_VERIFY_CACHED, &fault) ==
          FV_IO_ERROR);
    static uint8_t copy[20000];
    CHECK(fv_volume_copy_mapped(volume, at + 8192, sizeof copy, copy) == FV_IO_ERROR);
    fv_read found;
    CHECK(fv_volume_read(volume, 2, 0, &found) == FV_NEEDLE_SHORT && found.got == 0);
    fv_read_release(&found);
    CHECK(holds(volume, 1, "stays"));
    fv_volume_unref(volume);
}

#define THREAD_NEEDLES 200

static void *read_all(void *arg)
{
    fv_volume *volume = arg;
    for (int round = 0; round < 30; round++)
        for (uint64_t id = 1; id <= THREAD_NEEDLES; id++) {
            fv_read found;
            int result = fv_volume_read(volume, id, 0, &found);
            CHECK(result == FV_OK || result == FV_NOT_FOUND || result == FV_DELETED);
            if (result == FV_OK)
                CHECK(found.needle.id == id && found.needle.data_size >= 3);
            fv_read_release(&found);
        }
    fv_volume_unref(volume);
    return NULL;
}

void test_volume_readers_and_writers(void)
{
    fv_volume *volume = fresh(3, 5);
    pthread_t readers[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&readers[i], NULL, read_all, fv_volume_ref(volume)) == 0);
    fv_write_result out;
    for (uint64_t id = 1; id <= THREAD_NEEDLES; id++) {
        CHECK(put(volume, id, "first") == FV_OK && put(volume, id, "and another") == FV_OK);
        if (id % 3 == 0)
            CHECK(fv_volume_delete(volume, id, 5, 0, 0, 0, &out) == FV_OK);
        fv_volume_set_flags(volume, 0);
    }
    fv_volume_seal(volume);
    fv_volume_unref(volume);
    for (int i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
}

void test_volume_with_its_data_elsewhere(void)
{
    int idx = empty_file(), kept = dup(idx);
    fv_map *map = fv_map_new();
    CHECK(fv_map_set(map, 1, 1, 30, NULL) >= 0 && fv_map_set(map, 2, 9, 30, NULL) >= 0);
    fv_volume_spec spec = {.id = 7, .version = 3, .offset_width = 5, .dat_fd = empty_file(),
                           .idx_fd = idx, .dat_size = 1001, .modified_second = 77,
                           .dat_is_elsewhere = 1};
    fv_counters counters = {0};
    fv_volume *volume = fv_volume_new(&spec, map, &counters);
    fv_read found;
    CHECK(fv_volume_read(volume, 1, 0, &found) == FV_NEEDLE_SHORT);
    fv_read_release(&found);
    CHECK(put(volume, 3, "no room for it") == FV_READ_ONLY);
    fv_write_result out;
    CHECK(fv_volume_delete(volume, 4, 5, 0, 1, 0, &out) == FV_READ_ONLY);
    CHECK(fv_volume_delete(volume, 1, 5, 0, 0, 0, &out) == FV_OK && out.size == 30);
    fv_volume_reserve_for_deletes(volume);
    int on_index;
    CHECK(fv_volume_sync(volume, &on_index) == 0);
    fv_volume_stat stat;
    fv_volume_get_stat(volume, &stat);
    CHECK(stat.dat_size == 1001 && stat.idx_size == 17 && stat.modified_second == 77);
    CHECK(file_size(fv_volume_dat_fd(volume)) == 0);
    static const uint8_t row[17] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 255, 255, 255, 255};
    uint8_t written[17];
    CHECK(pread(kept, written, sizeof written, 0) == 17 && memcmp(written, row, 17) == 0);
    close(kept);
    fv_volume_unref(volume);
}
