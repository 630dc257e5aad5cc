#include "allocator/heap/central.h"

#include "allocator/base/check.h"

void kiln_central_init(kiln_central_t *central, kiln_page_heap_t *pages, uint32_t class_idx)
{
    *central = (kiln_central_t){.class_idx = class_idx, .pages = pages};
}

void kiln_central_lock(kiln_central_t *central)
{
    kiln_lock_acquire(&central->lock, &central->pages->os->parker);
}

void kiln_central_unlock(kiln_central_t *central)
{
    kiln_lock_release(&central->lock, &central->pages->os->parker);
}

static void list_add(kiln_central_t *central, kiln_span_t *span)
{
    span->left = NULL;
    span->right = central->partial;
    if (span->right) span->right->left = span;
    central->partial = span;
}

static void list_remove(kiln_central_t *central, kiln_span_t *span)
{
    if (span->right) span->right->left = span->left;
    if (span->left)
        span->left->right = span->right;
    else
        central->partial = span->right;
}

/* Spans that are looked at for one of a taker's own. */
enum { LOOKS = 8 };

static uint16_t taker_of(const kiln_span_t *span)
{
    return atomic_load_explicit(&span->taker, memory_order_relaxed);
}

/* One of the first spans that is the taker's, or nobody's. */
static kiln_span_t *span_of(const kiln_central_t *central, kiln_taker_t taker)
{
    kiln_span_t *span = central->partial;
    for (unsigned looks = 0; span && looks < LOOKS; looks++, span = span->right)
        if (taker_of(span) == taker.number || taker_of(span) == 0) return span;
    return NULL;
}

/* May the taker have a span more than the class needs? */
static bool may_open(const kiln_central_t *central, kiln_taker_t taker, uint32_t slots_max)
{
    uint64_t slots = kiln_size_classes[central->class_idx].slots;
    uint64_t unused = central->spans * slots - central->slots_out;
    uint64_t spans_max = central->spans / KILN_TAKER_SHARE + KILN_TAKER_SPANS;
    if (spans_max > UINT64_C(2) * taker.takers) spans_max = UINT64_C(2) * taker.takers;
    return taker.takers > 1 && slots_max >= KILN_TAKER_SLOTS_MIN && !central->was_refused &&
           unused < spans_max * slots;
}

static kiln_span_t *open_span(kiln_central_t *central)
{
    kiln_span_t *span = kiln_page_heap_small(central->pages, central->class_idx);
    central->was_refused = !span;
    if (!span) return NULL;
    list_add(central, span);
    central->spans++;
    return span;
}

/* A taker without a number takes from any span. */
static kiln_span_t *span_with_room(kiln_central_t *central, kiln_taker_t taker, uint32_t slots_max)
{
    kiln_span_t *span = central->partial;
    if (span && taker.number != 0) span = span_of(central, taker);
    if (!span && (!central->partial || may_open(central, taker, slots_max)))
        span = open_span(central);
    if (!span) span = central->partial;
    return span;
}

uint32_t kiln_central_take(kiln_central_t *central, kiln_slot_t *out, uint32_t slots_max)
{
    return kiln_central_take_for(central, out, slots_max, (kiln_taker_t){0, 0});
}

/* Who takes few shares a span, but not the cache lines of its states with the one that took last.
 */
static uint32_t take_from(kiln_span_t *span, kiln_slot_t *out_end, uint32_t slots_max,
                          kiln_taker_t taker)
{
    bool shares =
        taker.takers > 1 && slots_max < KILN_TAKER_SLOTS_MIN && taker_of(span) != taker.number;
    atomic_store_explicit(&span->taker, taker.number, memory_order_relaxed);
    return shares ? kiln_span_take_apart(span, out_end, slots_max)
                  : kiln_span_take(span, out_end, slots_max);
}

uint32_t kiln_central_take_for(kiln_central_t *central, kiln_slot_t *out, uint32_t slots_max,
                               kiln_taker_t taker)
{
    const kiln_seal_t *seal = &central->pages->seal;
    uint32_t left = slots_max;
    kiln_central_lock(central);
    while (left > 0) {
        kiln_span_t *span = span_with_room(central, taker, slots_max);
        if (!span) break;
        kiln_span_check(seal, span);
        uint32_t taken = take_from(span, out + left, left, taker);
        if (__builtin_expect(taken == 0, 0)) kiln_seal_broken(seal, span);
        left -= taken;
        if (span->used == kiln_span_slots(span)) list_remove(central, span);
    }
    central->slots_out += slots_max - left;
    kiln_central_unlock(central);
    for (uint32_t i = left; left > 0 && i < slots_max; i++) out[i - left] = out[i];
    return slots_max - left;
}

static void release_span(kiln_central_t *central, kiln_span_t *span)
{
    if (!kiln_span_is_whole(span)) kiln_seal_broken(&central->pages->seal, span);
    list_remove(central, span);
    central->spans--;
    central->was_refused = false;
    kiln_page_heap_give(central->pages, span);
}

/* Gives those of `slots` that lie in the same span as the first one, and says how many. */
static uint32_t give_to_span(kiln_central_t *central, kiln_span_t *span, const kiln_slot_t *slots,
                             uint32_t count)
{
    const kiln_seal_t *seal = &central->pages->seal;
    if (__builtin_expect(!span || span->class_idx != central->class_idx, 0))
        kiln_seal_broken(seal, slots);
    kiln_span_check(seal, span);
    if (span->used == kiln_span_slots(span)) list_add(central, span);
    uint32_t given = kiln_span_give(span, slots, count);
    if (__builtin_expect(given == 0, 0)) kiln_seal_broken(seal, span);
    central->slots_out -= given;
    bool only_one = central->partial == span && !span->right;
    if (span->used == 0 && !only_one) release_span(central, span);
    return given;
}

void kiln_central_give(kiln_central_t *central, const kiln_slot_t *slots, uint32_t count)
{
    kiln_central_lock(central);
    for (uint32_t i = 0; i < count;) {
        kiln_span_t *span = kiln_page_map_find(&central->pages->map, (uintptr_t)slots[i].block);
        i += give_to_span(central, span, slots + i, count - i);
    }
    kiln_central_unlock(central);
}

void kiln_central_reclaim(kiln_central_t *central, kiln_slot_t slot)
{
    kiln_central_lock(central);
    uintptr_t addr = (uintptr_t)slot.block;
    kiln_span_t *span = kiln_page_map_find(&central->pages->map, addr);
    if (span && span->kind == KILN_SPAN_SMALL && span->class_idx == central->class_idx) {
        uint32_t slot_idx = kiln_span_slot_at(span, addr - kiln_span_base(span));
        if (slot_idx != UINT32_MAX && &span->states[slot_idx] == slot.state &&
            kiln_slot_is_free(atomic_load_explicit(slot.state, memory_order_relaxed)) &&
            kiln_span_is_out(span, slot_idx))
            (void)give_to_span(central, span, &slot, 1);
    }
    kiln_central_unlock(central);
}

void kiln_central_trim(kiln_central_t *central)
{
    kiln_central_lock(central);
    for (kiln_span_t *span = central->partial, *next; span; span = next) {
        next = span->right;
        if (span->used == 0) release_span(central, span);
    }
    kiln_central_unlock(central);
}

const char *kiln_central_broken_rule(const kiln_central_t *central)
{
    const kiln_span_t *left = NULL;
    uint64_t listed = 0, free_slots = 0;
    for (const kiln_span_t *span = central->partial; span; span = span->right) {
        if (span->kind != KILN_SPAN_SMALL || span->class_idx != central->class_idx)
            return "a size class lists its own spans";
        if (span->left != left) return "the list of partial spans is linked both ways";
        if (span->used >= kiln_span_slots(span)) return "a listed span has a free slot";
        if (++listed > central->spans) return "no more spans are listed than there are";
        free_slots += kiln_span_slots(span) - span->used;
        left = span;
    }
    uint64_t slots = central->spans * kiln_size_classes[central->class_idx].slots;
    if (slots - free_slots != central->slots_out) return "slots_out counts the slots that are out";
    return NULL;
}
