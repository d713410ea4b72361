/* The grammar of the fast read: what it takes, what it leaves, and that no byte sequence hurts it. */
#include "check.h"
#include "request.h"

#include <string.h>

static const char good[] =
    "GET /7,1a0000abcd_2.jpg HTTP/1.1\r\n"
    "Host: 127.0.0.1:8080\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Accept-Encoding: deflate, gzip\r\n"
    "If-None-Match: \"0123abcd\"\r\n"
    "If-Modified-Since: Tue, 24 Nov 2026 10:46:13 GMT\r\n"
    "Range: bytes=10-19\r\n"
    "Connection: keep-alive\r\n"
    "\r\n";

/* Parses a copy of exactly this length, so that the sanitizer sees any byte read beyond. */
static int parse(const char *bytes, size_t length, fv_request *out)
{
    char *copy = malloc(length + (length == 0));
    CHECK(copy != NULL);
    memcpy(copy, bytes, length);
    int result = fv_request_parse(copy, length, out);
    if (result == FV_REQUEST_OK) {
        CHECK(out->head_length <= length);
        if (out->if_none_match != NULL) {
            CHECK(out->if_none_match >= copy);
            CHECK(out->if_none_match + out->if_none_match_length <= copy + out->head_length);
        }
        CHECK(!out->has_range || out->range_first <= out->range_last);
        out->if_none_match = NULL;
    }
    free(copy);
    return result;
}

void test_request_takes_a_plain_read(void)
{
    fv_request request;
    CHECK(fv_request_parse(good, sizeof good - 1, &request) == FV_REQUEST_OK);
    CHECK(!request.is_head && request.volume_id == 7 && request.needle_id == 0x1c);
    CHECK(request.cookie == 0xabcd && request.accepts_gzip);
    CHECK(request.head_length == sizeof good - 1);
    CHECK(request.if_none_match_length == 10);
    CHECK(memcmp(request.if_none_match, "\"0123abcd\"", 10) == 0);
    CHECK(request.if_modified_since == 1795517173);
    CHECK(request.has_range && request.range_first == 10 && request.range_last == 19);
}

void test_request_waits_for_every_byte(void)
{
    fv_request request;
    for (size_t length = 0; length < sizeof good - 1; length++)
        CHECK(parse(good, length, &request) == FV_REQUEST_INCOMPLETE);
    /* What follows belongs to the next one. */
    char two[2 * sizeof good];
    memcpy(two, good, sizeof good - 1);
    memcpy(two + sizeof good - 1, good, sizeof good - 1);
    for (size_t length = sizeof good - 1; length < 2 * (sizeof good - 1); length++) {
        CHECK(parse(two, length, &request) == FV_REQUEST_OK);
        CHECK(request.head_length == sizeof good - 1);
    }
}

/* `good` with one piece exchanged. */
static int with(const char *piece, const char *other)
{
    char text[2 * sizeof good];
    fv_request request;
    const char *at = memmem(good, sizeof good - 1, piece, strlen(piece));
    CHECK(at != NULL);
    size_t before = (size_t)(at - good);
    size_t rest = sizeof good - 1 - before - strlen(piece);
    memcpy(text, good, before);
    memcpy(text + before, other, strlen(other));
    memcpy(text + before + strlen(other), at + strlen(piece), rest);
    return parse(text, before + strlen(other) + rest, &request);
}

void test_request_leaves_what_asks_for_more(void)
{
    static const char *const taken[][2] = {
        {"GET ", "HEAD "}, {"7,1a", "7/1a"}, {"_2.jpg", ""}, {"bytes=10-19", "bytes=10-"},
        {"bytes=10-19", "bytes=0-0"}, {"User-Agent: Go", "sec-fetch-mode:\tx\t"},
        {"User-Agent", "X-Forwarded-For"}, {"Connection: keep-alive", "connection:Keep-Alive"},
    };
    static const char *const refused[][2] = {
        {"GET ", "GET  "}, {"GET ", "get "}, {"HTTP/1.1", "HTTP/1.0"}, {"HTTP/1.1", "HTTP/2.0"},
        {"_2.jpg", "?dl=true"}, {"_2.jpg", "_2.jp-g"}, {"_2.jpg", "_"}, {"_2.jpg", "."},
        {"/7,", "//7,"}, {"/7,", "/4294967296,"}, {"/7,", "/-1,"}, {"/7,", "/,"},
        {"1a0000abcd_2", "ffffffffffffffff0000abcd_1"}, {"1a0000abcd", "0000abcd"},
        {"1a0000abcd", "11a00000000000000000abcda"}, {"1a0000abcd", "%31a0000abcd"},
        {"Host: 127.0.0.1:8080\r\n", ""}, {"127.0.0.1:8080", ""}, {"127.0.0.1:8080", "a b"},
        {"User-Agent", "Host"}, {"User-Agent", "Content-Length"}, {"User-Agent", "Expect"},
        {"User-Agent", "Transfer-Encoding"}, {"User-Agent", "Upgrade"}, {"User-Agent", "Origin"},
        {"User-Agent: ", "User-Agent : "}, {"User-Agent: ", " User-Agent: "},
        {"User-Agent: ", "User-Agent: \x01"}, {"User-Agent: ", "User-Agent: \xc3\xa9"},
        {"User-Agent: Go-http-client/1.1\r\n", "User-Agent: Go\n"},
        {"User-Agent: Go-http-client/1.1\r\n", "User-Agent: Go\r"},
        {"User-Agent: ", ": "}, {"User-Agent: ", "X y: "}, {"keep-alive", "close"},
        {"keep-alive", "keep-alive, close"}, {"bytes=10-19", "bytes=-5"},
        {"bytes=10-19", "bytes=19-10"}, {"bytes=10-19", "bytes=1-2,4-5"},
        {"bytes=10-19", "bytes=1234567890123456789-"}, {"bytes=10-19", "bytes= 1-2"},
        {"bytes=10-19", "Bytes=10-19"}, {"Tue, 24 Nov 2026", "Tue, 31 Nov 2026"},
        {"Tue, 24 Nov 2026", "Tue, 24 Nov 1926"}, {"Tue, 24 Nov 2026", "Tue, 24-Nov-2026"},
        {"10:46:13", "24:46:13"}, {"10:46:13", "10:46:60"}, {"GMT", "CET"},
        {"If-None-Match", "Range"}, {"Connection", "Range"}, {"Range", "Accept-Encoding"},
    };
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        CHECK(with(taken[i][0], taken[i][1]) == FV_REQUEST_OK);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        CHECK(with(refused[i][0], refused[i][1]) == FV_REQUEST_NOT_MINE);
}

void test_request_does_not_wait_for_ever(void)
{
    fv_request request;
    static char long_one[FV_REQUEST_HEAD_MAX + 1];
    memset(long_one, 'a', sizeof long_one);
    memcpy(long_one, "GET /", 5);
    CHECK(parse(long_one, FV_REQUEST_HEAD_MAX - 1, &request) == FV_REQUEST_INCOMPLETE);
    CHECK(parse(long_one, FV_REQUEST_HEAD_MAX, &request) == FV_REQUEST_NOT_MINE);
    memcpy(long_one + FV_REQUEST_HEAD_MAX - 3, "\r\n\r\n", 4);
    CHECK(parse(long_one, sizeof long_one, &request) == FV_REQUEST_NOT_MINE);
    CHECK(parse("\x16\x03\x01", 3, &request) == FV_REQUEST_NOT_MINE);
    CHECK(parse("GET / HTTP/1.1\nHost: a\n\n", 24, &request) == FV_REQUEST_NOT_MINE);
    CHECK(parse("\r\n\r\n", 4, &request) == FV_REQUEST_NOT_MINE);
}

void test_request_survives_any_bytes(void)
{
    static const char odd[] = "\r\n :,/_.-=\0\t%\"0aG\xff";
    unsigned long long seed = 11;
    fv_request request;
    int taken = 0;
    for (int round = 0; round < 60000; round++) {
        char copy[sizeof good - 1];
        memcpy(copy, good, sizeof copy);
        for (unsigned long long changes = next_random(&seed) % 4; changes > 0; changes--) {
            unsigned long long dice = next_random(&seed);
            copy[(dice >> 8) % sizeof copy] =
                dice & 1 ? odd[(dice >> 40) % (sizeof odd - 1)] : (char)(dice >> 48);
        }
        size_t length = next_random(&seed) % 4 == 0 ? next_random(&seed) % sizeof copy : sizeof copy;
        taken += parse(copy, length, &request) == FV_REQUEST_OK;
    }
    CHECK(taken > 1000);
}

void test_request_dates(void)
{
    char text[29];
    CHECK(fv_http_date(1795517173, text) && memcmp(text, "Tue, 24 Nov 2026 10:46:13 GMT", 29) == 0);
    CHECK(fv_http_date(0, text) && memcmp(text, "Thu, 01 Jan 1970 00:00:00 GMT", 29) == 0);
    CHECK(fv_http_date(951782400, text) && memcmp(text, "Tue, 29 Feb 2000 00:00:00 GMT", 29) == 0);
    CHECK(fv_http_date(253402300799, text) &&
          memcmp(text, "Fri, 31 Dec 9999 23:59:59 GMT", 29) == 0);
    CHECK(!fv_http_date(253402300800, text) && !fv_http_date(-1, text));
}
