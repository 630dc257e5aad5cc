/* roots.h - the memory of the process that a program can write and that is no heap's: globals,
 * stacks, and whatever else was mapped.
 *
 * Only pages that have bytes of their own are told: the others hold no address that the program
 * wrote. Of private pages that can only be read, those that were written before. Shared mappings
 * are not told. What lies in a thread's stack below where it is, is, but for the one that asks.
 *
 * Threads  nobody maps or unmaps anything meanwhile.   Memory  none is allocated. */
#ifndef KILN_ALLOCATOR_API_ROOTS_H
#define KILN_ALLOCATOR_API_ROOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kiln_roots_visit {
    void *ctx;
    uintptr_t dead_start, dead_end; /* of a stack, below where it is: left out; equal: nothing is */
    uintptr_t skip_start, skip_end; /* whole pages that nobody asks about, such as a sanitizer's
                                       shadow of terabytes; equal: none */
    size_t page_bytes;
    /* Called for ranges of whole pages, but for what is left out, ascending. */
    void (*range)(void *ctx, uintptr_t start, uintptr_t end);
} kiln_roots_visit_t;

/* kiln_roots_each gives NULL, or what could not be read. */
const char *kiln_roots_each(const kiln_roots_visit_t *visit);

#endif
