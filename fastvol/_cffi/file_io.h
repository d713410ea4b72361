/* Reading and writing the whole of a range, however many calls it takes. */
#ifndef FASTVOL_FILE_IO_H
#define FASTVOL_FILE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes read, fewer only at the end of the file; or -1 with errno. */
ssize_t fv_read_fully(int fd, void *out, size_t length, uint64_t offset);
/* 0, or -1 with errno. */
int fv_write_fully(int fd, const void *bytes, size_t length, uint64_t offset);

#endif
