/* What all threads share: the volumes by id, the options, the counters. */
#ifndef FASTVOL_SERVER_H
#define FASTVOL_SERVER_H

#include "content_type.h"
#include "serve.h"

#include <pthread.h>
#include <stdatomic.h>

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
    _Atomic uint64_t counts[FV_COUNTS];
    struct fv_pool *pool;
};

/* A referenced volume, or NULL. */
fv_volume *fv_server_find_volume(fv_server *server, uint32_t id);
void fv_server_count(fv_server *server, int which, uint64_t amount);

#endif
