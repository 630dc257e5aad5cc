#include "allocator/heap/free_tree.h"

#include "allocator/base/check.h"
#include "allocator/base/mix.h"

static uint64_t priority(const kiln_free_tree_t *tree, const kiln_span_t *run)
{
    return kiln_mix((kiln_span_base(run) - tree->origin) >> KILN_PAGE_SHIFT);
}

static bool before(const kiln_span_t *a, const kiln_span_t *b)
{
    if (a->pages != b->pages) return a->pages < b->pages;
    return kiln_span_base(a) < kiln_span_base(b);
}

void kiln_free_tree_add(kiln_free_tree_t *tree, kiln_span_t *run)
{
    uint64_t mine = priority(tree, run);
    kiln_span_t **link = &tree->root;
    while (*link && priority(tree, *link) > mine)
        link = before(run, *link) ? &(*link)->left : &(*link)->right;

    /* Split what hangs here into what comes before the run and what comes after it. */
    kiln_span_t *rest = *link, **left = &run->left, **right = &run->right;
    *link = run;
    while (rest) {
        if (before(rest, run)) {
            *left = rest;
            left = &rest->right;
            rest = rest->right;
        } else {
            *right = rest;
            right = &rest->left;
            rest = rest->left;
        }
    }
    *left = *right = NULL;
    tree->runs++;
    tree->pages += run->pages;
}

void kiln_free_tree_remove(kiln_free_tree_t *tree, kiln_span_t *run)
{
    kiln_span_t **link = &tree->root;
    while (*link != run) {
        KILN_ASSERT(*link);
        link = before(run, *link) ? &(*link)->left : &(*link)->right;
    }
    /* Zip the two subtrees into one. */
    kiln_span_t *left = run->left, *right = run->right;
    while (left && right) {
        if (priority(tree, left) > priority(tree, right)) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left ? left : right;
    run->left = run->right = NULL;
    tree->runs--;
    tree->pages -= run->pages;
}

kiln_span_t *kiln_free_tree_best(const kiln_free_tree_t *tree, uint32_t pages)
{
    kiln_span_t *best = NULL;
    for (kiln_span_t *run = tree->root; run;) {
        bool fits = run->pages >= pages;
        if (fits) best = run;
        run = fits ? run->left : run->right;
    }
    return best;
}

kiln_span_t *kiln_free_tree_largest(const kiln_free_tree_t *tree)
{
    kiln_span_t *run = tree->root;
    while (run && run->right) run = run->right;
    return run;
}

kiln_span_t *kiln_free_tree_before(const kiln_free_tree_t *tree, const kiln_span_t *run)
{
    kiln_span_t *found = NULL;
    for (kiln_span_t *at = tree->root; at;) {
        bool earlier = before(at, run);
        if (earlier) found = at;
        at = earlier ? at->right : at->left;
    }
    return found;
}

/* In order of the keys, and every child's priority below its parent's. The walk keeps no stack: it
 * asks for one run after the other. */
const char *kiln_free_tree_broken_rule(const kiln_free_tree_t *tree)
{
    uint64_t runs = 0, pages = 0;
    const kiln_span_t *after = NULL;
    for (const kiln_span_t *run = kiln_free_tree_largest(tree); run;
         run = kiln_free_tree_before(tree, run)) {
        if (after && !before(run, after)) return "the tree is in order";
        if (++runs > tree->runs) return "the tree has as many runs as it says";
        if (run->left &&
            (priority(tree, run->left) >= priority(tree, run) || !before(run->left, run)))
            return "a left child comes before its parent and has a lower priority";
        if (run->right &&
            (priority(tree, run->right) >= priority(tree, run) || !before(run, run->right)))
            return "a right child comes after its parent and has a lower priority";
        pages += run->pages;
        after = run;
    }
    if (runs != tree->runs || pages != tree->pages) return "the tree counts its runs and pages";
    return NULL;
}
