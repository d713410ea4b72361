#include "row_check.h"

#include "index_rows.h"
#include "records.h"

void test_rows_against_records(void)
{
    int dat = new_data(3), idx = empty_file();
    uint64_t at = append_record(dat, 3, 7, 10);
    const fv_entry entries[] = {
        {7, at / 8, 15}, {8, at / 8, 15}, {7, at / 8, 16}, {7, 1000, 15},
        {7, 0, 15},      {7, 0, -1},      {7, at / 8, -2},
    };
    const int kinds[] = {FV_ROW_MISMATCH, FV_ROW_MISMATCH, FV_ROW_BEYOND, FV_ROW_NO_POSITION,
                         FV_ROW_BAD_SIZE};
    for (size_t i = 0; i < 7; i++) {
        uint8_t row[17];
        append_bytes(idx, row, fv_row_encode(row, 5, entries[i].id, entries[i].offset, entries[i].size));
    }
    append_bytes(idx, "partial", 7);
    fv_row_finding findings[8];
    size_t count, total = 0;
    fv_rows_progress progress = {0};
    int more;
    do {
        more = fv_check_rows(idx, 5, dat, 3, file_size(dat), 2, findings + total, 8 - total, &count,
                             &progress);
        CHECK(more >= 0);
        total += count;
    } while (more);
    CHECK(total == 5 && progress.findings == 5 && progress.no_record == 1 && progress.row == 7);
    for (int i = 0; i < 5; i++)
        CHECK(findings[i].kind == kinds[i]);
    CHECK(findings[0].found_id == 7 && findings[0].found_size == 15 && findings[0].row == 1);
    close(dat);
    close(idx);
}
