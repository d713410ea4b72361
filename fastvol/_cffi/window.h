/* A moving window on a file: bytes of it through a mapping of bounded size.
 *
 * For whoever goes through a whole file once.  Its pages are read ahead, and none of them is thrown out
 * of the page cache or counts as used because of it: the cache belongs to the readers of the volume.
 * Pointers into it go only to code that runs under fv_guard_run. */
#ifndef FASTVOL_WINDOW_H
#define FASTVOL_WINDOW_H

#include <stdint.h>

typedef struct {
    int fd; /* not owned */
    uint64_t file_size;
    const uint8_t *base;
    uint64_t start;
    uint64_t length;
    uint64_t asked_from; /* of the present sequence */
    uint64_t asked_until;
    uint64_t ahead; /* grows as long as the sequence lasts */
} fv_window;

/* 0 or a negative errno; to be closed also then. */
int fv_window_open(fv_window *window, int fd);
void fv_window_close(fv_window *window);
/* Puts a pointer to bytes [offset, offset + length) of the file in *bytes, which is for fn(arg) to find,
 * and runs that as fv_guard_run does.  FV_OK, FV_NEEDLE_SHORT (the file ends before, or was cut short
 * meanwhile), FV_IO_ERROR (errno says why). */
int fv_window_run(fv_window *window, uint64_t offset, uint64_t length, const uint8_t **bytes,
                  void (*fn)(void *), void *arg);
/* Goes on with *crc over these bytes; results as above. */
int fv_window_crc32c(fv_window *window, uint64_t offset, uint64_t length, uint32_t *crc);
/* Asks for what lies behind `position`, the further the longer positions have been a sequence. */
void fv_window_read_ahead(fv_window *window, uint64_t position);

#endif
