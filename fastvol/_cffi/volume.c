#include "volume_state.h"

#include "guard.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

fv_volume *fv_volume_new(const fv_volume_spec *spec, fv_map *map, const fv_counters *counters)
{
    assert(spec->version >= 1 && spec->version <= 3);
    assert(spec->offset_width == 4 || spec->offset_width == 5);
    fv_guard_install();
    fv_volume *volume = calloc(1, sizeof *volume);
    if (volume == NULL) {
        fv_map_free(map);
        close(spec->dat_fd);
        if (spec->idx_fd >= 0)
            close(spec->idx_fd);
        return NULL;
    }
    atomic_init(&volume->references, 1);
    volume->id = spec->id;
    volume->version = spec->version;
    volume->offset_width = spec->offset_width;
    volume->dat_fd = spec->dat_fd;
    volume->idx_fd = spec->idx_fd;
    volume->dat_is_elsewhere = spec->dat_is_elsewhere;
    volume->map = map;
    memcpy(volume->ttl, spec->ttl, sizeof volume->ttl);
    volume->size_max = (uint64_t)1 << (spec->offset_width == 5 ? 43 : 35);
    pthread_mutex_init(&volume->write_lock, NULL);
    pthread_cond_init(&volume->unpaused, NULL);
    pthread_mutex_init(&volume->stat_lock, NULL);
    pthread_mutex_init(&volume->mapping_lock, NULL);
    pthread_mutex_init(&volume->once_lock, NULL);
    volume->stat.dat_size = spec->dat_size;
    /* Upstream rounds the append position up to the record alignment at open. */
    if (!spec->dat_is_elsewhere)
        volume->stat.dat_size = (spec->dat_size + 7) & ~(uint64_t)7;
    volume->stat.idx_size = spec->idx_size;
    volume->stat.last_append_ns = spec->last_append_ns;
    volume->stat.modified_second = spec->modified_second;
    volume->stat.last_modified_second = spec->last_modified_second;
    volume->stat.counters = *counters;
    /* A cold 1 KB read shall cost the pages it needs, not a read-ahead window. */
    posix_fadvise(volume->dat_fd, 0, 0, POSIX_FADV_RANDOM);
    return volume;
}

fv_volume *fv_volume_ref(fv_volume *volume)
{
    int before = atomic_fetch_add_explicit(&volume->references, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return volume;
}

void fv_volume_unref(fv_volume *volume)
{
    int before = atomic_fetch_sub_explicit(&volume->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1)
        return;
    for (mapping *m = atomic_load(&volume->current), *older; m != NULL; m = older) {
        older = m->older;
        munmap((void *)m->base, m->length);
        free(m);
    }
    close(volume->dat_fd);
    if (volume->idx_fd >= 0)
        close(volume->idx_fd);
    fv_map_free(volume->map);
    free(volume->once);
    pthread_mutex_destroy(&volume->write_lock);
    pthread_cond_destroy(&volume->unpaused);
    pthread_mutex_destroy(&volume->stat_lock);
    pthread_mutex_destroy(&volume->mapping_lock);
    pthread_mutex_destroy(&volume->once_lock);
    free(volume);
}

void fv_volume_get_stat(fv_volume *volume, fv_volume_stat *out)
{
    pthread_mutex_lock(&volume->stat_lock);
    *out = volume->stat;
    pthread_mutex_unlock(&volume->stat_lock);
    out->map_memory = fv_map_memory(volume->map);
    out->map_count = fv_map_count(volume->map);
}

void fv_volume_set_flags(fv_volume *volume, unsigned flags)
{
    pthread_mutex_lock(&volume->write_lock);
    atomic_store(&volume->flags, flags);
    pthread_mutex_unlock(&volume->write_lock);
}

void fv_volume_seal(fv_volume *volume)
{
    pthread_mutex_lock(&volume->write_lock);
    volume->sealed = 1;
    volume->paused = 0;
    pthread_cond_broadcast(&volume->unpaused);
    pthread_mutex_unlock(&volume->write_lock);
}

void fv_volume_pause(fv_volume *volume)
{
    pthread_mutex_lock(&volume->write_lock);
    assert(!volume->paused);
    volume->paused = 1;
    pthread_mutex_unlock(&volume->write_lock);
}

void fv_volume_resume(fv_volume *volume)
{
    pthread_mutex_lock(&volume->write_lock);
    volume->paused = 0;
    pthread_cond_broadcast(&volume->unpaused);
    pthread_mutex_unlock(&volume->write_lock);
}

uint64_t fv_volume_settled_idx_size(fv_volume *volume)
{
    pthread_mutex_lock(&volume->write_lock);
    uint64_t size = volume->stat.idx_size;
    pthread_mutex_unlock(&volume->write_lock);
    return size;
}

unsigned fv_volume_flags(const fv_volume *volume)
{
    return atomic_load_explicit(&((fv_volume *)volume)->flags, memory_order_relaxed);
}

int fv_volume_dat_fd(fv_volume *volume)
{
    return volume->dat_fd;
}

int fv_volume_has_live_empty_file(fv_volume *volume)
{
    fv_entry batch[256];
    uint64_t first = 0;
    for (;;) {
        int64_t count = fv_map_scan(volume->map, first, batch, 256);
        if (count < 0)
            return (int)count;
        for (int64_t i = 0; i < count; i++)
            if (batch[i].size == 0 && batch[i].offset != 0)
                return 1;
        if (count < 256 || batch[count - 1].id == UINT64_MAX)
            return 0;
        first = batch[count - 1].id + 1;
    }
}

fv_map *fv_volume_map(fv_volume *volume)
{
    return volume->map;
}

int fv_volume_version(const fv_volume *volume)
{
    return volume->version;
}

int fv_volume_offset_width(const fv_volume *volume)
{
    return volume->offset_width;
}

uint32_t fv_volume_id(const fv_volume *volume)
{
    return volume->id;
}

void fv_volume_ttl(const fv_volume *volume, uint8_t out[2])
{
    memcpy(out, volume->ttl, sizeof volume->ttl);
}
