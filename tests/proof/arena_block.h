/* arena_block.h - an arena of `kiln` in any state, and what holds of a block that it is given: what
 * arena_block_harness.c proves is what arena_step_harness.c assumes. */
#ifndef KILN_TESTS_PROOF_ARENA_BLOCK_H
#define KILN_TESTS_PROOF_ARENA_BLOCK_H

#ifndef NO_OFFER
#define ONE_OFFER
#endif
#define ONE_KEPT
#include "tests/proof/arena_ghost.h"

/* --- arena_kept.c and arena_tables.c, as far as an arena is only looked at -------------------- */

bool kiln_arena_kept_overlaps(const kiln_arena_t *a, kiln_addr_t start, kiln_addr_t last,
                              bool reserved)
{
    (void)a;
    if (start < any_kept.end && any_kept.start <= last && any_kept.reserved == reserved)
        return true;
    if (start <= g && g <= last && ghost.kept && ghost.kept_reserved == reserved) return true;
    /* What is really reserved is ours, and an OS that keeps its contract does not grant it. */
    return (ANY_ANSWER || !reserved) && nondet_bool();
}

const char *kiln_arena_kept_broken_rule(const kiln_arena_t *a)
{
    /* All else of the rule is arena_kept_harness.c's. */
    return any_kept.start < a->arena_end && a->arena_alloc < any_kept.end
               ? "a kept remainder does not overlap the current block"
               : NULL;
}

const char *kiln_arena_table_broken_rule(const kiln_arena_table_t *table)
{
    (void)table;
    return NULL; /* it counts bits: see README.md, what is assumed */
}

/* --- the arena, and a block ------------------------------------------------------------------- */

static void any_kiln_arena(void)
{
    any_config(KILN_FOLLOW_KILN);
    any_limit();
    any_addresses();
    any_kept = (kiln_arena_region_t){nondet_uint64(), nondet_uint64(), nondet_bool()};
    PROOF_ASSUME(any_kept.start < any_kept.end && any_kept.end <= arena.mask);
    arena.kept_count = nondet_below(KILN_ARENA_KEPT_MAX + 1);
#ifdef COVER /* a line that is reached from one of these states is reached */
    arena.arena_start = 0;
    arena.arena_end = nondet_bool() ? KILN_MIB(32) : arena.config.addr_max + 1 - KILN_MIB(1);
    arena.arena_used = arena.arena_alloc = arena.arena_end - KILN_MIB(16);
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        arena.tables[id].base = id ? KILN_MIB(1024) : 0;
#endif
    PROOF_ASSUME(kiln_arena_broken_rule(&arena) == NULL);
    any_ghost();
}

/* is_unchanged: is all of the arena as it was, and what the ghost knows of it, the OS aside?
 * Without branches, which cost the model checker more than the comparisons. */
static bool is_unchanged(const kiln_arena_t *before, const ghost_t *ghost_before)
{
    const kiln_arena_t *now = &arena;
    bool same = now->arena_start == before->arena_start;
    same &= now->arena_used == before->arena_used;
    same &= now->arena_alloc == before->arena_alloc;
    same &= now->arena_end == before->arena_end;
    same &= now->arena_reserved == before->arena_reserved;
    same &= now->tables_reserved == before->tables_reserved;
    same &= now->heap_sys_bytes == before->heap_sys_bytes;
    same &= now->mask == before->mask;
    same &= now->config.addr_max == before->config.addr_max;
    same &= now->config.block_bytes == before->config.block_bytes;
    same &= now->config.page_bytes == before->config.page_bytes;
    same &= now->config.phys_bytes == before->config.phys_bytes;
    same &= now->kept_count == before->kept_count;
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++) {
        same &= now->kept[i].start == before->kept[i].start;
        same &= now->kept[i].end == before->kept[i].end;
        same &= now->kept[i].reserved == before->kept[i].reserved;
    }
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        same &= now->tables[id].base == before->tables[id].base;
        same &= now->tables[id].used == before->tables[id].used;
        same &= now->tables[id].mapped_bytes == before->tables[id].mapped_bytes;
        same &= ghost.mapped[id] == ghost_before->mapped[id];
        same &= ghost.shown[id] == ghost_before->shown[id];
    }
    same &= ghost.kept == ghost_before->kept;
    same &= ghost.heap == ghost_before->heap;
    same &= ghost.rest == ghost_before->rest;
    same &= ghost.told == ghost_before->told;
    return same;
}

/* may_ask: may a block be asked for that serves `bytes`? */
static bool may_ask(uint64_t bytes)
{
    uint64_t wanted = bytes + arena.config.page_bytes;
    uint64_t size = kiln_round_up(wanted, kiln_arena_granule_min(&arena.config));
    return bytes > kiln_arena_left(&arena) && bytes <= arena.mask &&
           kiln_is_aligned(bytes, kiln_arena_unit(&arena)) && wanted >= bytes && size >= wanted &&
           size <= arena.mask;
}

/* granted_rule: a block for `bytes` that was asked for is of use, and is nobody's. */
static void granted_rule(bool assume, const kiln_arena_block_t *block, uint64_t bytes)
{
    const kiln_arena_region_t *region = &block->region;
    kiln_addr_t first = kiln_round_up(region->start, arena.config.page_bytes);
    bool adjacent = region->start == arena.arena_end && region->reserved == arena.arena_reserved;

    LAW(region->start != 0 && region->start < region->end && region->end <= arena.mask,
        "a block is representable");
    LAW(kiln_is_aligned(region->start, PHYS) && kiln_is_aligned(region->end, PHYS),
        "a block is whole hardware pages");
    LAW(region->start >= arena.arena_start &&
            region->end - 1 - arena.arena_start <= arena.config.addr_max,
        "a block lies in the possible range");
    LAW(first >= region->start && first <= region->end && bytes <= region->end - first,
        "a block serves the request");
    LAW(block->branch == (adjacent ? KILN_ARENA_EXTEND : KILN_ARENA_SWITCH),
        "the branch says whether the block follows the current one");
    LAW(kiln_arena_left(&arena) == 0 || region->end <= arena.arena_alloc ||
            arena.arena_end <= region->start,
        "a block is no part of the current one");
    LAW(region->end <= any_kept.start || any_kept.end <= region->start,
        "a block overlaps no remainder");
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        const kiln_arena_table_t *table = &arena.tables[id];
        LAW(!table->used || table->base == 0 || region->end - 1 < table->base ||
                region->start > table->base + (table->bytes_max - 1),
            "a block overlaps no table");
    }
    if (!between(region->start, region->end)) return;
    LAW(!in_block() && !ghost.kept && !in_table(), "a block is nothing that is to be handed out");
    LAW(ANY_ANSWER || ghost.os == NONE, "L1: a block is nobody's");
}

#endif
