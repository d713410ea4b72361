/* The grammar of the fast write: what it takes, what it leaves, and that no byte sequence hurts it. */
#include "check.h"
#include "upload.h"

#include <stdio.h>
#include <string.h>

#define LIMIT (64u << 10)

static const char good[] =
    "POST /7,1a0000abcd?ts=1700000000&ttl=&type=replicate HTTP/1.1\r\n"
    "Host: 127.0.0.1:8080\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Content-Length: 190\r\n"
    "Content-Type: multipart/form-data; boundary=abc123\r\n"
    "\r\n"
    "--abc123\r\n"
    "Content-Disposition: form-data; filename=\"h i.bin\"; name=file\r\n"
    "Content-Type: app/x\r\n"
    "Idempotency-Key: http://127.0.0.1:8081/7,1a0000abcd?ts=1700000000\r\n"
    "\r\n"
    "payload\r\n\0--x"
    "\r\n--abc123--\r\n";

void test_upload_takes_the_go_clients_shape(void)
{
    fv_upload upload;
    CHECK(fv_upload_parse(good, sizeof good - 1, LIMIT, &upload) == FV_UPLOAD_OK);
    CHECK(upload.volume_id == 7 && upload.needle_id == 0x1a && upload.cookie == 0xabcd);
    CHECK(upload.modified_second == 1700000000 && upload.is_replicate);
    CHECK(fv_span_is(upload.filename, "h i.bin"));
    CHECK(fv_span_is(upload.content_type, "app/x"));
    CHECK(upload.data_length == 13 && memcmp(upload.data, "payload\r\n\0--x", 13) == 0);
    CHECK(upload.total_length == sizeof good - 1);
}

void test_upload_waits_for_every_byte(void)
{
    fv_upload upload;
    for (size_t length = 0; length < sizeof good - 1; length++) {
        /* A copy of exactly this length, so that the sanitizer sees any byte read beyond. */
        char *copy = malloc(length + 1);
        CHECK(copy != NULL);
        memcpy(copy, good, length);
        CHECK(fv_upload_parse(copy, length, LIMIT, &upload) == FV_UPLOAD_INCOMPLETE);
        free(copy);
    }
}

/* `good` with one piece exchanged, and its Content-Length corrected for changes in the body. */
static int with(const char *piece, const char *other)
{
    char text[2 * sizeof good];
    fv_upload upload;
    const char *at = memmem(good, sizeof good - 1, piece, strlen(piece));
    CHECK(at != NULL);
    size_t before = (size_t)(at - good);
    size_t rest = sizeof good - 1 - before - strlen(piece);
    memcpy(text, good, before);
    memcpy(text + before, other, strlen(other));
    memcpy(text + before + strlen(other), at + strlen(piece), rest);
    size_t length = before + strlen(other) + rest;
    char *body = memmem(text, length, "\r\n\r\n", 4);
    char *number = memmem(text, length, "Content-Length: ", 16);
    if (body != NULL && number != NULL) {
        char digits[4];
        snprintf(digits, sizeof digits, "%03zu", length - (size_t)(body + 4 - text));
        memcpy(number + 16, digits, 3);
    }
    return fv_upload_parse(text, length, LIMIT, &upload);
}

void test_upload_leaves_what_asks_for_more(void)
{
    CHECK(with("h i.bin", "h.bin") == FV_UPLOAD_OK);
    CHECK(with("abcd?ts=1700000000&ttl=&type=replicate", "abcd.jpg") == FV_UPLOAD_OK);
    static const char *const refused[][2] = {
        {"ttl=", "ttl=3d"},
        {"ttl=", "cm=true"},
        {"ttl=", "fsync=true"},
        {"ttl=", "ts=1"},
        {"type=replicate", "type=x"},
        {"POST ", "PUT "},
        {"/7,1a", "/7/1a"},
        {"HTTP/1.1", "HTTP/1.0"},
        {"User-Agent", "Content-Encoding"},
        {"User-Agent", "Content-MD5"},
        {"User-Agent", "Expect"},
        {"User-Agent", "Seaweed-Owner"},
        {"User-Agent", "Transfer-Encoding"},
        {"User-Agent", "Content-Length"},
        {"boundary=abc123", "boundary=\"abc123\""},
        {"boundary=abc123", "boundary=abc123; charset=x"},
        {"Idempotency-Key", "Content-Encoding"},
        {"Idempotency-Key", "Content-Type"},
        {"h i.bin", ""},
        {"h i.bin", "a/b"},
        {"h i.bin", "a\\\\b"},
        {"h i.bin", ".hidden"},
        {"h i.bin", "a&b"},
        {"h i.bin", "\xc3\xa9"},
        {"form-data; filename", "form-data; filename*"},
        {"app/x", "app/\"x\""},
        {"payload", "pay\r\n--abc123load"},
        {"--abc123--\r\n", "--abc123--\r\nmore"},
        {"payload\r\n--abc123\r\n", "x"},
    };
    for (size_t i = 0; i + 1 < sizeof refused / sizeof refused[0]; i++)
        CHECK(with(refused[i][0], refused[i][1]) == FV_UPLOAD_NOT_MINE);
}

void test_upload_survives_any_bytes(void)
{
    unsigned long long seed = 7;
    fv_upload upload;
    for (int round = 0; round < 40000; round++) {
        size_t length = sizeof good - 1;
        char *copy = malloc(length);
        CHECK(copy != NULL);
        memcpy(copy, good, length);
        for (unsigned long long changes = next_random(&seed) % 4; changes > 0; changes--)
            copy[next_random(&seed) % length] = (char)next_random(&seed);
        int result = fv_upload_parse(copy, length, LIMIT, &upload);
        if (result == FV_UPLOAD_OK) {
            CHECK(upload.total_length <= length);
            CHECK((const char *)upload.data + upload.data_length <= copy + length);
        }
        free(copy);
    }
}

void test_upload_compressible_types(void)
{
    static const char *const yes[] = {"text/plain", "application/xml", "application/javascript",
                                      "audio/wav"};
    static const char *const no[] = {"", "image/svg+xml", "application/json", "application/pdf",
                                     "video/mp4", "application/zstd"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        CHECK(fv_upload_is_compressible((fv_span){yes[i], strlen(yes[i])}));
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        CHECK(!fv_upload_is_compressible((fv_span){no[i], strlen(no[i])}));
}
