/* What every byte of a data file is.
 *
 * Nothing is changed, and nothing ends the survey early: behind a damaged stretch it goes on at the next
 * record that checks.  It works in steps, so that the caller can show progress and stop.  With an index to
 * write, every record that was recognised gets a row: that is how an index is made anew. */
#ifndef FASTVOL_SURVEY_H
#define FASTVOL_SURVEY_H

#include "compact_map.h"
#include "needle.h"

/* cffi:begin */
typedef struct fv_survey fv_survey;

#define FV_EXTENT_LIVE 0       /* the record that the index leads to */
#define FV_EXTENT_OLD 1        /* an earlier version of a needle */
#define FV_EXTENT_DELETED 2    /* the last version of a needle that is deleted */
#define FV_EXTENT_TOMBSTONE 3  /* a record without payload that is no live empty file */
#define FV_EXTENT_UNINDEXED 4  /* a whole record newer than what the index knows of its needle */
#define FV_EXTENT_BAD_RECORD 5 /* between whole ones, but its checksum or a field is wrong */
#define FV_EXTENT_DAMAGED 6    /* no record can be made of it; whole ones follow */
#define FV_EXTENT_ZEROS 7
#define FV_EXTENT_TORN 8       /* no record can be made of it, and none follows */
#define FV_EXTENT_KINDS 9

typedef struct {
    uint64_t offset; /* bytes, as length */
    uint64_t length;
    uint64_t id; /* of records: id ... append_at_ns (version 3) */
    uint32_t cookie;
    int32_t size;
    int kind;
    int live; /* the index leads here */
    uint64_t append_at_ns;
} fv_extent;

typedef struct {
    int dat_fd; /* no descriptor is owned, nor is the map */
    int version;
    uint64_t from;
    uint64_t to;
    fv_map *map;     /* what the index says; NULL: nothing is known */
    int idx_fd;      /* rows are written here; -1: none are */
    int offset_width;
    unsigned report; /* kinds to describe, a bit each; the others are only counted */
} fv_survey_spec;

typedef struct {
    uint64_t position; /* everything before it is explained */
    uint64_t bytes[FV_EXTENT_KINDS];
    uint64_t count[FV_EXTENT_KINDS];
    uint64_t live_bad;     /* bad records that the index leads to */
    uint64_t read_errors;  /* the disk refused; taken for damage */
    uint64_t rows;         /* written */
    uint64_t last_append_ns; /* largest of the whole records, version 3 */
    int sys_errno;
    int gave_up; /* a stretch had so many candidates for records that the larger ones were not read */
} fv_survey_stat;

#define FV_SURVEY_MORE 1
#define FV_SURVEY_DONE 0
#define FV_SURVEY_INDEX_FAILED -1 /* sys_errno */
#define FV_SURVEY_TOO_FAR -2      /* a record begins where the rows' offsets do not reach */

/* NULL: out of memory. */
fv_survey *fv_survey_new(const fv_survey_spec *spec);
void fv_survey_free(fv_survey *survey);
/* Explains about `budget` bytes more, or until `out` is full. */
int fv_survey_step(fv_survey *survey, uint64_t budget, fv_extent *out, size_t capacity, size_t *count);
void fv_survey_get_stat(const fv_survey *survey, fv_survey_stat *out);
/* cffi:end */

#endif
