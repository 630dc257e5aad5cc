/* span_seal.h - a checksum in every span record, so that one that something else than the heap
 * changed is not used: of what says where the span and its slots lie, under a secret of the heap.
 *
 * Records lie apart from all blocks, so only a wild write, or somebody who can write where he
 * pleases, reaches one. Sixteen bits find all but one in 65,536 such changes. Whoever changes a
 * record of pages seals it, and whoever is about to use one for more than a look checks it, both
 * under the lock that span.h names; a record that waits has only its kind and class looked at. The
 * common path of free, which reads records without a lock, does not: what it does with a wrong one
 * is seen when the slot goes back to its span.
 *
 * Errors   a record whose seal does not fit is told to `ruined`, if there is one; then the program
 *          is stopped. */
#ifndef KILN_ALLOCATOR_HEAP_SPAN_SEAL_H
#define KILN_ALLOCATOR_HEAP_SPAN_SEAL_H

#include "allocator/heap/span.h"

typedef struct kiln_seal {
    uint64_t secret;
    void (*ruined)(uintptr_t record); /* may be NULL */
} kiln_seal_t;

/* kiln_span_seal closes what the heap has written. */
void kiln_span_seal(const kiln_seal_t *seal, kiln_span_t *span);

bool kiln_span_is_sealed(const kiln_seal_t *seal, const kiln_span_t *span);

/* kiln_seal_broken tells of a ruined record at `record`, or one that contradicts itself. */
_Noreturn void kiln_seal_broken(const kiln_seal_t *seal, const void *record);

static inline void kiln_span_check(const kiln_seal_t *seal, const kiln_span_t *span)
{
    if (__builtin_expect(!kiln_span_is_sealed(seal, span), 0)) kiln_seal_broken(seal, span);
}

#endif
