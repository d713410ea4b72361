/* Visiting the records of a data file in their order, and the append times that rows lead to. */
#ifndef FASTVOL_VISIT_H
#define FASTVOL_VISIT_H

#include "needle.h"

/* cffi:begin */
#define FV_VISIT_MORE 16 /* beside FV_SCAN_*: there was no room for more, or enough was read */

#define FV_VISIT_FIELDS 1 /* look behind the header: all but the first five members of fv_record */
#define FV_VISIT_CHECK 2  /* and check payloads against their checksums */
#define FV_VISIT_PASS_ZEROS 4 /* go on behind all-zero headers, as upstream does */

typedef struct {
    uint64_t offset; /* in the data file */
    uint64_t length; /* padding included */
    uint64_t id;
    uint32_t cookie;
    int32_t size;
    int fault; /* FV_NEEDLE_OUT_OF_RANGE, FV_NEEDLE_BAD_CRC: the other members are what could be read */
    uint8_t flags;
    uint8_t ttl[2];
    uint32_t checksum; /* the raw one when it was checked */
    uint32_t data_size;
    uint32_t name_size;
    uint32_t mime_size;
    uint32_t pairs_size;
    uint32_t data_at; /* where in the record, for those that have a size */
    uint32_t name_at;
    uint32_t mime_at;
    uint32_t pairs_at;
    uint64_t last_modified;
    uint64_t append_at_ns; /* version 3 */
} fv_record;

typedef struct {
    int stopped;       /* FV_SCAN_END, _ZEROS, _TORN, _IO_ERROR, or FV_VISIT_MORE */
    int sys_errno;
    uint64_t position; /* where to go on */
    uint64_t count;
} fv_visit_result;

/* Describes records of dat_fd[from, to) until `capacity` are, or about `budget` bytes were read.
 * Every call gets at least one record further or says why it cannot.  A record with a damaged body is
 * described as far as it goes (weed/storage/volume_read.go: ScanVolumeFileFrom); one that leaves the
 * range or has a negative size ends the visit (FV_SCAN_TORN), as does an all-zero header. */
void fv_visit_records(int dat_fd, uint64_t from, uint64_t to, int version, unsigned mode,
                      uint64_t budget, fv_record *out, size_t capacity, fv_visit_result *result);

typedef struct {
    uint64_t rows;     /* how many were gone through; on failure, all before the bad one */
    uint64_t lowest;   /* byte offset of the first record in the file newer than `since`; 0: none */
    uint64_t newest_ns;
    int code;          /* 0, FV_NEEDLE_SHORT, FV_NEEDLE_SIZE_MISMATCH or FV_IO_ERROR */
    int sys_errno;
    int on_index;      /* the index could not be read */
    uint64_t offset;   /* of the record that could not be read */
} fv_time_result;

/* Goes through `count` rows from `first_row` (from 0) and looks at the append times of their records.
 * Rows without a position are passed over.  Version 3 only. */
void fv_visit_times(int idx_fd, uint64_t first_row, uint64_t count, int offset_width, int dat_fd,
                    uint64_t since, fv_time_result *out);

/* 1 when the rows are in the order of their records (those without a position aside), 0 when not, -1
 * when the index cannot be read (*sys_errno). */
int fv_visit_rows_ascend(int idx_fd, uint64_t count, int offset_width, int *sys_errno);
/* cffi:end */

#endif
