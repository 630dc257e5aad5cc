#include "allocator/heap/page_map.h"

#include "allocator/base/check.h"

static unsigned log2_of(uint64_t power)
{
    return (unsigned)__builtin_ctzll(power);
}

void kiln_page_map_init(kiln_page_map_t *map, const kiln_arena_t *arena)
{
    const kiln_arena_table_t *table = &arena->tables[KILN_ARENA_SPANS];
    KILN_ASSERT(table->heap_bytes == KILN_PAGE_BYTES && table->entry_bytes == sizeof(void *));
    uint64_t entries = table->bytes_max / table->entry_bytes;
    map->start = (uintptr_t)arena->arena_start;
    map->heap_last = table->present ? (uintptr_t)((entries << KILN_PAGE_SHIFT) - 1) : 0;
    map->shown_bytes = 0;
    map->idx_shift = KILN_PAGE_SHIFT + log2_of(table->phys_bytes) - log2_of(table->entry_bytes);
    map->arena = arena;
    map->present = table->present;
    map->entries = (_Atomic(kiln_span_t *) *)(uintptr_t)table->base;
}

void kiln_page_map_widen(kiln_page_map_t *map)
{
    uintptr_t shown = atomic_load_explicit(&map->shown_bytes, memory_order_relaxed);
    uintptr_t idx = shown >> map->idx_shift, last_idx = map->heap_last >> map->idx_shift, old = idx;
    if (!map->present) return;
    /* The last of all stays out: the bytes up to its end may be one more than a number holds. */
    while (idx < last_idx && kiln_page_map_has(map, idx)) idx++;
    if (idx == old) return;
    atomic_store_explicit(&map->shown_bytes, idx << map->idx_shift, memory_order_release);
}

const char *kiln_page_map_broken_rule(const kiln_page_map_t *map)
{
    uintptr_t shown = atomic_load_explicit(&map->shown_bytes, memory_order_relaxed);
    if (shown > map->heap_last) return "no more is shown than the table can have";
    for (uintptr_t idx = 0; idx < shown >> map->idx_shift; idx++)
        if (!kiln_page_map_has(map, idx)) return "what is shown has entries";
    return NULL;
}

kiln_span_t *kiln_page_map_find_slow(const kiln_page_map_t *map, uintptr_t addr)
{
    uintptr_t offset = addr - map->start;
    if (!kiln_arena_holds(map->arena, addr) ||
        !kiln_arena_table_has(&map->arena->tables[KILN_ARENA_SPANS], offset))
        return NULL;
    return atomic_load_explicit(&map->entries[offset >> KILN_PAGE_SHIFT], memory_order_acquire);
}

void kiln_page_map_set(const kiln_page_map_t *map, kiln_span_t *span, uint32_t first,
                       uint32_t pages)
{
    uint64_t offset = (uint64_t)kiln_span_base(span) - map->start;
    uint64_t idx = (offset >> KILN_PAGE_SHIFT) + first;
    for (uint64_t end = idx + pages; idx < end; idx++)
        atomic_store_explicit(&map->entries[idx], span, memory_order_release);
}
