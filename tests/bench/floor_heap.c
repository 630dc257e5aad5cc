/* floor_heap.c - a heap that does nothing that a heap can leave out: what the workloads themselves
 * cost, so that a ratio to glibc can be read against the smallest that there can be.
 *
 * A freed block goes to the front of its size's list, and the next one of that size comes from
 * there. The size lies before the block. Nothing is checked, joined or given back, and two threads
 * would break it. Blocks of more than 64 KiB are mappings.
 *
 * Threads  one.   Errors  NULL where the system has no memory. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))

enum { UNIT = 16, SMALL_UNITS = 65536 / UNIT + 1, HEADER_BYTES = UNIT };
#define SPACE_BYTES ((size_t)64 << 30)

typedef struct header {
    union {
        size_t units;        /* while the block is out; of a mapping, with its header */
        struct header *next; /* in its list */
    };
} header_t;

static header_t *lists[SMALL_UNITS + 1];
static char *next, *end;

static void *map(size_t bytes)
{
    void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return got == MAP_FAILED ? NULL : got;
}

static __attribute__((noinline)) void *make(size_t units)
{
    size_t bytes = HEADER_BYTES + units * UNIT;
    if (!next && (next = map(SPACE_BYTES))) end = next + SPACE_BYTES;
    header_t *made = NULL;
    if (units > SMALL_UNITS)
        made = map(bytes);
    else if (bytes <= (size_t)(end - next)) {
        made = (header_t *)next;
        next += bytes;
    }
    if (!made) return NULL;
    made->units = units;
    return (char *)made + HEADER_BYTES;
}

EXPORT void *malloc(size_t bytes)
{
    if (bytes > PTRDIFF_MAX - UNIT - HEADER_BYTES) return NULL;
    size_t units = (bytes + UNIT - 1) / UNIT;
    header_t *first = units <= SMALL_UNITS ? lists[units] : NULL;
    if (!first) return make(units);
    lists[units] = first->next;
    first->units = units;
    return (char *)first + HEADER_BYTES;
}

EXPORT void free(void *block)
{
    if (!block) return;
    header_t *header = (header_t *)((char *)block - HEADER_BYTES);
    size_t units = header->units;
    if (units > SMALL_UNITS) {
        (void)munmap(header, HEADER_BYTES + units * UNIT);
        return;
    }
    header->next = lists[units];
    lists[units] = header;
}

EXPORT void *calloc(size_t count, size_t bytes)
{
    size_t all_bytes;
    if (__builtin_mul_overflow(count, bytes, &all_bytes)) return NULL;
    void *block = malloc(all_bytes);
    return block ? memset(block, 0, all_bytes) : NULL;
}

EXPORT void *realloc(void *block, size_t bytes)
{
    void *moved = malloc(bytes);
    if (!moved || !block) return moved;
    size_t had = ((header_t *)((char *)block - HEADER_BYTES))->units * UNIT;
    memcpy(moved, block, had < bytes ? had : bytes);
    free(block);
    return moved;
}
