/* Types, dispositions and the table of extensions, on exact-sized copies under the sanitizers. */
#include "check.h"
#include "content_type.h"

#include <string.h>

static const char *sniff(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length + (length == 0));
    CHECK(copy != NULL);
    memcpy(copy, bytes, length);
    const char *type = fv_sniff_content_type(copy, length);
    free(copy);
    return type;
}

#define SNIFFS(literal, type) CHECK(strcmp(sniff(literal, sizeof(literal) - 1), type) == 0)

void test_sniff_signatures(void)
{
    SNIFFS("", "text/plain; charset=utf-8");
    SNIFFS(" \n<!doctype html>", "text/html; charset=utf-8");
    SNIFFS("<p", "text/plain; charset=utf-8");
    SNIFFS("<?xml ", "text/xml; charset=utf-8");
    SNIFFS("\x89PNG\r\n\x1a\n", "image/png");
    SNIFFS("RIFFabcdWEBPVP", "image/webp");
    SNIFFS("RIFFabcdWEBPV", "text/plain; charset=utf-8");
    SNIFFS("\0\0\0\x18" "ftypmp42", "application/octet-stream"); /* the box is not all there */
    SNIFFS("\0\0\0\x0c" "ftypmp42", "video/mp4");
    SNIFFS("\xff\xff\xff\xfc" "ftypmp42", "text/plain; charset=utf-8");
    SNIFFS("\0\0\0\0" "ftypmp42", "application/octet-stream");
    SNIFFS("a\x1b", "text/plain; charset=utf-8");
    SNIFFS("a\x1c", "application/octet-stream");
}

void test_sniff_every_prefix_and_any_bytes(void)
{
    static const char *const starts[] = {"<!DOCTYPE HTML>", "%!PS-Adobe-", "Rar!\x1a\x07\x01",
                                         "   <?xml version", "FORM1234AIFF", "0000ftypmp41mp42"};
    unsigned long long seed = 3;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        for (size_t length = 0; length <= strlen(starts[i]); length++)
            CHECK(sniff(starts[i], length) != NULL);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[600];
        size_t length = next_random(&seed) % (round % 8 == 0 ? sizeof bytes : 48);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)(next_random(&seed) >> 33);
        if (length >= 8 && round % 3 == 0) { /* a box of a plausible size */
            memcpy(bytes, "\0\0\0", 3);
            memcpy(bytes + 4, "ftyp", 4);
        }
        CHECK(sniff(bytes, length) != NULL);
    }
}

static size_t disposition(const char *name, char *out, size_t capacity)
{
    return fv_format_disposition((const uint8_t *)name, strlen(name), out, capacity);
}

#define WRITES(name, text)                                                                         \
    CHECK(disposition(name, out, sizeof out) == strlen(text) && memcmp(out, text, strlen(text)) == 0)

void test_disposition_forms(void)
{
    char out[600];
    WRITES("a.txt", "inline; filename=a.txt");
    WRITES("a b", "inline; filename=\"a b\"");
    WRITES("a\"\\", "inline; filename=\"a\\\"\\\\\"");
    CHECK(disposition("caf\xc3\xa9", out, sizeof out) == 0);
    CHECK(disposition("a\r\nX: y", out, sizeof out) == 0);
    CHECK(disposition("a\x7f", out, sizeof out) == 0);
}

void test_disposition_never_writes_beyond(void)
{
    char name[256];
    memset(name, '"', 255);
    name[255] = 0;
    for (size_t length = 0; length < 256; length += 5) {
        for (size_t spare = 0; spare < 60; spare++) {
            size_t capacity = 2 * length + spare;
            char *out = malloc(capacity + (capacity == 0));
            CHECK(out != NULL);
            size_t written = fv_format_disposition((const uint8_t *)name, length, out, capacity);
            CHECK(written <= capacity);
            free(out);
        }
    }
}

void test_mime_table(void)
{
    fv_mime_table *table = fv_mime_table_new();
    CHECK(table != NULL);
    CHECK(fv_mime_table_add(table, 0, ".Txt", "exact/x") == 0);
    CHECK(fv_mime_table_add(table, 1, ".txt", "lower/x") == 0);
    CHECK(strcmp(fv_mime_table_find(table, (const uint8_t *)".Txt", 4), "exact/x") == 0);
    CHECK(strcmp(fv_mime_table_find(table, (const uint8_t *)".TXT", 4), "lower/x") == 0);
    CHECK(strcmp(fv_mime_table_find(table, (const uint8_t *)".txt", 4), "lower/x") == 0);
    CHECK(fv_mime_table_find(table, (const uint8_t *)".tx", 3) == NULL);
    CHECK(fv_mime_table_find(table, (const uint8_t *)".txt\0", 5) == NULL);
    CHECK(fv_mime_table_find(table, (const uint8_t *)"", 0) == NULL);
    fv_mime_table_free(table);
    fv_mime_table_free(NULL);
}
