/* The grammar of the fast read: what it takes, what it leaves, and that no byte sequence hurts it. */
#include "check.h"
#include "request.h"

#include <stdlib.h>
#include <string.h>

static const char good[] =
    "GET /7,1a0000abcd_3.jpg HTTP/1.1\r\n"
    "Host: 127.0.0.1:8080\r\n"
    "User-Agent: test\t\r\n"
    "Accept-Encoding: deflate, gzip;q=0\r\n"
    "If-None-Match: \"c99465aa\"\r\n"
    "If-Modified-Since: Tue, 24 Nov 2026 10:46:13 GMT\r\n"
    "Range: bytes=5-10\r\n"
    "Connection: Keep-Alive\r\n"
    "X-Forwarded-For:1.2.3.4\r\n"
    "Sec-Fetch-Mode: \r\n"
    "\r\n";

/* The bytes lie at the end of an allocation of their own, so that one step too far is seen. */
static int parse(const char *bytes, size_t length, fv_request *out)
{
    char *copy = malloc(length + (length == 0));
    CHECK(copy != NULL);
    memcpy(copy, bytes, length);
    int result = fv_request_parse(copy, length, out);
    if (result == FV_REQUEST_OK && out->if_none_match != NULL)
        CHECK(out->if_none_match >= copy &&
              out->if_none_match + out->if_none_match_length <= copy + length);
    free(copy);
    return result;
}

static int parse_text(const char *text, fv_request *out)
{
    return parse(text, strlen(text), out);
}

void test_request_takes_what_it_knows(void)
{
    fv_request request;
    CHECK(parse_text(good, &request) == FV_REQUEST_OK);
    CHECK(!request.is_head && request.volume_id == 7);
    CHECK(request.needle_id == 0x1a + 3 && request.cookie == 0xabcd);
    CHECK(request.accepts_gzip && request.if_none_match_length == 10);
    CHECK(request.if_modified_since == 1795517173);
    CHECK(request.has_range && request.range_first == 5 && request.range_last == 10);
    CHECK(request.head_length == sizeof good - 1);

    CHECK(parse_text("HEAD /4294967295/ffffffffffffffff00000001 HTTP/1.1\r\nHost: a\r\n\r\nGET",
                     &request) == FV_REQUEST_OK);
    CHECK(request.is_head && request.volume_id == 4294967295u);
    CHECK(request.needle_id == UINT64_MAX && request.cookie == 1);
    CHECK(!request.accepts_gzip && request.if_none_match == NULL);
    CHECK(request.if_modified_since == -1 && !request.has_range);
    CHECK(request.head_length == strlen("HEAD /4294967295/ffffffffffffffff00000001 HTTP/1.1\r\n"
                                        "Host: a\r\n\r\n"));
}

void test_request_leaves_other_paths(void)
{
    static const char *const paths[] = {
        "", "/", "/1", "/1,", "/1,12345678", "/1,1234567890123456789012345", "/1,1g0000abcd",
        "/-1,1a0000abcd", "/+1,1a0000abcd", "/4294967296,1a0000abcd", "/12345678901,1a0000abcd",
        "/99999999999999999999,1a0000abcd", "/1,1a0000abcd_", "/1,1a0000abcd_x",
        "/1,1a0000abcd_-1", "/1,1a0000abcd_1234567890123456789", "/1,ffffffffffffffff0000abcd_1",
        "/1,1a0000abcd.", "/1,1a0000abcd.tar.gz", "/1,1a0000abcd.j%20", "/1,1a0000abcd?x",
        "/1,1a0000abcd?", "/1,1a0000abcd#x", "/1,1a0000abcd/", "/1,1a0000abcd/x",
        "//1,1a0000abcd", "/./1,1a0000abcd", "/1%2C1a0000abcd", "/1;1a0000abcd", "/ 1,1a0000abcd",
        "1,1a0000abcd", "http://a/1,1a0000abcd", "/1,,1a0000abcd", "/1,1a0000abcd ",
        "/status", "/favicon.ico", "/\x80,1a0000abcd",
    };
    fv_request request;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
        CHECK(parse_text(text, &request) == FV_REQUEST_NOT_MINE);
    }
}

void test_request_leaves_other_requests(void)
{
    static const char *const lines[] = {
        "POST /1,1a0000abcd HTTP/1.1", "get /1,1a0000abcd HTTP/1.1", "GETX /1,1a0000abcd HTTP/1.1",
        "GET  /1,1a0000abcd HTTP/1.1", "GET /1,1a0000abcd  HTTP/1.1", "GET /1,1a0000abcd HTTP/1.0",
        "GET /1,1a0000abcd HTTP/1.1 ", "GET /1,1a0000abcd HTTP/2.0", "GET /1,1a0000abcd",
        "GET\t/1,1a0000abcd HTTP/1.1", "\r\nGET /1,1a0000abcd HTTP/1.1", "HEAD", "GET", "H", "",
    };
    static const char *const headers[] = {
        "Content-Length: 0", "Transfer-Encoding: chunked", "Expect: 100-continue", "Origin: a",
        "Upgrade: h2c", "Connection: close", "Connection: keep-alive, x", "Connection: ",
        "Connection: keep-alive\r\nConnection: keep-alive", "Host: b", "Seaweed-A: b", "TE: x",
        "X-Unknown: y", "X-Forwarded-: y", "Sec-: y", "Range: bytes=0-1\r\nRange: bytes=0-1",
        "Range: bytes=-1", "Range: bytes=1", "Range: bytes=", "Range: bytes=2-1", "Range: x=0-1",
        "Range: bytes=0-1,3-4", "Range: bytes=0-1 ,", "Range: bytes=0 -1", "Range: bytes= 0-1",
        "Range: bytes=+0-1", "Range: bytes=0-1234567890123456789",
        "Range: bytes=1234567890123456789-", "Range: ", "Range: Bytes=0-1",
        "If-Modified-Since: ", "If-Modified-Since: Tue, 24 Nov 2026 10:46:13 UTC",
        "If-Modified-Since: tue, 24 Nov 2026 10:46:13 GMT",
        "If-Modified-Since: Tue, 24 nov 2026 10:46:13 GMT",
        "If-Modified-Since: Tue, 31 Nov 2026 10:46:13 GMT",
        "If-Modified-Since: Tue, 00 Nov 2026 10:46:13 GMT",
        "If-Modified-Since: Tue, 29 Feb 2026 10:46:13 GMT",
        "If-Modified-Since: Tue, 29 Feb 1900 10:46:13 GMT",
        "If-Modified-Since: Tue, 24 Nov 2026 24:46:13 GMT",
        "If-Modified-Since: Tue, 24 Nov 2026 10:60:13 GMT",
        "If-Modified-Since: Tue, 24 Nov 2026 10:46:60 GMT",
        "If-Modified-Since: Tue, 24 Nov 1969 10:46:13 GMT",
        "If-Modified-Since: Tue, 4 Nov 2026 10:46:13 GMT",
        "If-Modified-Since: Tue, 24 Nov 2026 10:46:13 GMT\r\n"
        "If-Modified-Since: Tue, 24 Nov 2026 10:46:13 GMT",
        "Accept-Encoding: a\r\nAccept-Encoding: b", "If-None-Match: a\r\nIf-None-Match: b",
        " Accept: folded", "Accept : x", ": x", "Accept", "Accept\r", "Accept: a\rb",
        "Accept: a\x01", "Accept: a\x7f", "Accept: \xc3\xa9", "Acc\xc3\xa9pt: x", "Accept: a\nX: b",
        "(Accept): x",
    };
    static const char *const hosts[] = {"", " ", "a b", "a/b", "a@b", "\xc3\xa9", "a,b"};
    fv_request request;
    char text[512];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(text, sizeof text, "%s\r\nHost: a\r\n\r\n", lines[i]);
        CHECK(parse_text(text, &request) == FV_REQUEST_NOT_MINE);
    }
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        snprintf(text, sizeof text, "GET /1,1a0000abcd HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", headers[i]);
        CHECK(parse_text(text, &request) == FV_REQUEST_NOT_MINE);
    }
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        snprintf(text, sizeof text, "GET /1,1a0000abcd HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i]);
        CHECK(parse_text(text, &request) == FV_REQUEST_NOT_MINE);
    }
    CHECK(parse_text("GET /1,1a0000abcd HTTP/1.1\r\n\r\n", &request) == FV_REQUEST_NOT_MINE);
    CHECK(parse_text("GET /1,1a0000abcd HTTP/1.1\nHost: a\n\n", &request) == FV_REQUEST_NOT_MINE);
}

void test_request_waits_for_every_byte(void)
{
    fv_request request;
    for (size_t length = 0; length < sizeof good - 1; length++)
        CHECK(parse(good, length, &request) == FV_REQUEST_INCOMPLETE);
}

void test_request_heads_have_a_limit(void)
{
    static char text[FV_REQUEST_HEAD_MAX + 64];
    fv_request request;
    const char start[] = "GET /1,1a0000abcd HTTP/1.1\r\nHost: a\r\nAccept: ";
    for (size_t total = FV_REQUEST_HEAD_MAX - 2; total <= FV_REQUEST_HEAD_MAX + 2; total++) {
        memset(text, 'a', sizeof text);
        memcpy(text, start, sizeof start - 1);
        memcpy(text + total - 4, "\r\n\r\n", 4);
        int wanted = total <= FV_REQUEST_HEAD_MAX ? FV_REQUEST_OK : FV_REQUEST_NOT_MINE;
        CHECK(parse(text, total, &request) == wanted);
        CHECK(parse(text, total - 1, &request) ==
              (total - 1 < FV_REQUEST_HEAD_MAX ? FV_REQUEST_INCOMPLETE : FV_REQUEST_NOT_MINE));
    }
}

void test_request_survives_any_bytes(void)
{
    unsigned long long state = 42;
    fv_request request;
    char bytes[sizeof good];
    for (int round = 0; round < 200000; round++) {
        memcpy(bytes, good, sizeof good);
        size_t length = sizeof good - 1;
        int changes = 1 + (int)(next_random(&state) % 4);
        for (int i = 0; i < changes; i++)
            bytes[next_random(&state) % length] = (char)next_random(&state);
        if (round % 3 == 0)
            length = (size_t)(next_random(&state) % length);
        int result = parse(bytes, length, &request);
        CHECK(result >= FV_REQUEST_NOT_MINE && result <= FV_REQUEST_OK);
        if (result == FV_REQUEST_OK) {
            CHECK(request.head_length >= 4 && request.head_length <= length);
            CHECK(memcmp(bytes + request.head_length - 4, "\r\n\r\n", 4) == 0);
            CHECK(!request.has_range || request.range_first <= request.range_last);
        }
    }
}

void test_request_dates(void)
{
    char text[29];
    fv_request request;
    unsigned long long state = 7;
    CHECK(!fv_http_date(-1, text) && !fv_http_date(253402300800, text));
    CHECK(!fv_http_date(INT64_MIN, text) && !fv_http_date(INT64_MAX, text));
    for (int round = 0; round < 20000; round++) {
        int64_t second = (int64_t)(next_random(&state) % 253402300800ull);
        char head[256];
        CHECK(fv_http_date(second, text));
        snprintf(head, sizeof head,
                 "GET /1,1a0000abcd HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: %.29s\r\n\r\n", text);
        CHECK(parse_text(head, &request) == FV_REQUEST_OK);
        CHECK(request.if_modified_since == second);
    }
}
