#include "http_text.h"

static int is_name_char(char c)
{
    return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || (c >= '0' && c <= '9') || c == '_';
}

int fv_take_header_line(fv_cursor *in, fv_span *name, fv_span *value)
{
    if (FV_TAKE(in, "\r\n"))
        return 2;
    name->text = in->at;
    while (in->at < in->end && is_name_char(*in->at))
        in->at++;
    name->length = (size_t)(in->at - name->text);
    if (name->length == 0 || !FV_TAKE(in, ":"))
        return 0;
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t'))
        in->at++;
    value->text = in->at;
    while (in->at < in->end && ((*in->at >= 0x20 && *in->at < 0x7F) || *in->at == '\t'))
        in->at++;
    const char *end = in->at;
    while (end > value->text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    value->length = (size_t)(end - value->text);
    return FV_TAKE(in, "\r\n");
}

/* 1..16 hex digits of id, then 8 of cookie. */
static int take_key_and_cookie(fv_cursor *in, uint64_t *id, uint32_t *cookie)
{
    const char *start = in->at;
    while (in->at < in->end && fv_hex_digit(*in->at) >= 0)
        in->at++;
    size_t digits = (size_t)(in->at - start);
    if (digits <= 8 || digits > 24)
        return 0;
    uint64_t key = 0;
    uint32_t low = 0;
    for (size_t i = 0; i < digits - 8; i++)
        key = key << 4 | (uint64_t)fv_hex_digit(start[i]);
    for (size_t i = digits - 8; i < digits; i++)
        low = low << 4 | (uint32_t)fv_hex_digit(start[i]);
    *id = key;
    *cookie = low;
    return 1;
}

static int is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

int fv_take_object_path(fv_cursor *in, int any_separator, uint32_t *volume_id, uint64_t *needle_id,
                        uint32_t *cookie)
{
    uint64_t vid;
    uint64_t delta;
    if (!FV_TAKE(in, "/") || !fv_take_decimal(in, 10, &vid) || vid > UINT32_MAX)
        return 0;
    if (!FV_TAKE(in, ",") && !(any_separator && FV_TAKE(in, "/")))
        return 0;
    if (!take_key_and_cookie(in, needle_id, cookie))
        return 0;
    if (FV_TAKE(in, "_")) {
        if (!fv_take_decimal(in, 18, &delta) || *needle_id > UINT64_MAX - delta)
            return 0;
        *needle_id += delta;
    }
    if (FV_TAKE(in, ".")) {
        /* An extension only matters to image operations, and those need a query. */
        const char *start = in->at;
        while (in->at < in->end && is_alphanumeric(*in->at))
            in->at++;
        if (in->at == start)
            return 0;
    }
    *volume_id = (uint32_t)vid;
    return 1;
}

int fv_is_host(fv_span value)
{
    for (size_t i = 0; i < value.length; i++) {
        char c = value.text[i];
        if (!is_alphanumeric(c) && strchr(".-:[]_", c) == NULL)
            return 0;
    }
    return value.length > 0;
}
