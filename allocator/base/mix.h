/* mix.h - a number that looks like any other, but is the same on every machine. */
#ifndef KILN_ALLOCATOR_BASE_MIX_H
#define KILN_ALLOCATOR_BASE_MIX_H

#include <stdint.h>

/* kiln_mix is the finalizer of MurmurHash3 by Austin Appleby (public domain): a bijection, so that
 * different numbers stay different. */
static inline uint64_t kiln_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    x ^= x >> 33;
    return x;
}

#endif
