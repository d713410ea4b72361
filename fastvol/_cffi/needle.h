/* One needle record, versions 1 to 3: sizes, building, parsing and checking. */
#ifndef FASTVOL_NEEDLE_H
#define FASTVOL_NEEDLE_H

#include <stddef.h>
#include <stdint.h>

/* cffi:begin */
#define FV_NEEDLE_HEADER 16
/* Header plus data size: the bytes before the payload of a version 2 or 3 record. */
#define FV_NEEDLE_PREFIX 20
/* Longest possible record without its payload: prefix, flags, name, mime, times, pairs, tail. */
#define FV_NEEDLE_META_MAX 66200

#define FV_NEEDLE_COMPRESSED 0x01
#define FV_NEEDLE_HAS_NAME 0x02
#define FV_NEEDLE_HAS_MIME 0x04
#define FV_NEEDLE_HAS_LAST_MODIFIED 0x08
#define FV_NEEDLE_HAS_TTL 0x10
#define FV_NEEDLE_HAS_PAIRS 0x20
#define FV_NEEDLE_CHUNK_MANIFEST 0x80

typedef struct {
    uint64_t id;
    uint32_t cookie;
    int32_t size; /* body size: from the data size field up to the checksum; 0 without payload */
    uint32_t checksum;
    uint32_t data_size;
    const uint8_t *data;
    const uint8_t *name;
    const uint8_t *mime;
    const uint8_t *pairs;
    uint32_t name_size;
    uint32_t mime_size;
    uint32_t pairs_size;
    uint8_t flags;
    uint8_t ttl[2]; /* count, unit */
    uint64_t last_modified; /* seconds, low 40 bits are stored */
    uint64_t append_at_ns;  /* version 3 */
} fv_needle;

/* Faults of parsing and checking; the last three carry numbers in fv_fault. */
#define FV_NEEDLE_OK 0
#define FV_NEEDLE_SHORT -1          /* the buffer ends before the record does */
#define FV_NEEDLE_SIZE_MISMATCH -2  /* header size is not the wanted one: found_id, found_size */
#define FV_NEEDLE_OUT_OF_RANGE -3   /* a length field leaves the body: part = 1..7 */
#define FV_NEEDLE_BAD_CRC -4        /* computed, stored */

typedef struct {
    int part; /* 1 data, 2 name, 3 mime, 4 last-modified, 5 ttl, 6 pairs length, 7 pairs */
    uint64_t found_id;
    int32_t found_size;
    uint32_t computed;
    uint32_t stored;
} fv_fault;

/* Padding is 1..8 bytes, never 0 (weed/storage/needle/needle_read_tail.go: PaddingLength). */
uint32_t fv_needle_padding(int32_t size);
/* Bytes that a record with this body size takes on disk; -1 (a tombstone row) counts as 0. */
uint64_t fv_needle_actual_size(int32_t size, int version);
/* Body size that the needle's fields give; 0 without payload.  -1 when it does not fit 31 bits. */
int64_t fv_needle_body_size(const fv_needle *needle, int version);

/* Writes what precedes the payload (header, and the data size of v2/v3) to `out`
 * (FV_NEEDLE_PREFIX bytes) and returns its length: 16 or 20. needle->size must be set. */
size_t fv_needle_build_prefix(const fv_needle *needle, int version, uint8_t *out);
/* Writes what follows the payload (flags ... checksum, append time, padding) to `out`
 * (FV_NEEDLE_META_MAX bytes) and returns its length. */
size_t fv_needle_build_suffix(const fv_needle *needle, int version, uint8_t *out);

/* Parses a whole record; pointers in *out lie in `record`.  `verify` != 0 checks the payload's
 * checksum in its raw or legacy form; out->checksum is then the computed raw value. */
int fv_needle_parse(const uint8_t *record, size_t length, int32_t want_size, int version, int verify,
                    fv_needle *out, fv_fault *fault);
/* Parses the part of a v2/v3 record behind the payload: `suffix` starts at the flags byte
 * and holds actual_size - 20 - data_size bytes (for size 0: starts at the checksum, after 16 bytes).
 * Fills everything but id, cookie, size, data and data_size, which the caller read from the prefix. */
int fv_needle_parse_suffix(const uint8_t *suffix, size_t length, int32_t size, uint32_t data_size,
                           int version, fv_needle *out, fv_fault *fault);
/* cffi:end */

/* Only cookie, id and size of FV_NEEDLE_HEADER bytes; with the data size of FV_NEEDLE_PREFIX bytes. */
void fv_needle_parse_header(const uint8_t *header, fv_needle *out);
void fv_needle_parse_prefix(const uint8_t *prefix, fv_needle *out);

#endif
