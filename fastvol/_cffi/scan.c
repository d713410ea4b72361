#include "scan.h"

#include "bytes.h"
#include "compact_map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS_BUFFERED 4096
#define ROW_MAX 17
#define READ_STEP (1u << 20)
/* find_record reads candidates up to so many times the range, plus some. */
#define CANDIDATE_FACTOR 4
#define CANDIDATE_BYTES_MIN (64ull << 20)

static ssize_t read_fully(int fd, void *out, size_t length, uint64_t offset)
{
    size_t done = 0;
    while (done < length) {
        ssize_t n = pread(fd, (uint8_t *)out + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int write_fully(int fd, const void *bytes, size_t length, uint64_t offset)
{
    size_t done = 0;
    while (done < length) {
        ssize_t n = pwrite(fd, (const uint8_t *)bytes + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

/* ---- records --------------------------------------------------------------------------------- */

typedef struct {
    int fd;
    int version;
    uint64_t to;
    uint8_t *buffer; /* for whole records */
    size_t capacity;
    fv_scan_result *out;
} walk;

/* A checksum only vouches for a payload.  A body without one is none that anybody wrote, nor is an
 * empty record without its time. */
static int has_substance(const fv_needle *needle, int version)
{
    if (needle->size > 0)
        return needle->data_size > 0;
    return version != 3 || needle->append_at_ns != 0;
}

/* The whole record, checked; 1 good, 0 stop (reason set). */
static int check_record(walk *w, uint64_t position, int32_t size)
{
    uint64_t length = fv_needle_actual_size(size, w->version);
    fv_needle needle;
    fv_fault fault;
    if (length > w->capacity) {
        uint8_t *grown = realloc(w->buffer, length);
        if (grown == NULL) {
            w->out->stopped = FV_SCAN_IO_ERROR;
            w->out->sys_errno = ENOMEM;
            return 0;
        }
        w->buffer = grown;
        w->capacity = length;
    }
    ssize_t got = read_fully(w->fd, w->buffer, length, position);
    if (got < 0) {
        w->out->stopped = FV_SCAN_IO_ERROR;
        w->out->sys_errno = errno;
        return 0;
    }
    if ((uint64_t)got < length) {
        w->out->stopped = FV_SCAN_TORN;
        return 0;
    }
    int parsed = fv_needle_parse(w->buffer, length, size, w->version, 1, &needle, &fault);
    if (parsed != FV_NEEDLE_OK) {
        w->out->stopped = parsed == FV_NEEDLE_BAD_CRC ? FV_SCAN_BAD_SUM : FV_SCAN_TORN;
        return 0;
    }
    if (!has_substance(&needle, w->version)) {
        w->out->stopped = FV_SCAN_TORN;
        return 0;
    }
    w->out->last_append_ns = needle.append_at_ns;
    return 1;
}

/* Header of the record at `position`; 1 good, 0 stop (reason set). */
static int next_header(walk *w, uint64_t position, uint64_t *id, int32_t *size, uint64_t *length)
{
    uint8_t header[FV_NEEDLE_HEADER] = {0};
    if (position >= w->to) {
        w->out->stopped = FV_SCAN_END;
        return 0;
    }
    ssize_t got = read_fully(w->fd, header, sizeof header, position);
    if (got < 0) {
        w->out->stopped = FV_SCAN_IO_ERROR;
        w->out->sys_errno = errno;
        return 0;
    }
    *id = fv_load_be64(header + 4);
    *size = (int32_t)fv_load_be32(header + 12);
    if (got < (ssize_t)sizeof header || (*id == 0 && *size == 0)) {
        w->out->stopped = got < (ssize_t)sizeof header ? FV_SCAN_TORN : FV_SCAN_ZEROS;
        return 0;
    }
    *length = *size < 0 ? 0 : fv_needle_actual_size(*size, w->version);
    if (*size < 0 || *length > w->to - position) {
        w->out->stopped = FV_SCAN_TORN;
        return 0;
    }
    return 1;
}

typedef struct {
    int fd;
    int offset_width;
    uint64_t offset;
    uint8_t rows[ROWS_BUFFERED * ROW_MAX];
    size_t length;
} row_writer;

static int flush_rows(row_writer *writer)
{
    if (write_fully(writer->fd, writer->rows, writer->length, writer->offset) != 0)
        return -1;
    writer->offset += writer->length;
    writer->length = 0;
    return 0;
}

static int put_row(row_writer *writer, uint64_t id, uint64_t position, int32_t size)
{
    writer->length += fv_row_encode(writer->rows + writer->length, writer->offset_width, id,
                                    position / 8, size);
    return writer->length + ROW_MAX > sizeof writer->rows ? flush_rows(writer) : 0;
}

/* Whether records without payload from `position` on, if any, lead to a whole one with payload or, if
 * that will do, to the end of the range.  No checksum vouches for a record without payload: what
 * looks like one may be the middle of another.  Leaves no trace in the result. */
static int leads_to_whole_record(walk *w, uint64_t position, int end_will_do, uint64_t *where)
{
    fv_scan_result scratch;
    memset(&scratch, 0, sizeof scratch);
    fv_scan_result *kept = w->out;
    w->out = &scratch;
    uint64_t id, length;
    int32_t size = 0;
    int sound = 0;
    while (next_header(w, position, &id, &size, &length)) {
        if (!check_record(w, position, size))
            break;
        if (size > 0) {
            sound = 1;
            break;
        }
        position += length;
    }
    if (end_will_do && scratch.stopped == FV_SCAN_END && position == w->to)
        sound = 1;
    w->out = kept;
    *where = position;
    return sound;
}

static uint64_t offset_limit(int offset_width)
{
    return (uint64_t)8 << (offset_width * 8);
}

static int walk_records(walk *w, row_writer *writer, uint64_t from, int verify)
{
    uint64_t position = from;
    uint64_t id = 0, length = 0;
    int32_t size = 0;
    uint64_t confirmed = from; /* records without payload before this are what they seem */
    uint64_t ignored;
    while (next_header(w, position, &id, &size, &length)) {
        int last = position + length >= w->to;
        if (position >= offset_limit(writer->offset_width)) {
            w->out->stopped = FV_SCAN_TOO_FAR;
            break;
        }
        if (verify && size == 0 && position >= confirmed &&
            !leads_to_whole_record(w, position, 1, &confirmed)) {
            w->out->stopped = FV_SCAN_TORN;
            break;
        }
        if ((verify || last) && !check_record(w, position, size)) {
            if (last || w->out->stopped == FV_SCAN_IO_ERROR ||
                !leads_to_whole_record(w, position + length, 0, &ignored))
                break;
            w->out->damaged++;
            w->out->damaged_offset = position;
            position += length;
            continue;
        }
        if (put_row(writer, id, position, size > 0 ? size : -1) != 0)
            return -1;
        w->out->records++;
        position += length;
        w->out->position = position;
    }
    return 0;
}

/* ---- looking for survivors ------------------------------------------------------------------- */

/* Whether what lies at `at` could be a record's first bytes, by its lengths alone. */
static int could_be_record(const uint8_t *at, int version, uint64_t room)
{
    uint64_t id = fv_load_be64(at + 4);
    int64_t size = (int32_t)fv_load_be32(at + 12);
    if (id == 0 || size <= 0 || fv_needle_actual_size((int32_t)size, version) > room)
        return 0;
    if (version == 1)
        return 1;
    int64_t data_size = fv_load_be32(at + 16);
    int64_t behind = size - 4 - data_size;
    return data_size > 0 && behind > 0 && behind <= FV_NEEDLE_META_MAX;
}

typedef struct {
    walk w;
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
    if (check_record(&s->w, position, size))
        return 1;
    return s->w.out->stopped == FV_SCAN_IO_ERROR ? -1 : 0;
}

static int search_block(search *s, const uint8_t *block, size_t got, uint64_t base)
{
    for (size_t at = 0; at < READ_STEP && at + FV_NEEDLE_PREFIX <= got; at += 8) {
        uint64_t position = base + at;
        if (position >= s->w.to)
            return 0;
        if (!could_be_record(block + at, s->w.version, s->w.to - position))
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
    uint8_t *block = malloc(READ_STEP + FV_NEEDLE_PREFIX);
    if (block == NULL)
        return -1;
    search s = {.w = {.fd = dat_fd, .version = version, .to = to, .out = &result}};
    s.budget = CANDIDATE_BYTES_MIN + (to > from ? (to - from) * CANDIDATE_FACTOR : 0);
    int code = 0;
    for (uint64_t base = (from + 7) & ~(uint64_t)7; code == 0 && base < to; base += READ_STEP) {
        ssize_t got = read_fully(dat_fd, block, READ_STEP + FV_NEEDLE_PREFIX, base);
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
    row_writer *writer = malloc(sizeof *writer);
    if (writer == NULL) {
        out->sys_errno = ENOMEM;
        return -1;
    }
    writer->fd = idx_fd;
    writer->offset_width = offset_width;
    writer->offset = idx_offset;
    writer->length = 0;
    walk w = {.fd = dat_fd, .version = version, .to = to, .out = out};
    int result = walk_records(&w, writer, from, verify);
    if (result == 0)
        result = flush_rows(writer);
    if (result != 0)
        out->sys_errno = errno;
    out->rows_bytes = writer->offset - idx_offset;
    free(w.buffer);
    free(writer);
    return result;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* What may follow a record's body at most: checksum, time, padding. */
#define TAIL_MAX 32u

/* `previous` is the offset of the record before the last one. */
static void consider_row(const fv_entry *entry, uint64_t row, int version, uint64_t dat_size,
                         uint64_t *previous, int32_t *previous_size, fv_index_tail *out)
{
    uint64_t offset = entry->offset * 8;
    if (offset == 0)
        return;
    int32_t size = entry->size < 0 ? -1 : entry->size;
    /* The exact end costs more than the rest of this; few rows are near enough to need it. */
    if (offset + FV_NEEDLE_HEADER + (uint64_t)(size > 0 ? size : 0) + TAIL_MAX > dat_size &&
        offset + fv_needle_actual_size(size, version) > dat_size)
        out->beyond++;
    if (offset >= out->last_offset) {
        if (offset > out->last_offset && out->last_offset != 0) {
            *previous = out->last_offset;
            *previous_size = out->last_size;
        }
        out->last_offset = offset;
        out->last_size = size;
        out->last_id = entry->id;
        out->last_row = row;
    } else if (offset >= *previous) {
        *previous = offset;
        *previous_size = size;
    }
}

int fv_scan_index_tail(int idx_fd, int offset_width, int version, uint64_t dat_size,
                       fv_index_tail *out)
{
    struct stat status;
    memset(out, 0, sizeof *out);
    if (fstat(idx_fd, &status) != 0) {
        out->sys_errno = errno;
        return -1;
    }
    size_t width = 12 + (size_t)offset_width;
    uint64_t rows = (uint64_t)status.st_size / width;
    size_t step = READ_STEP / width * width;
    uint8_t *block = malloc(step);
    if (block == NULL) {
        out->sys_errno = ENOMEM;
        return -1;
    }
    out->rows = rows;
    uint64_t previous = 0;
    int32_t previous_size = 0;
    for (uint64_t row = 0; row < rows;) {
        size_t wanted = (rows - row) * width < step ? (size_t)((rows - row) * width) : step;
        ssize_t got = read_fully(idx_fd, block, wanted, row * width);
        if (got < 0 || (size_t)got < wanted) {
            out->sys_errno = got < 0 ? errno : EIO;
            free(block);
            return -1;
        }
        for (size_t at = 0; at < wanted; at += width, row++) {
            fv_entry entry;
            fv_row_decode(block + at, offset_width, &entry);
            consider_row(&entry, row, version, dat_size, &previous, &previous_size, out);
        }
    }
    free(block);
    if (previous != 0)
        out->previous_end = previous + fv_needle_actual_size(previous_size, version);
    return 0;
}
