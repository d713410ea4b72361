#include "pool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FETCH_STEP (256u << 10)
#define META_STEP (128u << 10)

struct fv_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    fv_job *first;
    fv_job *last;
    int stopping;
    int thread_count;
    pthread_t threads[];
};

/* Reads the range so that its pages are cached; the bytes themselves are dropped.  Of a long one only
 * both ends are waited for, where the metadata are; the rest is read ahead for what comes next. */
static int fetch(fv_volume *volume, uint64_t offset, uint64_t length)
{
    int sys_errno;
    if (length > 2 * FETCH_STEP) {
        posix_fadvise(fv_volume_dat_fd(volume), (off_t)offset, (off_t)length, POSIX_FADV_WILLNEED);
        int first = fetch(volume, offset, META_STEP);
        if (first != FV_OK)
            return first;
        offset += length - META_STEP;
        length = META_STEP;
    }
    uint8_t *scratch = malloc(length < FETCH_STEP ? length + 1 : FETCH_STEP);
    if (scratch == NULL)
        return FV_NO_MEMORY;
    int result = FV_OK;
    while (length > 0 && result == FV_OK) {
        size_t step = length < FETCH_STEP ? length : FETCH_STEP;
        result = fv_volume_pread(volume, scratch, step, offset, 0, &sys_errno);
        offset += step;
        length -= step;
    }
    free(scratch);
    return result;
}

static void run_job(fv_job *job)
{
    const fv_cold *cold = &job->cold;
    fv_fault fault;
    if (cold->verify) {
        job->result = fv_volume_verify(cold->volume, cold->offset, (uint32_t)cold->length,
                                       cold->stored,
                                       cold->cached ? FV_VERIFY_CACHED : FV_VERIFY_WAIT, &fault);
        /* A sum in the legacy form is right, but only the complete read answers with it. */
        if (job->result == FV_OK && fault.computed != cold->stored)
            job->result = FV_NEEDLE_BAD_CRC;
    } else {
        job->result = fetch(cold->volume, cold->offset, cold->length);
    }
}

static void complete(fv_job *job)
{
    fv_completions *completions = job->completions;
    uint64_t one = 1;
    pthread_mutex_lock(&completions->lock);
    job->next = completions->first;
    completions->first = job;
    /* Still under the lock: a loop that ends frees all this as soon as it has its last job. */
    ssize_t written = write(completions->eventfd, &one, sizeof one);
    assert(written == (ssize_t)sizeof one || errno == EAGAIN);
    (void)written;
    pthread_mutex_unlock(&completions->lock);
}

static void *thread_main(void *arg)
{
    fv_pool *pool = arg;
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        while (pool->first == NULL && !pool->stopping)
            pthread_cond_wait(&pool->work, &pool->lock);
        fv_job *job = pool->first;
        if (job != NULL) {
            pool->first = job->next;
            if (pool->first == NULL)
                pool->last = NULL;
        }
        pthread_mutex_unlock(&pool->lock);
        if (job == NULL)
            return NULL;
        run_job(job);
        complete(job);
    }
}

fv_pool *fv_pool_new(int threads)
{
    assert(threads >= 1 && threads <= 1024);
    fv_pool *pool = calloc(1, sizeof *pool + (size_t)threads * sizeof pool->threads[0]);
    if (pool == NULL)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    for (; pool->thread_count < threads; pool->thread_count++)
        if (pthread_create(&pool->threads[pool->thread_count], NULL, thread_main, pool) != 0)
            break;
    if (pool->thread_count == 0) {
        fv_pool_free(pool);
        return NULL;
    }
    return pool;
}

void fv_pool_free(fv_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    free(pool);
}

void fv_pool_submit(fv_pool *pool, fv_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->last == NULL)
        pool->first = job;
    else
        pool->last->next = job;
    pool->last = job;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

void fv_completions_return(fv_completions *completions, fv_job *jobs)
{
    assert(jobs == NULL || jobs->completions == completions);
    while (jobs != NULL) {
        fv_job *next = jobs->next;
        complete(jobs);
        jobs = next;
    }
}

int fv_completions_init(fv_completions *completions)
{
    completions->first = NULL;
    completions->outstanding = 0;
    completions->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (completions->eventfd < 0)
        return -1;
    pthread_mutex_init(&completions->lock, NULL);
    return 0;
}

void fv_completions_destroy(fv_completions *completions)
{
    close(completions->eventfd);
    pthread_mutex_destroy(&completions->lock);
}

fv_job *fv_completions_take(fv_completions *completions)
{
    uint64_t ignored;
    ssize_t got = read(completions->eventfd, &ignored, sizeof ignored);
    (void)got; /* empty is fine: the list says what there is */
    pthread_mutex_lock(&completions->lock);
    fv_job *jobs = completions->first;
    completions->first = NULL;
    pthread_mutex_unlock(&completions->lock);
    return jobs;
}
