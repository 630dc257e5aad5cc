/* The end of all blocks of a heap at once. */
#include "allocator/heap/heap.h"

#include "allocator/base/check.h"
#include "allocator/heap/given.h"

static bool is_live(const kiln_span_t *span, uint32_t slot_idx)
{
    uint8_t state = atomic_load_explicit(&span->states[slot_idx], memory_order_relaxed);
    return state == KILN_SLOT_LIVE || state == KILN_SLOT_KEPT;
}

/* With its last block a span may go, and be joined with its neighbours: it is not looked at after
 * that. */
static void free_blocks_of(kiln_heap_t *heap, const kiln_span_t *span)
{
    uintptr_t base = kiln_span_base(span);
    size_t slot_bytes = kiln_span_slot_bytes(span);
    uint32_t left = 0;
    for (uint32_t i = 0; i < kiln_span_slots(span); i++) left += is_live(span, i);
    for (uint32_t i = 0; left > 0; i++) {
        if (!is_live(span, i)) continue;
        left--;
        void *block = kiln_given(heap, (void *)(base + i * slot_bytes));
        kiln_misuse_t misuse = kiln_heap_free(heap, NULL, block);
        KILN_ASSERT(misuse == KILN_MISUSE_NONE);
        (void)misuse;
    }
}

/* The first span in use that lies at `addr`, where a span begins, or behind it; NULL: none does, up
 * to the end of the region. To free what lies before it does not change it: it has a slot that is
 * out. */
static const kiln_span_t *in_use_from(const kiln_heap_t *heap, uintptr_t addr, uintptr_t end)
{
    while (addr < end) {
        const kiln_span_t *span = kiln_page_map_find(&heap->pages.map, addr);
        if (!span || !kiln_span_is_free(span)) return span;
        addr = kiln_span_end(span);
    }
    return NULL;
}

void kiln_heap_reset(kiln_heap_t *heap)
{
    KILN_ASSERT(heap->config.note_bytes == 0); /* a layer above knows more of its blocks */
    (void)kiln_heap_trim(heap, UINT64_MAX);    /* no span is in use for what only waits */
    for (const kiln_region_t *region = heap->pages.regions; region; region = region->next) {
        const kiln_span_t *span = in_use_from(heap, region->start, region->end), *next;
        for (; span; span = next) {
            next = in_use_from(heap, kiln_span_end(span), region->end);
            if (span->kind != KILN_SPAN_LENT) free_blocks_of(heap, span);
        }
    }
}
