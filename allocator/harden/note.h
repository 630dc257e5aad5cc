/* note.h - what a hardened heap knows of a block: how much was asked for; where wanted, who
 * allocated and freed it, and with which family of functions.
 *
 * Notes lie in the span's record, out of reach of what a program writes past its blocks. Of a slot
 * its slack is kept (slot_bytes - asked: 1 to slot_bytes; 0: the slot never had an owner), in two
 * bytes that are found from the state of the slot alone, which is all that malloc has in hand:
 *
 *   states[slots] .. | slack, low byte [slots] | slack, high byte [slots] | stacks [slots]
 *
 * The low byte is enough for slots below 256 bytes. A large block has one note of its own.
 *
 * Threads  written by the owner of the block; read by reports and checks without a lock, which may
 *          see a note half written: what it says must be used with the slot's bounds in mind.
 */
#ifndef KILN_ALLOCATOR_HARDEN_NOTE_H
#define KILN_ALLOCATOR_HARDEN_NOTE_H

#include "allocator/heap/heap.h"

enum {
    KILN_NOTE_SIZE_BYTES = 2,    /* a slot: sizes alone */
    KILN_NOTE_STACKS_BYTES = 16, /* a slot: sizes, stacks and threads, and room to align them */
    KILN_NOTE_LOW_MAX = 255,
};

/* Who. A number of 0 is none for stacks (stack_depot.h); threads have numbers of their own. */
typedef struct kiln_note_stacks {
    _Atomic uint32_t alloc_stack, free_stack;
    _Atomic uint16_t alloc_who, free_thread; /* who: the thread, and the family of the call above */
} kiln_note_stacks_t;

/* Of threads the highest number stands for all above. */
enum { KILN_NOTE_FAMILY_SHIFT = 14, KILN_NOTE_THREAD_MAX = (1 << KILN_NOTE_FAMILY_SHIFT) - 1 };

typedef struct kiln_note_large {
    _Atomic size_t asked;
    _Atomic size_t open_bytes; /* from its start on; what is behind faults. 0: nothing does */
    _Atomic bool ready;        /* the block is live, and its canary is in place */
    kiln_note_stacks_t stacks;
} kiln_note_large_t;

_Static_assert(sizeof(kiln_note_large_t) <= KILN_SPAN_LARGE_NOTE_BYTES, "the note has room");
_Static_assert(KILN_NOTE_SIZE_BYTES + sizeof(kiln_note_stacks_t) + 2 <= KILN_NOTE_STACKS_BYTES,
               "sizes, stacks and what aligns them are a note");

/* Of a size class, what the paths below need; a table of these is the heap's. */
typedef struct kiln_note_shape {
    uint32_t slot_bytes;
    uint16_t slots;
    uint16_t slack_at;  /* from a slot's state to its slack's low byte */
    uint32_t stacks_at; /* from the first slot's state to its stacks, where they are kept */
} kiln_note_shape_t;

static inline kiln_note_shape_t kiln_note_shape(uint32_t class_idx)
{
    size_t at = kiln_span_notes_offset(class_idx);
    uint16_t slots = kiln_size_classes[class_idx].slots;
    size_t first = offsetof(kiln_span_t, states) + at + KILN_NOTE_SIZE_BYTES * (size_t)slots;
    size_t aligned = (size_t)kiln_round_up(first, sizeof(uint32_t));
    return (kiln_note_shape_t){
        .slot_bytes = kiln_size_classes[class_idx].slot_bytes,
        .slots = slots,
        .slack_at = (uint16_t)at,
        .stacks_at = (uint32_t)(aligned - offsetof(kiln_span_t, states)),
    };
}

static inline void kiln_note_set_slack(const kiln_note_shape_t *shape, _Atomic uint8_t *state,
                                       size_t slack)
{
    atomic_store_explicit(state + shape->slack_at, (uint8_t)slack, memory_order_relaxed);
    if (shape->slot_bytes > KILN_NOTE_LOW_MAX)
        atomic_store_explicit(state + shape->slack_at + shape->slots, (uint8_t)(slack >> 8),
                              memory_order_relaxed);
}

static inline size_t kiln_note_slack(const kiln_note_shape_t *shape, const _Atomic uint8_t *state)
{
    size_t slack = atomic_load_explicit(state + shape->slack_at, memory_order_relaxed);
    if (shape->slot_bytes > KILN_NOTE_LOW_MAX)
        slack |= (size_t)atomic_load_explicit(state + shape->slack_at + shape->slots,
                                              memory_order_relaxed)
                 << 8;
    return slack;
}

static inline kiln_note_large_t *kiln_note_large(const kiln_span_t *span)
{
    return (kiln_note_large_t *)((uintptr_t)span->states +
                                 kiln_span_notes_offset(KILN_CLASS_LARGE));
}

/* kiln_note_stacks is for a heap that keeps them; `span` is in use. */
static inline kiln_note_stacks_t *kiln_note_stacks(const kiln_note_shape_t *shapes,
                                                   const kiln_span_t *span, uint32_t slot_idx)
{
    if (span->class_idx == KILN_CLASS_LARGE) return &kiln_note_large(span)->stacks;
    uintptr_t first = (uintptr_t)span->states + shapes[span->class_idx].stacks_at;
    return (kiln_note_stacks_t *)first + slot_idx;
}

#endif
