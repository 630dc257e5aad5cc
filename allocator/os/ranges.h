/* ranges.h - what is where in an address space: disjoint ranges, each with a tag, by address.
 *
 * Neighbours with equal tags are one range, so the count is what a kernel would call its mappings.
 * Bounds are inclusive: a range may end at the last byte of the address space.
 *
 * Lock    the caller's.   Memory  the array is the caller's; nothing is allocated.
 * Cost    a search is a bisection, a change moves the ranges above it: right for some thousands. */
#ifndef KILN_ALLOCATOR_OS_RANGES_H
#define KILN_ALLOCATOR_OS_RANGES_H

#include "allocator/base/units.h"

#include <stdbool.h>
#include <stdint.h>

/* The states of os.h, and two more that a model needs. Everything from RESERVED on is in the way
 * of a new mapping. */
typedef enum kiln_os_state {
    KILN_OS_NONE,       /* not ours, free */
    KILN_OS_UNRESERVED, /* None, but reserve answered it with *out_reserved false. That stays so
                           after a release: another such answer may name the same addresses */
    KILN_OS_RESERVED,
    KILN_OS_PREPARED,
    KILN_OS_READY,
    KILN_OS_GUARDED,
    KILN_OS_FOREIGN, /* somebody else's */
    KILN_OS_STATES,  /* how many */
} kiln_os_state_t;

typedef struct kiln_os_tag {
    uint8_t state;     /* kiln_os_state_t */
    uint8_t access;    /* kiln_os_access_t; 0 unless Ready */
    uint8_t use;       /* kiln_os_use_t; 0 unless Ready, Prepared or Guarded */
    bool over_promise; /* granted on top of what had been answered as unreserved */
    bool promise;      /* committed there: when it is released, the answer still stands */
} kiln_os_tag_t;

typedef struct kiln_os_range {
    kiln_addr_t first, last; /* inclusive */
    kiln_os_tag_t tag;       /* never KILN_OS_NONE: that is the space between ranges */
} kiln_os_range_t;

typedef struct kiln_ranges {
    kiln_os_range_t *items;
    unsigned count, max;
} kiln_ranges_t;

/* kiln_ranges_find gives the index of the first range that ends at or above `addr`, or count. */
unsigned kiln_ranges_find(const kiln_ranges_t *ranges, kiln_addr_t addr);

/* kiln_ranges_set gives [first, last] the tag, whatever was there; KILN_OS_NONE clears it. False,
 * with nothing changed: the array is full. */
bool kiln_ranges_set(kiln_ranges_t *ranges, kiln_addr_t first, kiln_addr_t last, kiln_os_tag_t tag);

/* kiln_ranges_free: is nothing in [first, last] in the way of a new mapping? */
bool kiln_ranges_free(const kiln_ranges_t *ranges, kiln_addr_t first, kiln_addr_t last);

/* The lowest (gap_up) or highest (gap_down) address of `bytes` free bytes that lie in
 * [first, last]. False: there is no such gap. All ranges and `bytes` being multiples of a page, and
 * `first` (`last` + 1 for gap_down) as well, the answer is one too. */
bool kiln_ranges_gap_up(const kiln_ranges_t *ranges, kiln_addr_t first, kiln_addr_t last,
                        uint64_t bytes, kiln_addr_t *out_addr);
bool kiln_ranges_gap_down(const kiln_ranges_t *ranges, kiln_addr_t first, kiln_addr_t last,
                          uint64_t bytes, kiln_addr_t *out_addr);

/* kiln_ranges_broken_rule names the first law that does not hold, or returns NULL. */
const char *kiln_ranges_broken_rule(const kiln_ranges_t *ranges);

#endif
