/* Touching mapped pages without dying of it.
 *
 * A failing disk, or a file cut short under a live mapping, raises SIGBUS at the instruction that
 * touches the page.  Code run under fv_guard_run comes back with -1 instead.
 *
 * LevelDB maps its tables and cannot be left in the middle.  Where it meets such a page, it is given
 * one of zeros, which its checksums tell from a good one - but not those of everything that it has
 * checked before.  So whoever asks a LevelDB must not believe an answer during which, or since the
 * opening of which, fv_guard_lost_pages has changed.
 *
 * A SIGBUS anywhere else keeps its default effect. */
#ifndef FASTVOL_GUARD_H
#define FASTVOL_GUARD_H

#include <stddef.h>
#include <stdint.h>

/* Runs fn(arg); 0, or -1 when a mapped page in it could not be read. `fn` must own no resources. */
int fv_guard_run(void (*fn)(void *), void *arg);
/* Goes on with *crc over mapped bytes; 0, or -1 when a page of them could not be read. */
int fv_guard_crc32c(uint32_t *crc, const uint8_t *data, size_t length);

/* cffi:begin */
/* Installs the handler once for the process; safe to call again. */
void fv_guard_install(void);
/* How many pages of LevelDB tables could not be read so far. */
uint64_t fv_guard_lost_pages(void);
/* cffi:end */

#endif
