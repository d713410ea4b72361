/* The counters of a needle map that is not loaded into memory, from its index alone.
 *
 * Upstream walks the index backwards and asks a Bloom filter which keys it has met
 * (weed/storage/needle_map_metric.go: needleMapMetricFromIndexFile); what it means to count is: every
 * row as a file, and as a deletion unless it is its key's newest and has a size; the bytes of all
 * rows, and as deleted those that are not of a key's newest row.  Here these are exact. */
#ifndef FASTVOL_INDEX_COUNTERS_H
#define FASTVOL_INDEX_COUNTERS_H

#include "compact_map.h"

/* cffi:begin */
/* What an index says is there, so that a copy of it can be compared. */
typedef struct {
    uint64_t count;
    uint64_t sum; /* of a hash of each key, offset and size */
} fv_live;

/* Counts the rows of an index; a trailing partial row is ignored.  Takes memory for a part of the keys
 * only, and as many passes as there are parts.  0 or a negative errno. */
int fv_count_backwards(int fd, int offset_width, int version, fv_counters *counters, fv_live *live);
/* The same with so many keys at once; for tests. */
int fv_count_in_parts(int fd, int offset_width, int version, uint64_t keys_at_once,
                      fv_counters *counters, fv_live *live);
/* cffi:end */

/* What one live entry adds to the sum. */
uint64_t fv_live_hash(const fv_entry *entry);

#endif
