#include "visit.h"

#include "bytes.h"
#include "index_rows.h"
#include "compact_map.h"
#include "crc32c.h"
#include "file_bytes.h"
#include "scan.h"
#include "volume.h"
#include "window.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define ROWS_BLOCK 4096u
#define CHECKSUM_BYTES 4u
#define TIMED_VERSION 3

/* ---- records --------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *record;
    int version;
    unsigned mode;
    fv_record *out;
} describe_work;

static uint32_t place_in(const uint8_t *record, const uint8_t *field)
{
    return field == NULL ? 0 : (uint32_t)(field - record);
}

static void describe_guarded(void *arg)
{
    describe_work *work = arg;
    fv_record *out = work->out;
    fv_needle needle;
    fv_fault fault;
    out->fault = fv_needle_parse(work->record, out->length, out->size, work->version,
                                 (work->mode & FV_VISIT_CHECK) != 0, &needle, &fault);
    out->flags = needle.flags;
    memcpy(out->ttl, needle.ttl, sizeof out->ttl);
    out->checksum = needle.checksum;
    out->data_size = needle.data_size;
    out->name_size = needle.name_size;
    out->mime_size = needle.mime_size;
    out->pairs_size = needle.pairs_size;
    out->data_at = place_in(work->record, needle.data);
    out->name_at = place_in(work->record, needle.name);
    out->mime_at = place_in(work->record, needle.mime);
    out->pairs_at = place_in(work->record, needle.pairs);
    out->last_modified = needle.last_modified;
    /* Its place does not depend on a body that makes no sense. */
    if (work->version == TIMED_VERSION)
        out->append_at_ns = fv_load_be64(work->record + FV_NEEDLE_HEADER + (uint32_t)out->size +
                                         CHECKSUM_BYTES);
}

typedef struct {
    const uint8_t *at;
    fv_needle needle;
} header_work;

static void header_guarded(void *arg)
{
    header_work *work = arg;
    fv_needle_parse_header(work->at, &work->needle);
}

typedef struct {
    fv_window window;
    uint64_t to;
    int version;
    unsigned mode;
    fv_visit_result *result;
} visit;

enum { STOPPED, RECORD, ZEROS };

static int stop(visit *v, int why)
{
    v->result->stopped = why;
    if (why == FV_SCAN_IO_ERROR)
        v->result->sys_errno = errno;
    return STOPPED;
}

/* What a range that cannot be had means for the visit. */
static int stop_for(visit *v, int code)
{
    return stop(v, code == FV_NEEDLE_SHORT ? FV_SCAN_TORN : FV_SCAN_IO_ERROR);
}

static int take_header(visit *v, fv_record *out)
{
    uint64_t at = v->result->position;
    header_work work = {0};
    if (at >= v->to)
        return stop(v, FV_SCAN_END);
    if (v->to - at < FV_NEEDLE_HEADER)
        return stop(v, FV_SCAN_TORN);
    int found =
        fv_window_run(&v->window, at, FV_NEEDLE_HEADER, &work.at, header_guarded, &work);
    if (found != FV_OK)
        return stop_for(v, found);
    int32_t size = work.needle.size;
    uint64_t length = size < 0 ? 0 : fv_needle_actual_size(size, v->version);
    int zeros = work.needle.id == 0 && size == 0;
    if (zeros && (v->mode & FV_VISIT_PASS_ZEROS) == 0)
        return stop(v, FV_SCAN_ZEROS);
    if (size < 0 || length > v->to - at)
        return stop(v, zeros ? FV_SCAN_ZEROS : FV_SCAN_TORN);
    memset(out, 0, sizeof *out);
    out->offset = at;
    out->length = length;
    out->id = work.needle.id;
    out->cookie = work.needle.cookie;
    out->size = size;
    return zeros ? ZEROS : RECORD;
}

static int describe(visit *v, fv_record *out)
{
    describe_work work = {.version = v->version, .mode = v->mode, .out = out};
    if (v->mode & FV_VISIT_CHECK)
        fv_window_read_ahead(&v->window, out->offset);
    int found = fv_window_run(&v->window, out->offset, out->length, &work.record, describe_guarded,
                              &work);
    return found == FV_OK ? 1 : stop_for(v, found);
}

static uint64_t cost_of(const visit *v, const fv_record *record)
{
    return v->mode & FV_VISIT_CHECK ? record->length : FV_NEEDLE_HEADER;
}

void fv_visit_records(int dat_fd, uint64_t from, uint64_t to, int version, unsigned mode,
                      uint64_t budget, fv_record *out, size_t capacity, fv_visit_result *result)
{
    assert(version >= 1 && version <= 3);
    assert(capacity > 0);
    memset(result, 0, sizeof *result);
    result->position = from;
    visit v = {.to = to, .version = version, .mode = mode, .result = result};
    int opened = fv_window_open(&v.window, dat_fd);
    if (opened != 0) {
        errno = -opened;
        stop(&v, FV_SCAN_IO_ERROR);
        return;
    }
    for (uint64_t spent = 0;;) {
        fv_record *record = out + result->count;
        if (result->count == capacity || (result->position > from && spent >= budget)) {
            result->stopped = FV_VISIT_MORE;
            break;
        }
        int taken = take_header(&v, record);
        if (taken == STOPPED)
            break;
        int described = taken == RECORD && (mode & (FV_VISIT_FIELDS | FV_VISIT_CHECK)) != 0;
        if (described && !describe(&v, record))
            break;
        spent += cost_of(&v, record);
        result->position = record->offset + record->length;
        result->count += taken == RECORD;
    }
    fv_window_close(&v.window);
}

/* ---- append times ---------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *record;
    int32_t size;
    int32_t found_size;
    uint64_t append_at_ns;
} time_work;

static void time_guarded(void *arg)
{
    time_work *work = arg;
    work->found_size = (int32_t)fv_load_be32(work->record + 12);
    work->append_at_ns =
        fv_load_be64(work->record + FV_NEEDLE_HEADER + (uint32_t)work->size + CHECKSUM_BYTES);
}

/* FV_OK or why the record's time cannot be told. */
static int append_time(fv_window *window, uint64_t offset, int32_t size, uint64_t *append_at_ns)
{
    time_work work = {.size = size < 0 ? 0 : size};
    uint64_t length = fv_needle_actual_size(work.size, TIMED_VERSION);
    int found = fv_window_run(window, offset, length, &work.record, time_guarded, &work);
    if (found != FV_OK)
        return found;
    *append_at_ns = work.append_at_ns;
    return work.found_size == work.size ? FV_OK : FV_NEEDLE_SIZE_MISMATCH;
}

static void note_time(uint64_t offset, uint64_t append_at_ns, uint64_t since, fv_time_result *out)
{
    if (append_at_ns > out->newest_ns)
        out->newest_ns = append_at_ns;
    if (append_at_ns > since && (out->lowest == 0 || offset < out->lowest))
        out->lowest = offset;
}

void fv_visit_times(int idx_fd, uint64_t first_row, uint64_t count, int offset_width, int dat_fd,
                    uint64_t since, fv_time_result *out)
{
    assert(offset_width == 4 || offset_width == 5);
    uint8_t block[ROWS_BLOCK * FV_ROW_MAX];
    size_t row_size = 12 + (size_t)offset_width;
    fv_window window;
    memset(out, 0, sizeof *out);
    int opened = fv_window_open(&window, dat_fd);
    if (opened != 0) {
        out->code = FV_IO_ERROR;
        out->sys_errno = -opened;
        return;
    }
    while (out->rows < count && out->code == FV_OK) {
        uint64_t rows = count - out->rows < ROWS_BLOCK ? count - out->rows : ROWS_BLOCK;
        out->code = fv_read_exactly(idx_fd, block, rows * row_size, (first_row + out->rows) * row_size);
        out->on_index = out->code != FV_OK;
        for (uint64_t row = 0; row < rows && out->code == FV_OK; row++) {
            fv_entry entry;
            uint64_t append_at_ns = 0;
            fv_row_decode(block + row * row_size, offset_width, &entry);
            out->offset = entry.offset * 8;
            if (entry.offset != 0)
                out->code = append_time(&window, out->offset, entry.size, &append_at_ns);
            if (out->code == FV_OK) {
                if (entry.offset != 0)
                    note_time(out->offset, append_at_ns, since, out);
                out->rows++;
            }
        }
        if (out->code == FV_IO_ERROR)
            out->sys_errno = errno;
    }
    fv_window_close(&window);
}

int fv_visit_rows_ascend(int idx_fd, uint64_t count, int offset_width, int *sys_errno)
{
    assert(offset_width == 4 || offset_width == 5);
    uint8_t block[ROWS_BLOCK * FV_ROW_MAX];
    size_t row_size = 12 + (size_t)offset_width;
    uint64_t last = 0;
    for (uint64_t done = 0; done < count;) {
        uint64_t rows = count - done < ROWS_BLOCK ? count - done : ROWS_BLOCK;
        int code = fv_read_exactly(idx_fd, block, rows * row_size, done * row_size);
        if (code != FV_OK) {
            *sys_errno = code == FV_IO_ERROR ? errno : EIO;
            return -1;
        }
        for (uint64_t row = 0; row < rows; row++) {
            fv_entry entry;
            fv_row_decode(block + row * row_size, offset_width, &entry);
            if (entry.offset != 0 && entry.offset < last)
                return 0;
            if (entry.offset != 0)
                last = entry.offset;
        }
        done += rows;
    }
    return 1;
}
