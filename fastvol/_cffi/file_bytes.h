/* Ranges of a file: what one pread or pwrite leaves undone, or a signal interrupts, is gone on with. */
#ifndef FASTVOL_FILE_BYTES_H
#define FASTVOL_FILE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes read, fewer only at the end of the file; or -1 with errno. */
ssize_t fv_read_fully(int fd, void *out, size_t length, uint64_t offset);
/* For whoever has no use for a part: FV_OK, FV_NEEDLE_SHORT (the file ends before), or FV_IO_ERROR
 * with errno. */
int fv_read_exactly(int fd, void *out, size_t length, uint64_t offset);
/* 0, or -1 with errno. */
int fv_write_fully(int fd, const void *bytes, size_t length, uint64_t offset);

#endif
