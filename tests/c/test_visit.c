#include "visit.h"

#include <errno.h>

#include "compact_map.h"
#include "compare.h"
#include "records.h"
#include "scan.h"
#include "volume.h"

#define ROOM 64
#define ALL (1ull << 40)

/* All records of [8, end), in calls of so much room and budget. */
static size_t visit_all(int dat, int version, unsigned mode, uint64_t budget, size_t room,
                        fv_record *out, fv_visit_result *last)
{
    uint64_t end = file_size(dat), position = 8;
    size_t count = 0;
    do {
        CHECK(count + room <= ROOM);
        fv_visit_records(dat, position, end, version, mode, budget, out + count, room, last);
        CHECK(last->count <= room);
        CHECK(last->position > position || last->stopped != FV_VISIT_MORE);
        CHECK(last->position >= position && last->position <= end);
        position = last->position;
        count += last->count;
    } while (last->stopped == FV_VISIT_MORE);
    return count;
}

void test_visit_describes_records(void)
{
    fv_record out[ROOM];
    fv_visit_result last;
    for (int version = 1; version <= 3; version++)
        for (size_t room = 1; room <= 8; room += 7)
            for (uint64_t budget = 1; budget < 1u << 22; budget = budget * 1000 + 1) {
                int dat = new_data(version);
                for (uint64_t id = 1; id <= 20; id++)
                    append_record(dat, version, id, id % 4 == 0 ? 0 : (uint32_t)(id * 501));
                size_t count = visit_all(dat, version, FV_VISIT_CHECK, budget, room, out, &last);
                CHECK(count == 20 && last.stopped == FV_SCAN_END);
                CHECK(last.position == file_size(dat));
                uint64_t at = 8;
                for (uint64_t id = 1; id <= 20; id++) {
                    const fv_record *record = out + id - 1;
                    CHECK(record->offset == at && record->id == id && record->fault == 0);
                    CHECK(record->cookie == (uint32_t)id * 7 + 1);
                    CHECK(record->data_size == (id % 4 == 0 ? 0 : id * 501));
                    CHECK(record->data_size == 0 || record->data_at == (version == 1 ? 16u : 20u));
                    CHECK(record->append_at_ns == (version == 3 ? 1000000 + id : 0));
                    CHECK(record->length == fv_needle_actual_size(record->size, version));
                    at += record->length;
                }
                count = visit_all(dat, version, 0, budget, room, out, &last);
                CHECK(count == 20 && out[0].data_size == 0 && out[19].id == 20);
                close(dat);
            }
}

void test_visit_of_damaged_bodies_goes_on(void)
{
    fv_record out[ROOM];
    fv_visit_result last;
    int dat = new_data(3);
    uint64_t first = append_record(dat, 3, 1, 100);
    uint64_t second = append_record(dat, 3, 2, 100);
    append_record(dat, 3, 3, 100);
    flip_byte(dat, first + 40);
    flip_byte(dat, second + 16); /* data size */
    CHECK(visit_all(dat, 3, FV_VISIT_CHECK, ALL, ROOM, out, &last) == 3);
    CHECK(out[0].fault == FV_NEEDLE_BAD_CRC && out[1].fault == FV_NEEDLE_OUT_OF_RANGE);
    CHECK(out[2].fault == 0);
    for (int i = 0; i < 3; i++)
        CHECK(out[i].append_at_ns == 1000001 + (uint64_t)i);
    CHECK(visit_all(dat, 3, FV_VISIT_FIELDS, ALL, ROOM, out, &last) == 3 && out[0].fault == 0);
    close(dat);
}

static void check_end(int stopped, unsigned mode, const void *tail, size_t length, uint64_t further)
{
    fv_record out[ROOM];
    fv_visit_result last;
    int dat = new_data(3);
    append_record(dat, 3, 1, 100);
    uint64_t end = file_size(dat);
    append_bytes(dat, tail, length);
    CHECK(visit_all(dat, 3, mode, ALL, ROOM, out, &last) == 1);
    CHECK(last.stopped == stopped && last.position == end + further);
    close(dat);
}

void test_visit_stops_where_records_end(void)
{
    uint8_t bytes[64];
    memset(bytes, 0, sizeof bytes);
    check_end(FV_SCAN_ZEROS, FV_VISIT_CHECK, bytes, 64, 0);
    check_end(FV_SCAN_END, FV_VISIT_PASS_ZEROS, bytes, 64, 64);
    check_end(FV_SCAN_ZEROS, FV_VISIT_PASS_ZEROS, bytes, 56, 32);
    check_end(FV_SCAN_TORN, 0, bytes, 15, 0);
    memset(bytes, 0xFF, sizeof bytes);
    check_end(FV_SCAN_TORN, FV_VISIT_FIELDS, bytes, 64, 0); /* negative size */
    memset(bytes, 0x11, sizeof bytes);
    check_end(FV_SCAN_TORN, 0, bytes, 64, 0); /* beyond the end */
}

void test_visit_passes_long_zeros_in_bounded_calls(void)
{
    fv_record out[ROOM];
    fv_visit_result last;
    int dat = new_data(3);
    CHECK(ftruncate(dat, 8 + 32 * 100000) == 0);
    append_record(dat, 3, 9, 10);
    fv_visit_records(dat, 8, file_size(dat), 3, FV_VISIT_PASS_ZEROS, 1600, out, ROOM, &last);
    CHECK(last.stopped == FV_VISIT_MORE && last.count == 0 && last.position == 8 + 32 * 100);
    CHECK(visit_all(dat, 3, FV_VISIT_PASS_ZEROS, 1 << 20, ROOM, out, &last) == 1);
    CHECK(out[0].id == 9 && last.stopped == FV_SCAN_END);
    close(dat);
}

void test_visit_errors(void)
{
    fv_record out[ROOM];
    fv_visit_result last;
    fv_visit_records(-1, 8, 100, 3, 0, ALL, out, ROOM, &last);
    CHECK(last.stopped == FV_SCAN_IO_ERROR && last.sys_errno == EBADF && last.count == 0);
    int dat = new_data(3);
    append_record(dat, 3, 1, 100);
    /* The range is longer than the file. */
    fv_visit_records(dat, 8, 100000, 3, FV_VISIT_FIELDS, ALL, out, ROOM, &last);
    CHECK(last.stopped == FV_SCAN_TORN && last.count == 1);
    fv_visit_records(dat, 5000, 8, 3, FV_VISIT_FIELDS, ALL, out, ROOM, &last);
    CHECK(last.stopped == FV_SCAN_END && last.count == 0 && last.position == 5000);
    close(dat);
}

void test_visit_survives_any_bytes(void)
{
    unsigned long long state = 99;
    static fv_record out[4096];
    for (int round = 0; round < 500; round++) {
        int version = 1 + round % 3, dat = new_data(version);
        for (uint64_t id = 1; id <= 10; id++)
            append_record(dat, version, id, (uint32_t)(next_random(&state) % 200));
        for (int hit = 0; hit < round % 50; hit++) {
            uint8_t byte = (uint8_t)next_random(&state);
            CHECK(pwrite(dat, &byte, 1, (off_t)(8 + next_random(&state) % (file_size(dat) - 8))) == 1);
        }
        fv_visit_result last;
        for (unsigned mode = 0; mode < 8; mode++) {
            uint64_t position = 8, steps = 0;
            do {
                fv_visit_records(dat, position, file_size(dat), version, mode,
                                 1 + next_random(&state) % 3000, out, 1 + round % 5, &last);
                CHECK(last.position >= position && steps++ < file_size(dat));
                position = last.position;
            } while (last.stopped == FV_VISIT_MORE);
        }
        close(dat);
    }
}

/* ---- append times ---------------------------------------------------------------------------- */

static void put_row(int idx, int width, uint64_t id, uint64_t offset, int32_t size)
{
    uint8_t row[17];
    append_bytes(idx, row, fv_row_encode(row, width, id, offset / 8, size));
}

void test_times_behind_rows(void)
{
    for (int width = 4; width <= 5; width++) {
        int dat = new_data(3), idx = empty_file(), sys_errno;
        uint64_t offsets[6];
        for (uint64_t id = 1; id <= 5; id++)
            offsets[id] = append_record(dat, 3, id, id == 3 ? 0 : 50);
        fv_time_result out;
        put_row(idx, width, 5, offsets[5], 55);
        put_row(idx, width, 7, 0, -1);
        put_row(idx, width, 1, offsets[1], 55);
        put_row(idx, width, 3, offsets[3], -1);
        fv_visit_times(idx, 0, 4, width, dat, 1000002, &out);
        CHECK(out.code == 0 && out.rows == 4);
        CHECK(out.lowest == offsets[3] && out.newest_ns == 1000005);
        fv_visit_times(idx, 1, 2, width, dat, 0, &out);
        CHECK(out.rows == 2 && out.lowest == offsets[1] && out.newest_ns == 1000001);
        fv_visit_times(idx, 0, 4, width, dat, 1000005, &out);
        CHECK(out.lowest == 0);
        CHECK(fv_visit_rows_ascend(idx, 2, width, &sys_errno) == 1);
        CHECK(fv_visit_rows_ascend(idx, 4, width, &sys_errno) == 0);
        CHECK(fv_visit_rows_ascend(idx, 5, width, &sys_errno) == -1);
        fv_visit_times(idx, 0, 5, width, dat, 0, &out);
        CHECK(out.code == FV_NEEDLE_SHORT && out.on_index && out.rows == 0);
        put_row(idx, width, 4, offsets[4], 54);
        fv_visit_times(idx, 0, 5, width, dat, 0, &out);
        CHECK(out.code == FV_NEEDLE_SIZE_MISMATCH && !out.on_index);
        CHECK(out.rows == 4 && out.offset == offsets[4]);
        put_row(idx, width, 6, file_size(dat), 54);
        fv_visit_times(idx, 5, 1, width, dat, 0, &out);
        CHECK(out.code == FV_NEEDLE_SHORT && !out.on_index);
        fv_visit_times(idx, 0, 1, width, -1, 0, &out);
        CHECK(out.code == FV_IO_ERROR && out.sys_errno == EBADF);
        fv_visit_times(-1, 0, 1, width, dat, 0, &out);
        CHECK(out.code == FV_IO_ERROR && out.on_index && out.sys_errno == EBADF);
        close(dat);
        close(idx);
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void put(fv_replica *replica, uint64_t id, uint32_t data_size)
{
    fv_entry old;
    uint64_t offset = append_record(replica->dat_fd, replica->version, id, data_size);
    int32_t size = (int32_t)data_size + (data_size > 0 && replica->version > 1 ? 5 : 0);
    CHECK(fv_map_set(replica->map, id, offset / 8, size, &old) >= 0);
}

static fv_replica new_replica(int version)
{
    fv_replica replica = {fv_map_new(), new_data(version), version};
    CHECK(replica.map != NULL);
    return replica;
}

static void close_replica(fv_replica *replica)
{
    fv_map_free(replica->map);
    close(replica->dat_fd);
}

static size_t compare_all(const fv_replica *a, const fv_replica *b, uint64_t needles, size_t room,
                          fv_difference *out, uint64_t counts[FV_COMPARE_KINDS])
{
    fv_compare *compare = fv_compare_new(a, b);
    size_t found = 0, count;
    int more;
    do {
        more = fv_compare_step(compare, needles, out + found, room, &count);
        found += count;
        CHECK(found <= ROOM);
    } while (more);
    fv_compare_counts(compare, counts);
    fv_compare_free(compare);
    return found;
}

void test_compare_tells_every_kind(void)
{
    fv_difference out[ROOM];
    uint64_t counts[FV_COMPARE_KINDS];
    fv_entry entry, old;
    fv_replica a = new_replica(3), b = new_replica(3);
    for (uint64_t id = 1; id <= 9; id++) {
        put(&a, id, (uint32_t)id * 1000);
        put(&b, 10 - id, (uint32_t)(10 - id) * 1000);
    }
    CHECK(compare_all(&a, &b, 3, 1, out, counts) == 0 && counts[FV_COMPARE_EQUAL] == 9);
    put(&a, 10, 0);
    put(&b, 11, 5);
    put(&a, 12, 5);
    CHECK(fv_map_delete(a.map, 12, &old) == 1);
    put(&b, 5, 77);
    CHECK(fv_map_get(a.map, 1, &entry) == 1);
    flip_byte(a.dat_fd, entry.offset * 8); /* cookie */
    CHECK(fv_map_get(b.map, 2, &entry) == 1);
    flip_byte(b.dat_fd, entry.offset * 8 + 11); /* id */
    CHECK(fv_map_get(b.map, 3, &entry) == 1);
    flip_byte(b.dat_fd, entry.offset * 8 + 15); /* size */
    CHECK(fv_map_get(b.map, 8, &entry) == 1);
    flip_byte(b.dat_fd, entry.offset * 8 + 16 + 8005); /* checksum */
    CHECK(fv_map_set(b.map, 9, 1 << 30, 9005, &old) == 1);
    for (uint64_t needles = 1; needles < 100; needles += 49)
        for (size_t room = 1; room <= 16; room += 15) {
            CHECK(compare_all(&a, &b, needles, room, out, counts) == 8);
            CHECK(out[0].id == 1 && out[0].kind == FV_COMPARE_COOKIE);
            CHECK(out[0].cookie[0] == (8 ^ 0x55000000u) && out[0].cookie[1] == 8);
            CHECK(out[1].id == 2 && out[1].kind == FV_COMPARE_UNREADABLE);
            CHECK(out[1].code[0] == 0 && out[1].code[1] == FV_NOT_FOUND);
            CHECK(out[2].id == 3 && out[2].code[1] == FV_NEEDLE_SIZE_MISMATCH);
            CHECK(out[3].id == 5 && out[3].kind == FV_COMPARE_SIZE);
            CHECK(out[3].size[0] == 5005 && out[3].size[1] == 82);
            CHECK(out[4].id == 8 && out[4].kind == FV_COMPARE_CHECKSUM);
            CHECK(out[5].id == 9 && out[5].code[1] == FV_NEEDLE_SHORT);
            CHECK(out[6].id == 10 && out[6].kind == FV_COMPARE_ONLY_A && out[6].size[0] == 0);
            CHECK(out[7].id == 11 && out[7].kind == FV_COMPARE_ONLY_B && out[7].size[1] == 10);
        }
    CHECK(compare_all(&a, &b, 4, 0, out, counts) == 0);
    CHECK(counts[FV_COMPARE_EQUAL] == 3 && counts[FV_COMPARE_UNREADABLE] == 3);
    int dat = a.dat_fd;
    a.dat_fd = -1;
    CHECK(compare_all(&a, &b, 100, 64, out, counts) > 0);
    CHECK(out[0].code[0] == FV_IO_ERROR && out[0].sys_errno[0] == EBADF);
    a.dat_fd = dat;
    close_replica(&a);
    close_replica(&b);
}

void test_compare_across_versions_and_forms(void)
{
    fv_difference out[ROOM];
    uint64_t counts[FV_COMPARE_KINDS];
    fv_replica a = new_replica(1), b = new_replica(3);
    for (uint64_t id = 1; id <= 3000; id++) {
        put(&a, id, 20);
        put(&b, id, 20);
    }
    CHECK(compare_all(&a, &b, 1000, 16, out, counts) == 0 && counts[FV_COMPARE_EQUAL] == 3000);
    /* The checksum in its old form. */
    uint8_t stored[4];
    CHECK(pread(a.dat_fd, stored, 4, 8 + 16 + 20) == 4);
    uint32_t old = fv_crc32c_legacy((uint32_t)stored[0] << 24 | stored[1] << 16 | stored[2] << 8 |
                                    stored[3]);
    uint8_t bytes[4] = {(uint8_t)(old >> 24), (uint8_t)(old >> 16), (uint8_t)(old >> 8),
                        (uint8_t)old};
    CHECK(pwrite(a.dat_fd, bytes, 4, 8 + 16 + 20) == 4);
    CHECK(compare_all(&a, &b, 1000, 16, out, counts) == 0);
    CHECK(compare_all(&b, &a, 1000, 16, out, counts) == 0);
    close_replica(&a);
    close_replica(&b);
}

void test_compare_of_nothing_and_of_the_last_id(void)
{
    fv_difference out[ROOM];
    uint64_t counts[FV_COMPARE_KINDS];
    fv_replica a = new_replica(3), b = new_replica(3);
    CHECK(compare_all(&a, &b, 10, 16, out, counts) == 0 && counts[FV_COMPARE_EQUAL] == 0);
    put(&a, UINT64_MAX, 5);
    CHECK(compare_all(&a, &b, 10, 16, out, counts) == 1 && out[0].id == UINT64_MAX);
    close_replica(&a);
    close_replica(&b);
}
