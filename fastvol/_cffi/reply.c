#include "reply.h"

#include "response_head.h"
#include "server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Upstream reads bodies up to this size whole, and so checks them even for a range or a HEAD
 * (weed/storage/volume_read.go: PagedReadLimit). */
#define PAGED_READ (1 << 20)
#define SNIFF 512
#define MIME_MAX 255
/* A page that is gone again after so many cold reads is waited for where it is needed. */
#define ROUNDS_MAX 4

typedef struct {
    fv_server *server;
    const fv_request *request;
    const fv_warm *warm;
    fv_volume *volume;
    fv_needle needle;
    uint64_t record_offset;
    uint64_t data_offset; /* in the file */
    uint64_t start;       /* of the body within the payload */
    uint64_t length;
    int partial;
    const char *mime; /* NULL: to be sniffed */
    size_t mime_length;
    fv_cold *cold;
} work;

static _Thread_local uint8_t *record_buffer;
static _Thread_local size_t record_capacity;
static _Thread_local uint8_t suffix_buffer[FV_NEEDLE_META_MAX];

/* ---- writing the head ------------------------------------------------------------------------ */

static int put_last_modified(fv_output *out, const fv_needle *needle)
{
    char date[29];
    if ((needle->flags & FV_NEEDLE_HAS_LAST_MODIFIED) == 0 || needle->last_modified == 0)
        return 1;
    if (!fv_http_date((int64_t)needle->last_modified, date))
        return 0;
    FV_PUT(out, "Last-Modified: ");
    fv_put(out, date, sizeof date);
    FV_PUT(out, "\r\n");
    return 1;
}

static int is_compressed(const fv_needle *needle)
{
    return (needle->flags & FV_NEEDLE_COMPRESSED) != 0;
}

static int write_not_modified(work *w, fv_output *out, fv_reply *reply)
{
    FV_PUT(out, "HTTP/1.1 304 Not Modified\r\n");
    if (!put_last_modified(out, &w->needle))
        return FV_REPLY_NOT_MINE;
    fv_put_server_and_id(out, w->server);
    fv_put_date(out);
    FV_PUT(out, "\r\n");
    reply->count = w->request->is_head ? FV_COUNT_HEAD_304 : FV_COUNT_GET_304;
    return FV_REPLY_DONE;
}

static int write_head(work *w, const uint8_t *sniffable, size_t sniffable_length, fv_output *out)
{
    const fv_needle *needle = &w->needle;
    char disposition[17 + 2 * 255 + 4];
    size_t disposition_length = 0;
    if (needle->name_size > 0) {
        disposition_length = fv_format_disposition(needle->name, needle->name_size, disposition,
                                                   sizeof disposition);
        if (disposition_length == 0)
            return FV_REPLY_NOT_MINE;
    }
    if (w->partial)
        FV_PUT(out, "HTTP/1.1 206 Partial Content\r\nAccept-Ranges: bytes\r\n");
    else
        FV_PUT(out, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\n");
    if (disposition_length > 0) {
        FV_PUT(out, "Content-Disposition: ");
        fv_put(out, disposition, disposition_length);
        FV_PUT(out, "\r\n");
    }
    if (is_compressed(needle))
        FV_PUT(out, "Content-Encoding: gzip\r\n");
    FV_PUT(out, "Content-Length: ");
    fv_put_decimal(out, w->length);
    if (w->partial) {
        FV_PUT(out, "\r\nContent-Range: bytes ");
        fv_put_decimal(out, w->start);
        FV_PUT(out, "-");
        fv_put_decimal(out, w->start + w->length - 1);
        FV_PUT(out, "/");
        fv_put_decimal(out, needle->data_size);
    }
    if (w->mime != NULL) {
        FV_PUT(out, "\r\nContent-Type: ");
        fv_put(out, w->mime, w->mime_length);
    }
    FV_PUT(out, "\r\nEtag: \"");
    fv_put_hex32(out, needle->checksum);
    FV_PUT(out, "\"\r\n");
    if (!put_last_modified(out, needle))
        return FV_REPLY_NOT_MINE;
    fv_put_server_and_id(out, w->server);
    fv_put_date(out);
    if (w->mime == NULL && !w->request->is_head && !is_compressed(needle)) {
        const char *type = fv_sniff_content_type(sniffable, sniffable_length);
        FV_PUT(out, "Content-Type: ");
        fv_put(out, type, strlen(type));
        FV_PUT(out, "\r\n");
    }
    FV_PUT(out, "\r\n");
    return FV_REPLY_DONE;
}

/* ---- deciding -------------------------------------------------------------------------------- */

static int is_warm(const work *w)
{
    return w->warm->offset == w->record_offset && w->warm->volume == w->volume;
}

static int ask_for(work *w, uint64_t offset, uint64_t length, int verify)
{
    w->cold->volume = fv_volume_ref(w->volume);
    w->cold->record_offset = w->record_offset;
    w->cold->offset = offset;
    w->cold->length = length;
    w->cold->verify = verify;
    w->cold->cached = verify && !is_warm(w); /* only a cached record gets as far as its check */
    w->cold->stored = w->needle.checksum;
    return FV_REPLY_COLD;
}

/* Needles whose answer needs more than bytes and a head. */
static int is_plain(const work *w)
{
    unsigned odd = FV_NEEDLE_HAS_TTL | FV_NEEDLE_HAS_PAIRS | FV_NEEDLE_CHUNK_MANIFEST;
    if ((w->needle.flags & odd) != 0 || w->needle.cookie != w->request->cookie ||
        w->needle.id != w->request->needle_id || w->needle.data_size == 0)
        return 0;
    return !is_compressed(&w->needle) || w->request->accepts_gzip;
}

static int is_header_text(const uint8_t *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < 0x20 || text[i] >= 0x7F)
            return 0;
    return 1;
}

/* Content type by the stored mime, else by the stored name's extension, else none. */
static int choose_mime(work *w)
{
    static const char generic[] = "application/octet-stream";
    const fv_needle *needle = &w->needle;
    w->mime = NULL;
    if (needle->mime_size > 0 &&
        !(needle->mime_size >= sizeof generic - 1 &&
          memcmp(needle->mime, generic, sizeof generic - 1) == 0)) {
        if (!is_header_text(needle->mime, needle->mime_size))
            return 0;
        w->mime = (const char *)needle->mime;
        w->mime_length = needle->mime_size;
        return 1;
    }
    const uint8_t *dot =
        needle->name_size > 0 ? memrchr(needle->name, '.', needle->name_size) : NULL;
    if (dot != NULL) {
        size_t length = needle->name_size - (size_t)(dot - needle->name);
        w->mime = fv_mime_table_find(w->server->mime, dot, length);
        w->mime_length = w->mime != NULL ? strlen(w->mime) : 0;
    }
    return w->mime_length <= MIME_MAX;
}

static int is_not_modified(const work *w)
{
    const fv_request *request = w->request;
    if (request->if_modified_since >= 0 &&
        (w->needle.flags & FV_NEEDLE_HAS_LAST_MODIFIED) != 0 && w->needle.last_modified != 0 &&
        (uint64_t)request->if_modified_since >= w->needle.last_modified)
        return 1;
    if (request->if_none_match_length != 10)
        return 0;
    char tag[10];
    fv_output text = {(uint8_t *)tag, 0, sizeof tag};
    FV_PUT(&text, "\"");
    fv_put_hex32(&text, w->needle.checksum);
    FV_PUT(&text, "\"");
    return memcmp(tag, request->if_none_match, sizeof tag) == 0;
}

/* 0 when the range is one that the complete parser should answer. */
static int apply_range(work *w)
{
    const fv_request *request = w->request;
    w->start = 0;
    w->length = w->needle.data_size;
    w->partial = 0;
    if (!request->has_range || request->is_head)
        return 1;
    if (request->range_first >= w->needle.data_size)
        return 0;
    uint64_t last = request->range_last;
    if (last >= w->needle.data_size)
        last = w->needle.data_size - 1;
    w->start = request->range_first;
    w->length = last - w->start + 1;
    w->partial = 1;
    return 1;
}

static int starts_like_gzip(const uint8_t *data, size_t length)
{
    return length >= 2 && data[0] == 0x1F && data[1] == 0x8B;
}

/* ---- small needles: one read of the whole record, answered from memory ------------------------ */

static int reply_small(work *w, int32_t size, fv_output *out, fv_reply *reply)
{
    fv_fault fault;
    int sys_errno = 0;
    uint64_t record = fv_needle_actual_size(size, fv_volume_version(w->volume));
    if (record > record_capacity) {
        uint8_t *grown = realloc(record_buffer, record);
        if (grown == NULL)
            return FV_REPLY_NOT_MINE;
        record_buffer = grown;
        record_capacity = record;
    }
    int result = fv_volume_pread(w->volume, record_buffer, record, w->record_offset, !is_warm(w),
                                 &sys_errno);
    if (result == FV_COLD)
        return ask_for(w, w->record_offset, record, 0);
    if (result != FV_OK || fv_needle_parse(record_buffer, record, size, fv_volume_version(w->volume),
                                           1, &w->needle, &fault) != FV_NEEDLE_OK)
        return FV_REPLY_NOT_MINE;
    if (!is_plain(w))
        return FV_REPLY_NOT_MINE;
    if (is_compressed(&w->needle) && !starts_like_gzip(w->needle.data, w->needle.data_size))
        return FV_REPLY_NOT_MINE;
    if (is_not_modified(w))
        return write_not_modified(w, out, reply);
    if (!choose_mime(w) || !apply_range(w))
        return FV_REPLY_NOT_MINE;
    const uint8_t *body = w->needle.data + w->start;
    result = write_head(w, body, w->length, out);
    if (result == FV_REPLY_DONE && !w->request->is_head)
        fv_put(out, body, w->length);
    return result;
}

/* ---- large needles: metadata by two reads, the payload checked in place and sent by sendfile --- */

/* Bytes of a record that is known to be cached come through the mapping, without a system call each;
 * after a cold read they are waited for instead. */
static int take_bytes(work *w, uint64_t offset, size_t length, void *out)
{
    int sys_errno = 0;
    if (!is_warm(w))
        return fv_volume_copy_mapped(w->volume, offset, length, out);
    return fv_volume_pread(w->volume, out, length, offset, 0, &sys_errno);
}

static int read_meta(work *w, int32_t size)
{
    uint8_t prefix[FV_NEEDLE_PREFIX];
    fv_fault fault;
    uint64_t record = fv_needle_actual_size(size, fv_volume_version(w->volume));
    if (take_bytes(w, w->record_offset, sizeof prefix, prefix) != FV_OK)
        return FV_REPLY_NOT_MINE;
    fv_needle_parse_prefix(prefix, &w->needle);
    if (w->needle.size != size)
        return FV_REPLY_NOT_MINE;
    uint64_t before = FV_NEEDLE_PREFIX + (uint64_t)w->needle.data_size;
    if (before > record || record - before > sizeof suffix_buffer || w->needle.data_size == 0)
        return FV_REPLY_NOT_MINE;
    if (take_bytes(w, w->record_offset + before, record - before, suffix_buffer) != FV_OK ||
        fv_needle_parse_suffix(suffix_buffer, record - before, size, w->needle.data_size,
                               fv_volume_version(w->volume), &w->needle, &fault) != FV_NEEDLE_OK)
        return FV_REPLY_NOT_MINE;
    w->data_offset = w->record_offset + FV_NEEDLE_PREFIX;
    return FV_REPLY_DONE;
}

static int is_missing(const work *w, uint64_t offset, uint64_t length)
{
    if (is_warm(w) && w->warm->rounds >= ROUNDS_MAX)
        return 0;
    return !fv_volume_resident(w->volume, offset, length);
}

/* Asks for what must be cached before the record can be looked at.  A request that needs little of a
 * large record does not make the disk deliver all of it. */
static int want_record(work *w, int32_t size)
{
    uint64_t record = fv_needle_actual_size(size, fv_volume_version(w->volume));
    int ends_only = size > PAGED_READ && (w->request->is_head || w->request->has_range);
    if (!ends_only)
        return is_warm(w) || fv_volume_resident(w->volume, w->record_offset, record)
                   ? FV_REPLY_DONE
                   : ask_for(w, w->record_offset, record, 0);
    if (is_missing(w, w->record_offset, FV_NEEDLE_PREFIX))
        return ask_for(w, w->record_offset, FV_NEEDLE_PREFIX, 0);
    uint64_t tail = record < FV_NEEDLE_META_MAX ? record : FV_NEEDLE_META_MAX;
    if (is_missing(w, w->record_offset + record - tail, tail))
        return ask_for(w, w->record_offset + record - tail, tail, 0);
    return FV_REPLY_DONE;
}

/* Two smaller records could share one mark of the "verified once" memory. */
static int remembers(const work *w)
{
    return w->server->options.verify_once && w->needle.data_size >= FV_ONCE_GRANULE;
}

/* The payload's checksum before the first byte leaves. */
static int verify_payload(work *w)
{
    fv_server *server = w->server;
    if (is_warm(w) && w->warm->verified) {
        if (remembers(w))
            fv_volume_note_verified(w->volume, w->record_offset);
        return FV_REPLY_DONE;
    }
    if (remembers(w) && fv_volume_was_verified(w->volume, w->record_offset))
        return FV_REPLY_DONE;
    /* Of a long cold record only the ends have been waited for. */
    if (w->needle.data_size > server->options.inline_verify_max ||
        (is_warm(w) && !fv_volume_resident(w->volume, w->data_offset, w->needle.data_size)))
        return ask_for(w, w->data_offset, w->needle.data_size, 1);
    fv_fault fault;
    int result = fv_volume_verify(w->volume, w->data_offset, w->needle.data_size,
                                  w->needle.checksum, FV_VERIFY_CACHED, &fault);
    if (result != FV_OK || fault.computed != w->needle.checksum)
        return FV_REPLY_NOT_MINE; /* damaged, or stored in the legacy form: not for this path */
    if (remembers(w))
        fv_volume_note_verified(w->volume, w->record_offset);
    return FV_REPLY_DONE;
}

static int must_verify(const work *w, int32_t size)
{
    if (size <= PAGED_READ || is_compressed(&w->needle))
        return 1;
    return !w->request->is_head && w->length == w->needle.data_size;
}

static int reply_large(work *w, int32_t size, fv_output *out, fv_reply *reply)
{
    uint8_t first[SNIFF];
    size_t first_length = 0;
    int result = want_record(w, size);
    if (result == FV_REPLY_DONE)
        result = read_meta(w, size);
    if (result != FV_REPLY_DONE)
        return result;
    if (!is_plain(w))
        return FV_REPLY_NOT_MINE;
    /* Upstream has only the metadata of such a needle when it looks at the conditions. */
    if (size > PAGED_READ && !is_compressed(&w->needle) && is_not_modified(w))
        return write_not_modified(w, out, reply);
    if (!choose_mime(w) || !apply_range(w))
        return FV_REPLY_NOT_MINE;
    if (must_verify(w, size)) {
        result = verify_payload(w);
        if (result != FV_REPLY_DONE)
            return result;
    } else if (!w->request->is_head) {
        uint64_t window = w->length < FV_COLD_WINDOW ? w->length : FV_COLD_WINDOW;
        if (is_missing(w, w->data_offset + w->start, window))
            return ask_for(w, w->data_offset + w->start, window, 0);
        reply->unsure = window < w->length;
    }
    if (is_not_modified(w))
        return write_not_modified(w, out, reply);
    if ((!w->request->is_head && w->mime == NULL) || is_compressed(&w->needle)) {
        first_length = w->length < SNIFF ? w->length : SNIFF;
        uint64_t from = is_compressed(&w->needle) ? 0 : w->start;
        if (is_compressed(&w->needle) && w->needle.data_size < first_length)
            first_length = w->needle.data_size;
        if (take_bytes(w, w->data_offset + from, first_length, first) != FV_OK)
            return FV_REPLY_NOT_MINE;
    }
    if (is_compressed(&w->needle) && !starts_like_gzip(first, first_length))
        return FV_REPLY_NOT_MINE;
    result = write_head(w, first, first_length, out);
    if (result == FV_REPLY_DONE && !w->request->is_head && w->length > 0) {
        reply->volume = fv_volume_ref(w->volume);
        reply->file_offset = w->data_offset + w->start;
        reply->file_length = w->length;
        reply->unsure |= is_warm(w) && !w->warm->verified;
        if (w->length <= w->server->options.map_max) {
            const uint8_t *base = fv_volume_mapped(w->volume, reply->file_offset + w->length);
            reply->mapped = base == NULL ? NULL : base + reply->file_offset;
        }
    }
    return result;
}

static int build(work *w, fv_output *out, fv_reply *reply)
{
    fv_entry entry;
    if ((fv_volume_flags(w->volume) & FV_VOLUME_NO_FAST_READ) != 0 ||
        fv_volume_version(w->volume) == 1)
        return FV_REPLY_NOT_MINE;
    if (!fv_map_get(fv_volume_map(w->volume), w->request->needle_id, &entry) ||
        entry.offset == 0 || entry.size <= 0)
        return FV_REPLY_NOT_MINE;
    w->record_offset = entry.offset * 8;
    size_t before = out->length;
    int result = (uint32_t)entry.size <= w->server->options.copy_max
                     ? reply_small(w, entry.size, out, reply)
                     : reply_large(w, entry.size, out, reply);
    if (result != FV_REPLY_DONE)
        out->length = before;
    else if (reply->count < 0)
        reply->count = w->request->is_head ? FV_COUNT_HEAD_200
                       : w->partial        ? FV_COUNT_GET_206
                                           : FV_COUNT_GET_200;
    return result;
}

int fv_reply_build(fv_server *server, const fv_request *request, const fv_warm *warm,
                   fv_output *out, fv_reply *reply, fv_cold *cold)
{
    assert(out->capacity - out->length >= FV_HEAD_MAX + server->options.copy_max);
    work w;
    memset(&w, 0, sizeof w);
    memset(reply, 0, sizeof *reply);
    reply->count = -1;
    w.server = server;
    w.request = request;
    w.warm = warm;
    w.cold = cold;
    w.volume = fv_server_find_volume(server, request->volume_id);
    if (w.volume == NULL)
        return FV_REPLY_NOT_MINE;
    int result = build(&w, out, reply);
    fv_volume_unref(w.volume);
    return result;
}
