#include "messages.h"

#include "file_bytes.h"
#include "protobuf.h"

#include <errno.h>
#include <string.h>

#define WINDOW 65536 /* read at once */
#define FIELDS_MAX 96 /* keys, lengths and numbers of one message */

#define LIVE_VOLUME_ID 0x08
#define LIVE_NEEDLE_ID 0x10
#define LIVE_COOKIE 0x18
#define LIVE_BLOB 0x2a
#define LIVE_COMPRESSED 0x30
#define LIVE_LAST_MODIFIED 0x38
#define LIVE_CRC 0x40
#define LIVE_NAME 0x4a
#define LIVE_MIME 0x52
#define TAIL_HEADER 0x0a
#define TAIL_BODY 0x12
#define TAIL_IS_LAST 0x18
#define TAIL_VERSION 0x20

/* The form in which a checksum is told (weed/storage/needle/crc.go: Value). */
static uint32_t masked(uint32_t checksum)
{
    return ((checksum >> 15) | (checksum << 17)) + 0xa282ead8u;
}

/* A piece of the file that is read once for many small records. */
typedef struct {
    int fd;
    uint64_t start;
    size_t length;
    uint8_t bytes[WINDOW];
} window;

/* The bytes of a record, in the window or in `room`, which has space for them; NULL: see the result. */
static const uint8_t *record_bytes(window *near, const fv_record *record, uint8_t *room,
                                   fv_messages_result *result)
{
    uint64_t offset = record->offset;
    size_t length = (size_t)record->length;
    uint8_t *target = room;
    if (length <= WINDOW) {
        if (offset >= near->start && offset + length <= near->start + near->length)
            return near->bytes + (offset - near->start);
        near->start = offset;
        near->length = 0;
        target = near->bytes;
    }
    size_t want = length <= WINDOW ? WINDOW : length;
    ssize_t got = fv_read_fully(near->fd, target, want, offset);
    if (got < 0) {
        result->code = FV_IO_ERROR;
        result->sys_errno = errno;
        return NULL;
    }
    if ((size_t)got < length) {
        result->code = FV_NEEDLE_SHORT;
        return NULL;
    }
    if (target == near->bytes)
        near->length = (size_t)got;
    return target;
}

/* Room for the message of a record, its bytes read behind it if they are many: 2 lengths and fields. */
static int has_room(const fv_record *record, size_t at, size_t capacity, fv_messages_result *result)
{
    result->needed = 2 * (size_t)record->length + FIELDS_MAX;
    if (at + result->needed <= capacity)
        return 1;
    if (result->count == 0)
        result->code = FV_MESSAGES_LARGE;
    return 0;
}

/* 1: the map leads to it; 0: not; negative: the map cannot be asked. */
static int is_live(fv_volume *volume, const fv_record *record, fv_messages_result *result)
{
    fv_entry entry;
    int found = fv_volume_find(volume, record->id, 0, &entry, &result->sys_errno);
    if (found == FV_NOT_FOUND)
        return 0;
    if (found != FV_OK) {
        result->code = found;
        result->failed_on_map = 1;
        return -1;
    }
    return entry.offset * 8 == record->offset && entry.size >= 0;
}

void fv_messages_live(fv_volume *volume, int dat_fd, uint32_t volume_id, const fv_record *records,
                      size_t count, uint8_t *out, size_t capacity, uint32_t *ends,
                      fv_messages_result *result)
{
    window near = {.fd = dat_fd, .start = 0, .length = 0};
    memset(result, 0, sizeof *result);
    size_t at = 0;
    for (; result->used < count; result->used++) {
        const fv_record *record = &records[result->used];
        int live = is_live(volume, record, result);
        if (live < 0)
            return;
        if (live && record->fault != 0) {
            result->damaged++;
            result->damaged_id = record->id;
        }
        if (!live || record->fault != 0)
            continue;
        if (!has_room(record, at, capacity, result))
            return;
        const uint8_t *bytes = NULL;
        if (record->size > 0) {
            bytes = record_bytes(&near, record, out + at + record->length + FIELDS_MAX, result);
            if (bytes == NULL)
                return;
        }
        uint8_t *end = fv_put_number(out + at, LIVE_VOLUME_ID, volume_id);
        end = fv_put_number(end, LIVE_NEEDLE_ID, record->id);
        end = fv_put_number(end, LIVE_COOKIE, record->cookie);
        if (bytes != NULL)
            end = fv_put_bytes(end, LIVE_BLOB, bytes + record->data_at, record->data_size);
        end = fv_put_number(end, LIVE_COMPRESSED, record->flags & FV_NEEDLE_COMPRESSED);
        end = fv_put_number(end, LIVE_LAST_MODIFIED, record->last_modified);
        end = fv_put_number(end, LIVE_CRC, masked(record->checksum));
        if (bytes != NULL) {
            end = fv_put_bytes(end, LIVE_NAME, bytes + record->name_at, record->name_size);
            end = fv_put_bytes(end, LIVE_MIME, bytes + record->mime_at, record->mime_size);
        }
        at = (size_t)(end - out);
        ends[result->count++] = (uint32_t)at;
    }
}

void fv_messages_tail(int dat_fd, int version, const fv_record *records, size_t count, uint8_t *out,
                      size_t capacity, uint32_t *ends, fv_messages_result *result)
{
    window near = {.fd = dat_fd, .start = 0, .length = 0};
    memset(result, 0, sizeof *result);
    size_t at = 0;
    for (; result->used < count; result->used++) {
        const fv_record *record = &records[result->used];
        if (!has_room(record, at, capacity, result))
            return;
        const uint8_t *bytes =
            record_bytes(&near, record, out + at + record->length + FIELDS_MAX, result);
        if (bytes == NULL)
            return;
        uint8_t *end = fv_put_bytes(out + at, TAIL_HEADER, bytes, FV_NEEDLE_HEADER);
        end = fv_put_bytes(end, TAIL_BODY, bytes + FV_NEEDLE_HEADER,
                        (size_t)record->length - FV_NEEDLE_HEADER);
        end = fv_put_number(end, TAIL_IS_LAST, 1);
        end = fv_put_number(end, TAIL_VERSION, (uint64_t)version);
        at = (size_t)(end - out);
        ends[result->count++] = (uint32_t)at;
    }
}

uint64_t fv_records_newest(const fv_record *records, size_t count)
{
    uint64_t newest = 0;
    for (size_t at = 0; at < count; at++)
        if (records[at].append_at_ns > newest)
            newest = records[at].append_at_ns;
    return newest;
}
