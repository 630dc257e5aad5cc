/* arena_kept.h - what the proofs of the remainders share: an arena, one byte address g, any, and
 * the rule of one remainder. */
#ifndef KILN_TESTS_PROOF_ARENA_KEPT_H
#define KILN_TESTS_PROOF_ARENA_KEPT_H

#include "allocator/arena/arena_internal.h"
#include "tests/proof/arena_phys.h"
#include "tests/proof/proof.h"

static kiln_addr_t g;
static kiln_arena_t arena;

static bool in_region(const kiln_arena_region_t *region)
{
    return region->start <= g && g < region->end;
}

static kiln_arena_region_t any_region(void)
{
    return (kiln_arena_region_t){any_multiple(kiln_arena_unit(&arena)), any_multiple(PHYS),
                                 nondet_bool()};
}

/* any_arena makes one with any block, any count of remainders, and none in its array yet. */
static void any_arena(const kiln_os_t *os)
{
    arena.config = any_page_config(WIDTH);
    arena.config.addr_max = nondet_uint64();
    arena.mask = kiln_width_mask(WIDTH);
    arena.os = os;
    arena.arena_start = nondet_uint64();
    arena.arena_alloc = any_multiple(kiln_arena_unit(&arena));
    arena.arena_end = any_multiple(PHYS);
    arena.kept_count = nondet_below(KILN_ARENA_KEPT_MAX + 1);
    g = nondet_uint64();
}

#endif
