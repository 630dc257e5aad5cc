/* harden_kept.h - the common paths of a hardened heap that keeps who allocated and freed a block,
 * and whose fresh and freed bytes are not zero; to be compiled into their callers.
 *
 * They do for small blocks what kiln_harden_malloc and kiln_harden_free do, in the same order, and
 * leave everything that is seldom to these: a fast one does the whole work, or nothing, and then
 * the other must be called. The stack is the caller's to keep, before the call: a number in both.
 *
 * Threads, errors, owner   as in harden.h. */
#ifndef KILN_ALLOCATOR_HARDEN_HARDEN_KEPT_H
#define KILN_ALLOCATOR_HARDEN_HARDEN_KEPT_H

#include "allocator/harden/harden.h"

/* What is to be said of the caller: its stack, and the call with its family. */
typedef struct kiln_by {
    kiln_site_t site;
    uint32_t stack;
} kiln_by_t;

/* kiln_harden_keeps: may the two below do anything for a block of `bytes`? For a thread of a heap
 * that keeps nothing never. To be asked before a stack is kept for them. */
static inline bool kiln_harden_keeps(const kiln_harden_thread_t *mine, size_t bytes)
{
    return bytes < mine->kept_bytes && mine->until_guard != 1;
}

static inline kiln_note_stacks_t *kiln_note_stacks_of(const kiln_note_shape_t *shape,
                                                      const kiln_span_t *span, size_t slot_idx)
{
    return (kiln_note_stacks_t *)((uintptr_t)span->states + shape->stacks_at) + slot_idx;
}

static inline void kiln_harden_keep_alloc(const kiln_heap_t *heap, const kiln_harden_thread_t *mine,
                                          const kiln_note_shape_t *shape, kiln_slot_t slot,
                                          kiln_by_t by)
{
    const kiln_span_t *span = kiln_page_map_find(&heap->map, (uintptr_t)slot.block);
    size_t slot_idx = (size_t)(slot.state - span->states);
    kiln_note_stacks_t *note = kiln_note_stacks_of(shape, span, slot_idx);
    unsigned who = (unsigned)kiln_site_family(by.site) << KILN_NOTE_FAMILY_SHIFT | mine->number;
    atomic_store_explicit(&note->alloc_stack, by.stack, memory_order_relaxed);
    atomic_store_explicit(&note->free_stack, 0, memory_order_relaxed);
    atomic_store_explicit(&note->alloc_who, (uint16_t)who, memory_order_relaxed);
}

static inline void kiln_harden_fill_kept(char *slot, size_t slot_bytes, kiln_unit_t unit)
{
    if (__builtin_expect(slot_bytes > KILN_FILL_FEW_BYTES, 0))
        memset(slot, (uint8_t)unit[0], slot_bytes);
    else
        kiln_units_set(slot, slot + slot_bytes, unit);
}

/* The slot is all zero: its bytes become fresh ones, or stay where `zero`. */
static inline void kiln_harden_begin_kept(const kiln_harden_t *harden, char *block,
                                          size_t slot_bytes, size_t bytes, bool zero)
{
    if (zero) return;
    if (slot_bytes > KILN_FILL_FEW_BYTES)
        kiln_harden_begin_fresh(harden, block, bytes, false);
    else /* with the slack, which gets its canary then */
        kiln_units_set(block, block + slot_bytes, harden->fresh);
}

/* kiln_harden_malloc_kept gives `bytes` bytes, zeroed when `zero`, or NULL; kiln_harden_keeps. */
static inline __attribute__((always_inline)) void *
kiln_harden_malloc_kept(const kiln_heap_t *heap, kiln_harden_thread_t *mine, size_t bytes,
                        bool zero, kiln_by_t by)
{
    kiln_slot_t slot;
    uint32_t class_idx = kiln_size_class_of(bytes + 1);
    if (__builtin_expect(!kiln_harden_pop(mine, class_idx, &slot), 0)) return NULL;
    mine->until_guard--;
    const kiln_harden_bin_t *bin = &mine->bins[class_idx];
    size_t slot_bytes = bin->shape.slot_bytes, slack = slot_bytes - bytes;
    char *block = slot.block, *end = block + slot_bytes;
    if (__builtin_expect(!kiln_unit_is_zero(kiln_units_or(block, end, (kiln_unit_t){0, 0})), 0)) {
        (void)kiln_harden_hand_out_ruined(mine, slot, bytes, by.site);
        return zero ? memset(block, 0, bytes) : block;
    }
    kiln_harden_busy(slot.state);
    kiln_note_set_slack(&bin->shape, slot.state, slack);
    kiln_harden_begin_kept(mine->harden, block, slot_bytes, bytes, zero);
    kiln_canary_write(&bin->canary, end, slack);
    kiln_harden_keep_alloc(heap, mine, &bin->shape, slot, by);
    atomic_store_explicit(slot.state, KILN_SLOT_LIVE, memory_order_release);
    return block;
}

/* A slot leaves the quarantine. */
static inline void kiln_harden_release_kept(kiln_harden_thread_t *mine, uint32_t class_idx,
                                            kiln_slot_t slot, kiln_site_t site)
{
    char *block = slot.block;
    size_t slot_bytes = mine->bins[class_idx].shape.slot_bytes;
    kiln_unit_t wrong = kiln_units_or(block, block + slot_bytes, mine->harden->freed);
    if (__builtin_expect(!kiln_unit_is_zero(wrong), 0)) {
        kiln_harden_release(mine->harden, mine, class_idx, slot, site);
        return;
    }
    kiln_harden_busy(slot.state);
    kiln_harden_fill_kept(block, slot_bytes, (kiln_unit_t){0, 0});
    kiln_harden_push(mine, class_idx, slot, site);
}

/* The two below; `asked` is the size that the caller says the block has, where `sized`. */
static inline __attribute__((always_inline)) bool kiln_harden_end_kept(const kiln_heap_t *heap,
                                                                       kiln_harden_thread_t *mine,
                                                                       void *block, bool sized,
                                                                       size_t asked, kiln_by_t by)
{
    kiln_span_t *span = kiln_page_map_find_fast(&heap->map, (uintptr_t)block);
    if (__builtin_expect(!span, 0)) return false;
    uint32_t class_idx = span->class_idx;
    uint64_t slot_idx = kiln_span_index(span, (uintptr_t)block - kiln_span_base(span));
    if (__builtin_expect(class_idx == KILN_CLASS_LARGE || slot_idx >= kiln_span_index_end(span), 0))
        return false;
    kiln_slot_t slot = {block, &span->states[slot_idx]};
    kiln_harden_bin_t *bin = &mine->bins[class_idx];
    kiln_note_stacks_t *note = kiln_note_stacks_of(&bin->shape, span, (size_t)slot_idx);
    size_t slot_bytes = bin->shape.slot_bytes;
    unsigned family = (unsigned)kiln_site_family(by.site) << KILN_NOTE_FAMILY_SHIFT;
    uint16_t who = atomic_load_explicit(&note->alloc_who, memory_order_relaxed);
    if (__builtin_expect(((who ^ family) & mine->family_mask) != 0, 0)) return false;
    if (sized && asked + kiln_note_slack(&bin->shape, slot.state) != slot_bytes) return false;
    if (!kiln_harden_claim(heap, slot.state)) return false;

    char *end = (char *)block + slot_bytes;
    if (__builtin_expect(
            !kiln_canary_holds(&bin->canary, end, kiln_note_slack(&bin->shape, slot.state)), 0)) {
        kiln_harden_retire_ruined(mine, block, by.site);
        return true;
    }
    kiln_harden_fill_kept(block, slot_bytes, mine->harden->freed);
    atomic_store_explicit(&note->free_stack, by.stack, memory_order_relaxed);
    atomic_store_explicit(&note->free_thread, mine->number, memory_order_relaxed);
    atomic_store_explicit(slot.state, KILN_SLOT_QUARANTINED, memory_order_release);
    slot = kiln_quarantine_push(&bin->ring, slot);
    if (__builtin_expect(slot.block != NULL, 1))
        kiln_harden_release_kept(mine, class_idx, slot, by.site);
    return true;
}

/* kiln_harden_free_kept and kiln_harden_free_sized_kept give false when nothing was done; the heap
 * is one that keeps who (mine->kept_bytes is not 0). */
static inline bool kiln_harden_free_kept(const kiln_heap_t *heap, kiln_harden_thread_t *mine,
                                         void *block, kiln_by_t by)
{
    return kiln_harden_end_kept(heap, mine, block, false, 0, by);
}

static inline bool kiln_harden_free_sized_kept(const kiln_heap_t *heap, kiln_harden_thread_t *mine,
                                               void *block, size_t asked, kiln_by_t by)
{
    return kiln_harden_end_kept(heap, mine, block, true, asked, by);
}

#endif
