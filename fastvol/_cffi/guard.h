/* Touching mapped pages without dying of it.
 *
 * A failing disk, or a file cut short under a live mapping, raises SIGBUS at the instruction that
 * touches the page.  Code run under fv_guard_run comes back with -1 instead; a SIGBUS anywhere else
 * keeps its default effect. */
#ifndef FASTVOL_GUARD_H
#define FASTVOL_GUARD_H

#include <stddef.h>
#include <stdint.h>

/* Installs the handler once for the process; safe to call again. */
void fv_guard_install(void);
/* Runs fn(arg); 0, or -1 when a mapped page in it could not be read. `fn` must own no resources. */
int fv_guard_run(void (*fn)(void *), void *arg);

#endif
