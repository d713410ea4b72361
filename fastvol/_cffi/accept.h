/* From a parsed upload to a stored needle and its response: the fast write. */
#ifndef FASTVOL_ACCEPT_H
#define FASTVOL_ACCEPT_H

#include "reply.h"
#include "upload.h"

/* Stores the upload and appends the response to `out`, which has room for FV_HEAD_MAX bytes.
 * FV_REPLY_DONE, or FV_REPLY_NOT_MINE with nothing stored. */
int fv_accept(fv_server *server, const fv_upload *upload, fv_output *out, fv_reply *reply);

#endif
