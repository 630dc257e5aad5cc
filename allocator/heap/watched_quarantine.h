/* watched_quarantine.h - freed blocks of a watched heap wait here, first in, first out, so that a
 * tool sees uses of them until their place is given out again.
 *
 * A heap without a watcher, or with one that asks for no quarantine, has none. (The quarantine of
 * allocator/harden belongs to a thread, holds one class a ring, and looks into what it holds.)
 *
 * Threads  any; its own lock, the last one in the order of heap.h.
 * Memory   its records, from the OS, at the first block. */
#ifndef KILN_ALLOCATOR_HEAP_WATCHED_QUARANTINE_H
#define KILN_ALLOCATOR_HEAP_WATCHED_QUARANTINE_H

#include "allocator/base/lock.h"
#include "allocator/heap/span.h"
#include "allocator/os/os.h"

enum { KILN_WATCHED_QUARANTINE_MAX = 1 << 16 }; /* blocks */

typedef struct kiln_waiting {
    kiln_span_t *span;
    kiln_slot_t slot;
} kiln_waiting_t;

typedef struct kiln_watched_quarantine {
    const kiln_os_t *os;
    kiln_lock_t lock; /* covers what follows */
    kiln_waiting_t *ring;
    uint32_t first, count;
    uint64_t bytes, bytes_max; /* of slots; bytes_max 0: no quarantine */
} kiln_watched_quarantine_t;

void kiln_watched_quarantine_init(kiln_watched_quarantine_t *quarantine, const kiln_os_t *os,
                                  uint64_t bytes_max);

/* kiln_watched_quarantine_destroy gives the records back; what waits is the caller's. */
void kiln_watched_quarantine_destroy(kiln_watched_quarantine_t *quarantine);

/* kiln_watched_quarantine_put takes a block in. False: it does not wait, because it is larger than
 * all that may, the ring is full, there is no memory for it, or no quarantine at all. */
bool kiln_watched_quarantine_put(kiln_watched_quarantine_t *quarantine, kiln_waiting_t block);

/* kiln_watched_quarantine_next lets the block go that has waited longest, if there are more bytes
 * than may wait, or no room for one more block; or, with `all`, if there is one. */
bool kiln_watched_quarantine_next(kiln_watched_quarantine_t *quarantine, bool all,
                                  kiln_waiting_t *out);

uint64_t kiln_watched_quarantine_bytes(kiln_watched_quarantine_t *quarantine);

#endif
