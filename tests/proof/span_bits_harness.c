/* The free bits of a span of class CLASS: from any state that satisfies the rule of spans, slots
 * taken out are the lowest free ones, each once, at the right address, and nothing else changes; a
 * slot given back is free, and nothing else changes; and the rule holds again. OP is the operation.
 * One slot, any, is watched.
 *
 * With more slots than a word of free bits has, that `used` counts those that are out is not
 * counted over: a solver takes minutes for two sums of many bits. It follows: `used` changes by the
 * slots that were taken or given, which are as many, and no other slot changes. */
#include "allocator/heap/size_class.h"
#include "tests/proof/proof.h"

#include <string.h>

/* What a clear writes: a range, so that cbmc need not copy bytes of any number. */
static uintptr_t cleared_start, cleared_bytes;

static void clear_range(void *start, int byte, size_t bytes)
{
    PROOF_ASSERT(byte == 0, "a clear writes zeros");
    cleared_start = (uintptr_t)start;
    cleared_bytes = bytes;
}

#define memset clear_range
#include "allocator/heap/span.c"
#undef memset

#ifdef COVER
enum { COVERS = 1 };
#else
enum { COVERS = 0 };
#endif
enum { TAKE, GIVE, OPEN };
enum { POINTER_BITS = 47 };
enum { TAKEN_MAX = 3, RECORD_WORDS = (sizeof(kiln_span_t) + SLOTS + SLOTS / 8) / 8 + 2 };

static union {
    kiln_span_t span;
    uint64_t words[RECORD_WORDS];
} record;

static kiln_span_t *any_span(void)
{
    kiln_span_t *span = &record.span;
    for (unsigned i = 0; i < RECORD_WORDS; i++) record.words[i] = nondet_uint64();
    span->kind = KILN_SPAN_SMALL;
    kiln_span_shape(span, CLASS);
    PROOF_ASSERT(kiln_span_slots(span) == SLOTS, "harness: SLOTS is what the class has");
    PROOF_ASSERT(kiln_span_record_bytes(CLASS, 0) <= sizeof record, "harness: the record fits");
    return span;
}

/* The notes of a layer above, of any size a slot, lie behind the record's own part; a large span's
 * have a size of their own. */
static void prove_notes(uint32_t class_idx)
{
    uint32_t note_bytes = nondet_below(KILN_SPAN_LARGE_NOTE_BYTES + 1);
    size_t start = offsetof(kiln_span_t, states) + kiln_span_notes_offset(class_idx);
    size_t notes_bytes =
        class_idx == KILN_CLASS_LARGE ? KILN_SPAN_LARGE_NOTE_BYTES : (size_t)SLOTS * note_bytes;
    PROOF_ASSERT(start % sizeof(uint64_t) == 0 && start >= kiln_span_record_bytes(class_idx, 0),
                 "notes are aligned and lie behind the record's own part");
    PROOF_ASSERT(note_bytes == 0 ||
                     kiln_span_record_bytes(class_idx, note_bytes) == start + notes_bytes,
                 "a record has room for the notes of all slots");
}

/* is_dirty: may the byte at `offset` of the span be other than zero? */
static bool is_dirty(const kiln_span_t *span, size_t offset)
{
    size_t page = offset >> KILN_PAGE_SHIFT;
    return page >= span->dirty_start && page < span->dirty_end;
}

/* What is known to be zero is not written by calloc: no dirty byte is taken for one of these, one
 * slot and one byte, any, standing for all. */
static void prove_zeros(const kiln_span_t *span, uint32_t watched)
{
    size_t slot_bytes = kiln_span_slot_bytes(span), at = nondet_below((uint32_t)slot_bytes);
    size_t span_bytes = (size_t)kiln_size_classes[CLASS].span_pages << KILN_PAGE_SHIFT;
    size_t bytes = nondet_below((uint32_t)span_bytes + 1),
           offset = nondet_below((uint32_t)span_bytes);

    PROOF_ASSERT(span->states[watched] != KILN_SLOT_FRESH ||
                     !is_dirty(span, watched * slot_bytes + at),
                 "a slot that is fresh is zero");
    if (kiln_span_base(span) >> POINTER_BITS != 0) return; /* no address on 64-bit machines */
    kiln_span_clear(span, bytes);
    PROOF_ASSERT(offset >= bytes || !is_dirty(span, offset) ||
                     kiln_span_base(span) + offset - cleared_start < cleared_bytes,
                 "a clear writes each byte that may be dirty");
    PROOF_ASSERT(cleared_bytes == 0 ||
                     cleared_start + cleared_bytes <= kiln_span_base(span) + bytes,
                 "a clear writes no byte behind the block");
}

/* few_states makes the span one of two, for coverage: from the rows of 8 slots on, only what two
 * words of free bits need is left to reach. All slots are out, or in the span. */
static void few_states(kiln_span_t *span)
{
    for (unsigned i = 0; i < SLOTS; i++) span->states[i] = KILN_SLOT_FREE;
    kiln_span_open(span, KILN_PAGE_BYTES, kiln_size_classes[CLASS].span_pages);
    if (OP != GIVE) return;
    for (unsigned i = 0; i < words(SLOTS); i++) free_bits(span)[i] = 0;
    span->used = SLOTS;
    span->first_word = (uint16_t)words(SLOTS);
}

static void prove_take(kiln_span_t *span, uint32_t watched)
{
    kiln_slot_t out[TAKEN_MAX];
    uint32_t slots_max = nondet_below(TAKEN_MAX + 1);
    uint32_t used = span->used;
    bool was_out = kiln_span_is_out(span, watched);
    bool is_ruined = !was_out && nondet_bool();
    if (is_ruined) span->states[watched] = KILN_SLOT_LIVE;
    uint32_t taken = kiln_span_take(span, out + TAKEN_MAX, slots_max);
    PROOF_ASSERT(!is_ruined || taken == 0 || !kiln_span_is_out(span, watched),
                 "a slot that is somebody's is not given away");
    PROOF_ASSUME(!is_ruined); /* the program is stopped for it, sooner or later */

    uint32_t left = SLOTS - used;
    PROOF_ASSERT(taken == (left < slots_max ? left : slots_max),
                 "as many as wanted, or all there are");
    PROOF_ASSERT(span->used == used + taken, "the slots that are out are counted");
    bool was_taken = false;
    for (uint32_t i = 0; i < TAKEN_MAX; i++) {
        if (i >= taken) continue;
        const kiln_slot_t *slot = &out[TAKEN_MAX - 1 - i];
        uint32_t slot_idx = (uint32_t)(slot->state - span->states);
        PROOF_ASSERT(slot_idx < SLOTS, "a slot of the span is taken");
        PROOF_ASSERT((uintptr_t)slot->block ==
                         kiln_span_base(span) + slot_idx * kiln_span_slot_bytes(span),
                     "its address is that of its index");
        PROOF_ASSERT(was_out || watched >= slot_idx || kiln_span_is_out(span, watched),
                     "no lower slot stays behind");
        if (slot_idx == watched) {
            PROOF_ASSERT(!was_taken && !was_out, "a slot is taken once, and was free");
            was_taken = true;
        }
    }
    PROOF_ASSERT(kiln_span_is_out(span, watched) == (was_out || was_taken), "nothing else is out");
}

static bool holds_again(const char *broken)
{
    static const char of_the_count[] = "used == slots that are out";
    const bool follows = SLOTS > WORD_BITS && OP != OPEN;
    return !broken || (follows && strcmp(broken, of_the_count) == 0);
}

static kiln_slot_t slot_of(kiln_span_t *span, uint32_t slot_idx)
{
    uintptr_t addr = kiln_span_base(span) + slot_idx * kiln_span_slot_bytes(span);
    PROOF_ASSUME(kiln_span_is_out(span, slot_idx) && kiln_slot_is_free(span->states[slot_idx]));
    return (kiln_slot_t){(void *)addr, &span->states[slot_idx]};
}

/* Two slots, or one of them and one of another span. */
static void prove_give(kiln_span_t *span, uint32_t watched)
{
    static _Atomic uint8_t other;
    uint32_t first = nondet_below(SLOTS), second = nondet_below(SLOTS), used = span->used;
    bool is_other = nondet_bool(), was_out = kiln_span_is_out(span, watched);
    PROOF_ASSUME(first != second && kiln_span_base(span) < UINTPTR_MAX / 2);
    kiln_slot_t slots[2] = {slot_of(span, first), slot_of(span, second)};
    _Atomic uint8_t *other_state = nondet_bool() ? &span->states[SLOTS] : &other;
    if (is_other) slots[1] = (kiln_slot_t){(void *)kiln_span_end(span), other_state};
    bool is_ruined = nondet_bool();
    if (is_ruined) span->used = (uint16_t)nondet_below(is_other ? 1 : 2);
    uint32_t given = kiln_span_give(span, slots, 2);
    PROOF_ASSERT(!is_ruined || given == 0, "no more come back than are out");
    PROOF_ASSUME(!is_ruined); /* the program is stopped for it */
    PROOF_ASSERT(given == (is_other ? 1 : 2), "those of the span are given");
    bool is_given = watched == first || (given == 2 && watched == second);
    PROOF_ASSERT(kiln_span_is_out(span, watched) == (was_out && !is_given),
                 "the slots are free, and no others");
    PROOF_ASSERT(span->used == used - given, "the slots that are out are counted");
}

void harness(void)
{
    kiln_span_t *span = any_span();
    uint32_t watched = nondet_below(SLOTS);
    if (OP == OPEN) {
        prove_notes(nondet_bool() ? CLASS : KILN_CLASS_LARGE);
        for (unsigned i = 0; i < SLOTS; i++) span->states[i] = KILN_SLOT_FREE;
        uintptr_t base = (uintptr_t)nondet_uint64();
        PROOF_ASSUME(kiln_is_aligned(base, KILN_PAGE_BYTES));
        PROOF_ASSUME(span->dirty_start <= span->dirty_end &&
                     span->dirty_end <= kiln_size_classes[CLASS].span_pages);
        kiln_span_open(span, base, kiln_size_classes[CLASS].span_pages);
        prove_zeros(span, watched);
        PROOF_ASSERT(!kiln_span_is_out(span, watched) && span->used == 0,
                     "all slots are in the span");
    } else {
        if (COVERS && SLOTS > WORD_BITS) few_states(span);
        PROOF_ASSUME(kiln_span_broken_rule(span) == NULL);
        bool is_whole = kiln_span_is_whole(span);
        PROOF_ASSERT(is_whole ? !kiln_span_is_out(span, watched)
                              : SLOTS > WORD_BITS || span->used != 0,
                     "a span is whole when nothing is out");
        uint8_t state = span->states[watched];
        PROOF_ASSUME(OP != TAKE || span->first_word == FIRST_WORD);
        if (OP == TAKE) span->first_word = FIRST_WORD; /* cbmc knows it, too */
        if (OP == TAKE) prove_take(span, watched);
        if (OP == GIVE) prove_give(span, watched);
        PROOF_ASSERT(span->states[watched] == state, "no slot state changes");
    }
    /* Said once more, so that cbmc knows the geometry of the rule's walk. */
    PROOF_ASSERT(span->class_idx == CLASS && span->kind == KILN_SPAN_SMALL,
                 "the span stays what it is");
    span->class_idx = CLASS;
    span->kind = KILN_SPAN_SMALL;
    PROOF_ASSERT(holds_again(kiln_span_broken_rule(span)), "the rule of spans holds again");
}
