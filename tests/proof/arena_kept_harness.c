/* The remainders that `kiln` keeps: all 32 at once, any of them. What arena_step_harness.c assumes of
 * arena_kept.c in its stubs is proved here. OP is the function.
 *
 * g is one byte address, any: what holds for it holds for every byte. */
#include "allocator/arena/arena_internal.h"
#include "tests/proof/proof.h"

static kiln_addr_t g;
static unsigned g_released;

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    PROOF_ASSERT(bytes != 0, "os: a release is not empty");
    if (addr <= g && g - addr < bytes) g_released++;
}

static const kiln_os_t os = {.release = os_release};
static kiln_arena_t arena;

static bool in_region(const kiln_arena_region_t *region)
{
    return region->start <= g && g < region->end;
}

/* kept_holds: how many remainders with that flag hold g? The rule makes it 0 or 1. */
static unsigned kept_holds(bool reserved)
{
    unsigned count = 0;
    for (unsigned i = 0; i < arena.kept_count; i++)
        if (arena.kept[i].reserved == reserved && in_region(&arena.kept[i])) count++;
    return count;
}

static void any_arena(void)
{
    arena.config = kiln_arena_config_default(WIDTH, PHYS);
    arena.config.addr_max = nondet_uint64();
    PROOF_ASSUME(kiln_arena_config_broken_rule(&arena.config) == NULL);
    arena.mask = kiln_width_mask(WIDTH);
    arena.os = &os;
    arena.arena_start = nondet_uint64();
    arena.arena_alloc = nondet_uint64();
    arena.arena_end = nondet_uint64();
    arena.kept_count = nondet_unsigned();
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++)
        arena.kept[i] = (kiln_arena_region_t){nondet_uint64(), nondet_uint64(), nondet_bool()};
    PROOF_ASSUME(kiln_arena_kept_broken_rule(&arena) == NULL);
    g = nondet_uint64();
}

enum { ADD, TAKE, FIND, OVERLAPS };

static void prove_add(void)
{
    kiln_arena_region_t region = {nondet_uint64(), nondet_uint64(), nondet_bool()};
    unsigned before[2] = {kept_holds(false), kept_holds(true)};

    PROOF_ASSUME(region.start <= region.end && region.end <= arena.mask);
    PROOF_ASSUME(kiln_is_aligned(region.start, kiln_arena_unit(&arena)) && kiln_is_aligned(region.end, PHYS));
    PROOF_ASSUME(region.start == region.end || (region.start != 0 && region.start >= arena.arena_start && region.end - 1 - arena.arena_start <= arena.config.addr_max));
    PROOF_ASSUME(region.end <= arena.arena_alloc || arena.arena_end <= region.start);
    for (unsigned i = 0; i < arena.kept_count; i++)
        PROOF_ASSUME(region.end <= arena.kept[i].start || arena.kept[i].end <= region.start);

    kiln_arena_kept_add(&arena, region);
    PROOF_ASSERT(kiln_arena_kept_broken_rule(&arena) == NULL, "L2: the rule of the remainders holds");
    for (unsigned flag = 0; flag < 2; flag++) {
        unsigned had = before[flag] + (in_region(&region) && region.reserved == flag);
        unsigned has = kept_holds(flag);
        PROOF_ASSERT(has <= had, "L1: nothing is kept that was not ours");
        PROOF_ASSERT(has + (flag ? g_released : 0) == had || (flag == 0 && has < had), "L4: what is not kept goes back, once");
    }
}

void harness(void)
{
    any_arena();
    if (OP == ADD) prove_add();
}
