/* The remainders that `kiln` keeps, any number of them, anywhere: what arena_step_harness.c assumes
 * of arena_kept.c in its stubs. OP is the function.
 *
 * Nothing is summed over the array. The rule says something of each element and of it and its
 * successor, so it is asserted of an element k, any, and assumed of the few elements that k and its
 * successor came from; g is one byte address, any, followed from the element that held it. */
#include "allocator/arena/arena_internal.h"
#include "tests/proof/proof.h"

static kiln_addr_t g;
static unsigned releases, g_releases;
static kiln_arena_t arena, old;

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    PROOF_ASSERT(bytes != 0, "os: a release is not empty");
    releases++;
    if (addr <= g && g <= addr + (bytes - 1)) g_releases++;
}

static const kiln_os_t os = {.release = os_release};

static bool in_region(const kiln_arena_region_t *region)
{
    return region->start <= g && g < region->end;
}

/* holds: does the remainder idx of `*a`, if there is one, hold g? */
static bool holds(const kiln_arena_t *a, unsigned idx, bool reserved)
{
    return idx < a->kept_count && a->kept[idx].reserved == reserved && in_region(&a->kept[idx]);
}

/* element_rule gives kiln_arena_kept_broken_rule() of an array of that element alone. */
static bool element_rule(kiln_arena_region_t region)
{
    static kiln_arena_t one;
    one.config = arena.config;
    one.mask = arena.mask;
    one.arena_start = arena.arena_start;
    one.arena_alloc = arena.arena_alloc;
    one.arena_end = arena.arena_end;
    one.kept[0] = region;
    one.kept_count = 1;
    return kiln_arena_kept_broken_rule(&one) == NULL;
}

/* rule_at: does the rule hold for element idx, if there is one, and between it and its successor?
 */
static bool rule_at(unsigned idx)
{
    if (idx >= arena.kept_count) return true;
    return element_rule(arena.kept[idx]) &&
           (idx + 1 >= arena.kept_count || arena.kept[idx].end <= arena.kept[idx + 1].start);
}

/* The rule wants such addresses; the solver is spared their low bits. */
static kiln_addr_t any_multiple(uint64_t unit)
{
    return (nondet_uint64() & arena.mask) / unit * unit;
}

static kiln_arena_region_t any_region(void)
{
    return (kiln_arena_region_t){any_multiple(kiln_arena_unit(&arena)), any_multiple(PHYS),
                                 nondet_bool()};
}

static void any_arena(void)
{
    arena.config = kiln_arena_config_default(WIDTH, PHYS);
    arena.mask = kiln_width_mask(WIDTH);
    arena.os = &os;
    arena.arena_start = nondet_uint64();
    arena.arena_alloc = any_multiple(kiln_arena_unit(&arena));
    arena.arena_end = any_multiple(PHYS);
    arena.kept_count = nondet_below(KILN_ARENA_KEPT_MAX + 1);
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++) arena.kept[i] = any_region();
    g = nondet_uint64();
}

enum { ADD, TAKE, FIND, OVERLAPS };

/* assume_around assumes the rule of the elements that k and k + 1 can come from, when one element
 * was inserted and perhaps one removed. `region` overlaps none of them. */
static void assume_around(unsigned k, const kiln_arena_region_t *region)
{
    for (unsigned i = 0; i < 5; i++) {
        unsigned idx = k + i - 2; /* beyond the array where it wraps */
        PROOF_ASSUME(rule_at(idx));
        if (!region || idx >= arena.kept_count) continue;
        PROOF_ASSUME(region->end <= arena.kept[idx].start || arena.kept[idx].end <= region->start);
    }
}

/* FULL: are there as many remainders as there may be? */
static void prove_add(void)
{
    kiln_arena_region_t region = any_region();
    unsigned k = nondet_below(KILN_ARENA_KEPT_MAX);
    bool empty = region.start == region.end;

    PROOF_ASSUME(region.start <= region.end && region.end <= arena.mask);
    PROOF_ASSUME(empty || (region.start != 0 && region.start >= arena.arena_start &&
                           region.end - 1 - arena.arena_start <= arena.config.addr_max));
    PROOF_ASSUME(empty || region.end <= arena.arena_alloc || arena.arena_end <= region.start);
    PROOF_ASSUME((arena.kept_count == KILN_ARENA_KEPT_MAX) == FULL);
    assume_around(k, &region);
    old = arena;

    kiln_arena_kept_add(&arena, region);
    PROOF_ASSERT(arena.kept_count <= KILN_ARENA_KEPT_MAX && releases <= 1,
                 "L4: at most one remainder goes back");
    PROOF_ASSERT(rule_at(k), "L2: the rule of the remainders holds");

    bool flag = nondet_bool();
    if (holds(&arena, k, flag))
        PROOF_ASSERT((in_region(&region) && region.reserved == flag) || holds(&old, k - 1, flag) ||
                         holds(&old, k, flag) || holds(&old, k + 1, flag),
                     "L1: nothing is kept that was not ours");
    if (holds(&old, k, flag)) {
        bool kept =
            holds(&arena, k - 1, flag) || holds(&arena, k, flag) || holds(&arena, k + 1, flag);
        PROOF_ASSERT(g_releases == (flag && !kept), "L4: what is not kept goes back, once");
    }
    if (in_region(&region)) {
        bool kept = false;
        for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++)
            kept |= holds(&arena, i, region.reserved);
        PROOF_ASSERT(g_releases == (region.reserved && !kept),
                     "L4: a new remainder is kept or goes back, not both");
    }
}

static void prove_take(void)
{
    unsigned idx = nondet_below(KILN_ARENA_KEPT_MAX);
    unsigned k = nondet_below(KILN_ARENA_KEPT_MAX);
    uint64_t bytes = nondet_uint64();
    PROOF_ASSUME(idx < arena.kept_count);
    assume_around(k, NULL);
    PROOF_ASSUME(rule_at(idx));
    kiln_arena_region_t whole = arena.kept[idx];
    PROOF_ASSUME(bytes != 0 && bytes <= whole.end - whole.start);
    PROOF_ASSUME(kiln_is_aligned(bytes, kiln_arena_unit(&arena)));
    old = arena;

    kiln_arena_kept_take(&arena, &arena.kept[idx], bytes);
    bool gone = whole.end - whole.start - bytes < kiln_arena_unit(&arena);
    PROOF_ASSERT(arena.kept_count == old.kept_count - gone, "a remainder stays while it is of use");
    PROOF_ASSERT(rule_at(k), "L2: the rule of the remainders holds");
    kiln_addr_t rest_start = whole.start + bytes;
    bool flag = whole.reserved;
    PROOF_ASSERT(g_releases == (gone && flag && rest_start <= g && g < whole.end),
                 "L4: a rest of no use goes back, once, and nothing else");
    PROOF_ASSERT(gone || holds(&arena, idx, flag) == (rest_start <= g && g < whole.end),
                 "L1: what was taken is not kept, the rest is");
    bool other = nondet_bool();
    PROOF_ASSERT(k == idx || k >= old.kept_count ||
                     holds(&arena, k - (gone && k > idx), other) == holds(&old, k, other),
                 "L1: all others stay");
}

static void prove_find(void)
{
    uint64_t bytes = nondet_uint64();
    const kiln_arena_region_t *region = kiln_arena_kept_find(&arena, bytes);
    unsigned k = nondet_below(KILN_ARENA_KEPT_MAX);
    bool fits = k < arena.kept_count && kiln_arena_region_bytes(&arena.kept[k]) >= bytes;

    PROOF_ASSERT(region || !fits, "what fits is found");
    if (!region) return;
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
    unsigned k = nondet_below(KILN_ARENA_KEPT_MAX);
    bool any = false;

    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++)
        any |= i < arena.kept_count && arena.kept[i].reserved == reserved &&
               start < arena.kept[i].end && last >= arena.kept[i].start;
    bool answer = kiln_arena_kept_overlaps(&arena, start, last, reserved);
    PROOF_ASSERT(!(start <= g && g <= last && holds(&arena, k, reserved)) || answer,
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
