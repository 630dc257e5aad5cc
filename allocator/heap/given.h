/* given.h - the address by which the program has a block, where a tool puts a tag into it (tag.h).
 *
 * Which bits that is, is decided when the heap is compiled: //allocator:kiln_hwasan alone has any.
 * In all others these functions give back what they are given, and are no instructions.
 *
 * Inside of the heap a block is known by its bare address. */
#ifndef KILN_ALLOCATOR_HEAP_GIVEN_H
#define KILN_ALLOCATOR_HEAP_GIVEN_H

#include "allocator/base/tag.h"
#include "allocator/heap/heap.h"

static inline bool kiln_given_tagged(const kiln_heap_t *heap)
{
    return KILN_TAG_BITS != 0 && heap->config.watcher && heap->config.watcher->given;
}

/* Any address, that of a live block or not. */
static inline void *kiln_given_bare(const kiln_heap_t *heap, const void *block)
{
    if (!kiln_given_tagged(heap)) return (void *)block;
    const kiln_tags_t tags = {KILN_TAG_SHIFT, KILN_TAG_BITS};
    return (void *)(uintptr_t)kiln_tag_strip(tags, (uintptr_t)block);
}

/* `block` is live, and bare. */
static inline void *kiln_given(const kiln_heap_t *heap, void *block)
{
    if (!kiln_given_tagged(heap)) return block;
    const kiln_watcher_t *watcher = heap->config.watcher;
    return (void *)(uintptr_t)watcher->given(watcher->ctx, (uintptr_t)block);
}

/* Is this how the program was given a block that is live? */
static inline bool kiln_given_is(const kiln_heap_t *heap, const void *block)
{
    return !kiln_given_tagged(heap) || kiln_given(heap, kiln_given_bare(heap, block)) == block;
}

#endif
