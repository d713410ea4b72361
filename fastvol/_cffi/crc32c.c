/* CRC-32C kernels.
 *
 * A reflected CRC register is a polynomial over GF(2) whose bit 31 is x^0.  Appending n zero bytes
 * multiplies it by x^(8n) modulo P, which is all that joining two checksums takes.
 *
 * The SSE4.2 kernel hides the three-cycle latency of `crc32q` behind three independent streams over
 * equal blocks.  The streams are joined by a carry-less multiplication with x^(64w - 33) for w words
 * of distance: the product of two reflected 32-bit polynomials is short of one factor x, and
 * `crc32q(0, product)` contributes x^32, so both together make x^(64w). */
#include "crc32c.h"

#include <assert.h>
#include <string.h>

#if defined(__x86_64__)
#define HAVE_X86 1
#include <immintrin.h>
#endif

#define POLYNOMIAL UINT32_C(0x82F63B78)
#define X_TO_THE_0 UINT32_C(0x80000000)
#define X_TO_THE_8 (X_TO_THE_0 >> 8)

/* 12 KiB a round: small enough to stay in the first-level cache, large enough to hide the joins. */
#define STREAM_WORDS_MAX 512
/* Below this the joins cost more than three streams gain. */
#define THREE_WAY_BYTES_MIN 192
/* Shorter payloads do not pay for folding. */
#define AVX512_BYTES_MIN 1024

static uint32_t slice[8][256];
/* power[k] = x^(8 * 2^k) mod P */
static uint32_t power[64];

/* a * b mod P, all reflected. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = X_TO_THE_0; bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = (b & 1) ? (b >> 1) ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

static void build_portable_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
        slice[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (int row = 1; row < 8; row++)
            slice[row][byte] = (slice[row - 1][byte] >> 8) ^ slice[0][slice[row - 1][byte] & 0xff];
    power[0] = X_TO_THE_8;
    for (int k = 1; k < 64; k++)
        power[k] = multiply(power[k - 1], power[k - 1]);
    assert(slice[0][1] == UINT32_C(0xF26B8303));
    assert(slice[0][128] == POLYNOMIAL);
}

static uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t update_portable(uint32_t crc, const uint8_t *p, size_t length)
{
    for (; length >= 8; length -= 8, p += 8) {
        uint32_t low = crc ^ load_le32(p);
        uint32_t high = load_le32(p + 4);
        crc = slice[7][low & 0xff] ^ slice[6][(low >> 8) & 0xff] ^ slice[5][(low >> 16) & 0xff] ^
              slice[4][low >> 24] ^ slice[3][high & 0xff] ^ slice[2][(high >> 8) & 0xff] ^
              slice[1][(high >> 16) & 0xff] ^ slice[0][high >> 24];
    }
    for (; length > 0; length--, p++)
        crc = (crc >> 8) ^ slice[0][(crc ^ *p) & 0xff];
    return crc;
}

#ifdef HAVE_X86

#define SSE42 __attribute__((target("sse4.2,pclmul")))

/* join[w] = x^(64w - 33) mod P, for distances of up to two streams. */
static uint32_t join[2 * STREAM_WORDS_MAX + 1];

SSE42 static void build_join_table(void)
{
    join[1] = 1; /* x^31 */
    for (int words = 2; words <= 2 * STREAM_WORDS_MAX; words++)
        join[words] = (uint32_t)_mm_crc32_u64(join[words - 1], 0);
    assert(join[2] != 0);
}

static inline uint64_t load_word(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* crc moved `words` words ahead, before the reduction that the caller shares between streams. */
SSE42 static inline uint64_t shifted(uint32_t crc, size_t words)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc),
                                           _mm_cvtsi32_si128((int)join[words]), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* Three streams of `words` words each. */
SSE42 static uint32_t update_three(uint32_t crc, const uint8_t *p, size_t words)
{
    const uint8_t *q = p + 8 * words, *r = q + 8 * words;
    uint64_t a = crc, b = 0, c = 0;
    assert(words > 0 && words <= STREAM_WORDS_MAX);
    for (size_t i = 0; i < words; i++) {
        a = _mm_crc32_u64(a, load_word(p + 8 * i));
        b = _mm_crc32_u64(b, load_word(q + 8 * i));
        c = _mm_crc32_u64(c, load_word(r + 8 * i));
    }
    uint64_t product = shifted((uint32_t)a, 2 * words) ^ shifted((uint32_t)b, words);
    return (uint32_t)(c ^ _mm_crc32_u64(0, product));
}

SSE42 static uint32_t update_sse42(uint32_t crc, const uint8_t *p, size_t length)
{
    while (length >= THREE_WAY_BYTES_MIN) {
        size_t words = length / 24 < STREAM_WORDS_MAX ? length / 24 : STREAM_WORDS_MAX;
        crc = update_three(crc, p, words);
        p += 24 * words;
        length -= 24 * words;
    }
    uint64_t wide = crc;
    for (; length >= 8; length -= 8, p += 8)
        wide = _mm_crc32_u64(wide, load_word(p));
    crc = (uint32_t)wide;
    for (; length > 0; length--, p++)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}

#define AVX512 __attribute__((target("avx512f,vpclmulqdq,sse4.2,pclmul")))
#define FOLD_BYTES 256

/* 16 lanes of 128 bits moved FOLD_BYTES ahead and joined with what stands there. */
AVX512 static inline __m512i folded(__m512i lanes, __m512i by, __m512i next)
{
    __m512i low = _mm512_clmulepi64_epi128(lanes, by, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(lanes, by, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

/* Folding keeps FOLD_BYTES bytes that have the checksum of everything read so far; at the end that
 * short message goes through the ordinary kernel (Gopal et al., "Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ Instruction", Intel 2009). */
AVX512 static uint32_t update_avx512(uint32_t crc, const uint8_t *p, size_t length)
{
    uint8_t rest[FOLD_BYTES];
    if (length < AVX512_BYTES_MIN)
        return update_sse42(crc, p, length);
    /* The low half of a lane lies 64 bits further from the end than the high half. */
    __m512i by = _mm512_broadcast_i32x4(
        _mm_set_epi64x((long long)join[FOLD_BYTES / 8], (long long)join[FOLD_BYTES / 8 + 1]));
    __m512i a = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
    __m512i b = _mm512_loadu_si512(p + 64);
    __m512i c = _mm512_loadu_si512(p + 128);
    __m512i d = _mm512_loadu_si512(p + 192);
    for (p += FOLD_BYTES, length -= FOLD_BYTES; length >= FOLD_BYTES;
         p += FOLD_BYTES, length -= FOLD_BYTES) {
        a = folded(a, by, _mm512_loadu_si512(p));
        b = folded(b, by, _mm512_loadu_si512(p + 64));
        c = folded(c, by, _mm512_loadu_si512(p + 128));
        d = folded(d, by, _mm512_loadu_si512(p + 192));
    }
    _mm512_storeu_si512(rest, a);
    _mm512_storeu_si512(rest + 64, b);
    _mm512_storeu_si512(rest + 128, c);
    _mm512_storeu_si512(rest + 192, d);
    crc = update_sse42(0, rest, sizeof rest);
    return update_sse42(crc, p, length);
}

static int cpu_has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
}

static int cpu_has_sse42(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

#endif

typedef uint32_t (*kernel_fn)(uint32_t crc, const uint8_t *p, size_t length);

static kernel_fn kernels[3];
static kernel_fn best;

/* Before main, so that no call ever has to ask whether the tables stand. */
__attribute__((constructor)) static void choose_kernel(void)
{
    build_portable_tables();
    kernels[FV_CRC32C_PORTABLE] = update_portable;
    best = update_portable;
#ifdef HAVE_X86
    if (cpu_has_sse42()) {
        build_join_table();
        kernels[FV_CRC32C_SSE42] = update_sse42;
        best = update_sse42;
        if (cpu_has_avx512()) {
            kernels[FV_CRC32C_AVX512] = update_avx512;
            best = update_avx512;
        }
    }
#endif
}

uint32_t fv_crc32c(uint32_t crc, const void *data, size_t length)
{
    assert(data != NULL || length == 0);
    return ~best(~crc, data, length);
}

int fv_crc32c_kernel_available(int kernel)
{
    return kernel >= 0 && kernel < (int)(sizeof kernels / sizeof kernels[0]) &&
           kernels[kernel] != NULL;
}

uint32_t fv_crc32c_with(int kernel, uint32_t crc, const void *data, size_t length)
{
    assert(fv_crc32c_kernel_available(kernel));
    assert(data != NULL || length == 0);
    return ~kernels[kernel](~crc, data, length);
}

uint32_t fv_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
    /* The initial and final inversions cancel out, so finished values combine directly. */
    for (int k = 0; length_b != 0; k++, length_b >>= 1)
        if (length_b & 1)
            crc_a = multiply(crc_a, power[k]);
    return crc_a ^ crc_b;
}

uint32_t fv_crc32c_legacy(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + UINT32_C(0xa282ead8);
}
