/* stack_depot.h - stacks, each kept once and named by a number.
 *
 *   writer, no lock                                reader, no lock: a report
 *   1 takes room behind all others
 *   2 writes the stack
 *   3 compare-exchange-release bucket = id  -----> 1 load-acquire bucket, or an id that it was told
 *                                                  2 the stack of step 2 is whole
 *
 * Memory comes from the OS a chunk at a time, apart from the heap, up to KILN_DEPOT_CHUNKS_MAX of
 * them; it is never given back. What finds no room is counted and has no number.
 *
 * Threads  any, also in signal handlers. Two threads that bring the same new stack at once may keep
 * it twice. */
#ifndef KILN_ALLOCATOR_API_STACK_DEPOT_H
#define KILN_ALLOCATOR_API_STACK_DEPOT_H

#include "allocator/os/os.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t kiln_stack_id_t; /* 0: no stack */

enum {
    KILN_STACK_FRAMES_MAX = 64,
#if UINTPTR_MAX > UINT32_MAX
    KILN_DEPOT_CHUNKS_MAX = 64,
#else
    KILN_DEPOT_CHUNKS_MAX = 16,
#endif
    KILN_DEPOT_CHUNK_BYTES = 1 << 20,
    KILN_DEPOT_BUCKETS = 1 << 16,
};

typedef struct kiln_stack_depot {
    const kiln_os_t *os;
    _Atomic uintptr_t buckets; /* 0 until the first stack comes */
    _Atomic uintptr_t chunks[KILN_DEPOT_CHUNKS_MAX];
    _Atomic uint32_t next; /* where the next stack goes, as an id */
    _Atomic uint32_t stacks, dropped;
} kiln_stack_depot_t;

/* kiln_stack_depot_init takes no memory yet. `*os` outlives the depot and needs `direct` and
 * `release` alone. */
void kiln_stack_depot_init(kiln_stack_depot_t *depot, const kiln_os_t *os);

/* kiln_stack_depot_put gives the number of the stack of `count` (1 to KILN_STACK_FRAMES_MAX)
 * frames, or 0. */
kiln_stack_id_t kiln_stack_depot_put(kiln_stack_depot_t *depot, const uintptr_t *frames,
                                     unsigned count);

/* kiln_stack_depot_get gives the frames of a number and their count; 0 for a number that is no
 * stack's, whatever it is: reports ask with what they find in records. */
unsigned kiln_stack_depot_get(const kiln_stack_depot_t *depot, kiln_stack_id_t id,
                              const uintptr_t **out_frames);

/* kiln_stack_depot_broken_rule walks everything; other threads may be inside. */
const char *kiln_stack_depot_broken_rule(const kiln_stack_depot_t *depot);

#endif
