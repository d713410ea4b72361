#include "index_rows.h"

#include "bytes.h"
#include "file_bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Small enough for the heap and a near cache: a fresh mapping costs more than its calls save. */
#define BLOCK_BYTES (64u << 10)

size_t fv_row_encode(uint8_t *out, int offset_width, uint64_t id, uint64_t offset, int32_t size)
{
    assert(offset_width == 4 || offset_width == 5);
    assert(offset < (offset_width == 5 ? FV_OFFSET_LIMIT : UINT64_C(1) << 32));
    uint64_t id_be = __builtin_bswap64(id);
    uint32_t offset_be = __builtin_bswap32((uint32_t)offset);
    uint32_t size_be = __builtin_bswap32((uint32_t)size);
    memcpy(out, &id_be, 8);
    memcpy(out + 8, &offset_be, 4);
    if (offset_width == 5)
        out[12] = (uint8_t)(offset >> 32); /* the highest byte comes last */
    memcpy(out + 8 + offset_width, &size_be, 4);
    return fv_row_bytes(offset_width);
}

static inline void decode(const uint8_t *row, int offset_width, fv_entry *out)
{
    out->id = fv_load_be64(row);
    out->offset = fv_load_be32(row + 8);
    if (offset_width == 5)
        out->offset |= (uint64_t)row[12] << 32;
    out->size = (int32_t)fv_load_be32(row + 8 + offset_width);
    assert(out->offset < FV_OFFSET_LIMIT);
}

void fv_row_decode(const uint8_t *row, int offset_width, fv_entry *out)
{
    assert(offset_width == 4 || offset_width == 5);
    decode(row, offset_width, out);
}

int fv_row_reader_open(fv_row_reader *reader, int fd, int offset_width)
{
    assert(offset_width == 4 || offset_width == 5);
    *reader = (fv_row_reader){.fd = fd, .offset_width = offset_width};
    reader->block = malloc(BLOCK_BYTES);
    return reader->block == NULL ? -ENOMEM : 0;
}

void fv_row_reader_close(fv_row_reader *reader)
{
    free(reader->block);
    reader->block = NULL;
}

static int read_block(fv_row_reader *reader)
{
    size_t row_bytes = fv_row_bytes(reader->offset_width);
    ssize_t got = fv_read_fully(reader->fd, reader->block, BLOCK_BYTES / row_bytes * row_bytes,
                                reader->offset);
    if (got < 0)
        return -errno;
    reader->held = (size_t)got / row_bytes * row_bytes;
    reader->used = 0;
    reader->offset += reader->held;
    return reader->held > 0;
}

int fv_row_reader_next(fv_row_reader *reader, fv_entry *out)
{
    if (reader->used == reader->held) {
        int more = read_block(reader);
        if (more != 1)
            return more;
    }
    fv_row_decode(reader->block + reader->used, reader->offset_width, out);
    reader->used += fv_row_bytes(reader->offset_width);
    return 1;
}

/* Always inlined with a width that the compiler knows. */
static inline __attribute__((always_inline)) void decode_all(const uint8_t *rows, int offset_width,
                                                             fv_entry *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        decode(rows + i * (12u + (size_t)offset_width), offset_width, &out[i]);
}

int fv_row_reader_batch(fv_row_reader *reader, fv_entry *out, int capacity)
{
    const size_t row_bytes = fv_row_bytes(reader->offset_width), wanted = (size_t)capacity;
    size_t done = 0;
    assert(capacity > 0);
    while (done < wanted) {
        if (reader->used == reader->held) {
            int more = read_block(reader);
            if (more < 0)
                return more;
            if (more == 0)
                break;
        }
        size_t count = (reader->held - reader->used) / row_bytes;
        if (count > wanted - done)
            count = wanted - done;
        if (reader->offset_width == 5)
            decode_all(reader->block + reader->used, 5, out + done, count);
        else
            decode_all(reader->block + reader->used, 4, out + done, count);
        reader->used += count * row_bytes;
        done += count;
    }
    return (int)done;
}
