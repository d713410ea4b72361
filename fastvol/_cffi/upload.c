#include "upload.h"

#include <assert.h>

#define HEAD_MAX 8192
#define BOUNDARY_MAX 70
#define NAME_MAX_BYTES 255

/* ---- the request's head ----------------------------------------------------------------------- */

/* `?ts=…&ttl=&type=replicate`, each at most once; any other parameter is not mine. */
static int take_query(fv_cursor *in, fv_upload *out)
{
    unsigned seen = 0;
    if (!FV_TAKE(in, "?"))
        return 1;
    do {
        unsigned bit;
        if (FV_TAKE(in, "ts=")) {
            bit = 1;
            if (!fv_take_decimal(in, 11, &out->modified_second))
                return 0;
        } else if (FV_TAKE(in, "ttl=")) {
            bit = 2; /* only the empty one: its value must be over here */
        } else if (FV_TAKE(in, "type=replicate")) {
            bit = 4;
            out->is_replicate = 1;
        } else {
            return 0;
        }
        if ((seen & bit) != 0)
            return 0;
        seen |= bit;
    } while (FV_TAKE(in, "&"));
    return 1;
}

static int is_boundary(fv_span text)
{
    if (text.length == 0 || text.length > BOUNDARY_MAX)
        return 0;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.text[i];
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_'))
            return 0;
    }
    return 1;
}

/* `multipart/form-data; boundary=token` and nothing else. */
static int take_boundary(fv_span value, fv_span *boundary)
{
    fv_cursor in = {value.text, value.text + value.length};
    if (!FV_TAKE(&in, "multipart/form-data; boundary="))
        return 0;
    boundary->text = in.at;
    boundary->length = fv_left(&in);
    return is_boundary(*boundary);
}

static int is_harmless(fv_span name)
{
    static const char *const harmless[] = {
        "user-agent", "accept", "accept-encoding", "accept-language", "x-amz-request-id",
        "authorization", /* the fast write is off while a write key is set */
        "cookie", "cache-control", "pragma", "via", "traceparent", "tracestate", "x-real-ip",
        "x-request-id",
    };
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (fv_span_is_nocase(name, harmless[i]))
            return 1;
    return name.length > 12 && strncasecmp(name.text, "x-forwarded-", 12) == 0;
}

typedef struct {
    unsigned seen;
    fv_span boundary;
    uint64_t content_length;
} head;

#define SEEN_HOST 1u
#define SEEN_TYPE 2u
#define SEEN_LENGTH 4u
#define SEEN_CONNECTION 8u

static int take_head_header(head *h, fv_span name, fv_span value)
{
    unsigned bit;
    int good;
    if (fv_span_is_nocase(name, "host")) {
        bit = SEEN_HOST;
        good = fv_is_host(value);
    } else if (fv_span_is_nocase(name, "content-type")) {
        bit = SEEN_TYPE;
        good = take_boundary(value, &h->boundary);
    } else if (fv_span_is_nocase(name, "content-length")) {
        fv_cursor in = {value.text, value.text + value.length};
        bit = SEEN_LENGTH;
        good = fv_take_decimal(&in, 10, &h->content_length) && in.at == in.end;
    } else if (fv_span_is_nocase(name, "connection")) {
        bit = SEEN_CONNECTION;
        good = fv_span_is_nocase(value, "keep-alive");
    } else {
        return is_harmless(name);
    }
    if ((h->seen & bit) != 0)
        return 0;
    h->seen |= bit;
    return good;
}

static int take_head(fv_cursor *in, head *h, fv_upload *out)
{
    fv_span name, value;
    int step;
    if (!FV_TAKE(in, "POST ") ||
        !fv_take_object_path(in, 0, &out->volume_id, &out->needle_id, &out->cookie) ||
        !take_query(in, out) || !FV_TAKE(in, " HTTP/1.1\r\n"))
        return 0;
    while ((step = fv_take_header_line(in, &name, &value)) == 1)
        if (!take_head_header(h, name, value))
            return 0;
    unsigned needed = SEEN_HOST | SEEN_TYPE | SEEN_LENGTH;
    return step == 2 && (h->seen & needed) == needed;
}

/* ---- the part --------------------------------------------------------------------------------- */

static int is_token_char(char c)
{
    return c > 0x20 && c < 0x7F && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* A token, or a quoted string without escapes. */
static int take_parameter_value(fv_cursor *in, fv_span *value)
{
    if (FV_TAKE(in, "\"")) {
        value->text = in->at;
        while (in->at < in->end && *in->at != '"' && *in->at != '\\')
            in->at++;
        value->length = (size_t)(in->at - value->text);
        return FV_TAKE(in, "\"");
    }
    value->text = in->at;
    while (in->at < in->end && is_token_char(*in->at))
        in->at++;
    value->length = (size_t)(in->at - value->text);
    return value->length > 0;
}

/* Names that need no cleaning and no escaping anywhere: printable, no separators, no leading dot
 * (but "." alone, which `weed benchmark` sends). */
static int is_plain_name(fv_span name)
{
    if (name.length == 0 || name.length > NAME_MAX_BYTES)
        return 0;
    if (name.text[0] == '.' && name.length > 1)
        return 0;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.text[i];
        if (c < 0x20 || c >= 0x7F || strchr("/\\\"<>&%", c) != NULL)
            return 0;
    }
    return 1;
}

static int take_disposition(fv_span value, fv_upload *out)
{
    fv_cursor in = {value.text, value.text + value.length};
    fv_span field;
    int have_name = 0;
    if (!FV_TAKE(&in, "form-data"))
        return 0;
    while (FV_TAKE(&in, "; ")) {
        if (FV_TAKE(&in, "filename=")) {
            if (out->filename.length > 0 || !take_parameter_value(&in, &out->filename))
                return 0;
        } else if (FV_TAKE(&in, "name=")) {
            if (have_name || !take_parameter_value(&in, &field))
                return 0;
            have_name = 1;
        } else {
            return 0;
        }
    }
    return in.at == in.end && is_plain_name(out->filename);
}

static int is_plain_type(fv_span type)
{
    if (type.length > NAME_MAX_BYTES)
        return 0;
    for (size_t i = 0; i < type.length; i++)
        if (type.text[i] < 0x20 || type.text[i] >= 0x7F || strchr("\\\"<>&", type.text[i]) != NULL)
            return 0;
    return 1;
}

static int take_part_header(unsigned *seen, fv_span name, fv_span value, fv_upload *out)
{
    unsigned bit;
    int good = 1;
    if (fv_span_is_nocase(name, "content-disposition")) {
        bit = 1;
        good = take_disposition(value, out);
    } else if (fv_span_is_nocase(name, "content-type")) {
        bit = 2;
        out->content_type = value;
        good = is_plain_type(value);
    } else if (fv_span_is_nocase(name, "idempotency-key")) {
        bit = 4;
    } else {
        return 0;
    }
    if ((*seen & bit) != 0)
        return 0;
    *seen |= bit;
    return good;
}

/* Exactly one part, from the first byte of the body to its last. */
static int take_only_part(fv_cursor *in, fv_span boundary, fv_upload *out)
{
    char closing[BOUNDARY_MAX + 4];
    fv_span name, value;
    unsigned seen = 0;
    int step;
    if (!FV_TAKE(in, "--") || !fv_take_literal(in, boundary.text, boundary.length) ||
        !FV_TAKE(in, "\r\n"))
        return 0;
    while ((step = fv_take_header_line(in, &name, &value)) == 1)
        if (!take_part_header(&seen, name, value, out))
            return 0;
    if (step != 2 || (seen & 1) == 0)
        return 0;
    memcpy(closing, "\r\n--", 4);
    memcpy(closing + 4, boundary.text, boundary.length);
    const char *end = memmem(in->at, fv_left(in), closing, boundary.length + 4);
    if (end == NULL)
        return 0;
    out->data = (const uint8_t *)in->at;
    out->data_length = (size_t)(end - in->at);
    in->at = end + boundary.length + 4;
    if (!FV_TAKE(in, "--"))
        return 0;
    (void)FV_TAKE(in, "\r\n");
    return in->at == in->end;
}

int fv_upload_parse(const char *bytes, size_t length, size_t length_max, fv_upload *out)
{
    size_t look = length < HEAD_MAX ? length : HEAD_MAX;
    const char *end = memmem(bytes, look, "\r\n\r\n", 4);
    if (end == NULL)
        return length >= HEAD_MAX || memmem(bytes, look, "\n\n", 2) != NULL ? FV_UPLOAD_NOT_MINE
                                                                             : FV_UPLOAD_INCOMPLETE;
    memset(out, 0, sizeof *out);
    head h;
    memset(&h, 0, sizeof h);
    fv_cursor in = {bytes, end + 4};
    if (!take_head(&in, &h, out))
        return FV_UPLOAD_NOT_MINE;
    assert(in.at == end + 4);
    size_t head_length = (size_t)(in.at - bytes);
    if (h.content_length == 0 || h.content_length > length_max - head_length)
        return FV_UPLOAD_NOT_MINE;
    if (length - head_length < h.content_length)
        return FV_UPLOAD_INCOMPLETE;
    fv_cursor body = {in.at, in.at + h.content_length};
    if (!take_only_part(&body, h.boundary, out) || out->data_length == 0)
        return FV_UPLOAD_NOT_MINE;
    out->total_length = head_length + (size_t)h.content_length;
    return FV_UPLOAD_OK;
}

int fv_upload_is_compressible(fv_span mime)
{
    if (fv_span_starts(mime, "text/"))
        return 1;
    if (fv_span_starts(mime, "image/"))
        return 0;
    if (fv_span_starts(mime, "application/"))
        return fv_span_ends(mime, "xml") || fv_span_ends(mime, "script");
    return fv_span_is(mime, "audio/wave") || fv_span_is(mime, "audio/wav") ||
           fv_span_is(mime, "audio/x-wav") || fv_span_is(mime, "audio/x-pn-wav");
}
