#include "request.h"

#include "http_text.h"

#include <assert.h>

static int take_request_line(fv_cursor *in, fv_request *out)
{
    if (FV_TAKE(in, "HEAD "))
        out->is_head = 1;
    else if (!FV_TAKE(in, "GET "))
        return 0;
    return fv_take_object_path(in, 1, &out->volume_id, &out->needle_id, &out->cookie) &&
           FV_TAKE(in, " HTTP/1.1\r\n");
}

/* ---- dates ----------------------------------------------------------------------------------- */

static const char week_days[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static int name_index(const char *names, int count, const char *text)
{
    for (int i = 0; i < count; i++)
        if (memcmp(names + 3 * i, text, 3) == 0)
            return i;
    return -1;
}

/* Days since 1970-01-01 of a proleptic Gregorian date (month 1..12). */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int month_length(int64_t year, int month)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return lengths[month - 1] + (month == 2 && leap);
}

static int two_digits(const char *text, int *out)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return 0;
    *out = (text[0] - '0') * 10 + (text[1] - '0');
    return 1;
}

/* Only the canonical spelling; other spellings that Go accepts are for the complete parser. */
static int parse_http_date(const char *text, size_t length, int64_t *out)
{
    int day, hour, minute, second, century, year;
    if (length != 29 || name_index(week_days, 7, text) < 0 || memcmp(text + 3, ", ", 2) != 0 ||
        text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || text[19] != ':' ||
        text[22] != ':' || memcmp(text + 25, " GMT", 4) != 0)
        return 0;
    int month = name_index(month_names, 12, text + 8) + 1;
    if (month == 0 || !two_digits(text + 5, &day) || !two_digits(text + 12, &century) ||
        !two_digits(text + 14, &year) || !two_digits(text + 17, &hour) ||
        !two_digits(text + 20, &minute) || !two_digits(text + 23, &second))
        return 0;
    int64_t full_year = century * 100 + year;
    if (day < 1 || day > month_length(full_year, month) || hour > 23 || minute > 59 || second > 59)
        return 0;
    *out = days_from_civil(full_year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return *out >= 0;
}

static void put_two(char *out, int value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

int fv_http_date(int64_t second, char *out)
{
    if (second < 0 || second > 253402300799)
        return 0;
    int64_t days = second / 86400;
    int rest = (int)(second % 86400);
    int64_t shifted = days + 719468;
    int64_t era = shifted / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    int day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    int month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    int year = (int)(year_of_era + era * 400 + (month <= 2));
    memcpy(out, week_days + 3 * ((days + 4) % 7), 3);
    memcpy(out + 3, ", ", 2);
    put_two(out + 5, day);
    out[7] = ' ';
    memcpy(out + 8, month_names + 3 * (month - 1), 3);
    out[11] = ' ';
    put_two(out + 12, year / 100);
    put_two(out + 14, year % 100);
    out[16] = ' ';
    put_two(out + 17, rest / 3600);
    out[19] = ':';
    put_two(out + 20, rest / 60 % 60);
    out[22] = ':';
    put_two(out + 23, rest % 60);
    memcpy(out + 25, " GMT", 4);
    return 1;
}

/* ---- headers --------------------------------------------------------------------------------- */

enum header_kind {
    HARMLESS,
    HOST,
    CONNECTION,
    ACCEPT_ENCODING,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    RANGE,
    UNKNOWN,
};

typedef struct {
    const char *name;
    uint8_t length;
    uint8_t kind;
} known_header;

#define KNOWN(name, kind) {name, sizeof(name) - 1, kind}

/* Upstream's read path looks at none of the HARMLESS ones. */
static const known_header known_headers[] = {
    KNOWN("host", HOST),
    KNOWN("accept-encoding", ACCEPT_ENCODING),
    KNOWN("user-agent", HARMLESS),
    KNOWN("accept", HARMLESS),
    KNOWN("connection", CONNECTION),
    KNOWN("range", RANGE),
    KNOWN("if-none-match", IF_NONE_MATCH),
    KNOWN("if-modified-since", IF_MODIFIED_SINCE),
    KNOWN("x-amz-request-id", HARMLESS),
    KNOWN("accept-language", HARMLESS),
    KNOWN("accept-charset", HARMLESS),
    KNOWN("authorization", HARMLESS), /* the fast read is off while a read key is set */
    KNOWN("cookie", HARMLESS),
    KNOWN("cache-control", HARMLESS),
    KNOWN("pragma", HARMLESS),
    KNOWN("referer", HARMLESS),
    KNOWN("dnt", HARMLESS),
    KNOWN("priority", HARMLESS),
    KNOWN("upgrade-insecure-requests", HARMLESS),
    KNOWN("if-range", HARMLESS),
    KNOWN("if-match", HARMLESS),
    KNOWN("if-unmodified-since", HARMLESS),
    KNOWN("via", HARMLESS),
    KNOWN("forwarded", HARMLESS),
    KNOWN("traceparent", HARMLESS),
    KNOWN("tracestate", HARMLESS),
    KNOWN("x-real-ip", HARMLESS),
    KNOWN("x-request-id", HARMLESS),
    KNOWN("x-fastvol-chunk-depth", HARMLESS), /* manifests are not read here */
};

static enum header_kind header_kind_of(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof known_headers / sizeof known_headers[0]; i++)
        if (known_headers[i].length == length &&
            strncasecmp(known_headers[i].name, name, length) == 0)
            return (enum header_kind)known_headers[i].kind;
    if (length > 12 && strncasecmp(name, "x-forwarded-", 12) == 0)
        return HARMLESS;
    if (length > 4 && strncasecmp(name, "sec-", 4) == 0)
        return HARMLESS;
    return UNKNOWN;
}

static int contains(const char *text, size_t length, const char *word)
{
    return memmem(text, length, word, strlen(word)) != NULL;
}

/* `bytes=first-[last]` only. */
static int parse_range(const char *text, size_t length, fv_request *out)
{
    fv_cursor in = {text, text + length};
    if (length < 8 || memcmp(text, "bytes=", 6) != 0)
        return 0;
    in.at += 6;
    if (!fv_take_decimal(&in, 18, &out->range_first) || in.at >= in.end || *in.at++ != '-')
        return 0;
    out->range_last = UINT64_MAX;
    if (in.at < in.end && (!fv_take_decimal(&in, 18, &out->range_last) ||
                           out->range_last < out->range_first))
        return 0;
    out->has_range = 1;
    return in.at == in.end;
}

static int take_header(unsigned *seen, fv_span name, fv_span value, fv_request *out)
{
    enum header_kind kind = header_kind_of(name.text, name.length);
    if (kind == UNKNOWN)
        return 0;
    if (kind == HARMLESS)
        return 1;
    if ((*seen & 1u << kind) != 0)
        return 0;
    *seen |= 1u << kind;
    switch (kind) {
    case HOST:
        return fv_is_host(value);
    case CONNECTION:
        return fv_span_is_nocase(value, "keep-alive");
    case ACCEPT_ENCODING:
        out->accepts_gzip = contains(value.text, value.length, "gzip");
        return 1;
    case IF_NONE_MATCH:
        out->if_none_match = value.text;
        out->if_none_match_length = value.length;
        return 1;
    case IF_MODIFIED_SINCE:
        return parse_http_date(value.text, value.length, &out->if_modified_since);
    case RANGE:
        return parse_range(value.text, value.length, out);
    default:
        return 0;
    }
}

int fv_request_parse(const char *bytes, size_t length, fv_request *out)
{
    size_t look = length < FV_REQUEST_HEAD_MAX ? length : FV_REQUEST_HEAD_MAX;
    const char *end = memmem(bytes, look, "\r\n\r\n", 4);
    if (end == NULL) {
        if (length >= FV_REQUEST_HEAD_MAX)
            return FV_REQUEST_NOT_MINE;
        /* What can never become one of ours goes to the complete parser, which may refuse it now
         * instead of at the deadline. */
        if (length > 0 && bytes[0] != 'G' && bytes[0] != 'H')
            return FV_REQUEST_NOT_MINE;
        return memmem(bytes, look, "\n\n", 2) != NULL ? FV_REQUEST_NOT_MINE : FV_REQUEST_INCOMPLETE;
    }
    memset(out, 0, sizeof *out);
    out->if_modified_since = -1;
    fv_cursor in = {bytes, end + 4};
    if (!take_request_line(&in, out))
        return FV_REQUEST_NOT_MINE;
    fv_span name, value;
    unsigned seen = 0;
    int step;
    while ((step = fv_take_header_line(&in, &name, &value)) == 1)
        if (!take_header(&seen, name, value, out))
            return FV_REQUEST_NOT_MINE;
    if (step == 0 || (seen & 1u << HOST) == 0)
        return FV_REQUEST_NOT_MINE;
    assert(in.at == in.end);
    out->head_length = (size_t)(in.at - bytes);
    return FV_REQUEST_OK;
}
