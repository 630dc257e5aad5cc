/* malloc.c - the malloc family, by its standard names. See kiln.h for what standards leave open. */
#define _GNU_SOURCE
#include "allocator/api/kept.h"
#include "allocator/api/kiln.h"
#include "allocator/api/process.h"
#include "allocator/api/report.h"
#include "allocator/api/stack.h"
#include "allocator/base/units.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/auxv.h>

#define KILN_VERSION "0.1.0"

KILN_EXPORT const char *kiln_version(void)
{
    return KILN_VERSION;
}

static kiln_report_kind_t kind_of(size_t bytes)
{
    return bytes > PTRDIFF_MAX ? KILN_REPORT_TOO_BIG : KILN_REPORT_NO_MEMORY;
}

/* The first call of a process may be one that is refused before it comes to the heap, with whose
 * start the options are read. */
static __attribute__((noinline, cold)) bool wants_report(void)
{
    kiln_process_leave(kiln_process_enter());
    return !kiln_report_options.may_return_null;
}

/* What is answered where there is no memory: NULL, and where the user wants one a report. `bytes`
 * is SIZE_MAX where the size that was asked for has no such number. */
static __attribute__((noinline, cold)) void *refuse(kiln_site_t site, size_t bytes)
{
    if (wants_report()) kiln_report_refused(kind_of(bytes), site.call, site.caller, 0, bytes);
    errno = ENOMEM;
    return NULL;
}

/* The same, for count * bytes that no size holds. */
static __attribute__((noinline, cold)) void *refuse_product(kiln_site_t site)
{
    if (wants_report())
        kiln_report_refused(KILN_REPORT_CALLOC_OVERFLOW, site.call, site.caller, 0, SIZE_MAX);
    errno = ENOMEM;
    return NULL;
}

static inline void *or_no_memory(void *block, kiln_site_t site, size_t bytes)
{
    return __builtin_expect(block != NULL, 1) ? block : refuse(site, bytes);
}

static __attribute__((noinline)) void *malloc_slowest(size_t bytes, kiln_site_t site)
{
    kiln_stack_enter();
    return or_no_memory(kiln_process_malloc_slowest(bytes, site), site, bytes);
}

static __attribute__((noinline)) void *malloc_kept(size_t bytes, kiln_site_t site)
{
    void *block = kiln_kept_malloc(bytes, false, site, (uintptr_t)__builtin_frame_address(0));
    return __builtin_expect(block != NULL, 1) ? block : malloc_slowest(bytes, site);
}

/* The common paths end with a call, not with one that must be returned from: they have no frame. */
static __attribute__((noinline)) void *malloc_slow(size_t bytes, kiln_site_t site)
{
    void *block = kiln_process_malloc_hardened(bytes, site);
    if (__builtin_expect(block != NULL, 1)) return block;
    return kiln_keeps_who() ? malloc_kept(bytes, site) : malloc_slowest(bytes, site);
}

KILN_EXPORT void *malloc(size_t bytes)
{
    void *block = kiln_process_malloc_fast(bytes);
    return __builtin_expect(block != NULL, 1) ? block : malloc_slow(bytes, KILN_SITE("malloc"));
}

KILN_EXPORT void free(void *block)
{
    if (__builtin_expect(kiln_process_free_fast(block), 1)) return;
    kiln_process_free_slow(block, KILN_SITE("free"));
}

static __attribute__((noinline)) void *calloc_slowest(size_t count, size_t bytes, kiln_site_t site)
{
    kiln_stack_enter();
    void *block = kiln_process_calloc(count, bytes, site);
    size_t all_bytes;
    if (__builtin_expect(block != NULL, 1)) return block;
    if (__builtin_mul_overflow(count, bytes, &all_bytes)) return refuse_product(site);
    return refuse(site, all_bytes);
}

static __attribute__((noinline)) void *calloc_kept(size_t count, size_t bytes, kiln_site_t site)
{
    size_t all_bytes;
    bool fits = !__builtin_mul_overflow(count, bytes, &all_bytes);
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    void *block = fits ? kiln_kept_malloc(all_bytes, true, site, frame) : NULL;
    return __builtin_expect(block != NULL, 1) ? block : calloc_slowest(count, bytes, site);
}

/* A hardened heap's common path gives zeroed bytes. */
static __attribute__((noinline)) void *calloc_hardened(size_t count, size_t bytes, kiln_site_t site)
{
    size_t all_bytes;
    bool fits = !__builtin_mul_overflow(count, bytes, &all_bytes);
    void *block = fits ? kiln_process_malloc_hardened(all_bytes, site) : NULL;
    return __builtin_expect(block != NULL, 1) ? block : calloc_slowest(count, bytes, site);
}

static __attribute__((noinline)) void *calloc_slow(size_t count, size_t bytes, kiln_site_t site)
{
    if (!kiln_thread.hardened) return calloc_slowest(count, bytes, site);
    return kiln_keeps_who() ? calloc_kept(count, bytes, site) : calloc_hardened(count, bytes, site);
}

KILN_EXPORT void *calloc(size_t count, size_t bytes)
{
    size_t all_bytes;
    bool fits = !__builtin_mul_overflow(count, bytes, &all_bytes);
    void *block = fits ? kiln_process_zeroed_fast(all_bytes) : NULL;
    return __builtin_expect(block != NULL, 1) ? block
                                              : calloc_slow(count, bytes, KILN_SITE("calloc"));
}

static void *resize(void *block, size_t bytes, kiln_site_t site)
{
    if (!block) return or_no_memory(kiln_process_malloc(bytes, site), site, bytes);
    if (bytes == 0) {
        kiln_process_free(block, site);
        return NULL;
    }
    kiln_misuse_t misuse;
    void *resized = kiln_process_realloc(block, bytes, site, &misuse);
    if (__builtin_expect(misuse != KILN_MISUSE_NONE, 0)) {
        kiln_report_misuse(misuse, site.call, site.caller, block, 0, 0);
        errno = EINVAL;
        return NULL;
    }
    return or_no_memory(resized, site, bytes);
}

KILN_EXPORT void *realloc(void *block, size_t bytes)
{
    return resize(block, bytes, KILN_SITE("realloc"));
}

KILN_EXPORT void *reallocarray(void *block, size_t count, size_t bytes)
{
    size_t all_bytes;
    if (__builtin_mul_overflow(count, bytes, &all_bytes))
        return refuse_product(KILN_SITE("reallocarray"));
    return resize(block, all_bytes, KILN_SITE("reallocarray"));
}

static void *aligned(size_t align, size_t bytes, kiln_site_t site)
{
    if (!kiln_is_power_of_two(align)) {
        if (wants_report())
            kiln_report_refused(KILN_REPORT_BAD_ALIGNMENT, site.call, site.caller, align, bytes);
        errno = EINVAL;
        return NULL;
    }
    return or_no_memory(kiln_process_aligned(align, bytes, site), site, bytes);
}

KILN_EXPORT void *aligned_alloc(size_t align, size_t bytes)
{
    return aligned(align, bytes, KILN_SITE("aligned_alloc"));
}

KILN_EXPORT void *memalign(size_t align, size_t bytes)
{
    return aligned(align, bytes, KILN_SITE("memalign"));
}

KILN_EXPORT int posix_memalign(void **out_block, size_t align, size_t bytes)
{
    kiln_site_t site = KILN_SITE("posix_memalign");
    if (!kiln_is_power_of_two(align) || align < sizeof(void *)) {
        if (wants_report())
            kiln_report_refused(KILN_REPORT_BAD_ALIGNMENT, site.call, site.caller, align, bytes);
        return EINVAL;
    }
    void *block = kiln_process_aligned(align, bytes, site);
    if (!block) {
        if (wants_report())
            kiln_report_refused(kind_of(bytes), site.call, site.caller, align, bytes);
        return ENOMEM;
    }
    *out_block = block;
    return 0;
}

KILN_EXPORT void *valloc(size_t bytes)
{
    return aligned(getauxval(AT_PAGESZ), bytes, KILN_SITE("valloc"));
}

/* Whole pages, and at least one. */
KILN_EXPORT void *pvalloc(size_t bytes)
{
    size_t page_bytes = getauxval(AT_PAGESZ);
    if (bytes > PTRDIFF_MAX) return refuse(KILN_SITE("pvalloc"), bytes);
    size_t whole_bytes = bytes == 0 ? page_bytes : (size_t)kiln_round_up(bytes, page_bytes);
    return aligned(page_bytes, whole_bytes, KILN_SITE("pvalloc"));
}

KILN_EXPORT size_t malloc_usable_size(void *block)
{
    return block ? kiln_process_usable(block, KILN_SITE("malloc_usable_size")) : 0;
}

KILN_EXPORT void free_sized(void *block, size_t bytes)
{
    kiln_process_free_sized(block, 0, bytes, KILN_SITE("free_sized"));
}

KILN_EXPORT void free_aligned_sized(void *block, size_t align, size_t bytes)
{
    kiln_process_free_sized(block, align, bytes, KILN_SITE("free_aligned_sized"));
}

KILN_EXPORT void cfree(void *block)
{
    kiln_process_free(block, KILN_SITE("cfree"));
}

KILN_EXPORT int malloc_trim(size_t pad_bytes)
{
    kiln_site_t site = KILN_SITE("malloc_trim");
    kiln_process_called(site);
    kiln_visit_t visit = kiln_process_enter();
    if (visit.cache) kiln_heap_flush(visit.heap, visit.cache); /* of other threads it cannot */
    if (kiln_thread.hardened) kiln_harden_flush(kiln_process_hardened, kiln_thread.hardened, site);
    if (kiln_process_hardened) (void)kiln_harden_large_flush(kiln_process_hardened);
    bool trimmed = visit.heap && kiln_heap_trim(visit.heap, pad_bytes);
    kiln_process_leave(visit);
    return trimmed;
}

/* The names by which programs that wrap malloc reach the C library's own functions. A wrapper's
 * blocks must be Kiln's as well: other code frees them through the names above. */
KILN_EXPORT void *libc_malloc(size_t bytes) __asm__("__libc_malloc");
KILN_EXPORT void libc_free(void *block) __asm__("__libc_free");
KILN_EXPORT void *libc_calloc(size_t count, size_t bytes) __asm__("__libc_calloc");
KILN_EXPORT void *libc_realloc(void *block, size_t bytes) __asm__("__libc_realloc");
KILN_EXPORT void *libc_memalign(size_t align, size_t bytes) __asm__("__libc_memalign");
KILN_EXPORT void *libc_valloc(size_t bytes) __asm__("__libc_valloc");
KILN_EXPORT void *libc_pvalloc(size_t bytes) __asm__("__libc_pvalloc");

void *libc_malloc(size_t bytes)
{
    return malloc(bytes);
}

void libc_free(void *block)
{
    kiln_process_free(block, KILN_SITE("free"));
}

void *libc_calloc(size_t count, size_t bytes)
{
    return calloc(count, bytes);
}

void *libc_realloc(void *block, size_t bytes)
{
    return resize(block, bytes, KILN_SITE("realloc"));
}

void *libc_memalign(size_t align, size_t bytes)
{
    return memalign(align, bytes);
}

void *libc_valloc(size_t bytes)
{
    return valloc(bytes);
}

void *libc_pvalloc(size_t bytes)
{
    return pvalloc(bytes);
}
