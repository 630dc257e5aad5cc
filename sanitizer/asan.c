/* AddressSanitizer watches (watch.h), and LeakSanitizer with it.
 *
 * Poisoned is all that has grown, but for the bytes that the program asked for and did not free. A
 * report of ASan's names no block of ours; who allocated and freed it is written below it, through
 * the error callback. The heap is a root region, so that system blocks that only Kiln's blocks
 * point to are no leaks; LeakSanitizer does not look into what is poisoned.
 *
 * Poisoned are the heap's records as well, from the moment when the OS gives memory for them: the
 * backend of kiln_watch_os sees to that. The heap reads and writes them all the same, since it is
 * compiled without ASan and calls nothing that ASan's runtime replaces (own_memory.h). So does its
 * realloc copy what was not asked for, or what the program poisoned itself. */
#define _GNU_SOURCE
#include "allocator/os/ranges.h"
#include "allocator/os/within.h"
#include "sanitizer/asan_leak.h"
#include "sanitizer/blocks.h"
#include "sanitizer/explain.h"
#include "sanitizer/roots_lsan.h"
#include "sanitizer/watch.h"

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { RECORDS_MAX = 4096, QUARANTINE_BYTES = 32 << 20, REDZONE_BYTES = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers all that is noted here */

static void explain_report(const char *report)
{
    (void)report;
    if (__asan_report_present())
        (void)kiln_watch_explain(STDERR_FILENO, __asan_get_report_address());
}

static void before_fork(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    (void)pthread_mutex_unlock(&lock);
}

static void enter(void)
{
    static bool forks_known;
    (void)pthread_mutex_lock(&lock);
    if (!forks_known) (void)pthread_atfork(before_fork, after_fork, after_fork);
    forks_known = true;
}

static void leave(void)
{
    (void)pthread_mutex_unlock(&lock);
}

static void told_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    kiln_lsan_add(addr, bytes);
    __asan_poison_memory_region((void *)(uintptr_t)addr, (size_t)bytes);
}

static void told_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    kiln_blocks_alloc(block, bytes, slot_bytes);
    __asan_unpoison_memory_region((void *)(uintptr_t)block, (size_t)bytes);
}

static void told_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    __asan_poison_memory_region((void *)(uintptr_t)block, (size_t)slot_bytes);
    kiln_blocks_free(block);
}

static void told_retire(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    kiln_lsan_drop(addr, bytes);
    kiln_blocks_drop(addr, bytes);
    __asan_unpoison_memory_region((void *)(uintptr_t)addr, (size_t)bytes);
}

/* --- records: all memory of the OS's that is no heap, and the heaps' structs ------------------ */

static kiln_os_within_t records_os; /* all calls go on to the program's backend */
static kiln_os_t inner_calls;
static kiln_os_range_t record_ranges[RECORDS_MAX];
static kiln_ranges_t records = {.items = record_ranges, .max = RECORDS_MAX};

/* Only what is noted is poisoned: else nobody would know what to take it back from. */
static void poison_records(kiln_addr_t addr, uint64_t bytes, kiln_os_use_t use)
{
    kiln_os_tag_t tag = {.state = KILN_OS_READY, .use = (uint8_t)use};
    enter();
    bool noted = kiln_ranges_set(&records, addr, addr + bytes - 1, tag);
    if (noted) __asan_poison_memory_region((void *)(uintptr_t)addr, (size_t)bytes);
    leave();
}

/* A reservation goes back whole, and most of it never was a record. */
static void unpoison_records(kiln_addr_t addr, uint64_t bytes)
{
    kiln_addr_t last = addr + bytes - 1;
    enter();
    for (unsigned i = kiln_ranges_find(&records, addr);
         i < records.count && records.items[i].first <= last; i++) {
        const kiln_os_range_t *range = &records.items[i];
        kiln_addr_t from = range->first > addr ? range->first : addr;
        kiln_addr_t to = range->last < last ? range->last : last;
        __asan_unpoison_memory_region((void *)(uintptr_t)from, (size_t)(to - from + 1));
    }
    (void)kiln_ranges_set(&records, addr, last, (kiln_os_tag_t){.state = KILN_OS_NONE});
    leave();
}

static bool is_record(kiln_addr_t addr)
{
    if (pthread_mutex_trylock(&lock) != 0) return false; /* a report may come from anywhere */
    unsigned idx = kiln_ranges_find(&records, addr);
    bool found = idx < records.count && records.items[idx].first <= addr;
    leave();
    return found;
}

/* The struct is a record like those in the OS's memory. */
static void told_own(void *ctx, kiln_addr_t heap, uint64_t bytes, bool on)
{
    static atomic_flag explains = ATOMIC_FLAG_INIT;
    (void)ctx;
    if (!atomic_flag_test_and_set(&explains)) __asan_set_error_report_callback(explain_report);
    if (on)
        poison_records(heap, bytes, KILN_OS_META);
    else
        unpoison_records(heap, bytes);
}

static const kiln_watcher_t watcher = {
    .grow = told_grow,
    .alloc = told_alloc,
    .free = told_free,
    .retire = told_retire,
    .own = told_own,
    .quarantine_bytes = QUARANTINE_BYTES,
    .redzone_bytes = REDZONE_BYTES,
};

const kiln_watcher_t *kiln_watch(void)
{
    return &watcher;
}

static kiln_os_answer_t commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                               kiln_os_use_t use)
{
    kiln_os_answer_t answer = inner_calls.commit(ctx, addr, bytes, reserved, use);
    if (answer == KILN_OS_OK && use != KILN_OS_HEAP) poison_records(addr, bytes, use);
    return answer;
}

static void decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    unpoison_records(addr, bytes);
    inner_calls.decommit(ctx, addr, bytes);
}

static void release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    unpoison_records(addr, kiln_round_up(bytes, inner_calls.phys_bytes));
    inner_calls.release(ctx, addr, bytes);
}

static kiln_addr_t direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_addr_t addr = inner_calls.direct(ctx, bytes, use);
    if (addr != 0 && use != KILN_OS_HEAP)
        poison_records(addr, kiln_round_up(bytes, inner_calls.phys_bytes), use);
    return addr;
}

const kiln_os_t *kiln_watch_os(const kiln_os_t *os)
{
    enter();
    if (!records_os.inner) {
        kiln_os_within_init(&records_os, os, 0, 0, 0);
        inner_calls = records_os.os;
        records_os.os.commit = commit;
        records_os.os.decommit = decommit;
        records_os.os.release = release;
        records_os.os.direct = direct;
    }
    leave();
    return &records_os.os;
}

/* Sooner than the program's own constructors, so that its handlers of exit run before the search
 * for leaks; the runtime is up already, so that LeakSanitizer's own one runs after it. */
__attribute__((constructor(101))) static void begin_process(void)
{
    kiln_asan_leaks_at_end();
}

bool kiln_watch_explain(int fd, const void *address)
{
    if (!is_record((uintptr_t)address)) return kiln_explain_block(fd, address);
    dprintf(fd, "%p is located in the records of a Kiln heap, which nobody else may touch\n",
            address);
    return true;
}
