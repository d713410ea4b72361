#include "foreign_map.h"

#include "map_methods.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

typedef struct {
    fv_foreign_calls calls;
    void *owner;
    uint64_t count;
    uint64_t memory;
} foreign;

static int find(void *self, uint64_t id, int nowait, fv_entry *out)
{
    foreign *f = self;
    if (nowait)
        return -EAGAIN;
    int found = f->calls.find(f->owner, id, out);
    assert(found <= 1 && (found != 1 || out->id == id));
    return found;
}

static int set(void *self, uint64_t id, uint64_t offset, int32_t size)
{
    foreign *f = self;
    return f->calls.set(f->owner, id, offset, size);
}

static int delete(void *self, uint64_t id, fv_entry *old)
{
    fv_entry entry;
    int found = find(self, id, 0, &entry);
    if (found != 1 || entry.size < 0)
        return found < 0 ? found : 0;
    int error = set(self, id, entry.offset, fv_deleted_size(entry.size));
    if (error < 0)
        return error;
    if (old != NULL)
        *old = entry;
    return 1;
}

static int remove_key(void *self, uint64_t id)
{
    foreign *f = self;
    return f->calls.remove(f->owner, id);
}

static int64_t scan(void *self, uint64_t first, fv_entry *out, size_t capacity)
{
    foreign *f = self;
    int64_t copied = f->calls.scan(f->owner, first, out, capacity);
    assert(copied <= (int64_t)capacity);
    return copied;
}

static uint64_t count(void *self)
{
    return ((foreign *)self)->count;
}

static uint64_t memory(void *self)
{
    return ((foreign *)self)->memory;
}

static void free_foreign(void *self)
{
    foreign *f = self;
    f->calls.free(f->owner);
    free(f);
}

static const fv_map_methods methods = {
    .find = find,
    .set = set,
    .delete = delete,
    .remove = remove_key,
    .scan = scan,
    .sync = NULL, /* the index speaks for it */
    .count = count,
    .memory = memory,
    .free = free_foreign,
};

fv_map *fv_map_new_foreign(const fv_foreign_calls *calls, void *self, uint64_t count,
                           uint64_t memory)
{
    foreign *f = malloc(sizeof *f);
    if (f == NULL) {
        calls->free(self);
        return NULL;
    }
    *f = (foreign){.calls = *calls, .owner = self, .count = count, .memory = memory};
    return fv_map_new_with(&methods, f);
}
