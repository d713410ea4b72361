#include "deletion.h"

#include <errno.h>
#include <fcntl.h>

#include "foreign_map.h"
#include "records.h"

#define MANY 150

static fv_volume *open_over(fv_map *map, int version, int dat, int idx)
{
    fv_volume_spec spec = {.id = 7, .version = version, .offset_width = 5, .dat_fd = dat,
                           .idx_fd = idx, .dat_size = file_size(dat), .idx_size = 0};
    fv_counters counters = {0};
    fv_volume *volume = fv_volume_new(&spec, map, &counters);
    CHECK(volume != NULL);
    return volume;
}

static int put(fv_volume *volume, uint64_t id, const char *text)
{
    fv_needle needle = {.id = id, .cookie = 5, .data = (const uint8_t *)text,
                        .data_size = (uint32_t)strlen(text)};
    fv_write_result out;
    needle.checksum = fv_crc32c(0, needle.data, needle.data_size);
    return fv_volume_write(volume, &needle, 1, 0, &out);
}

static int state_of(fv_volume *volume, uint64_t id)
{
    fv_read found;
    int result = fv_volume_read(volume, id, 0, &found);
    fv_read_release(&found);
    return result;
}

static int is_undone(fv_volume *volume, const fv_volume_stat *before, int dat, int idx)
{
    fv_volume_stat after;
    fv_volume_get_stat(volume, &after);
    return after.dat_size == before->dat_size && after.idx_size == before->idx_size &&
           after.counters.deletion_count == before->counters.deletion_count &&
           file_size(dat) == before->dat_size && (idx < 0 || file_size(idx) == before->idx_size);
}

/* --- a map that fails after some changes ---------------------------------------------------------- */

typedef struct {
    fv_map *entries;
    int changes_left; /* negative: any number */
    int error;
} failing_map;

static int map_find(void *self, uint64_t id, fv_entry *out)
{
    return fv_map_get(((failing_map *)self)->entries, id, out);
}

static int map_set(void *self, uint64_t id, uint64_t offset, int32_t size)
{
    failing_map *map = self;
    if (map->changes_left == 0)
        return map->error;
    map->changes_left--;
    int result = fv_map_set(map->entries, id, offset, size, NULL);
    return result < 0 ? result : 0;
}

static int map_remove(void *self, uint64_t id)
{
    return fv_map_remove(((failing_map *)self)->entries, id);
}

static int64_t map_scan(void *self, uint64_t first, fv_entry *out, size_t capacity)
{
    return fv_map_scan(((failing_map *)self)->entries, first, out, capacity);
}

static void map_free(void *self)
{
    fv_map_free(((failing_map *)self)->entries);
}

static const fv_foreign_calls failing_calls = {map_find, map_set, map_remove, map_scan, map_free};

/* --- deleting many -------------------------------------------------------------------------------- */

static size_t pending(fv_deletion *items, uint64_t ids)
{
    memset(items, 0, MANY * sizeof *items);
    for (uint64_t at = 0; at < ids; at++)
        items[at] = (fv_deletion){.id = at + 1, .cookie = 5, .volume_id = 7,
                                  .result = FV_DELETION_PENDING};
    return ids;
}

void test_deletions_go_in_runs(void)
{
    for (int version = 1; version <= 3; version++)
        for (int check_cookie = 0; check_cookie < 2; check_cookie++) {
            int dat = new_data(version), idx = empty_file();
            fv_volume *volume = open_over(fv_map_new(), version, dat, idx);
            fv_deletion items[MANY];
            fv_volume_stat stat;
            for (uint64_t id = 1; id < MANY; id++)
                CHECK(put(volume, id, "x") == FV_OK);
            uint64_t dat_size = file_size(dat), rows = file_size(idx) / 17;
            size_t count = pending(items, MANY);      /* the last is not there */
            items[3].id = items[2].id;                /* twice */
            items[4].volume_id = 8;                   /* another volume's */
            items[5].cookie = 6;
            fv_volume_delete_many(volume, 7, items, count, check_cookie);
            CHECK(items[4].result == FV_DELETION_PENDING && items[2].result == FV_OK);
            CHECK(items[3].result == (check_cookie ? FV_DELETED : FV_OK) && items[3].size == 0);
            CHECK(items[5].result == (check_cookie ? FV_BAD_COOKIE : FV_OK));
            CHECK(items[MANY - 1].result == (check_cookie ? FV_NOT_FOUND : FV_OK));
            CHECK(state_of(volume, 1) == FV_DELETED && state_of(volume, 5) == FV_OK);
            uint64_t gone = MANY - 1 - 2 - (uint64_t)check_cookie; /* not 4, 5 and perhaps 6 */
            fv_volume_get_stat(volume, &stat);
            CHECK(stat.counters.deletion_count == gone);
            CHECK(file_size(dat) == dat_size + gone * fv_needle_actual_size(0, version));
            CHECK(file_size(idx) == (rows + gone) * 17 && stat.dat_size == file_size(dat));
            fv_volume_unref(volume);
        }
}

void test_deletions_of_a_volume_that_refuses(void)
{
    int dat = new_data(3), idx = empty_file();
    fv_volume *volume = open_over(fv_map_new(), 3, dat, idx);
    fv_deletion items[MANY];
    fv_volume_stat before;
    CHECK(put(volume, 1, "x") == FV_OK);
    fv_volume_get_stat(volume, &before);
    fv_volume_set_flags(volume, FV_VOLUME_NO_DELETE);
    fv_volume_delete_many(volume, 7, items, pending(items, 2), 0);
    CHECK(items[0].result == FV_DELETION_OPEN && items[1].result == FV_DELETION_OPEN);
    fv_volume_set_flags(volume, 0);
    fv_volume_seal(volume);
    fv_volume_delete_many(volume, 7, items, pending(items, 2), 1);
    CHECK(items[0].result == FV_DELETION_OPEN && items[1].result == FV_NOT_FOUND);
    CHECK(is_undone(volume, &before, dat, idx) && state_of(volume, 1) == FV_OK);
    fv_volume_unref(volume);
}

/* The index takes no row, and cannot be cut back either: /dev/full comes in its place. */
void test_deletions_that_cannot_be_written(void)
{
    int dat = new_data(3), idx = empty_file();
    fv_volume *volume = open_over(fv_map_new(), 3, dat, idx);
    fv_deletion items[MANY];
    for (uint64_t id = 1; id < 4; id++)
        CHECK(put(volume, id, "x") == FV_OK);
    fv_volume_stat before;
    fv_volume_get_stat(volume, &before);
    int full = open("/dev/full", O_RDWR | O_CLOEXEC), kept = dup(idx);
    CHECK(full >= 0 && kept >= 0 && dup2(full, idx) == idx);
    fv_volume_delete_many(volume, 7, items, pending(items, 3), 0);
    for (int at = 0; at < 3; at++)
        CHECK(items[at].result == FV_DELETION_OPEN && items[at].size == 0);
    CHECK(is_undone(volume, &before, dat, -1) && file_size(kept) == before.idx_size);
    CHECK(state_of(volume, 1) == FV_OK && put(volume, 9, "x") == FV_READ_ONLY);
    close(full);
    close(kept);
    fv_volume_unref(volume);
}

void test_deletions_whose_map_fails_in_the_middle(void)
{
    for (int error = -ENOMEM;; error = -EIO) {
        failing_map host = {.entries = fv_map_new(), .changes_left = -1, .error = error};
        int dat = new_data(3), idx = empty_file();
        fv_volume *volume = open_over(fv_map_new_foreign(&failing_calls, &host, 0, 0), 3, dat, idx);
        fv_deletion items[MANY];
        fv_volume_stat before, after;
        for (uint64_t id = 1; id <= 10; id++)
            CHECK(put(volume, id, "x") == FV_OK);
        fv_volume_get_stat(volume, &before);
        host.changes_left = 4;
        fv_volume_delete_many(volume, 7, items, pending(items, 10), 1);
        for (uint64_t at = 0; at < 10; at++) {
            CHECK(items[at].result == (at < 4 ? FV_OK : FV_DELETION_OPEN));
            CHECK(state_of(volume, at + 1) == (at < 4 ? FV_DELETED : FV_OK));
        }
        fv_volume_get_stat(volume, &after);
        CHECK(after.counters.deletion_count == 4);
        CHECK(after.dat_size == before.dat_size + 4 * fv_needle_actual_size(0, 3));
        CHECK(after.idx_size == before.idx_size + 4 * 17);
        CHECK(file_size(dat) == after.dat_size && file_size(idx) == after.idx_size);
        host.changes_left = -1;
        /* Without memory it goes on; a map that is in doubt ends all changes. */
        CHECK(put(volume, 11, "x") == (error == -ENOMEM ? FV_OK : FV_READ_ONLY));
        fv_volume_unref(volume);
        if (error == -EIO)
            return;
    }
}

void test_deletions_text_survives_any_bytes(void)
{
    static const char alphabet[] = "0123456789abcdefF,_\n-x";
    unsigned long long state = 88172645463325252ull;
    for (int round = 0; round < 20000; round++) {
        char text[64];
        uint8_t out[4096];
        fv_deletion items[8];
        size_t length = next_random(&state) % sizeof text;
        for (size_t at = 0; at < length; at++)
            text[at] = alphabet[next_random(&state) % (sizeof alphabet - 1)];
        size_t lines = fv_deletions_read(text, length, round & 1, items, 8), count = lines;
        count = count > 8 ? 8 : count;
        size_t newlines = 0;
        for (size_t at = 0; at < length; at++)
            newlines += text[at] == '\n';
        CHECK(lines == newlines + 1);
        for (size_t at = 0; at < count; at++) {
            CHECK(items[at].text_at + items[at].text_length <= length);
            items[at].result = FV_OK;
            items[at].size = (int32_t)(next_random(&state) % 3 * 1000);
        }
        size_t need = fv_deletions_write(text, items, 0, count, NULL, 0);
        CHECK(need <= sizeof out && fv_deletions_write(text, items, 0, count, out, need) == need);
    }
}

/* --- records as they are -------------------------------------------------------------------------- */

static size_t one_record(int version, uint64_t id, uint32_t size, uint8_t *out, size_t capacity)
{
    int fd = new_data(version);
    append_record(fd, version, id, size);
    size_t length = file_size(fd) - 8;
    CHECK(length <= capacity && pread(fd, out, length, 8) == (ssize_t)length);
    close(fd);
    return length;
}

void test_records_are_appended_as_they_are(void)
{
    for (int version = 1; version <= 3; version++) {
        int dat = new_data(version), idx = empty_file();
        fv_volume *volume = open_over(fv_map_new(), version, dat, idx);
        uint8_t record[256], stored[256];
        fv_write_result out;
        size_t length = one_record(version, 3, 40, record, sizeof record);
        CHECK(fv_volume_append_record(volume, 9, record, length, &out) == FV_OK && !out.unchanged);
        CHECK(out.offset == 8 && file_size(dat) == 8 + length && file_size(idx) == 17);
        CHECK(pread(dat, stored, length, 8) == (ssize_t)length);
        CHECK(memcmp(stored, record, 4) == 0 && stored[11] == 9 && record[11] == 3);
        CHECK(memcmp(stored + 12, record + 12, length - 12 - (version == 3 ? 16 : 0)) == 0);
        CHECK(state_of(volume, 9) == FV_OK && state_of(volume, 3) == FV_NOT_FOUND);
        CHECK(fv_volume_append_record(volume, 9, record, length, &out) == FV_OK && out.unchanged);
        record[30] ^= 1; /* its payload, or what says how long that is */
        CHECK(fv_volume_append_record(volume, 9, record, length, &out) == FV_OK && !out.unchanged);
        CHECK(state_of(volume, 9) != FV_OK);
        CHECK(fv_volume_append_record(volume, 9, record, length - 8, &out) == FV_BAD_NEEDLE);
        memset(record + 12, 0xff, 4);
        CHECK(fv_volume_append_record(volume, 9, record, length, &out) == FV_BAD_NEEDLE);
        fv_volume_set_flags(volume, FV_VOLUME_NO_WRITE);
        length = one_record(version, 3, 40, record, sizeof record);
        CHECK(fv_volume_append_record(volume, 1, record, length, &out) == FV_READ_ONLY);
        fv_volume_unref(volume);
    }
}

void test_records_that_cannot_be_appended(void)
{
    uint8_t record[256];
    fv_write_result out;
    fv_volume_stat before;
    size_t length = one_record(3, 3, 40, record, sizeof record);
    failing_map host = {.entries = fv_map_new(), .changes_left = -1, .error = -ENOMEM};
    int dat = new_data(3), idx = empty_file();
    fv_volume *volume = open_over(fv_map_new_foreign(&failing_calls, &host, 0, 0), 3, dat, idx);
    CHECK(put(volume, 1, "x") == FV_OK);
    fv_volume_get_stat(volume, &before);
    host.changes_left = 0;
    CHECK(fv_volume_append_record(volume, 2, record, length, &out) == FV_NO_MEMORY);
    CHECK(is_undone(volume, &before, dat, idx) && state_of(volume, 2) == FV_NOT_FOUND);
    host.changes_left = -1;
    int full = open("/dev/full", O_RDWR | O_CLOEXEC), kept = dup(idx);
    CHECK(full >= 0 && kept >= 0 && dup2(full, idx) == idx);
    CHECK(fv_volume_append_record(volume, 2, record, length, &out) == FV_IO_ERROR);
    CHECK(out.failed_on_index && out.rollback_failed && is_undone(volume, &before, dat, -1));
    CHECK(state_of(volume, 1) == FV_OK && state_of(volume, 2) == FV_NOT_FOUND);
    close(full);
    close(kept);
    fv_volume_unref(volume);
}
