/* A block of `kiln` is asked for, in any state and for any size that needs one: what is given is of
 * use and nobody's, and else all is as it was. */
#include "tests/proof/arena_block.h"

void harness(void)
{
    any_kiln_arena();
    any_offer();
    kiln_arena_t before = arena;
    ghost_t ghost_before = ghost;

    uint64_t bytes = any_multiple(kiln_arena_unit(&arena));
    PROOF_ASSUME(may_ask(bytes));
    kiln_arena_block_t block = kiln_arena_block_ask(&arena, bytes);
    bool taken = block.branch == KILN_ARENA_EXTEND || block.branch == KILN_ARENA_SWITCH;
    const kiln_arena_region_t *region = &block.region;

    PROOF_ASSERT(is_unchanged(&before, &ghost_before), "L4: who asks for a block changes nothing");
    if (taken && region->reserved && between(region->start, region->end)) {
        PROOF_ASSERT(ANY_ANSWER || ghost.os == RESERVED, "a block that is held is Reserved");
        ghost.os = ghost_before.os;
    }
    PROOF_ASSERT(ANY_ANSWER || ghost.os == ghost_before.os,
                 "L4: what is no part of the block goes back");
    if (taken) granted_rule(false, &block, bytes);
    PROOF_REACHED(block.branch == KILN_ARENA_EXTEND, "a block that extends the current one");
    PROOF_REACHED(block.branch == KILN_ARENA_SWITCH, "a block that replaces it");
    PROOF_REACHED(block.branch == KILN_ARENA_REJECT_RANGE, "a block of no use");
    PROOF_REACHED(block.branch == KILN_ARENA_RESERVE_FAILED, "a refusal");
    reach_pages();
}
