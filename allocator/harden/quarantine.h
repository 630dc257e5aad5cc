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
    kiln_slot_t *places; /* an empty place has no block */
    uint16_t next;       /* the place that has waited longest */
    uint16_t count;      /* of places; 0: nothing is kept */
} kiln_quarantine_ring_t;

typedef struct kiln_quarantine {
    kiln_quarantine_ring_t rings[KILN_SIZE_CLASSES]; /* of large blocks there is none */
} kiln_quarantine_t;

/* kiln_quarantine_places gives how many places the ring of a class has, kiln_quarantine_bytes what
 * all rings of a thread take. */
uint32_t kiln_quarantine_places(const kiln_quarantine_bounds_t *bounds, uint32_t class_idx);
size_t kiln_quarantine_bytes(const kiln_quarantine_bounds_t *bounds);

/* kiln_quarantine_init lays the rings out in `memory`, zeroed, of kiln_quarantine_bytes bytes. */
void kiln_quarantine_init(kiln_quarantine_t *quarantine, const kiln_quarantine_bounds_t *bounds,
                          void *memory);

/* kiln_quarantine_push puts a slot in and gives the one that leaves, whose block may be NULL. */
static inline kiln_slot_t kiln_quarantine_push(kiln_quarantine_ring_t *ring, kiln_slot_t slot)
{
    if (ring->count == 0) return slot;
    uint32_t next = ring->next;
    kiln_slot_t leaves = ring->places[next];
    ring->places[next] = slot;
    ring->next = (uint16_t)(next + 1 == ring->count ? 0 : next + 1);
    return leaves;
}

/* kiln_quarantine_broken_rule checks every place against the spans of `heap`; the owner is not
 * inside. */
const char *kiln_quarantine_broken_rule(const kiln_quarantine_t *quarantine,
                                        const kiln_heap_t *heap);

#endif
