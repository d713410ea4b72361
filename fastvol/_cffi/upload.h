/* The strict, small grammar of uploads that the fast write takes.
 *
 * POST of `/vid,fid[.ext]` with a multipart body of exactly one named part, in the shape that
 * SeaweedFS's own clients send, wholly received, and nothing in it that asks for more than storing
 * bytes (no gzip, MD5, pairs, TTL, fsync, manifest).  Everything else is "not mine". */
#ifndef FASTVOL_UPLOAD_H
#define FASTVOL_UPLOAD_H

#include "http_text.h"

#define FV_UPLOAD_OK 1
#define FV_UPLOAD_INCOMPLETE 0
#define FV_UPLOAD_NOT_MINE (-1)

typedef struct {
    uint32_t volume_id;
    uint64_t needle_id;
    uint32_t cookie;
    uint64_t modified_second; /* 0: now */
    int is_replicate;
    fv_span filename;     /* not empty */
    fv_span content_type; /* of the part; may be empty */
    const uint8_t *data;
    size_t data_length;
    size_t total_length; /* bytes of the whole request */
} fv_upload;

/* `length_max`: what the connection can hold; a longer request is not mine. */
int fv_upload_parse(const char *bytes, size_t length, size_t length_max, fv_upload *out);

/* Whether upstream would try to compress such a payload
 * (weed/util/compression.go: IsCompressableFileType as the upload path calls it). */
int fv_upload_is_compressible(fv_span mime);

#endif
