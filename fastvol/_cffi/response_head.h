/* The header lines that every response has, and the texts in them. */
#ifndef FASTVOL_RESPONSE_HEAD_H
#define FASTVOL_RESPONSE_HEAD_H

#include "output.h"
#include "request.h"
#include "serve.h"

/* `Server` and a new `X-Amz-Request-Id`. */
void fv_put_server_and_id(fv_output *out, const fv_server *server);
void fv_put_date(fv_output *out);

#endif
