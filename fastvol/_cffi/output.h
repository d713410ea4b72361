/* Appending text to a response buffer that is known to be large enough. */
#ifndef FASTVOL_OUTPUT_H
#define FASTVOL_OUTPUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t *data;
    size_t length;
    size_t capacity;
} fv_output;

static inline void fv_put(fv_output *out, const void *bytes, size_t length)
{
    assert(length <= out->capacity - out->length);
    memcpy(out->data + out->length, bytes, length);
    out->length += length;
}
#define FV_PUT(out, literal) fv_put(out, literal, sizeof(literal) - 1)

static inline void fv_put_decimal(fv_output *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    fv_put(out, digits + at, sizeof digits - at);
}

/* Eight lower-case hex digits. */
static inline void fv_put_hex32(fv_output *out, uint32_t value)
{
    static const char hex[] = "0123456789abcdef";
    char text[8];
    for (int i = 7; i >= 0; i--) {
        text[i] = hex[value & 15];
        value >>= 4;
    }
    fv_put(out, text, sizeof text);
}

#endif
