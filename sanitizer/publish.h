/* publish.h - what the heap tells those who watch it.
 *
 * A watcher is one tool's view of the heap: the race detector's shadow, ASan's poison, a recorder
 * in a test. The arena calls `grow` for a range after its bytes and its side tables are mapped and
 * before arena_used is stored, so that a watcher has shadow for a byte before any thread can see
 * it.
 *
 * Under `follow kiln` every byte that becomes heap is published exactly once and no hole ever is.
 * Under `seed` and `go19` the range is the step of arena_used, holes included (DESIGN.md).
 *
 * Threads  called with the arena's lock held; a watcher must not call back into that arena.
 * Owner    the watcher outlives the arena. */
#ifndef KILN_SANITIZER_PUBLISH_H
#define KILN_SANITIZER_PUBLISH_H

#include "allocator/base/units.h"

typedef struct kiln_watcher {
    void *ctx;
    void (*grow)(void *ctx, kiln_addr_t addr, uint64_t bytes); /* `bytes` is never 0 */

    /* What the tool behind can follow. An arena that cannot promise it refuses at start-up. */
    bool upward_only;        /* needs one range that grows upwards, without holes */
    kiln_addr_t range_start; /* heap must lie in [range_start, range_last]; both 0: anywhere */
    kiln_addr_t range_last;
} kiln_watcher_t;

#endif
