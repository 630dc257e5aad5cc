/* The functions that cases allocate and free with, by name. They are called through pointers that
 * no compiler looks through. */
#define _GNU_SOURCE
#include "allocator/api/kiln.h"
#include "tests/death/case.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#if __SIZEOF_SIZE_T__ == 8
#define SIZE "m"
#else
#define SIZE "j"
#endif
#define ALIGN "St11align_val_t"
#define NOTHROW "RKSt9nothrow_t"

/* C++'s operators, as a C program can call them. */
void *new_one(size_t) __asm__("_Znw" SIZE);
void *new_array(size_t) __asm__("_Zna" SIZE);
void *new_nothrow(size_t, const void *) __asm__("_Znw" SIZE NOTHROW);
void *new_aligned(size_t, size_t) __asm__("_Znw" SIZE ALIGN);
void *new_array_aligned(size_t, size_t) __asm__("_Zna" SIZE ALIGN);
void delete_one(void *) __asm__("_ZdlPv");
void delete_array(void *) __asm__("_ZdaPv");
void delete_nothrow(void *, const void *) __asm__("_ZdlPv" NOTHROW);
void delete_sized(void *, size_t) __asm__("_ZdlPv" SIZE);
void delete_array_sized(void *, size_t) __asm__("_ZdaPv" SIZE);
void delete_aligned(void *, size_t) __asm__("_ZdlPv" ALIGN);
void delete_array_aligned(void *, size_t) __asm__("_ZdaPv" ALIGN);
void delete_sized_aligned(void *, size_t, size_t) __asm__("_ZdlPv" SIZE ALIGN);
void delete_array_sized_aligned(void *, size_t, size_t) __asm__("_ZdaPv" SIZE ALIGN);

/* Not every heap that a case runs on has these (kiln bench detect). */
#pragma weak free_sized
#pragma weak free_aligned_sized
#pragma weak cfree

enum { WHOLE_MAX_BYTES = 100000, ENDS_BYTES = 64, MARK = 0x11 };

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void *(*volatile call_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile call_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile call_memalign)(size_t, size_t) = memalign;
static int (*volatile call_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile call_pvalloc)(size_t) = pvalloc;
static void (*volatile call_free)(void *) = free;
static size_t (*volatile call_usable)(void *) = malloc_usable_size;

void *case_take(const char *take, size_t align, size_t count, size_t bytes)
{
    static const char nothrow = 0;
    void *block = NULL;
    if (case_is(take, "malloc")) return call_malloc(bytes);
    if (case_is(take, "calloc")) return call_calloc(count == 0 ? 1 : count, bytes);
    if (case_is(take, "realloc")) return call_realloc(NULL, bytes);
    if (case_is(take, "reallocarray"))
        return call_reallocarray(NULL, count == 0 ? 1 : count, bytes);
    if (case_is(take, "aligned_alloc")) return call_aligned_alloc(align, bytes);
    if (case_is(take, "memalign")) return call_memalign(align, bytes);
    if (case_is(take, "pvalloc")) return call_pvalloc(bytes);
    if (case_is(take, "new")) return new_one(bytes);
    if (case_is(take, "new_array")) return new_array(bytes);
    if (case_is(take, "new_nothrow")) return new_nothrow(bytes, &nothrow);
    if (case_is(take, "new_aligned")) return new_aligned(bytes, align);
    if (case_is(take, "new_array_aligned")) return new_array_aligned(bytes, align);
    if (!case_is(take, "posix_memalign"))
        case_end(CASE_USAGE, "no function of that name allocates");
    return call_posix_memalign(&block, align, bytes) == 0 ? block : NULL;
}

char *case_block(const case_args_t *args, size_t bytes)
{
    char *block = case_take(args->take, args->align, 1, bytes);
    if (!block) case_end(CASE_NO_PLACE, "there is no memory");
    memset(block, MARK, bytes < WHOLE_MAX_BYTES ? bytes : ENDS_BYTES);
    if (bytes >= WHOLE_MAX_BYTES) memset(block + bytes - ENDS_BYTES, MARK, ENDS_BYTES);
    return block;
}

/* Those that take a size. False: it is none of them. */
static bool give_sized(const char *call, void *block, size_t align, size_t bytes)
{
    if (case_is(call, "free_sized") && free_sized)
        free_sized(block, bytes);
    else if (case_is(call, "free_aligned_sized") && free_aligned_sized)
        free_aligned_sized(block, align, bytes);
    else if (case_is(call, "free_sized") || case_is(call, "free_aligned_sized"))
        call_free(block); /* what a program does where there is no such function */
    else if (case_is(call, "delete_sized"))
        delete_sized(block, bytes);
    else if (case_is(call, "delete_array_sized"))
        delete_array_sized(block, bytes);
    else if (case_is(call, "delete_sized_aligned"))
        delete_sized_aligned(block, bytes, align);
    else if (case_is(call, "delete_array_sized_aligned"))
        delete_array_sized_aligned(block, bytes, align);
    else
        return false;
    return true;
}

void case_give(const char *call, void *block, size_t align, size_t bytes)
{
    static const char nothrow = 0;
    if (give_sized(call, block, align, bytes)) return;
    if (case_is(call, "free"))
        call_free(block);
    else if (case_is(call, "cfree"))
        cfree(block);
    else if (case_is(call, "realloc"))
        call_free(call_realloc(block, bytes));
    else if (case_is(call, "reallocarray"))
        call_free(call_reallocarray(block, 2, bytes));
    else if (case_is(call, "usable")) /* the twin's block is freed by nobody */
        (void)call_usable(block);
    else if (case_is(call, "delete"))
        delete_one(block);
    else if (case_is(call, "delete_array"))
        delete_array(block);
    else if (case_is(call, "delete_nothrow"))
        delete_nothrow(block, &nothrow);
    else if (case_is(call, "delete_aligned"))
        delete_aligned(block, align);
    else if (case_is(call, "delete_array_aligned"))
        delete_array_aligned(block, align);
    else
        case_end(CASE_USAGE, "no function of that name frees");
}

char *case_resize(char *block, size_t bytes)
{
    return call_realloc(block, bytes);
}

const char *case_free_of(const char *take)
{
    if (strncmp(take, "new", strlen("new")) != 0) return "free";
    if (case_is(take, "new_array_aligned")) return "delete_array_aligned";
    if (case_is(take, "new_aligned")) return "delete_aligned";
    return case_is(take, "new_array") ? "delete_array" : "delete";
}

void case_ops(const case_args_t *args, size_t count)
{
    for (size_t i = 0; i < count; i++)
        case_give(case_free_of(args->take), case_take(args->take, args->align, 1, args->bytes),
                  args->align, 0);
}

void case_flip(char *start, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        (void)__atomic_fetch_xor(start + i, (char)~0, __ATOMIC_RELAXED);
}

void case_read(const char *start, size_t bytes)
{
    const volatile char *at = start;
    for (size_t i = 0; i < bytes; i++) (void)at[i];
}
