/* Deleting many needles with one call: their fids read, their records checked, tombstones appended in
 * runs, results written as a protobuf message.
 *
 * What is common is decided here.  Everything else (an odd fid, an empty file, a needle with a TTL, a
 * volume that refuses, an I/O error) is left OPEN, untouched, for the caller to do one by one. */
#ifndef FASTVOL_DELETION_H
#define FASTVOL_DELETION_H

#include "volume.h"

/* cffi:begin */
#define FV_DELETION_PENDING -40 /* read, and not yet looked at */
#define FV_DELETION_OPEN -41    /* for the caller */
#define FV_DELETION_MANIFEST -42

typedef struct {
    uint64_t id;
    uint32_t cookie;
    uint32_t volume_id;
    int32_t size; /* body size of the record that was deleted */
    size_t text_at; /* the fid in the text that was read */
    size_t text_length;
    int result; /* FV_OK, FV_NOT_FOUND, FV_DELETED, FV_BAD_COOKIE or one of the above */
} fv_deletion;

/* Reads fids, one a line: `<volume id>,<needle id and cookie in hex>`, with `with_delta` also
 * `_<decimal>` behind.  Returns how many lines there are; fills up to `capacity`. */
size_t fv_deletions_read(const char *text, size_t length, int with_delta, fv_deletion *out,
                         size_t capacity);
/* Index of the first that is pending, from `from` on; count: none. */
size_t fv_deletions_next(const fv_deletion *items, size_t count, size_t from);
/* Leaves those that are pending for this volume id to the caller. */
void fv_deletions_leave(fv_deletion *items, size_t count, uint32_t volume_id);
/* Deletes those that are pending for this volume.  With `check_cookie` the record is read and checked,
 * and its checksum goes into the tombstone; a chunk manifest is then left alone. */
void fv_volume_delete_many(fv_volume *volume, uint32_t volume_id, fv_deletion *items, size_t count,
                           int check_cookie);
/* Writes results [from, to), none of them open, as field 1 of a BatchDeleteResponse; `text` is the one
 * that was read.  Returns the bytes needed; writes nothing when `capacity` is less. */
size_t fv_deletions_write(const char *text, const fv_deletion *items, size_t from, size_t to,
                          uint8_t *out, size_t capacity);
/* cffi:end */

#endif
