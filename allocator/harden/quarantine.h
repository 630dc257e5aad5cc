/* quarantine.h - blocks that were freed and are not to be used again yet, of one thread.
 *
 * For every size class a ring: a block that is freed takes the place of the one that has waited
 * longest, which then may be handed out again. So a block waits for as many frees of its class as
 * the ring has places: bounded by count and by bytes (kiln_quarantine_places).
 *
 * A slot in it is QUARANTINED and out of its span. A fork in another thread may copy a ring in the
 * middle of a push: what is found in the child is not believed (kiln_heap_reclaim_slot).
 *
 * Threads  a quarantine belongs to one thread; a check of the whole heap reads the states instead.
 * Memory   its owner's. */
#ifndef KILN_ALLOCATOR_HARDEN_QUARANTINE_H
#define KILN_ALLOCATOR_HARDEN_QUARANTINE_H

#include "allocator/heap/heap.h"

enum { KILN_QUARANTINE_PLACES_MAX = 1024 };

/* What one size class may keep. Both 0: nothing is kept. */
typedef struct kiln_quarantine_bounds {
    uint32_t blocks_max; /* at most KILN_QUARANTINE_PLACES_MAX */
    uint32_t bytes_max;  /* one block is kept even if it is larger, where blocks_max allows it */
} kiln_quarantine_bounds_t;

typedef struct kiln_quarantine_ring {
    kiln_slot_t *next;         /* the place that has waited longest; NULL: nothing is kept */
    kiln_slot_t *places, *end; /* an empty place has no block */
} kiln_quarantine_ring_t;

/* kiln_quarantine_places gives how many places the ring of a class has (of large blocks there is
 * none), kiln_quarantine_bytes what the rings of all classes take. */
uint32_t kiln_quarantine_places(const kiln_quarantine_bounds_t *bounds, uint32_t class_idx);
size_t kiln_quarantine_bytes(const kiln_quarantine_bounds_t *bounds);

/* kiln_quarantine_init makes a ring of `count` empty places. */
void kiln_quarantine_init(kiln_quarantine_ring_t *ring, kiln_slot_t *places, uint32_t count);

/* kiln_quarantine_push puts a slot in and gives the one that leaves, whose block may be NULL. */
static inline kiln_slot_t kiln_quarantine_push(kiln_quarantine_ring_t *ring, kiln_slot_t slot)
{
    kiln_slot_t *next = ring->next;
    if (__builtin_expect(next == NULL, 0)) return slot;
    kiln_slot_t leaves = *next;
    *next++ = slot;
    ring->next = next == ring->end ? ring->places : next;
    return leaves;
}

/* kiln_quarantine_broken_rule checks every place against the spans of `heap`; the owner is not
 * inside. */
const char *kiln_quarantine_broken_rule(const kiln_quarantine_ring_t *ring, const kiln_heap_t *heap,
                                        uint32_t class_idx);

#endif
