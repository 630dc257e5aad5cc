#include "allocator/api/since.h"

#include <string.h>

static bool is_live(uint8_t state)
{
    return state == KILN_SLOT_LIVE || state == KILN_SLOT_KEPT;
}

/* What the span's record said at the mark, if it was one of the same slots; else NULL. */
static const kiln_span_t *same_span(const kiln_span_t *span, const kiln_os_rewind_t *rewind)
{
    const kiln_span_t *was = kiln_os_rewind_was(rewind, span);
    bool same = was && was->kind == span->kind && was->class_idx == span->class_idx &&
                kiln_span_base(was) == kiln_span_base(span);
    return same ? was : NULL;
}

/* Eight slots whose states are as they were have no new block. */
static bool same_states(const kiln_span_t *span, const kiln_span_t *was, uint32_t first)
{
    uint64_t now, then;
    if (!was || first + sizeof now > kiln_span_slots(span)) return false;
    memcpy(&now, (const void *)(span->states + first), sizeof now);
    memcpy(&then, (const void *)(was->states + first), sizeof then);
    return now == then;
}

static void walk_span(const kiln_span_t *span, const kiln_span_t *was,
                      void (*visit)(void *ctx, void *block, size_t slot_bytes), void *ctx)
{
    size_t slot_bytes = kiln_span_slot_bytes(span);
    for (uint32_t i = 0; i < kiln_span_slots(span); i++) {
        if (i % sizeof(uint64_t) == 0 && same_states(span, was, i)) {
            i += sizeof(uint64_t) - 1;
            continue;
        }
        if (!is_live(atomic_load_explicit(&span->states[i], memory_order_relaxed))) continue;
        if (was && is_live(atomic_load_explicit(&was->states[i], memory_order_relaxed))) continue;
        visit(ctx, (void *)(kiln_span_base(span) + i * slot_bytes), slot_bytes);
    }
}

void kiln_heap_walk_since(const kiln_heap_t *heap, const kiln_os_rewind_t *rewind,
                          void (*visit)(void *ctx, void *block, size_t slot_bytes), void *ctx)
{
    for (const kiln_region_t *region = heap->pages.regions; region; region = region->next)
        for (uintptr_t addr = region->start; addr < region->end;) {
            const kiln_span_t *span = kiln_page_map_find(&heap->pages.map, addr);
            bool in_use = span->kind == KILN_SPAN_SMALL || span->kind == KILN_SPAN_LARGE;
            size_t record_bytes = sizeof *span + kiln_span_slots(span);
            if (in_use && kiln_os_rewind_touched(rewind, span, record_bytes))
                walk_span(span, same_span(span, rewind), visit, ctx);
            addr = kiln_span_end(span);
        }
}
