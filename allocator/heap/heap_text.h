/* heap_text.h - what a heap that a program embeds says of itself: of an address, in words, and of
 * its memory, as JSON. Needs no C library and no memory of the heap. */
#ifndef KILN_ALLOCATOR_HEAP_HEAP_TEXT_H
#define KILN_ALLOCATOR_HEAP_HEAP_TEXT_H

#include "allocator/heap/heap.h"

enum { KILN_HEAP_TEXT_MAX = 768 };

/* A line without its end, closed by a zero byte. */
typedef struct kiln_heap_text {
    char text[KILN_HEAP_TEXT_MAX];
} kiln_heap_text_t;

/* kiln_heap_describe says where an address lies: in which block, how far from its start, and
 * whether that block is the program's, free, or freed and still waiting (of a watched or hardened
 * heap); or that it is no address of this heap. Never faults, whatever `address` is; what other
 * threads do meanwhile may be told as it was before or as it is after. `bytes` of a block are those
 * of its slot. */
kiln_heap_text_t kiln_heap_describe(kiln_heap_t *heap, const void *address);

/* kiln_heap_stats_json gives the members of `stats` by their names, as one JSON object that also
 * has "version": 1. Numbers are written in full, up to 20 digits. */
kiln_heap_text_t kiln_heap_stats_json(const kiln_heap_stats_t *stats);

#endif
