/* Preloaded into a test: the n-th call of one kind fails, as a disk would have it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <sys/uio.h>

/* BOTH: a write, and every attempt to cut the file back afterwards. */
enum { WRITE, SYNC, BOTH };

static atomic_int armed_kind = -1;
static atomic_int until;    /* calls that still succeed */
static atomic_int times;    /* then so many fail */
static atomic_int error_number; /* 0: a short write instead */
static atomic_int failed;

void failing_calls_arm(int kind, int nth, int count, int error)
{
    failed = 0;
    until = nth - 1;
    times = count;
    error_number = error;
    armed_kind = kind;
}

int failing_calls_disarm(void)
{
    armed_kind = -1;
    return failed;
}

static int fails(int kind)
{
    if (kind == WRITE && armed_kind == BOTH)
        kind = BOTH;
    if (armed_kind != kind || atomic_fetch_sub(&until, 1) > 0)
        return 0;
    if (atomic_fetch_sub(&times, 1) <= 0)
        return 0;
    failed++;
    errno = error_number;
    return 1;
}

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

#define PWRITE(name)                                                                  \
    ssize_t name(int fd, const void *bytes, size_t length, off_t offset)              \
    {                                                                                 \
        ssize_t (*next)(int, const void *, size_t, off_t) = real(#name);              \
        if (!fails(WRITE))                                                            \
            return next(fd, bytes, length, offset);                                   \
        return error_number != 0 || length < 2 ? -1 : next(fd, bytes, length / 2, offset); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name)                                                                 \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t offset)          \
    {                                                                                 \
        ssize_t (*next)(int, const struct iovec *, int, off_t) = real(#name);         \
        if (!fails(WRITE))                                                            \
            return next(fd, parts, count, offset);                                    \
        if (error_number == 0)                                                        \
            return next(fd, parts, 1, offset);                                        \
        /* A disk that fills up takes the beginning and refuses the rest. */          \
        struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2};                \
        (void)!next(fd, &half, 1, offset);                                            \
        errno = error_number;                                                         \
        return -1;                                                                    \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define SYNC_CALL(name)                           \
    int name(int fd)                              \
    {                                             \
        int (*next)(int) = real(#name);           \
        return fails(SYNC) ? -1 : next(fd);       \
    }
SYNC_CALL(fsync)
SYNC_CALL(fdatasync)

#define TRUNCATE_CALL(name)                           \
    int name(int fd, off_t length)                    \
    {                                                 \
        int (*next)(int, off_t) = real(#name);        \
        if (armed_kind != BOTH || failed == 0)         \
            return next(fd, length);                   \
        errno = EIO;                                   \
        return -1;                                     \
    }
TRUNCATE_CALL(ftruncate)
TRUNCATE_CALL(ftruncate64)
