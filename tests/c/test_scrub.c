#include "scrub.h"

#include <errno.h>
#include <fcntl.h>

#include "compact_map.h"
#include "records.h"
#include "volume.h"

#define FINDINGS 64

typedef struct {
    int dat, idx, version, width;
} files;

static files new_files(int version, int width)
{
    files f = {new_data(version), empty_file(), version, width};
    return f;
}

static void close_files(files *f)
{
    close(f->dat);
    close(f->idx);
}

static void put_row(files *f, uint64_t id, uint64_t offset, int32_t size)
{
    uint8_t row[17];
    append_bytes(f->idx, row, fv_row_encode(row, f->width, id, offset / 8, size));
}

static uint64_t put(files *f, uint64_t id, uint32_t data_size)
{
    uint64_t offset = append_record(f->dat, f->version, id, data_size);
    uint8_t size[4];
    CHECK(pread(f->dat, size, 4, (off_t)offset + 12) == 4);
    int32_t body = size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
    put_row(f, id, offset, data_size == 0 ? -1 : body);
    return offset;
}

/* All findings, found in steps of `budget` bytes with room for `capacity` of them each. */
static size_t scrub_in_steps(files *f, int read_records, uint64_t budget, size_t capacity,
                             fv_scrub_finding *out, fv_scrub_progress *progress)
{
    fv_scrub_spec spec = {.dat_fd = f->dat, .idx_fd = f->idx, .version = f->version,
                          .offset_width = f->width, .read_records = read_records,
                          .idx_size = file_size(f->idx)};
    fv_scrub *scrub = fv_scrub_new(&spec);
    CHECK(scrub != NULL);
    size_t found = 0, count = 0;
    int more = 1;
    for (uint64_t steps = 0; more == 1; steps++) {
        CHECK(found + capacity <= FINDINGS);
        more = fv_scrub_step(scrub, budget, out + found, capacity, &count);
        CHECK(count <= capacity);
        found += count;
        CHECK(steps < 3 * (file_size(f->dat) + 3 * file_size(f->idx)) + 100);
    }
    CHECK(more == 0);
    CHECK(fv_scrub_step(scrub, budget, out, capacity, &count) == 0 && count == 0);
    fv_scrub_get_progress(scrub, progress);
    fv_scrub_free(scrub);
    return found;
}

static size_t scrub(files *f, fv_scrub_finding *out)
{
    fv_scrub_progress progress;
    return scrub_in_steps(f, 1, 1 << 20, 16, out, &progress);
}

void test_scrub_of_sound_files(void)
{
    fv_scrub_finding out[FINDINGS];
    for (int version = 1; version <= 3; version++)
        for (int width = 4; width <= 5; width++)
            for (uint64_t budget = 1; budget < 1u << 24; budget = budget * 29 + 1) {
                files f = new_files(version, width);
                for (uint64_t id = 1; id <= 40; id++)
                    put(&f, id, id % 7 == 0 ? 0 : (uint32_t)(id * id * 31));
                put_row(&f, 99, 0, -1);
                fv_scrub_progress progress;
                CHECK(scrub_in_steps(&f, 1, budget, 1, out, &progress) == 0);
                CHECK(progress.rows == 41 && progress.rows_read == 41 && progress.findings == 0);
                CHECK(progress.records_bytes == (int64_t)file_size(f.dat) - 8);
                CHECK(scrub_in_steps(&f, 0, budget, 1, out, &progress) == 0);
                CHECK(progress.rows_read == 0 && progress.records_bytes == 0);
                close_files(&f);
            }
}

void test_scrub_of_nothing(void)
{
    fv_scrub_finding out[FINDINGS];
    files f = new_files(3, 5);
    CHECK(scrub(&f, out) == 0);
    append_bytes(f.idx, "less", 4);
    CHECK(scrub(&f, out) == 0);
    close_files(&f);
}

void test_scrub_describes_records(void)
{
    fv_scrub_finding out[FINDINGS];
    fv_scrub_progress progress;
    files f = new_files(3, 5);
    uint64_t bad = put(&f, 1, 100);
    uint64_t other = put(&f, 2, 50);
    uint64_t large = put(&f, 3, 70000);
    uint64_t tombstone = put(&f, 4, 0);
    uint64_t last = put(&f, 5, 300);
    flip_byte(f.dat, bad + 40);
    flip_byte(f.dat, other + 11); /* its id */
    flip_byte(f.dat, large + 69000);
    flip_byte(f.dat, tombstone + 15);
    CHECK(ftruncate(f.dat, (off_t)last + 200) == 0);
    put_row(&f, 6, bad, INT32_MIN);
    for (uint64_t budget = 1; budget < 1u << 24; budget = budget * 97 + 1) {
        CHECK(scrub_in_steps(&f, 1, budget, 2, out, &progress) == 6);
        CHECK(progress.findings == 6);
        CHECK(out[0].kind == FV_SCRUB_UNREADABLE && out[0].code == FV_NEEDLE_BAD_CRC);
        CHECK(out[0].id == 1 && out[0].row == 1 && out[0].fault.computed != out[0].fault.stored);
        CHECK(out[1].kind == FV_SCRUB_WRONG_ID && out[1].id == 2 && out[1].found_id == (2 ^ 0x55));
        CHECK(out[2].code == FV_NEEDLE_BAD_CRC && out[2].id == 3 && out[2].start == (int64_t)large);
        CHECK(out[3].code == FV_NEEDLE_SIZE_MISMATCH && out[3].fault.found_size == 0x55);
        CHECK(out[3].want_size == 0 && out[3].row == 4);
        CHECK(out[4].code == FV_NEEDLE_SHORT && out[4].id == 5);
        CHECK(out[5].code == FV_BAD_NEEDLE && out[5].want_size == INT32_MIN);
    }
    /* Only counted. */
    CHECK(scrub_in_steps(&f, 1, 1000, 0, out, &progress) == 0 && progress.findings == 6);
    close_files(&f);
}

void test_scrub_of_overlaps(void)
{
    fv_scrub_finding out[FINDINGS];
    fv_scrub_progress progress;
    files f = new_files(3, 5);
    uint64_t first = put(&f, 1, 100); /* 8 .. 143 */
    put(&f, 2, 50);
    put_row(&f, 7, 0, -1);
    put_row(&f, 3, first + 8, 10);
    for (uint64_t budget = 1; budget < 1u << 24; budget = budget * 97 + 1) {
        CHECK(scrub_in_steps(&f, 0, budget, 1, out, &progress) == 1);
        CHECK(out[0].kind == FV_SCRUB_OVERLAP && out[0].id == 3 && out[0].row == 4);
        CHECK(out[0].start == 16 && out[0].last == 16 + 40 - 1);
        CHECK(out[0].other_id == 1 && out[0].other_start == 8 && out[0].other_last == 143);
    }
    close_files(&f);
    /* Out of order, and more of them than a block of the index has. */
    f = new_files(2, 4);
    for (uint64_t id = 100000; id > 0; id--)
        put_row(&f, id, id * 24, -1);
    CHECK(scrub_in_steps(&f, 0, 1 << 20, 1, out, &progress) == 0);
    put_row(&f, 1000000, 24 * 77, 0);
    CHECK(scrub_in_steps(&f, 0, 1 << 16, 1, out, &progress) == 1);
    CHECK(out[0].id == 1000000 && out[0].row == 100001 && out[0].other_id == 77);
    close_files(&f);
}

void test_scrub_errors(void)
{
    fv_scrub_finding out[FINDINGS];
    fv_scrub_progress progress;
    size_t count;
    fv_scrub_spec spec = {.dat_fd = -1, .idx_fd = -1, .version = 3, .offset_width = 5,
                          .read_records = 1, .idx_size = 17};
    fv_scrub *scrub = fv_scrub_new(&spec);
    CHECK(fv_scrub_step(scrub, 1000, out, FINDINGS, &count) == -1 && count == 0);
    fv_scrub_get_progress(scrub, &progress);
    CHECK(progress.sys_errno == EBADF);
    fv_scrub_free(scrub);
    /* An index that is cut while it is read. */
    files f = new_files(3, 5);
    put(&f, 1, 10);
    spec.dat_fd = f.dat, spec.idx_fd = f.idx, spec.idx_size = 34;
    scrub = fv_scrub_new(&spec);
    CHECK(fv_scrub_step(scrub, 1000, out, FINDINGS, &count) == -1);
    fv_scrub_free(scrub);
    /* Data that nobody can read. */
    spec.dat_fd = -1, spec.idx_size = 17;
    scrub = fv_scrub_new(&spec);
    CHECK(fv_scrub_step(scrub, 1000, out, FINDINGS, &count) == 0 && count == 1);
    CHECK(out[0].code == FV_IO_ERROR && out[0].sys_errno == EBADF);
    fv_scrub_free(scrub);
    fv_scrub_free(NULL);
    close_files(&f);
}

/* Pages that vanish under the mapping: the record ends early, the process does not. */
void test_scrub_of_data_cut_meanwhile(void)
{
    fv_scrub_finding out[FINDINGS];
    files f = new_files(3, 5);
    for (uint64_t id = 1; id <= 4; id++)
        put(&f, id, 60000);
    fv_scrub_spec spec = {.dat_fd = f.dat, .idx_fd = f.idx, .version = 3, .offset_width = 5,
                          .read_records = 1, .idx_size = file_size(f.idx)};
    fv_scrub *scrub = fv_scrub_new(&spec);
    size_t count, found = 0;
    for (int step = 0; step < 2; step++)
        CHECK(fv_scrub_step(scrub, 100, out, FINDINGS, &count) == 1 && count == 0);
    CHECK(ftruncate(f.dat, 8192) == 0);
    while (fv_scrub_step(scrub, 1000, out + found, FINDINGS - found, &count) == 1)
        found += count;
    found += count;
    CHECK(found == 3);
    for (size_t i = 0; i < found; i++)
        CHECK(out[i].kind == FV_SCRUB_UNREADABLE && out[i].code == FV_NEEDLE_SHORT);
    fv_scrub_free(scrub);
    close_files(&f);
}

void test_scrub_survives_any_bytes(void)
{
    unsigned long long state = 77;
    fv_scrub_finding out[FINDINGS];
    for (int round = 0; round < 300; round++) {
        int version = 1 + round % 3, width = 4 + round % 2;
        files f = new_files(version, width);
        for (uint64_t id = 1; id <= 12; id++)
            put(&f, id, (uint32_t)(next_random(&state) % 400));
        for (int hit = 0; hit < round % 40; hit++) {
            uint8_t byte = (uint8_t)next_random(&state);
            CHECK(pwrite(f.idx, &byte, 1, (off_t)(next_random(&state) % file_size(f.idx))) == 1);
            CHECK(pwrite(f.dat, &byte, 1, (off_t)(next_random(&state) % file_size(f.dat))) == 1);
        }
        fv_scrub_progress one, other;
        CHECK(scrub_in_steps(&f, 1, 1 + next_random(&state) % 5000, 3, out, &one) <= FINDINGS);
        CHECK(scrub_in_steps(&f, 1, 1 << 24, 16, out, &other) <= FINDINGS);
        CHECK(one.findings == other.findings && one.records_bytes == other.records_bytes);
        close_files(&f);
    }
}
