/* limit.h - an OS that gives the heap so many bytes and no more, for AFL_LD_LIMIT_MB.
 *
 * What counts is heap memory that is Ready: what the heap discards, decommits or does not use of
 * what a direct gave may be taken again. The heap's own records do not count.
 *
 * Threads  as every backend: the heap's lock is held. */
#ifndef KILN_ALLOCATOR_API_LIMIT_H
#define KILN_ALLOCATOR_API_LIMIT_H

#include "allocator/os/os.h"

typedef struct kiln_limit {
    kiln_os_t os; /* what the heap is given */
    const kiln_os_t *inner;
    uint64_t bytes_max, bytes;
    kiln_addr_t
        direct_start; /* what the last direct gave the heap, if nothing was reserved since */
    uint64_t direct_bytes;
} kiln_limit_t;

/* kiln_limit_init fills `*limit`, whose `os` then is `*inner` with at most `bytes_max` bytes. */
void kiln_limit_init(kiln_limit_t *limit, const kiln_os_t *inner, uint64_t bytes_max);

#endif
