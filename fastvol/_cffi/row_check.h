/* Whether the rows of an index lead to their records. */
#ifndef FASTVOL_ROW_CHECK_H
#define FASTVOL_ROW_CHECK_H

#include <stddef.h>
#include <stdint.h>

/* cffi:begin */
#define FV_ROW_BEYOND 1      /* its record ends behind the data file */
#define FV_ROW_MISMATCH 2    /* found_id, found_size are what lies there */
#define FV_ROW_NO_POSITION 3 /* it names no record and is no deletion */
#define FV_ROW_BAD_SIZE 4    /* no record has such a size */
#define FV_ROW_UNREADABLE 5  /* the disk refused */

typedef struct {
    uint64_t row; /* from 0 */
    uint64_t id;
    uint64_t offset; /* bytes */
    int32_t size;
    int kind;
    uint64_t found_id;
    int32_t found_size;
} fv_row_finding;

typedef struct {
    uint64_t row; /* where to go on */
    uint64_t no_record; /* deletions that name no record */
    uint64_t findings;  /* all, also those that there was no room for */
    int sys_errno;
} fv_rows_progress;

/* Compares up to `rows` rows with the headers that they lead to; progress->row says from where.
 * Findings are put in `out` while there is room.  1: more, 0: done, -1: the index cannot be read. */
int fv_check_rows(int idx_fd, int offset_width, int dat_fd, int version, uint64_t dat_size,
                  uint64_t rows, fv_row_finding *out, size_t capacity, size_t *count,
                  fv_rows_progress *progress);
/* cffi:end */

#endif
