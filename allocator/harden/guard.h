/* guard.h - blocks that end, or begin, at a page that faults.
 *
 *   HIGH  | guard pages | 0000 #### the block's bytes ## | guard pages |
 *   LOW   | guard pages | the block's bytes ############ | guard pages |
 *
 *   #  canary;  0  still zero
 *
 * Under HIGH a block ends as close to the page behind it as its alignment allows, under LOW it
 * starts at a page.
 *
 * An access beyond the page bound faults at once; a write into the rest of the block's own pages
 * (the slack) damages a canary, which free and kiln_guard_check look at. A freed block faults from
 * the moment that free returns, and its memory is the system's again. Its address space is used
 * again as late as the bounds of the configuration allow: first in, first out. What is known of a
 * block, live or freed, lies apart from the blocks and is found from any address in constant time.
 *
 * Pages that fault are guard pages without a mapping each where the OS has them (os.h: guard), 2
 * MiB at a time; else every block is a mapping of its own, and config.mappings_max bounds how many
 * live at once. Which of the two is found out by the first block. Nothing is reserved before that.
 *
 * Units    bytes. A chunk is KILN_GUARD_CHUNK_PAGES hardware pages: 2 MiB on x86.
 * Errors   kiln_guard_malloc answers NULL when there is no room: never an error, the ordinary heap
 *          serves such a request. Like the heap, nothing here prints, stops the program for what it
 *          did wrong, or touches errno.
 * Threads  every function may be called by any thread at any time, unless it says otherwise. One
 *          lock, taken inside; kiln_guard_owns and kiln_guard_about take none.
 * Owner    the OS outlives the guard. Blocks live in the guard's own address space: no other heap
 *          can be given one.
 * Order    the same configuration and calls give the same offsets in that address space. */
#ifndef KILN_ALLOCATOR_HARDEN_GUARD_H
#define KILN_ALLOCATOR_HARDEN_GUARD_H

#include "allocator/base/lock.h"
#include "allocator/harden/guard_space.h"
#include "allocator/heap/heap.h"

typedef enum kiln_guard_policy {
    KILN_GUARD_HIGH, /* an overflow faults */
    KILN_GUARD_LOW,  /* an underflow faults */
} kiln_guard_policy_t;

typedef struct kiln_guard_config {
    kiln_guard_policy_t policy;
    kiln_guard_space_config_t space;
    uint64_t seed;          /* of the canaries */
    size_t block_bytes_max; /* a larger request has no room */
    uint64_t
        live_bytes_max; /* at most so much memory for live blocks, in whole pages; 0: no limit */
} kiln_guard_config_t;

/* Alignments beyond this have no room. */
enum { KILN_GUARD_ALIGN_MAX = 1 << 20 };

/* What free and check found in the slack of a block. */
typedef struct kiln_guard_damage {
    bool damaged;
    kiln_guard_where_t where; /* KILN_GUARD_ABOVE or KILN_GUARD_BELOW: which side of the block */
    uintptr_t first;          /* the damaged byte that is nearest to the block on that side */
} kiln_guard_damage_t;

typedef struct kiln_guard_stats {
    uint64_t live_blocks;
    uint64_t live_bytes; /* what was asked for */
    uint64_t live_pages; /* the hardware pages that hold it */
    uint64_t blocks;     /* given since the start */
    uint64_t refused;    /* requests that had no room */
    kiln_guard_space_stats_t space;
} kiln_guard_stats_t;

typedef struct kiln_guard {
    kiln_guard_space_t space; /* first: what kiln_guard_owns reads */
    kiln_guard_config_t config;
    kiln_lock_t lock;
    uint64_t live_blocks, live_bytes, live_pages, blocks, refused;
} kiln_guard_t;

/* kiln_guard_config_default: HIGH, whatever mechanism there is, 256 GiB of address space at 64 bits
 * and 256 MiB at 32, at most 600 mappings. */
kiln_guard_config_t kiln_guard_config_default(const kiln_os_t *os);

/* kiln_guard_init makes a guard in `*guard` (any memory). It asks nothing of the OS. Returns NULL,
 * or what is wrong with the configuration; then the guard must not be used. */
const char *kiln_guard_init(kiln_guard_t *guard, const kiln_os_t *os,
                            const kiln_guard_config_t *config);

/* kiln_guard_destroy gives everything back to the OS. No other thread uses the guard any more. */
void kiln_guard_destroy(kiln_guard_t *guard);

/* kiln_guard_malloc gives `bytes` bytes that are zero, at a multiple of `align` (a power of two),
 * or NULL: no room. A block of 0 bytes is a page that faults. `stack` and `thread` are the caller's
 * names for who asks; kiln_guard_about tells them. */
void *kiln_guard_malloc(kiln_guard_t *guard, size_t bytes, size_t align, uint32_t stack,
                        uint32_t thread);

/* kiln_guard_free takes a block back. KILN_MISUSE_NONE: it was live, and is gone; `*out_damage`
 * tells whether its slack had been written to. Else nothing changed, and the block is
 *   KILN_MISUSE_DOUBLE_FREE  one that was freed; of two threads at once, exactly one is told so
 *   KILN_MISUSE_INTERIOR     no start of a block, but inside or beside one
 *   KILN_MISUSE_FOREIGN      not in this guard's address space, or where it never had a block.
 * Where a chunk's blocks are forgotten (config.freed_chunks_max), a multiple of KILN_HEAP_ALIGN_MIN
 * counts as a block that was freed. */
kiln_misuse_t kiln_guard_free(kiln_guard_t *guard, void *block, uint32_t stack, uint32_t thread,
                              kiln_guard_damage_t *out_damage);

/* kiln_guard_usable gives the bytes of the live block that starts at `block`, exactly as they were
 * asked for, or 0 and the misuse. A block cannot be resized in place, because its end is where the
 * guard is: realloc takes a new one, copies, and frees the old one. */
size_t kiln_guard_usable(kiln_guard_t *guard, const void *block, kiln_misuse_t *out_misuse);

/* kiln_guard_owns: is the address in this guard's address space? It may be read or written only in
 * a live block. Constant time, no lock. */
static inline bool kiln_guard_owns(const kiln_guard_t *guard, const void *address)
{
    return kiln_guard_space_has(&guard->space, (uintptr_t)address);
}

/* kiln_guard_about tells of an address of this guard's (else it answers false) the block that it is
 * in, or the nearest one: live or freed, which side, and who had it. It takes no lock, allocates
 * nothing and never faults, so a signal handler may call it. While other threads take and free
 * blocks, what it says of a block that they take or free may be mixed of before and after. */
bool kiln_guard_about(const kiln_guard_t *guard, const void *address, kiln_guard_about_t *out);

/* A visitor is called with the lock held: it may call kiln_guard_owns and kiln_guard_about only. */
typedef void (*kiln_guard_visit_t)(void *ctx, const kiln_guard_about_t *block,
                                   const kiln_guard_damage_t *damage);

/* kiln_guard_check looks at the slack of all live blocks, tells the visitor (may be NULL) of the
 * damaged ones, and gives their number. kiln_guard_for_each_live tells of all live blocks, with a
 * `damage` of NULL. Both go chunk by chunk, the one that was opened last first. The one that is
 * named _locked is for who holds the lock: between the functions around fork. */
size_t kiln_guard_check(kiln_guard_t *guard, kiln_guard_visit_t visit, void *ctx);

/* kiln_guard_check_some looks only at blocks of which `wants` says that bytes may have changed;
 * kiln_guard_for_each_changed tells of the live blocks of chunks of which it says that their
 * records may have. It calls nothing of the guard. */
typedef bool kiln_wants_t(const void *ctx, const void *start, size_t bytes);
size_t kiln_guard_check_some(kiln_guard_t *guard, kiln_wants_t *wants, const void *wants_ctx,
                             kiln_guard_visit_t visit, void *ctx);
void kiln_guard_for_each_live(kiln_guard_t *guard, kiln_guard_visit_t visit, void *ctx);
void kiln_guard_for_each_live_locked(kiln_guard_t *guard, kiln_guard_visit_t visit, void *ctx);

void kiln_guard_for_each_changed(kiln_guard_t *guard, kiln_wants_t *wants, const void *wants_ctx,
                                 kiln_guard_visit_t visit, void *ctx);

kiln_guard_stats_t kiln_guard_stats(kiln_guard_t *guard);

/* Around fork: before it, in the parent after it, in the child after it. */
void kiln_guard_fork_prepare(kiln_guard_t *guard);
void kiln_guard_fork_parent(kiln_guard_t *guard);
void kiln_guard_fork_child(kiln_guard_t *guard);

/* kiln_guard_broken_rule names the first law that does not hold, walking everything but the bytes.
 * Other threads must not be inside the guard. */
const char *kiln_guard_broken_rule(const kiln_guard_t *guard);

#endif
