#include "volume.h"

#include "crc32c.h"
#include "guard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define MAPPING_STEP (64ull << 20)
#define MAPPINGS_MAX 48
#define META_BYTES_MAX 131072u
#define HISTORIC_WRAP (32ull << 30)
#define ONCE_WORDS_STEP 1024u
#define TTL_UNIT_MAX 6u

typedef struct {
    const uint8_t *base;
    uint64_t length;
} mapping;

struct fv_volume {
    atomic_int references;
    uint32_t id;
    int version;
    int offset_width;
    int dat_fd;
    int idx_fd;
    fv_map *map;
    uint8_t ttl[2];
    uint64_t size_max;
    atomic_uint flags;
    atomic_int nowait_unsupported;

    /* Held by a writer from its look-up to its last byte, I/O included; never by a reader. */
    pthread_mutex_t write_lock;
    int sealed; /* both under write_lock, never reset */
    int broken;
    /* Guards the numbers below; held for a few instructions only. */
    pthread_mutex_t stat_lock;
    fv_volume_stat stat;

    /* Grows by replacement; a reader may still be in an older mapping, so all stay until the end. */
    pthread_mutex_t mapping_lock;
    _Atomic(const mapping *) current;
    mapping mappings[MAPPINGS_MAX];
    int mapping_count;

    pthread_mutex_t once_lock;
    uint64_t *once;
    size_t once_words;
};

/* ---- life ------------------------------------------------------------------------------------ */

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
    volume->map = map;
    memcpy(volume->ttl, spec->ttl, sizeof volume->ttl);
    volume->size_max = (uint64_t)1 << (spec->offset_width == 5 ? 43 : 35);
    pthread_mutex_init(&volume->write_lock, NULL);
    pthread_mutex_init(&volume->stat_lock, NULL);
    pthread_mutex_init(&volume->mapping_lock, NULL);
    pthread_mutex_init(&volume->once_lock, NULL);
    /* Upstream rounds the append position up to the record alignment at open. */
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
    for (int i = 0; i < volume->mapping_count; i++)
        munmap((void *)volume->mappings[i].base, volume->mappings[i].length);
    close(volume->dat_fd);
    if (volume->idx_fd >= 0)
        close(volume->idx_fd);
    fv_map_free(volume->map);
    free(volume->once);
    pthread_mutex_destroy(&volume->write_lock);
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
    pthread_mutex_unlock(&volume->write_lock);
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
        size_t count = fv_map_scan(volume->map, first, batch, 256);
        for (size_t i = 0; i < count; i++)
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

uint32_t fv_volume_id(const fv_volume *volume)
{
    return volume->id;
}

void fv_volume_ttl(const fv_volume *volume, uint8_t out[2])
{
    memcpy(out, volume->ttl, sizeof volume->ttl);
}

/* ---- bytes in -------------------------------------------------------------------------------- */

static int pread_blocking(int fd, uint8_t *out, size_t length, uint64_t offset, int64_t *got)
{
    size_t done = 0;
    while (done < length) {
        ssize_t n = pread(fd, out + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            *got = (int64_t)done;
            return FV_IO_ERROR;
        }
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = (int64_t)done;
    return done == length ? FV_OK : FV_NEEDLE_SHORT;
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
    int result = pread_blocking(volume->dat_fd, out, length, offset, &got);
    if (result == FV_IO_ERROR)
        *sys_errno = errno;
    return result;
}

const uint8_t *fv_volume_mapped(fv_volume *volume, uint64_t end)
{
    const mapping *current = atomic_load_explicit(&volume->current, memory_order_acquire);
    if (current != NULL && current->length >= end)
        return current->base;
    pthread_mutex_lock(&volume->mapping_lock);
    current = atomic_load_explicit(&volume->current, memory_order_acquire);
    if (current == NULL || current->length < end) {
        uint64_t length = current == NULL ? MAPPING_STEP : current->length;
        while (length < end)
            length *= 2;
        assert(volume->mapping_count < MAPPINGS_MAX);
        void *base = mmap(NULL, length, PROT_READ, MAP_SHARED | MAP_NORESERVE, volume->dat_fd, 0);
        if (base == MAP_FAILED) {
            current = NULL;
        } else {
            mapping *fresh = &volume->mappings[volume->mapping_count++];
            fresh->base = base;
            fresh->length = length;
            atomic_store_explicit(&volume->current, fresh, memory_order_release);
            current = fresh;
        }
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

typedef struct {
    const uint8_t *data;
    size_t length;
    uint32_t crc;
} crc_work;

static void crc_guarded(void *arg)
{
    crc_work *work = arg;
    work->crc = fv_crc32c(0, work->data, work->length);
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
    crc_work work = {.data = base + data_offset, .length = data_size, .crc = 0};
    if (fv_guard_run(crc_guarded, &work) != 0)
        return FV_IO_ERROR;
    fault->computed = work.crc;
    fault->stored = stored;
    if (work.crc != stored && fv_crc32c_legacy(work.crc) != stored)
        return FV_NEEDLE_BAD_CRC;
    return FV_OK;
}

/* ---- reading one needle ---------------------------------------------------------------------- */

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t load64(const uint8_t *p)
{
    return (uint64_t)load32(p) << 32 | load32(p + 4);
}

/* A body without a payload is none that anybody wrote, and no checksum vouches for it. */
static int no_payload(fv_read *out)
{
    out->fault.part = 1;
    return FV_NEEDLE_OUT_OF_RANGE;
}

static int read_whole(fv_volume *volume, int32_t size, unsigned mode, fv_read *out)
{
    uint64_t length = fv_needle_actual_size(size, volume->version);
    out->buffer = malloc(length);
    if (out->buffer == NULL)
        return FV_NO_MEMORY;
    out->buffer_size = length;
    int nowait = (mode & FV_READ_NOWAIT) != 0;
    int result = fv_volume_pread(volume, out->buffer, length, out->offset, nowait, &out->sys_errno);
    if (result == FV_NEEDLE_SHORT)
        pread_blocking(volume->dat_fd, out->buffer, length, out->offset, &out->got);
    if (result != FV_OK)
        return result;
    result = fv_needle_parse(out->buffer, length, size, volume->version, 1, &out->needle, &out->fault);
    if (result == FV_NEEDLE_OK && out->needle.data_size == 0)
        return no_payload(out);
    if (result == FV_NEEDLE_OK)
        out->data_offset = out->offset + (uint64_t)(out->needle.data - out->buffer);
    return result;
}

static int read_meta(fv_volume *volume, int32_t size, unsigned mode, fv_read *out)
{
    uint8_t prefix[FV_NEEDLE_PREFIX];
    int nowait = (mode & FV_READ_NOWAIT) != 0;
    int result = fv_volume_pread(volume, prefix, sizeof prefix, out->offset, nowait, &out->sys_errno);
    if (result != FV_OK)
        return result;
    fv_needle *needle = &out->needle;
    needle->cookie = load32(prefix);
    needle->id = load64(prefix + 4);
    needle->size = (int32_t)load32(prefix + 12);
    needle->data_size = load32(prefix + 16);
    if (needle->size != size) {
        out->fault.found_id = needle->id;
        out->fault.found_size = needle->size;
        return FV_NEEDLE_SIZE_MISMATCH;
    }
    uint64_t record = fv_needle_actual_size(size, volume->version);
    uint64_t before = FV_NEEDLE_PREFIX + (uint64_t)needle->data_size;
    if (before > record || record - before > META_BYTES_MAX)
        return FV_BAD_META;
    out->buffer_size = record - before;
    out->buffer = malloc(out->buffer_size + 1);
    if (out->buffer == NULL)
        return FV_NO_MEMORY;
    result = fv_volume_pread(volume, out->buffer, out->buffer_size, out->offset + before, nowait,
                             &out->sys_errno);
    if (result != FV_OK)
        return result;
    if (needle->data_size == 0)
        return no_payload(out);
    out->meta_only = 1;
    out->data_offset = out->offset + FV_NEEDLE_PREFIX;
    return fv_needle_parse_suffix(out->buffer, out->buffer_size, size, needle->data_size,
                                  volume->version, needle, &out->fault);
}

/* Upstream answers an empty file without a look at the disk.  One header is read here, so that an
 * index row that lost its size is an error and not an empty answer. */
static int check_empty(fv_volume *volume, unsigned mode, fv_read *out)
{
    uint8_t header[FV_NEEDLE_HEADER];
    int nowait = (mode & FV_READ_NOWAIT) != 0;
    int result = fv_volume_pread(volume, header, sizeof header, out->offset, nowait, &out->sys_errno);
    if (result != FV_OK)
        return result;
    out->fault.found_id = load64(header + 4);
    out->fault.found_size = (int32_t)load32(header + 12);
    return out->fault.found_size == 0 ? FV_OK : FV_NEEDLE_SIZE_MISMATCH;
}

static int read_at(fv_volume *volume, int32_t size, unsigned mode, fv_read *out)
{
    if (size == 0)
        return check_empty(volume, mode, out);
    if ((mode & FV_READ_META) != 0 && volume->version != 1)
        return read_meta(volume, size, mode, out);
    return read_whole(volume, size, mode, out);
}

int fv_volume_read(fv_volume *volume, uint64_t id, unsigned mode, fv_read *out)
{
    memset(out, 0, sizeof *out);
    fv_entry entry;
    if (!fv_map_get(volume->map, id, &entry) || entry.offset == 0)
        return FV_NOT_FOUND;
    int32_t size = entry.size;
    if (size < 0) {
        if ((mode & FV_READ_DELETED) == 0 || size == -1 || size == INT32_MIN)
            return FV_DELETED;
        size = -size;
    }
    out->offset = entry.offset * 8;
    out->needle.id = id;
    int result = read_at(volume, size, mode, out);
    if (result == FV_NEEDLE_SIZE_MISMATCH && volume->offset_width == 4 &&
        out->offset < HISTORIC_WRAP) {
        /* Old 4-byte servers let offsets wrap at 32 GiB; the record then lies one turn further. */
        fv_fault first = out->fault;
        fv_read_release(out);
        out->offset += HISTORIC_WRAP;
        result = read_at(volume, size, mode, out);
        if (result == FV_NEEDLE_SHORT) {
            out->offset -= HISTORIC_WRAP;
            out->fault = first;
            result = FV_NEEDLE_SIZE_MISMATCH;
        }
    }
    return result;
}

void fv_read_release(fv_read *read)
{
    free(read->buffer);
    read->buffer = NULL;
    read->buffer_size = 0;
}

/* ---- appending ------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static int take_write_lock(fv_volume *volume, int nowait)
{
    if (!nowait) {
        pthread_mutex_lock(&volume->write_lock);
        return FV_OK;
    }
    return pthread_mutex_trylock(&volume->write_lock) == 0 ? FV_OK : FV_BUSY;
}

static int pwritev_all(int fd, struct iovec *parts, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, parts, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return ENOSPC;
        offset += (uint64_t)n;
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static int truncate_file(int fd, uint64_t size)
{
    int result;
    do
        result = ftruncate(fd, (off_t)size);
    while (result != 0 && errno == EINTR);
    return result;
}

/* Undo of a half-made append, row first: a row without its record is the worse of the two. */
static void cut_back(fv_volume *volume, uint64_t dat_size, uint64_t idx_size, fv_write_result *out)
{
    int idx_failed = truncate_file(volume->idx_fd, idx_size) != 0;
    int dat_failed = truncate_file(volume->dat_fd, dat_size) != 0;
    if (idx_failed || dat_failed) {
        volume->broken = 1;
        out->rollback_failed = 1;
    }
}

/* 0, or why this volume takes no append of the kind that `forbidding` forbids. */
static int check_may_append(const fv_volume *volume, unsigned forbidding, fv_write_result *out)
{
    if (volume->sealed)
        return FV_CLOSED;
    /* Again for each: the one that failed may not have had anybody to tell it to. */
    out->rollback_failed = volume->broken;
    if (volume->broken || volume->idx_fd < 0 || (fv_volume_flags(volume) & forbidding) != 0)
        return FV_READ_ONLY;
    return FV_OK;
}

/* Strictly increasing, whatever the clock does. */
static uint64_t next_append_ns(const fv_volume *volume)
{
    uint64_t now = now_ns();
    uint64_t last = volume->stat.last_append_ns;
    return now > last || last == UINT64_MAX ? now : last + 1;
}

/* Record, then row; FV_OK means that both are with the kernel. Called with the write lock. */
static int append(fv_volume *volume, fv_needle *needle, int32_t row_size, fv_write_result *out)
{
    uint64_t dat_size = volume->stat.dat_size;
    uint64_t idx_size = volume->stat.idx_size;
    assert(dat_size % 8 == 0);
    uint8_t prefix[FV_NEEDLE_PREFIX];
    uint8_t suffix[FV_NEEDLE_META_MAX];
    size_t prefix_size = fv_needle_build_prefix(needle, volume->version, prefix);
    size_t suffix_size = fv_needle_build_suffix(needle, volume->version, suffix);
    uint64_t length = prefix_size + needle->data_size + suffix_size;
    assert(length == fv_needle_actual_size(needle->size, volume->version));
    if (dat_size + length > volume->size_max) {
        out->limit = volume->size_max;
        out->offset = dat_size;
        return FV_OVERFLOW;
    }
    struct iovec parts[3] = {
        {.iov_base = prefix, .iov_len = prefix_size},
        {.iov_base = (void *)needle->data, .iov_len = needle->data_size},
        {.iov_base = suffix, .iov_len = suffix_size},
    };
    if (needle->data_size == 0) {
        parts[1] = parts[2];
    }
    out->offset = dat_size;
    int failed = pwritev_all(volume->dat_fd, parts, needle->data_size == 0 ? 2 : 3, dat_size);
    if (failed != 0) {
        out->sys_errno = failed;
        cut_back(volume, dat_size, idx_size, out);
        return FV_IO_ERROR;
    }
    uint8_t row[17];
    size_t row_length = fv_row_encode(row, volume->offset_width, needle->id, dat_size / 8, row_size);
    struct iovec row_part = {.iov_base = row, .iov_len = row_length};
    failed = pwritev_all(volume->idx_fd, &row_part, 1, idx_size);
    if (failed != 0) {
        out->sys_errno = failed;
        out->failed_on_index = 1;
        cut_back(volume, dat_size, idx_size, out);
        return FV_IO_ERROR;
    }
    pthread_mutex_lock(&volume->stat_lock);
    volume->stat.dat_size = dat_size + length;
    volume->stat.idx_size = idx_size + row_length;
    volume->stat.last_append_ns = needle->append_at_ns;
    volume->stat.modified_second = (int64_t)(now_ns() / 1000000000ull);
    pthread_mutex_unlock(&volume->stat_lock);
    return FV_OK;
}

/* FV_OK with out->unchanged set when the stored bytes already are these. */
static int check_unchanged(fv_volume *volume, const fv_needle *needle, const fv_entry *entry,
                           int nowait, fv_write_result *out)
{
    if (volume->ttl[0] != 0 && volume->ttl[1] != 0 && volume->ttl[1] <= TTL_UNIT_MAX)
        return FV_OK;
    if (entry->offset == 0 || entry->size <= 0 || needle->data_size == 0)
        return FV_OK;
    fv_read old;
    memset(&old, 0, sizeof old);
    old.offset = entry->offset * 8;
    int result = read_whole(volume, entry->size, nowait ? FV_READ_NOWAIT : 0, &old);
    if (result == FV_NEEDLE_OK && old.needle.cookie == needle->cookie &&
        old.needle.checksum == needle->checksum && old.needle.data_size == needle->data_size &&
        memcmp(old.needle.data, needle->data, needle->data_size) == 0) {
        out->unchanged = 1;
        out->offset = old.offset;
        out->size = entry->size;
        out->old_data_size = old.needle.data_size;
    }
    fv_read_release(&old);
    /* A damaged old record only means "not the same". */
    return result == FV_COLD ? FV_COLD : FV_OK;
}

static int check_stored_cookie(fv_volume *volume, fv_needle *needle, const fv_entry *entry,
                               int check_cookie, int nowait, fv_write_result *out)
{
    if (entry->offset == 0)
        return FV_OK;
    uint8_t header[FV_NEEDLE_HEADER];
    int result = fv_volume_pread(volume, header, sizeof header, entry->offset * 8, nowait,
                                 &out->sys_errno);
    if (result != FV_OK) {
        out->failed_on_read = 1;
        return result;
    }
    uint32_t cookie = load32(header);
    if (needle->cookie == 0 && !check_cookie)
        needle->cookie = cookie;
    return needle->cookie == cookie ? FV_OK : FV_BAD_COOKIE;
}

/* Takes the append that was made last back again. */
static void undo_append(fv_volume *volume, uint64_t dat_size, uint64_t idx_size,
                        fv_write_result *out)
{
    cut_back(volume, dat_size, idx_size, out);
    pthread_mutex_lock(&volume->stat_lock);
    volume->stat.dat_size = dat_size;
    volume->stat.idx_size = idx_size;
    pthread_mutex_unlock(&volume->stat_lock);
}

static int write_locked(fv_volume *volume, fv_needle *needle, int check_cookie, int nowait,
                        fv_write_result *out)
{
    int result = check_may_append(volume, FV_VOLUME_NO_WRITE, out);
    if (result != FV_OK)
        return result;
    fv_entry entry;
    int known = fv_map_get(volume->map, needle->id, &entry);
    if (known) {
        result = check_unchanged(volume, needle, &entry, nowait, out);
        if (result != FV_OK || out->unchanged)
            return result;
        result = check_stored_cookie(volume, needle, &entry, check_cookie, nowait, out);
        if (result != FV_OK)
            return result;
    }
    int64_t size = fv_needle_body_size(needle, volume->version);
    if (size < 0)
        return FV_BAD_NEEDLE;
    needle->size = (int32_t)size;
    needle->append_at_ns = next_append_ns(volume);
    out->size = needle->size;
    uint64_t dat_size = volume->stat.dat_size, idx_size = volume->stat.idx_size;
    result = append(volume, needle, needle->size, out);
    if (result != FV_OK)
        return result;
    out->append_at_ns = needle->append_at_ns;
    fv_entry old;
    /* An entry further back stays: only possible where old servers let 4-byte offsets wrap. */
    if ((!known || entry.offset < out->offset / 8) &&
        fv_map_set(volume->map, needle->id, out->offset / 8, needle->size, &old) < 0) {
        undo_append(volume, dat_size, idx_size, out);
        return FV_NO_MEMORY;
    }
    pthread_mutex_lock(&volume->stat_lock);
    fv_counters_put(&volume->stat.counters, needle->id, known ? entry.size : 0, needle->size);
    if (needle->last_modified > volume->stat.last_modified_second)
        volume->stat.last_modified_second = needle->last_modified;
    pthread_mutex_unlock(&volume->stat_lock);
    return FV_OK;
}

int fv_volume_write(fv_volume *volume, fv_needle *needle, int check_cookie, int nowait,
                    fv_write_result *out)
{
    memset(out, 0, sizeof *out);
    int result = take_write_lock(volume, nowait);
    if (result != FV_OK)
        return result;
    result = write_locked(volume, needle, check_cookie, nowait, out);
    pthread_mutex_unlock(&volume->write_lock);
    return result;
}

static int delete_locked(fv_volume *volume, uint64_t id, uint32_t cookie, uint32_t checksum,
                         fv_write_result *out)
{
    int result = check_may_append(volume, FV_VOLUME_NO_DELETE, out);
    if (result != FV_OK)
        return result;
    fv_entry entry;
    if (!fv_map_get(volume->map, id, &entry) || entry.size < 0)
        return FV_OK;
    fv_needle tombstone;
    memset(&tombstone, 0, sizeof tombstone);
    tombstone.id = id;
    tombstone.cookie = cookie;
    tombstone.checksum = checksum;
    tombstone.append_at_ns = next_append_ns(volume);
    result = append(volume, &tombstone, -1, out);
    if (result != FV_OK)
        return result;
    fv_entry old;
    fv_map_delete(volume->map, id, &old);
    pthread_mutex_lock(&volume->stat_lock);
    fv_counters_delete(&volume->stat.counters, entry.size);
    pthread_mutex_unlock(&volume->stat_lock);
    out->size = entry.size;
    out->append_at_ns = tombstone.append_at_ns;
    return FV_OK;
}

int fv_volume_delete(fv_volume *volume, uint64_t id, uint32_t cookie, uint32_t checksum, int nowait,
                     fv_write_result *out)
{
    memset(out, 0, sizeof *out);
    int result = take_write_lock(volume, nowait);
    if (result != FV_OK)
        return result;
    result = delete_locked(volume, id, cookie, checksum, out);
    pthread_mutex_unlock(&volume->write_lock);
    return result;
}

static int sync_file(int fd)
{
    int result;
    do
        result = fdatasync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

int fv_volume_sync(fv_volume *volume, int *on_index)
{
    *on_index = 0;
    int result = sync_file(volume->dat_fd);
    if (result != 0 || volume->idx_fd < 0)
        return result;
    result = sync_file(volume->idx_fd);
    *on_index = result != 0;
    return result;
}

void fv_reserve(int fd, uint64_t size)
{
    int ignored = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    (void)ignored;
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
