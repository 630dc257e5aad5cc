/* page_runs_trees.h - the trees of free runs as page_runs_harness.c has them: stubs that keep what
 * is in which. Part of the harness: it uses what that defines before it. */
#ifndef KILN_TESTS_PROOF_PAGE_RUNS_TREES_H
#define KILN_TESTS_PROOF_PAGE_RUNS_TREES_H

static kiln_free_tree_t *tree_of_kind(const kiln_span_t *run)
{
    return run->kind == KILN_SPAN_READY ? &heap.ready : &heap.discarded;
}

static bool is_in(uint32_t number, const kiln_free_tree_t *tree)
{
    return in_tree[number] && tree_of_kind(records[number]) == tree;
}

/* What a tree says of itself. No pointer to a tree is written through: that, too, makes cbmc slow.
 */
static void count(const kiln_free_tree_t *tree, kiln_free_tree_t *out)
{
    out->runs = out->pages = 0;
    out->root = NULL;
    for (uint32_t i = 0; i < RECORDS; i++)
        if (is_in(i, tree)) {
            out->root = records[i];
            out->runs++;
            out->pages += records[i]->pages;
        }
}

static void count_both(void)
{
    count(&heap.ready, &heap.ready);
    count(&heap.discarded, &heap.discarded);
}

void kiln_free_tree_add(kiln_free_tree_t *tree, kiln_span_t *run)
{
    PROOF_ASSERT(!in_tree[number_of(run)], "a run is in one tree at most");
    PROOF_ASSERT(tree == tree_of_kind(run), "a run is in the tree of its kind");
    PROOF_ASSERT(run->pages > 0, "a run has pages");
    in_tree[number_of(run)] = true;
    count_both();
}

void kiln_free_tree_remove(kiln_free_tree_t *tree, kiln_span_t *run)
{
    PROOF_ASSERT(is_in(number_of(run), tree), "a run is taken out of the tree that it is in");
    in_tree[number_of(run)] = false;
    count_both();
}

kiln_span_t *kiln_free_tree_largest(const kiln_free_tree_t *tree)
{
    return kiln_free_tree_best(tree, 0);
}

kiln_span_t *kiln_free_tree_before(const kiln_free_tree_t *tree, const kiln_span_t *run)
{
    (void)tree, (void)run;
    return NULL; /* the policy looks at no second run here */
}

/* Of the runs that are large enough any; that it is the best does not matter here. */
kiln_span_t *kiln_free_tree_best(const kiln_free_tree_t *tree, uint32_t pages)
{
    kiln_span_t *best = NULL;
    for (uint32_t i = 0; i < RECORDS; i++)
        if (is_in(i, tree) && records[i]->pages >= pages && (!best || nondet_bool()))
            best = records[i];
    return best;
}

#endif
