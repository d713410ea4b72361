#include "survey.h"

#include "last_rows.h"

#include <errno.h>

#include "records.h"

#define EXTENTS 64

typedef struct {
    fv_survey_stat stat;
    fv_extent extents[EXTENTS];
    size_t count;
} surveyed;

/* In steps as small as they can be. */
static surveyed survey_all(int dat, int version, fv_map *map, int idx)
{
    surveyed all = {.count = 0};
    fv_survey_spec spec = {.dat_fd = dat, .version = version, .from = 8, .to = file_size(dat),
                           .map = map, .idx_fd = idx, .offset_width = 5, .report = ~0u};
    fv_survey *survey = fv_survey_new(&spec);
    CHECK(survey != NULL);
    int result = FV_SURVEY_MORE;
    while (result == FV_SURVEY_MORE) {
        size_t count;
        result = fv_survey_step(survey, 1, all.extents + all.count, 1, &count);
        CHECK(count <= 1);
        all.count += count;
        CHECK(all.count < EXTENTS);
    }
    CHECK(result == FV_SURVEY_DONE);
    fv_survey_get_stat(survey, &all.stat);
    fv_survey_free(survey);
    uint64_t position = 8;
    for (size_t i = 0; i < all.count; i++) {
        CHECK(all.extents[i].offset == position && all.extents[i].length > 0);
        position += all.extents[i].length;
    }
    CHECK(position == file_size(dat) && all.stat.position == position);
    return all;
}

static fv_map *map_with(uint64_t id, uint64_t offset, int32_t size)
{
    fv_entry old;
    fv_map *map = fv_map_new();
    CHECK(map != NULL && fv_map_set(map, id, offset / 8, size, &old) == 0);
    return map;
}

void test_survey_names_every_record(void)
{
    int dat = new_data(3);
    append_record(dat, 3, 1, 10);
    uint64_t current = append_record(dat, 3, 1, 20);
    append_record(dat, 3, 2, 30);
    append_record(dat, 3, 1, 0);
    fv_map *map = map_with(1, current, 25);
    surveyed all = survey_all(dat, 3, map, -1);
    const int kinds[] = {FV_EXTENT_OLD, FV_EXTENT_LIVE, FV_EXTENT_UNINDEXED, FV_EXTENT_UNINDEXED};
    CHECK(all.count == 4);
    for (int i = 0; i < 4; i++)
        CHECK(all.extents[i].kind == kinds[i] && all.extents[i].live == (i == 1));
    fv_map_free(map);
    map = map_with(1, current, -25);
    all = survey_all(dat, 3, map, -1);
    CHECK(all.extents[1].kind == FV_EXTENT_DELETED && all.extents[3].kind == FV_EXTENT_TOMBSTONE);
    fv_map_free(map);
    close(dat);
}

/* One byte anywhere is changed: what does not touch it is still found. */
void test_survey_of_damage_everywhere(void)
{
    for (int version = 2; version <= 3; version++) {
        int dat = new_data(version);
        uint64_t starts[8];
        for (uint64_t i = 0; i < 7; i++)
            starts[i] = append_record(dat, version, i + 1, i == 3 ? 0 : 8 + (uint32_t)i * 5);
        starts[7] = file_size(dat);
        for (uint64_t at = 8; at < starts[7]; at++) {
            flip_byte(dat, at);
            surveyed all = survey_all(dat, version, NULL, -1);
            for (int i = 0; i < 7; i++) {
                /* A record without payload is only as good as the one behind it. */
                if (i == 3 || (at >= starts[i] && at < starts[i + 1]))
                    continue;
                int found = 0;
                for (size_t k = 0; k < all.count; k++)
                    found |= all.extents[k].offset == starts[i] &&
                             all.extents[k].kind == FV_EXTENT_UNINDEXED;
                CHECK(found);
            }
            flip_byte(dat, at);
        }
        close(dat);
    }
}

void test_survey_writes_rows(void)
{
    int dat = new_data(3), idx = empty_file();
    append_record(dat, 3, 7, 10);
    uint64_t last = append_record(dat, 3, 7, 11);
    append_record(dat, 3, 8, 12);
    uint64_t tombstone = append_record(dat, 3, 8, 0);
    append_record(dat, 3, 9, 1);
    surveyed all = survey_all(dat, 3, NULL, idx);
    CHECK(all.stat.rows == 5 && file_size(idx) == 5 * 17);
    uint64_t rows;
    CHECK(fv_index_keep_last(idx, 5, 1, &rows) == 0 && rows == 4 && file_size(idx) == 4 * 17);
    uint8_t row[17];
    fv_entry entry;
    CHECK(pread(idx, row, 17, 0) == 17);
    fv_row_decode(row, 5, &entry);
    CHECK(entry.id == 7 && entry.offset * 8 == last && entry.size == 16);
    CHECK(pread(idx, row, 17, 2 * 17) == 17);
    fv_row_decode(row, 5, &entry);
    CHECK(entry.id == 8 && entry.offset * 8 == tombstone && entry.size == -1);
    CHECK(fv_index_keep_last(idx, 5, 0, &rows) == 0 && rows == 2);
    CHECK(fv_index_keep_last(-1, 5, 0, &rows) == -EBADF);
    close(dat);
    close(idx);
}
