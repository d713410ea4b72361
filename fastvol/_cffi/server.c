#include "server.h"

#include "pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

fv_server *fv_server_new(const fv_server_options *options)
{
    fv_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    /* "Verified once" remembers a bit a granule, so what it remembers must not share one. */
    assert(!options->verify_once || options->copy_max >= FV_ONCE_GRANULE);
    server->options = *options;
    server->server_header = strdup(options->server_header);
    server->options.server_header = server->server_header;
    server->mime = fv_mime_table_new();
    server->pool = fv_pool_new(options->io_threads);
    pthread_rwlock_init(&server->table_lock, NULL);
    pthread_mutex_init(&server->tallies_lock, NULL);
    atomic_init(&server->fast_read, 1);
    atomic_init(&server->fast_write, 1);
    if (server->server_header == NULL || server->mime == NULL || server->pool == NULL) {
        fv_server_free(server);
        return NULL;
    }
    server->server_header_length = strlen(server->server_header);
    return server;
}

void fv_server_free(fv_server *server)
{
    if (server->pool != NULL)
        fv_pool_free(server->pool);
    for (size_t i = 0; i < server->table_length; i++)
        fv_volume_unref(server->table[i].volume);
    free(server->table);
    fv_mime_table_free(server->mime);
    free(server->server_header);
    assert(server->tallies == NULL);
    pthread_mutex_destroy(&server->tallies_lock);
    pthread_rwlock_destroy(&server->table_lock);
    free(server);
}

int fv_server_add_mime(fv_server *server, int lower, const char *extension, const char *type)
{
    return fv_mime_table_add(server->mime, lower, extension, type);
}

void fv_server_set_fast_read(fv_server *server, int on)
{
    atomic_store(&server->fast_read, on);
}

void fv_server_set_fast_write(fv_server *server, int on)
{
    atomic_store(&server->fast_write, on);
}

uint64_t fv_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void add_tally(uint64_t *out, const fv_tally *tally)
{
    for (int i = 0; i < FV_COUNTS; i++)
        out[i] += atomic_load_explicit(&tally->values[i], memory_order_relaxed);
}

void fv_server_counts(fv_server *server, uint64_t *out)
{
    pthread_mutex_lock(&server->tallies_lock);
    memcpy(out, server->retired, sizeof server->retired);
    for (const fv_tally *tally = server->tallies; tally != NULL; tally = tally->next)
        add_tally(out, tally);
    pthread_mutex_unlock(&server->tallies_lock);
}

void fv_server_add_tally(fv_server *server, fv_tally *tally)
{
    pthread_mutex_lock(&server->tallies_lock);
    tally->previous = NULL;
    tally->next = server->tallies;
    if (tally->next != NULL)
        tally->next->previous = tally;
    server->tallies = tally;
    pthread_mutex_unlock(&server->tallies_lock);
}

void fv_server_remove_tally(fv_server *server, fv_tally *tally)
{
    pthread_mutex_lock(&server->tallies_lock);
    add_tally(server->retired, tally);
    if (tally->previous != NULL)
        tally->previous->next = tally->next;
    else
        server->tallies = tally->next;
    if (tally->next != NULL)
        tally->next->previous = tally->previous;
    pthread_mutex_unlock(&server->tallies_lock);
}

/* First slot whose id is not below `id`. */
static size_t slot_of(const fv_server *server, uint32_t id)
{
    size_t low = 0;
    size_t high = server->table_length;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (server->table[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int fv_server_put_volume(fv_server *server, uint32_t id, fv_volume *volume)
{
    fv_volume *replaced = NULL;
    int result = 0;
    pthread_rwlock_wrlock(&server->table_lock);
    size_t at = slot_of(server, id);
    if (at < server->table_length && server->table[at].id == id) {
        replaced = server->table[at].volume;
        server->table[at].volume = fv_volume_ref(volume);
    } else {
        if (server->table_length == server->table_capacity) {
            size_t capacity = server->table_capacity * 2 + 16;
            struct fv_slot *grown = realloc(server->table, capacity * sizeof *grown);
            if (grown == NULL)
                result = -1;
            else {
                server->table = grown;
                server->table_capacity = capacity;
            }
        }
        if (result == 0) {
            memmove(server->table + at + 1, server->table + at,
                    (server->table_length - at) * sizeof *server->table);
            server->table[at].id = id;
            server->table[at].volume = fv_volume_ref(volume);
            server->table_length++;
        }
    }
    pthread_rwlock_unlock(&server->table_lock);
    if (replaced != NULL)
        fv_volume_unref(replaced);
    return result;
}

void fv_server_drop_volume(fv_server *server, uint32_t id)
{
    fv_volume *dropped = NULL;
    pthread_rwlock_wrlock(&server->table_lock);
    size_t at = slot_of(server, id);
    if (at < server->table_length && server->table[at].id == id) {
        dropped = server->table[at].volume;
        memmove(server->table + at, server->table + at + 1,
                (server->table_length - at - 1) * sizeof *server->table);
        server->table_length--;
    }
    pthread_rwlock_unlock(&server->table_lock);
    if (dropped != NULL)
        fv_volume_unref(dropped);
}

fv_volume *fv_server_find_volume(fv_server *server, uint32_t id)
{
    fv_volume *volume = NULL;
    pthread_rwlock_rdlock(&server->table_lock);
    size_t at = slot_of(server, id);
    if (at < server->table_length && server->table[at].id == id)
        volume = fv_volume_ref(server->table[at].volume);
    pthread_rwlock_unlock(&server->table_lock);
    return volume;
}
