/* The strict, small grammar of requests that the fast read takes.
 *
 * GET or HEAD of `/vid,fid[.ext]` or `/vid/fid`, HTTP/1.1, no query, and only headers known here to
 * be harmless.  Everything else is "not mine": the bytes go, untouched, to the complete parser. */
#ifndef FASTVOL_REQUEST_H
#define FASTVOL_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#define FV_REQUEST_OK 1
#define FV_REQUEST_INCOMPLETE 0
#define FV_REQUEST_NOT_MINE (-1)

/* Longest head looked at; longer ones are not mine. */
#define FV_REQUEST_HEAD_MAX 8192

typedef struct {
    int is_head;
    uint32_t volume_id;
    uint64_t needle_id;
    uint32_t cookie;
    size_t head_length; /* bytes of the request, its empty line included */
    int accepts_gzip;
    const char *if_none_match; /* NULL when absent */
    size_t if_none_match_length;
    int64_t if_modified_since; /* -1 when absent */
    int has_range;
    uint64_t range_first;
    uint64_t range_last; /* UINT64_MAX = to the end */
} fv_request;

int fv_request_parse(const char *bytes, size_t length, fv_request *out);

/* Writes `Tue, 24 Nov 2026 10:46:13 GMT` (29 bytes, no NUL); 0 when the year has not four digits. */
int fv_http_date(int64_t second, char *out);

#endif
