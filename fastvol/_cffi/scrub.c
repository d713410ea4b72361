/* Two passes.
 *
 * The first goes through the rows alone.  Servers append rows in the order of the records, so as long as
 * each record begins behind the one before, there is nothing to sort and nothing to remember.  At
 * the first row where that is not so, the pass begins again and collects all rows to sort them.
 *
 * The second goes through the rows in their own order and reads what they point at.  A large payload
 * takes several steps. */
#include "scrub.h"

#include "bytes.h"
#include "index_rows.h"
#include "compact_map.h"
#include "crc32c.h"
#include "file_bytes.h"
#include "volume.h"
#include "window.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (1u << 20)
#define CRC_STEP (1u << 20)
#define ROW_HIGH_BITS 24

enum phase { IN_ORDER, COLLECT, SORT, SWEEP, READ, DONE };

typedef struct {
    uint64_t id;
    uint64_t place; /* offset in units of 8 bytes, then the high bits of the row's number */
    int32_t size;
    uint32_t row_low;
} sorted_row;

_Static_assert(sizeof(sorted_row) == 24, "memory of a scrub is told by this");

/* The record being read. */
typedef struct {
    int active;
    uint64_t row;
    fv_entry entry;
    uint64_t offset;
    uint64_t length;
    fv_needle needle;
    uint64_t data_offset;
    uint64_t data_done;
    uint32_t crc;
} reading;

struct fv_scrub {
    fv_scrub_spec spec;
    fv_scrub_progress progress;
    enum phase phase;
    fv_window dat;
    size_t row_size;

    uint8_t block[BLOCK_BYTES];
    uint64_t block_row; /* number of its first row, from 0 */
    size_t block_rows;
    uint64_t next_row;

    int has_previous;
    sorted_row previous;
    sorted_row *rows;
    uint64_t row_count;
    uint64_t swept;

    reading at;

    fv_scrub_finding *out;
    size_t capacity;
    size_t count;
    int64_t budget;
};

/* ---- rows ------------------------------------------------------------------------------------ */

/* Bytes of a record as upstream counts them, for any size: what it takes for a negative one is part
 * of what it reports (weed/storage/needle/needle_read_tail.go: PaddingLength). */
static int64_t stated_length(int32_t size, int version)
{
    int32_t fixed = version == 3 ? 28 : 20;
    int32_t wrapped = (int32_t)((uint32_t)size + (uint32_t)fixed);
    return (int64_t)fixed + size + (8 - wrapped % 8);
}

/* Body size of the record that a row names; negative when none can have it. */
static int32_t raw_size(int32_t size)
{
    if (size == -1)
        return 0;
    return size < 0 ? (int32_t)(0 - (uint32_t)size) : size;
}

static sorted_row as_sorted(const fv_entry *entry, uint64_t number)
{
    sorted_row row = {.id = entry->id,
                      .place = entry->offset << ROW_HIGH_BITS | number >> 32,
                      .size = entry->size,
                      .row_low = (uint32_t)number};
    assert(number >> 32 < 1u << ROW_HIGH_BITS);
    return row;
}

static int64_t row_start(const sorted_row *row)
{
    return (int64_t)(row->place >> ROW_HIGH_BITS) * 8;
}

static uint64_t row_number(const sorted_row *row)
{
    return (row->place & ((1u << ROW_HIGH_BITS) - 1)) << 32 | row->row_low;
}

static int compare_rows(const void *left, const void *right)
{
    const sorted_row *a = left, *b = right;
    uint64_t offset_a = a->place >> ROW_HIGH_BITS, offset_b = b->place >> ROW_HIGH_BITS;
    if (offset_a != offset_b)
        return offset_a < offset_b ? -1 : 1;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    uint64_t number_a = row_number(a), number_b = row_number(b);
    return (number_a > number_b) - (number_a < number_b);
}

/* A deletion whose tombstone lies elsewhere (weed/storage/idx/check.go). */
static int has_no_record(const fv_entry *entry)
{
    return entry->offset == 0 && entry->size < 0;
}

static int fill_block(fv_scrub *scrub)
{
    uint64_t left = (scrub->progress.rows - scrub->next_row) * scrub->row_size;
    size_t wanted = BLOCK_BYTES / scrub->row_size * scrub->row_size;
    if (left < wanted)
        wanted = (size_t)left;
    int code = fv_read_exactly(scrub->spec.idx_fd, scrub->block, wanted,
                               scrub->next_row * scrub->row_size);
    if (code != FV_OK) {
        scrub->progress.sys_errno = code == FV_IO_ERROR ? errno : EIO;
        return -1;
    }
    scrub->block_row = scrub->next_row;
    scrub->block_rows = wanted / scrub->row_size;
    scrub->progress.bytes_read += wanted;
    return 0;
}

/* 1 and the next row, 0 at their end, -1 error. */
static int take_row(fv_scrub *scrub, fv_entry *entry)
{
    if (scrub->next_row == scrub->progress.rows)
        return 0;
    if (scrub->next_row - scrub->block_row >= scrub->block_rows && fill_block(scrub) != 0)
        return -1;
    size_t at = (size_t)(scrub->next_row - scrub->block_row) * scrub->row_size;
    fv_row_decode(scrub->block + at, scrub->spec.offset_width, entry);
    scrub->next_row++;
    scrub->budget -= (int64_t)scrub->row_size;
    return 1;
}

static void rewind_rows(fv_scrub *scrub)
{
    scrub->next_row = 0;
    scrub->block_row = 0;
    scrub->block_rows = 0;
}

/* ---- findings -------------------------------------------------------------------------------- */

static int may_go_on(const fv_scrub *scrub)
{
    return scrub->budget > 0 && (scrub->capacity == 0 || scrub->count < scrub->capacity);
}

static void report(fv_scrub *scrub, const fv_scrub_finding *finding)
{
    scrub->progress.findings++;
    if (scrub->count < scrub->capacity)
        scrub->out[scrub->count++] = *finding;
}

static void report_overlap(fv_scrub *scrub, const sorted_row *row, const sorted_row *before)
{
    int version = scrub->spec.version;
    fv_scrub_finding finding = {.kind = FV_SCRUB_OVERLAP,
                                .row = row_number(row) + 1,
                                .id = row->id,
                                .start = row_start(row),
                                .last = row_start(row) + stated_length(row->size, version) - 1,
                                .other_id = before->id,
                                .other_start = row_start(before),
                                .other_last =
                                    row_start(before) + stated_length(before->size, version) - 1};
    report(scrub, &finding);
}

static void report_record(fv_scrub *scrub, int kind, int code, const fv_fault *fault)
{
    const reading *at = &scrub->at;
    fv_scrub_finding finding = {.kind = kind,
                                .code = code,
                                .want_size = raw_size(at->entry.size),
                                .row = at->row + 1,
                                .id = at->entry.id,
                                .found_id = at->needle.id,
                                .start = (int64_t)at->offset};
    finding.last = finding.start + stated_length(raw_size(at->entry.size), scrub->spec.version) - 1;
    if (code == FV_IO_ERROR)
        finding.sys_errno = errno;
    if (fault != NULL)
        finding.fault = *fault;
    report(scrub, &finding);
}

/* ---- the index ------------------------------------------------------------------------------- */

static int begins_within(const sorted_row *row, const sorted_row *before, int version)
{
    return row_start(row) <= row_start(before) + stated_length(before->size, version) - 1;
}

static void begin_reading(fv_scrub *scrub)
{
    rewind_rows(scrub);
    scrub->phase = scrub->spec.read_records ? READ : DONE;
}

static int check_order(fv_scrub *scrub)
{
    fv_entry entry;
    int taken = 1;
    while (may_go_on(scrub) && (taken = take_row(scrub, &entry)) == 1) {
        if (has_no_record(&entry))
            continue;
        sorted_row row = as_sorted(&entry, scrub->next_row - 1);
        if (scrub->has_previous &&
            (compare_rows(&scrub->previous, &row) > 0 ||
             begins_within(&row, &scrub->previous, scrub->spec.version))) {
            rewind_rows(scrub);
            scrub->phase = COLLECT;
            return 0;
        }
        scrub->previous = row;
        scrub->has_previous = 1;
    }
    if (taken == 0)
        begin_reading(scrub);
    return taken < 0 ? -1 : 0;
}

static int collect(fv_scrub *scrub)
{
    fv_entry entry;
    int taken = 1;
    if (scrub->rows == NULL) {
        assert(scrub->progress.rows > 0);
        scrub->rows = malloc(scrub->progress.rows * sizeof *scrub->rows);
        if (scrub->rows == NULL) {
            scrub->progress.sys_errno = ENOMEM;
            return -1;
        }
    }
    while (may_go_on(scrub) && (taken = take_row(scrub, &entry)) == 1)
        if (!has_no_record(&entry))
            scrub->rows[scrub->row_count++] = as_sorted(&entry, scrub->next_row - 1);
    if (taken == 0)
        scrub->phase = SORT;
    return taken < 0 ? -1 : 0;
}

static void sweep(fv_scrub *scrub)
{
    for (; may_go_on(scrub) && scrub->swept + 1 < scrub->row_count; scrub->swept++) {
        const sorted_row *before = scrub->rows + scrub->swept, *row = before + 1;
        if (begins_within(row, before, scrub->spec.version))
            report_overlap(scrub, row, before);
        scrub->budget -= (int64_t)sizeof *row;
    }
    if (scrub->swept + 1 < scrub->row_count)
        return;
    free(scrub->rows);
    scrub->rows = NULL;
    begin_reading(scrub);
}

/* ---- records --------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *record;
    reading *at;
    int version;
    int code;
    fv_fault fault;
} parse_work;

static void parse_guarded(void *arg)
{
    parse_work *work = arg;
    work->code = fv_needle_parse(work->record, work->at->length, raw_size(work->at->entry.size),
                                 work->version, 0, &work->at->needle, &work->fault);
}

/* The record is whole and sound, or `fault` says why it is not. */
static void finish_record(fv_scrub *scrub)
{
    reading *at = &scrub->at;
    const fv_needle *needle = &at->needle;
    at->active = 0;
    if (needle->data_size > 0 && needle->checksum != at->crc &&
        needle->checksum != fv_crc32c_legacy(at->crc)) {
        fv_fault fault = {.computed = at->crc, .stored = needle->checksum};
        report_record(scrub, FV_SCRUB_UNREADABLE, FV_NEEDLE_BAD_CRC, &fault);
    } else if (needle->id != at->entry.id) {
        report_record(scrub, FV_SCRUB_WRONG_ID, 0, NULL);
    }
}

static void fail_record(fv_scrub *scrub, int code, const fv_fault *fault)
{
    scrub->at.active = 0;
    report_record(scrub, FV_SCRUB_UNREADABLE, code, fault);
}

/* Reads what surrounds the payload; that follows in bounded pieces. */
static void begin_record(fv_scrub *scrub, const fv_entry *entry)
{
    reading *at = &scrub->at;
    int32_t size = raw_size(entry->size);
    memset(at, 0, sizeof *at);
    at->row = scrub->next_row - 1;
    at->entry = *entry;
    at->offset = entry->offset * 8;
    at->length = fv_needle_actual_size(size, scrub->spec.version);
    scrub->progress.records_bytes += stated_length(size, scrub->spec.version);
    if (size < 0) {
        fail_record(scrub, FV_BAD_NEEDLE, NULL);
        return;
    }
    parse_work work = {.at = at, .version = scrub->spec.version};
    memset(&work.fault, 0, sizeof work.fault);
    fv_window_read_ahead(&scrub->dat, at->offset);
    int found =
        fv_window_run(&scrub->dat, at->offset, at->length, &work.record, parse_guarded, &work);
    if (found != FV_OK) {
        fail_record(scrub, found, NULL);
        return;
    }
    uint64_t around = at->length - at->needle.data_size;
    if (work.code != FV_NEEDLE_OK)
        around = FV_NEEDLE_HEADER;
    scrub->progress.bytes_read += around;
    scrub->budget -= (int64_t)around;
    if (work.code != FV_NEEDLE_OK) {
        fail_record(scrub, work.code, &work.fault);
        return;
    }
    at->active = 1;
    if (at->needle.data_size > 0)
        at->data_offset = at->offset + (uint64_t)(at->needle.data - work.record);
}

static void continue_record(fv_scrub *scrub)
{
    reading *at = &scrub->at;
    while (at->data_done < at->needle.data_size && scrub->budget > 0) {
        uint64_t left = at->needle.data_size - at->data_done;
        uint64_t position = at->data_offset + at->data_done;
        size_t length = left < CRC_STEP ? (size_t)left : CRC_STEP;
        fv_window_read_ahead(&scrub->dat, position);
        int found = fv_window_crc32c(&scrub->dat, position, length, &at->crc);
        if (found != FV_OK) {
            fail_record(scrub, found, NULL);
            return;
        }
        at->data_done += length;
        scrub->progress.bytes_read += length;
        scrub->budget -= (int64_t)length;
    }
    if (at->data_done == at->needle.data_size)
        finish_record(scrub);
}

static int read_records(fv_scrub *scrub)
{
    fv_entry entry;
    while (may_go_on(scrub)) {
        if (!scrub->at.active) {
            int taken = take_row(scrub, &entry);
            if (taken == 0)
                scrub->phase = DONE;
            if (taken != 1)
                return taken;
            scrub->progress.rows_read++;
            if (has_no_record(&entry))
                continue;
            begin_record(scrub, &entry);
        }
        if (scrub->at.active)
            continue_record(scrub);
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

fv_scrub *fv_scrub_new(const fv_scrub_spec *spec)
{
    assert(spec->version >= 1 && spec->version <= 3);
    assert(spec->offset_width == 4 || spec->offset_width == 5);
    fv_scrub *scrub = calloc(1, sizeof *scrub);
    if (scrub == NULL)
        return NULL;
    scrub->spec = *spec;
    scrub->row_size = 12 + (size_t)spec->offset_width;
    scrub->progress.rows = spec->idx_size / scrub->row_size;
    /* A data file that cannot even be asked for its size fails at every record. */
    fv_window_open(&scrub->dat, spec->dat_fd);
    return scrub;
}

void fv_scrub_free(fv_scrub *scrub)
{
    if (scrub == NULL)
        return;
    fv_window_close(&scrub->dat);
    free(scrub->rows);
    free(scrub);
}

int fv_scrub_step(fv_scrub *scrub, uint64_t budget, fv_scrub_finding *out, size_t capacity,
                  size_t *count)
{
    int result = 0;
    scrub->out = out;
    scrub->capacity = capacity;
    scrub->count = 0;
    scrub->budget = budget < 1 ? 1 : budget > INT64_MAX ? INT64_MAX : (int64_t)budget;
    enum phase before;
    do {
        before = scrub->phase;
        switch (scrub->phase) {
        case IN_ORDER:
            result = check_order(scrub);
            break;
        case COLLECT:
            result = collect(scrub);
            break;
        case SORT:
            qsort(scrub->rows, scrub->row_count, sizeof *scrub->rows, compare_rows);
            scrub->phase = SWEEP;
            break;
        case SWEEP:
            sweep(scrub);
            break;
        case READ:
            result = read_records(scrub);
            break;
        case DONE:
            break;
        }
    } while (result == 0 && scrub->phase != before && may_go_on(scrub));
    *count = scrub->count;
    if (result < 0)
        return -1;
    return scrub->phase != DONE;
}

void fv_scrub_get_progress(const fv_scrub *scrub, fv_scrub_progress *out)
{
    *out = scrub->progress;
}
