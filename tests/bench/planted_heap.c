/* planted_heap.c - the C library's malloc, for the test of the harness. It is sound unless the
 * environment's PLANTED says what goes wrong from the thousandth block on:
 *   crash   the process is aborted
 *   null    there is no more memory
 *   output  a block's first and last byte are changed when the next is asked for: to the same, so
 *           that the workload sees nothing, but its output is another one
 *
 * Threads  one at a time. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { SOUND_BLOCKS = 1000 };

static unsigned char *last; /* the block made last, while it is live */
static size_t last_bytes;

void *libc_malloc(size_t bytes) __asm__("__libc_malloc");
void *libc_calloc(size_t count, size_t bytes) __asm__("__libc_calloc");
void *libc_realloc(void *block, size_t bytes) __asm__("__libc_realloc");
void libc_free(void *block) __asm__("__libc_free");

EXPORT void *malloc(size_t bytes)
{
    static unsigned blocks;
    const char *planted = ++blocks < SOUND_BLOCKS ? NULL : getenv("PLANTED");
    if (planted && strcmp(planted, "crash") == 0) abort();
    if (planted && strcmp(planted, "null") == 0) return NULL;
    if (planted && strcmp(planted, "output") == 0 && last) {
        last[0] = 7;
        last[last_bytes - 1] = 7;
    }
    last = libc_malloc(bytes);
    last_bytes = bytes;
    return last;
}

EXPORT void *calloc(size_t count, size_t bytes)
{
    return libc_calloc(count, bytes);
}

EXPORT void *realloc(void *block, size_t bytes)
{
    last = NULL;
    return libc_realloc(block, bytes);
}

EXPORT void free(void *block)
{
    if (block == last) last = NULL;
    libc_free(block);
}
