/* From a parsed request to response bytes. */
#ifndef FASTVOL_REPLY_H
#define FASTVOL_REPLY_H

#include "output.h"
#include "pool.h"
#include "request.h"
#include "serve.h"

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

typedef struct {
    fv_volume *volume; /* referenced when file_length > 0 */
    uint64_t file_offset;
    uint64_t file_length;
    const uint8_t *mapped; /* the same bytes in memory, when they are better sent from there */
    int unsure;            /* nobody has just seen all of them in the page cache */
    int count; /* FV_COUNT_..., which response this is */
    uint64_t append_ns; /* of an upload: how long the volume took */
} fv_reply;

#define FV_REPLY_DONE 0
#define FV_REPLY_NOT_MINE 1
#define FV_REPLY_COLD 2

/* Appends the head (and a small body) to `out`, which has room for FV_HEAD_MAX + copy_max bytes. */
int fv_reply_build(fv_server *server, const fv_request *request, const fv_warm *warm,
                   fv_output *out, fv_reply *reply, fv_cold *cold);
#endif
