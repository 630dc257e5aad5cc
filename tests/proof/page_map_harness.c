/* The page map: whatever the address, a look-up reads an entry of a mapped page of the table, or
 * none; and it finds what was set for that page of the heap, in any place: by a span of up to
 * PAGES_MAX pages, over one of another.
 *
 * The table has TABLE_PAGES hardware pages of PHYS bytes, of which one, any, is mapped: only that
 * one exists here, so that a read anywhere else is out of bounds. What holds for it holds for each.
 */
#include "allocator/heap/page_map.c"

#include "tests/proof/proof.h"

enum { TABLE_PAGES = 70, ENTRIES = PHYS / sizeof(void *) };

static kiln_arena_t arena;
static _Atomic uint64_t present[(TABLE_PAGES + 63) / 64];
static _Atomic(kiln_span_t *) mapped[ENTRIES];
static kiln_span_t span, other;

void harness(void)
{
    uint64_t mapped_idx = nondet_below(TABLE_PAGES);
    kiln_arena_table_t *table = &arena.tables[KILN_ARENA_SPANS];
    table->heap_bytes = KILN_PAGE_BYTES;
    table->entry_bytes = sizeof(void *);
    table->phys_bytes = PHYS;
    table->bytes_max = (uint64_t)TABLE_PAGES * PHYS;
    table->present = present;
    arena.arena_start = nondet_uint64();
    PROOF_ASSUME(kiln_is_aligned(arena.arena_start, KILN_PAGE_BYTES) &&
                 arena.arena_start <= UINTPTR_MAX);
    present[mapped_idx / 64] = UINT64_C(1) << mapped_idx % 64;

    kiln_page_map_t map;
    kiln_page_map_init(&map, &arena);
    map.entries = mapped - mapped_idx * ENTRIES; /* where the table would begin */
    if (nondet_bool()) kiln_page_map_widen(&map);
    PROOF_ASSERT(kiln_page_map_broken_rule(&map) == NULL, "what is shown has entries");

    /* A span over pages of the heap whose entries are mapped, and one page of another. */
    uint32_t first = nondet_below(ENTRIES), pages = nondet_below(PAGES_MAX + 1);
    PROOF_ASSUME(pages > 0 && pages <= ENTRIES - first);
    uintptr_t start = map.start + (uintptr_t)((mapped_idx * ENTRIES) << KILN_PAGE_SHIFT);
    kiln_span_set_base(&span, start + ((uintptr_t)first << KILN_PAGE_SHIFT));
    uint32_t before = nondet_below(ENTRIES);
    kiln_span_set_base(&other, start);
    kiln_page_map_set(&map, &other, before, 1);
    kiln_page_map_set(&map, &span, 0, pages);

    uintptr_t addr = (uintptr_t)nondet_uint64();
    uintptr_t offset = addr - start;
    uintptr_t page_idx = offset >> KILN_PAGE_SHIFT;
    kiln_span_t *right = NULL;
    if (page_idx < ENTRIES) {
        if (page_idx == before) right = &other;
        if (page_idx >= first && page_idx < first + pages) right = &span;
    }
    kiln_span_t *found = kiln_page_map_find(&map, addr);
    if (addr - map.start == map.heap_last)
        PROOF_ASSERT(!found, "the last byte of all is no block's"); /* cannot start one */
    else
        PROOF_ASSERT(found == right, "a page leads to the span that was set last, others nowhere");
}
