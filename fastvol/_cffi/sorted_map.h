/* The sorted-file map (`.sdx`): the rows of what is live, ascending by key, in a file.
 *
 * It is for volumes that take no writes, and costs a few kilobytes of memory whatever their size.  A
 * look-up reads one row a step and at last one block; with nowait only from the page cache.
 * Deleting overwrites the size of a row by -1; a reader that meets such a change under way reads
 * again.  Source of the format: weed/storage/needle_map_sorted_file.go. */
#ifndef FASTVOL_SORTED_MAP_H
#define FASTVOL_SORTED_MAP_H

#include "index_counters.h"

/* cffi:begin */
/* Appends the rows of what is live in an index to an empty file; durable when it returns 0, else a
 * negative errno. */
int fv_sorted_write(int idx_fd, int fd, int offset_width);
/* A map over the rows of `fd`, which is taken over, also when it fails.  The rows must ascend and be
 * those of `live`.  Returns 0, or -EBADMSG when they are not, or another negative errno. */
int fv_map_open_sorted(int fd, int offset_width, const fv_live *live, fv_map **map);
/* cffi:end */

#endif
