#include "window.h"

#include "guard.h"
#include "volume.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096u
/* Large, because moving costs more than a few records; its page tables take a 512th of it. */
#define WINDOW_BYTES (1ull << 30)
#define READ_AHEAD_MIN (128ull << 10)
#define READ_AHEAD_MAX (8ull << 20)

static int ask_size(fv_window *window)
{
    struct stat status;
    if (fstat(window->fd, &status) != 0)
        return -errno;
    window->file_size = (uint64_t)status.st_size;
    return 0;
}

int fv_window_open(fv_window *window, int fd)
{
    memset(window, 0, sizeof *window);
    window->fd = fd;
    window->ahead = READ_AHEAD_MIN;
    fv_guard_install();
    return ask_size(window);
}

void fv_window_close(fv_window *window)
{
    if (window->base != NULL)
        munmap((void *)window->base, window->length);
    window->base = NULL;
    window->length = 0;
}

static int move_to(fv_window *window, uint64_t offset, uint64_t length)
{
    fv_window_close(window);
    uint64_t start = offset & ~(uint64_t)(PAGE - 1);
    uint64_t end = offset + length;
    if (end - start < WINDOW_BYTES)
        end = start + WINDOW_BYTES < window->file_size ? start + WINDOW_BYTES : window->file_size;
    void *base = mmap(NULL, end - start, PROT_READ, MAP_SHARED | MAP_NORESERVE, window->fd,
                      (off_t)start);
    if (base == MAP_FAILED)
        return FV_IO_ERROR;
    /* Also keeps these pages from counting as used. */
    madvise(base, end - start, MADV_SEQUENTIAL);
    window->base = base;
    window->start = start;
    window->length = end - start;
    return FV_OK;
}

static int find(fv_window *window, uint64_t offset, uint64_t length, const uint8_t **out)
{
    assert(length > 0);
    if (offset > window->file_size || length > window->file_size - offset) {
        int asked = ask_size(window); /* it may have grown */
        if (asked != 0) {
            errno = -asked;
            return FV_IO_ERROR;
        }
        if (offset > window->file_size || length > window->file_size - offset)
            return FV_NEEDLE_SHORT;
    }
    if (window->base == NULL || offset < window->start ||
        offset + length > window->start + window->length) {
        int moved = move_to(window, offset, length);
        if (moved != FV_OK)
            return moved;
    }
    *out = window->base + (offset - window->start);
    return FV_OK;
}

/* What a page that could not be read means. */
static int judge_missing(fv_window *window, uint64_t end)
{
    fv_window_close(window);
    if (ask_size(window) == 0 && end > window->file_size)
        return FV_NEEDLE_SHORT;
    errno = EIO;
    return FV_IO_ERROR;
}

int fv_window_run(fv_window *window, uint64_t offset, uint64_t length, const uint8_t **bytes,
                  void (*fn)(void *), void *arg)
{
    int found = find(window, offset, length, bytes);
    if (found == FV_OK && fv_guard_run(fn, arg) != 0)
        found = judge_missing(window, offset + length);
    return found;
}

int fv_window_crc32c(fv_window *window, uint64_t offset, uint64_t length, uint32_t *crc)
{
    const uint8_t *bytes;
    int found = find(window, offset, length, &bytes);
    if (found == FV_OK && fv_guard_crc32c(crc, bytes, length) != 0)
        found = judge_missing(window, offset + length);
    return found;
}

void fv_window_read_ahead(fv_window *window, uint64_t position)
{
    if (position < window->asked_from || position > window->asked_until + READ_AHEAD_MIN) {
        /* Of a leap nobody knows what follows, and even asking for what is cached takes time. */
        window->asked_from = position;
        window->asked_until = position;
        window->ahead = READ_AHEAD_MIN;
        return;
    }
    if (position + window->ahead / 2 <= window->asked_until)
        return;
    uint64_t from = position > window->asked_until ? position : window->asked_until;
    window->asked_until = position + window->ahead;
    if (window->ahead < READ_AHEAD_MAX)
        window->ahead *= 2;
    if (from < window->file_size)
        posix_fadvise(window->fd, (off_t)from, (off_t)(window->asked_until - from),
                      POSIX_FADV_WILLNEED);
}
