#include "survey.h"

#include "bytes.h"
#include "file_bytes.h"
#include "volume.h"
#include "walk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (1u << 20)
#define SECTOR 4096u
#define TOMBSTONE 32u /* bytes of one, version 3 */
/* Looking for a record behind damage reads candidates up to so many times the stretch, plus some. */
#define CANDIDATE_FACTOR 4
#define CANDIDATE_BYTES_MIN (64ull << 20)
/* A tombstone found behind damage must carry a time between 2010 and 2200: it has no checksum. */
#define PLAUSIBLE_NS_MIN 1262304000000000000ull
#define PLAUSIBLE_NS_MAX 7258118400000000000ull

struct fv_survey {
    fv_survey_spec spec;
    fv_survey_stat stat;
    fv_walk walk;
    fv_scan_result result; /* of the walk */
    uint64_t confirmed;    /* records without payload before this are what they seem */
    uint64_t stretch_end;  /* what lies before this is no record */
    uint64_t budget;       /* for candidates of this stretch */
    fv_row_writer *rows;
    uint8_t *block;
    fv_extent *out;
    size_t capacity;
    size_t count;
};

fv_survey *fv_survey_new(const fv_survey_spec *spec)
{
    assert(spec->version >= 1 && spec->version <= 3);
    assert(spec->from % 8 == 0);
    fv_survey *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->spec = *spec;
    s->block = malloc(BLOCK + TOMBSTONE);
    s->rows = spec->idx_fd < 0 ? NULL : calloc(1, sizeof *s->rows);
    if (s->block == NULL || (spec->idx_fd >= 0 && s->rows == NULL)) {
        fv_survey_free(s);
        return NULL;
    }
    if (s->rows != NULL) {
        s->rows->fd = spec->idx_fd;
        s->rows->offset_width = spec->offset_width;
    }
    s->walk.fd = spec->dat_fd;
    s->walk.version = spec->version;
    s->walk.to = spec->to;
    s->walk.out = &s->result;
    s->stat.position = s->confirmed = s->stretch_end = spec->from;
    return s;
}

void fv_survey_free(fv_survey *s)
{
    if (s == NULL)
        return;
    free(s->walk.buffer);
    free(s->block);
    free(s->rows);
    free(s);
}

void fv_survey_get_stat(const fv_survey *s, fv_survey_stat *out)
{
    *out = s->stat;
}

/* The next part of the file is explained. */
static void emit(fv_survey *s, fv_extent extent)
{
    assert(extent.offset == s->stat.position && extent.length > 0);
    s->stat.bytes[extent.kind] += extent.length;
    s->stat.count[extent.kind]++;
    s->stat.position += extent.length;
    if (s->capacity != 0 && (s->spec.report >> extent.kind & 1) != 0) {
        assert(s->count < s->capacity);
        s->out[s->count++] = extent;
    }
}

/* ---- looking for survivors ------------------------------------------------------------------- */

/* Reads what it can; what the disk refuses is zeros. */
static size_t read_past_errors(fv_survey *s, uint8_t *out, size_t length, uint64_t offset)
{
    ssize_t got = fv_read_fully(s->spec.dat_fd, out, length, offset);
    if (got >= 0)
        return (size_t)got;
    memset(out, 0, length);
    size_t done = 0;
    while (done < length) {
        size_t piece = SECTOR - (size_t)((offset + done) % SECTOR);
        piece = piece < length - done ? piece : length - done;
        got = fv_read_fully(s->spec.dat_fd, out + done, piece, offset + done);
        if (got < 0)
            s->stat.read_errors++;
        else if ((size_t)got < piece)
            return done + (size_t)got;
        done += piece;
    }
    return done;
}

static int checks(fv_survey *s, uint64_t position, int32_t size)
{
    s->result.stopped = FV_SCAN_END;
    if (fv_walk_check(&s->walk, position, size))
        return 1;
    if (s->result.stopped == FV_SCAN_IO_ERROR)
        s->stat.read_errors++;
    return 0;
}

/* A record without payload has no checksum; only its time tells it from the middle of another one. */
static int has_plausible_time(const fv_survey *s, const uint8_t *at)
{
    if (s->spec.version != 3 || fv_load_be64(at + 4) == 0 || fv_load_be32(at + 12) != 0)
        return 0;
    uint64_t when = fv_load_be64(at + FV_NEEDLE_HEADER + 4);
    return when >= PLAUSIBLE_NS_MIN && when < PLAUSIBLE_NS_MAX;
}

/* By its time, and by what it leads to. */
static int is_plausible_tombstone(fv_survey *s, const uint8_t *at, uint64_t position)
{
    uint64_t reached;
    if (!has_plausible_time(s, at))
        return 0;
    if (s->budget < TOMBSTONE) {
        s->stat.gave_up = 1;
        return 0;
    }
    int result = fv_walk_leads_on(&s->walk, position, 1, &reached);
    uint64_t read = reached - position + TOMBSTONE;
    s->budget -= read < s->budget ? read : s->budget;
    return result;
}

static int is_survivor(fv_survey *s, const uint8_t *at, uint64_t position)
{
    uint64_t room = s->spec.to - position;
    if (is_plausible_tombstone(s, at, position))
        return 1;
    if (!fv_could_be_record(at, s->spec.version, room))
        return 0;
    int32_t size = (int32_t)fv_load_be32(at + 12);
    uint64_t length = fv_needle_actual_size(size, s->spec.version);
    if (length > s->budget) {
        s->stat.gave_up = 1;
        return 0;
    }
    s->budget -= length;
    return checks(s, position, size);
}

/* Where a record begins behind `from` and before `to`; `to` when none does. */
static uint64_t next_record(fv_survey *s, uint64_t from, uint64_t to)
{
    const size_t ahead = TOMBSTONE; /* to look at, behind the last candidate of a block */
    s->budget = CANDIDATE_BYTES_MIN + (to - from) * CANDIDATE_FACTOR;
    for (uint64_t base = from + 8; base < to; base += BLOCK) {
        size_t got = read_past_errors(s, s->block, BLOCK + ahead, base);
        if (got < BLOCK + ahead)
            memset(s->block + got, 0, BLOCK + ahead - got);
        size_t usable = got < BLOCK ? got : BLOCK;
        for (size_t at = 0; at < usable && base + at < to; at += 8)
            if (is_survivor(s, s->block + at, base + at))
                return base + at;
        if (got < BLOCK)
            break;
    }
    return to;
}

/* Zero bytes from the position on, whole units of 8 unless they reach the stretch's end. */
static uint64_t zero_run(fv_survey *s)
{
    uint64_t from = s->stat.position, run = 0;
    while (from + run < s->stretch_end) {
        uint64_t left = s->stretch_end - from - run;
        size_t got = read_past_errors(s, s->block, left < BLOCK ? (size_t)left : BLOCK, from + run);
        size_t at = 0;
        while (at < got && s->block[at] == 0)
            at++;
        run += at;
        if (at < got || got == 0)
            return run & ~(uint64_t)7;
    }
    return run;
}

static void emit_stretch(fv_survey *s)
{
    uint64_t run = zero_run(s);
    fv_extent extent = {.offset = s->stat.position, .kind = FV_EXTENT_ZEROS, .length = run};
    if (run == 0) {
        extent.length = s->stretch_end - s->stat.position;
        extent.kind = s->stretch_end < s->spec.to ? FV_EXTENT_DAMAGED : FV_EXTENT_TORN;
    }
    emit(s, extent);
}

/* ---- records --------------------------------------------------------------------------------- */

static int kind_of_whole(const fv_survey *s, fv_extent *extent)
{
    fv_entry entry;
    int known = s->spec.map != NULL && fv_map_get(s->spec.map, extent->id, &entry);
    uint64_t named = known ? entry.offset * 8 : 0;
    extent->live = known && named == extent->offset && entry.size >= 0;
    if (extent->live)
        return FV_EXTENT_LIVE;
    if (extent->size == 0)
        return known && entry.size >= 0 && named < extent->offset ? FV_EXTENT_UNINDEXED
                                                                  : FV_EXTENT_TOMBSTONE;
    if (!known || named < extent->offset)
        return FV_EXTENT_UNINDEXED;
    return named == extent->offset ? FV_EXTENT_DELETED : FV_EXTENT_OLD;
}

/* 1 a record, bad or not; 0 none. */
static int recognise(fv_survey *s, fv_extent *extent)
{
    uint64_t ignored, id, length;
    int32_t size;
    uint8_t cookie[4];
    uint64_t position = s->stat.position;
    s->result.stopped = FV_SCAN_END;
    if (!fv_walk_header(&s->walk, position, &id, &size, &length)) {
        s->stat.read_errors += s->result.stopped == FV_SCAN_IO_ERROR;
        return 0;
    }
    extent->id = id;
    extent->size = size;
    extent->length = length;
    if (checks(s, position, size)) {
        extent->cookie = fv_load_be32(s->walk.buffer);
        extent->append_at_ns = s->result.last_append_ns;
        extent->kind = kind_of_whole(s, extent);
        if (size > 0 || position < s->confirmed || extent->live ||
            has_plausible_time(s, s->walk.buffer))
            return 1;
        return fv_walk_leads_on(&s->walk, position, 1, &s->confirmed);
    }
    /* Its length is to be trusted only when whole records follow, and none lies within. */
    if (!fv_walk_leads_on(&s->walk, position + length, 1, &ignored) ||
        next_record(s, position, position + length) < position + length)
        return 0;
    kind_of_whole(s, extent);
    if (fv_read_fully(s->spec.dat_fd, cookie, sizeof cookie, position) == sizeof cookie)
        extent->cookie = fv_load_be32(cookie);
    s->stat.live_bad += extent->live;
    extent->kind = FV_EXTENT_BAD_RECORD;
    return 1;
}

static int put_row(fv_survey *s, const fv_extent *extent)
{
    if (s->rows == NULL)
        return FV_SURVEY_MORE;
    if (extent->offset >= fv_offset_limit(s->spec.offset_width))
        return FV_SURVEY_TOO_FAR;
    if (fv_rows_put(s->rows, extent->id, extent->offset, extent->size > 0 ? extent->size : -1) != 0) {
        s->stat.sys_errno = errno;
        return FV_SURVEY_INDEX_FAILED;
    }
    s->stat.rows++;
    return FV_SURVEY_MORE;
}

static int take_next(fv_survey *s)
{
    fv_extent extent = {.offset = s->stat.position};
    if (s->stat.position < s->stretch_end) {
        emit_stretch(s);
        return FV_SURVEY_MORE;
    }
    if (!recognise(s, &extent)) {
        s->stretch_end = next_record(s, s->stat.position, s->spec.to);
        return FV_SURVEY_MORE;
    }
    if (extent.kind != FV_EXTENT_BAD_RECORD && extent.append_at_ns > s->stat.last_append_ns)
        s->stat.last_append_ns = extent.append_at_ns;
    int result = put_row(s, &extent);
    if (result == FV_SURVEY_MORE)
        emit(s, extent);
    return result;
}

int fv_survey_step(fv_survey *s, uint64_t budget, fv_extent *out, size_t capacity, size_t *count)
{
    s->out = out;
    s->capacity = capacity;
    s->count = 0;
    uint64_t end = s->stat.position + budget;
    int result = FV_SURVEY_MORE;
    while (result == FV_SURVEY_MORE && s->stat.position < s->spec.to && s->stat.position < end &&
           (capacity == 0 || s->count < capacity))
        result = take_next(s);
    *count = s->count;
    if (result < 0 || s->stat.position < s->spec.to)
        return result;
    if (s->rows != NULL && fv_rows_flush(s->rows) != 0) {
        s->stat.sys_errno = errno;
        return FV_SURVEY_INDEX_FAILED;
    }
    return FV_SURVEY_DONE;
}
