#include "file_bytes.h"

#include "volume.h"

#include <errno.h>
#include <unistd.h>

ssize_t fv_read_fully(int fd, void *out, size_t length, uint64_t offset)
{
    size_t done = 0;
    while (done < length) {
        ssize_t n = pread(fd, (uint8_t *)out + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fv_read_exactly(int fd, void *out, size_t length, uint64_t offset)
{
    ssize_t got = fv_read_fully(fd, out, length, offset);
    if (got < 0)
        return FV_IO_ERROR;
    return (size_t)got == length ? FV_OK : FV_NEEDLE_SHORT;
}

int fv_write_fully(int fd, const void *bytes, size_t length, uint64_t offset)
{
    size_t done = 0;
    while (done < length) {
        ssize_t n = pwrite(fd, (const uint8_t *)bytes + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}
