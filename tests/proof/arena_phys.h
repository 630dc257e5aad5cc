/* arena_phys.h - the hardware page of the proofs of the arena: PHYS bytes as the table has them,
 * or, with ANY_PHYS, 4, 16 and 64 KiB at once, which costs half or two thirds of the three one by
 * one. With LARGE_PHYS it is one of the two that are larger than a page of the heap. */
#ifndef KILN_TESTS_PROOF_ARENA_PHYS_H
#define KILN_TESTS_PROOF_ARENA_PHYS_H

#include "allocator/arena/arena.h"
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

/* any_page_config gives the default configuration of a machine with such hardware pages. */
static inline kiln_arena_config_t any_page_config(unsigned width)
{
#ifdef ANY_PHYS
    any_page();
    kiln_arena_config_t of_4k = kiln_arena_config_default(width, KILN_KIB(4));
    kiln_arena_config_t of_16k = kiln_arena_config_default(width, KILN_KIB(16));
    kiln_arena_config_t of_64k = kiln_arena_config_default(width, KILN_KIB(64));
    return PHYS == KILN_KIB(4) ? of_4k : PHYS == KILN_KIB(16) ? of_16k : of_64k;
#else
    return kiln_arena_config_default(width, PHYS);
#endif
}

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
