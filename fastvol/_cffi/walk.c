#include "walk.h"

#include "bytes.h"
#include "compact_map.h"
#include "file_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- records --------------------------------------------------------------------------------- */

/* A checksum only vouches for a payload.  A body without one is none that anybody wrote, nor is an
 * empty record without its time. */
static int has_substance(const fv_needle *needle, int version)
{
    if (needle->size > 0)
        return needle->data_size > 0;
    return version != 3 || needle->append_at_ns != 0;
}

int fv_walk_check(fv_walk *w, uint64_t position, int32_t size)
{
    uint64_t length = fv_needle_actual_size(size, w->version);
    fv_needle needle;
    fv_fault fault;
    if (length > w->capacity) {
        uint8_t *grown = realloc(w->buffer, length);
        if (grown == NULL) {
            w->out->stopped = FV_SCAN_IO_ERROR;
            w->out->sys_errno = ENOMEM;
            return 0;
        }
        w->buffer = grown;
        w->capacity = length;
    }
    ssize_t got = fv_read_fully(w->fd, w->buffer, length, position);
    if (got < 0) {
        w->out->stopped = FV_SCAN_IO_ERROR;
        w->out->sys_errno = errno;
        return 0;
    }
    if ((uint64_t)got < length) {
        w->out->stopped = FV_SCAN_TORN;
        return 0;
    }
    int parsed = fv_needle_parse(w->buffer, length, size, w->version, 1, &needle, &fault);
    if (parsed != FV_NEEDLE_OK) {
        w->out->stopped = parsed == FV_NEEDLE_BAD_CRC ? FV_SCAN_BAD_SUM : FV_SCAN_TORN;
        return 0;
    }
    if (!has_substance(&needle, w->version)) {
        w->out->stopped = FV_SCAN_TORN;
        return 0;
    }
    w->out->last_append_ns = needle.append_at_ns;
    return 1;
}

int fv_walk_header(fv_walk *w, uint64_t position, uint64_t *id, int32_t *size, uint64_t *length)
{
    uint8_t header[FV_NEEDLE_HEADER] = {0};
    if (position >= w->to) {
        w->out->stopped = FV_SCAN_END;
        return 0;
    }
    ssize_t got = fv_read_fully(w->fd, header, sizeof header, position);
    if (got < 0) {
        w->out->stopped = FV_SCAN_IO_ERROR;
        w->out->sys_errno = errno;
        return 0;
    }
    *id = fv_load_be64(header + 4);
    *size = (int32_t)fv_load_be32(header + 12);
    if (got < (ssize_t)sizeof header || (*id == 0 && *size == 0)) {
        w->out->stopped = got < (ssize_t)sizeof header ? FV_SCAN_TORN : FV_SCAN_ZEROS;
        return 0;
    }
    *length = *size < 0 ? 0 : fv_needle_actual_size(*size, w->version);
    if (*size < 0 || *length > w->to - position) {
        w->out->stopped = FV_SCAN_TORN;
        return 0;
    }
    return 1;
}

int fv_rows_flush(fv_row_writer *writer)
{
    if (fv_write_fully(writer->fd, writer->rows, writer->length, writer->offset) != 0)
        return -1;
    writer->offset += writer->length;
    writer->length = 0;
    return 0;
}

int fv_rows_put(fv_row_writer *writer, uint64_t id, uint64_t position, int32_t size)
{
    writer->length += fv_row_encode(writer->rows + writer->length, writer->offset_width, id,
                                    position / 8, size);
    return writer->length + FV_ROW_MAX > sizeof writer->rows ? fv_rows_flush(writer) : 0;
}

int fv_walk_leads_on(fv_walk *w, uint64_t position, int end_will_do, uint64_t *where)
{
    fv_scan_result scratch;
    memset(&scratch, 0, sizeof scratch);
    fv_scan_result *kept = w->out;
    w->out = &scratch;
    uint64_t id, length;
    int32_t size = 0;
    int sound = 0;
    while (fv_walk_header(w, position, &id, &size, &length)) {
        if (!fv_walk_check(w, position, size))
            break;
        if (size > 0) {
            sound = 1;
            break;
        }
        position += length;
    }
    if (end_will_do && scratch.stopped == FV_SCAN_END && position == w->to)
        sound = 1;
    w->out = kept;
    *where = position;
    return sound;
}

uint64_t fv_offset_limit(int offset_width)
{
    return (uint64_t)8 << (offset_width * 8);
}

int fv_could_be_record(const uint8_t *at, int version, uint64_t room)
{
    uint64_t id = fv_load_be64(at + 4);
    int64_t size = (int32_t)fv_load_be32(at + 12);
    if (id == 0 || size <= 0 || fv_needle_actual_size((int32_t)size, version) > room)
        return 0;
    if (version == 1)
        return 1;
    int64_t data_size = fv_load_be32(at + 16);
    int64_t behind = size - 4 - data_size;
    return data_size > 0 && behind > 0 && behind <= FV_NEEDLE_META_MAX;
}
