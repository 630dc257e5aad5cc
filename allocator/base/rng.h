/* rng.h - a small generator of pseudo random numbers: same seed, same numbers, everywhere.
 *
 * Sebastiano Vigna's splitmix64: one word of state, any seed is good. Not for secrets.
 * Threads  a generator belongs to one thread at a time. */
#ifndef KILN_ALLOCATOR_BASE_RNG_H
#define KILN_ALLOCATOR_BASE_RNG_H

#include <stdint.h>

typedef struct kiln_rng {
    uint64_t state; /* start it with the seed */
} kiln_rng_t;

static inline uint64_t kiln_rng_next(kiln_rng_t *rng)
{
    uint64_t mixed = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

/* kiln_rng_below gives a number in [0, limit); `limit` is not 0. The bias of the modulo does not
 * matter to tests. */
static inline uint64_t kiln_rng_below(kiln_rng_t *rng, uint64_t limit)
{
    return kiln_rng_next(rng) % limit;
}

#endif
