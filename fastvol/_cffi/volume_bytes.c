#include "volume_state.h"

#include "crc32c.h"
#include "file_bytes.h"
#include "guard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE 4096u
#define MAPPING_STEP (64ull << 20)
#define ONCE_WORDS_STEP 1024u

/* ---- reading and mapping --------------------------------------------------------------------- */

int fv_volume_pread_waiting(fv_volume *volume, uint8_t *out, size_t length, uint64_t offset,
                            int64_t *got)
{
    ssize_t n = fv_read_fully(volume->dat_fd, out, length, offset);
    *got = n < 0 ? 0 : n;
    if (n < 0)
        return FV_IO_ERROR;
    return (size_t)n == length ? FV_OK : FV_NEEDLE_SHORT;
}

int fv_volume_pread(fv_volume *volume, void *out, size_t length, uint64_t offset, int nowait,
                    int *sys_errno)
{
    int64_t got = 0;
    if (nowait && !atomic_load_explicit(&volume->nowait_unsupported, memory_order_relaxed)) {
        struct iovec part = {.iov_base = out, .iov_len = length};
        ssize_t n = preadv2(volume->dat_fd, &part, 1, (off_t)offset, RWF_NOWAIT);
        if (n == (ssize_t)length)
            return FV_OK;
        if (n >= 0) {
            /* Short: the rest is cold, or the file ends here; only a waiting read can tell. */
            return FV_COLD;
        }
        if (errno == EAGAIN || errno == EINTR)
            return FV_COLD;
        if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS) {
            *sys_errno = errno;
            return FV_IO_ERROR;
        }
        atomic_store(&volume->nowait_unsupported, 1);
    }
    int result = fv_volume_pread_waiting(volume, out, length, offset, &got);
    if (result == FV_IO_ERROR)
        *sys_errno = errno;
    return result;
}

static mapping *map_data(int dat_fd, uint64_t end, mapping *older)
{
    uint64_t length = older == NULL ? MAPPING_STEP : older->length;
    while (length < end)
        length *= 2;
    mapping *fresh = malloc(sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    void *base = mmap(NULL, length, PROT_READ, MAP_SHARED | MAP_NORESERVE, dat_fd, 0);
    if (base == MAP_FAILED) {
        free(fresh);
        return NULL;
    }
    *fresh = (mapping){.base = base, .length = length, .older = older};
    return fresh;
}

const uint8_t *fv_volume_mapped(fv_volume *volume, uint64_t end)
{
    mapping *current = atomic_load_explicit(&volume->current, memory_order_acquire);
    if (current != NULL && current->length >= end)
        return current->base;
    pthread_mutex_lock(&volume->mapping_lock);
    current = atomic_load_explicit(&volume->current, memory_order_acquire);
    if (current == NULL || current->length < end) {
        current = map_data(volume->dat_fd, end, current);
        if (current != NULL)
            atomic_store_explicit(&volume->current, current, memory_order_release);
    }
    pthread_mutex_unlock(&volume->mapping_lock);
    return current == NULL ? NULL : current->base;
}

int fv_volume_resident(fv_volume *volume, uint64_t offset, uint64_t length)
{
    if (length == 0)
        return 1;
    const uint8_t *base = fv_volume_mapped(volume, offset + length);
    if (base == NULL)
        return 1; /* cannot know; the read itself will tell */
    uint64_t first = offset & ~(uint64_t)(PAGE - 1);
    uint64_t last = offset + length;
    unsigned char pages[1024];
    while (first < last) {
        uint64_t span = last - first;
        if (span > sizeof pages * (uint64_t)PAGE)
            span = sizeof pages * (uint64_t)PAGE;
        if (mincore((void *)(base + first), span, pages) != 0)
            return 1;
        size_t count = (span + PAGE - 1) / PAGE;
        for (size_t i = 0; i < count; i++)
            if ((pages[i] & 1) == 0)
                return 0;
        first += span;
    }
    return 1;
}

typedef struct {
    const uint8_t *from;
    void *to;
    size_t length;
} copy_work;

static void copy_guarded(void *arg)
{
    const copy_work *work = arg;
    memcpy(work->to, work->from, work->length);
}

int fv_volume_copy_mapped(fv_volume *volume, uint64_t offset, size_t length, void *out)
{
    const uint8_t *base = fv_volume_mapped(volume, offset + length);
    if (base == NULL)
        return FV_NO_MEMORY;
    copy_work work = {.from = base + offset, .to = out, .length = length};
    return fv_guard_run(copy_guarded, &work) == 0 ? FV_OK : FV_IO_ERROR;
}

int fv_volume_verify(fv_volume *volume, uint64_t data_offset, uint32_t data_size, uint32_t stored,
                     int how, fv_fault *fault)
{
    memset(fault, 0, sizeof *fault);
    if (how == FV_VERIFY_NOWAIT && !fv_volume_resident(volume, data_offset, data_size))
        return FV_COLD;
    const uint8_t *base = fv_volume_mapped(volume, data_offset + data_size);
    if (base == NULL)
        return FV_NO_MEMORY;
    if (how == FV_VERIFY_WAIT)
        posix_fadvise(volume->dat_fd, (off_t)data_offset, (off_t)data_size, POSIX_FADV_WILLNEED);
    uint32_t crc = 0;
    if (fv_guard_crc32c(&crc, base + data_offset, data_size) != 0)
        return FV_IO_ERROR;
    fault->computed = crc;
    fault->stored = stored;
    if (crc != stored && fv_crc32c_legacy(crc) != stored)
        return FV_NEEDLE_BAD_CRC;
    return FV_OK;
}

/* ---- verified once --------------------------------------------------------------------------- */

int fv_volume_was_verified(fv_volume *volume, uint64_t offset)
{
    uint64_t bit = offset / FV_ONCE_GRANULE;
    pthread_mutex_lock(&volume->once_lock);
    int known = bit / 64 < volume->once_words && (volume->once[bit / 64] >> (bit % 64) & 1);
    pthread_mutex_unlock(&volume->once_lock);
    return known;
}

void fv_volume_note_verified(fv_volume *volume, uint64_t offset)
{
    uint64_t bit = offset / FV_ONCE_GRANULE;
    pthread_mutex_lock(&volume->once_lock);
    if (bit / 64 >= volume->once_words) {
        size_t words = bit / 64 + ONCE_WORDS_STEP;
        uint64_t *grown = realloc(volume->once, words * sizeof *grown);
        if (grown != NULL) {
            memset(grown + volume->once_words, 0, (words - volume->once_words) * sizeof *grown);
            volume->once = grown;
            volume->once_words = words;
        }
    }
    if (bit / 64 < volume->once_words)
        volume->once[bit / 64] |= (uint64_t)1 << (bit % 64);
    pthread_mutex_unlock(&volume->once_lock);
}
