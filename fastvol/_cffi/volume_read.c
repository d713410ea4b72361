#include "volume_state.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define META_BYTES_MAX 131072u

/* A body without a payload is none that anybody wrote, and no checksum vouches for it. */
static int no_payload(fv_read *out)
{
    out->fault.part = 1;
    return FV_NEEDLE_OUT_OF_RANGE;
}

/* No checksum covers the id, in the record or in the index row that leads here.  Upstream serves
 * whatever it finds; a damaged row must not lead to another object's bytes. */
static int check_id(uint64_t id, fv_read *out)
{
    if (out->needle.id == id)
        return FV_OK;
    out->fault.found_id = out->needle.id;
    return FV_WRONG_ID;
}

int fv_volume_read_record(fv_volume *volume, int32_t size, unsigned mode, fv_read *out)
{
    uint64_t length = fv_needle_actual_size(size, volume->version);
    out->buffer = malloc(length);
    if (out->buffer == NULL)
        return FV_NO_MEMORY;
    out->buffer_size = length;
    int nowait = (mode & FV_READ_NOWAIT) != 0;
    int result = fv_volume_pread(volume, out->buffer, length, out->offset, nowait, &out->sys_errno);
    if (result == FV_NEEDLE_SHORT)
        fv_volume_pread_waiting(volume, out->buffer, length, out->offset, &out->got);
    if (result != FV_OK)
        return result;
    result = fv_needle_parse(out->buffer, length, size, volume->version, 1, &out->needle, &out->fault);
    if (result == FV_NEEDLE_OK && out->needle.data_size == 0)
        return no_payload(out);
    if (result == FV_NEEDLE_OK)
        out->data_offset = out->offset + (uint64_t)(out->needle.data - out->buffer);
    return result;
}

static int read_meta(fv_volume *volume, int32_t size, unsigned mode, fv_read *out)
{
    uint8_t prefix[FV_NEEDLE_PREFIX];
    int nowait = (mode & FV_READ_NOWAIT) != 0;
    int result = fv_volume_pread(volume, prefix, sizeof prefix, out->offset, nowait, &out->sys_errno);
    if (result != FV_OK)
        return result;
    fv_needle *needle = &out->needle;
    fv_needle_parse_prefix(prefix, needle);
    if (needle->size != size) {
        out->fault.found_id = needle->id;
        out->fault.found_size = needle->size;
        return FV_NEEDLE_SIZE_MISMATCH;
    }
    uint64_t record = fv_needle_actual_size(size, volume->version);
    uint64_t before = FV_NEEDLE_PREFIX + (uint64_t)needle->data_size;
    if (before > record || record - before > META_BYTES_MAX)
        return FV_BAD_META;
    out->buffer_size = record - before;
    out->buffer = malloc(out->buffer_size + 1);
    if (out->buffer == NULL)
        return FV_NO_MEMORY;
    result = fv_volume_pread(volume, out->buffer, out->buffer_size, out->offset + before, nowait,
                             &out->sys_errno);
    if (result != FV_OK)
        return result;
    if (needle->data_size == 0)
        return no_payload(out);
    out->meta_only = 1;
    out->data_offset = out->offset + FV_NEEDLE_PREFIX;
    return fv_needle_parse_suffix(out->buffer, out->buffer_size, size, needle->data_size,
                                  volume->version, needle, &out->fault);
}

/* Upstream answers an empty file without a look at the disk.  One header is read here, so that an
 * index row that lost its size is an error and not an empty answer. */
static int check_empty(fv_volume *volume, unsigned mode, fv_read *out)
{
    uint8_t header[FV_NEEDLE_HEADER];
    int nowait = (mode & FV_READ_NOWAIT) != 0;
    int result = fv_volume_pread(volume, header, sizeof header, out->offset, nowait, &out->sys_errno);
    if (result != FV_OK)
        return result;
    fv_needle found;
    fv_needle_parse_header(header, &found);
    out->fault.found_id = found.id;
    out->fault.found_size = found.size;
    if (found.size != 0)
        return FV_NEEDLE_SIZE_MISMATCH;
    return found.id == out->needle.id ? FV_OK : FV_WRONG_ID;
}

static int read_at(fv_volume *volume, int32_t size, unsigned mode, fv_read *out)
{
    if (size == 0)
        return check_empty(volume, mode, out);
    if ((mode & FV_READ_META) != 0 && volume->version != 1)
        return read_meta(volume, size, mode, out);
    return fv_volume_read_record(volume, size, mode, out);
}

int fv_volume_map_result(int error, int *sys_errno)
{
    switch (error) {
    case -EAGAIN:
        return FV_COLD;
    case -ESHUTDOWN:
        return FV_CLOSED;
    case -ENOMEM:
        return FV_NO_MEMORY;
    default:
        *sys_errno = -error;
        return FV_IO_ERROR;
    }
}

int fv_volume_find(fv_volume *volume, uint64_t id, int nowait, fv_entry *out, int *sys_errno)
{
    int found = fv_map_find(volume->map, id, nowait, out);
    if (found < 0)
        return fv_volume_map_result(found, sys_errno);
    return found ? FV_OK : FV_NOT_FOUND;
}

int fv_volume_read(fv_volume *volume, uint64_t id, unsigned mode, fv_read *out)
{
    fv_entry entry;
    int sys_errno = 0;
    int result = fv_volume_find(volume, id, (mode & FV_READ_NOWAIT) != 0, &entry, &sys_errno);
    if (result == FV_OK)
        return fv_volume_read_entry(volume, &entry, mode, out);
    memset(out, 0, sizeof *out);
    out->sys_errno = sys_errno;
    out->failed_on_map = result == FV_IO_ERROR;
    return result;
}

int fv_volume_read_entry(fv_volume *volume, const fv_entry *entry, unsigned mode, fv_read *out)
{
    memset(out, 0, sizeof *out);
    if (entry->offset == 0)
        return FV_NOT_FOUND;
    int32_t size = entry->size;
    if (size < 0) {
        if ((mode & FV_READ_DELETED) == 0 || size == -1 || size == INT32_MIN)
            return FV_DELETED;
        size = -size;
    }
    out->offset = entry->offset * 8;
    out->needle.id = entry->id;
    int result = read_at(volume, size, mode, out);
    if (result == FV_NEEDLE_SIZE_MISMATCH && volume->offset_width == 4 &&
        out->offset < FV_HISTORIC_WRAP) {
        fv_fault first = out->fault;
        fv_read_release(out);
        out->offset += FV_HISTORIC_WRAP;
        result = read_at(volume, size, mode, out);
        if (result == FV_NEEDLE_SHORT) {
            out->offset -= FV_HISTORIC_WRAP;
            out->fault = first;
            result = FV_NEEDLE_SIZE_MISMATCH;
        }
    }
    return result == FV_OK ? check_id(entry->id, out) : result;
}

void fv_read_release(fv_read *read)
{
    free(read->buffer);
    read->buffer = NULL;
    read->buffer_size = 0;
}
