/* What a needle map that is not the compact one is made of; the meanings are those of compact_map.h. */
#ifndef FASTVOL_MAP_METHODS_H
#define FASTVOL_MAP_METHODS_H

#include "compact_map.h"

typedef struct {
    int (*find)(void *self, uint64_t id, int nowait, fv_entry *out);
    /* 0 or a negative errno; NULL: -EROFS */
    int (*set)(void *self, uint64_t id, uint64_t offset, int32_t size);
    int (*delete)(void *self, uint64_t id, fv_entry *old);
    int (*remove)(void *self, uint64_t id); /* NULL: -EROFS */
    int64_t (*scan)(void *self, uint64_t first, fv_entry *out, size_t capacity);
    int (*sync)(void *self); /* NULL: nothing to do */
    uint64_t (*count)(void *self);
    uint64_t (*memory)(void *self);
    void (*free)(void *self);
} fv_map_methods;

/* Takes `self` over, also when it fails (NULL: out of memory). */
fv_map *fv_map_new_with(const fv_map_methods *methods, void *self);

#endif
