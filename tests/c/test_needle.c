#include <string.h>

#include "check.h"
#include "crc32c.h"
#include "needle.h"

void test_needle_sizes(void)
{
    static const int table[][2] = {{0, 32},  {1, 32},  {2, 32},  {3, 32},  {4, 40},   {5, 40},
                                   {32, 64}, {52, 88}, {56, 88}, {59, 88}, {70, 104}, {80, 112}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        CHECK(fv_needle_actual_size(table[i][0], 3) == (uint64_t)table[i][1]);
    CHECK(fv_needle_actual_size(-1, 3) == 32 && fv_needle_actual_size(-1, 2) == 24);
    CHECK(fv_needle_actual_size(0, 1) == 24);
    CHECK(fv_needle_actual_size(INT32_MAX, 3) == UINT64_C(2147483680));
    for (int32_t size = 0; size < 64; size++)
        CHECK(fv_needle_padding(size) >= 1 && fv_needle_padding(size) <= 8);
}

static size_t build(fv_needle *needle, int version, uint8_t *out)
{
    int64_t size = fv_needle_body_size(needle, version);
    CHECK(size >= 0);
    needle->size = (int32_t)size;
    needle->checksum = fv_crc32c(0, needle->data, needle->data_size);
    size_t at = fv_needle_build_prefix(needle, version, out);
    if (needle->data_size > 0)
        memcpy(out + at, needle->data, needle->data_size);
    at += needle->data_size;
    at += fv_needle_build_suffix(needle, version, out + at);
    CHECK(at == fv_needle_actual_size(needle->size, version));
    return at;
}

static fv_needle example(void)
{
    return (fv_needle){.id = 1,
                       .cookie = 0xabcd,
                       .data = (const uint8_t *)"hello",
                       .data_size = 5,
                       .flags = FV_NEEDLE_HAS_NAME | FV_NEEDLE_HAS_MIME |
                                FV_NEEDLE_HAS_LAST_MODIFIED,
                       .name = (const uint8_t *)"a.bin",
                       .name_size = 5,
                       .mime = (const uint8_t *)"text/x-foo",
                       .mime_size = 10,
                       .last_modified = 1700000000,
                       .append_at_ns = UINT64_C(0x18ea4e412240f45a)};
}

void test_needle_worked_example(void)
{
    static const uint8_t want[64] = {
        0x00, 0x00, 0xab, 0xcd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00,
        0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x05, 'h',  'e',  'l',  'l',  'o',  0x0e,
        0x05, 'a',  '.',  'b',  'i',  'n',  0x0a, 't',  'e',  'x',  't',  '/',  'x',
        '-',  'f',  'o',  'o',  0x00, 0x65, 0x53, 0xf1, 0x00, 0x9a, 0x71, 0xbb, 0x4c,
        0x18, 0xea, 0x4e, 0x41, 0x22, 0x40, 0xf4, 0x5a, 0x00, 0x00, 0x00, 0x20};
    static const uint8_t v2_tail[8] = {0x9a, 0x71, 0xbb, 0x4c, 0x65, 0x53, 0xf1, 0x00};
    static const uint8_t v1[32] = {0, 0,   0xab, 0xcd, 0,   0,   0,    0,    0,    0,    0,
                                   1, 0,   0,    0,    5,   'h', 'e',  'l',  'l',  'o',  0x9a,
                                   0x71, 0xbb, 0x4c};
    uint8_t record[256];
    fv_needle needle = example();
    CHECK(build(&needle, 3, record) == 64 && memcmp(record, want, 64) == 0);
    CHECK(build(&needle, 2, record) == 56 && memcmp(record, want, 48) == 0);
    CHECK(memcmp(record + 48, v2_tail, 8) == 0);
    CHECK(build(&needle, 1, record) == 32 && memcmp(record, v1, 32) == 0);
}

void test_needle_round_trip(void)
{
    static uint8_t record[FV_NEEDLE_META_MAX + 4096];
    static uint8_t text[66000];
    unsigned long long seed = 6;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)next_random(&seed);
    for (int i = 0; i < 2000; i++) {
        int version = 1 + i % 3;
        fv_needle in = {.id = next_random(&seed),
                        .cookie = (uint32_t)next_random(&seed),
                        .data = text,
                        .data_size = next_random(&seed) % 3000,
                        .flags = (uint8_t)next_random(&seed),
                        .name = text,
                        .name_size = next_random(&seed) % 256,
                        .mime = text + 1,
                        .mime_size = next_random(&seed) % 256,
                        .pairs = text + 2,
                        .pairs_size = i % 20 == 0 ? 65535 : next_random(&seed) % 100,
                        .ttl = {3, 4},
                        .last_modified = next_random(&seed) >> 24,
                        .append_at_ns = next_random(&seed)};
        if (i % 50 == 0)
            in.data_size = 0;
        size_t length = build(&in, version, record);
        fv_needle out;
        fv_fault fault;
        CHECK(fv_needle_parse(record, length, in.size, version, 1, &out, &fault) == FV_NEEDLE_OK);
        CHECK(out.id == in.id && out.cookie == in.cookie && out.size == in.size);
        CHECK(out.data_size == in.data_size && out.checksum == in.checksum);
        CHECK(out.append_at_ns == (version == 3 ? in.append_at_ns : 0));
        CHECK(in.data_size == 0 || memcmp(out.data, in.data, in.data_size) == 0);
        if (version == 1 || in.data_size == 0) {
            CHECK(out.flags == 0 && out.name_size == 0 && out.pairs_size == 0);
            continue;
        }
        CHECK(out.flags == in.flags);
        CHECK(out.name_size == (in.flags & FV_NEEDLE_HAS_NAME ? in.name_size : 0));
        CHECK(out.mime_size == (in.flags & FV_NEEDLE_HAS_MIME ? in.mime_size : 0));
        CHECK(out.pairs_size == (in.flags & FV_NEEDLE_HAS_PAIRS ? in.pairs_size : 0));
        CHECK(out.last_modified ==
              (in.flags & FV_NEEDLE_HAS_LAST_MODIFIED ? in.last_modified : 0));
        CHECK(out.ttl[1] == (in.flags & FV_NEEDLE_HAS_TTL ? 4 : 0));
        size_t before = FV_NEEDLE_PREFIX + in.data_size;
        fv_needle part = {.id = out.id, .data = out.data, .size = out.size, .flags = 0xff};
        CHECK(fv_needle_parse_suffix(record + before, length - before, in.size, in.data_size,
                                     version, &part, &fault) == FV_NEEDLE_OK);
        CHECK(part.id == out.id && part.data == out.data && part.flags == out.flags);
        CHECK(part.pairs_size == out.pairs_size && part.checksum == out.checksum);
    }
}

void test_needle_faults(void)
{
    uint8_t record[256];
    fv_needle needle = example(), out;
    fv_fault fault;
    size_t length = build(&needle, 3, record);
    CHECK(fv_needle_parse(record, length, 33, 3, 1, &out, &fault) == FV_NEEDLE_SIZE_MISMATCH);
    CHECK(fault.found_id == 1 && fault.found_size == 32);
    CHECK(fv_needle_parse(record, length, -5, 3, 1, &out, &fault) == FV_NEEDLE_SIZE_MISMATCH);
    CHECK(fv_needle_parse(record, length - 1, 32, 3, 1, &out, &fault) == FV_NEEDLE_SHORT);
    record[21] ^= 1;
    CHECK(fv_needle_parse(record, length, 32, 3, 1, &out, &fault) == FV_NEEDLE_BAD_CRC);
    CHECK(fault.stored == 0x9a71bb4cu && fault.computed != fault.stored);
    CHECK(fv_needle_parse(record, length, 32, 3, 0, &out, &fault) == FV_NEEDLE_OK);
    CHECK(out.checksum == 0x9a71bb4cu);
    record[21] ^= 1;
    record[16] = 0x7f; /* the data size leaves the body */
    CHECK(fv_needle_parse(record, length, 32, 3, 1, &out, &fault) == FV_NEEDLE_OUT_OF_RANGE);
    CHECK(fault.part == 1);
    CHECK(fv_needle_parse_suffix(record, 200, 32, 29, 3, &out, &fault) == FV_NEEDLE_OUT_OF_RANGE);
    needle.mime_size = 256;
    CHECK(fv_needle_body_size(&needle, 3) == -1);
    needle = (fv_needle){.data_size = 0x80000000u};
    CHECK(fv_needle_body_size(&needle, 1) == -1 && fv_needle_body_size(&needle, 3) == -1);
}

/* A body that ends in the middle of a field names the field; one that ends before it is fine.
 * Exact heap copies let the sanitizer see a read past the end. */
void test_needle_truncated_everywhere(void)
{
    uint8_t full[256];
    fv_needle needle = example(), out;
    fv_fault fault;
    needle.flags |= FV_NEEDLE_HAS_TTL | FV_NEEDLE_HAS_PAIRS;
    needle.pairs = (const uint8_t *)"{}";
    needle.pairs_size = 2;
    build(&needle, 3, full);
    int seen[8] = {0};
    for (int32_t size = 0; size <= needle.size; size++) {
        size_t length = fv_needle_actual_size(size, 3);
        uint8_t *record = calloc(1, length);
        CHECK(record != NULL);
        memcpy(record, full, FV_NEEDLE_HEADER + (size_t)size);
        record[14] = 0;
        record[15] = (uint8_t)size;
        int code = fv_needle_parse(record, length, size, 3, 0, &out, &fault);
        CHECK(code == FV_NEEDLE_OK || code == FV_NEEDLE_OUT_OF_RANGE);
        if (code == FV_NEEDLE_OUT_OF_RANGE)
            seen[fault.part]++;
        free(record);
    }
    /* data 1..8, name 1..5 short, mime 1..10, modified 1..4, ttl 1, pairs size 1, pairs 1..2 */
    CHECK(seen[1] == 8 && seen[2] == 5 && seen[3] == 10 && seen[4] == 4);
    CHECK(seen[5] == 1 && seen[6] == 1 && seen[7] == 2);
}
