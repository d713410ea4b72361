/* A needle map that the caller keeps: every look-up and change is a call of his functions.
 *
 * They may take their time, so with nowait a look-up is not made at all (-EAGAIN), and they may
 * fail.  The C volume's write lock may be held while they run, and they must not call back into it.
 * `free` is called once, by whichever thread lets the volume go. */
#ifndef FASTVOL_FOREIGN_MAP_H
#define FASTVOL_FOREIGN_MAP_H

#include "compact_map.h"

/* cffi:begin */
/* Results as in compact_map.h. */
typedef struct {
    int (*find)(void *self, uint64_t id, fv_entry *out);
    int (*set)(void *self, uint64_t id, uint64_t offset, int32_t size); /* 0 or a negative errno */
    int (*remove)(void *self, uint64_t id);
    int64_t (*scan)(void *self, uint64_t first, fv_entry *out, size_t capacity);
    void (*free)(void *self);
} fv_foreign_calls;

/* `count` and `memory` are what fv_map_count and fv_map_memory will say.  NULL: out of memory, and
 * `free` has been called. */
fv_map *fv_map_new_foreign(const fv_foreign_calls *calls, void *self, uint64_t count,
                           uint64_t memory);
/* cffi:end */

#endif
