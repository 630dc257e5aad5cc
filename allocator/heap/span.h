/* span.h - a run of pages: free, one large block, or cut into equal slots.
 *
 * The record lies apart from the pages. The span table leads from any page of a span in use, and
 * from the first and last page of a free run, to its record.
 *
 * A thread that frees a pointer reads a record without a lock, and a buggy program makes it read
 * one that is being recycled. So a record stays what it is for ever: it keeps its size class and
 * its place for slot states, is never unmapped, and the fields that such a reader uses (below
 * "read without a lock") are atomic. A free run has no slots: no
 * offset is one of a slot.
 *
 * Units    pages are KILN_PAGE_BYTES. Slot indices count from the start of the span.
 * Lock     of the size class while the span is cut into slots, else of the page heap.
 * Memory   from meta.h; see kiln_span_record_bytes. Behind the heap's own part lie notes, some
 * bytes for every slot: the layer above the heap keeps there what it knows of a block. The heap
 *          gives them zeroed, once, and never looks at them. */
#ifndef KILN_ALLOCATOR_HEAP_SPAN_H
#define KILN_ALLOCATOR_HEAP_SPAN_H

#include "allocator/heap/size_class.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum kiln_span_kind {
    KILN_SPAN_SPARE,     /* no pages: the record waits to be used again */
    KILN_SPAN_READY,     /* free run, its pages are Ready */
    KILN_SPAN_DISCARDED, /* free run, its pages are Prepared: whole hardware pages */
    KILN_SPAN_SMALL,     /* slots of one size class */
    KILN_SPAN_LARGE,     /* one block */
    KILN_SPAN_LENT,      /* pages that hold records, for ever: no block's */
} kiln_span_kind_t;

/* The state of a slot. FREE is all that is not the program's: in the span if the slot's free bit is
 * set, else out in a thread cache, or on its way from or to one. Only a free takes a block out of
 * LIVE or KEPT, by one atomic exchange: of two that race, one finds it taken already. */
typedef enum kiln_slot_state {
    KILN_SLOT_FREE = 0,
    KILN_SLOT_LIVE = 1, /* the program's */
    KILN_SLOT_KEPT = 2, /* the program's, after a realloc that a smaller slot could have served */
    KILN_SLOT_QUARANTINED = 3, /* the program freed it; the layer above the heap keeps it a while */
    KILN_SLOT_BUSY = 4,        /* a realloc, or that layer, is at work in it */
    KILN_SLOT_FRESH = 8,       /* FREE, and all zero: nobody's since the span was opened. Only where
                                  slots are larger than KILN_SPAN_FRESH_MIN: less is cleared sooner
                                  than asked about. A bit of its own, see kiln_span_take */
} kiln_slot_state_t;

enum {
    KILN_SPAN_FRESH_MIN = 256,
    KILN_SPAN_LARGE_NOTE_BYTES = 40, /* the notes of a large block, where there are notes */
};

static inline bool kiln_slot_is_free(uint8_t state)
{
    return (state & ~KILN_SLOT_FRESH) == KILN_SLOT_FREE;
}

typedef struct kiln_span kiln_span_t;
struct kiln_span {
    kiln_span_t *left, *right; /* free run: children in the tree. Small: list neighbours.
                                  Spare: left is the next spare */
    uint32_t pages;
    uint32_t dirty_start, dirty_end; /* page indices: outside, a free run, and a span at the moment
                                        it leaves the page heap, is all zero */
    uint16_t used;                   /* slots that are out: live or cached */
    uint16_t first_word;             /* no free slot in words of free bits below */
    /* read without a lock, too. At 64 bits a cache line ends where the states begin: who changes
     * those of some slots does not take the rest from who reads the record for others */
    uint64_t inverse; /* constant for ever: see kiln_slot_index; 0 for large blocks and free runs */
    _Atomic uintptr_t minus_base; /* kiln_span_base: kept so that who searches memory for addresses
                                     of blocks, as leak checkers do, finds none here */
    _Atomic size_t slots_bytes;   /* of all slots together; 0 unless in use */
    _Atomic uint16_t slots;       /* 0 unless small and in use */
    uint16_t seal;                /* see span_seal.h */
    uint8_t kind;                 /* kiln_span_kind_t */
    uint8_t class_idx;            /* constant for ever; 0 serves large blocks and free runs */
    _Atomic uint16_t taker;       /* who took slots last: central.h */
    _Atomic uint8_t states[]; /* kiln_slot_state_t, one a slot; then the free bits; then notes */
};

/* A block on its way: what a cache keeps, so that malloc need not look the span up. */
typedef struct kiln_slot {
    void *block;
    _Atomic uint8_t *state;
} kiln_slot_t;

/* kiln_span_record_bytes gives the size of a record for spans of a class, with `note_bytes` (0: no
 * notes) a slot. kiln_span_notes_offset gives where the notes begin, from the state of the first
 * slot on: aligned to 8 bytes. */
size_t kiln_span_record_bytes(uint32_t class_idx, uint32_t note_bytes);
size_t kiln_span_notes_offset(uint32_t class_idx);

/* kiln_span_shape makes a zeroed record one for spans of a class, for ever. */
void kiln_span_shape(kiln_span_t *span, uint32_t class_idx);

/* kiln_span_open makes the record a span in use over [base, base + pages). Its slots are in the
 * span and FREE, or FRESH where they have no dirty page; a large block is LIVE. Publish it after
 * that. */
void kiln_span_open(kiln_span_t *span, uintptr_t base, uint32_t pages);

/* kiln_span_clear makes the first `bytes` bytes zero: it writes only to pages that may be dirty.
 * The span was opened and nobody else knows of its slots yet. */
void kiln_span_clear(const kiln_span_t *span, size_t bytes);

/* kiln_span_close takes the slots away; all are in the span, or it is a large block. The pages
 * stay. */
void kiln_span_close(kiln_span_t *span);

/* kiln_span_take takes up to `slots_max` slots out, lowest first, and writes them below `out_end`:
 * the first goes to out_end[-1], as a stack wants it that is popped there. It gives how many; or 0
 * where there are some, and the records are ruined: one of them is not FREE. */
uint32_t kiln_span_take(kiln_span_t *span, kiln_slot_t *out_end, uint32_t slots_max);

/* kiln_span_take_apart is the same, but begins, where it can, at slots whose states fill a cache
 * line and of which none is out. */
uint32_t kiln_span_take_apart(kiln_span_t *span, kiln_slot_t *out_end, uint32_t slots_max);

/* kiln_span_give takes slots, free and out, back: those of `count` (not 0) from the first on that
 * are of this span, as the first is. It gives how many; or 0, and the records are ruined: not so
 * many are out, or the first one's state is not of this span. */
uint32_t kiln_span_give(kiln_span_t *span, const kiln_slot_t *slots, uint32_t count);

/* kiln_span_is_whole: are all of its slots in it, as they are where none is counted as out? */
bool kiln_span_is_whole(const kiln_span_t *span);

/* kiln_span_is_out: is the slot live or cached? */
bool kiln_span_is_out(const kiln_span_t *span, uint32_t slot_idx);

/* kiln_span_broken_rule names the first rule that does not hold, walking the slots. */
const char *kiln_span_broken_rule(const kiln_span_t *span);

static inline uintptr_t kiln_span_base(const kiln_span_t *span)
{
    return 0 - atomic_load_explicit(&span->minus_base, memory_order_relaxed);
}

static inline void kiln_span_set_base(kiln_span_t *span, uintptr_t base)
{
    atomic_store_explicit(&span->minus_base, 0 - base, memory_order_relaxed);
}

static inline uintptr_t kiln_span_end(const kiln_span_t *span)
{
    return kiln_span_base(span) + ((uintptr_t)span->pages << KILN_PAGE_SHIFT);
}

static inline size_t kiln_span_slots_bytes(const kiln_span_t *span)
{
    return atomic_load_explicit(&span->slots_bytes, memory_order_relaxed);
}

/* kiln_span_slots and kiln_span_slot_bytes are for spans in use. */
static inline uint32_t kiln_span_slots(const kiln_span_t *span)
{
    return span->class_idx == KILN_CLASS_LARGE ? 1 : kiln_size_classes[span->class_idx].slots;
}

static inline size_t kiln_span_slot_bytes(const kiln_span_t *span)
{
    return span->class_idx == KILN_CLASS_LARGE ? kiln_span_slots_bytes(span)
                                               : kiln_size_classes[span->class_idx].slot_bytes;
}

static inline bool kiln_span_is_free(const kiln_span_t *span)
{
    return span->kind == KILN_SPAN_READY || span->kind == KILN_SPAN_DISCARDED;
}

/* kiln_span_index gives, for any record and the offset of any address in the arena, the index of
 * the slot that starts there, or what is not below kiln_span_index_end: no slot does. */
static inline uint64_t kiln_span_index(const kiln_span_t *span, size_t offset)
{
    return kiln_slot_index(offset, span->inverse);
}

static inline uint32_t kiln_span_index_end(const kiln_span_t *span)
{
    return atomic_load_explicit(&span->slots, memory_order_relaxed);
}

/* kiln_span_small_slot_at gives the index of the slot that starts at `offset` from the base of a
 * small span, or UINT32_MAX when none does: for the offset of any address in the arena, and for any
 * record. */
static inline uint32_t kiln_span_small_slot_at(const kiln_span_t *span, size_t offset)
{
    uint64_t slot_idx = kiln_span_index(span, offset);
    return __builtin_expect(slot_idx < kiln_span_index_end(span), 1) ? (uint32_t)slot_idx
                                                                     : UINT32_MAX;
}

/* kiln_span_slot_at is the same for large spans as well. */
static inline uint32_t kiln_span_slot_at(const kiln_span_t *span, size_t offset)
{
    if (span->class_idx != KILN_CLASS_LARGE) return kiln_span_small_slot_at(span, offset);
    return offset == 0 && kiln_span_slots_bytes(span) != 0 ? 0 : UINT32_MAX;
}

#endif
