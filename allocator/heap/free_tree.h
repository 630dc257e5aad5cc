/* free_tree.h - free runs, ordered by (pages, base): best fit, and of those the lowest address.
 *
 * A treap over the span records themselves. The priority of a run is a mix of its place in the
 * arena: no state, no randomness, and the same tree on every machine. Every operation takes
 * O(log n) steps on average.
 *
 * Lock     of the page heap.   Memory  none: left and right of the records. */
#ifndef KILN_ALLOCATOR_HEAP_FREE_TREE_H
#define KILN_ALLOCATOR_HEAP_FREE_TREE_H

#include "allocator/heap/span.h"

typedef struct kiln_free_tree {
    kiln_span_t *root;
    uintptr_t origin; /* arena_start: priorities do not depend on where the arena is */
    uint64_t runs, pages;
} kiln_free_tree_t;

/* The run's base and pages must not change while it is in the tree. */
void kiln_free_tree_add(kiln_free_tree_t *tree, kiln_span_t *run);
void kiln_free_tree_remove(kiln_free_tree_t *tree, kiln_span_t *run);

/* kiln_free_tree_best gives the smallest run of at least `pages` pages, the lowest of equals. */
kiln_span_t *kiln_free_tree_best(const kiln_free_tree_t *tree, uint32_t pages);

/* kiln_free_tree_largest gives the run of most pages, the highest of equals, or NULL. */
kiln_span_t *kiln_free_tree_largest(const kiln_free_tree_t *tree);

/* kiln_free_tree_before gives the run just before the key of `run`, or NULL. */
kiln_span_t *kiln_free_tree_before(const kiln_free_tree_t *tree, const kiln_span_t *run);

const char *kiln_free_tree_broken_rule(const kiln_free_tree_t *tree);

#endif
