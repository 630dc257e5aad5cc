/* page_map.h - from an address to its span, through the arena's span table.
 *
 *   writer, holds the page heap's lock            reader, no lock: free, realloc, reports
 *   1 fill every field of *span
 *   2 store-release entry[page] = span    ----->  1 load-acquire entry[page]
 *                                                 2 NULL: never was a block's. Else the fields of
 *                                                   step 1 are visible.
 *
 * A span in use is in the entry of each of its pages. A free run is in the entries of its first and
 * last page; in between they are stale, and may lead to a record that now stands for other pages.
 * So a reader must compare the address with what it finds. Records are never unmapped.
 *
 * Threads  kiln_page_map_find: any; the rest holds the page heap's lock. */
#ifndef KILN_ALLOCATOR_HEAP_PAGE_MAP_H
#define KILN_ALLOCATOR_HEAP_PAGE_MAP_H

#include "allocator/arena/arena.h"
#include "allocator/heap/span.h"

/* Constants of the arena's span table, so that free divides nothing. */
typedef struct kiln_page_map {
    const kiln_arena_t *arena;
    _Atomic(kiln_span_t *) *entries;
    const _Atomic uint64_t *present; /* NULL unless the arena follows kiln */
    unsigned present_shift;          /* heap bytes whose entries fill one hardware page, log2 */
} kiln_page_map_t;

/* kiln_page_map_init: the arena has started. */
void kiln_page_map_init(kiln_page_map_t *map, const kiln_arena_t *arena);

/* kiln_page_map_find never faults, whatever `addr` is. NULL: no span has it. */
static inline kiln_span_t *kiln_page_map_find(const kiln_page_map_t *map, uintptr_t addr)
{
    uint64_t offset = (uint64_t)addr - map->arena->arena_start;
    if (!kiln_arena_holds(map->arena, addr)) return NULL;
    if (map->present) { /* what kiln_arena_table_has says, without a division */
        uint64_t idx = offset >> map->present_shift;
        uint64_t word = atomic_load_explicit(&map->present[idx / 64], memory_order_acquire);
        if ((word >> (idx % 64) & 1) == 0) return NULL;
    } else if (!kiln_arena_table_has(&map->arena->tables[KILN_ARENA_SPANS], offset)) {
        return NULL;
    }
    return atomic_load_explicit(&map->entries[offset >> KILN_PAGE_SHIFT], memory_order_acquire);
}

/* kiln_page_map_set leads the pages [first, first + pages) of `span` to it. */
void kiln_page_map_set(const kiln_page_map_t *map, kiln_span_t *span, uint32_t first,
                       uint32_t pages);

#endif
