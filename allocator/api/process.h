/* process.h - the one heap of a process, and what every thread has of it.
 *
 * The heap is made by the first call, whenever that comes: from ld.so before any constructor, from
 * a thread, from a fork handler. Every function of the malloc family is one visit:
 *
 *   kiln_visit_t visit = kiln_process_enter();
 *   ... kiln_heap_X(visit.heap, visit.cache, ...) ...
 *   kiln_process_leave(visit);
 *
 * A thread is in one of these states; only KILN_THREAD_ATTACHED has a cache, so that the common
 * path is one load and one test:
 *
 *   new --> attaching --> attached --> ending     ending: its cache is given back, later calls (of
 *    ^----- (no memory) ----'  |                  other destructors) work on the heap alone
 *                              '<--> forking      between the fork handlers, which hold every lock
 *
 * Locks    start, then those of the heap. Fork takes all of them.
 * errno    enter and leave keep it. */
#ifndef KILN_ALLOCATOR_API_PROCESS_H
#define KILN_ALLOCATOR_API_PROCESS_H

#include "allocator/harden/harden.h"
#include "allocator/heap/heap.h"

#include <stddef.h>

/* What programs may see of libkiln.so; everything else is compiled with hidden visibility. */
#define KILN_EXPORT __attribute__((visibility("default")))

/* In a function that programs call: itself, by the name it has there, and its caller (stack.h). */
#define KILN_SITE(name) ((kiln_site_t){name, KILN_CALLER()})

typedef enum kiln_thread_state {
    KILN_THREAD_NEW, /* what a thread starts with: zero */
    KILN_THREAD_ATTACHING,
    KILN_THREAD_ATTACHED,
    KILN_THREAD_ENDING,
    KILN_THREAD_FORKING,
} kiln_thread_state_t;

typedef struct kiln_thread {
    kiln_thread_cache_t *cache;     /* NULL unless attached, and where the heap is hardened */
    kiln_harden_thread_t *hardened; /* NULL unless attached to a hardened heap */
    kiln_thread_state_t state;
    uintptr_t caller; /* of the latest visit that was off the common paths; 0: there was none */
    kiln_thread_state_t state_before_fork;
    kiln_thread_cache_t *cache_before_fork;
    kiln_harden_thread_t *hardened_before_fork;
} kiln_thread_t;

/* Initial-exec: reached without a call, and without the allocation that other models may need. */
extern _Thread_local kiln_thread_t kiln_thread __attribute__((tls_model("initial-exec")));

extern kiln_heap_t kiln_process_heap;
extern kiln_harden_t *kiln_process_hardened; /* NULL: the heap is a plain one (profile.h) */
extern kiln_os_t kiln_process_os;            /* below it, and for what is no part of the heap */

typedef struct kiln_visit {
    kiln_heap_t *heap;          /* NULL: there is no memory for a heap, and nothing is live */
    kiln_thread_cache_t *cache; /* may be NULL */
} kiln_visit_t;

/* kiln_process_hold takes every lock, so that no other thread is inside the heap, and answers true;
 * false, without any: there is no heap, or the thread is in a fork handler. Until
 * kiln_process_let_go the thread makes no visit. */
bool kiln_process_hold(void);
void kiln_process_let_go(void);

kiln_visit_t kiln_process_enter_slow(void);
void kiln_process_leave_slow(void);

/* kiln_process_called says, off the common paths, where the visit returns to: whoever finds a
 * record of the heap ruined is told nothing of the call that it is at work for. */
static inline void kiln_process_called(kiln_site_t site)
{
    kiln_thread.caller = site.caller;
}

static inline kiln_visit_t kiln_process_enter(void)
{
    kiln_thread_cache_t *cache = kiln_thread.cache;
    if (__builtin_expect(cache != NULL, 1)) return (kiln_visit_t){&kiln_process_heap, cache};
    return kiln_process_enter_slow();
}

static inline void kiln_process_leave(kiln_visit_t visit)
{
    if (__builtin_expect(visit.cache == NULL, 0)) kiln_process_leave_slow();
}

/* The visits. `site` names the function that the program called, for a report, and where that
 * returns to (KILN_CALLER); NULL is no memory; errno is the caller's to set. `align` is a power of
 * two; in free_sized 0 means none. realloc and usable get a block that is not NULL; realloc leaves
 * it to the caller to report what was wrong with it. */
void *kiln_process_malloc_slow(size_t bytes, kiln_site_t site);
void *kiln_process_malloc_slowest(size_t bytes, kiln_site_t site); /* no common path did it */
void *kiln_process_calloc(size_t count, size_t bytes, kiln_site_t site);
void *kiln_process_aligned(size_t align, size_t bytes, kiln_site_t site);
void *kiln_process_realloc_slow(void *block, size_t bytes, kiln_site_t site,
                                kiln_misuse_t *out_misuse);
size_t kiln_process_usable(const void *block, kiln_site_t site);
void kiln_process_free_slow(void *block, kiln_site_t site);
void kiln_process_free_sized(void *block, size_t align, size_t bytes, kiln_site_t site);

/* The common paths of these two call nothing: see heap.h. kiln_process_malloc_fast gives NULL when
 * the slow one must be called. */
static inline void *kiln_process_malloc_fast(size_t bytes)
{
    kiln_thread_cache_t *cache = kiln_thread.cache;
    return __builtin_expect(cache != NULL, 1) ? kiln_heap_malloc_fast(cache, bytes) : NULL;
}

static inline void *kiln_process_zeroed_fast(size_t bytes)
{
    kiln_thread_cache_t *cache = kiln_thread.cache;
    return __builtin_expect(cache != NULL, 1) ? kiln_heap_zeroed_fast(cache, bytes) : NULL;
}

static inline void *kiln_process_malloc(size_t bytes, kiln_site_t site)
{
    void *block = kiln_process_malloc_fast(bytes);
    return __builtin_expect(block != NULL, 1) ? block : kiln_process_malloc_slow(bytes, site);
}

/* The common path of a thread of a hardened heap, which has no cache above. */
static inline void *kiln_process_malloc_hardened(size_t bytes, kiln_site_t site)
{
    kiln_harden_thread_t *mine = kiln_thread.hardened;
    return __builtin_expect(mine != NULL, 1) ? kiln_harden_malloc_fast(mine, bytes, site) : NULL;
}

static inline void *kiln_process_realloc(void *block, size_t bytes, kiln_site_t site,
                                         kiln_misuse_t *out_misuse)
{
    kiln_thread_cache_t *cache = kiln_thread.cache;
    kiln_process_called(site);
    if (__builtin_expect(cache != NULL, 1))
        return kiln_heap_realloc(&kiln_process_heap, cache, block, bytes, out_misuse);
    return kiln_process_realloc_slow(block, bytes, site, out_misuse);
}

/* kiln_process_free_fast gives false when the slow one must be called. */
static inline bool kiln_process_free_fast(void *block)
{
    kiln_thread_cache_t *cache = kiln_thread.cache;
    return __builtin_expect(cache != NULL, 1) &&
           __builtin_expect(kiln_heap_free_fast(&kiln_process_heap, cache, block), 1);
}

static inline void kiln_process_free(void *block, kiln_site_t site)
{
    if (__builtin_expect(kiln_process_free_fast(block), 1)) return;
    kiln_process_free_slow(block, site);
}

#endif
