/* region.h - the address space that a page heap has, as a list of ranges.
 *
 * A free run may lie across what the arena gave at different times: regions that touch are one.
 *
 * Units    bytes.
 * Lock     the caller's.
 * Memory   records are the caller's: it puts one among those that wait before it adds a region. */
#ifndef KILN_ALLOCATOR_HEAP_REGION_H
#define KILN_ALLOCATOR_HEAP_REGION_H

#include <stdbool.h>
#include <stdint.h>

typedef struct kiln_region {
    struct kiln_region *next;
    uintptr_t start, end;
    bool is_huge;          /* huge pages were asked for, in a part of it: huge.h */
    uintptr_t plain_start; /* they were taken back below this */
} kiln_region_t;

/* kiln_region_add adds [start, end), which no region of the list overlaps, joined with those that
 * it touches: their records go to `*spares`, where at least one record waits. */
void kiln_region_add(kiln_region_t **list, kiln_region_t **spares, uintptr_t start, uintptr_t end);

#endif
