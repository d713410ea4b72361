/* A vacuum of what cannot be read, written or addressed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "foreign_map.h"
#include "vacuum_kit.h"

/* ---- what fails ----------------------------------------------------------------------------- */

static int full_device(void)
{
    int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static void check_failure(const source *s, int dat, int idx, int want, int want_errno)
{
    for (int i = 0; i < 2; i++) {
        copy c = begin_into(s, orders[i], dup(dat), dup(idx), FIRST);
        CHECK(copy_all(&c, 100000) == want && c.stat.sys_errno == want_errno);
        end(&c);
    }
}

void test_vacuum_of_files_that_cannot_be_written(void)
{
    for (uint32_t size = 10; size <= LARGE; size += LARGE - 10) {
        source s = fresh(3, 5);
        int full = full_device(), good = empty_file(), sealed = open("/dev/null", O_RDONLY);
        put(&s, 1, size, 1);
        check_failure(&s, full, good, FV_VACUUM_DATA_FAILED, ENOSPC);
        check_failure(&s, good, full, FV_VACUUM_INDEX_FAILED, ENOSPC);
        check_failure(&s, sealed, good, FV_VACUUM_DATA_FAILED, EBADF);
        copy c = begin_into(&s, 0, good, full, FIRST);
        drop(&s, 1);
        CHECK(catch_up(&c, ALL) == FV_VACUUM_INDEX_FAILED && c.stat.sys_errno == ENOSPC);
        end(&c); /* good and full, too */
        close(sealed);
        let_go(&s);
    }
}

/* The limit cuts a write short before it refuses the next one. */
void test_vacuum_of_a_file_that_fills_up(void)
{
    struct rlimit old, small;
    source s = filled(3, 5);
    int good = empty_file(), other = empty_file();
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    static const uint64_t limits[] = {5, FIRST, 40000, 100001};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        small = (struct rlimit){limits[i], old.rlim_max};
        CHECK(ftruncate(good, 0) == 0 && setrlimit(RLIMIT_FSIZE, &small) == 0);
        check_failure(&s, good, other, FV_VACUUM_DATA_FAILED, EFBIG);
        CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
        CHECK(file_size(good) == (limits[i] > FIRST ? limits[i] : 0));
    }
    signal(SIGXFSZ, handler);
    close(good);
    close(other);
    let_go(&s);
}

void test_vacuum_of_an_index_that_cannot_be_read(void)
{
    source s = fresh(3, 5);
    put(&s, 1, 10, 1);
    copy c = begin(&s, 0), blind = begin(&s, 0);
    fv_vacuum_free(blind.vacuum);
    blind.vacuum = fv_vacuum_new(s.volume, -1, blind.dat, blind.idx, FIRST, 0);
    CHECK(copy_all(&c, ALL) == FV_VACUUM_DONE);
    put(&s, 2, 10, 1);
    CHECK(catch_up(&blind, ALL) == FV_VACUUM_SOURCE_FAILED && blind.stat.sys_errno == EBADF);
    CHECK(ftruncate(s.idx, 20) == 0); /* shorter than the volume knows */
    CHECK(catch_up(&c, ALL) == FV_VACUUM_SOURCE_FAILED && c.stat.sys_errno == 0);
    end(&c);
    end(&blind);
    let_go(&s);
}

static int no_find(void *self, uint64_t id, fv_entry *out)
{
    (void)self, (void)id, (void)out;
    return 0;
}

static int no_set(void *self, uint64_t id, uint64_t offset, int32_t size)
{
    (void)self, (void)id, (void)offset, (void)size;
    return 0;
}

static int no_remove(void *self, uint64_t id)
{
    (void)self, (void)id;
    return 0;
}

static int64_t failing_scan(void *self, uint64_t first, fv_entry *out, size_t capacity)
{
    (void)self, (void)first, (void)out, (void)capacity;
    return -EUCLEAN;
}

static void no_free(void *self)
{
    (void)self;
}

/* "Nothing is alive" would be the end of everything. */
void test_vacuum_of_a_map_that_cannot_be_read(void)
{
    static const fv_foreign_calls calls = {no_find, no_set, no_remove, failing_scan, no_free};
    for (int i = 0; i < 2; i++) {
        source s = open_source(3, 5, new_data(3), empty_file(),
                               fv_map_new_foreign(&calls, NULL, 0, 0));
        copy c = begin(&s, orders[i]);
        CHECK(copy_all(&c, ALL) == FV_VACUUM_SOURCE_FAILED && c.stat.sys_errno == EUCLEAN);
        end(&c);
        let_go(&s);
    }
}

/* ---- damage --------------------------------------------------------------------------------- */

static uint64_t offset_of(const source *s, uint64_t id)
{
    fv_entry entry;
    CHECK(fv_map_get(fv_volume_map(s->volume), id, &entry) == 1);
    return entry.offset * 8;
}

void test_vacuum_of_damaged_records(void)
{
    for (int i = 0; i < 2; i++) {
        source s = fresh(3, 5);
        for (uint64_t id = 1; id <= 6; id++)
            put(&s, id, id == 4 ? LARGE : 100, 1);
        put(&s, 7, 0, 1);
        flip_byte(s.dat, offset_of(&s, 2) + 50);   /* a payload: carried over as it is */
        flip_byte(s.dat, offset_of(&s, 3) + 15);   /* a size: no way to tell what this is */
        flip_byte(s.dat, offset_of(&s, 4) + 1000); /* a payload that is not buffered */
        flip_byte(s.dat, offset_of(&s, 5) + 16);   /* the size of a payload */
        CHECK(ftruncate(s.dat, (off_t)offset_of(&s, 7) + 31) == 0);
        copy c = begin(&s, orders[i]);
        CHECK(copy_all(&c, ALL) == FV_VACUUM_DONE && c.stat.records == 5);
        CHECK(c.stat.carried == 3 && c.stat.unreadable == 2 && c.stat.damage_count == 5);
        for (uint64_t at = 0; at < 5; at++) {
            static const uint64_t ids[] = {2, 3, 4, 5, 7};
            const fv_vacuum_damage *damage = &c.stat.damage[at];
            CHECK(damage->id == ids[at] && damage->offset == offset_of(&s, ids[at]));
            CHECK(damage->dropped == (ids[at] == 3 || ids[at] == 7));
            CHECK(damage->size == (ids[at] == 7 ? 0 : ids[at] == 4 ? (int)LARGE + 5 : 105));
        }
        check_rows(&c, &s);
        uint8_t was[200], is[200];
        CHECK(pread(s.dat, was, 136, (off_t)offset_of(&s, 2)) == 136);
        CHECK(pread(c.dat, is, 136, (off_t)row_at(&c, 5, 1).offset * 8) == 136);
        CHECK(memcmp(was, is, 136) == 0);
        end(&c);
        let_go(&s);
    }
}

void test_vacuum_lists_the_first_damage_only(void)
{
    for (int i = 0; i < 2; i++) {
        source s = fresh(3, 4);
        for (uint64_t id = 1; id <= 3 * FV_VACUUM_DAMAGE_LISTED; id++) {
            put(&s, id, 100, 1);
            flip_byte(s.dat, offset_of(&s, id) + (id % 2 == 0 ? 30 : 13));
        }
        copy c = begin(&s, orders[i]);
        CHECK(copy_all(&c, 5000) == FV_VACUUM_DONE);
        CHECK(c.stat.damage_count == FV_VACUUM_DAMAGE_LISTED);
        CHECK(c.stat.carried == c.stat.records && c.stat.carried + c.stat.unreadable == 3 * 64);
        check_rows(&c, &s);
        end(&c);
        let_go(&s);
    }
}

/* What was acknowledged a moment ago is not dropped: the old files stay. */
void test_vacuum_does_not_replay_around_damage(void)
{
    for (int harm = 0; harm < 2; harm++) {
        source s = fresh(3, 5);
        put(&s, 1, 100, 1);
        copy c = begin(&s, 0);
        CHECK(copy_all(&c, ALL) == FV_VACUUM_DONE);
        put(&s, 2, 100, 1);
        if (harm == 0)
            flip_byte(s.dat, offset_of(&s, 2) + 15);
        else
            CHECK(ftruncate(s.dat, (off_t)offset_of(&s, 2) + 50) == 0);
        CHECK(catch_up(&c, ALL) == FV_VACUUM_SOURCE_FAILED && c.stat.sys_errno == EIO);
        end(&c);
        let_go(&s);
    }
}

/* ---- both widths of offsets ----------------------------------------------------------------- */

void test_vacuum_does_not_exceed_its_offsets(void)
{
    for (int i = 0; i < 2; i++) {
        source s = fresh(3, 4);
        put(&s, 1, 0, 1);
        put(&s, 2, 0, 1);
        copy c = begin_into(&s, orders[i], empty_file(), empty_file(), WRAP - 32);
        CHECK(copy_all(&c, ALL) == FV_VACUUM_TOO_LARGE && c.stat.records == 1);
        end(&c);
        let_go(&s);
        s = fresh(3, 5);
        put(&s, 1, 0, 1);
        put(&s, 2, 10, 1);
        c = begin_into(&s, orders[i], empty_file(), empty_file(), WRAP - 32);
        CHECK(copy_all(&c, ALL) == FV_VACUUM_DONE && c.stat.records == 2);
        CHECK(row_at(&c, 5, 1).id == 2 && row_at(&c, 5, 1).offset == WRAP / 8);
        end(&c);
        let_go(&s);
    }
}

/* A 4-byte server let offsets wrap; a 5-byte one had no need to. */
void test_vacuum_of_records_far_behind(void)
{
    for (int width = 4; width <= 5; width++)
        for (int i = 0; i < 2; i++) {
            int dat = new_data(3), idx = empty_file();
            uint8_t row[FV_ROW_MAX];
            append_record(dat, 3, 1, 50);
            CHECK(ftruncate(dat, (off_t)WRAP + 800) == 0);
            uint64_t far = append_record(dat, 3, 2, 60);
            append_bytes(idx, row, fv_row_encode(row, width, 1, 1, 55));
            uint64_t named = (width == 4 ? far - WRAP : far) / 8;
            append_bytes(idx, row, fv_row_encode(row, width, 2, named, 65));
            append_bytes(idx, row, fv_row_encode(row, width, 3, 90, 65)); /* leads nowhere */
            source s = open_source(3, width, dat, idx, NULL);
            copy c = begin(&s, orders[i]);
            CHECK(copy_all(&c, ALL) == FV_VACUUM_DONE && c.stat.records == 2);
            CHECK(c.stat.unreadable == 1 && c.stat.damage[0].id == 3);
            CHECK(c.stat.source_offset == far);
            check_rows(&c, &s);
            check_answers(&c, &s);
            end(&c);
            let_go(&s);
        }
}
