/* central.h - the spans of one size class: where thread caches get their slots and give them back.
 *
 * Spans with a free slot are in a list; full ones are not. A span that becomes empty goes back to
 * the page heap, unless it is the only one with a free slot.
 *
 * Lock     one, taken by the functions themselves; the page heap's is taken inside it.
 * Memory   none of its own. */
#ifndef KILN_ALLOCATOR_HEAP_CENTRAL_H
#define KILN_ALLOCATOR_HEAP_CENTRAL_H

#include "allocator/heap/page_heap.h"

typedef struct kiln_central {
    _Alignas(64) kiln_lock_t lock; /* a cache line a class: threads work on different classes */
    uint32_t class_idx;
    kiln_page_heap_t *pages;
    bool was_refused;     /* the last span that was asked for; none came back since */
    kiln_span_t *partial; /* spans with a free slot, linked by left and right */
    uint64_t spans;       /* full ones too */
    uint64_t slots_out;   /* of their spans: live or cached */
} kiln_central_t;

void kiln_central_init(kiln_central_t *central, kiln_page_heap_t *pages, uint32_t class_idx);

/* For whom slots are. Threads whose slots lie in one span write to the same cache lines of slot
 * states, which costs each of them more than all else that malloc and free do. So spans are taken
 * from by one taker each, as far as no more slots of the class are unused than an eighth of its
 * spans has, and two more, nor than two spans for each taker. */
typedef struct kiln_taker {
    uint16_t number; /* not 0 */
    uint32_t takers; /* that there are */
} kiln_taker_t;

enum {
    KILN_TAKER_SLOTS_MIN = 16, /* who asks for fewer takes them from any span */
    KILN_TAKER_SHARE = 8,
    KILN_TAKER_SPANS = 2,
};

/* kiln_central_take writes up to `slots_max` slots to `out`, and gives how many: fewer than asked
 * for when there is no memory. The first one taken is the last one written: see kiln_span_take.
 * kiln_central_take_for is the same for a taker. */
uint32_t kiln_central_take(kiln_central_t *central, kiln_slot_t *out, uint32_t slots_max);
uint32_t kiln_central_take_for(kiln_central_t *central, kiln_slot_t *out, uint32_t slots_max,
                               kiln_taker_t taker);

/* kiln_central_give takes slots of this class, FREE and out, back. */
void kiln_central_give(kiln_central_t *central, const kiln_slot_t *slots, uint32_t count);

/* kiln_central_reclaim is for the child of a fork: it takes back a slot that the cache of a thread
 * that is no more seemed to hold. The entry may be torn, so it is not believed. */
void kiln_central_reclaim(kiln_central_t *central, kiln_slot_t slot);

/* kiln_central_trim gives empty spans to the page heap. */
void kiln_central_trim(kiln_central_t *central);

/* kiln_central_broken_rule walks the list; the page heap's rule walks the spans. */
const char *kiln_central_broken_rule(const kiln_central_t *central);

void kiln_central_lock(kiln_central_t *central);
void kiln_central_unlock(kiln_central_t *central);

#endif
