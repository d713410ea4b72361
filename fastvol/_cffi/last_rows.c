#include "last_rows.h"

#include "compact_map.h"
#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int note_row(const fv_entry *row, int include_deleted, fv_map *live, fv_map *dead)
{
    fv_entry old;
    int result;
    if (row->size > 0)
        result = fv_map_set(live, row->id, row->offset, row->size, &old);
    else if (include_deleted)
        result = fv_map_set(dead, row->id, row->offset, -1, &old);
    else
        result = fv_map_remove(live, row->id);
    return result < 0 ? result : 0;
}

/* Which record of every needle is its last, and which tombstone. */
static int note_last(int idx_fd, int offset_width, int include_deleted, fv_map *live, fv_map *dead)
{
    fv_row_reader reader;
    fv_entry row;
    int result = fv_row_reader_open(&reader, idx_fd, offset_width);
    while (result == 0 && (result = fv_row_reader_next(&reader, &row)) == 1)
        result = note_row(&row, include_deleted, live, dead);
    fv_row_reader_close(&reader);
    return result;
}

static int is_noted(const fv_entry *row, fv_map *live, fv_map *dead)
{
    fv_entry last;
    return fv_map_get(row->size > 0 ? live : dead, row->id, &last) == 1 &&
           last.offset == row->offset;
}

/* Rows only ever move towards the front, and behind what was read. */
static int keep_noted(fv_row_writer *writer, fv_map *live, fv_map *dead, uint64_t *rows)
{
    fv_row_reader reader;
    fv_entry row;
    int result = fv_row_reader_open(&reader, writer->fd, writer->offset_width);
    while (result == 0 && (result = fv_row_reader_next(&reader, &row)) == 1) {
        result = 0;
        if (!is_noted(&row, live, dead))
            continue;
        if (fv_rows_put(writer, row.id, row.offset * 8, row.size) != 0)
            result = -errno;
        ++*rows;
    }
    fv_row_reader_close(&reader);
    if (result == 0 && fv_rows_flush(writer) != 0)
        result = -errno;
    if (result == 0 && ftruncate(writer->fd, (off_t)writer->offset) != 0)
        result = -errno;
    return result;
}

int fv_index_keep_last(int idx_fd, int offset_width, int include_deleted, uint64_t *rows)
{
    *rows = 0;
    fv_map *live = fv_map_new();
    fv_map *dead = fv_map_new();
    fv_row_writer *writer = calloc(1, sizeof *writer);
    int result = live == NULL || dead == NULL || writer == NULL ? -ENOMEM : 0;
    if (result == 0) {
        writer->fd = idx_fd;
        writer->offset_width = offset_width;
        result = note_last(idx_fd, offset_width, include_deleted, live, dead);
    }
    if (result == 0)
        result = keep_noted(writer, live, dead, rows);
    free(writer);
    if (live != NULL)
        fv_map_free(live);
    if (dead != NULL)
        fv_map_free(dead);
    return result;
}
