/* Checking a volume: its index for overlapping records, then every record that a row names.
 *
 * Reads both files anew through descriptors of its own, in steps of bounded work, so that the caller can
 * pace, watch and end it.  What is wrong is described in numbers; the words are the caller's. */
#ifndef FASTVOL_SCRUB_H
#define FASTVOL_SCRUB_H

#include "needle.h"

/* cffi:begin */
typedef struct fv_scrub fv_scrub;

typedef struct {
    int dat_fd; /* neither is owned */
    int idx_fd;
    int version;
    int offset_width;
    int read_records;  /* 0: the index only */
    uint64_t idx_size; /* rows behind this are none of this scrub's */
} fv_scrub_spec;

#define FV_SCRUB_OVERLAP 1    /* a record begins within the one before it */
#define FV_SCRUB_UNREADABLE 2 /* code, sys_errno, fault */
#define FV_SCRUB_WRONG_ID 3   /* found_id */

typedef struct {
    int kind;
    int code; /* a needle fault, FV_IO_ERROR, or FV_BAD_NEEDLE (no record has such a size) */
    int sys_errno;
    int32_t want_size;
    uint64_t row; /* place in the index, from 1 */
    uint64_t id;
    uint64_t found_id;
    int64_t start; /* bytes of the record, both ends included */
    int64_t last;
    uint64_t other_id; /* OVERLAP: the record before it */
    int64_t other_start;
    int64_t other_last;
    fv_fault fault;
} fv_scrub_finding;

typedef struct {
    uint64_t rows;         /* whole rows of the index */
    uint64_t rows_read;    /* whose records have been looked at */
    uint64_t bytes_read;   /* of both files */
    int64_t records_bytes; /* that the rows so far take in the data file */
    uint64_t findings;     /* all, also those that there was no room for */
    int sys_errno;         /* why the last step failed */
} fv_scrub_progress;

/* NULL: out of memory. */
fv_scrub *fv_scrub_new(const fv_scrub_spec *spec);
void fv_scrub_free(fv_scrub *scrub);
/* Does about `budget` bytes of work; every step gets further.  *count findings are put in `out`, in
 * the order of the checks.  With a capacity of 0 they are only counted; else the step ends when
 * `out` is full.  1: there is more to do, 0: done, -1: the index cannot be read (sys_errno). */
int fv_scrub_step(fv_scrub *scrub, uint64_t budget, fv_scrub_finding *out, size_t capacity,
                  size_t *count);
void fv_scrub_get_progress(const fv_scrub *scrub, fv_scrub_progress *out);
/* cffi:end */

#endif
