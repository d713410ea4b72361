#include "content_type.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SNIFF_LENGTH 512

/* ---- sniffing -------------------------------------------------------------------------------- */

typedef struct {
    const char *pattern;
    const char *mask; /* '.' in the mask = any byte; NULL = exact */
    size_t length;
    const char *type;
} signature;

#define EXACT(text, type) {text, NULL, sizeof(text) - 1, type}

static const char *const html_tags[] = {
    "<!DOCTYPE HTML", "<HTML", "<HEAD", "<SCRIPT", "<IFRAME", "<H1", "<DIV", "<FONT", "<TABLE",
    "<A", "<STYLE", "<TITLE", "<B", "<BODY", "<BR", "<P", "<!--",
};

static const signature signatures[] = {
    EXACT("%PDF-", "application/pdf"),
    EXACT("%!PS-Adobe-", "application/postscript"),
    {"\xFE\xFF\0\0", "xx..", 4, "text/plain; charset=utf-16be"},
    {"\xFF\xFE\0\0", "xx..", 4, "text/plain; charset=utf-16le"},
    {"\xEF\xBB\xBF\0", "xxx.", 4, "text/plain; charset=utf-8"},
    EXACT("\x00\x00\x01\x00", "image/x-icon"),
    EXACT("\x00\x00\x02\x00", "image/x-icon"),
    EXACT("BM", "image/bmp"),
    EXACT("GIF87a", "image/gif"),
    EXACT("GIF89a", "image/gif"),
    {"RIFF\0\0\0\0WEBPVP", "xxxx....xxxxxx", 14, "image/webp"},
    EXACT("\x89PNG\x0D\x0A\x1A\x0A", "image/png"),
    EXACT("\xFF\xD8\xFF", "image/jpeg"),
    {"FORM\0\0\0\0AIFF", "xxxx....xxxx", 12, "audio/aiff"},
    EXACT("ID3", "audio/mpeg"),
    EXACT("OggS\x00", "application/ogg"),
    EXACT("MThd\x00\x00\x00\x06", "audio/midi"),
    {"RIFF\0\0\0\0AVI ", "xxxx....xxxx", 12, "video/avi"},
    {"RIFF\0\0\0\0WAVE", "xxxx....xxxx", 12, "audio/wave"},
    {NULL, NULL, 0, "video/mp4"}, /* its rule is code */
    EXACT("\x1A\x45\xDF\xA3", "video/webm"),
    {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0LP",
     "..................................xx", 36, "application/vnd.ms-fontobject"},
    EXACT("\x00\x01\x00\x00", "font/ttf"),
    EXACT("OTTO", "font/otf"),
    EXACT("ttcf", "font/collection"),
    EXACT("wOFF", "font/woff"),
    EXACT("wOF2", "font/woff2"),
    EXACT("\x1F\x8B\x08", "application/x-gzip"),
    EXACT("PK\x03\x04", "application/zip"),
    EXACT("Rar!\x1A\x07\x00", "application/x-rar-compressed"),
    EXACT("Rar!\x1A\x07\x01\x00", "application/x-rar-compressed"),
    EXACT("\x00" "asm", "application/wasm"),
};

static int matches(const signature *rule, const uint8_t *data, size_t length)
{
    if (length < rule->length)
        return 0;
    if (rule->mask == NULL)
        return memcmp(data, rule->pattern, rule->length) == 0;
    for (size_t i = 0; i < rule->length; i++)
        if (rule->mask[i] != '.' && data[i] != (uint8_t)rule->pattern[i])
            return 0;
    return 1;
}

static int is_mp4(const uint8_t *data, size_t length)
{
    if (length < 12)
        return 0;
    uint32_t box = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
    if (length < box || box % 4 != 0 || memcmp(data + 4, "ftyp", 4) != 0)
        return 0;
    for (uint32_t at = 8; at < box; at += 4) {
        if (at == 12)
            continue; /* the minor version number, not a brand */
        if (memcmp(data + at, "mp4", 3) == 0)
            return 1;
    }
    return 0;
}

static int is_html(const uint8_t *text, size_t length)
{
    for (size_t i = 0; i < sizeof html_tags / sizeof html_tags[0]; i++) {
        const char *tag = html_tags[i];
        size_t size = strlen(tag);
        if (length < size + 1)
            continue;
        size_t at = 0;
        while (at < size) {
            uint8_t c = text[at];
            if (c >= 'a' && c <= 'z')
                c -= 'a' - 'A';
            if (c != (uint8_t)tag[at])
                break;
            at++;
        }
        if (at == size && (text[size] == ' ' || text[size] == '>'))
            return 1;
    }
    return 0;
}

static int is_binary_byte(uint8_t c)
{
    return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1A) || (c >= 0x1C && c <= 0x1F);
}

const char *fv_sniff_content_type(const uint8_t *data, size_t length)
{
    if (length > SNIFF_LENGTH)
        length = SNIFF_LENGTH;
    size_t skip = 0;
    while (skip < length && (data[skip] == '\t' || data[skip] == '\n' || data[skip] == '\f' ||
                             data[skip] == '\r' || data[skip] == ' '))
        skip++;
    const uint8_t *text = data + skip;
    size_t text_length = length - skip;
    if (text_length > 0 && text[0] == '<') {
        if (is_html(text, text_length))
            return "text/html; charset=utf-8";
        if (text_length >= 5 && memcmp(text, "<?xml", 5) == 0)
            return "text/xml; charset=utf-8";
    }
    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
        const signature *rule = &signatures[i];
        if (rule->pattern == NULL ? is_mp4(data, length) : matches(rule, data, length))
            return rule->type;
    }
    for (size_t i = 0; i < text_length; i++)
        if (is_binary_byte(text[i]))
            return "application/octet-stream";
    return "text/plain; charset=utf-8";
}

/* ---- disposition ----------------------------------------------------------------------------- */

static int is_token_byte(uint8_t c)
{
    return c > 0x20 && c < 0x7F && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

size_t fv_format_disposition(const uint8_t *name, size_t length, char *out, size_t capacity)
{
    static const char lead[] = "inline; filename=";
    if (capacity < sizeof lead + 2 * length + 2)
        return 0;
    int token = 1;
    for (size_t i = 0; i < length; i++) {
        if ((name[i] < 0x20 && name[i] != '\t') || name[i] >= 0x7F)
            return 0;
        token = token && is_token_byte(name[i]);
    }
    size_t at = sizeof lead - 1;
    memcpy(out, lead, at);
    if (token && length > 0) {
        memcpy(out + at, name, length);
        return at + length;
    }
    out[at++] = '"';
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '"' || name[i] == '\\')
            out[at++] = '\\';
        out[at++] = (char)name[i];
    }
    out[at++] = '"';
    return at;
}

/* ---- types by extension ---------------------------------------------------------------------- */

#define BUCKETS 4096u

typedef struct mime_entry {
    struct mime_entry *next;
    int lower;
    char *extension;
    char *type;
} mime_entry;

struct fv_mime_table {
    mime_entry *buckets[BUCKETS];
};

static unsigned bucket_of(const uint8_t *text, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ text[i]) * 16777619u;
    return hash % BUCKETS;
}

fv_mime_table *fv_mime_table_new(void)
{
    return calloc(1, sizeof(fv_mime_table));
}

void fv_mime_table_free(fv_mime_table *table)
{
    if (table == NULL)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (table->buckets[i] != NULL) {
            mime_entry *entry = table->buckets[i];
            table->buckets[i] = entry->next;
            free(entry->extension);
            free(entry->type);
            free(entry);
        }
    }
    free(table);
}

int fv_mime_table_add(fv_mime_table *table, int lower, const char *extension, const char *type)
{
    mime_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return -1;
    entry->lower = lower;
    entry->extension = strdup(extension);
    entry->type = strdup(type);
    if (entry->extension == NULL || entry->type == NULL) {
        free(entry->extension);
        free(entry->type);
        free(entry);
        return -1;
    }
    unsigned bucket = bucket_of((const uint8_t *)extension, strlen(extension));
    entry->next = table->buckets[bucket];
    table->buckets[bucket] = entry;
    return 0;
}

static const char *find_in(const fv_mime_table *table, int lower, const uint8_t *text, size_t length)
{
    for (const mime_entry *entry = table->buckets[bucket_of(text, length)]; entry != NULL;
         entry = entry->next)
        if (entry->lower == lower && strlen(entry->extension) == length &&
            memcmp(entry->extension, text, length) == 0)
            return entry->type;
    return NULL;
}

const char *fv_mime_table_find(const fv_mime_table *table, const uint8_t *extension, size_t length)
{
    uint8_t lowered[256];
    assert(length < sizeof lowered);
    const char *type = find_in(table, 0, extension, length);
    if (type != NULL)
        return type;
    for (size_t i = 0; i < length; i++) {
        uint8_t c = extension[i];
        lowered[i] = c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    return find_in(table, 1, lowered, length);
}
