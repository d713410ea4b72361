/* What all threads share: the volumes by id, the options, the counters. */
#ifndef FASTVOL_SERVER_H
#define FASTVOL_SERVER_H

#include "content_type.h"
#include "serve.h"

#include <pthread.h>
#include <stdatomic.h>

/* What one loop has counted. Only its thread adds; any thread may read. */
typedef struct fv_tally {
    _Atomic uint64_t values[FV_COUNTS];
    struct fv_tally *previous;
    struct fv_tally *next;
} fv_tally;

struct fv_server {
    fv_server_options options;
    char *server_header;
    size_t server_header_length;
    fv_mime_table *mime;
    atomic_int fast_read;
    atomic_int fast_write;
    pthread_rwlock_t table_lock;
    struct fv_slot {
        uint32_t id;
        fv_volume *volume;
    } *table; /* sorted by id */
    size_t table_length;
    size_t table_capacity;
    pthread_mutex_t tallies_lock;
    fv_tally *tallies;
    uint64_t retired[FV_COUNTS]; /* of loops that are gone */
    struct fv_pool *pool;
};

/* A referenced volume, or NULL. */
fv_volume *fv_server_find_volume(fv_server *server, uint32_t id);

void fv_server_add_tally(fv_server *server, fv_tally *tally);
/* Its numbers stay in the server's. */
void fv_server_remove_tally(fv_server *server, fv_tally *tally);

/* A clock that never goes back, to the nanosecond. */
uint64_t fv_now_ns(void);

static inline void fv_tally_add(fv_tally *tally, int which, uint64_t amount)
{
    /* One writer: no locked instruction is needed, only that a reader sees no half of a number. */
    uint64_t now = atomic_load_explicit(&tally->values[which], memory_order_relaxed);
    atomic_store_explicit(&tally->values[which], now + amount, memory_order_relaxed);
}

#endif
