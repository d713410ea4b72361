#include "compact_tree.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define LEAF_ENTRIES_MAX 1024
/* A leaf smaller than this is widened rather than followed by a narrow one. */
#define LEAF_ENTRIES_WORTH_KEEPING 256
#define LEAF_ENTRIES_FIRST 8
#define LEAF_ENTRIES_APPENDED 128
/* Room that an insert in the middle adds: a 32nd of a full leaf bounds the slack to 3 %. */
#define LEAF_ENTRIES_STEP 32
#define SLOTS_FIRST 8
/* What the allocator keeps in front of a block. */
#define MALLOC_HEADER_BYTES sizeof(size_t)

typedef struct fv_leaf {
    uint16_t count;
    uint16_t capacity;
    uint8_t key_width; /* 2, 4 or 8 */
    uint8_t has_high;  /* the fifth offset byte is stored */
    uint8_t unused[2];
    uint8_t arrays[];
} leaf;

typedef fv_slot slot;

/* ---- one leaf ---------------------------------------------------------------------------------- */

static uint32_t *leaf_offsets(const leaf *l) { return (uint32_t *)l->arrays; }

static int32_t *leaf_sizes(const leaf *l) { return (int32_t *)(l->arrays + 4 * (size_t)l->capacity); }

static void *leaf_keys(const leaf *l) { return (void *)(l->arrays + 8 * (size_t)l->capacity); }

static uint8_t *leaf_high(const leaf *l)
{
    return (uint8_t *)l->arrays + (8 + (size_t)l->key_width) * l->capacity;
}

static int width_of(uint64_t delta)
{
    return delta <= UINT16_MAX ? 2 : delta <= UINT32_MAX ? 4 : 8;
}

static uint64_t key_at(const leaf *l, size_t i)
{
    assert(i < l->count);
    switch (l->key_width) {
    case 2:
        return ((const uint16_t *)leaf_keys(l))[i];
    case 4:
        return ((const uint32_t *)leaf_keys(l))[i];
    default:
        return ((const uint64_t *)leaf_keys(l))[i];
    }
}

static void put_key(leaf *l, size_t i, uint64_t delta)
{
    assert(i < l->capacity);
    assert(width_of(delta) <= l->key_width);
    switch (l->key_width) {
    case 2:
        ((uint16_t *)leaf_keys(l))[i] = (uint16_t)delta;
        break;
    case 4:
        ((uint32_t *)leaf_keys(l))[i] = (uint32_t)delta;
        break;
    default:
        ((uint64_t *)leaf_keys(l))[i] = delta;
        break;
    }
}

static uint64_t offset_at(const leaf *l, size_t i)
{
    assert(i < l->count);
    uint64_t low = leaf_offsets(l)[i];
    return l->has_high ? low | (uint64_t)leaf_high(l)[i] << 32 : low;
}

static void put_value(leaf *l, size_t i, uint64_t offset, int32_t size)
{
    assert(i < l->capacity);
    assert(l->has_high || offset <= UINT32_MAX);
    leaf_offsets(l)[i] = (uint32_t)offset;
    leaf_sizes(l)[i] = size;
    if (l->has_high)
        leaf_high(l)[i] = (uint8_t)(offset >> 32);
}

static void read_entry(const slot *s, size_t i, fv_entry *out)
{
    assert(i < s->leaf->count);
    out->id = s->base + key_at(s->leaf, i);
    out->offset = offset_at(s->leaf, i);
    out->size = leaf_sizes(s->leaf)[i];
}

#define DEFINE_LOWER_BOUND(type)                                                                   \
    static size_t lower_bound_##type(const type *keys, size_t count, uint64_t delta)               \
    {                                                                                              \
        size_t from = 0;                                                                           \
        while (count > 1) {                                                                        \
            size_t half = count / 2;                                                               \
            from = keys[from + half - 1] < delta ? from + half : from;                             \
            count -= half;                                                                         \
        }                                                                                          \
        return count == 1 && keys[from] < delta ? from + 1 : from;                                 \
    }
DEFINE_LOWER_BOUND(uint16_t)
DEFINE_LOWER_BOUND(uint32_t)
DEFINE_LOWER_BOUND(uint64_t)

/* Index of the first entry whose delta is not below the given one. */
static size_t leaf_find(const leaf *l, uint64_t delta)
{
    assert(l->count > 0);
    /* Without gaps the delta is the index. */
    if (delta < l->count && key_at(l, (size_t)delta) == delta)
        return (size_t)delta;
    switch (l->key_width) {
    case 2:
        return lower_bound_uint16_t(leaf_keys(l), l->count, delta);
    case 4:
        return lower_bound_uint32_t(leaf_keys(l), l->count, delta);
    default:
        return lower_bound_uint64_t(leaf_keys(l), l->count, delta);
    }
}

typedef struct {
    size_t capacity;
    int key_width;
    int has_high;
} layout;

static leaf *leaf_new(layout want)
{
    assert(want.capacity > 0 && want.capacity <= LEAF_ENTRIES_MAX);
    assert(want.key_width == 2 || want.key_width == 4 || want.key_width == 8);
    size_t entry_bytes = 8 + (size_t)want.key_width + (want.has_high ? 1 : 0);
    leaf *l = malloc(sizeof(leaf) + want.capacity * entry_bytes);
    if (l == NULL)
        return NULL;
    *l = (leaf){.capacity = (uint16_t)want.capacity,
                .key_width = (uint8_t)want.key_width,
                .has_high = want.has_high != 0};
    return l;
}

/* A new leaf with `count` entries of `from` on, their deltas moved by `shift` (modulo 2^64). */
static leaf *leaf_copy(const leaf *from, size_t first, size_t count, uint64_t shift, layout want)
{
    assert(first + count <= from->count);
    assert(count <= want.capacity);
    leaf *to = leaf_new(want);
    if (to == NULL)
        return NULL;
    memcpy(leaf_offsets(to), leaf_offsets(from) + first, count * sizeof(uint32_t));
    memcpy(leaf_sizes(to), leaf_sizes(from) + first, count * sizeof(int32_t));
    if (shift == 0 && to->key_width == from->key_width)
        memcpy(leaf_keys(to), (uint8_t *)leaf_keys(from) + first * from->key_width,
               count * from->key_width);
    else
        for (size_t i = 0; i < count; i++)
            put_key(to, i, key_at(from, first + i) + shift);
    if (to->has_high && from->has_high)
        memcpy(leaf_high(to), leaf_high(from) + first, count);
    else if (to->has_high)
        memset(leaf_high(to), 0, count);
    to->count = (uint16_t)count;
    return to;
}

static void open_gap(leaf *l, size_t at)
{
    size_t moved = l->count - at;
    assert(at <= l->count && l->count < l->capacity);
    uint8_t *keys = leaf_keys(l);
    memmove(leaf_offsets(l) + at + 1, leaf_offsets(l) + at, moved * sizeof(uint32_t));
    memmove(leaf_sizes(l) + at + 1, leaf_sizes(l) + at, moved * sizeof(int32_t));
    memmove(keys + (at + 1) * l->key_width, keys + at * l->key_width, moved * l->key_width);
    if (l->has_high)
        memmove(leaf_high(l) + at + 1, leaf_high(l) + at, moved);
    l->count++;
}

static void close_gap(leaf *l, size_t at)
{
    assert(at < l->count);
    size_t moved = l->count - at - 1u;
    uint8_t *keys = leaf_keys(l);
    memmove(leaf_offsets(l) + at, leaf_offsets(l) + at + 1, moved * sizeof(uint32_t));
    memmove(leaf_sizes(l) + at, leaf_sizes(l) + at + 1, moved * sizeof(int32_t));
    memmove(keys + at * l->key_width, keys + (at + 1) * l->key_width, moved * l->key_width);
    if (l->has_high)
        memmove(leaf_high(l) + at, leaf_high(l) + at + 1, moved);
    l->count--;
}

/* ---- the directory ----------------------------------------------------------------------------- */

static uint64_t leaf_cost(leaf *l) { return malloc_usable_size(l) + MALLOC_HEADER_BYTES; }

static void replace_leaf(fv_tree *t, size_t at, leaf *with)
{
    assert(at < t->slot_count);
    assert(with->count > 0);
    t->leaf_bytes += leaf_cost(with);
    t->leaf_bytes -= leaf_cost(t->slots[at].leaf);
    free(t->slots[at].leaf);
    t->slots[at].leaf = with;
}

static int reserve_slot(fv_tree *t)
{
    assert(t->slot_count <= t->slot_capacity);
    if (t->slot_count < t->slot_capacity)
        return 0;
    size_t capacity = t->slot_capacity == 0 ? SLOTS_FIRST : t->slot_capacity + t->slot_capacity / 2;
    slot *slots = realloc(t->slots, capacity * sizeof(slot));
    if (slots == NULL)
        return -1;
    t->slots = slots;
    t->slot_capacity = capacity;
    return 0;
}

/* The caller has reserved the slot. */
static void insert_slot(fv_tree *t, size_t at, uint64_t base, leaf *l)
{
    assert(t->slot_count < t->slot_capacity);
    assert(at <= t->slot_count);
    memmove(t->slots + at + 1, t->slots + at, (t->slot_count - at) * sizeof(slot));
    t->slots[at] = (slot){.base = base, .leaf = l};
    t->slot_count++;
    t->leaf_bytes += leaf_cost(l);
}

static void remove_slot(fv_tree *t, size_t at)
{
    assert(at < t->slot_count);
    assert(t->slots[at].leaf->count == 0);
    t->leaf_bytes -= leaf_cost(t->slots[at].leaf);
    free(t->slots[at].leaf);
    memmove(t->slots + at, t->slots + at + 1, (t->slot_count - at - 1) * sizeof(slot));
    t->slot_count--;
}

/* Index of the last slot whose base is not above the id; 0 when all are above. */
static size_t find_slot(const fv_tree *t, uint64_t id)
{
    assert(t->slot_count > 0);
    size_t from = 0, count = t->slot_count;
    while (count > 1) {
        size_t half = count / 2;
        from = t->slots[from + half].base <= id ? from + half : from;
        count -= half;
    }
    assert(from < t->slot_count);
    return from;
}

/* True, with the position, when the id has an entry; else with the position where it belongs. */
static int locate(const fv_tree *t, uint64_t id, size_t *slot_at, size_t *at)
{
    *slot_at = 0;
    *at = 0;
    if (t->slot_count == 0)
        return 0;
    *slot_at = find_slot(t, id);
    const slot *s = &t->slots[*slot_at];
    if (id < s->base)
        return 0;
    *at = leaf_find(s->leaf, id - s->base);
    return *at < s->leaf->count && key_at(s->leaf, *at) == id - s->base;
}

/* ---- inserting --------------------------------------------------------------------------------- */

static int add_leaf(fv_tree *t, size_t slot_at, size_t capacity, uint64_t id, uint64_t offset,
                    int32_t size)
{
    leaf *l = NULL;
    if (reserve_slot(t) == 0)
        l = leaf_new((layout){capacity, 2, offset > UINT32_MAX});
    if (l == NULL)
        return -1;
    l->count = 1;
    put_key(l, 0, 0);
    put_value(l, 0, offset, size);
    insert_slot(t, slot_at, id, l);
    t->count++;
    return 0;
}

/* The narrowest layout for a run of a leaf's entries whose base rises by `rise`. */
static layout layout_of_run(const leaf *l, size_t first, size_t count, uint64_t rise)
{
    assert(count > 0 && first + count <= l->count);
    assert(rise <= key_at(l, first));
    layout tight = {count, width_of(key_at(l, first + count - 1) - rise), 0};
    if (l->has_high)
        for (size_t i = 0; i < count; i++)
            tight.has_high |= leaf_high(l)[first + i] != 0;
    return tight;
}

static int split_leaf(fv_tree *t, size_t slot_at)
{
    slot s = t->slots[slot_at];
    size_t left_count = s.leaf->count / 2, right_count = s.leaf->count - left_count;
    assert(left_count > 0 && right_count > 0);
    if (reserve_slot(t) != 0)
        return -1;
    uint64_t rise = key_at(s.leaf, left_count);
    leaf *left = leaf_copy(s.leaf, 0, left_count, 0, layout_of_run(s.leaf, 0, left_count, 0));
    leaf *right = leaf_copy(s.leaf, left_count, right_count, -rise,
                            layout_of_run(s.leaf, left_count, right_count, rise));
    if (left == NULL || right == NULL) {
        free(left);
        free(right);
        return -1;
    }
    replace_leaf(t, slot_at, left);
    insert_slot(t, slot_at + 1, s.base + rise, right);
    return 0;
}

static size_t grown_capacity(const leaf *l, int appending)
{
    size_t capacity = l->capacity;
    if (l->count < capacity)
        return capacity;
    assert(capacity < LEAF_ENTRIES_MAX);
    capacity += appending || capacity < LEAF_ENTRIES_STEP ? capacity : LEAF_ENTRIES_STEP;
    return capacity < LEAF_ENTRIES_MAX ? capacity : LEAF_ENTRIES_MAX;
}

/* Makes the leaf able to take one more entry: room, width of deltas, fifth offset byte, and for an
 * id below it a lower base. */
static int fit_leaf(fv_tree *t, size_t slot_at, uint64_t id, uint64_t offset, int appending)
{
    slot *s = &t->slots[slot_at];
    uint64_t shift = id < s->base ? s->base - id : 0;
    uint64_t last = key_at(s->leaf, s->leaf->count - 1u) + shift;
    uint64_t delta = shift > 0 ? 0 : id - s->base;
    int width = width_of(last > delta ? last : delta);
    layout want = {grown_capacity(s->leaf, appending),
                   width > s->leaf->key_width ? width : s->leaf->key_width,
                   s->leaf->has_high || offset > UINT32_MAX};
    if (want.capacity != s->leaf->capacity || want.key_width != s->leaf->key_width ||
        want.has_high != s->leaf->has_high) {
        leaf *l = leaf_copy(s->leaf, 0, s->leaf->count, shift, want);
        if (l == NULL)
            return -1;
        replace_leaf(t, slot_at, l);
    } else if (shift > 0) {
        for (size_t i = 0; i < s->leaf->count; i++)
            put_key(s->leaf, i, key_at(s->leaf, i) + shift);
    }
    s->base -= shift;
    return 0;
}

/* A leaf that gets no more appends gives its spare room back; failing to is no error. */
static void trim_leaf(fv_tree *t, size_t slot_at)
{
    const leaf *l = t->slots[slot_at].leaf;
    assert(l->count > 0);
    if (l->count == l->capacity)
        return;
    leaf *tight = leaf_copy(l, 0, l->count, 0, (layout){l->count, l->key_width, l->has_high});
    if (tight != NULL)
        replace_leaf(t, slot_at, tight);
}

/* True when taking the id in would widen the deltas of a leaf that is better left as it is: ids
 * that jump get a leaf of their own. */
static int widens_much(const slot *s, uint64_t id)
{
    uint64_t last = s->base + key_at(s->leaf, s->leaf->count - 1u);
    uint64_t range = id < s->base ? last - id : id - s->base;
    return s->leaf->count >= LEAF_ENTRIES_WORTH_KEEPING && width_of(range) > s->leaf->key_width;
}

/* The layout takes one more entry as it is: nearly every row of an index that is loaded. */
static int has_room(const leaf *l, uint64_t delta, uint64_t offset)
{
    return l->count < l->capacity && width_of(delta) <= l->key_width &&
           (l->has_high || offset <= UINT32_MAX);
}

/* Room of a new last leaf: no less than usual, and enough for what is known to come. */
static size_t last_leaf_capacity(size_t usual, uint64_t expected)
{
    if (expected <= usual)
        return usual;
    return expected < LEAF_ENTRIES_MAX ? (size_t)expected : LEAF_ENTRIES_MAX;
}

/* `expected`: with this one, so many appends may follow; 0 when nothing is known. */
static int tree_append(fv_tree *t, uint64_t id, uint64_t offset, int32_t size, uint64_t expected)
{
    if (t->slot_count == 0)
        return add_leaf(t, 0, last_leaf_capacity(LEAF_ENTRIES_FIRST, expected), id, offset, size);
    size_t slot_at = t->slot_count - 1;
    slot *s = &t->slots[slot_at];
    assert(id > s->base + key_at(s->leaf, s->leaf->count - 1u));
    if (!has_room(s->leaf, id - s->base, offset)) {
        if (s->leaf->count == LEAF_ENTRIES_MAX || widens_much(s, id)) {
            trim_leaf(t, slot_at);
            return add_leaf(t, slot_at + 1, last_leaf_capacity(LEAF_ENTRIES_APPENDED, expected), id,
                            offset, size);
        }
        if (fit_leaf(t, slot_at, id, offset, 1) != 0)
            return -1;
    }
    leaf *l = s->leaf;
    l->count++;
    put_key(l, l->count - 1u, id - s->base);
    put_value(l, l->count - 1u, offset, size);
    t->count++;
    return 0;
}

/* True when an id behind the entries of a leaf is better put in front of those of the next one.
 * Without it, ids that descend towards a leaf would get a leaf each. */
static int begins_next(const fv_tree *t, size_t slot_at, uint64_t id)
{
    if (slot_at + 1 == t->slot_count)
        return 0;
    const slot *next = &t->slots[slot_at + 1];
    assert(id < next->base);
    return next->leaf->count < LEAF_ENTRIES_MAX && !widens_much(next, id);
}

static int tree_insert(fv_tree *t, size_t slot_at, size_t at, uint64_t id, uint64_t offset,
                       int32_t size)
{
    slot *s = &t->slots[slot_at];
    int in_front = id < s->base, is_full = s->leaf->count == LEAF_ENTRIES_MAX;
    if (in_front || at == s->leaf->count) {
        /* A full leaf with an id at its end stays full, and is not split. */
        if (is_full || widens_much(s, id)) {
            if (in_front || !begins_next(t, slot_at, id))
                return add_leaf(t, in_front ? slot_at : slot_at + 1, LEAF_ENTRIES_FIRST, id,
                                offset, size);
            s = &t->slots[++slot_at];
            at = 0;
        }
    } else if (is_full) {
        if (split_leaf(t, slot_at) != 0)
            return -1;
        int found = locate(t, id, &slot_at, &at);
        assert(!found);
        s = &t->slots[slot_at];
    }
    if (fit_leaf(t, slot_at, id, offset, 0) != 0)
        return -1;
    open_gap(s->leaf, at);
    put_key(s->leaf, at, id - s->base);
    put_value(s->leaf, at, offset, size);
    t->count++;
    return 0;
}

/* ---- the tree's operations --------------------------------------------------------------------- */

static int is_ascending(const fv_tree *t, uint64_t id)
{
    if (t->slot_count == 0)
        return 1;
    const slot *s = &t->slots[t->slot_count - 1];
    assert(s->leaf->count > 0);
    return id >= s->base && id - s->base > key_at(s->leaf, s->leaf->count - 1u);
}

int fv_tree_set(fv_tree *t, uint64_t id, uint64_t offset, int32_t size, fv_entry *old)
{
    size_t slot_at, at;
    assert(offset < FV_OFFSET_LIMIT);
    if (is_ascending(t, id))
        return tree_append(t, id, offset, size, 0);
    if (!locate(t, id, &slot_at, &at))
        return tree_insert(t, slot_at, at, id, offset, size);
    fv_entry previous;
    read_entry(&t->slots[slot_at], at, &previous);
    assert(previous.id == id);
    leaf *l = t->slots[slot_at].leaf;
    if (offset > UINT32_MAX && !l->has_high) {
        l = leaf_copy(l, 0, l->count, 0, (layout){l->capacity, l->key_width, 1});
        if (l == NULL)
            return -1;
        replace_leaf(t, slot_at, l);
    }
    put_value(l, at, offset, size);
    if (old != NULL)
        *old = previous;
    return 1;
}

/* How many entries of a run the last leaf takes as it is laid out. */
static size_t fitting(const slot *s, const fv_entry *run, size_t count)
{
    const leaf *l = s->leaf;
    size_t room = (size_t)l->capacity - l->count, fit = count < room ? count : room;
    /* Ascending: the last one is the widest. */
    while (fit > 0 && !(width_of(run[fit - 1].id - s->base) <= l->key_width &&
                        (l->has_high || run[fit - 1].offset <= UINT32_MAX)))
        fit--;
    return fit;
}

#define FILL_KEYS(type)                                                                            \
    for (size_t i = 0; i < count; i++)                                                             \
        ((type *)leaf_keys(l))[first + i] = (type)(run[i].id - s->base)

/* What put_key and put_value do, a column at a time. */
static void fill_leaf(const slot *s, const fv_entry *run, size_t count)
{
    leaf *l = s->leaf;
    const size_t first = l->count;
    assert(first + count <= l->capacity);
    for (size_t i = 0; i < count; i++)
        leaf_offsets(l)[first + i] = (uint32_t)run[i].offset;
    for (size_t i = 0; i < count; i++)
        leaf_sizes(l)[first + i] = run[i].size;
    if (l->key_width == 2)
        FILL_KEYS(uint16_t);
    else if (l->key_width == 4)
        FILL_KEYS(uint32_t);
    else
        FILL_KEYS(uint64_t);
    if (l->has_high)
        for (size_t i = 0; i < count; i++)
            leaf_high(l)[first + i] = (uint8_t)(run[i].offset >> 32);
    l->count = (uint16_t)(first + count);
}

int fv_tree_append_run(fv_tree *t, const fv_entry *run, size_t count, uint64_t expected)
{
    assert(count == 0 || (is_ascending(t, run[0].id) && run[count - 1].offset < FV_OFFSET_LIMIT));
    for (size_t done = 0, taken; done < count; done += taken) {
        const fv_entry *rest = run + done;
        taken = 0;
        if (t->slot_count > 0) {
            const slot *last = &t->slots[t->slot_count - 1];
            taken = fitting(last, rest, count - done);
            fill_leaf(last, rest, taken);
            t->count += taken;
        }
        if (taken == 0) {
            uint64_t following = expected > done ? expected - done : 0;
            if (tree_append(t, rest->id, rest->offset, rest->size, following) != 0)
                return -1;
            taken = 1;
        }
    }
    return 0;
}

int fv_tree_delete(fv_tree *t, uint64_t id, fv_entry *old)
{
    size_t slot_at, at;
    if (!locate(t, id, &slot_at, &at))
        return 0;
    fv_entry previous;
    read_entry(&t->slots[slot_at], at, &previous);
    assert(previous.id == id);
    if (previous.size < 0)
        return 0;
    leaf_sizes(t->slots[slot_at].leaf)[at] = fv_deleted_size(previous.size);
    if (old != NULL)
        *old = previous;
    return 1;
}

int fv_tree_get(const fv_tree *t, uint64_t id, fv_entry *out)
{
    size_t slot_at, at;
    assert(out != NULL);
    if (!locate(t, id, &slot_at, &at))
        return 0;
    read_entry(&t->slots[slot_at], at, out);
    assert(out->id == id);
    return 1;
}

int fv_tree_remove(fv_tree *t, uint64_t id)
{
    size_t slot_at, at;
    if (!locate(t, id, &slot_at, &at))
        return 0;
    assert(t->count > 0);
    leaf *l = t->slots[slot_at].leaf;
    close_gap(l, at);
    t->count--;
    if (l->count == 0)
        remove_slot(t, slot_at);
    assert(t->count >= t->slot_count);
    return 1;
}

size_t fv_tree_scan(const fv_tree *t, uint64_t first, fv_entry *out, size_t capacity)
{
    size_t slot_at, at, copied = 0;
    assert(out != NULL || capacity == 0);
    locate(t, first, &slot_at, &at);
    for (; slot_at < t->slot_count && copied < capacity; slot_at++, at = 0)
        for (; at < t->slots[slot_at].leaf->count && copied < capacity; at++)
            read_entry(&t->slots[slot_at], at, &out[copied++]);
    assert(copied == 0 || out[0].id >= first);
    return copied;
}

uint64_t fv_tree_memory(const fv_tree *t)
{
    assert(t->count >= t->slot_count);
    return t->leaf_bytes + t->slot_capacity * sizeof(slot);
}

void fv_tree_free(fv_tree *t)
{
    for (size_t i = 0; i < t->slot_count; i++) {
        assert(t->slots[i].leaf->count > 0);
        free(t->slots[i].leaf);
    }
    free(t->slots);
    *t = (fv_tree){0};
}
