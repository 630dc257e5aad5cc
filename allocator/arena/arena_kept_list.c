/* The array of the remainders that `kiln` keeps: where one is put in and taken out.
 *
 * The loops run over the whole array, whatever its count: with indices that are constants the
 * proofs of tests/proof see every case at once, and a block is asked for rarely. */
#include "allocator/arena/arena_internal.h"

unsigned kiln_arena_kept_place(const kiln_arena_t *arena, kiln_addr_t start)
{
    unsigned idx = 0;

    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++)
        if (i < arena->kept_count && arena->kept[i].start < start) idx = i + 1;
    return idx;
}

void kiln_arena_kept_insert(kiln_arena_t *arena, unsigned idx, kiln_arena_region_t region)
{
    arena->kept_count++;
    for (unsigned i = KILN_ARENA_KEPT_MAX; i-- > 0;) {
        if (i > idx) arena->kept[i] = arena->kept[i - 1];
        if (i == idx) arena->kept[i] = region;
    }
}

void kiln_arena_kept_remove(kiln_arena_t *arena, const kiln_arena_region_t *region)
{
    unsigned idx = (unsigned)(region - arena->kept);

    arena->kept_count--;
    for (unsigned i = 0; i + 1 < KILN_ARENA_KEPT_MAX; i++)
        if (i >= idx) arena->kept[i] = arena->kept[i + 1];
}

kiln_arena_region_t *kiln_arena_kept_smallest(kiln_arena_t *arena)
{
    unsigned smallest = 0;
    uint64_t smallest_bytes = kiln_arena_region_bytes(&arena->kept[0]);

    for (unsigned i = 1; i < KILN_ARENA_KEPT_MAX; i++) {
        uint64_t bytes = kiln_arena_region_bytes(&arena->kept[i]);
        if (bytes >= smallest_bytes) continue;
        smallest = i;
        smallest_bytes = bytes;
    }
    return &arena->kept[smallest];
}
