/* Files of records in memory, for tests of what walks and serves them. */
#ifndef FASTVOL_TEST_RECORDS_H
#define FASTVOL_TEST_RECORDS_H

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "crc32c.h"
#include "needle.h"

static inline int empty_file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static inline uint64_t file_size(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    CHECK(size >= 0);
    return (uint64_t)size;
}

static inline void append_bytes(int fd, const void *bytes, size_t length)
{
    CHECK(pwrite(fd, bytes, length, (off_t)file_size(fd)) == (ssize_t)length);
}

/* A needle of `data_size` equal bytes; without payload a tombstone. */
static inline uint64_t append_record(int fd, int version, uint64_t id, uint32_t data_size)
{
    static uint8_t data[70000];
    uint8_t prefix[FV_NEEDLE_PREFIX];
    static uint8_t suffix[FV_NEEDLE_META_MAX];
    CHECK(data_size <= sizeof data);
    memset(data, (int)(id & 0xFF), data_size);
    fv_needle needle = {.id = id, .cookie = (uint32_t)id * 7 + 1, .data = data,
                        .data_size = data_size, .append_at_ns = 1000000 + id};
    needle.checksum = fv_crc32c(0, data, data_size);
    needle.size = (int32_t)fv_needle_body_size(&needle, version);
    uint64_t offset = file_size(fd);
    append_bytes(fd, prefix, fv_needle_build_prefix(&needle, version, prefix));
    append_bytes(fd, data, data_size);
    append_bytes(fd, suffix, fv_needle_build_suffix(&needle, version, suffix));
    CHECK(file_size(fd) == offset + fv_needle_actual_size(needle.size, version));
    return offset;
}

/* A data file with nothing but its super block. */
static inline int new_data(int version)
{
    uint8_t head[8] = {(uint8_t)version};
    int fd = empty_file();
    append_bytes(fd, head, sizeof head);
    return fd;
}

static inline void flip_byte(int fd, uint64_t at)
{
    uint8_t byte;
    CHECK(pread(fd, &byte, 1, (off_t)at) == 1);
    byte ^= 0x55;
    CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
}

#endif
