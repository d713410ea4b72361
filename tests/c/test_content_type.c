/* Sniffing, dispositions and the table of types: no byte sequence leads out of its buffer. */
#include "check.h"
#include "content_type.h"

#include <stdlib.h>
#include <string.h>

static const char *sniff(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length + (length == 0));
    CHECK(copy != NULL);
    memcpy(copy, bytes, length);
    const char *type = fv_sniff_content_type(copy, length);
    free(copy);
    CHECK(type != NULL && strchr(type, '/') != NULL);
    return type;
}

#define SNIFFED(text, type) CHECK(strcmp(sniff(text, sizeof(text) - 1), type) == 0)

void test_sniff_known_types(void)
{
    SNIFFED("", "text/plain; charset=utf-8");
    SNIFFED("text", "text/plain; charset=utf-8");
    SNIFFED("\x01", "application/octet-stream");
    SNIFFED(" \n<!DoCtYpE hTmL>", "text/html; charset=utf-8");
    SNIFFED("<html", "text/plain; charset=utf-8");
    SNIFFED("<?xml", "text/xml; charset=utf-8");
    SNIFFED("\x89PNG\r\n\x1a\n", "image/png");
    SNIFFED("RIFF\xff\0\xff\0WEBPVP8", "image/webp");
    SNIFFED("\0\0\0\x18" "ftypmp42\0\0\0\0mp42isom", "video/mp4");
    SNIFFED("\xff\xff\xff\xfc" "ftypmp42\0\0\0\0", "application/octet-stream");
}

void test_sniff_survives_any_bytes(void)
{
    static const char *const starts[] = {
        "<", "<!DOCTYPE HTML", "<?xml", "RIFF1234WEBP", "FORM1234AIF", "ftyp", "Rar!\x1a\x07", "",
        "GIF8", "%!PS-Adobe", "\xef\xbb", "OggS", "\x1f\x8b", "PK\x03", "MThd",
    };
    unsigned long long state = 11;
    uint8_t bytes[600];
    for (int round = 0; round < 20000; round++) {
        const char *start = starts[next_random(&state) % (sizeof starts / sizeof starts[0])];
        size_t length = (size_t)(next_random(&state) % sizeof bytes);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)next_random(&state);
        size_t at = round % 2 ? 4 : 0; /* behind a length, as in a box */
        if (at + strlen(start) <= length)
            memcpy(bytes + at, start, strlen(start));
        if (at == 4 && length >= 4)
            memcpy(bytes, "\0\0", 2);
        sniff(bytes, length);
    }
}

static size_t format(const void *name, size_t length, size_t capacity, char *text)
{
    char *out = malloc(capacity + (capacity == 0));
    uint8_t *copy = malloc(length + (length == 0));
    CHECK(out != NULL && copy != NULL);
    memcpy(copy, name, length);
    size_t written = fv_format_disposition(copy, length, out, capacity);
    CHECK(written <= capacity);
    memcpy(text, out, written);
    text[written] = '\0';
    free(out);
    free(copy);
    return written;
}

void test_disposition_forms(void)
{
    char text[1024];
    char worst[255];
    memset(worst, '"', sizeof worst);
    CHECK(format("a.txt", 5, 600, text) > 0 && strcmp(text, "inline; filename=a.txt") == 0);
    CHECK(format("a b", 3, 600, text) > 0 && strcmp(text, "inline; filename=\"a b\"") == 0);
    CHECK(format("a\"\\", 3, 600, text) > 0 && strcmp(text, "inline; filename=\"a\\\"\\\\\"") == 0);
    CHECK(format("", 0, 600, text) > 0 && strcmp(text, "inline; filename=\"\"") == 0);
    CHECK(format("\xc3\xa9", 2, 600, text) == 0 && format("a\x7f", 2, 600, text) == 0);
    CHECK(format("a\0b", 3, 600, text) == 0 && format("a\nb", 3, 600, text) == 0);
    CHECK(format(worst, sizeof worst, 17 + 2 * 255 + 4, text) == 17 + 2 * 255 + 2);
    for (size_t capacity = 0; capacity < 17 + 2 * 255 + 2; capacity++)
        format(worst, sizeof worst, capacity, text);
    unsigned long long state = 5;
    for (int round = 0; round < 20000; round++) {
        size_t length = (size_t)(next_random(&state) % 256);
        for (size_t i = 0; i < length; i++)
            worst[i % sizeof worst] = (char)(round % 2 ? next_random(&state) % 128 : next_random(&state));
        format(worst, length < sizeof worst ? length : sizeof worst, 600, text);
    }
}

void test_mime_table(void)
{
    fv_mime_table *table = fv_mime_table_new();
    char extension[32];
    CHECK(table != NULL);
    for (int i = 0; i < 10000; i++) {
        char type[32];
        snprintf(extension, sizeof extension, ".x%d", i);
        snprintf(type, sizeof type, "a/%d", i);
        CHECK(fv_mime_table_add(table, 1, extension, type) == 0);
    }
    CHECK(fv_mime_table_add(table, 0, ".X7", "exact/7") == 0);
    CHECK(strcmp(fv_mime_table_find(table, (const uint8_t *)".x77", 4), "a/77") == 0);
    CHECK(strcmp(fv_mime_table_find(table, (const uint8_t *)".X77", 4), "a/77") == 0);
    CHECK(strcmp(fv_mime_table_find(table, (const uint8_t *)".X7", 3), "exact/7") == 0);
    CHECK(strcmp(fv_mime_table_find(table, (const uint8_t *)".x7", 3), "a/7") == 0);
    CHECK(fv_mime_table_find(table, (const uint8_t *)".x", 2) == NULL);
    CHECK(fv_mime_table_find(table, (const uint8_t *)".x7\0", 4) == NULL);
    CHECK(fv_mime_table_find(table, (const uint8_t *)"", 0) == NULL);
    uint8_t longest[255];
    memset(longest, 'X', sizeof longest);
    CHECK(fv_mime_table_find(table, longest, sizeof longest) == NULL);
    fv_mime_table_free(table);
    fv_mime_table_free(NULL);
}
