/* within.h - another backend, of whose address space only a part is used: for a heap that has to
 * lie in a range, and for tools that follow every page of a reservation.
 *
 * A hint from outside of the range is replaced by one inside it; what lands elsewhere all the same
 * goes back, and the call is refused.
 *
 * Lock, owner   those of the inner backend. */
#ifndef KILN_ALLOCATOR_OS_WITHIN_H
#define KILN_ALLOCATOR_OS_WITHIN_H

#include "allocator/os/os.h"

typedef struct kiln_os_within {
    kiln_os_t os; /* what the arena or heap is given */
    const kiln_os_t *inner;
    kiln_addr_t first, last;    /* heap lies in [first, last] */
    uint64_t reserve_bytes_max; /* a larger reserve is refused */
} kiln_os_within_t;

/* kiln_os_within_init makes one of `inner`, which outlives it. `first` and `last` of 0: anywhere;
 * `reserve_bytes_max` of 0: no limit. Memory for records (kiln_os_use_t) may lie anywhere. */
void kiln_os_within_init(kiln_os_within_t *within, const kiln_os_t *inner, kiln_addr_t first,
                         kiln_addr_t last, uint64_t reserve_bytes_max);

#endif
