/* Vacuum: copying what is alive of a volume into a new data file and its index.
 *
 * Theory of operation.  The copy goes through the live map, entry by entry, without any lock of the
 * volume: records never change once they are written, so whatever entry the map gives leads to good
 * bytes.  Needles that are written or deleted meanwhile add rows to the old index behind the length
 * that was noted at the start; catching up replays these rows in their order, so that the new files
 * end with the same state as the old ones.  A needle which both the copy and the catching up meet is
 * copied twice; the later row wins.  Catching up may run any number of times; the last run must be
 * made while writers are kept out (fv_volume_pause), and then leaves nothing behind.
 *
 * Everything comes in steps of bounded size, so that whoever drives it can throttle, report and stop
 * between them.  Source of what is kept and dropped: weed/storage/volume_vacuum.go. */
#ifndef FASTVOL_VACUUM_H
#define FASTVOL_VACUUM_H

#include "volume.h"

/* cffi:begin */
typedef struct fv_vacuum fv_vacuum;

#define FV_VACUUM_BY_KEY 0    /* rows and records ascending by needle id */
#define FV_VACUUM_BY_OFFSET 1 /* rows and records in the order in which they lay */

#define FV_VACUUM_MORE 1
#define FV_VACUUM_DONE 0
#define FV_VACUUM_SOURCE_FAILED -1 /* sys_errno, or 0: the old index is shorter than it was */
#define FV_VACUUM_DATA_FAILED -2   /* the new data file cannot be written */
#define FV_VACUUM_INDEX_FAILED -3  /* the new index cannot be written */
#define FV_VACUUM_TOO_LARGE -4     /* beyond what the offset width can address */
#define FV_VACUUM_NO_MEMORY -5

#define FV_VACUUM_DAMAGE_LISTED 64

typedef struct {
    uint64_t id;
    uint64_t offset;
    int32_t size;
    int dropped; /* 0: its checksum is wrong, and it was carried over as it is */
} fv_vacuum_damage;

typedef struct {
    uint64_t records;      /* copied, those of catching up included */
    uint64_t bytes;        /* their length */
    uint64_t expired;      /* dropped: their TTL has passed */
    uint64_t unreadable;   /* dropped: the index does not lead to a record */
    uint64_t carried;      /* copied although their checksum is wrong */
    uint64_t source_offset; /* of the record copied last */
    uint64_t dat_size;     /* of the new files */
    uint64_t idx_size;
    uint64_t behind;       /* bytes of old index rows still to be caught up with, at this moment */
    int sys_errno;
    fv_vacuum_damage damage[FV_VACUUM_DAMAGE_LISTED]; /* the first ones, dropped or carried */
    uint32_t damage_count;
} fv_vacuum_stat;

/* `source_idx_fd` reads the old index; the new files hold nothing yet, and records begin at `first`.
 * None of the descriptors is taken over.  NULL: out of memory. */
fv_vacuum *fv_vacuum_new(fv_volume *volume, int source_idx_fd, int dat_fd, int idx_fd,
                         uint64_t first, int order);
void fv_vacuum_free(fv_vacuum *vacuum);
/* Copies about `bytes` bytes of records. */
int fv_vacuum_copy(fv_vacuum *vacuum, uint64_t bytes);
/* Replays about `bytes` bytes of records' worth of rows that came since the start. */
int fv_vacuum_catch_up(fv_vacuum *vacuum, uint64_t bytes);
void fv_vacuum_get_stat(fv_vacuum *vacuum, fv_vacuum_stat *out);
/* cffi:end */

#endif
