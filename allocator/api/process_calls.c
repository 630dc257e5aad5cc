/* The visits of the malloc family: to the heap, or to the hardened one. */
#include "allocator/api/process.h"

#include "allocator/api/kept.h"
#include "allocator/api/report.h"
#include "allocator/api/stack.h"

/* A thread that has attached to a hardened heap is where it wants to be. */
static inline kiln_harden_thread_t *mine(void)
{
    return kiln_thread.hardened;
}

void *kiln_process_malloc_slowest(size_t bytes, kiln_site_t site)
{
    kiln_process_called(site);
    if (kiln_thread.cache)
        return kiln_heap_malloc_slow(&kiln_process_heap, kiln_thread.cache, bytes);
    if (mine()) return kiln_harden_malloc(kiln_process_hardened, mine(), bytes, false, site);
    kiln_visit_t visit = kiln_process_enter();
    void *block = NULL;
    if (visit.heap && kiln_process_hardened)
        block = kiln_harden_malloc(kiln_process_hardened, mine(), bytes, false, site);
    else if (visit.heap)
        block = kiln_heap_malloc(visit.heap, visit.cache, bytes);
    kiln_process_leave(visit);
    return block;
}

void *kiln_process_malloc_slow(size_t bytes, kiln_site_t site)
{
    void *block = kiln_process_malloc_hardened(bytes, site);
    if (__builtin_expect(block != NULL, 1)) return block;
    block = kiln_kept_malloc(bytes, false, site, (uintptr_t)__builtin_frame_address(0));
    return block ? block : kiln_process_malloc_slowest(bytes, site);
}

/* A hardened heap checks the product here, the plain one itself. */
static void *hardened_calloc(size_t count, size_t bytes, kiln_site_t site)
{
    size_t all_bytes;
    if (__builtin_mul_overflow(count, bytes, &all_bytes)) return NULL;
    return kiln_harden_malloc(kiln_process_hardened, mine(), all_bytes, true, site);
}

void *kiln_process_calloc(size_t count, size_t bytes, kiln_site_t site)
{
    kiln_process_called(site);
    if (mine()) return hardened_calloc(count, bytes, site);
    kiln_visit_t visit = kiln_process_enter();
    void *block = NULL;
    if (visit.heap && kiln_process_hardened)
        block = hardened_calloc(count, bytes, site);
    else if (visit.heap)
        block = kiln_heap_calloc(visit.heap, visit.cache, count, bytes);
    kiln_process_leave(visit);
    return block;
}

void *kiln_process_aligned(size_t align, size_t bytes, kiln_site_t site)
{
    kiln_process_called(site);
    if (mine()) return kiln_harden_aligned(kiln_process_hardened, mine(), align, bytes, site);
    kiln_visit_t visit = kiln_process_enter();
    void *block = NULL;
    if (visit.heap && kiln_process_hardened)
        block = kiln_harden_aligned(kiln_process_hardened, mine(), align, bytes, site);
    else if (visit.heap)
        block = kiln_heap_aligned(visit.heap, visit.cache, align, bytes);
    kiln_process_leave(visit);
    return block;
}

void *kiln_process_realloc_slow(void *block, size_t bytes, kiln_site_t site,
                                kiln_misuse_t *out_misuse)
{
    if (mine())
        return kiln_harden_realloc(kiln_process_hardened, mine(), block, bytes, site, out_misuse);
    kiln_visit_t visit = kiln_process_enter();
    void *resized = NULL;
    *out_misuse = KILN_MISUSE_FOREIGN;
    if (visit.heap && kiln_process_hardened)
        resized =
            kiln_harden_realloc(kiln_process_hardened, mine(), block, bytes, site, out_misuse);
    else if (visit.heap)
        resized = kiln_heap_realloc(visit.heap, visit.cache, block, bytes, out_misuse);
    kiln_process_leave(visit);
    return resized;
}

size_t kiln_process_usable(const void *block, kiln_site_t site)
{
    kiln_process_called(site);
    kiln_visit_t visit = kiln_process_enter();
    kiln_misuse_t misuse = KILN_MISUSE_FOREIGN;
    size_t bytes = 0;
    if (visit.heap && kiln_process_hardened)
        bytes = kiln_harden_usable(kiln_process_hardened, block, &misuse);
    else if (visit.heap)
        bytes = kiln_heap_usable(visit.heap, block, &misuse);
    kiln_process_leave(visit);
    if (__builtin_expect(misuse != KILN_MISUSE_NONE, 0))
        kiln_report_misuse(misuse, site.call, site.caller, block, 0, 0);
    return bytes;
}

/* All but the common paths of a hardened heap. */
static __attribute__((noinline)) void free_elsewhere(void *block, kiln_site_t site)
{
    kiln_stack_enter();
    kiln_process_called(site);
    kiln_misuse_t misuse = KILN_MISUSE_FOREIGN;
    if (kiln_thread.cache) {
        misuse = kiln_heap_free_slow(&kiln_process_heap, kiln_thread.cache, block);
    } else if (mine()) {
        misuse = kiln_harden_free(kiln_process_hardened, mine(), block, site);
    } else {
        kiln_visit_t visit = kiln_process_enter();
        if (visit.heap && kiln_process_hardened)
            misuse = kiln_harden_free(kiln_process_hardened, mine(), block, site);
        else if (visit.heap)
            misuse = kiln_heap_free(visit.heap, visit.cache, block);
        kiln_process_leave(visit);
    }
    if (__builtin_expect(misuse != KILN_MISUSE_NONE, 0))
        kiln_report_misuse(misuse, site.call, site.caller, block, 0, 0);
}

static __attribute__((noinline)) void free_kept(void *block, kiln_site_t site)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    if (__builtin_expect(!kiln_kept_free(block, site, frame), 0)) free_elsewhere(block, site);
}

static inline void free_uncommon(void *block, kiln_site_t site)
{
    if (kiln_keeps_who())
        free_kept(block, site);
    else
        free_elsewhere(block, site);
}

void kiln_process_free_slow(void *block, kiln_site_t site)
{
    if (!block) return;
    kiln_harden_thread_t *thread = mine();
    if (__builtin_expect(thread == NULL, 0))
        free_elsewhere(block, site);
    else if (__builtin_expect(!kiln_harden_free_fast(&kiln_process_heap, thread, block, site), 0))
        free_uncommon(block, site);
}

void kiln_process_free_sized(void *block, size_t align, size_t bytes, kiln_site_t site)
{
    if (!block) return;
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    if (align == 0 && kiln_kept_free_sized(block, bytes, site, frame)) return;
    if (align == 0 && mine() &&
        kiln_harden_free_sized_fast(&kiln_process_heap, mine(), block, bytes, site))
        return;
    kiln_process_called(site);
    kiln_visit_t visit = kiln_process_enter();
    kiln_misuse_t misuse = KILN_MISUSE_FOREIGN;
    if (visit.heap && kiln_process_hardened)
        misuse = kiln_harden_free_sized(kiln_process_hardened, mine(), block, align, bytes, site);
    else if (visit.heap)
        misuse = kiln_heap_free_sized(visit.heap, visit.cache, block, align, bytes);
    kiln_process_leave(visit);
    if (__builtin_expect(misuse != KILN_MISUSE_NONE, 0))
        kiln_report_misuse(misuse, site.call, site.caller, block, align, bytes);
}
