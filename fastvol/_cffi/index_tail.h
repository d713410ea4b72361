/* The row of the record that lies furthest back in the data file: what an open compares with it. */
#ifndef FASTVOL_INDEX_TAIL_H
#define FASTVOL_INDEX_TAIL_H

#include "index_rows.h"
#include "needle.h"

/* cffi:begin */
typedef struct {
    uint64_t rows;         /* whole rows */
    uint64_t last_id;      /* of the row whose record lies furthest back in the data file */
    uint64_t last_offset;  /* bytes; 0 = no row has a position */
    int32_t last_size;     /* -1 = a tombstone's row */
    uint64_t previous_end; /* bytes; end of the record before it in the data file, 0 = none */
    uint64_t beyond;       /* rows whose record ends behind dat_size */
    uint64_t last_row;     /* index of that row, from 0 */
    int sys_errno;
} fv_index_tail;
/* cffi:end */

/* What may follow a record's body at most: checksum, time, padding. */
#define FV_TAIL_MAX 32u

/* The rows of one index, considered from the first to the last. */
typedef struct {
    int version;
    uint64_t dat_size;
    uint64_t previous; /* offset of the record before the last one */
    int32_t previous_size;
    fv_index_tail *out;
} fv_tail_search;

static inline void fv_tail_begin(fv_tail_search *search, int version, uint64_t dat_size,
                                 fv_index_tail *out)
{
    *out = (fv_index_tail){0};
    *search = (fv_tail_search){.version = version, .dat_size = dat_size, .out = out};
}

static inline void fv_tail_consider(fv_tail_search *search, const fv_entry *entry)
{
    fv_index_tail *out = search->out;
    uint64_t offset = entry->offset * 8, row = out->rows++;
    if (offset == 0)
        return;
    int32_t size = entry->size < 0 ? -1 : entry->size;
    /* The exact end costs more than the rest of this; few rows are near enough to need it. */
    if (offset + FV_NEEDLE_HEADER + (uint64_t)(size > 0 ? size : 0) + FV_TAIL_MAX >
            search->dat_size &&
        offset + fv_needle_actual_size(size, search->version) > search->dat_size)
        out->beyond++;
    if (offset >= out->last_offset) {
        if (offset > out->last_offset && out->last_offset != 0) {
            search->previous = out->last_offset;
            search->previous_size = out->last_size;
        }
        out->last_offset = offset;
        out->last_size = size;
        out->last_id = entry->id;
        out->last_row = row;
    } else if (offset >= search->previous) {
        search->previous = offset;
        search->previous_size = size;
    }
}

static inline void fv_tail_finish(fv_tail_search *search)
{
    if (search->previous != 0)
        search->out->previous_end =
            search->previous + fv_needle_actual_size(search->previous_size, search->version);
}

#endif
