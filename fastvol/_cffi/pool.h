/* Threads that wait for disks so that event loops need not.
 *
 * A job brings a byte range into the page cache, or checks a payload's checksum (which brings it in
 * as well).  It is done when it stands in its loop's list of completed jobs. */
#ifndef FASTVOL_POOL_H
#define FASTVOL_POOL_H

#include "volume.h"

#include <pthread.h>

/* A read that must wait for the disk. */
typedef struct {
    fv_volume *volume; /* referenced */
    uint64_t record_offset;
    uint64_t offset;
    uint64_t length;
    int verify; /* check [offset, offset+length) against `stored` instead of only fetching it */
    int cached; /* it has just been seen in the page cache: no need to read ahead */
    uint32_t stored;
} fv_cold;

typedef struct fv_pool fv_pool;
typedef struct fv_completions fv_completions;

typedef struct fv_job {
    struct fv_job *next;
    fv_cold cold;
    int result; /* FV_OK when the bytes are in (and, for a check, right) */
    fv_completions *completions;
    void *owner; /* NULL once nobody waits any more; only touched by the loop's thread */
} fv_job;

/* One per event loop: finished jobs and the eventfd that says so. */
struct fv_completions {
    pthread_mutex_t lock;
    fv_job *first;
    int eventfd;
    size_t outstanding;
};

fv_pool *fv_pool_new(int threads);
/* Waits for running jobs; queued ones are finished as well. */
void fv_pool_free(fv_pool *pool);
void fv_pool_submit(fv_pool *pool, fv_job *job);

int fv_completions_init(fv_completions *completions);
void fv_completions_destroy(fv_completions *completions);
/* All finished jobs, in any order; NULL when there are none. */
fv_job *fv_completions_take(fv_completions *completions);
/* Puts back what there was no room for, and raises the event again. */
void fv_completions_return(fv_completions *completions, fv_job *jobs);

#endif
