/* arena_phys.h - the hardware page of the proofs of the arena: PHYS bytes as the table has them,
 * or, with ANY_PHYS, 4, 16 and 64 KiB at once, which costs half or two thirds of the three one by
 * one. With LARGE_PHYS it is one of the two that are larger than a page of the heap. */
#ifndef KILN_TESTS_PROOF_ARENA_PHYS_H
#define KILN_TESTS_PROOF_ARENA_PHYS_H

#include "allocator/base/units.h"
#include "tests/proof/proof.h"

#ifdef ANY_PHYS
static uint64_t any_phys;
#define PHYS any_phys

static void any_page(void)
{
    bool is_4k = nondet_bool(), is_16k = nondet_bool();
#ifdef LARGE_PHYS
    is_4k = false;
#endif
    any_phys = is_4k ? KILN_KIB(4) : is_16k ? KILN_KIB(16) : KILN_KIB(64);
}
#endif

/* Each of them is come to with an input. */
static inline void reach_pages(void)
{
#if defined ANY_PHYS && !defined LARGE_PHYS
    PROOF_REACHED(PHYS == KILN_KIB(4), "a hardware page of 4 KiB");
#endif
#ifdef ANY_PHYS
    PROOF_REACHED(PHYS == KILN_KIB(16), "a hardware page of 16 KiB");
    PROOF_REACHED(PHYS == KILN_KIB(64), "a hardware page of 64 KiB");
#endif
}

#endif
