/* watch_program CASE [EVENT] - does one thing with blocks of a heap that is watched, or of one that
 * is not. With EVENT the watcher is not told of those. watch_test.sh says what each tool must say
 * of it. */
#include "tests/watch/watch_program.h"
#include "allocator/os/linux.h"
#include "allocator/os/within.h"
#include "sanitizer/watch.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

kiln_heap_t heap;
kiln_os_t linux_os;
static kiln_os_within_t small; /* memcheck looks at each word of what is reserved */

static const char *forgotten;

static bool is_forgotten(const char *event)
{
    return forgotten && strcmp(forgotten, event) == 0;
}

static void forget_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    (void)addr;
    (void)bytes;
}

static void forget(kiln_watcher_t *watcher, const char *event)
{
    if (strcmp(event, "alloc") == 0) watcher->alloc = NULL;
    if (strcmp(event, "free") == 0) watcher->free = NULL;
    if (strcmp(event, "zeroed") == 0) watcher->zeroed = NULL;
    if (strcmp(event, "copy") == 0) watcher->copy = NULL;
    if (strcmp(event, "given") == 0) watcher->given = NULL;
    if (strcmp(event, "own") == 0) watcher->own = NULL;
    if (strcmp(event, "retire") == 0) watcher->retire = NULL;
    if (strcmp(event, "grow") == 0) watcher->grow = forget_grow;
}

/* The tool's watcher, but for what is forgotten. */
static const kiln_watcher_t *watcher_of(void)
{
    static kiln_watcher_t part;
    if (!kiln_watch() || !forgotten) return kiln_watch();
    part = *kiln_watch();
    forget(&part, forgotten);
    return &part;
}

/* The tool's backend: `records` are forgotten without it, and with `release` that they are gone. */
static void release_untold(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    linux_os.release(NULL, addr, bytes);
}

static const kiln_os_t *os_of(void)
{
    static kiln_os_t part;
    if (is_forgotten("records")) return &small.os;
    if (!is_forgotten("release")) return kiln_watch_os(&small.os);
    part = *kiln_watch_os(&small.os);
    part.release = release_untold;
    return &part;
}

void open_heap(kiln_heap_t *new)
{
    kiln_heap_config_t config = kiln_start_config(os_of());
    config.watcher = watcher_of();
    const char *reason = kiln_heap_init(new, &config);
    if (reason) {
        fprintf(stderr, "watch_program: %s\n", reason);
        exit(2);
    }
}

char *take(size_t bytes)
{
    char *block = kiln_heap_malloc(&heap, NULL, bytes);
    if (!block) exit(2);
    return block;
}

char *resize(char *block, size_t bytes)
{
    kiln_misuse_t misuse;
    block = kiln_heap_realloc(&heap, NULL, block, bytes, &misuse);
    if (!block || misuse != KILN_MISUSE_NONE) exit(2);
    return block;
}

void give(void *block)
{
    if (kiln_heap_free(&heap, NULL, block) != KILN_MISUSE_NONE) exit(2);
}

void use(const char *at)
{
    if (*at == 'x') puts("an x");
}

volatile size_t past;

int main(int argc, char **argv)
{
    const char *name = argc == 2 || argc == 3 ? argv[1] : "";
    forgotten = argc == 3 ? argv[2] : NULL;
    kiln_os_linux_init(&linux_os, 0);
    kiln_os_within_init(&small, &linux_os, 0, 0, KILN_MIB(64));
    open_heap(&heap);
    const deed_t *const lists[] = {block_deeds, thread_deeds, memory_deeds, lost_deeds};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const deed_t *deed = lists[i]; deed->name; deed++) {
            if (strcmp(name, "--list") == 0) puts(deed->name);
            if (strcmp(name, deed->name) != 0) continue;
            deed->act();
            if (lists[i] != lost_deeds) kiln_heap_reset(&heap);
            fflush(stdout);
            fputs("done\n", stderr);
            return 0;
        }
    if (strcmp(name, "--list") == 0) return 0;
    fprintf(stderr, "watch_program: there is no case '%s'; --list prints all\n", name);
    return 2;
}
