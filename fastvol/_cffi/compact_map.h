/* A volume's needle map: needle id -> (offset, size).
 *
 * The usual kind is the compact map: sorted, in memory, about 11 bytes an entry.  Two others keep
 * their entries elsewhere, and so may have to wait, and may fail: sorted_map.h (a file) and
 * foreign_map.h (whatever the caller has).  The same functions work on all of them.
 *
 * Offsets are in units of 8 bytes, as on disk.  A deleted entry stays, with its offset and its size
 * negated (-1 for an empty file), so that `readDeleted` works until the map is rebuilt; a map that is
 * not in memory may have forgotten the size (-1) or the whole entry.
 *
 * Threads: any number of readers, one writer at a time (the volume's write lock sees to that); no
 * function holds the compact map's own lock during I/O. */
#ifndef FASTVOL_COMPACT_MAP_H
#define FASTVOL_COMPACT_MAP_H

#include "index_tail.h"

/* cffi:begin */
typedef struct fv_map fv_map;

/* The needle map's counters; all byte counts sum body sizes, none ever decreases. */
typedef struct {
    uint64_t file_count;
    uint64_t deletion_count;
    uint64_t file_bytes;
    uint64_t deletion_bytes;
    uint64_t max_key;
    uint64_t max_end; /* largest record end in bytes that a live row names, at load */
    uint64_t rows;    /* whole rows read at load */
} fv_counters;

fv_map *fv_map_new(void);
void fv_map_free(fv_map *map);
/* Every function below that looks up or changes may also return a negative errno, and has changed
 * nothing then: -ENOMEM; and, unless the map is a compact one, -EAGAIN (it would have to wait; only
 * with nowait), -ESHUTDOWN (closed), -EROFS, or what made its reading or writing fail. */

/* 1 and *out filled when the key has an entry (deleted ones too), else 0. */
int fv_map_find(fv_map *map, uint64_t id, int nowait, fv_entry *out);
/* The same, waiting. */
int fv_map_get(fv_map *map, uint64_t id, fv_entry *out);
/* Sets the entry; returns 1 with the previous one in *old, 0 when there was none.  Without `old` only
 * a compact map knows which. */
int fv_map_set(fv_map *map, uint64_t id, uint64_t offset, int32_t size, fv_entry *old);
/* Negates a live entry; returns 1 with the entry before in *old, 0 when absent or already deleted. */
int fv_map_delete(fv_map *map, uint64_t id, fv_entry *old);
/* Takes the key out altogether (rollback of a first write); returns 1 when it was there. */
int fv_map_remove(fv_map *map, uint64_t id);
/* Copies up to `capacity` entries with id >= first, ascending; returns how many.  Fewer than
 * `capacity` means that there are no more. */
int64_t fv_map_scan(fv_map *map, uint64_t first, fv_entry *out, size_t capacity);
/* How many entries are not deleted; *bytes sums the record lengths of needles of `version`. */
int64_t fv_map_live(fv_map *map, int version, uint64_t *bytes);
/* Makes changes durable where nothing else vouches for them; 0. */
int fv_map_sync(fv_map *map);
/* Entries; of a foreign map, as it was told when it was made.  Never waits. */
uint64_t fv_map_count(fv_map *map);
/* Bytes of memory held, all overheads that we can see included.  Never waits. */
uint64_t fv_map_memory(fv_map *map);

/* Replays the index log of `fd` into an empty map with the counters of the in-memory loader
 * (weed/storage/needle_map_memory.go: doLoading).  A trailing partial row is ignored.
 * `offset_width` is 4 or 5; `version` (1..3) gives the record length behind max_end.
 * Returns 0 or a negative errno. */
int fv_map_load(fv_map *map, int fd, int offset_width, int version, fv_counters *counters);
/* The same, and what fv_scan_index_tail finds for a data file of `dat_size` bytes, in one pass. */
int fv_map_load_with_tail(fv_map *map, int fd, int offset_width, int version, uint64_t dat_size,
                          fv_counters *counters, fv_index_tail *tail);

/* Runtime counter rules (weed/storage/needle_map_metric.go): old_size is 0 when there was none. */
void fv_counters_put(fv_counters *counters, uint64_t id, int32_t old_size, int32_t new_size);
void fv_counters_delete(fv_counters *counters, int32_t old_size);
/* cffi:end */

/* What the size of a live entry becomes when it is deleted. */
static inline int32_t fv_deleted_size(int32_t size)
{
    return size == 0 ? -1 : -size;
}

#endif
