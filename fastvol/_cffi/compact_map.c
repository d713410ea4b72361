/* The compact map: the sorted tree behind one rwlock, its loader and the counters; and the way to the
 * methods of the other kinds.
 *
 * The lock covers memory work only: the loader fills a private tree and swaps it in. */
#include "compact_map.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compact_tree.h"
#include "file_bytes.h"
#include "map_methods.h"
#include "needle.h"

struct fv_map {
    pthread_rwlock_t lock;
    fv_tree tree;
    const fv_map_methods *methods; /* NULL: the tree is it */
    void *self;
};

static inline int is_compact(const fv_map *map)
{
    return __builtin_expect(map->methods == NULL, 1);
}

/* ---- the locked face --------------------------------------------------------------------------- */

static void lock_shared(fv_map *map)
{
    int error = pthread_rwlock_rdlock(&map->lock);
    assert(error == 0);
    (void)error;
}

static void lock_exclusive(fv_map *map)
{
    int error = pthread_rwlock_wrlock(&map->lock);
    assert(error == 0);
    (void)error;
}

static void unlock(fv_map *map)
{
    int error = pthread_rwlock_unlock(&map->lock);
    assert(error == 0);
    (void)error;
}

fv_map *fv_map_new(void)
{
    fv_map *map = malloc(sizeof *map);
    if (map == NULL)
        return NULL;
    map->tree = (fv_tree){0};
    map->methods = NULL;
    map->self = NULL;
    pthread_rwlockattr_t attributes;
    int error = pthread_rwlockattr_init(&attributes);
    assert(error == 0);
#ifdef __GLIBC__
    /* Otherwise a steady stream of readers keeps the writer out for ever. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    error = pthread_rwlock_init(&map->lock, &attributes);
    assert(error == 0);
    pthread_rwlockattr_destroy(&attributes);
    return map;
}

fv_map *fv_map_new_with(const fv_map_methods *methods, void *self)
{
    fv_map *map = fv_map_new();
    if (map == NULL) {
        methods->free(self);
        return NULL;
    }
    map->methods = methods;
    map->self = self;
    return map;
}

void fv_map_free(fv_map *map)
{
    if (map == NULL)
        return;
    if (!is_compact(map))
        map->methods->free(map->self);
    fv_tree_free(&map->tree);
    int error = pthread_rwlock_destroy(&map->lock);
    assert(error == 0); /* EBUSY: somebody is still inside */
    (void)error;
    free(map);
}

int fv_map_find(fv_map *map, uint64_t id, int nowait, fv_entry *out)
{
    if (!is_compact(map))
        return map->methods->find(map->self, id, nowait, out);
    lock_shared(map);
    int found = fv_tree_get(&map->tree, id, out);
    unlock(map);
    assert(!found || out->id == id);
    return found;
}

int fv_map_get(fv_map *map, uint64_t id, fv_entry *out)
{
    return fv_map_find(map, id, 0, out);
}

static int set_elsewhere(fv_map *map, uint64_t id, uint64_t offset, int32_t size, fv_entry *old)
{
    if (map->methods->set == NULL)
        return -EROFS;
    int found = old == NULL ? 0 : map->methods->find(map->self, id, 0, old);
    if (found < 0)
        return found;
    int error = map->methods->set(map->self, id, offset, size);
    return error < 0 ? error : found;
}

int fv_map_set(fv_map *map, uint64_t id, uint64_t offset, int32_t size, fv_entry *old)
{
    if (!is_compact(map))
        return set_elsewhere(map, id, offset, size, old);
    lock_exclusive(map);
    int result = fv_tree_set(&map->tree, id, offset, size, old);
    unlock(map);
    assert(result >= -1 && result <= 1);
    return result < 0 ? -ENOMEM : result;
}

int fv_map_delete(fv_map *map, uint64_t id, fv_entry *old)
{
    if (!is_compact(map))
        return map->methods->delete(map->self, id, old);
    lock_exclusive(map);
    int result = fv_tree_delete(&map->tree, id, old);
    unlock(map);
    assert(result == 0 || result == 1);
    return result;
}

int fv_map_remove(fv_map *map, uint64_t id)
{
    if (!is_compact(map))
        return map->methods->remove == NULL ? -EROFS : map->methods->remove(map->self, id);
    lock_exclusive(map);
    int result = fv_tree_remove(&map->tree, id);
    unlock(map);
    assert(result == 0 || result == 1);
    return result;
}

int64_t fv_map_scan(fv_map *map, uint64_t first, fv_entry *out, size_t capacity)
{
    if (!is_compact(map))
        return map->methods->scan(map->self, first, out, capacity);
    lock_shared(map);
    size_t copied = fv_tree_scan(&map->tree, first, out, capacity);
    unlock(map);
    assert(copied <= capacity);
    return (int64_t)copied;
}

int fv_map_sync(fv_map *map)
{
    return is_compact(map) || map->methods->sync == NULL ? 0 : map->methods->sync(map->self);
}

uint64_t fv_map_count(fv_map *map)
{
    if (!is_compact(map))
        return map->methods->count(map->self);
    lock_shared(map);
    uint64_t count = map->tree.count;
    assert(count >= map->tree.slot_count);
    unlock(map);
    return count;
}

uint64_t fv_map_memory(fv_map *map)
{
    if (!is_compact(map))
        return sizeof *map + map->methods->memory(map->self);
    lock_shared(map);
    uint64_t bytes = sizeof *map + fv_tree_memory(&map->tree);
    unlock(map);
    assert(bytes >= sizeof *map);
    return bytes;
}

int64_t fv_map_live(fv_map *map, int version, uint64_t *bytes)
{
    fv_entry batch[256];
    const int64_t room = sizeof batch / sizeof batch[0];
    int64_t live = 0, count = room;
    uint64_t first = 0;
    *bytes = 0;
    while (count == room) {
        count = fv_map_scan(map, first, batch, (size_t)room);
        for (int64_t i = 0; i < count; i++) {
            live += batch[i].size >= 0;
            *bytes += batch[i].size >= 0 ? fv_needle_actual_size(batch[i].size, version) : 0;
        }
        if (count > 0 && batch[count - 1].id == UINT64_MAX)
            break;
        first = count > 0 ? batch[count - 1].id + 1 : 0;
    }
    return count < 0 ? count : live;
}

/* ---- counters and the loader ------------------------------------------------------------------- */

void fv_counters_put(fv_counters *counters, uint64_t id, int32_t old_size, int32_t new_size)
{
    assert(new_size >= 0);
    if (id > counters->max_key)
        counters->max_key = id;
    counters->file_count++;
    counters->file_bytes += (uint64_t)new_size;
    fv_counters_delete(counters, old_size);
    assert(counters->file_bytes >= (uint64_t)new_size);
}

void fv_counters_delete(fv_counters *counters, int32_t old_size)
{
    assert(counters != NULL);
    if (old_size <= 0)
        return;
    counters->deletion_count++;
    counters->deletion_bytes += (uint64_t)old_size;
    assert(counters->deletion_count > 0);
}

typedef struct {
    fv_tree tree;
    int version;
    uint64_t rows_left; /* as many as the file had when it was opened, without those replayed */
    fv_counters *counters;
    fv_tail_search tail;
} replay;

static uint64_t end_of(const fv_entry *row, int version)
{
    return row->offset * 8 + fv_needle_actual_size(row->size, version);
}

static void note_end(fv_counters *counters, uint64_t end)
{
    if (end > counters->max_end)
        counters->max_end = end;
}

/* One row of the log.  Unlike at run time, overwritten empty files and deletions of nothing count. */
static int replay_row(replay *r, const fv_entry *row)
{
    fv_counters *counters = r->counters;
    fv_entry old;
    counters->rows++;
    fv_tail_consider(&r->tail, row);
    if (row->id > counters->max_key)
        counters->max_key = row->id;
    if (fv_entry_is_live(row)) {
        if (row->size > 0)
            note_end(counters, end_of(row, r->version));
        counters->file_count++;
        counters->file_bytes += (uint64_t)row->size;
        int result = fv_tree_set(&r->tree, row->id, row->offset, row->size, &old);
        if (result == 1 && fv_entry_is_live(&old)) {
            counters->deletion_count++;
            counters->deletion_bytes += (uint64_t)old.size;
        }
        return result < 0 ? -ENOMEM : 0;
    }
    counters->deletion_count++;
    if (fv_tree_delete(&r->tree, row->id, &old)) {
        assert(old.size >= 0);
        counters->deletion_bytes += (uint64_t)old.size;
    }
    return 0;
}

typedef struct {
    size_t count;
    uint64_t bytes;           /* of the bodies */
    const fv_entry *farthest; /* the one whose record ends last */
} ascending_run;

/* The rows up to the first that is unlike nearly all rows of nearly all indexes: those are of a new
 * id, above all ids so far, and of a record with a body, behind all records so far. */
static ascending_run find_run(const replay *r, const fv_entry *rows, size_t count)
{
    uint64_t id = r->counters->max_key, offset = r->tail.out->last_offset / 8, farthest = 0;
    ascending_run run = {0, 0, rows};
    for (; run.count < count; run.count++) {
        const fv_entry *row = &rows[run.count];
        if (row->id <= id || row->offset <= offset || row->size <= 0)
            break;
        id = row->id;
        offset = row->offset;
        run.bytes += (uint64_t)row->size;
        /* Padding to whole units keeps this order. */
        uint64_t body_end = offset * 8 + (uint64_t)row->size;
        run.farthest = body_end > farthest ? row : run.farthest;
        farthest = body_end > farthest ? body_end : farthest;
    }
    return run;
}

/* What replay_row does with each of them. */
static int replay_run(replay *r, const fv_entry *rows, const ascending_run *run)
{
    fv_counters *counters = r->counters;
    uint64_t end = end_of(run->farthest, r->version);
    /* While all of them lie within the data file, only the last two can matter to its end. */
    size_t first = end <= r->tail.dat_size && run->count > 2 ? run->count - 2 : 0;
    r->tail.out->rows += first;
    for (size_t i = first; i < run->count; i++)
        fv_tail_consider(&r->tail, &rows[i]);
    note_end(counters, end);
    counters->rows += run->count;
    counters->max_key = rows[run->count - 1].id;
    counters->file_count += run->count;
    counters->file_bytes += run->bytes;
    return fv_tree_append_run(&r->tree, rows, run->count, r->rows_left) < 0 ? -ENOMEM : 0;
}

static int replay_rows(replay *r, const fv_entry *rows, size_t count)
{
    size_t done = 0;
    int error = 0;
    while (done < count && error == 0) {
        ascending_run run = find_run(r, rows + done, count - done);
        error = run.count > 0 ? replay_run(r, rows + done, &run) : replay_row(r, &rows[done]);
        size_t taken = run.count > 0 ? run.count : 1;
        done += taken;
        r->rows_left -= r->rows_left < taken ? r->rows_left : taken;
    }
    return error;
}

static int replay_log(replay *r, int fd, int offset_width)
{
    enum { BATCH = 256 }; /* with the leaf that they go to, they fit the nearest cache */
    fv_row_reader reader;
    fv_entry rows[BATCH];
    struct stat status;
    if (fstat(fd, &status) == 0)
        r->rows_left = (uint64_t)status.st_size / fv_row_bytes(offset_width);
    int result = fv_row_reader_open(&reader, fd, offset_width), count;
    while (result == 0 && (result = count = fv_row_reader_batch(&reader, rows, BATCH)) > 0)
        result = replay_rows(r, rows, (size_t)count);
    fv_row_reader_close(&reader);
    assert(result <= 0);
    return result;
}

int fv_map_load_with_tail(fv_map *map, int fd, int offset_width, int version, uint64_t dat_size,
                          fv_counters *counters, fv_index_tail *tail)
{
    assert(counters != NULL && tail != NULL);
    replay r = {.version = version, .counters = counters};
    memset(counters, 0, sizeof *counters);
    fv_tail_begin(&r.tail, version, dat_size, tail);
    if ((offset_width != 4 && offset_width != 5) || version < 1 || version > 3 || !is_compact(map))
        return -EINVAL;
    int error = replay_log(&r, fd, offset_width);
    fv_tail_finish(&r.tail);
    assert(error != 0 || tail->rows == counters->rows);
    lock_exclusive(map);
    if (error == 0 && map->tree.count != 0)
        error = -EINVAL;
    if (error == 0) {
        fv_tree_free(&map->tree);
        map->tree = r.tree;
        r.tree = (fv_tree){0};
    }
    unlock(map);
    fv_tree_free(&r.tree);
    return error;
}

int fv_map_load(fv_map *map, int fd, int offset_width, int version, fv_counters *counters)
{
    fv_index_tail ignored;
    return fv_map_load_with_tail(map, fd, offset_width, version, UINT64_MAX, counters, &ignored);
}
