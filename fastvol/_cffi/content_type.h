/* What a response says about its payload: sniffed type, type by file extension, disposition. */
#ifndef FASTVOL_CONTENT_TYPE_H
#define FASTVOL_CONTENT_TYPE_H

#include <stddef.h>
#include <stdint.h>

/* cffi:begin */
/* Go's net/http.DetectContentType over the first 512 bytes; a static string. */
const char *fv_sniff_content_type(const uint8_t *data, size_t length);
/* `inline; filename=...` as Go's mime.FormatMediaType writes it; returns its length, 0 when the name
 * needs the extended (percent-encoded) form or does not fit. */
size_t fv_format_disposition(const uint8_t *name, size_t length, char *out, size_t capacity);
/* cffi:end */

/* File extension (with its dot) -> type; exact spelling first, then lower case. */
typedef struct fv_mime_table fv_mime_table;
fv_mime_table *fv_mime_table_new(void);
void fv_mime_table_free(fv_mime_table *table);
/* `lower` says which of the two tables; returns 0 or -1 out of memory. */
int fv_mime_table_add(fv_mime_table *table, int lower, const char *extension, const char *type);
const char *fv_mime_table_find(const fv_mime_table *table, const uint8_t *extension, size_t length);

#endif
