#include <string.h>

#include "check.h"
#include "crc32c.h"

void test_crc32c_vectors(void)
{
    uint8_t zeros[32] = {0};
    CHECK(fv_crc32c(0, NULL, 0) == 0);
    CHECK(fv_crc32c(0, "123456789", 9) == 0xe3069283u);
    CHECK(fv_crc32c(0, "hello", 5) == 0x9a71bb4cu);
    CHECK(fv_crc32c(0, "hello seaweed", 13) == 0xe19f6ef3u);
    CHECK(fv_crc32c(0, zeros, sizeof zeros) == 0x8a9136aau);
    CHECK(fv_crc32c_legacy(0xe19f6ef3u) == 0x806aae16u);
    CHECK(fv_crc32c_kernel_available(FV_CRC32C_PORTABLE));
    CHECK(!fv_crc32c_kernel_available(-1));
    CHECK(!fv_crc32c_kernel_available(3));
}

/* Every length around the block edges, every alignment: the reference decides. */
void test_crc32c_kernels_agree(void)
{
    enum { BYTES = 40000 };
    static const size_t lengths[] = {0,   1,   7,    8,    9,     23,    24,    191,  192,
                                     193, 383, 1023, 1024, 1279, 1280, 1535, 4099, 12287, 12288, 12289, 39980};
    unsigned long long seed = 1;
    uint8_t *data = malloc(BYTES);
    CHECK(data != NULL);
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)next_random(&seed);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t start = 0; start < 9; start++) {
            uint32_t crc = (uint32_t)next_random(&seed);
            uint32_t want = fv_crc32c_with(FV_CRC32C_PORTABLE, crc, data + start, lengths[i]);
            CHECK(fv_crc32c(crc, data + start, lengths[i]) == want);
            for (int kernel = FV_CRC32C_SSE42; kernel <= FV_CRC32C_AVX512; kernel++)
                if (fv_crc32c_kernel_available(kernel))
                    CHECK(fv_crc32c_with(kernel, crc, data + start, lengths[i]) == want);
        }
    free(data);
}

void test_crc32c_combine(void)
{
    uint8_t data[777];
    unsigned long long seed = 2;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)next_random(&seed);
    uint32_t whole = fv_crc32c(0, data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        uint32_t a = fv_crc32c(0, data, cut);
        uint32_t b = fv_crc32c(0, data + cut, sizeof data - cut);
        CHECK(fv_crc32c_combine(a, b, sizeof data - cut) == whole);
        CHECK(fv_crc32c(a, data + cut, sizeof data - cut) == whole);
    }
    /* Two lengths whose powers of x are all in use. */
    CHECK(fv_crc32c_combine(fv_crc32c_combine(1, 0, UINT64_MAX >> 1), 0, 1) ==
          fv_crc32c_combine(1, 0, UINT64_C(1) << 63));
}
