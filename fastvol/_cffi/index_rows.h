/* Index rows: key, offset in units of 8 bytes, size; big endian, 12 + offset_width bytes. */
#ifndef FASTVOL_INDEX_ROWS_H
#define FASTVOL_INDEX_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* Offsets have at most five bytes. */
#define FV_OFFSET_LIMIT (UINT64_C(1) << 40)
#define FV_ROW_MAX 17u

/* cffi:begin */
typedef struct {
    uint64_t id;
    uint64_t offset; /* units of 8 bytes */
    int32_t size;    /* body size; negative = deleted */
} fv_entry;

/* `offset_width` is 4 or 5. */
size_t fv_row_encode(uint8_t *out, int offset_width, uint64_t id, uint64_t offset, int32_t size);
void fv_row_decode(const uint8_t *row, int offset_width, fv_entry *out);
/* cffi:end */

static inline size_t fv_row_bytes(int offset_width)
{
    return 12u + (size_t)offset_width;
}

/* Whether a row, or a map's entry, names a needle that is there, if only an empty one. */
static inline int fv_entry_is_live(const fv_entry *entry)
{
    return entry->offset != 0 && entry->size >= 0;
}

/* The rows of an index from its first to its last; a trailing partial row is ignored. */
typedef struct {
    int fd;
    int offset_width;
    uint8_t *block;
    uint64_t offset; /* of what is read next */
    size_t held;     /* bytes of whole rows in the block */
    size_t used;
} fv_row_reader;

/* 0, or -ENOMEM; to be closed then, too.  The descriptor stays the caller's. */
int fv_row_reader_open(fv_row_reader *reader, int fd, int offset_width);
void fv_row_reader_close(fv_row_reader *reader);
/* 1 and the next row, 0 behind the last one, or a negative errno. */
int fv_row_reader_next(fv_row_reader *reader, fv_entry *out);
/* The next rows, `capacity` of them unless there are fewer: how many, or a negative errno. */
int fv_row_reader_batch(fv_row_reader *reader, fv_entry *out, int capacity);

#endif
