#include "scan.h"

#include <errno.h>
#include <fcntl.h>

#include "compact_map.h"
#include "records.h"

static fv_scan_result walk(int dat, int version, int verify, int idx, int width)
{
    fv_scan_result result;
    CHECK(fv_scan_to_index(dat, 8, file_size(dat), version, verify, idx, file_size(idx), width,
                           &result) == 0);
    CHECK(result.rows_bytes == result.records * (12 + (uint64_t)width));
    return result;
}

static fv_entry row_at(int idx, int width, uint64_t at)
{
    uint8_t row[17];
    fv_entry entry;
    size_t length = 12 + (size_t)width;
    CHECK(pread(idx, row, length, (off_t)(at * length)) == (ssize_t)length);
    fv_row_decode(row, width, &entry);
    return entry;
}

void test_scan_makes_a_row_per_record(void)
{
    for (int version = 1; version <= 3; version++)
        for (int width = 4; width <= 5; width++)
            for (int verify = 0; verify <= 1; verify++) {
                int dat = new_data(version), idx = empty_file();
                uint64_t offsets[40];
                for (uint64_t i = 0; i < 40; i++)
                    offsets[i] = append_record(dat, version, i + 1, i % 5 == 3 ? 0 : (uint32_t)i * 61);
                fv_scan_result result = walk(dat, version, verify, idx, width);
                CHECK(result.stopped == FV_SCAN_END && result.records == 40);
                CHECK(result.position == file_size(dat) && result.damaged == 0);
                CHECK(version < 3 || result.last_append_ns == 1000040);
                for (uint64_t i = 0; i < 40; i++) {
                    fv_entry entry = row_at(idx, width, i);
                    CHECK(entry.id == i + 1 && entry.offset * 8 == offsets[i]);
                    CHECK((entry.size == -1) == (i % 5 == 3 || i == 0));
                }
                close(dat);
                close(idx);
            }
}

/* More rows than are buffered. */
void test_scan_of_many_records(void)
{
    int dat = new_data(2), idx = empty_file();
    uint8_t header[24] = {0};
    for (uint32_t i = 1; i <= 10000; i++) {
        header[10] = (uint8_t)(i >> 8);
        header[11] = (uint8_t)i;
        append_bytes(dat, header, sizeof header);
    }
    fv_scan_result result = walk(dat, 2, 1, idx, 5);
    CHECK(result.records == 10000 && result.stopped == FV_SCAN_END);
    CHECK(row_at(idx, 5, 9999).id == 10000 && row_at(idx, 5, 0).id == 1);
    close(dat);
    close(idx);
}

static void check_stop(int stop, const void *tail, size_t length)
{
    int dat = new_data(3), idx = empty_file();
    append_record(dat, 3, 1, 100);
    uint64_t end = file_size(dat);
    append_bytes(dat, tail, length);
    fv_scan_result result = walk(dat, 3, 1, idx, 5);
    CHECK(result.stopped == stop && result.position == end && result.records == 1);
    close(dat);
    close(idx);
}

void test_scan_stops_where_records_end(void)
{
    uint8_t bytes[64];
    memset(bytes, 0, sizeof bytes);
    check_stop(FV_SCAN_ZEROS, bytes, sizeof bytes);
    check_stop(FV_SCAN_TORN, bytes, 5);
    memset(bytes, 0xFF, sizeof bytes);
    check_stop(FV_SCAN_TORN, bytes, sizeof bytes); /* negative size */
    memset(bytes, 0x11, sizeof bytes);
    check_stop(FV_SCAN_TORN, bytes, sizeof bytes); /* size beyond the end */
}

void test_scan_of_damaged_records(void)
{
    int dat = new_data(3), idx = empty_file();
    append_record(dat, 3, 1, 100);
    uint64_t damaged = append_record(dat, 3, 2, 100);
    append_record(dat, 3, 3, 100);
    uint64_t last = append_record(dat, 3, 4, 100);
    flip_byte(dat, damaged + 30);
    fv_scan_result result = walk(dat, 3, 1, idx, 5);
    CHECK(result.stopped == FV_SCAN_END && result.records == 3);
    CHECK(result.damaged == 1 && result.damaged_offset == damaged);
    CHECK(row_at(idx, 5, 1).id == 3);
    /* Without the payloads only the last one is looked at. */
    CHECK(walk(dat, 3, 0, idx, 5).records == 4);
    flip_byte(dat, last + 30);
    result = walk(dat, 3, 0, idx, 5);
    CHECK(result.stopped == FV_SCAN_BAD_SUM && result.records == 3 && result.position == last);
    result = walk(dat, 3, 1, idx, 5);
    CHECK(result.stopped == FV_SCAN_BAD_SUM && result.records == 2 && result.position == last);
    close(dat);
    close(idx);
}

/* No checksum vouches for a record without payload. */
void test_scan_of_doubtful_tombstones(void)
{
    int dat = new_data(3), idx = empty_file();
    append_record(dat, 3, 1, 100);
    uint64_t tombstones = append_record(dat, 3, 2, 0);
    append_record(dat, 3, 3, 0);
    CHECK(walk(dat, 3, 1, idx, 5).records == 3);
    append_record(dat, 3, 4, 100);
    CHECK(walk(dat, 3, 1, idx, 5).records == 4);
    flip_byte(dat, file_size(dat) - 40);
    fv_scan_result result = walk(dat, 3, 1, idx, 5);
    CHECK(result.stopped == FV_SCAN_TORN && result.records == 1 && result.position == tombstones);
    close(dat);
    close(idx);
}

void test_scan_beyond_four_bytes(void)
{
    int dat = new_data(2), idx = empty_file();
    uint64_t far = UINT64_C(1) << 35;
    CHECK(ftruncate(dat, (off_t)far) == 0);
    append_record(dat, 2, 1, 10);
    fv_scan_result result;
    CHECK(fv_scan_to_index(dat, far, file_size(dat), 2, 1, idx, 0, 4, &result) == 0);
    CHECK(result.stopped == FV_SCAN_TOO_FAR && result.records == 0);
    CHECK(fv_scan_to_index(dat, far, file_size(dat), 2, 1, idx, 0, 5, &result) == 0);
    CHECK(result.stopped == FV_SCAN_END && row_at(idx, 5, 0).offset * 8 == far);
    close(dat);
    close(idx);
}

void test_scan_errors(void)
{
    int dat = new_data(3), full = open("/dev/full", O_RDWR | O_CLOEXEC);
    CHECK(full >= 0);
    append_record(dat, 3, 1, 100);
    fv_scan_result result;
    CHECK(fv_scan_to_index(dat, 8, file_size(dat), 3, 1, full, 0, 5, &result) == -1);
    CHECK(result.sys_errno == ENOSPC);
    CHECK(fv_scan_to_index(-1, 8, 100, 3, 1, full, 0, 5, &result) == 0);
    CHECK(result.stopped == FV_SCAN_IO_ERROR && result.sys_errno == EBADF);
    uint64_t found;
    int sys_errno;
    CHECK(fv_scan_find_record(-1, 8, 100, 3, &found, &sys_errno) == -1 && sys_errno == EBADF);
    fv_index_tail tail;
    CHECK(fv_scan_index_tail(-1, 5, 3, 8, &tail) == -1 && tail.sys_errno == EBADF);
    close(dat);
    close(full);
}

void test_scan_finds_survivors(void)
{
    for (int version = 1; version <= 3; version++)
        for (uint32_t gap = 8; gap <= 2u << 20; gap *= 8) {
            int dat = new_data(version);
            uint64_t found = 0;
            int sys_errno;
            uint64_t want = 8 + gap;
            CHECK(ftruncate(dat, (off_t)want) == 0);
            append_record(dat, version, 5, 0); /* a tombstone is no survivor */
            want = append_record(dat, version, 6, 50);
            uint64_t size = file_size(dat);
            CHECK(fv_scan_find_record(dat, 8, size, version, &found, &sys_errno) == 1);
            CHECK(found == want);
            /* Not whole within the range, or behind it. */
            CHECK(fv_scan_find_record(dat, 8, size - 1, version, &found, &sys_errno) == 0);
            CHECK(fv_scan_find_record(dat, 8, want, version, &found, &sys_errno) == 0);
            CHECK(fv_scan_find_record(dat, want + 8, size, version, &found, &sys_errno) == 0);
            CHECK(fv_scan_find_record(dat, size, 8, version, &found, &sys_errno) == 0);
            flip_byte(dat, want + 30);
            CHECK(fv_scan_find_record(dat, 8, size, version, &found, &sys_errno) == 0);
            close(dat);
        }
}

/* Headers that promise a lot, one behind the other. */
void test_scan_does_not_search_for_ever(void)
{
    static uint8_t fakes[3 << 20];
    for (size_t at = 0; at + 24 <= sizeof fakes; at += 24) {
        uint8_t *p = fakes + at;
        p[11] = 9;                      /* id */
        p[13] = 0x10, p[15] = 0x10;     /* size 1 MiB + 16 */
        p[17] = 0x10;                   /* data size 1 MiB */
        p[20] = 0x77;
    }
    int dat = new_data(3);
    append_bytes(dat, fakes, sizeof fakes);
    uint64_t found = 0;
    int sys_errno;
    CHECK(fv_scan_find_record(dat, 8, file_size(dat), 3, &found, &sys_errno) == 1);
    CHECK(found > 8);
    close(dat);
}

static void put_row(int idx, int width, uint64_t id, uint64_t offset, int32_t size)
{
    uint8_t row[17];
    append_bytes(idx, row, fv_row_encode(row, width, id, offset / 8, size));
}

void test_scan_of_the_index_tail(void)
{
    for (int width = 4; width <= 5; width++) {
        int idx = empty_file();
        fv_index_tail tail;
        CHECK(fv_scan_index_tail(idx, width, 3, 8, &tail) == 0);
        CHECK(tail.rows == 0 && tail.last_offset == 0 && tail.previous_end == 0);
        put_row(idx, width, 9, 0, -1); /* no position */
        put_row(idx, width, 1, 8, 20); /* ends at 64 */
        CHECK(fv_scan_index_tail(idx, width, 3, 64, &tail) == 0);
        CHECK(tail.last_id == 1 && tail.last_offset == 8 && tail.last_row == 1);
        CHECK(tail.previous_end == 0 && tail.beyond == 0);
        put_row(idx, width, 3, 120, -1); /* ends at 152 */
        put_row(idx, width, 2, 64, 20);  /* ends at 120 */
        append_bytes(idx, "partial", 7);
        CHECK(fv_scan_index_tail(idx, width, 3, 152, &tail) == 0);
        CHECK(tail.rows == 4 && tail.last_id == 3 && tail.last_size == -1);
        CHECK(tail.last_offset == 120 && tail.last_row == 2);
        CHECK(tail.previous_end == 120 && tail.beyond == 0);
        CHECK(fv_scan_index_tail(idx, width, 3, 151, &tail) == 0 && tail.beyond == 1);
        CHECK(fv_scan_index_tail(idx, width, 3, 63, &tail) == 0 && tail.beyond == 3);
        close(idx);
    }
}
