/* heap.h - a heap: blocks of any size on one arena.
 *
 *   malloc(n) -> size class -> thread cache --(empty)--> central list --(empty)--> span from the
 *   page heap --(empty)--> kiln_arena_grow
 *   free(p) -> page index -> span table -> span -> slot state -> cache
 *
 * Nothing that decides is stored in or between blocks: a program that writes where it should not
 * cannot steer the heap. All state is in the kiln_heap_t and in records that it takes from the OS.
 *
 * The heap never prints and never stops the program for what a program did wrong: it answers, and
 * the layer above (allocator/api) reports. errno is the layer above's as well.
 *
 * Units    bytes. Blocks are aligned to KILN_HEAP_ALIGN_MIN bytes, or as asked.
 * Threads  every function may be called by any thread at any time, unless it says otherwise; a
 *          cache belongs to one thread at a time. Locks are taken in the order: cache list, size
 *          class (ascending), page heap (which covers the arena and the records), blocks
 *          that wait.
 * Owner    os, watcher and log outlive the heap. */
#ifndef KILN_ALLOCATOR_HEAP_HEAP_H
#define KILN_ALLOCATOR_HEAP_HEAP_H

#include "allocator/arena/arena.h"
#include "allocator/heap/central.h"
#include "allocator/heap/large.h"
#include "allocator/heap/page_heap.h"
#include "allocator/heap/size_class.h"
#include "allocator/heap/thread_cache.h"
#include "allocator/heap/watched_quarantine.h"
#include "allocator/os/os.h"
#include "sanitizer/publish.h"

#include <stdbool.h>
#include <stddef.h>

enum { KILN_HEAP_ALIGN_MIN = 16 };

/* What a program did wrong with a pointer. Where pages have gone back to the page heap, nobody
 * remembers the blocks that they held: a multiple of KILN_HEAP_ALIGN_MIN there counts as the start
 * of a block that was freed, anything else as its inside. */
typedef enum kiln_misuse {
    KILN_MISUSE_NONE,
    KILN_MISUSE_DOUBLE_FREE, /* the start of a block that is not live */
    KILN_MISUSE_INTERIOR,    /* inside a live or freed block, but not its start */
    KILN_MISUSE_FOREIGN,     /* never was memory of this heap */
    KILN_MISUSE_SIZE,        /* free_sized: not the size that was asked for could give this block */
    KILN_MISUSE_ALIGNMENT, /* free_aligned_sized: the block cannot have come from that alignment */
    KILN_MISUSE_FAMILY, /* never from this heap, but from the layer above, which knows families */
} kiln_misuse_t;

/* A slot found by an address: of a block that is live, or in `misuse` why there is none. */
typedef struct kiln_heap_found {
    kiln_misuse_t misuse;
    kiln_span_t *span; /* NULL: no span has the address */
    _Atomic uint8_t *state;
    uint8_t was; /* LIVE or KEPT */
} kiln_heap_found_t;

/* What the heap knows about an address; for reports and tests. Sizes are 0 where unknown. */
typedef struct kiln_heap_about {
    bool heap;         /* in a span of this heap that is in use */
    bool live;         /* in a block that belongs to the program */
    uint8_t state;     /* of the block's slot, KILN_SLOT_*; where `block` is not 0 */
    kiln_addr_t block; /* start of the block around the address */
    size_t slot_bytes; /* what malloc_usable_size says */
} kiln_heap_about_t;

typedef struct kiln_heap_stats {
    uint64_t arena_bytes;     /* taken from the arena: live + free + idle + discarded */
    uint64_t live_bytes;      /* slots that belong to programs or lie in thread caches */
    uint64_t cached_bytes;    /* of these, those in thread caches */
    uint64_t waiting_bytes;   /* and those that were freed and wait, of a watched heap */
    uint64_t free_bytes;      /* in spans of size classes: free slots, and tails that fit none */
    uint64_t idle_bytes;      /* Ready pages of the page heap that no span uses */
    uint64_t discarded_bytes; /* pages whose bytes were given back to the OS */
    uint64_t large_bytes;     /* part of live_bytes: blocks of whole pages */
    uint64_t large_count;
    uint64_t idle_count; /* free runs in the page heap */
    uint64_t meta_bytes; /* the heap's own records, not in arena_bytes; without side tables */
    uint64_t peak_bytes; /* highest arena_bytes - discarded_bytes so far */
} kiln_heap_stats_t;

typedef struct kiln_heap_config {
    const kiln_os_t *os;           /* for the heap's own records and idle pages */
    const kiln_os_t *arena_os;     /* for the arena; the same one, or a recorder around it */
    const kiln_watcher_t *watcher; /* may be NULL */
    const kiln_arena_log_t *log;   /* may be NULL */
    kiln_arena_config_t arena;     /* page_bytes is 8 KiB; has the span table */
    kiln_addr_t image_end, brk;    /* see kiln_arena_start */
    uint64_t idle_bytes_max;       /* more idle memory that was written to is discarded; and
                                      what is idle for long: page_heap.h */

    uint64_t huge_after_bytes; /* 0: no huge pages; else see kiln_page_heap_use_huge */

    uint32_t note_bytes; /* not 0: a layer above keeps notes, see
                            kiln_page_heap_harden */

    kiln_seal_t seal; /* who is told of a ruined record; a secret that nobody can guess, if
                         somebody might try */

    /* May be NULL. Else the byte it points to is not 0 only while the process has a single thread,
     * and turns 0 before a second one starts, as glibc's __libc_single_threaded does: meanwhile
     * free does without atomic exchanges. */
    const char *single_threaded;
} kiln_heap_config_t;

typedef struct kiln_heap kiln_heap_t; /* defined at the end of this file */

/* kiln_heap_init makes a heap in `*heap` (any memory, zeroed). Returns NULL or why it cannot be;
 * then the heap must not be used and holds nothing. */
const char *kiln_heap_init(kiln_heap_t *heap, const kiln_heap_config_t *config);

/* kiln_heap_destroy gives every byte back to the OS. No other thread uses the heap any more. A
 * watcher is told that each live block is freed. */
void kiln_heap_destroy(kiln_heap_t *heap);

/* kiln_heap_reset frees every live block, as a kiln_heap_free of each would, and keeps the memory:
 * an embedder's pool that is emptied. A watcher is told that each is freed, and where it wants a
 * quarantine they wait there. What lies in threads' caches stays there. No other thread uses the
 * heap meanwhile. Not for a heap below allocator/harden. */
void kiln_heap_reset(kiln_heap_t *heap);

/* A thread's cache. `kiln_heap_attach` gives a new one, or NULL when there is no memory, or a
 * watcher that is told of blocks: every function below takes NULL and then works on the central
 * lists alone. `kiln_heap_detach` gives all that is in the cache (not NULL) back, and the cache
 * itself; kiln_heap_flush only what is in it. */
kiln_thread_cache_t *kiln_heap_attach(kiln_heap_t *heap);
void kiln_heap_detach(kiln_heap_t *heap, kiln_thread_cache_t *cache);
void kiln_heap_flush(kiln_heap_t *heap, kiln_thread_cache_t *cache);

/* kiln_heap_malloc gives a block of at least `bytes` (0 counts as 1) bytes, or NULL: no memory, or
 * `bytes` above PTRDIFF_MAX. kiln_heap_calloc gives zeroed bytes and checks count * bytes.
 * kiln_heap_aligned wants `align` to be a power of two, or answers NULL. Compilers know how long
 * the blocks are, so that _FORTIFY_SOURCE and -fsanitize=object-size do, too: of a block's slack
 * (kiln_heap_usable) they know nothing. They are not told, as of malloc, that nobody else has the
 * address: kiln_heap_walk has it. */
void *kiln_heap_malloc(kiln_heap_t *heap, kiln_thread_cache_t *cache, size_t bytes)
    __attribute__((alloc_size(3)));
void *kiln_heap_calloc(kiln_heap_t *heap, kiln_thread_cache_t *cache, size_t count, size_t bytes)
    __attribute__((alloc_size(3, 4)));
void *kiln_heap_aligned(kiln_heap_t *heap, kiln_thread_cache_t *cache, size_t align, size_t bytes)
    __attribute__((alloc_size(4), alloc_align(3)));

/* kiln_heap_realloc changes the size of the live block `block` (not NULL) to `bytes` (not 0),
 * in place where it can (a watched heap: never). `*out_misuse` tells what was wrong with `block`:
 * then NULL is returned and nothing changed. NULL with KILN_MISUSE_NONE: no memory; the block is as
 * it was. */
void *kiln_heap_realloc(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block, size_t bytes,
                        kiln_misuse_t *out_misuse) __attribute__((alloc_size(4)));

/* kiln_heap_free gives a live block (not NULL) back, or says what is wrong and changes nothing.
 * Two threads that free the same block at once: exactly one of them is told of the double free. */
static inline kiln_misuse_t kiln_heap_free(kiln_heap_t *heap, kiln_thread_cache_t *cache,
                                           void *block);

/* The same, and the block must be one that kiln_heap_malloc(bytes), or kiln_heap_aligned(align,
 * bytes) when `align` is not 0, could have given. */
kiln_misuse_t kiln_heap_free_sized(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block,
                                   size_t align, size_t bytes);

/* kiln_heap_usable gives the bytes of the live block that starts at `block`, or 0 and the misuse. A
 * tool that watches may still allow no more than was asked for: asan and memcheck do. */
size_t kiln_heap_usable(kiln_heap_t *heap, const void *block, kiln_misuse_t *out_misuse);

/* kiln_heap_walk shows every live block, by address within a region of the heap, and the bytes of
 * its slot; what lies in threads' caches is not live. No other thread uses the heap meanwhile, and
 * `visit` does not either. */
void kiln_heap_walk(kiln_heap_t *heap, void (*visit)(void *ctx, void *block, size_t slot_bytes),
                    void *ctx);

/* kiln_heap_about never faults, whatever `address` is. */
kiln_heap_about_t kiln_heap_about(kiln_heap_t *heap, const void *address);

/* kiln_heap_trim discards idle pages, empty spans included but not what is in caches, until at most
 * `keep_bytes` that were written to remain; true when any were. */
bool kiln_heap_trim(kiln_heap_t *heap, uint64_t keep_bytes);

kiln_heap_stats_t kiln_heap_stats(kiln_heap_t *heap);

/* Around fork: before it, in the parent after it, in the child after it. In the child, the caches
 * of threads other than `mine` (the forking thread's; may be NULL) are given back: those threads
 * do not exist there. */
void kiln_heap_fork_prepare(kiln_heap_t *heap);
void kiln_heap_fork_parent(kiln_heap_t *heap);
void kiln_heap_fork_child(kiln_heap_t *heap, kiln_thread_cache_t *mine);

/* ---- for a layer that decides itself when a block is live (allocator/harden) ----
 *
 * kiln_heap_find looks a block up. kiln_heap_take_slot gives a slot that is out and FREE or FRESH,
 * false when there is no memory; it goes back by a thread's cache, or by its class (central.h).
 * kiln_heap_class_for is the class that serves a request, or KILN_CLASS_LARGE.
 * kiln_heap_reclaim_slot takes a QUARANTINED slot back in the child of a fork, as found where
 * another thread may have been writing: it is not believed; `clear` makes the slot zero. */
kiln_heap_found_t kiln_heap_find(const kiln_heap_t *heap, const void *block);
bool kiln_heap_take_slot(kiln_heap_t *heap, kiln_thread_cache_t *cache, uint32_t class_idx,
                         kiln_slot_t *out);
void kiln_heap_reclaim_slot(kiln_heap_t *heap, kiln_slot_t slot, bool clear);
uint32_t kiln_heap_class_for(size_t align, size_t bytes);

/* kiln_heap_broken_rule names the first law that does not hold, walking everything. Other threads
 * must not be inside the heap. */
const char *kiln_heap_broken_rule(kiln_heap_t *heap);

struct kiln_heap {
    kiln_page_map_t map; /* with the next one, all that a free of a cached size reads of the heap */
    const char *single_threaded; /* never NULL */
    kiln_heap_config_t config;
    uint64_t *present; /* the arena's; NULL unless it follows kiln */
    uint64_t present_bytes;
    kiln_arena_t arena;
    kiln_page_heap_t pages;
    kiln_central_t central[KILN_SIZE_CLASSES];
    kiln_thread_cache_list_t caches;
    kiln_watched_quarantine_t waiting; /* of a heap whose watcher wants one */
};

/* ---- the common paths, to be compiled into their callers ----
 *
 * A fast one does the whole work, or nothing: then the slow one of that name must be called. No
 * fast path calls anything, so that a caller that ends with the slow one saves no registers. */

void *kiln_heap_malloc_slow(kiln_heap_t *heap, kiln_thread_cache_t *cache, size_t bytes);
kiln_misuse_t kiln_heap_free_slow(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block);

/* kiln_heap_malloc_fast gives NULL when the slow one must be called; `cache` is not NULL. */
static inline void *kiln_heap_malloc_fast(kiln_thread_cache_t *cache, size_t bytes)
{
    kiln_slot_t slot;
    if (__builtin_expect(bytes > KILN_TABLE_BYTES_MAX, 0) && bytes > KILN_SMALL_MAX) return NULL;
    if (!kiln_cache_bin_pop(cache, kiln_size_class_of(bytes), &slot)) return NULL;
    atomic_store_explicit(slot.state, KILN_SLOT_LIVE, memory_order_relaxed);
    return slot.block;
}

/* kiln_heap_zeroed_fast is the same for calloc, up to a size that is cleared by a few stores: by
 * whole units, which lie in the slot, as slots are multiples of them. */
enum { KILN_HEAP_ZEROED_MAX = KILN_SPAN_FRESH_MIN };

static inline void *kiln_heap_zeroed_fast(kiln_thread_cache_t *cache, size_t bytes)
{
    if (bytes > KILN_HEAP_ZEROED_MAX) return NULL;
    uint64_t *block = kiln_heap_malloc_fast(cache, bytes);
    if (__builtin_expect(block == NULL, 0)) return NULL;
    for (size_t i = 0; i < bytes; i += KILN_HEAP_ALIGN_MIN)
        block[i / sizeof *block] = block[i / sizeof *block + 1] = 0;
    return block;
}

/* kiln_heap_change takes a slot from one state to another, unless another thread took it elsewhere
 * meanwhile. */
static inline bool kiln_heap_change(const kiln_heap_t *heap, _Atomic uint8_t *state, uint8_t from,
                                    uint8_t to)
{
    if (__builtin_expect(*(const volatile char *)heap->single_threaded, 1)) {
        if (atomic_load_explicit(state, memory_order_relaxed) != from) return false;
        atomic_store_explicit(state, to, memory_order_relaxed);
        return true;
    }
    return atomic_compare_exchange_strong_explicit(state, &from, to, memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* kiln_heap_free_in frees a block of `span`: true when it was LIVE and there was room in the cache,
 * which is not NULL. */
static inline bool kiln_heap_free_in(const kiln_heap_t *heap, kiln_thread_cache_t *cache,
                                     kiln_span_t *span, void *block)
{
    uint64_t slot_idx = kiln_span_index(span, (uintptr_t)block - kiln_span_base(span));
    if (__builtin_expect(slot_idx >= kiln_span_index_end(span), 0)) return false;
    uint32_t class_idx = span->class_idx;
    kiln_slot_t *top = kiln_cache_bin_top(cache, class_idx);
    if (__builtin_expect(kiln_cache_bin_is_full(cache, class_idx, top), 0)) return false;
    kiln_slot_t slot = {block, &span->states[slot_idx]};
    if (!kiln_heap_change(heap, slot.state, KILN_SLOT_LIVE, KILN_SLOT_FREE)) return false;
    kiln_cache_bin_put(cache, class_idx, top, slot);
    return true;
}

/* kiln_heap_free_fast gives false when the slow one must be called; `cache` is not NULL. */
static inline bool kiln_heap_free_fast(const kiln_heap_t *heap, kiln_thread_cache_t *cache,
                                       void *block)
{
    kiln_span_t *span = kiln_page_map_find_fast(&heap->map, (uintptr_t)block);
    return __builtin_expect(span != NULL, 1) && kiln_heap_free_in(heap, cache, span, block);
}

static inline kiln_misuse_t kiln_heap_free(kiln_heap_t *heap, kiln_thread_cache_t *cache,
                                           void *block)
{
    if (__builtin_expect(cache && kiln_heap_free_fast(heap, cache, block), 1))
        return KILN_MISUSE_NONE;
    return kiln_heap_free_slow(heap, cache, block);
}

#endif
