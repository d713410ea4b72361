/* What the parts of an open volume share: volume.c (its life), volume_bytes.c (bytes of its data file),
 * volume_read.c (one needle) and volume_append.c (writes). */
#ifndef FASTVOL_VOLUME_STATE_H
#define FASTVOL_VOLUME_STATE_H

#include "volume.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct mapping {
    const uint8_t *base;
    uint64_t length;
    struct mapping *older;
} mapping;

struct fv_volume {
    atomic_int references;
    uint32_t id;
    int version;
    int offset_width;
    int dat_fd;
    int idx_fd;
    int dat_is_elsewhere;
    fv_map *map;
    uint8_t ttl[2];
    uint64_t size_max;
    atomic_uint flags;
    atomic_int nowait_unsupported;

    /* Held by a writer from its look-up to its last byte, I/O included; never by a reader. */
    pthread_mutex_t write_lock;
    int sealed; /* both under write_lock, never reset */
    int broken;
    int paused; /* under write_lock */
    pthread_cond_t unpaused;
    /* Guards the numbers below; held for a few instructions only. */
    pthread_mutex_t stat_lock;
    fv_volume_stat stat;

    /* Grows by replacement; a reader may still be in an older mapping, so all stay until the end. */
    pthread_mutex_t mapping_lock;
    _Atomic(mapping *) current;

    pthread_mutex_t once_lock;
    uint64_t *once;
    size_t once_words;
};

/* As fv_volume_pread, waiting for the disk; *got is how much there was. errno says why it failed. */
int fv_volume_pread_waiting(fv_volume *volume, uint8_t *out, size_t length, uint64_t offset,
                            int64_t *got);
/* The whole record at out->offset, checked; FV_READ_NOWAIT of `mode` counts. */
int fv_volume_read_record(fv_volume *volume, int32_t size, unsigned mode, fv_read *out);

/* What a map's negative errno means here; *sys_errno is set for FV_IO_ERROR. */
int fv_volume_map_result(int error, int *sys_errno);

#endif
