#include "row_check.h"

#include "bytes.h"
#include "file_bytes.h"
#include "index_rows.h"
#include "needle.h"

/* 0 when the row is right. */
static int judge_row(const fv_entry *entry, int dat_fd, int version, uint64_t dat_size,
                     fv_row_finding *finding, fv_rows_progress *progress)
{
    uint8_t header[FV_NEEDLE_HEADER];
    uint64_t offset = entry->offset * 8;
    if (entry->size < -1)
        return FV_ROW_BAD_SIZE;
    if (offset == 0) {
        progress->no_record += entry->size == -1;
        return entry->size == -1 ? 0 : FV_ROW_NO_POSITION;
    }
    if (offset + fv_needle_actual_size(entry->size, version) > dat_size)
        return FV_ROW_BEYOND;
    ssize_t got = fv_read_fully(dat_fd, header, sizeof header, offset);
    if (got < 0)
        return FV_ROW_UNREADABLE;
    if ((size_t)got < sizeof header)
        return FV_ROW_BEYOND;
    finding->found_id = fv_load_be64(header + 4);
    finding->found_size = (int32_t)fv_load_be32(header + 12);
    int32_t size = entry->size < 0 ? 0 : entry->size;
    return finding->found_id == entry->id && finding->found_size == size ? 0 : FV_ROW_MISMATCH;
}

int fv_check_rows(int idx_fd, int offset_width, int dat_fd, int version, uint64_t dat_size,
                  uint64_t rows, fv_row_finding *out, size_t capacity, size_t *count,
                  fv_rows_progress *progress)
{
    fv_row_reader reader;
    fv_entry entry;
    *count = 0;
    int got = fv_row_reader_open(&reader, idx_fd, offset_width);
    reader.offset = progress->row * fv_row_bytes(offset_width);
    uint64_t end = progress->row + rows;
    while (got >= 0 && progress->row < end && (got = fv_row_reader_next(&reader, &entry)) == 1) {
        fv_row_finding finding = {
            .row = progress->row++, .id = entry.id, .offset = entry.offset * 8, .size = entry.size};
        finding.kind = judge_row(&entry, dat_fd, version, dat_size, &finding, progress);
        if (finding.kind == 0)
            continue;
        progress->findings++;
        if (*count < capacity)
            out[(*count)++] = finding;
    }
    fv_row_reader_close(&reader);
    if (got >= 0)
        return got;
    progress->sys_errno = -got;
    return -1;
}
