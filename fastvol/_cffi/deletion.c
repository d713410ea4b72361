#include "deletion.h"

#include "protobuf.h"

#include <string.h>

#define COOKIE_DIGITS 8
#define KEY_DIGITS_MAX 16
#define DECIMAL_DIGITS_MAX 9 /* none of so many overflows 32 bits */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int read_hex(const char *text, size_t length, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t at = 0; at < length; at++) {
        int digit = hex_value(text[at]);
        if (digit < 0)
            return 0;
        value = value << 4 | (uint64_t)digit;
    }
    *out = value;
    return 1;
}

static int read_decimal(const char *text, size_t length, uint64_t *out)
{
    uint64_t value = 0;
    if (length == 0 || length > DECIMAL_DIGITS_MAX)
        return 0;
    for (size_t at = 0; at < length; at++) {
        if (text[at] < '0' || text[at] > '9')
            return 0;
        value = value * 10 + (uint64_t)(text[at] - '0');
    }
    *out = value;
    return 1;
}

static int read_fid(const char *line, size_t length, int with_delta, fv_deletion *out)
{
    const char *comma = memchr(line, ',', length);
    uint64_t volume_id, key, cookie, delta = 0;
    if (comma == NULL || !read_decimal(line, (size_t)(comma - line), &volume_id))
        return 0;
    const char *hex = comma + 1;
    size_t rest = length - (size_t)(hex - line);
    const char *mark = memchr(hex, '_', rest);
    if (mark != NULL) {
        size_t hex_length = (size_t)(mark - hex);
        size_t digits = rest - hex_length - 1;
        if (!with_delta || (digits > 0 && !read_decimal(mark + 1, digits, &delta)))
            return 0;
        rest = hex_length;
    }
    if (rest <= COOKIE_DIGITS || rest > KEY_DIGITS_MAX + COOKIE_DIGITS)
        return 0;
    if (!read_hex(hex, rest - COOKIE_DIGITS, &key) ||
        !read_hex(hex + rest - COOKIE_DIGITS, COOKIE_DIGITS, &cookie))
        return 0;
    if (key + delta < key)
        return 0;
    out->volume_id = (uint32_t)volume_id;
    out->id = key + delta;
    out->cookie = (uint32_t)cookie;
    return 1;
}

static const char *line_end(const char *at, const char *end)
{
    const char *found = memchr(at, '\n', (size_t)(end - at));
    return found != NULL ? found : end;
}

size_t fv_deletions_read(const char *text, size_t length, int with_delta, fv_deletion *out,
                         size_t capacity)
{
    const char *at = text, *end = text + length;
    for (size_t count = 0;; count++) {
        const char *stop = line_end(at, end);
        if (count < capacity) {
            memset(&out[count], 0, sizeof out[count]);
            out[count].text_at = (size_t)(at - text);
            out[count].text_length = (size_t)(stop - at);
            out[count].result = read_fid(at, (size_t)(stop - at), with_delta, &out[count])
                                    ? FV_DELETION_PENDING
                                    : FV_DELETION_OPEN;
        }
        if (stop == end)
            return count + 1;
        at = stop + 1;
    }
}

size_t fv_deletions_next(const fv_deletion *items, size_t count, size_t from)
{
    while (from < count && items[from].result != FV_DELETION_PENDING)
        from++;
    return from;
}

void fv_deletions_leave(fv_deletion *items, size_t count, uint32_t volume_id)
{
    for (size_t at = 0; at < count; at++)
        if (items[at].volume_id == volume_id && items[at].result == FV_DELETION_PENDING)
            items[at].result = FV_DELETION_OPEN;
}

/* --- results ------------------------------------------------------------------------------------- */

#define STATUS_ACCEPTED 202
#define STATUS_NOT_MODIFIED 304
#define STATUS_BAD_REQUEST 400
#define STATUS_NOT_FOUND 404
#define STATUS_NOT_ACCEPTABLE 406
#define FIELD_FILE_ID 0x0a
#define FIELD_STATUS 0x10
#define FIELD_ERROR 0x1a
#define FIELD_SIZE 0x20
#define FIELD_RESULTS 0x0a

typedef struct {
    unsigned status;
    const char *error;
} outcome;

static outcome outcome_of(const fv_deletion *item)
{
    switch (item->result) {
    case FV_OK:
        return (outcome){item->size > 0 ? STATUS_ACCEPTED : STATUS_NOT_MODIFIED, ""};
    case FV_DELETED:
        return (outcome){STATUS_NOT_FOUND, "already deleted"};
    case FV_BAD_COOKIE:
        return (outcome){STATUS_BAD_REQUEST, "File Random Cookie does not match."};
    case FV_DELETION_MANIFEST:
        return (outcome){STATUS_NOT_ACCEPTABLE, "ChunkManifest: not allowed in batch delete mode."};
    default:
        return (outcome){STATUS_NOT_FOUND, "not found"};
    }
}

static size_t field_size(size_t length)
{
    return length == 0 ? 0 : 1 + fv_varint_size(length) + length;
}

static size_t result_size(const fv_deletion *item, size_t fid_length)
{
    outcome found = outcome_of(item);
    size_t size = field_size(fid_length) + 1 + fv_varint_size(found.status);
    size += field_size(strlen(found.error));
    if (found.status == STATUS_ACCEPTED)
        size += 1 + fv_varint_size((uint32_t)item->size);
    return size;
}

static uint8_t *put_result(uint8_t *out, const fv_deletion *item, const char *fid, size_t length)
{
    outcome found = outcome_of(item);
    *out++ = FIELD_RESULTS;
    out = fv_put_varint(out, result_size(item, length));
    out = fv_put_bytes(out, FIELD_FILE_ID, fid, length);
    out = fv_put_number(out, FIELD_STATUS, found.status);
    out = fv_put_bytes(out, FIELD_ERROR, found.error, strlen(found.error));
    if (found.status == STATUS_ACCEPTED)
        out = fv_put_number(out, FIELD_SIZE, (uint32_t)item->size);
    return out;
}

size_t fv_deletions_write(const char *text, const fv_deletion *items, size_t from, size_t to,
                          uint8_t *out, size_t capacity)
{
    size_t size = 0;
    for (size_t at = from; at < to; at++) {
        size_t body = result_size(&items[at], items[at].text_length);
        size += 1 + fv_varint_size(body) + body;
    }
    for (size_t at = from; at < to && size <= capacity; at++)
        out = put_result(out, &items[at], text + items[at].text_at, items[at].text_length);
    return size;
}
