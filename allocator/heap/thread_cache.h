/* thread_cache.h - what one thread has at hand: for every size class a stack of slots.
 *
 * A slot in a cache is free and out of its span. Stacks are bounded (size_class.h) and are emptied
 * by halves. They are filled as they are used: by KILN_CACHE_FIRST slots at first, then by twice as
 * many each time, up to a half. So a thread that lives shortly, or seldom uses a size, holds
 * little, and one that allocates and frees around the limit does not go to the central list every
 * time.
 *
 * What a thread frees may be of a span that another thread takes from. Where slots are small, its
 * neighbours are that one's: were it the next to be handed out here, two threads would write to one
 * cache line for as long as this one frees and allocates in turns. So a bin has a mark, the level
 * it had when it was filled last: a slot that raises it above is looked at, and others' are put
 * below the thread's own, of which some are taken first where there are none. The mark doubles each
 * time it is come to. So it costs a free nothing but the question that finds a bin full, and who
 * only frees is asked a few times, not each.
 *
 * A fork in another thread may copy a cache in the middle of a push or pop. The top is
 * stored last, and what is found in the child is not believed, but checked slot by slot
 * (kiln_central_reclaim): at worst a few slots stay out for ever, none is given out twice.
 *
 * Threads  a cache is used by its owner; others read the tops, for statistics.
 * Lock     the list's is taken by the functions that take a list.
 * Memory   records of the page heap, used again by later threads, never given back. */
#ifndef KILN_ALLOCATOR_HEAP_THREAD_CACHE_H
#define KILN_ALLOCATOR_HEAP_THREAD_CACHE_H

#include "allocator/heap/central.h"

enum {
    KILN_CACHE_FIRST = 4,
    KILN_CACHE_MARKED_MAX = 7, /* classes above share no more than their ends with others */
};

typedef struct kiln_thread_cache kiln_thread_cache_t;
struct kiln_thread_cache {
    /* A class's bin is a stack of slots that grows upwards. Below its first place lies an empty
     * slot, so that the pop of an empty stack shows in what it reads. */
    kiln_slot_t *_Atomic tops[KILN_SIZE_CLASSES]; /* first free places; the owner alone writes */
    kiln_slot_t *stops[KILN_SIZE_CLASSES]; /* where a put is to be looked at: the mark, or the end.
                                              No place for large blocks: they are never cached */
    kiln_slot_t *ends[KILN_SIZE_CLASSES];
    kiln_thread_cache_t *prev, *next; /* of the list; a spare one: next */
    uint16_t number;                  /* not 0; of more than 65,535 caches some have the same */
    uint8_t fill[KILN_SIZE_CLASSES];  /* what the next refill asks for; 0 counts as the first */
    kiln_slot_t slots[KILN_CACHE_ENTRIES_SUM + KILN_SIZE_CLASSES];
};

typedef struct kiln_thread_cache_list {
    kiln_lock_t lock;
    kiln_page_heap_t *pages;
    kiln_central_t *central; /* of every class */
    kiln_thread_cache_t *first, *spares;
    _Atomic uint32_t count; /* changed under the lock */
    uint32_t made;          /* spare ones, too */
    bool may_lose_slots;    /* a fork may have lost some: set in its child */
} kiln_thread_cache_list_t;

void kiln_thread_cache_list_init(kiln_thread_cache_list_t *list, kiln_page_heap_t *pages,
                                 kiln_central_t *central);

/* kiln_thread_cache_new gives an empty cache, or NULL: no memory. kiln_thread_cache_empty gives all
 * its slots back to their classes; kiln_thread_cache_end then the cache to the list. */
kiln_thread_cache_t *kiln_thread_cache_new(kiln_thread_cache_list_t *list);
void kiln_thread_cache_empty(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache);
void kiln_thread_cache_end(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache);

/* kiln_thread_cache_refill fills an empty bin, at most to a half, and takes its mark away. False:
 * no memory for a single slot. kiln_thread_cache_flush gives the older half of a bin back. */
bool kiln_thread_cache_refill(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                              uint32_t class_idx);
void kiln_thread_cache_flush(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                             uint32_t class_idx);

/* kiln_thread_cache_mark marks the level of a bin that was filled, unless the thread is alone. */
void kiln_thread_cache_mark(const kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                            uint32_t class_idx);

/* kiln_thread_cache_put adds a slot of `span` where the bin has no room, or not below its stop. */
void kiln_thread_cache_put(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                           const kiln_span_t *span, kiln_slot_t slot);

/* kiln_thread_cache_abandon, in the child of a fork, gives back what the caches of threads other
 * than `mine` (may be NULL) hold, and ends them. */
void kiln_thread_cache_abandon(kiln_thread_cache_list_t *list, kiln_thread_cache_t *mine);

/* kiln_thread_cache_bytes gives the bytes of all slots in caches. */
uint64_t kiln_thread_cache_bytes(kiln_thread_cache_list_t *list);

/* kiln_thread_cache_broken_rule checks every slot in every cache. `*out_slots` counts them. */
const char *kiln_thread_cache_broken_rule(const kiln_thread_cache_list_t *list,
                                          uint64_t *out_slots);

/* Around fork. */
void kiln_thread_cache_list_lock(kiln_thread_cache_list_t *list);
void kiln_thread_cache_list_unlock(kiln_thread_cache_list_t *list);

/* kiln_cache_bin_top gives the first free place of a class's stack: above the last slot. */
static inline kiln_slot_t *kiln_cache_bin_top(const kiln_thread_cache_t *cache, uint32_t class_idx)
{
    return atomic_load_explicit(&cache->tops[class_idx], memory_order_relaxed);
}

/* kiln_cache_bin_pop takes the youngest slot; false: the bin is empty. */
static inline bool kiln_cache_bin_pop(kiln_thread_cache_t *cache, uint32_t class_idx,
                                      kiln_slot_t *out)
{
    kiln_slot_t *top = kiln_cache_bin_top(cache, class_idx);
    *out = top[-1];
    if (__builtin_expect(out->block == NULL, 0)) return false;
    atomic_store_explicit(&cache->tops[class_idx], top - 1, memory_order_relaxed);
    return true;
}

/* kiln_cache_bin_is_full: is there no room at `top`, which is kiln_cache_bin_top, or is it where
 * kiln_thread_cache_put is to look? Never the latter once kiln_cache_bin_open was called and as
 * long as the bin is not marked. */
static inline bool kiln_cache_bin_is_full(const kiln_thread_cache_t *cache, uint32_t class_idx,
                                          const kiln_slot_t *top)
{
    return top == cache->stops[class_idx];
}

static inline void kiln_cache_bin_open(kiln_thread_cache_t *cache, uint32_t class_idx)
{
    cache->stops[class_idx] = cache->ends[class_idx];
}

/* kiln_cache_bin_put adds a slot at `top`, where there is room; kiln_cache_bin_push looks for the
 * top itself. */
static inline void kiln_cache_bin_put(kiln_thread_cache_t *cache, uint32_t class_idx,
                                      kiln_slot_t *top, kiln_slot_t slot)
{
    *top = slot;
    atomic_signal_fence(memory_order_release);
    atomic_store_explicit(&cache->tops[class_idx], top + 1, memory_order_relaxed);
}

static inline void kiln_cache_bin_push(kiln_thread_cache_t *cache, uint32_t class_idx,
                                       kiln_slot_t slot)
{
    kiln_cache_bin_put(cache, class_idx, kiln_cache_bin_top(cache, class_idx), slot);
}

/* kiln_cache_bin_first gives where the stack begins, kiln_cache_bin_count how many slots it has. */
static inline kiln_slot_t *kiln_cache_bin_first(const kiln_thread_cache_t *cache,
                                                uint32_t class_idx)
{
    return cache->ends[class_idx] - kiln_size_classes[class_idx].cache_max;
}

static inline uint32_t kiln_cache_bin_count(const kiln_thread_cache_t *cache, uint32_t class_idx)
{
    return (uint32_t)(kiln_cache_bin_top(cache, class_idx) -
                      kiln_cache_bin_first(cache, class_idx));
}

#endif
