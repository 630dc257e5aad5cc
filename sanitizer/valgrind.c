/* valgrind's memcheck watches (watch.h), by the client requests of its headers, which are a few
 * instructions without effect where no valgrind runs. There no heap is watched at all. */
#include "allocator/os/within.h"
#include "sanitizer/watch.h"

#include <pthread.h>
#include <string.h>
#include <valgrind/memcheck.h>

#define RESERVE_BYTES_MAX (UINT64_C(1) << 30)
enum { QUARANTINE_BYTES = 16 << 20, REDZONE_BYTES = 16 };

static void told_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    (void)VALGRIND_MAKE_MEM_NOACCESS((uintptr_t)addr, (uintptr_t)bytes);
}

static void told_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    (void)slot_bytes;
    VALGRIND_MALLOCLIKE_BLOCK((uintptr_t)block, (uintptr_t)bytes, 0, 0);
}

static void told_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    (void)slot_bytes;
    VALGRIND_FREELIKE_BLOCK((uintptr_t)block, 0);
}

static void told_zeroed(void *ctx, kiln_addr_t block, uint64_t bytes)
{
    (void)ctx;
    (void)VALGRIND_MAKE_MEM_DEFINED((uintptr_t)block, (uintptr_t)bytes);
}

/* Copied is what was asked for, which memcheck knows: up to the first byte that is not the
 * program's. The question itself would be reported. */
static void told_copy(void *ctx, kiln_addr_t to, kiln_addr_t from, uint64_t bytes)
{
    (void)ctx;
    VALGRIND_DISABLE_ERROR_REPORTING;
    uintptr_t foreign = VALGRIND_CHECK_MEM_IS_ADDRESSABLE((uintptr_t)from, (uintptr_t)bytes);
    if (foreign) bytes = foreign - from;
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, (size_t)bytes);
    VALGRIND_ENABLE_ERROR_REPORTING;
}

static const kiln_watcher_t watcher = {
    .grow = told_grow,
    .alloc = told_alloc,
    .free = told_free,
    .zeroed = told_zeroed,
    .copy = told_copy,
    .quarantine_bytes = QUARANTINE_BYTES,
    .redzone_bytes = REDZONE_BYTES,
};

const kiln_watcher_t *kiln_watch(void)
{
    return RUNNING_ON_VALGRIND ? &watcher : NULL;
}

/* memcheck notes every 64 KiB of a reservation: half a TiB of them takes it minutes. */
const kiln_os_t *kiln_watch_os(const kiln_os_t *os)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static kiln_os_within_t within;
    if (!RUNNING_ON_VALGRIND) return os;
    (void)pthread_mutex_lock(&lock);
    if (!within.inner) kiln_os_within_init(&within, os, 0, 0, RESERVE_BYTES_MAX);
    (void)pthread_mutex_unlock(&lock);
    return &within.os;
}
