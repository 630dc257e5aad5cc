/* MemorySanitizer watches (watch.h).
 *
 * A block's bytes are uninitialised when it is handed out, and again when it is freed, each with
 * the stack of the call as their origin. What a realloc keeps is copied by memcpy, which MSan
 * follows. What goes back to the OS is initialised, as what comes from it is. */
#include "sanitizer/watch.h"

#include <sanitizer/msan_interface.h>

static void told_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    __msan_allocated_memory((void *)(uintptr_t)addr, (size_t)bytes);
}

static void told_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    (void)bytes;
    __msan_allocated_memory((void *)(uintptr_t)block, (size_t)slot_bytes);
}

static void told_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    __msan_allocated_memory((void *)(uintptr_t)block, (size_t)slot_bytes);
}

static void told_zeroed(void *ctx, kiln_addr_t block, uint64_t bytes)
{
    (void)ctx;
    __msan_unpoison((void *)(uintptr_t)block, (size_t)bytes);
}

static void told_retire(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    __msan_unpoison((void *)(uintptr_t)addr, (size_t)bytes);
}

static const kiln_watcher_t watcher = {
    .grow = told_grow,
    .alloc = told_alloc,
    .free = told_free,
    .zeroed = told_zeroed,
    .retire = told_retire,
};

const kiln_watcher_t *kiln_watch(void)
{
    return &watcher;
}

const kiln_os_t *kiln_watch_os(const kiln_os_t *os)
{
    return os;
}
