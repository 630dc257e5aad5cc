/* new.c - operator new and delete, as C functions with the names that C++ compilers give them
 * (Itanium C++ ABI, "Mangling"): _Znw new, _Zna new[], _Zdl delete, _Zda delete[]; then the
 * parameters: m or j size_t, Pv a pointer, St11align_val_t, RKSt9nothrow_t.
 *
 * The C++ library is found at run time, by weak references: a C program has none. */
#define _GNU_SOURCE
#include "allocator/api/process.h"
#include "allocator/api/report.h"
#include "allocator/base/units.h"

#include <dlfcn.h>
#include <stddef.h>

#if __SIZEOF_SIZE_T__ == 8
#define SIZE "m"
#else
#define SIZE "j"
#endif
#define ALIGN "St11align_val_t"
#define NOTHROW "RKSt9nothrow_t"

typedef void (*new_handler_t)(void);
extern new_handler_t get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));
extern void *find_symbol(void *from, const char *name) __asm__("dlsym") __attribute__((weak));

static void *allocate(size_t align, size_t bytes, kiln_site_t site)
{
    return align == 0 ? kiln_process_malloc(bytes, site) : kiln_process_aligned(align, bytes, site);
}

static new_handler_t current_handler(void)
{
    return get_new_handler ? get_new_handler() : NULL;
}

/* As the standard says: ask the handler, which frees something, throws, or does not return, and
 * try again; without one throw std::bad_alloc. Both may unwind through this function. */
__attribute__((noinline, cold)) static void *allocate_slow(size_t align, size_t bytes,
                                                           kiln_site_t site)
{
    new_handler_t handler;
    while ((handler = current_handler()) != NULL) {
        handler();
        void *block = allocate(align, bytes, site);
        if (block) return block;
    }
    if (throw_bad_alloc) throw_bad_alloc();
    kiln_report_no_memory(bytes, site.caller);
}

static inline void *allocate_or_throw(size_t align, size_t bytes, kiln_site_t site)
{
    void *block = allocate(align, bytes, site);
    return __builtin_expect(block != NULL, 1) ? block : allocate_slow(align, bytes, site);
}

/* operator new(nothrow) asks the handler as well, and is to return NULL when that throws. C cannot
 * catch, but the C++ library's own function of that name can: it calls the throwing one, which is
 * Kiln's, and catches. Where there is none (a program with the C++ library linked in statically)
 * the handler is not asked. */
typedef void *new_function_t(size_t bytes, const void *nothrow);
typedef void *new_aligned_function_t(size_t bytes, size_t align, const void *nothrow);

__attribute__((noinline, cold)) static void *
allocate_slow_nothrow(size_t align, size_t bytes, const void *nothrow, const char *name)
{
    if (!current_handler()) return NULL;
    void *next = find_symbol ? find_symbol(RTLD_NEXT, name) : NULL;
    if (!next) return NULL;
    if (align == 0) return ((new_function_t *)next)(bytes, nothrow);
    return ((new_aligned_function_t *)next)(bytes, align, nothrow);
}

static inline void *allocate_nothrow(size_t align, size_t bytes, const void *nothrow,
                                     const char *name, kiln_site_t site)
{
    void *block = allocate(align, bytes, site);
    if (__builtin_expect(block != NULL, 1)) return block;
    return allocate_slow_nothrow(align, bytes, nothrow, name);
}

/* Declarations first: they carry the names. */
KILN_EXPORT void *new_one(size_t) __asm__("_Znw" SIZE);
KILN_EXPORT void *new_array(size_t) __asm__("_Zna" SIZE);
KILN_EXPORT void *new_one_nothrow(size_t, const void *) __asm__("_Znw" SIZE NOTHROW);
KILN_EXPORT void *new_array_nothrow(size_t, const void *) __asm__("_Zna" SIZE NOTHROW);
KILN_EXPORT void *new_one_aligned(size_t, size_t) __asm__("_Znw" SIZE ALIGN);
KILN_EXPORT void *new_array_aligned(size_t, size_t) __asm__("_Zna" SIZE ALIGN);
KILN_EXPORT void *new_one_aligned_nothrow(size_t, size_t, const void *) //
    __asm__("_Znw" SIZE ALIGN NOTHROW);
KILN_EXPORT void *new_array_aligned_nothrow(size_t, size_t, const void *) //
    __asm__("_Zna" SIZE ALIGN NOTHROW);

KILN_EXPORT void delete_one(void *) __asm__("_ZdlPv");
KILN_EXPORT void delete_array(void *) __asm__("_ZdaPv");
KILN_EXPORT void delete_one_nothrow(void *, const void *) __asm__("_ZdlPv" NOTHROW);
KILN_EXPORT void delete_array_nothrow(void *, const void *) __asm__("_ZdaPv" NOTHROW);
KILN_EXPORT void delete_one_sized(void *, size_t) __asm__("_ZdlPv" SIZE);
KILN_EXPORT void delete_array_sized(void *, size_t) __asm__("_ZdaPv" SIZE);
KILN_EXPORT void delete_one_aligned(void *, size_t) __asm__("_ZdlPv" ALIGN);
KILN_EXPORT void delete_array_aligned(void *, size_t) __asm__("_ZdaPv" ALIGN);
KILN_EXPORT void delete_one_aligned_nothrow(void *, size_t, const void *) //
    __asm__("_ZdlPv" ALIGN NOTHROW);
KILN_EXPORT void delete_array_aligned_nothrow(void *, size_t, const void *) //
    __asm__("_ZdaPv" ALIGN NOTHROW);
KILN_EXPORT void delete_one_sized_aligned(void *, size_t, size_t) __asm__("_ZdlPv" SIZE ALIGN);
KILN_EXPORT void delete_array_sized_aligned(void *, size_t, size_t) __asm__("_ZdaPv" SIZE ALIGN);

void *new_one(size_t bytes)
{
    return allocate_or_throw(0, bytes, KILN_SITE("operator new"));
}

void *new_array(size_t bytes)
{
    return allocate_or_throw(0, bytes, KILN_SITE("operator new[]"));
}

void *new_one_nothrow(size_t bytes, const void *nothrow)
{
    return allocate_nothrow(0, bytes, nothrow, "_Znw" SIZE NOTHROW, KILN_SITE("operator new"));
}

void *new_array_nothrow(size_t bytes, const void *nothrow)
{
    return allocate_nothrow(0, bytes, nothrow, "_Zna" SIZE NOTHROW, KILN_SITE("operator new[]"));
}

void *new_one_aligned(size_t bytes, size_t align)
{
    return allocate_or_throw(align, bytes, KILN_SITE("operator new"));
}

void *new_array_aligned(size_t bytes, size_t align)
{
    return allocate_or_throw(align, bytes, KILN_SITE("operator new[]"));
}

void *new_one_aligned_nothrow(size_t bytes, size_t align, const void *nothrow)
{
    return allocate_nothrow(align, bytes, nothrow, "_Znw" SIZE ALIGN NOTHROW,
                            KILN_SITE("operator new"));
}

void *new_array_aligned_nothrow(size_t bytes, size_t align, const void *nothrow)
{
    return allocate_nothrow(align, bytes, nothrow, "_Zna" SIZE ALIGN NOTHROW,
                            KILN_SITE("operator new[]"));
}

/* Nothing tells the alignment that was asked for, but it was one of the block's. What has another
 * one is not freed: a sized free tells whether it is a block at all, one of this family, or what is
 * wrong is its alignment. */
static void free_aligned(void *block, size_t align, kiln_site_t site)
{
    if (__builtin_expect(align == 0, 0))
        kiln_report_misuse(KILN_MISUSE_ALIGNMENT, site.call, site.caller, block, align, 0);
    else if (__builtin_expect(!kiln_is_aligned((uintptr_t)block, align), 0))
        kiln_process_free_sized(block, align, 0, site);
    else
        kiln_process_free(block, site);
}

void delete_one(void *block)
{
    kiln_process_free(block, KILN_SITE("operator delete"));
}

void delete_array(void *block)
{
    kiln_process_free(block, KILN_SITE("operator delete[]"));
}

void delete_one_nothrow(void *block, const void *nothrow)
{
    (void)nothrow;
    kiln_process_free(block, KILN_SITE("operator delete"));
}

void delete_array_nothrow(void *block, const void *nothrow)
{
    (void)nothrow;
    kiln_process_free(block, KILN_SITE("operator delete[]"));
}

void delete_one_sized(void *block, size_t bytes)
{
    kiln_process_free_sized(block, 0, bytes, KILN_SITE("operator delete"));
}

void delete_array_sized(void *block, size_t bytes)
{
    kiln_process_free_sized(block, 0, bytes, KILN_SITE("operator delete[]"));
}

void delete_one_aligned(void *block, size_t align)
{
    free_aligned(block, align, KILN_SITE("operator delete"));
}

void delete_array_aligned(void *block, size_t align)
{
    free_aligned(block, align, KILN_SITE("operator delete[]"));
}

void delete_one_aligned_nothrow(void *block, size_t align, const void *nothrow)
{
    (void)nothrow;
    free_aligned(block, align, KILN_SITE("operator delete"));
}

void delete_array_aligned_nothrow(void *block, size_t align, const void *nothrow)
{
    (void)nothrow;
    free_aligned(block, align, KILN_SITE("operator delete[]"));
}

void delete_one_sized_aligned(void *block, size_t bytes, size_t align)
{
    kiln_process_free_sized(block, align, bytes, KILN_SITE("operator delete"));
}

void delete_array_sized_aligned(void *block, size_t bytes, size_t align)
{
    kiln_process_free_sized(block, align, bytes, KILN_SITE("operator delete[]"));
}
