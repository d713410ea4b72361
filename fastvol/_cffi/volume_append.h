/* The steps of every append, for volume_write.c and volume_delete.c.  All but the first are called with
 * the write lock held. */
#ifndef FASTVOL_VOLUME_APPEND_H
#define FASTVOL_VOLUME_APPEND_H

#include "volume_state.h"

#include <sys/uio.h>

/* Takes the write lock once writers are not paused; FV_BUSY only with nowait. */
int fv_append_begin(fv_volume *volume, int nowait);
/* 0, or why this volume takes no append of the kind that `forbidding` forbids. */
int fv_append_check(const fv_volume *volume, unsigned forbidding, fv_write_result *out);
/* For the next record: strictly increasing, whatever the clock does. */
uint64_t fv_append_time(const fv_volume *volume);
/* FV_OVERFLOW when the data file cannot grow by so many bytes. */
int fv_append_room(const fv_volume *volume, uint64_t length, fv_write_result *out);
/* Records, then their rows; FV_OK means that all are with the kernel, anything else that nothing is. */
int fv_append_bytes(fv_volume *volume, struct iovec *parts, int count, const uint8_t *rows,
                    size_t rows_length, uint64_t append_at_ns, fv_write_result *out);
/* The same for one record and the row that leads to it. */
int fv_append_parts(fv_volume *volume, uint64_t id, int32_t row_size, uint64_t append_at_ns,
                    struct iovec *parts, int count, fv_write_result *out);
int fv_append_needle(fv_volume *volume, fv_needle *needle, int32_t row_size, fv_write_result *out);
/* What a map's negative errno means for the caller. */
int fv_append_map_failed(int error, fv_write_result *out);
/* A deletion's row alone: there is no data file that could take its record. */
int fv_append_row(fv_volume *volume, uint64_t id, int32_t row_size, fv_write_result *out);
/* The map did not take what has been appended behind these sizes: takes it back again. */
int fv_append_undo_unmapped(fv_volume *volume, int error, uint64_t dat_size, uint64_t idx_size,
                            fv_write_result *out);

#endif
