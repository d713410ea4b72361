#include <pthread.h>
#include <time.h>

#include "vacuum_kit.h"

/* ---- what is kept --------------------------------------------------------------------------- */

static void check_order(const copy *c, const source *s, int order)
{
    fv_entry last = {0, 0, 0}, row, old;
    uint64_t count = row_count(c, s->width);
    for (uint64_t i = 0; i < count; i++, last = old) {
        row = row_at(c, s->width, i);
        CHECK(fv_map_get(fv_volume_map(s->volume), row.id, &old) == 1);
        CHECK(old.size >= 0 && old.size == row.size);
        CHECK(i == 0 || (order == FV_VACUUM_BY_KEY ? old.id > last.id : old.offset > last.offset));
    }
}

void test_vacuum_keeps_what_is_alive(void)
{
    for (int version = 1; version <= 3; version++)
        for (int width = 4; width <= 5; width++) {
            source s = filled(version, width);
            for (int i = 0; i < 2; i++)
                for (uint64_t step = 700; step <= ALL; step *= ALL / 700) {
                    copy c = begin(&s, orders[i]);
                    CHECK(copy_all(&c, step) == FV_VACUUM_DONE);
                    CHECK(c.stat.records == MANY - 357 + 2);
                    CHECK(c.stat.expired == 0 && c.stat.damage_count == 0 && c.stat.behind == 0);
                    CHECK(row_count(&c, width) == c.stat.records);
                    check_rows(&c, &s);
                    check_order(&c, &s, orders[i]);
                    check_answers(&c, &s);
                    CHECK(catch_up(&c, step) == FV_VACUUM_DONE);
                    CHECK(c.stat.records == row_count(&c, width));
                    end(&c);
                }
            let_go(&s);
        }
}

void test_vacuum_of_nothing(void)
{
    for (int i = 0; i < 2; i++) {
        source s = fresh(3, 5);
        copy c = begin(&s, orders[i]);
        CHECK(copy_all(&c, 1) == FV_VACUUM_DONE && catch_up(&c, 1) == FV_VACUUM_DONE);
        CHECK(c.stat.dat_size == FIRST && c.stat.idx_size == 0 && c.stat.records == 0);
        end(&c);
        put(&s, 1, 10, 1);
        drop(&s, 1);
        c = begin(&s, orders[i]);
        CHECK(copy_all(&c, 1) == FV_VACUUM_DONE && catch_up(&c, 1) == FV_VACUUM_DONE);
        CHECK(c.stat.dat_size == FIRST && file_size(c.idx) == 0);
        end(&c);
        let_go(&s);
    }
}

/* ---- expiry --------------------------------------------------------------------------------- */

static void append_with_ttl(int dat, int idx, uint64_t id, uint8_t flags, const uint8_t ttl[2],
                            uint64_t append_at_ns)
{
    uint8_t prefix[FV_NEEDLE_PREFIX], row[FV_ROW_MAX];
    static uint8_t suffix[FV_NEEDLE_META_MAX];
    fv_needle needle = needle_of(id, 20, 1);
    needle.flags = flags;
    needle.ttl[0] = ttl[0];
    needle.ttl[1] = ttl[1];
    needle.append_at_ns = append_at_ns;
    needle.size = (int32_t)fv_needle_body_size(&needle, 3);
    append_bytes(idx, row, fv_row_encode(row, 5, id, file_size(dat) / 8, needle.size));
    append_bytes(dat, prefix, fv_needle_build_prefix(&needle, 3, prefix));
    append_bytes(dat, needle.data, needle.data_size);
    append_bytes(dat, suffix, fv_needle_build_suffix(&needle, 3, suffix));
}

#define DATED (FV_NEEDLE_HAS_TTL | FV_NEEDLE_HAS_LAST_MODIFIED)

void test_vacuum_drops_what_has_expired(void)
{
    static const struct {
        uint8_t flags;
        uint8_t ttl[2];
        uint64_t age_seconds;
        int kept;
    } cases[] = {
        {DATED, {3, 1}, 179, 1},
        {DATED, {3, 1}, 181, 0},
        {DATED, {2, 2}, 7100, 1},
        {DATED, {2, 2}, 7300, 0},
        {DATED, {255, 6}, 200ull * 365 * 86400 / 4, 1},
        {DATED, {0, 1}, 1000, 1},             /* no TTL at all */
        {DATED, {3, 7}, 1000, 1},             /* nor this */
        {FV_NEEDLE_HAS_TTL, {3, 1}, 1000, 1}, /* nobody knows its age */
        {FV_NEEDLE_HAS_LAST_MODIFIED, {3, 1}, 1000, 1},
    };
    size_t count = sizeof cases / sizeof cases[0];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < 2; i++) {
        int dat = new_data(3), idx = empty_file();
        for (size_t at = 0; at < count; at++)
            append_with_ttl(dat, idx, at + 1, cases[at].flags, cases[at].ttl,
                            ((uint64_t)now.tv_sec - cases[at].age_seconds) * 1000000000u);
        source s = open_source(3, 5, dat, idx, NULL);
        copy c = begin(&s, orders[i]);
        CHECK(copy_all(&c, ALL) == FV_VACUUM_DONE && c.stat.expired == 2);
        uint64_t rows = 0;
        for (size_t at = 0; at < count; at++)
            CHECK(!cases[at].kept || row_at(&c, 5, rows++).id == at + 1);
        CHECK(rows == row_count(&c, 5) && rows == c.stat.records);
        check_rows(&c, &s);
        end(&c);
        let_go(&s);
    }
}

/* Without a replayed one, the version before it would be valid again.  Records of version 2 have no
 * append time, so those with a TTL are expired at once. */
void test_vacuum_replays_what_has_expired(void)
{
    for (int i = 0; i < 2; i++) {
        source s = fresh(2, 5);
        put(&s, 1, 10, 1);
        copy c = begin(&s, orders[i]);
        CHECK(copy_all(&c, ALL) == FV_VACUUM_DONE && c.stat.records == 1);
        fv_needle needle = needle_of(1, 30, 2);
        fv_write_result out;
        needle.flags = DATED;
        needle.ttl[0] = needle.ttl[1] = 1;
        CHECK(fv_volume_write(s.volume, &needle, 1, 0, &out) == FV_OK);
        CHECK(catch_up(&c, ALL) == FV_VACUUM_DONE && c.stat.records == 2 && c.stat.expired == 0);
        CHECK(row_at(&c, 5, 1).id == 1 && row_at(&c, 5, 1).size == out.size);
        check_rows(&c, &s);
        end(&c);
        c = begin(&s, orders[i]);
        CHECK(copy_all(&c, ALL) == FV_VACUUM_DONE && c.stat.records == 0 && c.stat.expired == 1);
        end(&c);
        let_go(&s);
    }
}

/* ---- catching up ---------------------------------------------------------------------------- */

/* Of every thousand ids some change in each way there is. */
static void change(const source *s, uint8_t filling)
{
    for (uint64_t base = 0; base < MANY; base += 1000) {
        put(s, base + 1, 40, filling);
        put(s, base + 2, 0, filling);
        drop(s, base + 3);
        drop(s, base + 4);
        put(s, base + 4, 50, filling);
        put(s, base + 6, 60, filling);
        drop(s, base + 6);
        drop(s, base + 9);
        put(s, base + 8, LARGE, filling);
    }
    bury(s, MANY + 80 + filling);
    bury(s, 5);
    put(s, MANY + filling, 70, filling);
    put(s, MANY + 50 + filling, 0, filling);
    drop(s, MANY + 49 + filling);
    drop(s, UINT64_MAX);
}

void test_vacuum_catches_up(void)
{
    for (int version = 1; version <= 3; version++)
        for (int width = 4; width <= 5; width++)
            for (int i = 0; i < 2; i++) {
                source s = filled(version, width);
                uint64_t rows_before = file_size(s.idx) / (12u + (unsigned)width);
                copy c = begin(&s, orders[i]);
                change(&s, 10); /* begun, but nothing was looked at yet */
                CHECK(fv_vacuum_copy(c.vacuum, 20000) == FV_VACUUM_MORE);
                change(&s, 11);
                CHECK(copy_all(&c, 20000) == FV_VACUUM_DONE && c.stat.behind > 0);
                uint64_t copied = c.stat.records;
                CHECK(fv_vacuum_catch_up(c.vacuum, 1) >= 0);
                change(&s, 12);
                CHECK(catch_up(&c, 5000) == FV_VACUUM_DONE && c.stat.behind == 0);
                change(&s, 13);
                for (uint64_t id = 1; id <= 600; id++) /* more rows than are read at a time */
                    drop(&s, id);
                fv_volume_pause(s.volume);
                CHECK(catch_up(&c, 1) == FV_VACUUM_DONE && c.stat.behind == 0);
                CHECK(catch_up(&c, 1) == FV_VACUUM_DONE && c.stat.damage_count == 0);
                fv_volume_resume(s.volume);
                CHECK(c.stat.records - copied ==
                      file_size(s.idx) / (12u + (unsigned)width) - rows_before);
                check_rows(&c, &s);
                check_answers(&c, &s);
                end(&c);
                let_go(&s);
            }
}

static void *write_and_delete(void *argument)
{
    const source *s = argument;
    unsigned long long seed = 5;
    for (int i = 0; i < 4000; i++) {
        uint64_t id = 1 + next_random(&seed) % MANY;
        if (i % 3 == 0)
            drop(s, id);
        else
            put(s, id, (uint32_t)(next_random(&seed) % 90), (uint8_t)i);
    }
    return NULL;
}

void test_vacuum_beside_a_writer(void)
{
    for (int i = 0; i < 2; i++) {
        source s = filled(3, 5);
        pthread_t writer;
        copy c = begin(&s, orders[i]);
        CHECK(pthread_create(&writer, NULL, write_and_delete, &s) == 0);
        CHECK(copy_all(&c, 3000) == FV_VACUUM_DONE);
        for (int round = 0; round < 20; round++)
            CHECK(fv_vacuum_catch_up(c.vacuum, 3000) >= 0);
        fv_volume_pause(s.volume);
        CHECK(catch_up(&c, 3000) == FV_VACUUM_DONE && c.stat.behind == 0);
        check_rows(&c, &s);
        check_answers(&c, &s);
        fv_volume_resume(s.volume);
        CHECK(pthread_join(writer, NULL) == 0);
        CHECK(catch_up(&c, ALL) == FV_VACUUM_DONE);
        check_answers(&c, &s);
        end(&c);
        let_go(&s);
    }
}

/* ---- stopping ------------------------------------------------------------------------------- */

void test_vacuum_may_be_left(void)
{
    fv_vacuum_free(NULL);
    for (int i = 0; i < 2; i++) {
        source s = filled(3, 5);
        fv_volume_stat before, after;
        fv_volume_get_stat(s.volume, &before);
        for (int steps = 0; steps < 4; steps++) {
            copy c = begin(&s, orders[i]);
            for (int step = 0; step < steps; step++)
                CHECK(fv_vacuum_copy(c.vacuum, 4000) == FV_VACUUM_MORE);
            end(&c);
        }
        fv_volume_get_stat(s.volume, &after);
        CHECK(after.dat_size == before.dat_size && after.idx_size == before.idx_size);
        CHECK(memcmp(&after.counters, &before.counters, sizeof after.counters) == 0);
        put(&s, 1, 20, 9);
        /* The volume may be given up first. */
        copy c = begin(&s, orders[i]);
        let_go(&s);
        CHECK(copy_all(&c, 10000) == FV_VACUUM_DONE && c.stat.records > MANY / 2);
        CHECK(catch_up(&c, 1) == FV_VACUUM_DONE);
        end(&c);
    }
}
