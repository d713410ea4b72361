/* What is left of an index that has a row for every record of its data file. */
#ifndef FASTVOL_LAST_ROWS_H
#define FASTVOL_LAST_ROWS_H

#include <stdint.h>

/* cffi:begin */
/* Keeps, of rows in the order of their records, the last one of every needle and, with
 * `include_deleted`, the last tombstone of every needle (weed/command/fix.go); without, no row of a
 * needle whose last record is a tombstone.  Works in place and cuts the file.  0 or a negative errno. */
int fv_index_keep_last(int idx_fd, int offset_width, int include_deleted, uint64_t *rows);
/* cffi:end */

#endif
