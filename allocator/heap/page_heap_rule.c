/* What the page heap knows about itself: counts, and the rules that must hold, by a walk over every
 * region, page by page, and both trees. */
#include "allocator/heap/page_heap.h"

static uintptr_t bytes_of(uint64_t pages)
{
    return (uintptr_t)pages << KILN_PAGE_SHIFT;
}

static const char *broken_page_rule(const kiln_page_heap_t *heap, const kiln_span_t *span)
{
    const char *rule = kiln_span_broken_rule(span);
    if (rule) return rule;
    if (span->kind != KILN_SPAN_LENT && !kiln_span_is_sealed(&heap->seal, span))
        return "the seal of a record fits";
    uintptr_t base = kiln_span_base(span);
    for (uint32_t i = 0; i < span->pages; i++) {
        bool edge = i == 0 || i == span->pages - 1;
        if (kiln_span_is_free(span) && !edge) continue;
        if (kiln_page_map_find(&heap->map, base + bytes_of(i)) != span)
            return "the page map leads to every span in use and to both ends of a free run";
    }
    return NULL;
}

/* What a walk over all regions finds, to compare with what is counted. */
typedef struct {
    uint64_t taken, in_use, large, large_spans, dirty, ready, discarded, free_runs, records;
} found_t;

static const char *broken_region_rule(const kiln_page_heap_t *heap, const kiln_region_t *region,
                                      found_t *found)
{
    const kiln_span_t *left = NULL;
    for (uintptr_t addr = region->start; addr < region->end;) {
        const kiln_span_t *span = kiln_page_map_find(&heap->map, addr);
        if (!span || span->kind == KILN_SPAN_SPARE) return "every page of a region has a span";
        if (kiln_span_base(span) != addr) return "spans do not overlap";
        const char *rule = broken_page_rule(heap, span);
        if (rule) return rule;
        if (kiln_span_is_free(span)) {
            if (left && kiln_span_is_free(left) && left->kind == span->kind)
                return "free neighbours of one kind are joined";
            *(span->kind == KILN_SPAN_READY ? &found->ready : &found->discarded) += span->pages;
            found->dirty += span->dirty_end - span->dirty_start;
            found->free_runs++;
        } else {
            found->in_use += span->pages;
            if (span->kind == KILN_SPAN_LARGE) {
                found->large += span->pages;
                found->large_spans++;
            }
        }
        found->records++;
        left = span;
        addr = kiln_span_end(span);
    }
    found->taken += (region->end - region->start) >> KILN_PAGE_SHIFT;
    return NULL;
}

static const char *broken_spare_rule(const kiln_page_heap_t *heap, found_t *found)
{
    for (uint32_t i = 0; i < KILN_SIZE_CLASSES; i++)
        for (const kiln_span_t *span = heap->spares[i]; span; span = span->left) {
            if (span->kind != KILN_SPAN_SPARE || span->class_idx != i)
                return "a spare record waits in the list of its class";
            if (++found->records > heap->records) return "no more records than were made";
        }
    return NULL;
}

const char *kiln_page_heap_broken_rule(kiln_page_heap_t *heap)
{
    found_t found = {0};
    const kiln_page_counts_t *counts = &heap->counts;
    const char *rule = kiln_free_tree_broken_rule(&heap->ready);
    if (!rule) rule = kiln_free_tree_broken_rule(&heap->discarded);
    for (const kiln_region_t *region = heap->regions; !rule && region; region = region->next)
        rule = broken_region_rule(heap, region, &found);
    if (!rule) rule = broken_spare_rule(heap, &found);
    if (rule) return rule;
    if (found.records != heap->records) return "no record is lost";
    if (found.taken != counts->taken) return "the regions are all that was taken";
    if (found.in_use != counts->in_use) return "in_use counts the pages of spans";
    if (found.large != counts->large || found.large_spans != counts->large_spans)
        return "large counts the pages of large spans";
    if (found.dirty != counts->dirty) return "dirty counts the dirty pages";
    if (heap->dirty_low > counts->dirty) return "the fewest dirty pages are no more than there are";
    if (found.ready != heap->ready.pages || found.discarded != heap->discarded.pages ||
        found.free_runs != heap->ready.runs + heap->discarded.runs)
        return "the trees hold every free run";
    if (counts->taken - heap->discarded.pages > counts->peak) return "the peak is the highest";
    return kiln_arena_broken_rule(heap->arena);
}

kiln_page_counts_t kiln_page_heap_counts(kiln_page_heap_t *heap)
{
    kiln_page_heap_lock(heap);
    kiln_page_counts_t counts = heap->counts;
    counts.ready = heap->ready.pages;
    counts.discarded = heap->discarded.pages;
    counts.free_runs = heap->ready.runs + heap->discarded.runs;
    counts.meta_bytes = heap->meta.bytes;
    kiln_page_heap_unlock(heap);
    return counts;
}
