#include "allocator/heap/span.h"

#include "allocator/base/check.h"

#include <string.h>

enum { WORD_BITS = 64 };

static uint32_t bits_offset(uint32_t slots)
{
    return (uint32_t)kiln_round_up(offsetof(kiln_span_t, states) + slots, sizeof(uint64_t));
}

static uint64_t *free_bits(const kiln_span_t *span)
{
    return (uint64_t *)((uintptr_t)span + bits_offset(kiln_size_classes[span->class_idx].slots));
}

static uint32_t words(uint32_t slots)
{
    return (slots + WORD_BITS - 1) / WORD_BITS;
}

static size_t own_bytes(uint32_t class_idx)
{
    if (class_idx == KILN_CLASS_LARGE) return offsetof(kiln_span_t, states) + 1;
    uint32_t slots = kiln_size_classes[class_idx].slots;
    return bits_offset(slots) + words(slots) * sizeof(uint64_t);
}

static size_t notes_start(uint32_t class_idx)
{
    return (size_t)kiln_round_up(own_bytes(class_idx), sizeof(uint64_t));
}

size_t kiln_span_record_bytes(uint32_t class_idx, uint32_t note_bytes)
{
    if (note_bytes == 0) return own_bytes(class_idx);
    size_t notes_bytes = (size_t)kiln_size_classes[class_idx].slots * note_bytes;
    if (class_idx == KILN_CLASS_LARGE) notes_bytes = KILN_SPAN_LARGE_NOTE_BYTES;
    return notes_start(class_idx) + notes_bytes;
}

size_t kiln_span_notes_offset(uint32_t class_idx)
{
    return notes_start(class_idx) - offsetof(kiln_span_t, states);
}

void kiln_span_shape(kiln_span_t *span, uint32_t class_idx)
{
    span->class_idx = (uint8_t)class_idx;
    if (class_idx == KILN_CLASS_LARGE) return;
    span->inverse = kiln_slot_inverse(kiln_size_classes[class_idx].slot_bytes);
}

static void fill_free_bits(kiln_span_t *span)
{
    uint32_t slots = kiln_span_slots(span);
    uint64_t *bits = free_bits(span);
    for (uint32_t i = 0; i < words(slots); i++) bits[i] = UINT64_MAX;
    if (slots % WORD_BITS) bits[words(slots) - 1] = (UINT64_C(1) << slots % WORD_BITS) - 1;
    span->first_word = 0;
}

/* Which slots are all zero the dirty pages tell; a reader without a lock finds none live. */
static void note_fresh(kiln_span_t *span)
{
    size_t slot_bytes = kiln_span_slot_bytes(span);
    if (slot_bytes <= KILN_SPAN_FRESH_MIN) return;
    size_t dirty_start = (size_t)span->dirty_start << KILN_PAGE_SHIFT;
    size_t dirty_end = (size_t)span->dirty_end << KILN_PAGE_SHIFT, start = 0;
    for (uint32_t i = 0; i < kiln_span_slots(span); i++, start += slot_bytes) {
        bool dirty = start < dirty_end && start + slot_bytes > dirty_start;
        atomic_store_explicit(&span->states[i], dirty ? KILN_SLOT_FREE : KILN_SLOT_FRESH,
                              memory_order_relaxed);
    }
}

void kiln_span_open(kiln_span_t *span, uintptr_t base, uint32_t pages)
{
    size_t slots_bytes = (size_t)pages << KILN_PAGE_SHIFT;
    uint16_t slots = 0;
    span->left = span->right = NULL;
    span->pages = pages;
    kiln_span_set_base(span, base);
    if (span->class_idx == KILN_CLASS_LARGE) {
        span->kind = KILN_SPAN_LARGE;
        span->used = 1;
        atomic_store_explicit(&span->states[0], KILN_SLOT_LIVE, memory_order_relaxed);
    } else {
        span->kind = KILN_SPAN_SMALL;
        span->used = 0;
        fill_free_bits(span);
        note_fresh(span);
        slots = kiln_size_classes[span->class_idx].slots;
        slots_bytes = slots * kiln_span_slot_bytes(span);
    }
    atomic_store_explicit(&span->slots, slots, memory_order_relaxed);
    atomic_store_explicit(&span->slots_bytes, slots_bytes, memory_order_relaxed);
}

void kiln_span_clear(const kiln_span_t *span, size_t bytes)
{
    size_t start = (size_t)span->dirty_start << KILN_PAGE_SHIFT;
    size_t end = (size_t)span->dirty_end << KILN_PAGE_SHIFT;
    if (end > bytes) end = bytes;
    if (start < end) memset((char *)kiln_span_base(span) + start, 0, end - start);
}

void kiln_span_close(kiln_span_t *span)
{
    if (span->class_idx == KILN_CLASS_LARGE) {
        span->used = 0;
        atomic_store_explicit(&span->states[0], KILN_SLOT_FREE, memory_order_relaxed);
    }
    KILN_ASSERT(span->used == 0);
    atomic_store_explicit(&span->slots, 0, memory_order_relaxed);
    atomic_store_explicit(&span->slots_bytes, 0, memory_order_relaxed);
}

/* How many slots to take at once, of those whose free bits are `bits` and of which the first is
 * free: all, up to `most`, if they lie side by side, as they mostly do; else that one. */
static uint32_t run_of(uint64_t bits, uint32_t most)
{
    if ((bits & (bits + 1)) != 0) return 1;
    uint32_t all = bits == UINT64_MAX ? WORD_BITS : (uint32_t)__builtin_ctzll(bits + 1);
    return all < most ? all : most;
}

/* The slots of a word have their states in one cache line (span.h). */
static uint32_t untouched_word(const kiln_span_t *span)
{
    const uint64_t *bits = free_bits(span);
    uint32_t whole = kiln_span_slots(span) / WORD_BITS;
    for (uint32_t i = span->first_word; i < whole; i++)
        if (bits[i] == UINT64_MAX) return i;
    return span->first_word;
}

uint32_t kiln_span_take_apart(kiln_span_t *span, kiln_slot_t *out_end, uint32_t slots_max)
{
    uint16_t first_word = span->first_word, apart = (uint16_t)untouched_word(span);
    span->first_word = apart;
    uint32_t taken = kiln_span_take(span, out_end, slots_max);
    if (apart != first_word) span->first_word = first_word;
    return taken;
}

uint32_t kiln_span_take(kiln_span_t *span, kiln_slot_t *out_end, uint32_t slots_max)
{
    uint64_t *bits = free_bits(span);
    uint32_t word_end = words(kiln_span_slots(span)), word_idx = span->first_word, taken = 0;
    uintptr_t base = kiln_span_base(span);
    size_t slot_bytes = kiln_span_slot_bytes(span);
    uint8_t states = KILN_SLOT_FREE; /* of all: FRESH is a bit that no other state has */

    for (; word_idx < word_end && taken < slots_max; word_idx++) {
        uint64_t word = bits[word_idx];
        for (uint32_t most; word != 0 && (most = slots_max - taken) > 0;) {
            uint32_t first = (uint32_t)__builtin_ctzll(word), run = run_of(word >> first, most);
            uint32_t slot_idx = word_idx * WORD_BITS + first;
            uintptr_t block = base + slot_idx * slot_bytes;
            for (uint32_t i = 0; i < run; i++, block += slot_bytes) {
                *--out_end = (kiln_slot_t){(void *)block, &span->states[slot_idx + i]};
                states |= atomic_load_explicit(&span->states[slot_idx + i], memory_order_relaxed);
            }
            word &= run + first < WORD_BITS ? UINT64_MAX << (run + first) : 0;
            taken += run;
        }
        bits[word_idx] = word;
        if (word != 0) break;
    }
    span->first_word = (uint16_t)word_idx;
    span->used = (uint16_t)(span->used + taken);
    return __builtin_expect(kiln_slot_is_free(states), 1) ? taken : 0;
}

bool kiln_span_is_whole(const kiln_span_t *span)
{
    uint32_t slots = kiln_span_slots(span), whole = slots / WORD_BITS, rest = slots % WORD_BITS;
    const uint64_t *bits = free_bits(span);
    for (uint32_t i = 0; i < whole; i++)
        if (bits[i] != UINT64_MAX) return false;
    return rest == 0 || bits[whole] == (UINT64_C(1) << rest) - 1;
}

bool kiln_span_is_out(const kiln_span_t *span, uint32_t slot_idx)
{
    return (free_bits(span)[slot_idx / WORD_BITS] >> slot_idx % WORD_BITS & 1) == 0;
}

/* Slots that are given together mostly lie together: a word of free bits is read when it is come
 * to, and not for every slot. A state tells its slot, and whether it is of this span. */
uint32_t kiln_span_give(kiln_span_t *span, const kiln_slot_t *slots, uint32_t count)
{
    uint64_t *bits = free_bits(span), word = 0;
    uint32_t given = 0, first_word = span->first_word, word_idx = UINT32_MAX;
    uintptr_t states = (uintptr_t)span->states, slots_end = kiln_span_slots(span);

    for (; given < count; given++) {
        uintptr_t slot_idx = (uintptr_t)slots[given].state - states;
        if (slot_idx >= slots_end) break;
        KILN_ASSERT(kiln_slot_is_free(span->states[slot_idx]));
        if (__builtin_expect(slot_idx / WORD_BITS != word_idx, 0)) {
            if (word_idx != UINT32_MAX) bits[word_idx] = word;
            word_idx = (uint32_t)(slot_idx / WORD_BITS);
            word = bits[word_idx];
            if (word_idx < first_word) first_word = word_idx;
        }
        word |= UINT64_C(1) << slot_idx % WORD_BITS;
    }
    if (__builtin_expect(given == 0 || given > span->used, 0)) return 0;
    bits[word_idx] = word;
    span->first_word = (uint16_t)first_word;
    span->used = (uint16_t)(span->used - given);
    return given;
}

static const char *broken_small_rule(const kiln_span_t *span)
{
    const kiln_size_class_t *class = &kiln_size_classes[span->class_idx];
    const uint64_t *bits = free_bits(span);
    uint32_t used = 0;

    if (span->class_idx == KILN_CLASS_LARGE) return "a small span has a size class";
    if (span->pages != class->span_pages) return "the pages of a span are those of its class";
    if (span->inverse != kiln_slot_inverse(class->slot_bytes))
        return "the inverse of a record is that of its class";
    if (span->slots != class->slots) return "the slots of a span are those of its class";
    if (span->slots_bytes != (size_t)class->slots * class->slot_bytes)
        return "slots_bytes is what the slots take";
    for (uint32_t i = 0; i < class->slots; i++) {
        bool out = kiln_span_is_out(span, i);
        if (!out && !kiln_slot_is_free(span->states[i])) return "a slot in its span is free";
        if (!out && i / WORD_BITS < span->first_word) return "no free slot below first_word";
        if (span->states[i] > KILN_SLOT_BUSY && !kiln_slot_is_free(span->states[i]))
            return "a slot state has a name";
        used += out;
    }
    if (class->slots % WORD_BITS && bits[words(class->slots) - 1] >> class->slots % WORD_BITS)
        return "no free bit past the slots";
    if (used != span->used) return "used == slots that are out";
    return NULL;
}

const char *kiln_span_broken_rule(const kiln_span_t *span)
{
    bool in_use = span->kind == KILN_SPAN_SMALL || span->kind == KILN_SPAN_LARGE;
    if (!in_use && (span->slots_bytes != 0 || span->slots != 0))
        return "only a span in use has slots";
    if (span->kind == KILN_SPAN_SPARE) return NULL;
    if (span->pages == 0) return "a span has pages";
    if (!kiln_is_aligned(kiln_span_base(span), KILN_PAGE_BYTES)) return "a span is page aligned";
    if (span->kind == KILN_SPAN_SMALL) return broken_small_rule(span);
    if (span->kind == KILN_SPAN_LARGE) {
        if (span->class_idx != KILN_CLASS_LARGE || span->inverse != 0 || span->slots != 0)
            return "a large span is of no size class";
        if (span->slots_bytes != (size_t)span->pages << KILN_PAGE_SHIFT)
            return "a large block is all of its pages";
        return NULL;
    }
    if (span->kind == KILN_SPAN_LENT) return NULL;
    if (span->dirty_start > span->dirty_end || span->dirty_end > span->pages)
        return "the dirty pages lie in the run";
    if (span->kind == KILN_SPAN_DISCARDED && span->dirty_start != span->dirty_end)
        return "a discarded run is not dirty";
    return NULL;
}
