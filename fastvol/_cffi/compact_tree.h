/* The sorted tree under a compact map: two levels, no lock.
 *
 *   directory   slot 0         slot 1         ...          sorted by base
 *               base, leaf     base, leaf
 *                     |
 *   leaf        header | offsets u32[] | sizes i32[] | key deltas u16|u32|u64[] | high bytes u8[]
 *
 * A leaf holds at most 1024 entries, ascending; the id of entry i is base + delta[i].  Deltas are as
 * narrow as the leaf's range allows, and the fifth offset byte is stored only where some offset of
 * the leaf needs it (a volume beyond 32 GiB): 10 or 11 bytes an entry for the ascending ids that a
 * master hands out, 16 or 17 for random ones.  A leaf keeps room for little more than it holds,
 * except the last one, which doubles, because that is where ascending ids land.  A full last leaf is
 * left full behind; any other full leaf is split into halves.
 *
 * Invariants: bases ascend strictly; base <= first id of its leaf; the last id of a leaf is below
 * the next base; no leaf is empty. */
#ifndef FASTVOL_COMPACT_TREE_H
#define FASTVOL_COMPACT_TREE_H

#include "compact_map.h"

typedef struct {
    uint64_t base;
    struct fv_leaf *leaf;
} fv_slot;

/* All zero is an empty tree. */
typedef struct {
    fv_slot *slots;
    size_t slot_count;
    size_t slot_capacity;
    uint64_t count;
    uint64_t leaf_bytes;
} fv_tree;

/* The functions mean what those of compact_map.h mean; `old` may be NULL. */
int fv_tree_get(const fv_tree *t, uint64_t id, fv_entry *out);
int fv_tree_set(fv_tree *t, uint64_t id, uint64_t offset, int32_t size, fv_entry *old);
/* Appends entries whose ids lie above all that are there; ids and offsets ascend.  `expected`: so many
 * entries, with these, may be appended one behind the other.  0, or -1 after any number of them. */
int fv_tree_append_run(fv_tree *t, const fv_entry *run, size_t count, uint64_t expected);
int fv_tree_delete(fv_tree *t, uint64_t id, fv_entry *old);
int fv_tree_remove(fv_tree *t, uint64_t id);
size_t fv_tree_scan(const fv_tree *t, uint64_t first, fv_entry *out, size_t capacity);
uint64_t fv_tree_memory(const fv_tree *t);
void fv_tree_free(fv_tree *t);

#endif
