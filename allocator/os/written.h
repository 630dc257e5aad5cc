/* written.h - which pages were written to: asked by who puts memory back (rewind.h), so that this
 * costs what was touched, and not what there is.
 *
 * Units    bytes; ranges are whole pages.   Threads  one at a time. */
#ifndef KILN_ALLOCATOR_OS_WRITTEN_H
#define KILN_ALLOCATOR_OS_WRITTEN_H

#include "allocator/base/units.h"

#include <stdbool.h>

typedef struct kiln_os_stretch {
    kiln_addr_t first, last; /* inclusive */
} kiln_os_stretch_t;

typedef struct kiln_os_written {
    void *ctx;

    /* follow has writes to [addr, addr+bytes), memory that can be written or is Guarded, seen from
     * now on. It is followed no longer once a new mapping takes its place. False: it cannot be. */
    bool (*follow)(void *ctx, kiln_addr_t addr, uint64_t bytes);

    /* list gives, in ascending order, the first stretches of what was written in
     * [*io_first, last], `max` at most, and the first address that it did not look at in *io_first
     * (last + 1: it looked at all). Pages that were not written may be among them; what is not
     * followed is not. Negative: it is not known any more, as in the child of a fork; what there is
     * must be followed anew. */
    long (*list)(void *ctx, kiln_addr_t *io_first, kiln_addr_t last, kiln_os_stretch_t *out,
                 unsigned max);

    /* forget takes all that is followed in [first, last] as not written. */
    bool (*forget)(void *ctx, kiln_addr_t first, kiln_addr_t last);
} kiln_os_written_t;

#endif
