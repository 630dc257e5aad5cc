/* The tree of free runs: after any RUNS runs, of any sizes at any places, were added in any order
 * and any one of them was taken out again, the tree keeps its rule, and what it finds is what a
 * search of all would find: the best fit of any size, the largest, the one before any other.
 *
 * The priorities are any: RUNS different numbers, one a place. kiln_mix gives such, being a
 * bijection. */
#include "allocator/heap/size_class.h"
#include "tests/proof/proof.h"

/* Of a record what the tree knows of it, so that cbmc has less to copy. */
#define KILN_ALLOCATOR_HEAP_SPAN_H
typedef struct kiln_span kiln_span_t;
struct kiln_span {
    kiln_span_t *left, *right;
    uint32_t pages;
    uintptr_t base;
};

static inline uintptr_t kiln_span_base(const kiln_span_t *span)
{
    return span->base;
}

enum { RULE, SEARCHES };

static kiln_span_t first_run, second_run, third_run, fourth_run;
static kiln_span_t *const runs[] = {&first_run, &second_run, &third_run, &fourth_run};
static uint64_t places[RUNS];
static uint8_t priorities[RUNS];
static bool in_tree[RUNS];

#define KILN_ALLOCATOR_BASE_MIX_H /* this one instead */
static uint64_t kiln_mix(uint64_t place)
{
    for (uint32_t i = 0; i < RUNS; i++)
        if (place == places[i]) return priorities[i];
    PROOF_ASSERT(0, "a priority is that of a run");
    return 0;
}

#include "allocator/heap/free_tree.c"

static kiln_free_tree_t tree;

static void any_runs(void)
{
    for (uint32_t i = 0; i < RUNS; i++) {
        places[i] = (uintptr_t)nondet_uint64() >> KILN_PAGE_SHIFT;
        priorities[i] = (uint8_t)nondet_uint64();
        for (uint32_t j = 0; j < i; j++)
            PROOF_ASSUME(places[i] != places[j] && priorities[i] != priorities[j]);
        runs[i]->base = (uintptr_t)places[i] << KILN_PAGE_SHIFT;
        runs[i]->pages = nondet_below(INT32_MAX);
    }
}

/* Smaller, or as large and at a lower address. */
static bool comes_before(const kiln_span_t *a, const kiln_span_t *b)
{
    return a->pages < b->pages || (a->pages == b->pages && kiln_span_base(a) < kiln_span_base(b));
}

static void prove_searches(void)
{
    uint32_t pages = nondet_below(UINT32_MAX), other = nondet_below(RUNS);
    const kiln_span_t *best = NULL, *largest = NULL, *before_other = NULL;
    for (uint32_t i = 0; i < RUNS; i++) {
        const kiln_span_t *run = runs[i];
        if (!in_tree[i]) continue;
        if (run->pages >= pages && (!best || comes_before(run, best))) best = run;
        if (!largest || comes_before(largest, run)) largest = run;
        if (comes_before(run, runs[other]) && (!before_other || comes_before(before_other, run)))
            before_other = run;
    }
    PROOF_ASSERT(kiln_free_tree_best(&tree, pages) == best,
                 "the best fit is found, the lowest of equals");
    PROOF_ASSERT(kiln_free_tree_largest(&tree) == largest, "the largest is found");
    PROOF_ASSERT(kiln_free_tree_before(&tree, runs[other]) == before_other,
                 "the one before is found");
}

void harness(void)
{
    any_runs();
    for (uint32_t i = 0; i < RUNS; i++) {
        kiln_free_tree_add(&tree, runs[i]);
        in_tree[i] = true;
    }
    for (uint32_t i = 0; i < RUNS; i++) {
        if (nondet_bool()) continue;
        kiln_free_tree_remove(&tree, runs[i]);
        PROOF_ASSERT(!runs[i]->left && !runs[i]->right, "what was taken out leads nowhere");
        in_tree[i] = false;
        break;
    }
    if (WHAT == RULE)
        PROOF_ASSERT(kiln_free_tree_broken_rule(&tree) == NULL, "the rule of the tree holds");
    else
        prove_searches();
}
