/* The end of an arena: what it holds goes back, each byte once, and nothing else does. Byte g, any,
 * stands for all.
 *
 * Tables of `kiln` that were only believed reserved, which go back page by page, are left to the
 * exhaustive search and a unit test. */
#include "allocator/arena/arena_internal.h"
#include "tests/proof/arena_phys.h"

static kiln_arena_t arena;
static kiln_addr_t g;
static unsigned releases;

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    PROOF_ASSERT(bytes != 0, "os: a release is not empty");
    if (addr <= g && g <= addr + (bytes - 1)) releases += releases < 2;
}

static const kiln_os_t os = {.release = os_release};

/* at_top: does it end with the address space? `seed` and `go19` write that end as 0. */
static bool at_top(const kiln_arena_region_t *range)
{
    return FOLLOW != KILN_FOLLOW_KILN && range->end == 0 && range->start != 0;
}

/* any_range gives one that may be empty. */
static kiln_arena_region_t any_range(void)
{
    const uint64_t mask = kiln_width_mask(WIDTH);
    kiln_arena_region_t range = {any_multiple(PHYS) & mask, any_multiple(PHYS) & mask,
                                 nondet_bool()};
    PROOF_ASSUME(range.start <= range.end || at_top(&range));
    return range;
}

static bool holds_g(const kiln_arena_region_t *range)
{
    return range->reserved && range->start <= g && (g < range->end || at_top(range));
}

static void any_table(kiln_arena_table_t *table)
{
    static _Atomic uint64_t no_words[1]; /* the tables of `kiln` are really reserved here */
    uint64_t bytes_max = any_multiple(PHYS);
    PROOF_ASSUME(bytes_max <= table->bytes_max && (bytes_max != 0) == table->used);
    table->bytes_max = bytes_max;
    table->base = any_multiple(PHYS) & kiln_width_mask(WIDTH);
    table->mapped_bytes = any_multiple(PHYS) & kiln_width_mask(WIDTH);
    PROOF_ASSUME(table->base <= arena.mask &&
                 (!table->used || bytes_max - 1 <= arena.mask - table->base));
    PROOF_ASSUME(table->mapped_bytes <= table->bytes_max);
    if (arena.config.follow == KILN_FOLLOW_KILN) table->present = no_words;
}

/* table_holds_g: is g in the table, and ours: by a reservation, or because its entry is mapped? */
static bool table_holds_g(const kiln_arena_table_t *table)
{
    if (!table->used || g < table->base || g - table->base >= table->bytes_max) return false;
    return arena.tables_reserved || kiln_arena_table_offset(table, g, 1) < table->mapped_bytes;
}

static void prove_ranges(void)
{
    kiln_arena_config_t config = any_page_config(WIDTH);
    static uint64_t no_words[1];
    unsigned held = 0;

    config.follow = FOLLOW;
    config.tables = nondet_below(1u << KILN_ARENA_TABLES);
    kiln_arena_init(&arena, &config, &os, NULL, NULL, no_words);
    arena.tables_reserved = FOLLOW == KILN_FOLLOW_KILN || nondet_bool();
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        any_table(&arena.tables[id]);
        held += table_holds_g(&arena.tables[id]);
    }
    kiln_arena_region_t block = any_range();
    arena.arena_alloc = block.start;
    arena.arena_end = block.end;
    arena.arena_reserved = block.reserved;
    held += holds_g(&block);
    arena.kept_count = nondet_below(KILN_ARENA_KEPT_MAX + 1);
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++) {
        arena.kept[i] = any_range();
        held += i < arena.kept_count && holds_g(&arena.kept[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        arena.slack[i] = any_range();
        held += holds_g(&arena.slack[i]);
    }
    PROOF_ASSUME(held <= 1); /* arena_step_harness.c: no byte has two owners */

    kiln_arena_destroy(&arena);
    PROOF_ASSERT(releases == held, "L4: what the arena holds goes back, once, and nothing else");
    PROOF_REACHED(held == 1, "a byte goes back");
    PROOF_REACHED(FOLLOW == KILN_FOLLOW_KILN || (held == 1 && holds_g(&block) && at_top(&block)),
                  "a byte of a block that ends at the top");
    reach_pages();
}

void harness(void)
{
    g = nondet_uint64() & kiln_width_mask(WIDTH);
    prove_ranges();
}
