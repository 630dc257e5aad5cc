/* huge.h - when a page heap asks for huge pages.
 *
 * A large heap grows for small blocks by a sixteenth, up to where a huge page ends, and asks for
 * huge pages there: small blocks fill their pages. A large block may be touched here and there
 * alone, and gets none but in what is left over. In smaller steps, growth for both in turns would
 * cost as many mappings.
 *
 * Where memory goes back to the OS, the heap takes back what it asked for, everywhere: else a
 * kernel (Linux: khugepaged) makes whole huge pages again of those of which a part is still in use.
 * Those that there are stay. What the heap grows by later is asked for anew. On Linux advice is
 * what makes a mapping another than its neighbours, and is lost with the mapping: memory that was
 * Reserved for a while is told of it again, or would stay one of its own.
 *
 * Units    bytes, pages of KILN_PAGE_BYTES.
 * Lock     the page heap's. */
#ifndef KILN_ALLOCATOR_HEAP_HUGE_H
#define KILN_ALLOCATOR_HEAP_HUGE_H

#include "allocator/heap/page_heap.h"

/* kiln_huge_end gives where a growth for small blocks, of `pages` pages at least, is to end, from
 * arena_alloc on; 0: there are no huge pages, or the heap is not that large. */
uint64_t kiln_huge_end(const kiln_page_heap_t *heap, uint64_t pages);

/* kiln_huge_ask asks for huge pages in [start, end), Ready memory of one region.
 * kiln_huge_take_back takes all of that back. kiln_huge_again is for [start, start + bytes) of one
 * region, which was Reserved and is Ready again. */
void kiln_huge_ask(kiln_page_heap_t *heap, uint64_t start, uint64_t end);
void kiln_huge_take_back(kiln_page_heap_t *heap);
void kiln_huge_again(kiln_page_heap_t *heap, uint64_t start, uint64_t bytes);

#endif
