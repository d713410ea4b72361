#include "scan.h"

#include "bytes.h"
#include "compact_map.h"
#include "file_bytes.h"
#include "walk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SEARCH_STEP (1u << 20)
/* find_record reads candidates up to so many times the range, plus some. */
#define CANDIDATE_FACTOR 4
#define CANDIDATE_BYTES_MIN (64ull << 20)

static int walk_records(fv_walk *w, fv_row_writer *writer, uint64_t from, int verify)
{
    uint64_t position = from;
    uint64_t id = 0, length = 0;
    int32_t size = 0;
    uint64_t confirmed = from; /* records without payload before this are what they seem */
    uint64_t ignored;
    while (fv_walk_header(w, position, &id, &size, &length)) {
        int last = position + length >= w->to;
        if (position >= fv_offset_limit(writer->offset_width)) {
            w->out->stopped = FV_SCAN_TOO_FAR;
            break;
        }
        if (verify && size == 0 && position >= confirmed &&
            !fv_walk_leads_on(w, position, 1, &confirmed)) {
            w->out->stopped = FV_SCAN_TORN;
            break;
        }
        if ((verify || last) && !fv_walk_check(w, position, size)) {
            if (last || w->out->stopped == FV_SCAN_IO_ERROR ||
                !fv_walk_leads_on(w, position + length, 0, &ignored))
                break;
            w->out->damaged++;
            w->out->damaged_offset = position;
            position += length;
            continue;
        }
        if (fv_rows_put(writer, id, position, size > 0 ? size : -1) != 0)
            return -1;
        w->out->records++;
        position += length;
        w->out->position = position;
    }
    return 0;
}

/* ---- looking for survivors ------------------------------------------------------------------- */

typedef struct {
    fv_walk w;
    uint64_t budget;
    uint64_t found;
} search;

/* 1 found, 0 go on, -1 error. */
static int try_candidate(search *s, uint64_t position, int32_t size)
{
    uint64_t length = fv_needle_actual_size(size, s->w.version);
    s->found = position;
    if (length > s->budget)
        return 1;
    s->budget -= length;
    s->w.out->stopped = FV_SCAN_END;
    if (fv_walk_check(&s->w, position, size))
        return 1;
    return s->w.out->stopped == FV_SCAN_IO_ERROR ? -1 : 0;
}

static int search_block(search *s, const uint8_t *block, size_t got, uint64_t base)
{
    for (size_t at = 0; at < SEARCH_STEP && at + FV_NEEDLE_PREFIX <= got; at += 8) {
        uint64_t position = base + at;
        if (position >= s->w.to)
            return 0;
        if (!fv_could_be_record(block + at, s->w.version, s->w.to - position))
            continue;
        int result = try_candidate(s, position, (int32_t)fv_load_be32(block + at + 12));
        if (result != 0)
            return result;
    }
    return 0;
}

int fv_scan_find_record(int dat_fd, uint64_t from, uint64_t to, int version, uint64_t *found,
                        int *sys_errno)
{
    fv_scan_result result;
    memset(&result, 0, sizeof result);
    *sys_errno = ENOMEM;
    uint8_t *block = malloc(SEARCH_STEP + FV_NEEDLE_PREFIX);
    if (block == NULL)
        return -1;
    search s = {.w = {.fd = dat_fd, .version = version, .to = to, .out = &result}};
    s.budget = CANDIDATE_BYTES_MIN + (to > from ? (to - from) * CANDIDATE_FACTOR : 0);
    int code = 0;
    for (uint64_t base = (from + 7) & ~(uint64_t)7; code == 0 && base < to; base += SEARCH_STEP) {
        ssize_t got = fv_read_fully(dat_fd, block, SEARCH_STEP + FV_NEEDLE_PREFIX, base);
        if (got < 0) {
            result.sys_errno = errno;
            code = -1;
            break;
        }
        code = search_block(&s, block, (size_t)got, base);
    }
    *found = s.found;
    *sys_errno = result.sys_errno;
    free(block);
    free(s.w.buffer);
    return code;
}

int fv_scan_to_index(int dat_fd, uint64_t from, uint64_t to, int version, int verify, int idx_fd,
                     uint64_t idx_offset, int offset_width, fv_scan_result *out)
{
    assert(version >= 1 && version <= 3);
    assert(from % 8 == 0);
    memset(out, 0, sizeof *out);
    out->position = from;
    fv_row_writer *writer = malloc(sizeof *writer);
    if (writer == NULL) {
        out->sys_errno = ENOMEM;
        return -1;
    }
    writer->fd = idx_fd;
    writer->offset_width = offset_width;
    writer->offset = idx_offset;
    writer->length = 0;
    fv_walk w = {.fd = dat_fd, .version = version, .to = to, .out = out};
    int result = walk_records(&w, writer, from, verify);
    if (result == 0)
        result = fv_rows_flush(writer);
    if (result != 0)
        out->sys_errno = errno;
    out->rows_bytes = writer->offset - idx_offset;
    free(w.buffer);
    free(writer);
    return result;
}

/* ---- rows ------------------------------------------------------------------------------------ */

int fv_scan_index_tail(int idx_fd, int offset_width, int version, uint64_t dat_size,
                       fv_index_tail *out)
{
    fv_tail_search search;
    fv_row_reader reader;
    fv_entry entry;
    fv_tail_begin(&search, version, dat_size, out);
    int result = fv_row_reader_open(&reader, idx_fd, offset_width);
    while (result == 0 && (result = fv_row_reader_next(&reader, &entry)) == 1) {
        fv_tail_consider(&search, &entry);
        result = 0;
    }
    fv_row_reader_close(&reader);
    if (result < 0) {
        out->sys_errno = -result;
        return -1;
    }
    fv_tail_finish(&search);
    return 0;
}
