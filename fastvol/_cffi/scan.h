/* Walking a data file record by record. */
#ifndef FASTVOL_SCAN_H
#define FASTVOL_SCAN_H

#include "index_tail.h"
#include "needle.h"

/* cffi:begin */
/* Why a walk stopped. */
#define FV_SCAN_END 0         /* exactly at the end of the range */
#define FV_SCAN_ZEROS 1       /* at an all-zero header: preallocated or lost space */
#define FV_SCAN_TORN 2        /* a record leaves the range, or its lengths make no sense */
#define FV_SCAN_BAD_SUM 3     /* a record fails its checksum */
#define FV_SCAN_TOO_FAR 4     /* a record begins where the index's offsets do not reach */
#define FV_SCAN_IO_ERROR -1 /* sys_errno says which */

typedef struct {
    int stopped;
    int sys_errno;
    uint64_t position;       /* end of the last record that got a row; `from` when none did */
    uint64_t records;        /* with a row */
    uint64_t damaged;        /* passed over without one */
    uint64_t damaged_offset; /* of the last of these */
    uint64_t rows_bytes;     /* bytes appended to the index */
    uint64_t last_append_ns; /* of the last record checked, version 3 */
} fv_scan_result;

/* Appends one index row per record of dat_fd[from, to) at idx_offset of idx_fd.
 * `verify` reads and checks every record.  One that fails gets no row, so that an earlier version of
 * its needle stays valid; the walk passes it only if a whole record with payload follows, for its own
 * lengths cannot be trusted.  A record without payload has no checksum; it counts only if it leads to
 * a whole record with payload or exactly to the end of the range.  Without `verify` only headers are read, and the last record is checked.
 * A record without payload becomes a deletion: a data file cannot tell an empty file from a tombstone
 * (weed/storage/volume_idx_repair.go).  Returns 0, or -1 when the index cannot be written. */
int fv_scan_to_index(int dat_fd, uint64_t from, uint64_t to, int version, int verify, int idx_fd,
                     uint64_t idx_offset, int offset_width, fv_scan_result *out);

/* Looks for a whole, checked record with payload at any 8-byte step of dat_fd[from, to).
 * Returns 1 and its offset in *found, 0 when there is none, -1 with *sys_errno set.
 * The work is bounded: once the candidates that had to be read add up to several times the range, the
 * next one counts as found, because the caller must not conclude that there is none. */
int fv_scan_find_record(int dat_fd, uint64_t from, uint64_t to, int version, uint64_t *found,
                        int *sys_errno);

/* Finds the row of the physically last record.  Returns 0 or -1. */
int fv_scan_index_tail(int idx_fd, int offset_width, int version, uint64_t dat_size,
                       fv_index_tail *out);
/* cffi:end */

#endif
