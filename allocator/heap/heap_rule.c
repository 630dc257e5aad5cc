/* What the heap knows about itself: statistics, and the rules that must hold. */
#include "allocator/heap/given.h"
#include "allocator/heap/heap.h"

kiln_heap_stats_t kiln_heap_stats(kiln_heap_t *heap)
{
    kiln_page_counts_t pages = kiln_page_heap_counts(&heap->pages);
    kiln_heap_stats_t stats = {
        .arena_bytes = pages.taken << KILN_PAGE_SHIFT,
        .cached_bytes = kiln_thread_cache_bytes(&heap->caches),
        .waiting_bytes = kiln_watched_quarantine_bytes(&heap->waiting),
        .live_bytes = pages.large << KILN_PAGE_SHIFT,
        .idle_bytes = pages.ready << KILN_PAGE_SHIFT,
        .discarded_bytes = pages.discarded << KILN_PAGE_SHIFT,
        .large_bytes = pages.large << KILN_PAGE_SHIFT,
        .large_count = pages.large_spans,
        .idle_count = pages.free_runs,
        .meta_bytes = pages.meta_bytes + heap->present_bytes,
        .peak_bytes = pages.peak << KILN_PAGE_SHIFT,
    };
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_size_class_t *class = &kiln_size_classes[i];
        kiln_central_lock(&heap->central[i]);
        uint64_t out = heap->central[i].slots_out * class->slot_bytes;
        uint64_t all = heap->central[i].spans * class->span_pages << KILN_PAGE_SHIFT;
        kiln_central_unlock(&heap->central[i]);
        stats.live_bytes += out;
        stats.free_bytes += all - out;
    }
    return stats;
}

static void walk_span(const kiln_heap_t *heap, const kiln_span_t *span,
                      void (*visit)(void *ctx, void *block, size_t slot_bytes), void *ctx)
{
    size_t slot_bytes = kiln_span_slot_bytes(span);
    for (uint32_t i = 0; i < kiln_span_slots(span); i++) {
        uint8_t state = atomic_load_explicit(&span->states[i], memory_order_relaxed);
        if (state != KILN_SLOT_LIVE && state != KILN_SLOT_KEPT) continue;
        visit(ctx, kiln_given(heap, (void *)(kiln_span_base(span) + i * slot_bytes)), slot_bytes);
    }
}

void kiln_heap_walk(kiln_heap_t *heap, void (*visit)(void *ctx, void *block, size_t slot_bytes),
                    void *ctx)
{
    for (const kiln_region_t *region = heap->pages.regions; region; region = region->next)
        for (uintptr_t addr = region->start; addr < region->end;) {
            const kiln_span_t *span = kiln_page_map_find(&heap->pages.map, addr);
            if (span->kind == KILN_SPAN_SMALL || span->kind == KILN_SPAN_LARGE)
                walk_span(heap, span, visit, ctx);
            addr = kiln_span_end(span);
        }
}

/* What a walk over all spans finds. */
typedef struct {
    uint64_t spans[KILN_SIZE_CLASSES];
    uint64_t slots_out[KILN_SIZE_CLASSES];
    uint64_t cached;     /* slots that are FREE and out of their span */
    uint64_t large_free; /* large blocks that are not the program's */
} found_t;

static void count_small(const kiln_span_t *span, found_t *found)
{
    found->spans[span->class_idx]++;
    found->slots_out[span->class_idx] += span->used;
    for (uint32_t i = 0; i < kiln_span_slots(span); i++)
        found->cached += kiln_span_is_out(span, i) && kiln_slot_is_free(span->states[i]);
}

const char *kiln_heap_broken_rule(kiln_heap_t *heap)
{
    const char *rule = kiln_page_heap_broken_rule(&heap->pages);
    if (!rule) rule = kiln_page_map_broken_rule(&heap->map);
    if (rule) return rule;

    found_t found = {.cached = 0};
    for (const kiln_region_t *region = heap->pages.regions; region; region = region->next)
        for (uintptr_t addr = region->start; addr < region->end;) {
            const kiln_span_t *span = kiln_page_map_find(&heap->pages.map, addr);
            if (span->kind == KILN_SPAN_SMALL) count_small(span, &found);
            if (span->kind == KILN_SPAN_LARGE)
                found.large_free += span->states[0] == KILN_SLOT_FREE;
            addr = kiln_span_end(span);
        }
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_central_t *central = &heap->central[i];
        rule = kiln_central_broken_rule(central);
        if (rule) return rule;
        if (central->spans != found.spans[i]) return "a size class counts its spans";
        if (central->slots_out != found.slots_out[i]) return "a size class counts its slots";
    }
    if (found.large_free > 0 && !heap->caches.may_lose_slots)
        return "a large block is the program's";
    uint64_t cached = 0;
    rule = kiln_thread_cache_broken_rule(&heap->caches, &cached);
    if (rule) return rule;
    if (cached > found.cached || (cached < found.cached && !heap->caches.may_lose_slots))
        return "every slot that is FREE and out is in one cache";
    return NULL;
}
