/* What is wrong with a slot, and with all of them. */
#include "allocator/harden/harden.h"

/* Behind a large block the canary covers this much at most: not all of the room that a block which
 * grew was given, most of which has no memory yet. */
enum { CANARY_LARGE_BYTES = KILN_PAGE_BYTES };

/* How often a slot must look damaged in the same way, in a state that did not change meanwhile,
 * before it is believed; and how often it is looked at at most. */
enum { LOOKS = 8, LOOKS_MAX = 1000 };

uintptr_t kiln_harden_canary_end(const kiln_span_t *span, size_t asked)
{
    size_t open_bytes =
        atomic_load_explicit(&kiln_note_large(span)->open_bytes, memory_order_relaxed);
    if (open_bytes == 0) open_bytes = kiln_span_slots_bytes(span);
    uintptr_t last = kiln_span_base(span) + open_bytes;
    uintptr_t end = (uintptr_t)kiln_round_up(kiln_span_base(span) + asked, KILN_FILL_UNIT);
    return last - end > CANARY_LARGE_BYTES ? end + CANARY_LARGE_BYTES : last;
}

static kiln_harden_about_t about_slot(const kiln_harden_t *harden, const kiln_span_t *span,
                                      uint32_t slot_idx, uint8_t state)
{
    kiln_harden_about_t about = {.live = state == KILN_SLOT_LIVE, .busy = state == KILN_SLOT_BUSY};
    size_t slot_bytes = kiln_span_slot_bytes(span), asked;
    if (span->class_idx == KILN_CLASS_LARGE) {
        asked = atomic_load_explicit(&kiln_note_large(span)->asked, memory_order_relaxed);
        about.known = slot_bytes > 0;
    } else {
        size_t slack = kiln_note_slack(&harden->shapes[span->class_idx], &span->states[slot_idx]);
        about.known = slack > 0; /* 0: nobody ever had it */
        asked = slack < slot_bytes ? slot_bytes - slack : 0;
    }
    about.block = kiln_span_base(span) + slot_idx * slot_bytes;
    about.slot_bytes = slot_bytes;
    about.asked = asked < slot_bytes ? asked : 0;
    if (harden->keeps_who) {
        const kiln_note_stacks_t *note = kiln_note_stacks(harden->shapes, span, slot_idx);
        about.alloc_stack = atomic_load_explicit(&note->alloc_stack, memory_order_relaxed);
        about.free_stack = atomic_load_explicit(&note->free_stack, memory_order_relaxed);
        uint16_t who = atomic_load_explicit(&note->alloc_who, memory_order_relaxed);
        about.alloc_thread = who & KILN_NOTE_THREAD_MAX;
        about.family = (kiln_family_t)(who >> KILN_NOTE_FAMILY_SHIFT);
        about.free_thread = atomic_load_explicit(&note->free_thread, memory_order_relaxed);
    }
    return about;
}

/* Behind the last of the bytes [start, end) that is not as it should be. */
static uintptr_t end_of_bad(const kiln_harden_t *harden, uintptr_t start, uintptr_t end,
                            bool canary, uint8_t byte)
{
    while (end > start) {
        uint8_t wanted = canary ? kiln_canary_byte(&harden->canary, end - 1) : byte;
        if (*(const uint8_t *)(end - 1) != wanted) break;
        end--;
    }
    return end;
}

/* Slack that is damaged from its first byte on was overflowed into by its own block. If that byte
 * is whole and the last one is not, somebody came from the other side, if a block begins there, or
 * did: there is none behind the last slot of a span, nor where no block ever was. */
static kiln_damage_kind_t kind_of_slack(const kiln_harden_t *harden, const kiln_damage_t *damage,
                                        uintptr_t start, uintptr_t end)
{
    if (damage->first == start || damage->end != end) return KILN_DAMAGE_OVERFLOW;
    kiln_harden_about_t behind = kiln_harden_about(harden, end);
    return behind.known && behind.block == end ? KILN_DAMAGE_UNDERFLOW : KILN_DAMAGE_OVERFLOW;
}

static kiln_damage_t look_at_live(const kiln_harden_t *harden, const kiln_span_t *span,
                                  uint32_t slot_idx, uint8_t state)
{
    kiln_damage_t damage = {.block = about_slot(harden, span, slot_idx, state)};
    uintptr_t start = damage.block.block + damage.block.asked;
    uintptr_t end = damage.block.block + damage.block.slot_bytes;
    if (span->class_idx == KILN_CLASS_LARGE) end = kiln_harden_canary_end(span, damage.block.asked);
    if (kiln_canary_holds(&harden->canary, (const char *)end, end - start)) return damage;
    damage.first = kiln_canary_first_bad(&harden->canary, start, end);
    if (damage.first >= end) return damage; /* it was just written */
    damage.end = end_of_bad(harden, damage.first, end, true, 0);
    damage.kind = kind_of_slack(harden, &damage, start, end);
    return damage;
}

static kiln_damage_t look_at_free(const kiln_harden_t *harden, const kiln_span_t *span,
                                  uint32_t slot_idx, uint8_t state)
{
    kiln_damage_t damage = {.kind = KILN_DAMAGE_NONE};
    uint8_t byte = state == KILN_SLOT_QUARANTINED ? harden->freed_byte : 0;
    size_t slot_bytes = kiln_span_slot_bytes(span);
    uintptr_t start = kiln_span_base(span) + slot_idx * slot_bytes, end = start + slot_bytes;
    if (kiln_fill_holds((const char *)start, slot_bytes, byte)) return damage;
    damage.block = about_slot(harden, span, slot_idx, state);
    damage.first = kiln_fill_first_bad(start, end, byte);
    if (damage.first >= end) return damage;
    damage.end = end_of_bad(harden, damage.first, end, false, byte);
    damage.kind = damage.block.known ? KILN_DAMAGE_USE_AFTER_FREE : KILN_DAMAGE_WILD_WRITE;
    return damage;
}

kiln_damage_t kiln_harden_look(const kiln_harden_t *harden, const kiln_span_t *span,
                               uint32_t slot_idx, uint8_t state)
{
    bool is_live = state == KILN_SLOT_LIVE;
    if (!is_live && span->class_idx == KILN_CLASS_LARGE) return (kiln_damage_t){.end = 0};
    return is_live ? look_at_live(harden, span, slot_idx, state)
                   : look_at_free(harden, span, slot_idx, state);
}

/* A large block is LIVE before it has its canary. */
static bool is_ready(const kiln_span_t *span, uint8_t state)
{
    return span->class_idx != KILN_CLASS_LARGE || state != KILN_SLOT_LIVE ||
           atomic_load_explicit(&kiln_note_large(span)->ready, memory_order_acquire);
}

/* Is a slot damaged, and stays so? The state is read before and after the bytes: a thread that
 * changes them makes it BUSY before. */
static kiln_damage_t look_until_sure(const kiln_harden_t *harden, const kiln_span_t *span,
                                     uint32_t slot_idx)
{
    kiln_damage_t none = {.kind = KILN_DAMAGE_NONE}, damage = none;
    unsigned same = 0;
    for (unsigned look = 0; look < LOOKS_MAX && same < LOOKS; look++) {
        uint8_t state = atomic_load_explicit(&span->states[slot_idx], memory_order_acquire);
        if (state == KILN_SLOT_BUSY || !is_ready(span, state)) return none;
        kiln_damage_t now = kiln_harden_look(harden, span, slot_idx, state);
        if (now.kind == KILN_DAMAGE_NONE) return none;
        atomic_thread_fence(memory_order_acquire);
        bool changed =
            atomic_load_explicit(&span->states[slot_idx], memory_order_relaxed) != state ||
            !is_ready(span, state);
        same = !changed && now.first == damage.first && now.kind == damage.kind ? same + 1 : 0;
        damage = now;
    }
    return same == LOOKS ? damage : none;
}

static uint64_t check_span(kiln_harden_t *harden, const kiln_span_t *span, kiln_site_t site)
{
    uint64_t damaged = 0;
    for (uint32_t i = 0; i < kiln_span_slots(span); i++) {
        kiln_damage_t damage = look_until_sure(harden, span, i);
        if (damage.kind == KILN_DAMAGE_NONE) continue;
        damaged++;
        harden->config.found(&damage, site);
    }
    return damaged;
}

static bool is_wanted(const kiln_span_t *span, kiln_wants_t *wants, const void *ctx)
{
    size_t record_bytes = sizeof *span + kiln_span_slots(span);
    return !wants || wants(ctx, span, record_bytes) ||
           wants(ctx, (const void *)kiln_span_base(span), kiln_span_slots_bytes(span));
}

/* The page heap's lock keeps spans from coming and going; slots change all the while. */
uint64_t kiln_harden_check(kiln_harden_t *harden, kiln_site_t site)
{
    return kiln_harden_check_some(harden, NULL, NULL, site);
}

uint64_t kiln_harden_check_some(kiln_harden_t *harden, kiln_wants_t *wants, const void *ctx,
                                kiln_site_t site)
{
    kiln_page_heap_t *pages = &harden->heap->pages;
    uint64_t damaged = 0;
    kiln_page_heap_lock(pages);
    for (const kiln_region_t *region = pages->regions; region; region = region->next)
        for (uintptr_t addr = region->start; addr < region->end;) {
            const kiln_span_t *span = kiln_page_map_find(&pages->map, addr);
            bool in_use = span->kind == KILN_SPAN_SMALL || span->kind == KILN_SPAN_LARGE;
            if (in_use && is_wanted(span, wants, ctx)) damaged += check_span(harden, span, site);
            addr = kiln_span_end(span);
        }
    kiln_page_heap_unlock(pages);
    if (harden->config.guard) damaged += kiln_harden_guarded_check(harden, wants, ctx, site);
    return damaged;
}

kiln_harden_about_t kiln_harden_about(const kiln_harden_t *harden, uintptr_t address)
{
    kiln_harden_about_t about = {.known = false};
    if (kiln_harden_guards(harden, (const void *)address))
        return kiln_harden_guarded_about(harden, address);
    kiln_heap_about_t heap = kiln_heap_about(harden->heap, (const void *)address);
    if (!heap.heap || heap.slot_bytes == 0) return about;
    const kiln_span_t *span = kiln_page_map_find(&harden->heap->map, (uintptr_t)heap.block);
    if (!span) return about;
    uint32_t slot_idx = kiln_span_slot_at(span, (uintptr_t)heap.block - kiln_span_base(span));
    if (slot_idx >= kiln_span_slots(span)) return about; /* none; or the record is ruined */
    uint8_t state = atomic_load_explicit(&span->states[slot_idx], memory_order_relaxed);
    return about_slot(harden, span, slot_idx, state);
}
