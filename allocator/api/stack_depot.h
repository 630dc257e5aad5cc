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
#include <stdbool.h>
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
    KILN_DEPOT_FEW_BUCKETS = 1 << 12, /* of as many stacks, all that most processes have */
    KILN_DEPOT_MANY_BUCKETS = 1 << 17,
    KILN_DEPOT_UNIT_BYTES = 16,
    KILN_DEPOT_CHUNK_UNITS = KILN_DEPOT_CHUNK_BYTES / KILN_DEPOT_UNIT_BYTES,
    KILN_DEPOT_UNITS_MAX = KILN_DEPOT_CHUNK_UNITS * KILN_DEPOT_CHUNKS_MAX,
};

/* A stack. Its number is where it lies, in units, from the first chunk on; the first unit is
 * nobody's. */
typedef struct kiln_stack_record {
    kiln_stack_id_t next; /* in the bucket */
    uint32_t hash;
    _Atomic kiln_stack_id_t follower; /* see kiln_stack_depot_follower */
    uint32_t count : 8;
    uint32_t id : 24; /* its own number */
    uint32_t mark;    /* of number, hash and count: an id that leads elsewhere is seen */
    uintptr_t frames[];
} kiln_stack_record_t;

typedef struct kiln_stack_depot {
    const kiln_os_t *os;
    _Atomic uintptr_t few,
        many; /* buckets of the first stacks and of later ones; 0 until one comes */
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

/* kiln_stack_depot_record gives the record of a number that the depot gave, NULL of 0. Of another
 * one, as _get does, it gives NULL or what may be anything. */
static inline kiln_stack_record_t *kiln_stack_depot_record(const kiln_stack_depot_t *depot,
                                                           kiln_stack_id_t id)
{
    if (id == 0 || id >= KILN_DEPOT_UNITS_MAX) return NULL;
    uintptr_t chunk =
        atomic_load_explicit(&depot->chunks[id / KILN_DEPOT_CHUNK_UNITS], memory_order_acquire);
    size_t at = (size_t)(id % KILN_DEPOT_CHUNK_UNITS) * KILN_DEPOT_UNIT_BYTES;
    return chunk == 0 ? NULL : (kiln_stack_record_t *)(chunk + at);
}

_Static_assert(KILN_DEPOT_UNITS_MAX <= 1 << 24 && KILN_STACK_FRAMES_MAX <= UINT8_MAX,
               "numbers and counts have their bits");

/* What a stack was followed by the last time, in the eyes of who uses the depot: a guess for the
 * next one. NULL: nothing was said. */
static inline kiln_stack_record_t *kiln_stack_depot_follower(const kiln_stack_depot_t *depot,
                                                             const kiln_stack_record_t *record)
{
    kiln_stack_id_t id = atomic_load_explicit(&record->follower, memory_order_acquire);
    return kiln_stack_depot_record(depot, id);
}

static inline void kiln_stack_depot_follow(kiln_stack_record_t *record,
                                           const kiln_stack_record_t *follower)
{
    atomic_store_explicit(&record->follower, follower->id, memory_order_release);
}

/* kiln_stack_depot_broken_rule walks everything; other threads may be inside. */
const char *kiln_stack_depot_broken_rule(const kiln_stack_depot_t *depot);

#endif
