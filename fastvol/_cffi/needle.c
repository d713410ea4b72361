/* Needle records.
 *
 *   header   cookie 4 | key 8 | size 4
 *   body     data size 4 | payload | flags 1 | [name] [mime] [modified 5] [ttl 2] [pairs]   (v2, v3)
 *            payload                                                                        (v1)
 *   tail     checksum 4 | append time 8 (v3) | padding 1..8
 *
 * `size` counts the body.  An empty payload leaves no body at all. */
#include "needle.h"

#include <assert.h>
#include <string.h>

#include "bytes.h"
#include "crc32c.h"

#define CHECKSUM_BYTES 4
#define TIMESTAMP_BYTES 8
#define MODIFIED_BYTES 5
#define PADDING_UNIT 8
#define SHORT_FIELD_MAX 255
#define PAIRS_MAX 65535

enum { PART_DATA = 1, PART_NAME, PART_MIME, PART_MODIFIED, PART_TTL, PART_PAIRS_SIZE, PART_PAIRS };

static uint8_t *put_be(uint8_t *out, uint64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--, value >>= 8)
        out[i] = (uint8_t)value;
    return out + width;
}

static uint8_t *put_bytes(uint8_t *out, const uint8_t *bytes, size_t length)
{
    assert(bytes != NULL || length == 0);
    if (length > 0)
        memcpy(out, bytes, length);
    return out + length;
}

static uint64_t get_be(const uint8_t *in, int width)
{
    uint64_t value = 0;
    for (int i = 0; i < width; i++)
        value = value << 8 | in[i];
    return value;
}

static size_t tail_bytes(int version)
{
    return version == 3 ? CHECKSUM_BYTES + TIMESTAMP_BYTES : CHECKSUM_BYTES;
}

static uint32_t stored_name_size(const fv_needle *needle)
{
    return needle->name_size < SHORT_FIELD_MAX ? needle->name_size : SHORT_FIELD_MAX;
}

void fv_needle_parse_header(const uint8_t *header, fv_needle *out)
{
    out->cookie = fv_load_be32(header);
    out->id = fv_load_be64(header + 4);
    out->size = (int32_t)fv_load_be32(header + 12);
}

void fv_needle_parse_prefix(const uint8_t *prefix, fv_needle *out)
{
    fv_needle_parse_header(prefix, out);
    out->data_size = fv_load_be32(prefix + FV_NEEDLE_HEADER);
}

uint32_t fv_needle_padding(int32_t size)
{
    uint32_t body = size > 0 ? (uint32_t)size : 0;
    uint32_t padding = PADDING_UNIT - (body + CHECKSUM_BYTES) % PADDING_UNIT;
    assert(padding >= 1 && padding <= PADDING_UNIT);
    return padding;
}

uint64_t fv_needle_actual_size(int32_t size, int version)
{
    uint64_t body = size > 0 ? (uint64_t)size : 0;
    assert(version >= 1 && version <= 3);
    uint64_t total = FV_NEEDLE_HEADER + body + tail_bytes(version) + fv_needle_padding(size);
    assert(total % PADDING_UNIT == 0);
    return total;
}

int64_t fv_needle_body_size(const fv_needle *needle, int version)
{
    int64_t size = needle->data_size;
    assert(version >= 1 && version <= 3);
    if (version == 1)
        return size <= INT32_MAX ? size : -1;
    if (size == 0)
        return 0;
    size += 4 + 1;
    if (needle->flags & FV_NEEDLE_HAS_NAME)
        size += 1 + stored_name_size(needle);
    if (needle->flags & FV_NEEDLE_HAS_MIME) {
        if (needle->mime_size > SHORT_FIELD_MAX)
            return -1;
        size += 1 + needle->mime_size;
    }
    if (needle->flags & FV_NEEDLE_HAS_LAST_MODIFIED)
        size += MODIFIED_BYTES;
    if (needle->flags & FV_NEEDLE_HAS_TTL)
        size += 2;
    if (needle->flags & FV_NEEDLE_HAS_PAIRS) {
        if (needle->pairs_size > PAIRS_MAX)
            return -1;
        size += 2 + needle->pairs_size;
    }
    return size <= INT32_MAX ? size : -1;
}

size_t fv_needle_build_prefix(const fv_needle *needle, int version, uint8_t *out)
{
    assert(version >= 1 && version <= 3);
    assert(needle->size == fv_needle_body_size(needle, version));
    uint8_t *end = put_be(out, needle->cookie, 4);
    end = put_be(end, needle->id, 8);
    end = put_be(end, (uint32_t)needle->size, 4);
    if (version > 1 && needle->data_size > 0)
        end = put_be(end, needle->data_size, 4);
    return (size_t)(end - out);
}

static uint8_t *put_fields(const fv_needle *needle, uint8_t *out)
{
    assert(needle->data_size > 0);
    *out++ = needle->flags;
    if (needle->flags & FV_NEEDLE_HAS_NAME) {
        out = put_be(out, stored_name_size(needle), 1);
        out = put_bytes(out, needle->name, stored_name_size(needle));
    }
    if (needle->flags & FV_NEEDLE_HAS_MIME) {
        assert(needle->mime_size <= SHORT_FIELD_MAX);
        out = put_be(out, needle->mime_size, 1);
        out = put_bytes(out, needle->mime, needle->mime_size);
    }
    if (needle->flags & FV_NEEDLE_HAS_LAST_MODIFIED)
        out = put_be(out, needle->last_modified, MODIFIED_BYTES);
    if (needle->flags & FV_NEEDLE_HAS_TTL)
        out = put_bytes(out, needle->ttl, 2);
    if (needle->flags & FV_NEEDLE_HAS_PAIRS) {
        assert(needle->pairs_size <= PAIRS_MAX);
        out = put_be(out, needle->pairs_size, 2);
        out = put_bytes(out, needle->pairs, needle->pairs_size);
    }
    return out;
}

/* Nobody reads the padding, but upstream leaves remains of its scratch buffer there, and a file
 * equal to upstream's byte for byte is one that nobody needs to wonder about. */
static uint8_t *put_padding(const fv_needle *needle, int version, uint8_t *out)
{
    uint8_t scratch[PADDING_UNIT] = {0};
    if (version == 3) {
        put_be(scratch, (uint32_t)needle->size, 4);
    } else {
        put_be(scratch, needle->id, 8);
        if (version == 2 && needle->data_size > 0 && (needle->flags & FV_NEEDLE_HAS_LAST_MODIFIED))
            put_be(scratch, needle->last_modified, 4);
    }
    return put_bytes(out, scratch, fv_needle_padding(needle->size));
}

size_t fv_needle_build_suffix(const fv_needle *needle, int version, uint8_t *out)
{
    assert(version >= 1 && version <= 3);
    assert(needle->size == fv_needle_body_size(needle, version));
    uint8_t *end = out;
    if (version > 1 && needle->data_size > 0)
        end = put_fields(needle, end);
    end = put_be(end, needle->checksum, CHECKSUM_BYTES);
    if (version == 3)
        end = put_be(end, needle->append_at_ns, TIMESTAMP_BYTES);
    end = put_padding(needle, version, end);
    assert(end - out <= FV_NEEDLE_META_MAX);
    return (size_t)(end - out);
}

static int out_of_range(fv_fault *fault, int part)
{
    assert(part >= PART_DATA && part <= PART_PAIRS);
    fault->part = part;
    return FV_NEEDLE_OUT_OF_RANGE;
}

/* A field of one length byte and as many bytes; false when it leaves the body. */
static int take_short_field(const uint8_t *body, size_t length, size_t *at, const uint8_t **field,
                            uint32_t *field_size)
{
    assert(*at < length);
    *field_size = body[(*at)++];
    if (*at + *field_size > length)
        return 0;
    *field = body + *at;
    *at += *field_size;
    return 1;
}

/* The fields behind the payload.  A body that ends right before a flagged field simply does not
 * have it: records written by old servers look like that. */
static int parse_fields(const uint8_t *body, size_t length, fv_needle *out, fv_fault *fault)
{
    size_t at = 0;
    assert(body != NULL);
    if (at < length)
        out->flags = body[at++];
    if (at < length && (out->flags & FV_NEEDLE_HAS_NAME) &&
        !take_short_field(body, length, &at, &out->name, &out->name_size))
        return out_of_range(fault, PART_NAME);
    if (at < length && (out->flags & FV_NEEDLE_HAS_MIME) &&
        !take_short_field(body, length, &at, &out->mime, &out->mime_size))
        return out_of_range(fault, PART_MIME);
    if (at < length && (out->flags & FV_NEEDLE_HAS_LAST_MODIFIED)) {
        if (at + MODIFIED_BYTES > length)
            return out_of_range(fault, PART_MODIFIED);
        out->last_modified = get_be(body + at, MODIFIED_BYTES);
        at += MODIFIED_BYTES;
    }
    if (at < length && (out->flags & FV_NEEDLE_HAS_TTL)) {
        if (at + 2 > length)
            return out_of_range(fault, PART_TTL);
        memcpy(out->ttl, body + at, 2);
        at += 2;
    }
    if (at < length && (out->flags & FV_NEEDLE_HAS_PAIRS)) {
        if (at + 2 > length)
            return out_of_range(fault, PART_PAIRS_SIZE);
        uint32_t pairs_size = (uint32_t)get_be(body + at, 2);
        at += 2;
        if (at + pairs_size > length)
            return out_of_range(fault, PART_PAIRS);
        out->pairs = body + at;
        out->pairs_size = pairs_size;
        at += pairs_size;
    }
    assert(at <= length);
    return FV_NEEDLE_OK;
}

static void parse_tail(const uint8_t *tail, int version, fv_needle *out)
{
    out->checksum = (uint32_t)get_be(tail, CHECKSUM_BYTES);
    if (version == 3)
        out->append_at_ns = get_be(tail + CHECKSUM_BYTES, TIMESTAMP_BYTES);
}

static int parse_body(const uint8_t *body, size_t size, int version, fv_needle *out,
                      fv_fault *fault)
{
    if (version == 1) {
        out->data = size > 0 ? body : NULL;
        out->data_size = (uint32_t)size;
        return FV_NEEDLE_OK;
    }
    if (size == 0)
        return FV_NEEDLE_OK;
    if (size < 4)
        return out_of_range(fault, PART_DATA);
    uint32_t data_size = (uint32_t)get_be(body, 4);
    if ((size_t)data_size > size - 4)
        return out_of_range(fault, PART_DATA);
    out->data = body + 4;
    out->data_size = data_size;
    return parse_fields(body + 4 + data_size, size - 4 - data_size, out, fault);
}

static int check_payload(fv_needle *out, fv_fault *fault)
{
    uint32_t computed = fv_crc32c(0, out->data, out->data_size);
    assert(out->data_size > 0);
    if (out->checksum != computed && out->checksum != fv_crc32c_legacy(computed)) {
        fault->computed = computed;
        fault->stored = out->checksum;
        return FV_NEEDLE_BAD_CRC;
    }
    out->checksum = computed;
    return FV_NEEDLE_OK;
}

int fv_needle_parse(const uint8_t *record, size_t length, int32_t want_size, int version, int verify,
                    fv_needle *out, fv_fault *fault)
{
    assert(version >= 1 && version <= 3);
    assert(out != NULL && fault != NULL);
    memset(out, 0, sizeof *out);
    memset(fault, 0, sizeof *fault);
    if (length < FV_NEEDLE_HEADER || length < fv_needle_actual_size(want_size, version))
        return FV_NEEDLE_SHORT;
    fv_needle_parse_header(record, out);
    if (out->size != want_size || want_size < 0) {
        fault->found_id = out->id;
        fault->found_size = out->size;
        return FV_NEEDLE_SIZE_MISMATCH;
    }
    const uint8_t *body = record + FV_NEEDLE_HEADER;
    int code = parse_body(body, (size_t)want_size, version, out, fault);
    if (code != FV_NEEDLE_OK)
        return code;
    parse_tail(body + want_size, version, out);
    return verify && out->data_size > 0 ? check_payload(out, fault) : FV_NEEDLE_OK;
}

static void clear_suffix_fields(fv_needle *out)
{
    fv_needle kept = {.id = out->id,
                      .cookie = out->cookie,
                      .size = out->size,
                      .data = out->data,
                      .data_size = out->data_size};
    *out = kept;
}

int fv_needle_parse_suffix(const uint8_t *suffix, size_t length, int32_t size, uint32_t data_size,
                           int version, fv_needle *out, fv_fault *fault)
{
    assert(version == 2 || version == 3);
    assert(out != NULL && fault != NULL);
    clear_suffix_fields(out);
    memset(fault, 0, sizeof *fault);
    uint64_t fields = 0;
    if (size > 0) {
        if ((uint64_t)data_size + 4 > (uint64_t)size)
            return out_of_range(fault, PART_DATA);
        fields = (uint64_t)size - 4 - data_size;
    }
    if (length < fields + tail_bytes(version) + fv_needle_padding(size))
        return FV_NEEDLE_SHORT;
    int code = fields > 0 ? parse_fields(suffix, fields, out, fault) : FV_NEEDLE_OK;
    if (code == FV_NEEDLE_OK)
        parse_tail(suffix + fields, version, out);
    return code;
}
