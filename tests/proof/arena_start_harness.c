/* Start-up: an arena after kiln_arena_init, after kiln_arena_place by any numbers, and after
 * kiln_arena_start on any answers of the OS, satisfies the rule from which arena_step_harness.c and
 * arena_seed_harness.c set out. FOLLOW is the behaviour. */
#define JUDGE_HINT
#include "tests/proof/arena_ghost.h"

const char *kiln_arena_kept_broken_rule(const kiln_arena_t *a)
{
    PROOF_ASSERT(a->kept_count == 0, "nothing is kept at start-up");
    return NULL;
}

kiln_arena_result_t kiln_arena_alloc_kiln(kiln_arena_t *a, uint64_t bytes);
kiln_arena_result_t kiln_arena_alloc_kiln(kiln_arena_t *a, uint64_t bytes)
{
    (void)a, (void)bytes;
    PROOF_ASSERT(false, "nothing is asked for at start-up");
    return (kiln_arena_result_t){.addr = 0};
}

#ifdef TABLES_HAVE_BITS
/* Under `kiln` start-up maps no table page, so that `present` is zero as it was given. */
const char *kiln_arena_table_broken_rule(const kiln_arena_table_t *table)
{
    PROOF_ASSERT(table->mapped_bytes == 0, "L2: no table is mapped at start-up");
    return NULL;
}

kiln_os_answer_t kiln_arena_table_extend(kiln_arena_table_t *table, const kiln_os_t *below,
                                         uint64_t heap_bytes, bool reserved)
{
    (void)table, (void)below, (void)heap_bytes, (void)reserved;
    PROOF_ASSERT(false, "L2: kiln maps no table for what is no heap");
    return KILN_OS_FAIL;
}

uint64_t kiln_arena_table_need(const kiln_arena_table_t *table, uint64_t heap_bytes)
{
    (void)table;
    return heap_bytes;
}
#endif

static kiln_arena_layout_t layout;

/* What the watcher can follow: anything, one range that grows upwards, or a part of it. */
static void any_watcher(void)
{
    watcher.upward_only = nondet_bool();
    watcher.range_start = nondet_uint64();
    watcher.range_last = nondet_uint64();
}

/* At 32 bits, and where the big reservation was refused, the arena grows by blocks. */
#if WIDTH > 32
#define GROWS_BY_BLOCKS (SERVES_AT > HINTED)
#else
#define GROWS_BY_BLOCKS true
#endif

static bool can_follow(bool grows_by_blocks)
{
    uint64_t room = arena.mask - arena.arena_start; /* no byte lies beyond the address space */
    if (watcher.upward_only && grows_by_blocks) return false;
    if (watcher.range_last == 0) return true;
    return arena.arena_start >= watcher.range_start && arena.arena_start <= watcher.range_last &&
           (arena.config.addr_max <= watcher.range_last - arena.arena_start ||
            room <= watcher.range_last - arena.arena_start);
}

/* in_last_page: is g in the rest of the last hardware page, behind all that the arena knows of what
 * it reserved? */
static bool in_last_page(void)
{
    kiln_addr_t end = arena.slack[1].end;
    return arena.arena_reserved && !kiln_is_aligned(end, PHYS) && g >= end &&
           kiln_round_down(g, PHYS) == kiln_round_down(end, PHYS);
}

static void judge_started(const char *why)
{
    if (why) {
        PROOF_ASSERT(FOLLOW != KILN_FOLLOW_KILN || ANY_ANSWER || ghost.os == NONE,
                     "L4: an arena that cannot start holds nothing");
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        uint64_t bytes = kiln_arena_sub(&arena, arena.slack[i].end, arena.slack[i].start);
        PROOF_ASSERT(bytes <= kiln_arena_unit(&arena) + arena.config.page_bytes,
                     "L4: rounding costs less than two pages on either side");
        if (has_g(arena.slack[i].start, bytes)) ghost.rest = true;
    }
    if (in_last_page()) {
        PROOF_ASSERT(FOLLOW != KILN_FOLLOW_KILN && ghost.os != RESERVED,
                     "the last hardware page: L4: its rest belongs to nobody");
        ghost.rest = ghost.os == RESERVED;
    }
#ifndef SIZES_ALONE
    PROOF_REACHED(true, "an arena starts");
    reach_pages();
#endif
    PROOF_ASSERT(kiln_arena_broken_rule(&arena) == NULL, "L2: the rule holds after start-up");
    PROOF_ASSERT(kiln_is_aligned(arena.arena_start, arena.config.page_bytes),
                 "arena_start is page aligned, as the steps assume");
    PROOF_ASSERT(layout.by_blocks == GROWS_BY_BLOCKS, "the layout says whether it grows by blocks");
    PROOF_ASSERT(can_follow(GROWS_BY_BLOCKS), "L3: no arena starts that the watcher cannot follow");
    PROOF_ASSERT(ghost.told == 0, "L3: start-up publishes nothing");
    ghost_rule(false);
    if (FOLLOW != KILN_FOLLOW_KILN) block_rule(false); /* arena_seed_harness.c sets out from it */
}

/* What tools/proof/trace.py reads besides the OS's answers. */
static uint64_t proof_width, proof_phys, proof_follow, proof_arch;
static kiln_addr_t proof_image_end, proof_brk;

/* judge_big_hint: where the big reservation is asked for, time after time, as Go's runtime has it.
 * Judged in the row in which all attempts but the last are refused. */
static void judge_big_hint(kiln_addr_t hint)
{
#ifdef SIZES_ALONE
    static uint64_t attempts;
    uint64_t base = proof_arch == KILN_ARENA_DARWIN_ARM64 ? UINT64_C(0x130000000)
                    : proof_arch == KILN_ARENA_ARM64      ? UINT64_C(0x4000000000)
                                                          : UINT64_C(0xc000000000);
    if (attempts < 0x80)
        PROOF_ASSERT(hint == (attempts << 40 | base), "the hints are those of Go's runtime");
    attempts++;
#else
    (void)hint;
#endif
}

/* judge_hint: where blocks are asked for, one after the other, that is beyond the program's image,
 * and its break is not in what is asked for. Where image, break or that range end within a step of
 * the top of the address space there is no such place. */
static void judge_hint(kiln_addr_t hint, uint64_t bytes)
{
    if (WIDTH > 32) {
        judge_big_hint(hint);
        return; /* the same function, but its blocks are the second choice there */
    }
    if (proof_image_end > arena.mask - KILN_MIB(2) || proof_brk > arena.mask - KILN_MIB(2)) return;
    PROOF_ASSERT(kiln_is_aligned(hint, KILN_MIB(1)) && hint >= proof_image_end + KILN_KIB(256),
                 "the hint lies beyond the program's image");
    PROOF_ASSERT(bytes - 1 > arena.mask - hint || proof_brk < hint || proof_brk - hint >= bytes,
                 "the program's break does not lie where blocks are asked for");
}

static void judge_start(void)
{
    kiln_arena_arch_t arch = (kiln_arena_arch_t)nondet_below(KILN_ARENA_DARWIN_ARM64 + 1);

    proof_width = WIDTH;
    proof_phys = PHYS;
    proof_follow = FOLLOW;
    proof_arch = arch;
    proof_image_end = nondet_uint64();
    proof_brk = nondet_uint64();
#ifdef REPLAYABLE
    PROOF_ASSUME(proof_image_end <= arena.mask && proof_brk <= arena.mask);
#endif
    judge_started(kiln_arena_start(&arena, arch, proof_image_end, proof_brk, &layout));
}

void harness(void)
{
    any_watcher();
    any_config(FOLLOW);
#if defined ANY_RANGE && !(defined COVER && WIDTH > 32) /* what one range reaches is reached */
    any_limit();
#endif
#ifdef REPLAYABLE
    judge_start();
    return;
#endif
    PROOF_ASSERT(kiln_arena_broken_rule(&arena) == NULL, "the rule holds after init");
    ghost_rule(false);
    if (nondet_bool()) {
        const char *why = kiln_arena_place(&arena, nondet_uint64(), nondet_uint64(),
                                           nondet_uint64(), nondet_uint64(), nondet_bool());
        PROOF_ASSERT(why || FOLLOW != KILN_FOLLOW_KILN || kiln_arena_broken_rule(&arena) == NULL,
                     "what place does not refuse keeps the rule");
        PROOF_ASSERT(why || FOLLOW != KILN_FOLLOW_KILN ||
                         kiln_is_aligned(arena.arena_start, arena.config.page_bytes),
                     "arena_start is page aligned, as the steps assume");
        PROOF_ASSERT(why || (FOLLOW != KILN_FOLLOW_KILN && arena.arena_start > arena.mask) ||
                         can_follow(true), /* as many blocks as there are */
                     "L3: none is placed that the watcher cannot follow");
        return;
    }
    judge_start();
}
