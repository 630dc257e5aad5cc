/* scatter.h - another backend, whose memory lies where nobody can guess it: the heap's reservation
 * at a drawn address, and records each between two pages that fault, at drawn addresses far from
 * the heap, the program and its libraries.
 *
 * Who can write past a block, or to one address that he knows, then knows no record's. Drawn
 * addresses are hints, as the C library's are: where one is taken, the inner backend's choice is
 * as good. Machines of 32 bits have no room to draw from; there records only get their pages.
 *
 * The two pages are address space alone. They stay when the memory between them is released.
 *
 * Threads  direct may be called by several at once, if the inner backend's may.
 * Owner    as the inner backend's. */
#ifndef KILN_ALLOCATOR_OS_SCATTER_H
#define KILN_ALLOCATOR_OS_SCATTER_H

#include "allocator/os/os.h"

#include <stdatomic.h>

/* A reservation of less keeps its hint: an arena that grows by blocks, as under `ulimit -v`, wants
 * them in its range. */
#define KILN_OS_SCATTER_RESERVE_MIN KILN_GIB(512)

typedef struct kiln_os_scatter {
    kiln_os_t os; /* what the heap is given */
    const kiln_os_t *inner;
    uint64_t seed;
    _Atomic uint64_t drawn;          /* how many numbers were */
    _Atomic kiln_addr_t next_record; /* where the next record is asked for; 0: anywhere */
} kiln_os_scatter_t;

/* kiln_os_scatter_init makes one of `inner`, which outlives it. The same seed draws the same. */
void kiln_os_scatter_init(kiln_os_scatter_t *scatter, const kiln_os_t *inner, uint64_t seed);

#endif
