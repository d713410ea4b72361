/* Protobuf's encoding of numbers and bytes, for messages that are made many at a time. */
#ifndef FASTVOL_PROTOBUF_H
#define FASTVOL_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Keys: field number << 3 | wire type (0: varint, 2: length and bytes). */

static inline size_t fv_varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

static inline uint8_t *fv_put_varint(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/* As proto3: nothing for 0. */
static inline uint8_t *fv_put_number(uint8_t *out, uint8_t key, uint64_t value)
{
    if (value == 0)
        return out;
    *out++ = key;
    return fv_put_varint(out, value);
}

/* As proto3: nothing for no bytes. */
static inline uint8_t *fv_put_bytes(uint8_t *out, uint8_t key, const void *bytes, size_t length)
{
    if (length == 0)
        return out;
    *out++ = key;
    out = fv_put_varint(out, length);
    memcpy(out, bytes, length);
    return out + length;
}

#endif
