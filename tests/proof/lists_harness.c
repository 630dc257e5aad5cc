/* The lists of spans and caches, inductive: an element put in or taken out of a list of any length
 * changes its neighbours' links as it should, and nothing else.
 *
 * Of a list, what an operation may touch is here: the head, the element, and its two neighbours,
 * each there or not. What lies further away is one object that nothing may write to. */
#include "tests/proof/span.h"

#include "allocator/heap/central.c"
#include "allocator/heap/thread_cache.c"
#include "tests/proof/proof.h"

static kiln_central_t central;
static kiln_span_t left, element, right, further;

static void any_span_list(bool has_left, bool has_right)
{
    element.left = has_left ? &left : NULL;
    element.right = has_right ? &right : NULL;
    left.right = &element;
    left.left = nondet_bool() ? &further : NULL;
    right.left = &element;
    right.right = nondet_bool() ? &further : NULL;
    central.partial = !has_left ? &element : left.left ? &further : &left;
    further.left = &left; /* no matter: it must not be looked at, nor change */
    further.right = &right;
}

static void prove_span_remove(void)
{
    bool has_left = nondet_bool(), has_right = nondet_bool();
    any_span_list(has_left, has_right);
    const kiln_span_t *head = central.partial, *before = left.left, *after = right.right;
    list_remove(&central, &element);

    PROOF_ASSERT(central.partial == (has_left    ? head
                                     : has_right ? &right
                                                 : NULL),
                 "the head is as it was, or the next one");
    PROOF_ASSERT(!has_left || left.right == (has_right ? &right : NULL), "left leads to right");
    PROOF_ASSERT(!has_right || right.left == (has_left ? &left : NULL), "right leads to left");
    PROOF_ASSERT(left.left == before && right.right == after, "the outer links stay");
    PROOF_ASSERT(further.left == &left && further.right == &right, "nothing else changes");
}

static void prove_span_add(void)
{
    bool any = nondet_bool();
    central.partial = any ? &right : NULL;
    right.left = NULL;
    right.right = nondet_bool() ? &further : NULL;
    further.left = &left;
    further.right = &right;
    const kiln_span_t *after = right.right;
    list_add(&central, &element);

    PROOF_ASSERT(central.partial == &element && !element.left, "the element is the head");
    PROOF_ASSERT(element.right == (any ? &right : NULL), "the rest of the list follows it");
    PROOF_ASSERT(!any || (right.left == &element && right.right == after),
                 "the old head leads back");
    PROOF_ASSERT(further.left == &left && further.right == &right, "nothing else changes");
}

static void prove_cache_end(void)
{
    static kiln_thread_cache_t before, cache, after, spare;
    static kiln_thread_cache_list_t list;
    bool has_before = nondet_bool(), has_after = nondet_bool();
    cache.prev = has_before ? &before : NULL;
    cache.next = has_after ? &after : NULL;
    before.next = after.prev = &cache;
    before.prev = nondet_bool() ? &spare : NULL;
    list.first = !has_before ? &cache : before.prev ? &spare : &before;
    list.spares = nondet_bool() ? &spare : NULL;
    list.count = nondet_below(UINT32_MAX) + 1;
    const kiln_thread_cache_t *first = list.first, *outer = before.prev, *spares = list.spares;
    uint32_t count = list.count;
    end(&list, &cache);

    PROOF_ASSERT(list.first == (has_before  ? first
                                : has_after ? &after
                                            : NULL),
                 "the first is as it was, or the next one");
    PROOF_ASSERT(!has_before || before.next == (has_after ? &after : NULL), "left leads to right");
    PROOF_ASSERT(!has_after || after.prev == (has_before ? &before : NULL), "right leads to left");
    PROOF_ASSERT(before.prev == outer, "the outer links stay");
    PROOF_ASSERT(list.spares == &cache && cache.next == spares, "the cache is a spare one");
    PROOF_ASSERT(list.count == count - 1, "the caches are counted");
}

void harness(void)
{
    unsigned which = nondet_below(3);
    if (which == 0) prove_span_add();
    if (which == 1) prove_span_remove();
    if (which == 2) prove_cache_end();
}
