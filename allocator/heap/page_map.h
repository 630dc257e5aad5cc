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
 * Threads  kiln_page_map_find and widen: any; the rest holds the page heap's lock. */
#ifndef KILN_ALLOCATOR_HEAP_PAGE_MAP_H
#define KILN_ALLOCATOR_HEAP_PAGE_MAP_H

#include "allocator/arena/arena.h"
#include "allocator/heap/span.h"

/* What a look-up needs of the arena and its span table, side by side and without a division. */
typedef struct kiln_page_map {
    uintptr_t start;                 /* arena_start */
    _Atomic uintptr_t shown_bytes;   /* from `start` on so many have entries that may be read: where
                                        the heap has no holes, all that a look-up asks. It grows */
    uintptr_t heap_last;             /* the last byte that has a bit in `present`, from `start` on;
                                        0: there is no `present` */
    const _Atomic uint64_t *present; /* see arena_tables.h; NULL unless the arena follows kiln */
    _Atomic(kiln_span_t *) *entries;
    unsigned idx_shift; /* bytes of heap whose entries fill one hardware page, log2 */
    const kiln_arena_t *arena;
} kiln_page_map_t;

/* kiln_page_map_init: the arena has started. */
void kiln_page_map_init(kiln_page_map_t *map, const kiln_arena_t *arena);

/* kiln_page_map_find gives the span of `addr`, and never faults, whatever that is. NULL: no span
 * has it. kiln_page_map_find_fast calls nothing, and gives NULL too when the arena does not follow
 * kiln.
 *
 * Under kiln a table page that is present may be read, heap or not: entries of pages that never
 * were heap are NULL. */
kiln_span_t *kiln_page_map_find_slow(const kiln_page_map_t *map, uintptr_t addr);

/* kiln_page_map_widen looks whether the heap has grown, so that later look-ups ask less. Any thread
 * may call it, at any time: two at once may leave the lesser answer, which is right, too. */
void kiln_page_map_widen(kiln_page_map_t *map);

/* kiln_page_map_broken_rule looks at every table page that is said to be present. */
const char *kiln_page_map_broken_rule(const kiln_page_map_t *map);

/* The entries of `idx` fill a hardware page of the table: may they be read? */
static inline bool kiln_page_map_has(const kiln_page_map_t *map, uintptr_t idx)
{
    uint64_t word = atomic_load_explicit(&map->present[idx / 64], memory_order_acquire);
    return (word >> (idx % 64) & 1) != 0;
}

static inline kiln_span_t *kiln_page_map_find_fast(const kiln_page_map_t *map, uintptr_t addr)
{
    uintptr_t offset = addr - map->start;
    uintptr_t shown = atomic_load_explicit(&map->shown_bytes, memory_order_acquire);
    if (__builtin_expect(offset >= shown, 0) &&
        (offset >= map->heap_last || !kiln_page_map_has(map, offset >> map->idx_shift)))
        return NULL;
    return atomic_load_explicit(&map->entries[offset >> KILN_PAGE_SHIFT], memory_order_acquire);
}

static inline kiln_span_t *kiln_page_map_find(const kiln_page_map_t *map, uintptr_t addr)
{
    return map->present ? kiln_page_map_find_fast(map, addr) : kiln_page_map_find_slow(map, addr);
}

/* kiln_page_map_set leads the pages [first, first + pages) of `span` to it. */
void kiln_page_map_set(const kiln_page_map_t *map, kiln_span_t *span, uint32_t first,
                       uint32_t pages);

#endif
