/* The remainders that `kiln` keeps, any number of them, anywhere: what arena_step_harness.c assumes
 * of arena_kept.c in its stubs. OP is the function.
 *
 * The array is a stub (arena_kept_list_harness.c proves that it does no more): of its elements, a
 * window of five is known, around an element k, any. An element of it comes from at most two places
 * away, so after a step what is known of k - 1, k and k + 1 is exact. g is one byte address, any,
 * followed from the element that held it. */
#include "tests/proof/arena_kept.h"

enum { ADD, TAKE };
enum { WINDOW = 5, MIDDLE = 2 };

static kiln_arena_region_t window[WINDOW], old[WINDOW];
static unsigned window_start,
    old_count; /* window_start: plus MIDDLE, so that it is no less than 0 */
static unsigned releases, g_releases;

/* --- the OS ---------------------------------------------------------------------------------- */

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    PROOF_ASSERT(bytes != 0, "os: a release is not empty");
    releases++;
    if (addr <= g && g <= addr + (bytes - 1)) g_releases++;
}

static const kiln_os_t os = {.release = os_release};

/* --- the window ------------------------------------------------------------------------------ */

/* position gives the index of element j of the window, plus MIDDLE. */
static unsigned position(unsigned j)
{
    return window_start + j;
}

static bool exists(unsigned j, unsigned count)
{
    return position(j) >= MIDDLE && position(j) < count + MIDDLE;
}

static bool holds(const kiln_arena_region_t *elements, unsigned count, unsigned j, bool reserved)
{
    return exists(j, count) && elements[j].reserved == reserved && in_region(&elements[j]);
}

static bool is_apart(const kiln_arena_region_t *a, const kiln_arena_region_t *b)
{
    return a->end <= b->start || b->end <= a->start;
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

/* rule_at: does the rule hold for element j, if there is one, and between it and its successor? */
static bool rule_at(unsigned j)
{
    if (!exists(j, arena.kept_count)) return true;
    return element_rule(window[j]) && (j + 1 == WINDOW || !exists(j + 1, arena.kept_count) ||
                                       window[j].end <= window[j + 1].start);
}

static void any_window(void)
{
    window_start = nondet_below(KILN_ARENA_KEPT_MAX);
    for (unsigned j = 0; j < WINDOW; j++) window[j] = any_region();
    for (unsigned j = 0; j < WINDOW; j++) PROOF_ASSUME(rule_at(j));
}

/* --- arena_kept_list.c ------------------------------------------------------------------------ */

static kiln_arena_region_t found; /* an element, wherever it is */
static unsigned found_position;
static bool found_removed, inserted;

static void any_found(void)
{
    found_position = MIDDLE + nondet_below(KILN_ARENA_KEPT_MAX);
    PROOF_ASSUME(found_position < arena.kept_count + MIDDLE);
    found = any_region();
    PROOF_ASSUME(element_rule(found));
    for (unsigned j = 0; j < WINDOW; j++) {
        if (!exists(j, arena.kept_count)) continue;
        if (position(j) == found_position)
            found = window[j];
        else
            PROOF_ASSUME(is_apart(&found, &window[j]));
    }
}

static kiln_arena_region_t new_region;

kiln_arena_region_t *kiln_arena_kept_smallest(kiln_arena_t *a)
{
    PROOF_ASSERT(a->kept_count == KILN_ARENA_KEPT_MAX, "the smallest is asked of a full array");
    any_found();
    PROOF_ASSUME(is_apart(&found, &new_region));
    return &found;
}

void kiln_arena_kept_remove(kiln_arena_t *a, const kiln_arena_region_t *region)
{
    PROOF_ASSERT(region == &found && !found_removed && a->kept_count != 0,
                 "what is removed is an element");
    found_removed = true;
    a->kept_count--;
    for (unsigned j = 0; j < WINDOW; j++)
        if (position(j) >= found_position)
            window[j] = j + 1 < WINDOW ? window[j + 1] : any_region();
}

unsigned kiln_arena_kept_place(const kiln_arena_t *a, kiln_addr_t start)
{
    unsigned idx = nondet_below(KILN_ARENA_KEPT_MAX + 1);
    PROOF_ASSUME(idx <= a->kept_count);
    for (unsigned j = 0; j < WINDOW; j++) {
        if (!exists(j, a->kept_count)) continue;
        if (position(j) + 1 == idx + MIDDLE) PROOF_ASSUME(window[j].start < start);
        if (position(j) == idx + MIDDLE) PROOF_ASSUME(window[j].start >= start);
    }
    return idx;
}

void kiln_arena_kept_insert(kiln_arena_t *a, unsigned idx, kiln_arena_region_t region)
{
    PROOF_ASSERT(a->kept_count < KILN_ARENA_KEPT_MAX && idx <= a->kept_count && !inserted,
                 "there is room for what is inserted");
    PROOF_ASSERT(region.start == new_region.start && region.end == new_region.end &&
                     region.reserved == new_region.reserved,
                 "what is inserted is what was given");
    inserted = true;
    a->kept_count++;
    for (unsigned j = WINDOW; j-- > 0;) {
        if (position(j) > idx + MIDDLE) window[j] = j > 0 ? window[j - 1] : any_region();
        if (position(j) == idx + MIDDLE) window[j] = region;
    }
}

/* --- the functions ---------------------------------------------------------------------------- */

static void remember(void)
{
    old_count = arena.kept_count;
    for (unsigned j = 0; j < WINDOW; j++) old[j] = window[j];
}

/* FULL: are there as many remainders as there may be? */
static void prove_add(void)
{
    bool empty;

    new_region = any_region();
    empty = new_region.start == new_region.end;
    PROOF_ASSUME(new_region.start <= new_region.end && new_region.end <= arena.mask);
    PROOF_ASSUME(empty || (new_region.start != 0 && new_region.start >= arena.arena_start &&
                           new_region.end - 1 - arena.arena_start <= arena.config.addr_max));
    PROOF_ASSUME(empty || new_region.end <= arena.arena_alloc ||
                 arena.arena_end <= new_region.start);
    for (unsigned j = 0; j < WINDOW; j++)
        PROOF_ASSUME(!exists(j, arena.kept_count) || is_apart(&new_region, &window[j]));
    remember();

    kiln_arena_kept_add(&arena, new_region);
    PROOF_ASSERT(arena.kept_count <= KILN_ARENA_KEPT_MAX && releases <= 1,
                 "L4: at most one remainder goes back");
    PROOF_ASSERT(!found_removed ||
                     kiln_arena_region_bytes(&new_region) > kiln_arena_region_bytes(&found),
                 "a remainder makes room for a larger one alone");
    PROOF_ASSERT(rule_at(MIDDLE), "L2: the rule of the remainders holds");
    bool flag = nondet_bool();
    bool was = false, is = false;
    for (unsigned j = MIDDLE - 1; j <= MIDDLE + 1; j++) {
        was |= holds(old, old_count, j, flag);
        is |= holds(window, arena.kept_count, j, flag);
    }
    if (holds(window, arena.kept_count, MIDDLE, flag))
        PROOF_ASSERT(was || (in_region(&new_region) && new_region.reserved == flag),
                     "L1: nothing is kept that was not ours");
    if (holds(old, old_count, MIDDLE, flag))
        PROOF_ASSERT(g_releases == (flag && !is), "L4: what is not kept goes back, once");
    if (in_region(&new_region))
        PROOF_ASSERT(g_releases == (new_region.reserved && !inserted),
                     "L4: a new remainder is kept or goes back, not both");
}

static void prove_take(void)
{
    uint64_t bytes = nondet_uint64();
    PROOF_ASSUME(arena.kept_count != 0);
    any_found();
    kiln_arena_region_t whole = found;
    PROOF_ASSUME(bytes != 0 && bytes <= whole.end - whole.start);
    PROOF_ASSUME(kiln_is_aligned(bytes, kiln_arena_unit(&arena)));
    remember();

    kiln_arena_kept_take(&arena, &found, bytes);
    bool gone = whole.end - whole.start - bytes < kiln_arena_unit(&arena);
    PROOF_ASSERT(found_removed == gone, "a remainder stays while it is of use");
    for (unsigned j = 0; j < WINDOW; j++)
        if (!gone && position(j) == found_position) window[j] = found;
    PROOF_ASSERT(rule_at(MIDDLE), "L2: the rule of the remainders holds");

    bool in_rest = whole.start + bytes <= g && g < whole.end;
    PROOF_ASSERT(g_releases == (gone && whole.reserved && in_rest),
                 "L4: a rest of no use goes back, once, and nothing else");
    bool flag = nondet_bool();
    if (position(MIDDLE) == found_position)
        PROOF_ASSERT(gone || holds(window, arena.kept_count, MIDDLE, whole.reserved) == in_rest,
                     "L1: what was taken is not kept, the rest is");
    else if (exists(MIDDLE, old_count))
        PROOF_ASSERT(holds(window, arena.kept_count,
                           MIDDLE - (gone && position(MIDDLE) > found_position),
                           flag) == holds(old, old_count, MIDDLE, flag),
                     "L1: all others stay");
}

void harness(void)
{
    any_arena(&os);
    any_window();
    if (OP == ADD) prove_add();
    if (OP == TAKE) prove_take();
    reach_pages();
}
