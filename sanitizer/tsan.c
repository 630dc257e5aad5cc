/* ThreadSanitizer watches (watch.h), by the entry points that it has for Java's heap: an alloc
 * there forgets the accesses of earlier owners, and then counts as a write of the allocating
 * thread, as malloc does; a free forgets what was synchronised by addresses in the block. Nothing
 * that the heap does between a free and an alloc makes the one happen before the other.
 *
 * That holds because this library is compiled without ThreadSanitizer, so that it does not see the
 * heap's locks. */
#include "sanitizer/watch.h"

#include <stdatomic.h>
#include <string.h>

/* Of LLVM's runtime; in none of its public headers. All numbers are bytes, multiples of 8 but for
 * write_range's. */
extern void __tsan_java_init(uintptr_t first, uintptr_t bytes);
extern void __tsan_java_alloc(uintptr_t addr, uintptr_t bytes);
extern void __tsan_java_free(uintptr_t addr, uintptr_t bytes);
extern void __tsan_write_range(void *addr, unsigned long bytes);

/* The one range in which the runtime looks for the block of an address, downwards, a cell at a
 * time: from where Kiln's heaps lie by default up to where the kernel puts programs. A heap
 * elsewhere is watched all the same, and its blocks are not named. */
#define RANGE_FIRST UINT64_C(0xc000000000)
#define RANGE_END UINT64_C(0x500000000000)

static void told_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    static atomic_flag begun = ATOMIC_FLAG_INIT;
    (void)ctx;
    (void)addr;
    (void)bytes;
    if (!atomic_flag_test_and_set(&begun)) __tsan_java_init(RANGE_FIRST, RANGE_END - RANGE_FIRST);
}

/* The bytes behind those that were asked for are forgotten as well. */
static void told_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    __tsan_java_alloc((uintptr_t)block, (uintptr_t)slot_bytes);
    __tsan_write_range((void *)(uintptr_t)block, (unsigned long)bytes);
}

static void told_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    __tsan_java_free((uintptr_t)block, (uintptr_t)slot_bytes);
}

/* The runtime's own memcpy, which counts as a read of the one and a write of the other. */
static void told_copy(void *ctx, kiln_addr_t to, kiln_addr_t from, uint64_t bytes)
{
    (void)ctx;
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, (size_t)bytes);
}

static const kiln_watcher_t watcher = {
    .grow = told_grow,
    .alloc = told_alloc,
    .free = told_free,
    .copy = told_copy,
};

const kiln_watcher_t *kiln_watch(void)
{
    return &watcher;
}

const kiln_os_t *kiln_watch_os(const kiln_os_t *os)
{
    return os;
}
