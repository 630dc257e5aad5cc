#include "allocator/heap/free_tree.h"

#include "allocator/base/rng.h"
#include "tests/kiln_test.h"

enum { RUNS = 4096 };

static bool in_tree[RUNS];

static kiln_span_t *run_at(unsigned idx)
{
    static _Alignas(64) unsigned char memory[RUNS][64];
    return (kiln_span_t *)memory[idx];
}

static void place(unsigned idx, uint32_t pages)
{
    kiln_span_t *run = run_at(idx);
    run->pages = pages;
    kiln_span_set_base(run, (uintptr_t)(idx + 1) << 20);
}

static bool is_before(const kiln_span_t *a, const kiln_span_t *b)
{
    return a->pages != b->pages ? a->pages < b->pages : kiln_span_base(a) < kiln_span_base(b);
}

/* What the tree must answer, found the slow way. */
static kiln_span_t *slow_best(uint32_t pages)
{
    kiln_span_t *best = NULL;
    for (unsigned i = 0; i < RUNS; i++)
        if (in_tree[i] && run_at(i)->pages >= pages && (!best || is_before(run_at(i), best)))
            best = run_at(i);
    return best;
}

static kiln_span_t *slow_before(const kiln_span_t *run)
{
    kiln_span_t *found = NULL;
    for (unsigned i = 0; i < RUNS; i++)
        if (in_tree[i] && (!run || is_before(run_at(i), run)) &&
            (!found || is_before(found, run_at(i))))
            found = run_at(i);
    return found;
}

static void test_random_changes_agree_with_a_search(void)
{
    uint64_t seed = 7;
    printf("seed %llu\n", (unsigned long long)seed);
    kiln_rng_t rng = {seed};
    kiln_free_tree_t tree = {.origin = 1 << 20};
    memset(in_tree, 0, sizeof in_tree);
    for (unsigned step = 0; step < 40000; step++) {
        unsigned idx = (unsigned)kiln_rng_below(&rng, RUNS);
        if (in_tree[idx]) {
            kiln_free_tree_remove(&tree, run_at(idx));
        } else {
            place(idx, 1 + (uint32_t)kiln_rng_below(&rng, step % 3 ? 8 : 5000));
            kiln_free_tree_add(&tree, run_at(idx));
        }
        in_tree[idx] = !in_tree[idx];
        if (step % 100) continue;
        EXPECT_RULE(kiln_free_tree_broken_rule(&tree));
        uint32_t pages = (uint32_t)kiln_rng_below(&rng, 6000);
        EXPECT(kiln_free_tree_best(&tree, pages) == slow_best(pages));
        EXPECT(kiln_free_tree_largest(&tree) == slow_before(NULL));
        place(idx, run_at(idx)->pages);
        EXPECT(kiln_free_tree_before(&tree, run_at(idx)) == slow_before(run_at(idx)));
    }
    for (unsigned i = 0; i < RUNS; i++)
        if (in_tree[i]) kiln_free_tree_remove(&tree, run_at(i));
    EXPECT(tree.root == NULL && tree.runs == 0 && tree.pages == 0);
}

/* Steps from the root to a run. */
static unsigned depth(const kiln_free_tree_t *tree, const kiln_span_t *run)
{
    unsigned steps = 0;
    for (const kiln_span_t *at = tree->root; at != run; steps++)
        at = is_before(run, at) ? at->left : at->right;
    return steps;
}

/* Sorted insertion is what makes a plain tree a list. */
static void test_the_tree_stays_flat(void)
{
    kiln_free_tree_t tree = {.origin = 1 << 20};
    for (unsigned i = 0; i < RUNS; i++) {
        place(i, i + 1);
        kiln_free_tree_add(&tree, run_at(i));
    }
    for (unsigned i = 0; i < RUNS; i++) EXPECT(depth(&tree, run_at(i)) < 4 * 12);
    EXPECT_RULE(kiln_free_tree_broken_rule(&tree));
}

static void test_broken_rules_are_named(void)
{
    kiln_free_tree_t tree = {.origin = 1 << 20};
    for (unsigned i = 0; i < 3; i++) {
        place(i, i + 1);
        kiln_free_tree_add(&tree, run_at(i));
    }
    tree.pages++;
    EXPECT_STR(kiln_free_tree_broken_rule(&tree), "the tree counts its runs and pages");
    tree.pages--;
    tree.root->pages = 9;
    EXPECT(kiln_free_tree_broken_rule(&tree) != NULL);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_random_changes_agree_with_a_search),
        KILN_TEST(test_the_tree_stays_flat),
        KILN_TEST(test_broken_rules_are_named),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
