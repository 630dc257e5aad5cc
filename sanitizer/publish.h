/* publish.h - what the heap tells those who watch it.
 *
 * A watcher is one tool's view of the heap: the race detector's shadow, ASan's poison, a recorder
 * in a test. The arena calls `grow` for a range after its bytes and its side tables are mapped and
 * before arena_used is stored, so that a watcher has shadow for a byte before any thread can see
 * it. The heap above it calls `alloc` and `free` for blocks.
 *
 *   grow --> alloc(block) --> free(block) --> alloc(block) ...
 *
 * A block lies in ranges that `grow` told of. Its alloc is told when it is the caller's and before
 * it is returned; its free when it was taken from the caller, and before anybody else can get it.
 * So the events of one block come one after the other, whichever threads they come from. A realloc
 * is a free and an alloc, also where the block stays; when there is no memory, the alloc puts the
 * whole slot back.
 *
 * A heap whose watcher has `alloc` or `free` works without thread caches: the events then cost
 * heaps without one nothing on their common paths.
 *
 * Under `follow kiln` every byte that becomes heap is published exactly once and no hole ever is.
 * Under `seed` and `go19` the range is the step of arena_used, holes included (DESIGN.md).
 *
 * Threads  grow is called with the arena's lock held, and must not call back into that arena. alloc
 *          and free are called by the thread that allocates, without a lock, by many at once; they
 *          must neither allocate from that heap nor free.
 * Owner    the watcher outlives the arena. */
#ifndef KILN_SANITIZER_PUBLISH_H
#define KILN_SANITIZER_PUBLISH_H

#include "allocator/base/units.h"

typedef struct kiln_watcher {
    void *ctx;
    void (*grow)(void *ctx, kiln_addr_t addr, uint64_t bytes); /* `bytes` is never 0 */

    /* May be NULL. The program asked for `bytes` (not 0) and may use all `slot_bytes`. */
    void (*alloc)(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes);
    void (*free)(void *ctx, kiln_addr_t block, uint64_t slot_bytes);

    /* What the tool behind can follow. An arena that cannot promise it refuses at start-up. */
    bool upward_only;        /* needs one range that grows upwards, without holes */
    kiln_addr_t range_start; /* heap must lie in [range_start, range_last]; both 0: anywhere */
    kiln_addr_t range_last;
} kiln_watcher_t;

#endif
