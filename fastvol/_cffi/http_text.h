/* Small readers over request bytes, shared by the two strict grammars (request.c, upload.c). */
#ifndef FASTVOL_HTTP_TEXT_H
#define FASTVOL_HTTP_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

typedef struct {
    const char *at;
    const char *end;
} fv_cursor;

typedef struct {
    const char *text;
    size_t length;
} fv_span;

static inline size_t fv_left(const fv_cursor *in)
{
    return (size_t)(in->end - in->at);
}

/* Steps over `literal` when it comes next. */
static inline int fv_take_literal(fv_cursor *in, const char *literal, size_t length)
{
    if (fv_left(in) < length || memcmp(in->at, literal, length) != 0)
        return 0;
    in->at += length;
    return 1;
}
#define FV_TAKE(in, literal) fv_take_literal(in, literal, sizeof(literal) - 1)

static inline int fv_span_is(fv_span span, const char *literal)
{
    return span.length == strlen(literal) && memcmp(span.text, literal, span.length) == 0;
}

static inline int fv_span_is_nocase(fv_span span, const char *literal)
{
    return span.length == strlen(literal) && strncasecmp(span.text, literal, span.length) == 0;
}

static inline int fv_span_starts(fv_span span, const char *literal)
{
    size_t length = strlen(literal);
    return span.length >= length && memcmp(span.text, literal, length) == 0;
}

static inline int fv_span_ends(fv_span span, const char *literal)
{
    size_t length = strlen(literal);
    return span.length >= length &&
           memcmp(span.text + span.length - length, literal, length) == 0;
}

static inline int fv_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decimal of 1..`digits_max` digits (at most 18). */
static inline int fv_take_decimal(fv_cursor *in, int digits_max, uint64_t *out)
{
    uint64_t value = 0;
    int digits = 0;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
        if (++digits > digits_max)
            return 0;
        value = value * 10 + (uint64_t)(*in->at++ - '0');
    }
    *out = value;
    return digits > 0;
}

/* One `name: value\r\n` of token and printable characters: 1 taken, 0 refused, 2 the empty line. */
int fv_take_header_line(fv_cursor *in, fv_span *name, fv_span *value);

/* `vid,fid[_delta][.ext]` (or `vid/fid` with any_separator); the slash before it is taken as well. */
int fv_take_object_path(fv_cursor *in, int any_separator, uint32_t *volume_id, uint64_t *needle_id,
                        uint32_t *cookie);

int fv_is_host(fv_span value);

#endif
