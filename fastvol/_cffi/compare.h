/* Comparing two replicas of a volume by what their live needles are, not by how their files lie. */
#ifndef FASTVOL_COMPARE_H
#define FASTVOL_COMPARE_H

#include "compact_map.h"

/* cffi:begin */
typedef struct fv_compare fv_compare;

typedef struct {
    fv_map *map; /* neither is owned */
    int dat_fd;
    int version;
} fv_replica;

/* The first that holds is what is told of a needle. */
#define FV_COMPARE_EQUAL 0
#define FV_COMPARE_ONLY_A 1
#define FV_COMPARE_ONLY_B 2
#define FV_COMPARE_UNREADABLE 3 /* `code` says in which, and how */
#define FV_COMPARE_COOKIE 4
#define FV_COMPARE_SIZE 5
#define FV_COMPARE_CHECKSUM 6
#define FV_COMPARE_KINDS 7

typedef struct {
    int kind;
    uint64_t id;
    /* Of a and b. */
    int code[2]; /* 0, FV_NEEDLE_SHORT, FV_NEEDLE_SIZE_MISMATCH, FV_IO_ERROR, FV_NOT_FOUND (another id) */
    int sys_errno[2];
    uint32_t cookie[2];
    int32_t size[2];
    uint32_t checksum[2];
} fv_difference;

/* NULL: out of memory. */
fv_compare *fv_compare_new(const fv_replica *a, const fv_replica *b);
void fv_compare_free(fv_compare *compare);
/* Compares up to `needles` more.  *count differences are put in `out`; with a capacity of 0 they are
 * only counted, else the step ends when `out` is full.  1: there are more needles, 0: done. */
int fv_compare_step(fv_compare *compare, uint64_t needles, fv_difference *out, size_t capacity,
                    size_t *count);
/* How many needles were of each kind. */
void fv_compare_counts(const fv_compare *compare, uint64_t counts[FV_COMPARE_KINDS]);
/* cffi:end */

#endif
