/* large.h - blocks of whole pages: above KILN_SMALL_MAX bytes, or aligned to more than a page.
 *
 * Each has a span of its own, whose one slot state says whether it is the program's.
 *
 * Threads  any; the page heap's lock is taken inside.
 * Errors   NULL or false: no memory; nothing changed. */
#ifndef KILN_ALLOCATOR_HEAP_LARGE_H
#define KILN_ALLOCATOR_HEAP_LARGE_H

#include "allocator/heap/page_heap.h"

enum { KILN_LARGE_SLACK = 4 };

static inline uint64_t kiln_large_pages(size_t bytes)
{
    return ((uint64_t)bytes + (KILN_PAGE_BYTES - 1)) >> KILN_PAGE_SHIFT;
}

/* kiln_large_new gives a span whose block is LIVE; kiln_span_clear makes it zero.
 * kiln_page_heap_give ends it, once its slot was claimed. */
kiln_span_t *kiln_large_new(kiln_page_heap_t *pages, size_t bytes, size_t align);

/* kiln_large_resize makes the live block `bytes` long, where it is. A shrink by less than one part
 * in KILN_LARGE_SLACK, or one for which there is no record, leaves it as it is: the caller looks at
 * its pages. False: it cannot grow here. */
bool kiln_large_resize(kiln_page_heap_t *pages, kiln_span_t *span, size_t bytes);

#endif
