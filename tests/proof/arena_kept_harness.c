/* The remainders that `kiln` keeps: all 32 at once, any of them. What arena_step_harness.c assumes
 * of arena_kept.c in its stubs is proved here. OP is the function.
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

/* kept_holds: does a remainder with that flag hold g? By the rule, no two do. */
static bool kept_holds(bool reserved)
{
    bool held = false;
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++)
        held |=
            i < arena.kept_count && arena.kept[i].reserved == reserved && in_region(&arena.kept[i]);
    return held;
}

/* judge_rule asserts kiln_arena_kept_broken_rule() == NULL of element k, any, and its neighbour:
 * all elements at once would be the same, and hours. */
static void judge_rule(void)
{
    unsigned k = nondet_below(KILN_ARENA_KEPT_MAX);
    PROOF_ASSERT(arena.kept_count <= KILN_ARENA_KEPT_MAX, "kept_count is at most KEPT_MAX");
    if (k >= arena.kept_count) return;
    static kiln_arena_t one;
    one = arena;
    one.kept[0] = arena.kept[k];
    one.kept_count = 1;
    PROOF_ASSERT(kiln_arena_kept_broken_rule(&one) == NULL, "L2: the rule of a remainder holds");
    PROOF_ASSERT(k + 1 >= arena.kept_count || arena.kept[k].end <= arena.kept[k + 1].start,
                 "L1: remainders ascend and do not overlap");
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
#ifdef FULL
    PROOF_ASSUME((arena.kept_count == KILN_ARENA_KEPT_MAX) == FULL);
#endif
    g = nondet_uint64();
}

enum { ADD, TAKE, FIND, OVERLAPS };

static void prove_add(void)
{
    kiln_arena_region_t region = {nondet_uint64(), nondet_uint64(), nondet_bool()};
    bool before[2] = {kept_holds(false), kept_holds(true)};
    (void)before;

    PROOF_ASSUME(region.start <= region.end && region.end <= arena.mask);
    PROOF_ASSUME(kiln_is_aligned(region.start, kiln_arena_unit(&arena)) &&
                 kiln_is_aligned(region.end, PHYS));
    PROOF_ASSUME(region.start == region.end ||
                 (region.start != 0 && region.start >= arena.arena_start &&
                  region.end - 1 - arena.arena_start <= arena.config.addr_max));
    PROOF_ASSUME(region.start == region.end || region.end <= arena.arena_alloc ||
                 arena.arena_end <= region.start);
    for (unsigned i = 0; i < arena.kept_count; i++)
        PROOF_ASSUME(region.end <= arena.kept[i].start || arena.kept[i].end <= region.start);

    kiln_arena_kept_add(&arena, region);
#ifdef JUDGE_ORDER /* two proofs: each is far less for the solver than both */
    judge_rule();
#else
    for (unsigned flag = 0; flag < 2; flag++) {
        bool had = before[flag] || (in_region(&region) && region.reserved == flag);
        bool has = kept_holds(flag);
        PROOF_ASSERT(!has || had, "L1: nothing is kept that was not ours");
        PROOF_ASSERT(!flag || g_released == (had && !has), "L4: what is not kept goes back, once");
    }
#endif
}

static void prove_take(void)
{
    unsigned idx = nondet_below(KILN_ARENA_KEPT_MAX);
    uint64_t bytes = nondet_uint64();
    PROOF_ASSUME(idx < arena.kept_count);
    kiln_arena_region_t old = arena.kept[idx];
    PROOF_ASSUME(bytes != 0 && bytes <= old.end - old.start);
    PROOF_ASSUME(kiln_is_aligned(bytes, kiln_arena_unit(&arena)));
    bool before[2] = {kept_holds(false), kept_holds(true)};

    kiln_arena_kept_take(&arena, &arena.kept[idx], bytes);
    judge_rule();
    bool taken = old.start <= g && g - old.start < bytes;
    bool rest = in_region(&old) && !taken && old.end - old.start - bytes < kiln_arena_unit(&arena);
    for (unsigned flag = 0; flag < 2; flag++) {
        bool has = kept_holds(flag);
        PROOF_ASSERT(has == (before[flag] && !taken && !rest),
                     "L1: what was taken is not kept, all else is");
        PROOF_ASSERT(!flag || g_released == (before[flag] && rest),
                     "L4: a rest of no use goes back, once");
    }
}

static void prove_find(void)
{
    uint64_t bytes = nondet_uint64();
    const kiln_arena_region_t *region = kiln_arena_kept_find(&arena, bytes);
    unsigned k = nondet_below(KILN_ARENA_KEPT_MAX);
    bool fits = k < arena.kept_count && kiln_arena_region_bytes(&arena.kept[k]) >= bytes;

    if (!region) {
        PROOF_ASSERT(!fits, "what fits is found");
        return;
    }
    PROOF_ASSERT(region >= arena.kept && region < arena.kept + arena.kept_count,
                 "what is found is a remainder");
    PROOF_ASSERT(kiln_arena_region_bytes(region) >= bytes, "what is found fits");
    PROOF_ASSERT(!fits || region <= &arena.kept[k], "what is found is the lowest that fits");
}

static void prove_overlaps(void)
{
    kiln_addr_t start = nondet_uint64();
    kiln_addr_t last = nondet_uint64();
    bool reserved = nondet_bool();
    PROOF_ASSUME(start <= last);
    bool any = false;
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++)
        any |= i < arena.kept_count && arena.kept[i].reserved == reserved &&
               start < arena.kept[i].end && last >= arena.kept[i].start;
    bool answer = kiln_arena_kept_overlaps(&arena, start, last, reserved);
    PROOF_ASSERT(!(start <= g && g <= last && kept_holds(reserved)) || answer,
                 "L1: a common byte is an overlap");
    PROOF_ASSERT(answer == any, "an overlap is one with some remainder");
}

void harness(void)
{
    any_arena();
    if (OP == ADD) prove_add();
    if (OP == TAKE) prove_take();
    if (OP == FIND) prove_find();
    if (OP == OVERLAPS) prove_overlaps();
}
