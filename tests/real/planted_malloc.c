/* planted_malloc.c - the C library's malloc with a realloc of its own, for the control test: built
 * with KILN_PLANTED_FAULT=1 it loses a byte in the middle of a long block, with 0 it is sound. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stddef.h>
#include <string.h>

#ifndef KILN_PLANTED_FAULT
#define KILN_PLANTED_FAULT 1
#endif
#define EXPORT __attribute__((visibility("default")))

enum { LONG_BYTES = 1024 };

void *libc_malloc(size_t bytes) __asm__("__libc_malloc");
void *libc_calloc(size_t count, size_t bytes) __asm__("__libc_calloc");
void libc_free(void *block) __asm__("__libc_free");

EXPORT void *malloc(size_t bytes)
{
    return libc_malloc(bytes);
}

EXPORT void *calloc(size_t count, size_t bytes)
{
    return libc_calloc(count, bytes);
}

EXPORT void free(void *block)
{
    libc_free(block);
}

EXPORT void *realloc(void *block, size_t bytes)
{
    void *moved = libc_malloc(bytes);
    if (block == NULL || moved == NULL) return moved;
    size_t copied_bytes = malloc_usable_size(block);
    if (copied_bytes > bytes) copied_bytes = bytes;
    memcpy(moved, block, copied_bytes);
    if (KILN_PLANTED_FAULT && copied_bytes >= LONG_BYTES) ((char *)moved)[copied_bytes / 2] = '!';
    libc_free(block);
    return moved;
}
