#include "allocator/harden/harden.h"

#include "allocator/base/check.h"
#include "allocator/base/mix.h"

/* ---- a block's life ---- */

uint16_t kiln_harden_thread_number(const kiln_harden_t *harden)
{
    uint32_t number = harden->keeps_stacks ? harden->config.thread() : 0;
    return (uint16_t)(number < KILN_NOTE_THREAD_MAX ? number : KILN_NOTE_THREAD_MAX);
}

static uint32_t stack_of(const kiln_harden_t *harden, kiln_site_t site)
{
    return harden->keeps_stacks ? harden->config.stack(site.caller) : 0;
}

void kiln_harden_note_alloc(kiln_harden_t *harden, const kiln_span_t *span, uint32_t slot_idx,
                            kiln_site_t site)
{
    kiln_note_stacks_t *note = kiln_note_stacks(harden->shapes, span, slot_idx);
    unsigned who = (unsigned)kiln_site_family(site) << KILN_NOTE_FAMILY_SHIFT;
    atomic_store_explicit(&note->alloc_stack, stack_of(harden, site), memory_order_relaxed);
    atomic_store_explicit(&note->alloc_who, (uint16_t)(who | kiln_harden_thread_number(harden)),
                          memory_order_relaxed);
    atomic_store_explicit(&note->free_stack, 0, memory_order_relaxed);
}

void kiln_harden_note_free(kiln_harden_t *harden, const kiln_span_t *span, uint32_t slot_idx,
                           kiln_site_t site)
{
    kiln_note_stacks_t *note = kiln_note_stacks(harden->shapes, span, slot_idx);
    atomic_store_explicit(&note->free_stack, stack_of(harden, site), memory_order_relaxed);
    atomic_store_explicit(&note->free_thread, kiln_harden_thread_number(harden),
                          memory_order_relaxed);
}

__attribute__((noinline, cold)) void kiln_harden_tell(kiln_harden_t *harden,
                                                      const kiln_span_t *span, uint32_t slot_idx,
                                                      uint8_t state, kiln_site_t site)
{
    kiln_damage_t damage = kiln_harden_look(harden, span, slot_idx, state);
    if (damage.kind != KILN_DAMAGE_NONE) harden->config.found(&damage, site);
}

/* The same where only the slot is at hand. */
static __attribute__((noinline, cold)) void tell_of_slot(kiln_harden_t *harden, kiln_slot_t slot,
                                                         uint8_t state, kiln_site_t site)
{
    const kiln_span_t *span = kiln_page_map_find(&harden->heap->map, (uintptr_t)slot.block);
    kiln_harden_tell(harden, span, (uint32_t)(slot.state - span->states), state, site);
}

static __attribute__((noinline, cold)) void ruined(kiln_harden_t *harden, kiln_slot_t slot,
                                                   kiln_site_t site)
{
    const kiln_span_t *span = kiln_page_map_find(&harden->heap->map, (uintptr_t)slot.block);
    tell_of_slot(harden, slot, KILN_SLOT_FREE, site);
    memset(slot.block, 0, kiln_span_slot_bytes(span));
}

static void note_alloc_of_slot(kiln_harden_t *harden, kiln_slot_t slot, kiln_site_t site)
{
    const kiln_span_t *span = kiln_page_map_find(&harden->heap->map, (uintptr_t)slot.block);
    kiln_harden_note_alloc(harden, span, (uint32_t)(slot.state - span->states), site);
}

/* A slot that is out becomes a block. What is stored last is that it is LIVE: a check in another
 * thread then finds size and canary in place. */
static inline void *hand_out(kiln_harden_t *harden, uint32_t class_idx, kiln_slot_t slot,
                             size_t bytes, bool zero, kiln_site_t site)
{
    const kiln_note_shape_t *shape = &harden->shapes[class_idx];
    size_t slot_bytes = shape->slot_bytes, slack = slot_bytes - bytes;
    char *block = slot.block;
    if (__builtin_expect(!kiln_fill_holds(block, slot_bytes, 0), 0)) ruined(harden, slot, site);
    kiln_harden_busy(slot.state);
    kiln_note_set_slack(shape, slot.state, slack);
    kiln_harden_begin_fresh(harden, block, bytes, zero);
    kiln_canary_write(&harden->canary, block + slot_bytes, slack);
    if (__builtin_expect(harden->keeps_who, 0)) note_alloc_of_slot(harden, slot, site);
    atomic_store_explicit(slot.state, KILN_SLOT_LIVE, memory_order_release);
    return block;
}

static inline bool pop(const kiln_harden_t *harden, kiln_harden_thread_t *mine, uint32_t class_idx,
                       kiln_slot_t *out)
{
    return harden->random ? kiln_harden_pop(mine, class_idx, out)
                          : kiln_cache_bin_pop(mine->cache, class_idx, out);
}

__attribute__((noinline, cold)) void *kiln_harden_hand_out_ruined(kiln_harden_thread_t *mine,
                                                                  kiln_slot_t slot, size_t bytes,
                                                                  kiln_site_t site)
{
    kiln_harden_t *harden = mine->harden;
    const kiln_span_t *span = kiln_page_map_find(&harden->heap->map, (uintptr_t)slot.block);
    return hand_out(harden, span->class_idx, slot, bytes, false, site);
}

/* Every slot of these classes will be written to at its end. To look first whether it is zero would
 * cost a fresh page two faults, one to read and one to write: so each hardware page gets a write
 * first, which changes nothing, whoever else may be writing. */
static void touch_pages(kiln_harden_t *harden, const kiln_harden_thread_t *mine, uint32_t class_idx)
{
    uintptr_t page_mask = ~(uintptr_t)(harden->heap->config.os->phys_bytes - 1), page = 0;
    uint32_t count = kiln_cache_bin_count(mine->cache, class_idx);
    const kiln_slot_t *slots = kiln_cache_bin_first(mine->cache, class_idx);
    for (uint32_t i = 0; i < count; i++) {
        _Atomic uint8_t *last = (_Atomic uint8_t *)slots[i].block;
        last += harden->shapes[class_idx].slot_bytes - 1;
        if (((uintptr_t)last & page_mask) == page) continue;
        page = (uintptr_t)last & page_mask;
        uint8_t zero = 0; /* an exchange that fails writes, too */
        (void)atomic_compare_exchange_strong_explicit(last, &zero, 0, memory_order_relaxed,
                                                      memory_order_relaxed);
    }
}

static bool take_of_class(kiln_harden_t *harden, kiln_harden_thread_t *mine, uint32_t class_idx,
                          kiln_slot_t *out)
{
    if (!mine) return kiln_heap_take_slot(harden->heap, NULL, class_idx, out);
    if (!kiln_thread_cache_refill(&harden->heap->caches, mine->cache, class_idx)) return false;
    kiln_page_map_widen(&harden->heap->map); /* before the first free of what is new */
    if (class_idx <= KILN_FEW_CLASSES) touch_pages(harden, mine, class_idx);
    return pop(harden, mine, class_idx, out);
}

/* Where there is no memory, freed large blocks may hold the address space that is needed. */
static __attribute__((noinline)) bool take(kiln_harden_t *harden, kiln_harden_thread_t *mine,
                                           uint32_t class_idx, kiln_slot_t *out)
{
    return take_of_class(harden, mine, class_idx, out) ||
           (kiln_harden_large_flush(harden) && take_of_class(harden, mine, class_idx, out));
}

static inline void *take_small(kiln_harden_t *harden, kiln_harden_thread_t *mine,
                               uint32_t class_idx, size_t bytes, bool zero, kiln_site_t site)
{
    kiln_slot_t slot;
    if (__builtin_expect(!mine || !pop(harden, mine, class_idx, &slot), 0) &&
        !take(harden, mine, class_idx, &slot))
        return NULL;
    return hand_out(harden, class_idx, slot, bytes, zero, site);
}

/* A guarded block, where it is one's turn and the guard has room; else NULL. */
static void *take_guarded(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t align,
                          size_t bytes, bool zero, kiln_site_t site)
{
    if (mine ? --mine->until_guard != 0 : harden->config.guard_every != 1) return NULL;
    if (mine) mine->until_guard = kiln_harden_next_guarded(harden, mine);
    return harden->config.guard ? kiln_harden_guarded_malloc(harden, align, bytes, zero, site)
                                : NULL;
}

void *kiln_harden_malloc(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t bytes, bool zero,
                         kiln_site_t site)
{
    void *guarded = take_guarded(harden, mine, KILN_HEAP_ALIGN_MIN, bytes, zero, site);
    if (guarded) return guarded;
    if (__builtin_expect(bytes >= KILN_SMALL_MAX, 0))
        return kiln_harden_large_malloc(harden, 1, bytes, bytes, zero, site);
    return take_small(harden, mine, kiln_size_class_of(bytes + 1), bytes, zero, site);
}

void *kiln_harden_aligned(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t align,
                          size_t bytes, kiln_site_t site)
{
    if (!kiln_is_power_of_two(align) || bytes >= PTRDIFF_MAX) return NULL;
    size_t least = align < KILN_HEAP_ALIGN_MIN ? KILN_HEAP_ALIGN_MIN : align;
    void *guarded = take_guarded(harden, mine, least, bytes, false, site);
    if (guarded) return guarded;
    uint32_t class_idx = kiln_heap_class_for(align, bytes + 1);
    if (class_idx == KILN_CLASS_LARGE)
        return kiln_harden_large_malloc(harden, align, bytes, bytes, false, site);
    return take_small(harden, mine, class_idx, bytes, false, site);
}

/* ---- free ---- */

/* Slots of a bin are about to go to their class, where any thread may get them. */
void kiln_harden_look_at_bin(kiln_harden_thread_t *mine, uint32_t class_idx, uint32_t count,
                             kiln_site_t site)
{
    size_t slot_bytes = mine->harden->shapes[class_idx].slot_bytes;
    const kiln_slot_t *slots = kiln_cache_bin_first(mine->cache, class_idx);
    for (uint32_t i = 0; i < count; i++)
        if (__builtin_expect(!kiln_fill_holds(slots[i].block, slot_bytes, 0), 0))
            ruined(mine->harden, slots[i], site);
}

/* kiln_thread_cache_flush takes the older half. */
__attribute__((noinline)) void kiln_harden_push_full(kiln_harden_thread_t *mine, uint32_t class_idx,
                                                     kiln_slot_t slot, kiln_site_t site)
{
    uint32_t count = kiln_cache_bin_count(mine->cache, class_idx);
    kiln_harden_look_at_bin(mine, class_idx, (count + 1) / 2, site);
    kiln_thread_cache_flush(&mine->harden->heap->caches, mine->cache, class_idx);
    atomic_store_explicit(slot.state, KILN_SLOT_FREE, memory_order_relaxed);
    kiln_cache_bin_push(mine->cache, class_idx, slot);
}

/* The slot leaves the quarantine, or never was in it. */
static inline void release(kiln_harden_t *harden, kiln_harden_thread_t *mine, uint32_t class_idx,
                           kiln_slot_t slot, kiln_site_t site)
{
    size_t slot_bytes = harden->shapes[class_idx].slot_bytes;
    if (harden->freed_byte != 0) {
        if (__builtin_expect(!kiln_fill_holds(slot.block, slot_bytes, harden->freed_byte), 0))
            tell_of_slot(harden, slot, KILN_SLOT_QUARANTINED, site);
        kiln_harden_busy(slot.state);
        kiln_fill(slot.block, slot_bytes, 0);
    }
    if (__builtin_expect(mine != NULL, 1)) {
        kiln_harden_push(mine, class_idx, slot, site);
        return;
    }
    atomic_store_explicit(slot.state, KILN_SLOT_FREE, memory_order_relaxed);
    kiln_central_give(&harden->heap->central[class_idx], &slot, 1);
}

/* The block was just claimed. */
static void retire(kiln_harden_t *harden, kiln_harden_thread_t *mine, kiln_span_t *span,
                   uint32_t slot_idx, void *block, kiln_site_t site)
{
    uint32_t class_idx = span->class_idx;
    const kiln_note_shape_t *shape = &harden->shapes[class_idx];
    kiln_slot_t slot = {block, &span->states[slot_idx]};
    char *end = (char *)block + shape->slot_bytes;
    if (__builtin_expect(
            !kiln_canary_holds(&harden->canary, end, kiln_note_slack(shape, slot.state)), 0))
        kiln_harden_tell(harden, span, slot_idx, KILN_SLOT_LIVE, site);
    kiln_fill(block, shape->slot_bytes, harden->freed_byte);
    if (__builtin_expect(harden->keeps_who, 0)) kiln_harden_note_free(harden, span, slot_idx, site);
    atomic_store_explicit(slot.state, KILN_SLOT_QUARANTINED, memory_order_release);
    if (mine) slot = kiln_quarantine_push(&mine->bins[class_idx].ring, slot);
    if (__builtin_expect(slot.block != NULL, 1)) release(harden, mine, class_idx, slot, site);
}

__attribute__((noinline, cold)) void kiln_harden_retire_ruined(kiln_harden_thread_t *mine,
                                                               void *block, kiln_site_t site)
{
    kiln_span_t *span = kiln_page_map_find(&mine->harden->heap->map, (uintptr_t)block);
    uint32_t slot_idx = kiln_span_slot_at(span, (uintptr_t)block - kiln_span_base(span));
    retire(mine->harden, mine, span, slot_idx, block, site);
}

void kiln_harden_release(kiln_harden_t *harden, kiln_harden_thread_t *mine, uint32_t class_idx,
                         kiln_slot_t slot, kiln_site_t site)
{
    release(harden, mine, class_idx, slot, site);
}

/* Is a live block freed by another family's function? What is no live block is told as that. */
static inline bool is_slot_mismatch(const kiln_harden_t *harden, const kiln_span_t *span,
                                    uint32_t slot_idx, kiln_site_t site)
{
    if (!harden->config.families) return false;
    uint16_t who = atomic_load_explicit(
        &kiln_note_stacks(harden->shapes, span, slot_idx)->alloc_who, memory_order_relaxed);
    return who >> KILN_NOTE_FAMILY_SHIFT != kiln_site_family(site) &&
           atomic_load_explicit(&span->states[slot_idx], memory_order_relaxed) == KILN_SLOT_LIVE;
}

static bool is_mismatch(const kiln_harden_t *harden, const void *block, kiln_site_t site)
{
    if (!harden->config.families) return false;
    const kiln_span_t *span = kiln_page_map_find_fast(&harden->heap->map, (uintptr_t)block);
    uint32_t slot_idx =
        span ? kiln_span_small_slot_at(span, (uintptr_t)block - kiln_span_base(span)) : UINT32_MAX;
    if (slot_idx != UINT32_MAX) return is_slot_mismatch(harden, span, slot_idx, site);
    kiln_harden_about_t about = kiln_harden_about(harden, (uintptr_t)block);
    return about.known && about.live && about.block == (uintptr_t)block &&
           about.family != kiln_site_family(site);
}

static __attribute__((noinline)) kiln_misuse_t free_slow(kiln_harden_t *harden,
                                                         kiln_harden_thread_t *mine, void *block,
                                                         kiln_site_t site)
{
    if (is_mismatch(harden, block, site)) return KILN_MISUSE_FAMILY;
    if (kiln_harden_guards(harden, block)) return kiln_harden_guarded_free(harden, block, site);
    kiln_heap_found_t found = kiln_heap_find(harden->heap, block);
    if (found.misuse != KILN_MISUSE_NONE) return found.misuse;
    if (!kiln_harden_claim(harden->heap, found.state)) return KILN_MISUSE_DOUBLE_FREE;
    uint32_t slot_idx = (uint32_t)(found.state - found.span->states);
    if (found.span->class_idx == KILN_CLASS_LARGE)
        kiln_harden_large_retire(harden, found.span, site);
    else
        retire(harden, mine, found.span, slot_idx, block, site);
    return KILN_MISUSE_NONE;
}

kiln_misuse_t kiln_harden_free(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                               kiln_site_t site)
{
    kiln_span_t *span = kiln_page_map_find_fast(&harden->heap->map, (uintptr_t)block);
    if (__builtin_expect(!span || !mine, 0)) return free_slow(harden, mine, block, site);
    uint32_t slot_idx = kiln_span_small_slot_at(span, (uintptr_t)block - kiln_span_base(span));
    if (__builtin_expect(slot_idx == UINT32_MAX, 0)) return free_slow(harden, mine, block, site);
    if (is_slot_mismatch(harden, span, slot_idx, site)) return KILN_MISUSE_FAMILY;
    if (!kiln_harden_claim(harden->heap, &span->states[slot_idx]))
        return free_slow(harden, mine, block, site);
    retire(harden, mine, span, slot_idx, block, site);
    return KILN_MISUSE_NONE;
}

/* What was asked for, of a live block. */
static size_t asked_of(const kiln_harden_t *harden, const kiln_heap_found_t *found)
{
    if (found->span->class_idx == KILN_CLASS_LARGE)
        return atomic_load_explicit(&kiln_note_large(found->span)->asked, memory_order_relaxed);
    const kiln_note_shape_t *shape = &harden->shapes[found->span->class_idx];
    return shape->slot_bytes - kiln_note_slack(shape, found->state);
}

size_t kiln_harden_usable(kiln_harden_t *harden, const void *block, kiln_misuse_t *out_misuse)
{
    if (kiln_harden_guards(harden, block))
        return kiln_guard_usable(harden->config.guard, block, out_misuse);
    kiln_heap_found_t found = kiln_heap_find(harden->heap, block);
    *out_misuse = found.misuse;
    return found.misuse == KILN_MISUSE_NONE ? asked_of(harden, &found) : 0;
}

kiln_misuse_t kiln_harden_free_sized(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                                     size_t align, size_t bytes, kiln_site_t site)
{
    kiln_misuse_t misuse;
    size_t asked = kiln_harden_usable(harden, block, &misuse);
    if (misuse != KILN_MISUSE_NONE) return misuse;
    if (is_mismatch(harden, block, site))
        return KILN_MISUSE_FAMILY; /* the size is another's, too */
    if (align != 0 && (!kiln_is_power_of_two(align) || !kiln_is_aligned((uintptr_t)block, align)))
        return KILN_MISUSE_ALIGNMENT;
    if (asked != bytes) return KILN_MISUSE_SIZE;
    return kiln_harden_free(harden, mine, block, site);
}

/* ---- realloc ---- */

/* The block stays in its slot, which has room, and is `bytes` long from now on. */
static void resize_small(kiln_harden_t *harden, const kiln_heap_found_t *found, char *block,
                         size_t asked, size_t bytes)
{
    const kiln_note_shape_t *shape = &harden->shapes[found->span->class_idx];
    if (bytes > asked) memset(block + asked, harden->fresh_byte, bytes - asked);
    kiln_note_set_slack(shape, found->state, shape->slot_bytes - bytes);
    kiln_canary_write(&harden->canary, block + shape->slot_bytes, shape->slot_bytes - bytes);
}

static bool fits_here(kiln_harden_t *harden, const kiln_heap_found_t *found, char *block,
                      size_t asked, size_t bytes)
{
    kiln_span_t *span = found->span;
    size_t has = kiln_span_slot_bytes(span), needs = bytes + 1;
    if (span->class_idx == KILN_CLASS_LARGE)
        return needs > KILN_SMALL_MAX && kiln_harden_large_resize(harden, span, asked, bytes);
    if (needs > has || (needs <= has / 2 && kiln_heap_class_for(1, needs) != span->class_idx))
        return false;
    resize_small(harden, found, block, asked, bytes);
    return true;
}

/* Room for what is to replace a block; with a half to spare where a large one grows: the next time
 * it need not move. What is spare faults, and most often has no memory behind it, as freed large
 * blocks leave none. */
static void *take_to_move(kiln_harden_t *harden, kiln_harden_thread_t *mine, bool grows_large,
                          size_t bytes, kiln_site_t site)
{
    if (grows_large && bytes < PTRDIFF_MAX / 2) {
        size_t room_bytes = bytes + bytes / 2;
        void *fresh = kiln_harden_large_malloc(harden, 1, bytes, room_bytes, false, site);
        if (fresh) return fresh;
    }
    return kiln_harden_malloc(harden, mine, bytes, false, site);
}

/* Damage is told once: what the canary held is put back. */
static void check_slack(kiln_harden_t *harden, const kiln_span_t *span, uint32_t slot_idx,
                        size_t asked, kiln_site_t site)
{
    size_t slot_bytes = kiln_span_slot_bytes(span);
    uintptr_t start = kiln_span_base(span) + slot_idx * slot_bytes + asked;
    uintptr_t end = start - asked + slot_bytes;
    if (span->class_idx == KILN_CLASS_LARGE) end = kiln_harden_canary_end(span, asked);
    if (kiln_canary_holds(&harden->canary, (const char *)end, end - start)) return;
    kiln_harden_tell(harden, span, slot_idx, KILN_SLOT_LIVE, site);
    kiln_canary_write(&harden->canary, (char *)end, end - start);
}

/* A guarded block cannot be resized: its end, or its start, is where the guard is. */
static void *move_guarded(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                          size_t bytes, kiln_site_t site, kiln_misuse_t *out_misuse)
{
    size_t asked = kiln_harden_usable(harden, block, out_misuse);
    if (*out_misuse != KILN_MISUSE_NONE) return NULL;
    void *fresh = kiln_harden_malloc(harden, mine, bytes, false, site);
    if (!fresh) return NULL;
    memcpy(fresh, block, asked < bytes ? asked : bytes);
    *out_misuse = kiln_harden_guarded_free(harden, block, site);
    return fresh;
}

void *kiln_harden_realloc(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                          size_t bytes, kiln_site_t site, kiln_misuse_t *out_misuse)
{
    if (is_mismatch(harden, block, site)) {
        *out_misuse = KILN_MISUSE_FAMILY;
        return NULL;
    }
    if (kiln_harden_guards(harden, block))
        return move_guarded(harden, mine, block, bytes, site, out_misuse);
    kiln_heap_found_t found = kiln_heap_find(harden->heap, block);
    *out_misuse = found.misuse;
    if (found.misuse != KILN_MISUSE_NONE || bytes >= PTRDIFF_MAX) return NULL;
    if (!kiln_harden_claim(harden->heap, found.state)) {
        *out_misuse = KILN_MISUSE_DOUBLE_FREE;
        return NULL;
    }
    bool is_large = found.span->class_idx == KILN_CLASS_LARGE;
    uint32_t slot_idx = (uint32_t)(found.state - found.span->states);
    size_t asked = asked_of(harden, &found);
    check_slack(harden, found.span, slot_idx, asked, site);
    if (fits_here(harden, &found, block, asked, bytes)) {
        if (harden->keeps_who) kiln_harden_note_alloc(harden, found.span, slot_idx, site);
        atomic_store_explicit(found.state, KILN_SLOT_LIVE, memory_order_release);
        return block;
    }
    void *fresh = take_to_move(harden, mine, is_large && bytes > asked, bytes, site);
    if (!fresh) { /* the block is as it was, and stays so */
        atomic_store_explicit(found.state, KILN_SLOT_LIVE, memory_order_release);
        return NULL;
    }
    memcpy(fresh, block, asked < bytes ? asked : bytes);
    if (is_large)
        kiln_harden_large_retire(harden, found.span, site);
    else
        retire(harden, mine, found.span, slot_idx, block, site);
    return fresh;
}
