#define _GNU_SOURCE
#include "sanitizer/alias_os.h"

#include "allocator/os/linux_syscall.h"
#include "allocator/os/ranges.h"
#include "allocator/os/within.h"

#include <linux/mman.h>
#include <pthread.h>

enum { RESERVATIONS_MAX = 1024, READABLE = 1, WRITABLE = 2 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers what follows */
static kiln_os_within_t alias; /* what is not of the range goes on to the program's backend */
static kiln_os_t inner_calls;
static kiln_tags_t alias_tags;
static kiln_addr_t range_start, range_last;
static kiln_os_range_t items[RESERVATIONS_MAX];
static kiln_ranges_t reserved = {.items = items, .max = RESERVATIONS_MAX};

static bool is_ours(kiln_addr_t addr)
{
    return addr >= range_start && addr <= range_last;
}

static bool map(kiln_addr_t addr, uint64_t bytes, unsigned access, unsigned flags)
{
    long got = kiln_linux_call(KILN_LINUX_MMAP, (uintptr_t)addr, (uintptr_t)bytes, access,
                               MAP_FIXED | MAP_ANONYMOUS | flags, (uintptr_t)-1);
    return (uintptr_t)got == (uintptr_t)addr;
}

/* Address space without memory, by all tags. */
static void unmap(kiln_addr_t addr, uint64_t bytes)
{
    for (unsigned tag = 0; tag < 1u << alias_tags.bits; tag++)
        (void)map(kiln_tag_put(alias_tags, addr, tag), bytes, 0, MAP_PRIVATE | MAP_NORESERVE);
}

/* A mapping that is moved by a length of 0 stays, and is there once more. */
static bool map_aliases(kiln_addr_t addr, uint64_t bytes)
{
    for (unsigned tag = 1; tag < 1u << alias_tags.bits; tag++) {
        kiln_addr_t to = kiln_tag_put(alias_tags, addr, tag);
        long got = kiln_linux_call(__NR_mremap, (uintptr_t)addr, 0, (uintptr_t)bytes,
                                   MREMAP_MAYMOVE | MREMAP_FIXED, (uintptr_t)to);
        if ((uintptr_t)got != (uintptr_t)to) return false;
    }
    return true;
}

static kiln_addr_t alias_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_addr_t addr = 0;
    (void)ctx;
    (void)hint;
    *out_reserved = false;
    if (bytes == 0 || bytes > (range_last - range_start) / 2) return 0;
    bytes = kiln_round_up(bytes, alias.os.phys_bytes);
    (void)pthread_mutex_lock(&lock);
    if (kiln_ranges_gap_up(&reserved, range_start, range_last, bytes, &addr) &&
        kiln_ranges_set(&reserved, addr, addr + bytes - 1,
                        (kiln_os_tag_t){.state = KILN_OS_RESERVED}))
        *out_reserved = true;
    (void)pthread_mutex_unlock(&lock);
    return *out_reserved ? addr : 0;
}

/* What was there before goes: the new memory is zero. */
static kiln_os_answer_t alias_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool is_reserved,
                                     kiln_os_use_t use)
{
    if (!is_ours(addr)) return inner_calls.commit(ctx, addr, bytes, is_reserved, use);
    bool done = use == KILN_OS_HEAP
                    ? map(addr, bytes, READABLE | WRITABLE, MAP_SHARED | MAP_NORESERVE) &&
                          map_aliases(addr, bytes)
                    : map(addr, bytes, READABLE | WRITABLE, MAP_PRIVATE | MAP_NORESERVE);
    if (done) return KILN_OS_OK;
    unmap(addr, bytes);
    return KILN_OS_FAIL;
}

static void alias_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    if (!is_ours(addr))
        inner_calls.discard(ctx, addr, bytes);
    else
        unmap(addr, bytes); /* a commit comes before it is touched again */
}

static void alias_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    if (!is_ours(addr))
        inner_calls.decommit(ctx, addr, bytes);
    else
        unmap(addr, bytes);
}

static void alias_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    if (!is_ours(addr)) {
        inner_calls.release(ctx, addr, bytes);
        return;
    }
    bytes = kiln_round_up(bytes, alias.os.phys_bytes);
    unmap(addr, bytes);
    (void)pthread_mutex_lock(&lock);
    (void)kiln_ranges_set(&reserved, addr, addr + bytes - 1,
                          (kiln_os_tag_t){.state = KILN_OS_NONE});
    (void)pthread_mutex_unlock(&lock);
}

/* Rights would have to change by all tags, and nothing that embeds a heap changes any. */
static bool alias_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    return !is_ours(addr) && inner_calls.protect(ctx, addr, bytes, access);
}

static void make(const kiln_os_t *inner, kiln_tags_t tags, kiln_addr_t start, uint64_t bytes)
{
    kiln_os_within_init(&alias, inner, 0, 0, 0);
    inner_calls = alias.os;
    alias_tags = tags;
    range_start = start;
    range_last = start + bytes - 1;
    alias.os.reserve = alias_reserve;
    alias.os.commit = alias_commit;
    alias.os.discard = alias_discard;
    alias.os.decommit = alias_decommit;
    alias.os.release = alias_release;
    alias.os.protect = alias_protect;
    alias.os.guard = NULL;
    alias.os.huge = NULL;
    alias.os.huge_bytes = 0;
}

const kiln_os_t *kiln_alias_os(const kiln_os_t *inner, kiln_tags_t tags, kiln_addr_t start,
                               uint64_t bytes)
{
    (void)pthread_mutex_lock(&lock);
    if (!alias.inner) make(inner, tags, start, bytes);
    (void)pthread_mutex_unlock(&lock);
    return &alias.os;
}
