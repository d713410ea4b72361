/* From a parsed request to response bytes. */
#ifndef FASTVOL_REPLY_H
#define FASTVOL_REPLY_H

#include "content_type.h"
#include "output.h"
#include "request.h"
#include "serve.h"

#include <pthread.h>
#include <stdatomic.h>

#define FV_HEAD_MAX 2048

/* So much of a cold range is waited for at once. */
#define FV_COLD_WINDOW (512u << 10)

/* What finished cold reads tell the repeated request. */
typedef struct {
    fv_volume *volume; /* referenced, so that nobody else can have its address */
    uint64_t offset;   /* of the record; 0 = nothing known */
    int verified;      /* the payload's checksum was right */
    int rounds;        /* cold reads that this request has waited for */
} fv_warm;

/* A read that must wait for the disk. */
typedef struct {
    fv_volume *volume; /* referenced */
    uint64_t record_offset;
    uint64_t offset;
    uint64_t length;
    int verify; /* check [offset, offset+length) against `stored` instead of only fetching it */
    int cached; /* it has just been seen in the page cache: no need to read ahead */
    uint32_t stored;
} fv_cold;

typedef struct {
    fv_volume *volume; /* referenced when file_length > 0 */
    uint64_t file_offset;
    uint64_t file_length;
    const uint8_t *mapped; /* the same bytes in memory, when they are better sent from there */
    int unsure;            /* nobody has just seen all of them in the page cache */
    int count; /* FV_COUNT_..., which response this is */
} fv_reply;

#define FV_REPLY_DONE 0
#define FV_REPLY_NOT_MINE 1
#define FV_REPLY_COLD 2

struct fv_server {
    fv_server_options options;
    char *server_header;
    size_t server_header_length;
    fv_mime_table *mime;
    atomic_int fast_read;
    atomic_int fast_write;
    pthread_rwlock_t table_lock;
    struct fv_slot {
        uint32_t id;
        fv_volume *volume;
    } *table; /* sorted by id */
    size_t table_length;
    size_t table_capacity;
    _Atomic uint64_t counts[FV_COUNTS];
    struct fv_pool *pool;
};

/* Appends the head (and a small body) to `out`, which has room for FV_HEAD_MAX + copy_max bytes. */
int fv_reply_build(fv_server *server, const fv_request *request, const fv_warm *warm,
                   fv_output *out, fv_reply *reply, fv_cold *cold);
/* The header lines that every answer has: `Server` and a new `X-Amz-Request-Id`; then `Date`. */
void fv_put_server_and_id(fv_output *out, const fv_server *server);
void fv_put_date(fv_output *out);
/* A referenced volume, or NULL. */
fv_volume *fv_server_find_volume(fv_server *server, uint32_t id);

#endif
