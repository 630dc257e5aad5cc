#include "allocator/heap/huge.h"

#include <stddef.h>

enum { SHARE = 16 };

uint64_t kiln_huge_end(const kiln_page_heap_t *heap, uint64_t pages)
{
    uint64_t start = heap->arena->arena_alloc, huge_bytes = heap->os->huge_bytes;
    uint64_t held = heap->counts.taken - heap->discarded.pages;
    if (huge_bytes == 0 || heap->huge_after_pages == 0 || held < heap->huge_after_pages) return 0;
    if (pages < held / SHARE) pages = held / SHARE;
    uint64_t end = kiln_round_up(start + (pages << KILN_PAGE_SHIFT), huge_bytes);
    if (end - start < huge_bytes / 2) end += huge_bytes;
    return end < start ? 0 : end;
}

static kiln_region_t *region_of(const kiln_page_heap_t *heap, uint64_t addr)
{
    kiln_region_t *region = heap->regions;
    while (region && (addr < region->start || addr >= region->end)) region = region->next;
    return region;
}

void kiln_huge_ask(kiln_page_heap_t *heap, uint64_t start, uint64_t end)
{
    kiln_region_t *region = region_of(heap, start);
    if (!region) return;
    region->is_huge = true;
    heap->asked_huge = true;
    kiln_os_huge(heap->os, start, end - start, true);
}

void kiln_huge_take_back(kiln_page_heap_t *heap)
{
    if (!heap->asked_huge) return;
    heap->asked_huge = false;
    for (kiln_region_t *region = heap->regions; region; region = region->next) {
        if (!region->is_huge) continue;
        region->is_huge = false;
        region->plain_start = region->end;
        kiln_os_huge(heap->os, region->start, region->end - region->start, false);
    }
}

void kiln_huge_again(kiln_page_heap_t *heap, uint64_t start, uint64_t bytes)
{
    const kiln_region_t *region = region_of(heap, start);
    if (region && start < region->plain_start) kiln_os_huge(heap->os, start, bytes, false);
}
