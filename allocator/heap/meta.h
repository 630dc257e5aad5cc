/* meta.h - memory for the heap's own records.
 *
 * Records come from chunks that the OS gives directly, far from any block, so that a program that
 * writes past a block cannot reach them. A record is never given back here, and no chunk goes back
 * to the OS before kiln_meta_destroy: who reads a stale record reads a record.
 *
 * Lock     the caller holds the page heap's lock.
 * Errors   NULL: no memory; nothing changed. */
#ifndef KILN_ALLOCATOR_HEAP_META_H
#define KILN_ALLOCATOR_HEAP_META_H

#include "allocator/os/os.h"

#include <stddef.h>
#include <stdint.h>

enum { KILN_META_ALIGN = 64 };

typedef struct kiln_meta_chunk kiln_meta_chunk_t;

typedef struct kiln_meta {
    const kiln_os_t *os;
    kiln_meta_chunk_t *chunks; /* newest first */
    uintptr_t next, end;       /* what is left of the newest */
    uint64_t bytes;            /* of all chunks */
} kiln_meta_t;

void kiln_meta_init(kiln_meta_t *meta, const kiln_os_t *os);

/* kiln_meta_lend makes `meta`, which is zeroed and has no OS, or has used up what it was lent
 * before, hand out the zeroed bytes from `start` on. They stay the lender's to release. */
void kiln_meta_lend(kiln_meta_t *meta, uintptr_t start, size_t bytes);

/* kiln_meta_take gives `bytes` zeroed bytes, aligned to KILN_META_ALIGN. */
void *kiln_meta_take(kiln_meta_t *meta, size_t bytes);

/* kiln_meta_older gives the chunk that was taken before `chunk` (NULL: the newest), or NULL, and
 * its bounds. */
const kiln_meta_chunk_t *kiln_meta_older(const kiln_meta_t *meta, const kiln_meta_chunk_t *chunk,
                                         uintptr_t *out_start, uintptr_t *out_end);

void kiln_meta_destroy(kiln_meta_t *meta);

#endif
