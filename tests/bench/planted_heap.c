/* planted_heap.c - the C library's malloc, for the test of the harness. It is sound unless the
 * environment's PLANTED says what goes wrong from the thousandth block on:
 *   crash   the process is aborted
 *   null    there is no more memory
 *   output  a block's first and last byte are changed when the next is asked for: to the same, so
 *           that the workload sees nothing, but its output is another one
 *   mappings a block is a mapping that ends at a page which faults, and none is ever freed
 *
 * Threads  one at a time. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))

enum { SOUND_BLOCKS = 1000, PAGE_BYTES = 4096 };

static unsigned char *last; /* the block made last, while it is live */
static size_t last_bytes;
static bool keeps_all;

void *libc_malloc(size_t bytes) __asm__("__libc_malloc");
void *libc_calloc(size_t count, size_t bytes) __asm__("__libc_calloc");
void *libc_realloc(void *block, size_t bytes) __asm__("__libc_realloc");
void libc_free(void *block) __asm__("__libc_free");

/* A page more than it needs faults, so that no kernel joins it with the next one. */
static char *mapped(size_t bytes)
{
    size_t room = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    char *pages =
        mmap(NULL, room + PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + room, PAGE_BYTES, PROT_NONE) != 0) return NULL;
    return pages + room - bytes;
}

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
    if (planted && strcmp(planted, "mappings") == 0) {
        keeps_all = true;
        return mapped(bytes);
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
    if (!keeps_all) libc_free(block);
}
