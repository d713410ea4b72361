/* The map under an allocator that fails: every failure is reported and leaves the map whole.
 *
 * The map's sources are compiled a second time, under other names and with an allocator that the
 * test controls. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#define fv_map_new lean_map_new
#define fv_map_new_with lean_map_new_with
#define fv_map_free lean_map_free
#define fv_map_find lean_map_find
#define fv_map_get lean_map_get
#define fv_map_set lean_map_set
#define fv_map_delete lean_map_delete
#define fv_map_remove lean_map_remove
#define fv_map_scan lean_map_scan
#define fv_map_live lean_map_live
#define fv_map_sync lean_map_sync
#define fv_map_count lean_map_count
#define fv_map_memory lean_map_memory
#define fv_map_load lean_map_load
#define fv_map_load_with_tail lean_map_load_with_tail
#define fv_counters_put lean_counters_put
#define fv_counters_delete lean_counters_delete
#define fv_row_encode lean_row_encode
#define fv_row_decode lean_row_decode
#define fv_row_reader_open lean_row_reader_open
#define fv_row_reader_close lean_row_reader_close
#define fv_row_reader_next lean_row_reader_next
#define fv_row_reader_batch lean_row_reader_batch
#define fv_tree_get lean_tree_get
#define fv_tree_set lean_tree_set
#define fv_tree_append_run lean_tree_append_run
#define fv_tree_delete lean_tree_delete
#define fv_tree_remove lean_tree_remove
#define fv_tree_scan lean_tree_scan
#define fv_tree_memory lean_tree_memory
#define fv_tree_free lean_tree_free

static int allocations_left = -1;

static int allocation_fails(void)
{
    if (allocations_left == 0)
        return 1;
    if (allocations_left > 0)
        allocations_left--;
    return 0;
}

static void *lean_malloc(size_t bytes) { return allocation_fails() ? NULL : malloc(bytes); }

static void *lean_realloc(void *block, size_t bytes)
{
    return allocation_fails() ? NULL : realloc(block, bytes);
}

#define malloc lean_malloc
#define realloc lean_realloc
#include "compact_map.c"
#include "compact_tree.c"
#include "index_rows.c"
#undef malloc
#undef realloc

void test_map_out_of_memory(void)
{
    enum { KEYS = 4000 };
    unsigned long long seed = 5;
    int failures = 0;
    fv_counters counters;
    fv_entry got;
    fv_map *map = fv_map_new();
    uint8_t *present = calloc(KEYS, 1);
    CHECK(map != NULL && present != NULL);
    for (int i = 0; i < 20000; i++) {
        uint64_t id = next_random(&seed) % KEYS;
        uint64_t key = id * id * id;
        allocations_left = (int)(next_random(&seed) % 3);
        int result = fv_map_set(map, key, id, 1, NULL);
        allocations_left = -1;
        CHECK(result == -ENOMEM || result == present[id]);
        failures += result == -ENOMEM;
        present[id] |= result == 0;
    }
    CHECK(failures > 0);
    uint64_t count = 0;
    for (uint64_t id = 0; id < KEYS; id++) {
        count += present[id];
        CHECK(fv_map_get(map, id * id * id, &got) == present[id]);
        CHECK(!present[id] || got.offset == id);
    }
    CHECK(fv_map_count(map) == count);
    fv_map_free(map);
    free(present);

    allocations_left = 0;
    CHECK(fv_map_new() == NULL);
    allocations_left = -1;
    map = fv_map_new();
    allocations_left = 0;
    CHECK(fv_map_load(map, STDIN_FILENO, 5, 3, &counters) == -ENOMEM);
    allocations_left = -1;
    fv_map_free(map);
}
