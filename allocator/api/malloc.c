/* malloc.c - the malloc family, by its standard names. See kiln.h for what standards leave open. */
#define _GNU_SOURCE
#include "allocator/api/kiln.h"
#include "allocator/api/process.h"
#include "allocator/api/report.h"
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

/* What is answered where there is no memory: NULL, and where the user wants one a report. `bytes`
 * is SIZE_MAX where the size that was asked for has no such number. */
static __attribute__((noinline, cold)) void *refuse(const char *call, uintptr_t caller,
                                                    size_t bytes)
{
    if (!kiln_report_options.may_return_null)
        kiln_report_refused(kind_of(bytes), call, caller, 0, bytes);
    errno = ENOMEM;
    return NULL;
}

/* The same, for count * bytes that no size holds. */
static __attribute__((noinline, cold)) void *refuse_product(const char *call, uintptr_t caller)
{
    if (!kiln_report_options.may_return_null)
        kiln_report_refused(KILN_REPORT_CALLOC_OVERFLOW, call, caller, 0, SIZE_MAX);
    errno = ENOMEM;
    return NULL;
}

static inline void *or_no_memory(void *block, const char *call, uintptr_t caller, size_t bytes)
{
    return __builtin_expect(block != NULL, 1) ? block : refuse(call, caller, bytes);
}

static __attribute__((noinline)) void *malloc_slow(size_t bytes, uintptr_t caller)
{
    return or_no_memory(kiln_process_malloc_slow(bytes), "malloc", caller, bytes);
}

/* The common path ends with a call, not with one that must be returned from: it has no frame. */
KILN_EXPORT void *malloc(size_t bytes)
{
    void *block = kiln_process_malloc_fast(bytes);
    return __builtin_expect(block != NULL, 1) ? block : malloc_slow(bytes, KILN_CALLER());
}

KILN_EXPORT void free(void *block)
{
    kiln_process_free(block, "free", KILN_CALLER());
}

static __attribute__((noinline)) void *calloc_slow(size_t count, size_t bytes, uintptr_t caller)
{
    kiln_visit_t visit = kiln_process_enter();
    void *block = visit.heap ? kiln_heap_calloc(visit.heap, visit.cache, count, bytes) : NULL;
    kiln_process_leave(visit);
    size_t all_bytes;
    if (__builtin_expect(block != NULL, 1)) return block;
    if (__builtin_mul_overflow(count, bytes, &all_bytes)) return refuse_product("calloc", caller);
    return refuse("calloc", caller, all_bytes);
}

KILN_EXPORT void *calloc(size_t count, size_t bytes)
{
    size_t all_bytes;
    bool fits = !__builtin_mul_overflow(count, bytes, &all_bytes);
    void *block = fits ? kiln_process_zeroed_fast(all_bytes) : NULL;
    return __builtin_expect(block != NULL, 1) ? block : calloc_slow(count, bytes, KILN_CALLER());
}

static void *resize(void *block, size_t bytes, const char *call, uintptr_t caller)
{
    if (!block) return or_no_memory(kiln_process_malloc(bytes), call, caller, bytes);
    if (bytes == 0) {
        kiln_process_free(block, call, caller);
        return NULL;
    }
    kiln_misuse_t misuse = KILN_MISUSE_FOREIGN;
    kiln_visit_t visit = kiln_process_enter();
    void *resized =
        visit.heap ? kiln_heap_realloc(visit.heap, visit.cache, block, bytes, &misuse) : NULL;
    kiln_process_leave(visit);
    if (__builtin_expect(misuse != KILN_MISUSE_NONE, 0)) {
        kiln_report_misuse(misuse, call, caller, block, 0, 0);
        errno = EINVAL;
        return NULL;
    }
    return or_no_memory(resized, call, caller, bytes);
}

KILN_EXPORT void *realloc(void *block, size_t bytes)
{
    return resize(block, bytes, "realloc", KILN_CALLER());
}

KILN_EXPORT void *reallocarray(void *block, size_t count, size_t bytes)
{
    size_t all_bytes;
    if (__builtin_mul_overflow(count, bytes, &all_bytes))
        return refuse_product("reallocarray", KILN_CALLER());
    return resize(block, all_bytes, "reallocarray", KILN_CALLER());
}

static void *aligned(size_t align, size_t bytes, const char *call, uintptr_t caller)
{
    if (!kiln_is_power_of_two(align)) {
        if (!kiln_report_options.may_return_null)
            kiln_report_refused(KILN_REPORT_BAD_ALIGNMENT, call, caller, align, bytes);
        errno = EINVAL;
        return NULL;
    }
    return or_no_memory(kiln_process_aligned(align, bytes), call, caller, bytes);
}

KILN_EXPORT void *aligned_alloc(size_t align, size_t bytes)
{
    return aligned(align, bytes, "aligned_alloc", KILN_CALLER());
}

KILN_EXPORT void *memalign(size_t align, size_t bytes)
{
    return aligned(align, bytes, "memalign", KILN_CALLER());
}

KILN_EXPORT int posix_memalign(void **out_block, size_t align, size_t bytes)
{
    if (!kiln_is_power_of_two(align) || align < sizeof(void *)) return EINVAL;
    void *block = kiln_process_aligned(align, bytes);
    if (!block) {
        if (!kiln_report_options.may_return_null)
            kiln_report_refused(kind_of(bytes), "posix_memalign", KILN_CALLER(), align, bytes);
        return ENOMEM;
    }
    *out_block = block;
    return 0;
}

KILN_EXPORT void *valloc(size_t bytes)
{
    return aligned(getauxval(AT_PAGESZ), bytes, "valloc", KILN_CALLER());
}

/* Whole pages, and at least one. */
KILN_EXPORT void *pvalloc(size_t bytes)
{
    size_t page_bytes = getauxval(AT_PAGESZ);
    if (bytes > PTRDIFF_MAX) return refuse("pvalloc", KILN_CALLER(), bytes);
    size_t whole_bytes = bytes == 0 ? page_bytes : (size_t)kiln_round_up(bytes, page_bytes);
    return aligned(page_bytes, whole_bytes, "pvalloc", KILN_CALLER());
}

KILN_EXPORT size_t malloc_usable_size(void *block)
{
    if (!block) return 0;
    kiln_misuse_t misuse = KILN_MISUSE_FOREIGN;
    kiln_visit_t visit = kiln_process_enter();
    size_t bytes = visit.heap ? kiln_heap_usable(visit.heap, block, &misuse) : 0;
    kiln_process_leave(visit);
    if (__builtin_expect(misuse != KILN_MISUSE_NONE, 0))
        kiln_report_misuse(misuse, "malloc_usable_size", KILN_CALLER(), block, 0, 0);
    return bytes;
}

KILN_EXPORT void free_sized(void *block, size_t bytes)
{
    kiln_process_free_sized(block, 0, bytes, "free_sized", KILN_CALLER());
}

KILN_EXPORT void free_aligned_sized(void *block, size_t align, size_t bytes)
{
    kiln_process_free_sized(block, align, bytes, "free_aligned_sized", KILN_CALLER());
}

KILN_EXPORT void cfree(void *block)
{
    kiln_process_free(block, "cfree", KILN_CALLER());
}

KILN_EXPORT int malloc_trim(size_t pad_bytes)
{
    kiln_visit_t visit = kiln_process_enter();
    if (visit.cache) kiln_heap_flush(visit.heap, visit.cache); /* of other threads it cannot */
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
    kiln_process_free(block, "free", KILN_CALLER());
}

void *libc_calloc(size_t count, size_t bytes)
{
    return calloc(count, bytes);
}

void *libc_realloc(void *block, size_t bytes)
{
    return resize(block, bytes, "realloc", KILN_CALLER());
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
