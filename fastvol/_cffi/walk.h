/* One record of a data file after another: what walks, scans and surveys of it share. */
#ifndef FASTVOL_WALK_H
#define FASTVOL_WALK_H

#include "index_rows.h"
#include "scan.h"

#define FV_ROWS_BUFFERED 4096

typedef struct {
    int fd;
    int version;
    uint64_t to;
    uint8_t *buffer; /* for whole records; to be freed by the owner */
    size_t capacity;
    fv_scan_result *out;
} fv_walk;

/* Index rows on their way to a file. */
typedef struct {
    int fd;
    int offset_width;
    uint64_t offset;
    uint8_t rows[FV_ROWS_BUFFERED * FV_ROW_MAX];
    size_t length;
} fv_row_writer;

/* Header of the record at `position`; 1 good, 0 stop (reason set). */
int fv_walk_header(fv_walk *w, uint64_t position, uint64_t *id, int32_t *size, uint64_t *length);
/* The whole record, checked; 1 good, 0 stop (reason set). */
int fv_walk_check(fv_walk *w, uint64_t position, int32_t size);
/* Whether records without payload from `position` on, if any, lead to a whole one with payload or, if
 * that will do, to the end of the range.  No checksum vouches for a record without payload: what
 * looks like one may be the middle of another.  Leaves no trace in the result. */
int fv_walk_leads_on(fv_walk *w, uint64_t position, int end_will_do, uint64_t *where);
/* Whether what lies at `at` (FV_NEEDLE_PREFIX bytes) could be the first bytes of a record with payload
 * that takes no more than `room` bytes, by its lengths alone. */
int fv_could_be_record(const uint8_t *at, int version, uint64_t room);

/* 0, or -1 with errno. */
int fv_rows_put(fv_row_writer *writer, uint64_t id, uint64_t position, int32_t size);
int fv_rows_flush(fv_row_writer *writer);
/* The first byte offset that index rows cannot name. */
uint64_t fv_offset_limit(int offset_width);

#endif
