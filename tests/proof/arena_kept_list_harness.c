/* The array of remainders, with any contents: what arena_kept_harness.c assumes of
 * arena_kept_list.c in its stubs, and what looks at the whole array. OP is the function.
 *
 * Of the array, one element k is looked at, any: where it comes from is an equation. */
#include "tests/proof/arena_kept.h"

enum { PLACE, INSERT, REMOVE, SMALLEST, FIND, OVERLAPS };

static kiln_arena_t old;

static bool same(const kiln_arena_region_t *a, const kiln_arena_region_t *b)
{
    return a->start == b->start && a->end == b->end && a->reserved == b->reserved;
}

static void prove_place(void)
{
    kiln_addr_t start = nondet_uint64();
    unsigned idx = kiln_arena_kept_place(&arena, start);

    PROOF_ASSERT(idx <= arena.kept_count, "a place is in the array or behind it");
    for (unsigned k = 0; k < KILN_ARENA_KEPT_MAX; k++) {
        if (k + 1 == idx) PROOF_ASSERT(arena.kept[k].start < start, "what is before lies below");
        if (k == idx && k < arena.kept_count)
            PROOF_ASSERT(arena.kept[k].start >= start, "what is behind does not");
    }
}

static void prove_insert(void)
{
    kiln_arena_region_t region = any_region();
    unsigned idx = nondet_below(KILN_ARENA_KEPT_MAX);
    PROOF_ASSUME(arena.kept_count < KILN_ARENA_KEPT_MAX && idx <= arena.kept_count);

    kiln_arena_kept_insert(&arena, idx, region);
    PROOF_ASSERT(arena.kept_count == old.kept_count + 1, "one more is kept");
    for (unsigned k = 0; k < KILN_ARENA_KEPT_MAX; k++) {
        if (k < idx)
            PROOF_ASSERT(same(&arena.kept[k], &old.kept[k]), "insert leaves what is before");
        else if (k == idx)
            PROOF_ASSERT(same(&arena.kept[k], &region), "insert puts the new one in its place");
        else if (k < arena.kept_count)
            PROOF_ASSERT(same(&arena.kept[k], &old.kept[k - 1]), "insert moves what is behind");
    }
}

static void prove_remove(void)
{
    unsigned idx = nondet_below(KILN_ARENA_KEPT_MAX);
    PROOF_ASSUME(idx < arena.kept_count);

    kiln_arena_kept_remove(&arena, &arena.kept[idx]);
    PROOF_ASSERT(arena.kept_count == old.kept_count - 1, "one less is kept");
    for (unsigned k = 0; k + 1 < KILN_ARENA_KEPT_MAX; k++) {
        if (k < idx)
            PROOF_ASSERT(same(&arena.kept[k], &old.kept[k]), "remove leaves what is before");
        else if (k < arena.kept_count)
            PROOF_ASSERT(same(&arena.kept[k], &old.kept[k + 1]), "remove moves what is behind");
    }
}

/* Which one goes is no law: that it is the smallest is the unit tests'. */
static void prove_smallest(void)
{
    PROOF_ASSUME(arena.kept_count == KILN_ARENA_KEPT_MAX);
    const kiln_arena_region_t *smallest = kiln_arena_kept_smallest(&arena);
    unsigned idx = (unsigned)(smallest - arena.kept);

    PROOF_ASSERT(smallest >= arena.kept && idx < KILN_ARENA_KEPT_MAX,
                 "the smallest is a remainder");
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

static bool overlaps(const kiln_arena_region_t *region, kiln_addr_t start, kiln_addr_t last)
{
    return start < region->end && region->start <= last;
}

/* In two steps, each of which is short: a byte of both makes an overlap, whatever the remainder;
 * and the answer is whether there is one. */
static void prove_overlaps(void)
{
    kiln_addr_t start = nondet_uint64();
    kiln_addr_t last = nondet_uint64();
    kiln_arena_region_t some = any_region();
    PROOF_ASSERT(!in_region(&some) || start > g || g > last || overlaps(&some, start, last),
                 "harness: a common byte is an overlap");

    bool reserved = nondet_bool();
    bool answer = kiln_arena_kept_overlaps(&arena, start, last, reserved);
    bool any = false;
    for (unsigned k = 0; k < KILN_ARENA_KEPT_MAX; k++) {
        bool one = k < arena.kept_count && arena.kept[k].reserved == reserved &&
                   overlaps(&arena.kept[k], start, last);
        PROOF_ASSERT(!one || answer, "L1: an overlap is seen");
        any |= one;
    }
    PROOF_ASSERT(!answer || any, "an overlap is one with some remainder");
}

void harness(void)
{
    static const kiln_os_t os;

    any_arena(&os);
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX; i++) arena.kept[i] = any_region();
    old = arena;
    if (OP == PLACE) prove_place();
    if (OP == INSERT) prove_insert();
    if (OP == REMOVE) prove_remove();
    if (OP == SMALLEST) prove_smallest();
    if (OP == FIND) prove_find();
    if (OP == OVERLAPS) prove_overlaps();
}
