/* heap_subject.h - the heap that is fuzzed, plain or hardened, called as allocator/api calls it.
 *
 * Threads  one, which plays several.   Memory  the caller's. */
#ifndef KILN_FUZZ_HEAP_SUBJECT_H
#define KILN_FUZZ_HEAP_SUBJECT_H

#include "allocator/harden/harden.h"
#include "allocator/heap/heap.h"

typedef struct kiln_subject {
    kiln_heap_t heap;
    kiln_harden_t harden;
    kiln_guard_t guard;
    bool hardens;    /* else `harden` and `guard` are not in use */
    bool slow;       /* the common paths of harden.h are not tried first */
    uintptr_t calls; /* so far: stands for where a call comes from */
} kiln_subject_t;

/* Who calls: a thread, which may have a cache or none, through a family of functions. */
typedef struct kiln_subject_by {
    kiln_thread_cache_t *cache;     /* of a plain heap */
    kiln_harden_thread_t *hardened; /* of a hardened one */
    unsigned thread_idx;
    kiln_family_t family;
} kiln_subject_by_t;

/* The functions of heap.h, and of harden.h. `align` 0: malloc, or calloc where `count` is not 0. */
void *kiln_subject_alloc(kiln_subject_t *subject, const kiln_subject_by_t *by, size_t align,
                         size_t count, size_t bytes);
void *kiln_subject_realloc(kiln_subject_t *subject, const kiln_subject_by_t *by, void *block,
                           size_t bytes, kiln_misuse_t *out_misuse);
kiln_misuse_t kiln_subject_free(kiln_subject_t *subject, const kiln_subject_by_t *by, void *block);
kiln_misuse_t kiln_subject_free_sized(kiln_subject_t *subject, const kiln_subject_by_t *by,
                                      void *block, size_t align, size_t bytes);
size_t kiln_subject_usable(kiln_subject_t *subject, const void *block, kiln_misuse_t *out_misuse);

/* kiln_subject_site is where the next call comes from. */
kiln_site_t kiln_subject_site(kiln_subject_t *subject, const char *call);

#endif
