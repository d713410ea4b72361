/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as stored in every needle.
 *
 * `crc` is the finished value of the bytes before `data` (0 at the start), so that
 * crc(a+b) = fv_crc32c(fv_crc32c(0, a), b).  Kernel 0 is the portable reference; every other kernel
 * gives the same values and is chosen at run time when the CPU has it. */
#ifndef FASTVOL_CRC32C_H
#define FASTVOL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* cffi:begin */
#define FV_CRC32C_PORTABLE 0
#define FV_CRC32C_SSE42 1
#define FV_CRC32C_AVX512 2 /* carry-less multiplication of 512 bits (VPCLMULQDQ) */

uint32_t fv_crc32c(uint32_t crc, const void *data, size_t length);
uint32_t fv_crc32c_with(int kernel, uint32_t crc, const void *data, size_t length);
int fv_crc32c_kernel_available(int kernel);
/* crc of a followed by b from their crcs and b's length. */
uint32_t fv_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);
/* The rotated form that servers before 3.09 stored, and that gRPC replies still carry. */
uint32_t fv_crc32c_legacy(uint32_t crc);
/* cffi:end */

#endif
