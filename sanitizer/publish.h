/* publish.h - what the heap tells those who watch it.
 *
 * A watcher is one tool's view of the heap: the race detector's shadow, ASan's poison, a recorder
 * in a test. The arena calls `grow` for a range after its bytes and its side tables are mapped and
 * before arena_used is stored, so that a watcher has shadow for a byte before any thread can see
 * it. The heap above it calls `alloc` and `free` for blocks.
 *
 *   grow --> alloc(block) --> free(block) --> alloc(block) ...
 *
 *   grow --> alloc(a) --> alloc(b), copy(b, a), free(a)        a realloc, which always moves
 *   grow --> alloc(a) --> free(a)        the same for all live blocks, when the heap is reset
 *   grow --> retire, when the heap is destroyed
 *
 * A block lies in ranges that `grow` told of. Its alloc is told when it is the caller's and before
 * it is returned; its free when it was taken from the caller, and before anybody else can get it.
 * So the events of one block come one after the other, whichever threads they come from. The heap
 * writes into a block after its alloc alone (calloc's zeros), and reads one in a copy alone. A
 * realloc for which there is no memory tells nothing.
 *
 * A heap whose watcher has `alloc` or `free` works without thread caches: the events then cost
 * heaps without one nothing on their common paths.
 *
 * Which tool is told is decided at link time: watch.h.
 *
 * Under `follow kiln` every byte that becomes heap is published exactly once and no hole ever is.
 * Under `seed` and `go19` the range is the step of arena_used, holes included (DESIGN.md).
 *
 * Threads  grow is called with the arena's lock held, and must not call back into that arena. All
 *          others but retire are called by the thread that allocates, without a lock, by many at
 *          once. They may allocate from that heap and free there, if they see to it that this ends:
 *          they are told of those blocks as well. Not so when it is told of what was live as the
 *          heap is destroyed.
 * Owner    the watcher outlives the arena. */
#ifndef KILN_SANITIZER_PUBLISH_H
#define KILN_SANITIZER_PUBLISH_H

#include "allocator/base/units.h"

#include <stdbool.h>

typedef struct kiln_watcher {
    void *ctx;
    void (*grow)(void *ctx, kiln_addr_t addr, uint64_t bytes); /* `bytes` is never 0 */

    /* May be NULL. The program asked for `bytes` (not 0). It may use all `slot_bytes`, if the tool
     * lets it. */
    void (*alloc)(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes);
    void (*free)(void *ctx, kiln_addr_t block, uint64_t slot_bytes);

    /* May be NULL. After a calloc's alloc: the block's bytes are zero, written just now or never
     * anything else. */
    void (*zeroed)(void *ctx, kiln_addr_t block, uint64_t bytes);

    /* May be NULL: then memcpy. Copies what a block had into its new place; of the `bytes` at
     * `from`, the last ones may not have been asked for. */
    void (*copy)(void *ctx, kiln_addr_t to, kiln_addr_t from, uint64_t bytes);

    /* May be NULL. The range, all of which has grown, goes back to the OS after the call; it may
     * cover several growths, and never a part of one. */
    void (*retire)(void *ctx, kiln_addr_t addr, uint64_t bytes);

    /* May be NULL: then `block`. The address by which the program has the live block at `block`:
     * the same with a tag, of bits that the heap knows of (allocator/heap/given.h). What the
     * watcher is told is without. */
    kiln_addr_t (*given)(void *ctx, kiln_addr_t block);

    /* May be NULL. The `bytes` at `heap` are the struct of a heap, in memory of the program's: from
     * now on nobody else's (`on`), or the program's again. The first that is told of a heap, and
     * the last. */
    void (*own)(void *ctx, kiln_addr_t heap, uint64_t bytes, bool on);

    uint64_t quarantine_bytes; /* of freed blocks that wait before their place is used again, for a
                                  tool that sees uses of them; 0: none. Of `free` alone */

    uint64_t redzone_bytes; /* that a slot has behind the bytes that were asked for, at the least,
                               for a tool that sees uses of them; 0: none are promised. Of `free`
                               alone, and below 4 KiB */

    /* What the tool behind can follow. An arena that cannot promise it refuses at start-up. */
    bool upward_only;        /* needs one range that grows upwards, without holes */
    kiln_addr_t range_start; /* heap must lie in [range_start, range_last]; both 0: anywhere */
    kiln_addr_t range_last;
    const char *range_refusal; /* what to say of an arena that may lie elsewhere: which range is
                                  needed, and the remedy; may be NULL: that it lies outside */
} kiln_watcher_t;

#endif
