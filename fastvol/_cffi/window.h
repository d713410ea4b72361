/* A moving window on a file: bytes of it through a mapping of bounded size.
 *
 * For whoever goes through a whole file once.  Its pages are read ahead, and none of them is thrown out
 * of the page cache or counts as used because of it: the cache belongs to the readers of the volume.
 * A pointer stays valid until the next call.  Touch it only under fv_guard_run. */
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
/* Bytes [offset, offset + length) of the file.
 * FV_OK, FV_NEEDLE_SHORT (the file ends before), FV_IO_ERROR (errno says why). */
int fv_window_at(fv_window *window, uint64_t offset, uint64_t length, const uint8_t **out);
/* Asks for what lies behind `position`, the further the longer positions have been a sequence. */
void fv_window_read_ahead(fv_window *window, uint64_t position);
/* What a page that could not be read means: FV_NEEDLE_SHORT when the file was cut short meanwhile,
 * else FV_IO_ERROR. */
int fv_window_missing(fv_window *window, uint64_t end);

#endif
