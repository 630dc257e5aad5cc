/* AddressSanitizer watches (watch.h), and LeakSanitizer with it.
 *
 * Poisoned is all that has grown, but for the bytes that the program asked for and did not free. A
 * report of ASan's names no block of ours; who allocated and freed it is written below it, through
 * the error callback. The heap is a root region, so that system blocks that only Kiln's blocks
 * point to are no leaks; LeakSanitizer does not look into what is poisoned.
 *
 * Compiled without ASan, as the heap is: a copy reads what was not asked for. */
#define _GNU_SOURCE
#include "sanitizer/blocks.h"
#include "sanitizer/watch.h"

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GROWTHS_MAX = 4096, LINE_MAX_BYTES = 1024, QUARANTINE_BYTES = 32 << 20 };

/* LeakSanitizer takes a root region back only as it was given. */
static struct {
    pthread_mutex_t lock;
    bool begun;
    unsigned count;
    struct {
        kiln_addr_t addr;
        uint64_t bytes;
    } items[GROWTHS_MAX];
} growths = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void explain_report(const char *report)
{
    (void)report;
    if (__asan_report_present())
        (void)kiln_watch_explain(STDERR_FILENO, __asan_get_report_address());
}

static void before_fork(void)
{
    (void)pthread_mutex_lock(&growths.lock);
}

static void after_fork(void)
{
    (void)pthread_mutex_unlock(&growths.lock);
}

static void register_root(unsigned idx, bool on)
{
    void *start = (void *)(uintptr_t)growths.items[idx].addr;
    size_t bytes = (size_t)growths.items[idx].bytes;
    if (on)
        __lsan_register_root_region(start, bytes);
    else
        __lsan_unregister_root_region(start, bytes);
}

/* A growth that lies behind an earlier one becomes one region with it. */
static void add_root(kiln_addr_t addr, uint64_t bytes)
{
    unsigned idx = 0;
    while (idx < growths.count && growths.items[idx].addr + growths.items[idx].bytes != addr) idx++;
    if (idx == GROWTHS_MAX) return; /* that many holes: what only they point to is reported */
    if (idx < growths.count) {
        register_root(idx, false);
        growths.items[idx].bytes += bytes;
    } else {
        growths.items[growths.count].addr = addr;
        growths.items[growths.count++].bytes = bytes;
    }
    register_root(idx, true);
}

static void told_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    (void)pthread_mutex_lock(&growths.lock);
    if (!growths.begun) {
        __asan_set_error_report_callback(explain_report);
        (void)pthread_atfork(before_fork, after_fork, after_fork);
    }
    growths.begun = true;
    add_root(addr, bytes);
    (void)pthread_mutex_unlock(&growths.lock);
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

/* What the program poisoned itself is copied too. No memcpy: ASan's would judge it. */
static void told_copy(void *ctx, kiln_addr_t to, kiln_addr_t from, uint64_t bytes)
{
    (void)ctx;
    uint64_t asked = kiln_blocks_bytes(from);
    if (asked != 0 && asked < bytes) bytes = asked;
    unsigned char *out = (unsigned char *)(uintptr_t)to;
    const volatile unsigned char *in = (const volatile unsigned char *)(uintptr_t)from;
    for (uint64_t i = 0; i < bytes; i++) out[i] = in[i];
}

static void told_retire(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    (void)pthread_mutex_lock(&growths.lock);
    for (unsigned i = 0; i < growths.count;) {
        if (growths.items[i].addr - addr >= bytes) {
            i++;
            continue;
        }
        register_root(i, false);
        growths.items[i] = growths.items[--growths.count];
    }
    (void)pthread_mutex_unlock(&growths.lock);
    kiln_blocks_drop(addr, bytes);
    __asan_unpoison_memory_region((void *)(uintptr_t)addr, (size_t)bytes);
}

static const kiln_watcher_t watcher = {
    .grow = told_grow,
    .alloc = told_alloc,
    .free = told_free,
    .copy = told_copy,
    .retire = told_retire,
    .quarantine_bytes = QUARANTINE_BYTES,
};

const kiln_watcher_t *kiln_watch(void)
{
    return &watcher;
}

const kiln_os_t *kiln_watch_os(const kiln_os_t *os)
{
    return os;
}

/* --- the words below a report ---------------------------------------------------------------- */

/* The heap's own functions stand between the program and a watcher. */
static bool is_own(const char *function)
{
    static const char *const names[] = {"told_alloc",      "told_free", "take_small", "take_large",
                                        "realloc_watched", "end_block", "walk_span"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(function, names[i]) == 0) return true;
    return strncmp(function, "kiln_heap_", sizeof "kiln_heap_" - 1) == 0;
}

static void print_stack(int fd, const kiln_blocks_event_t *event)
{
    char text[LINE_MAX_BYTES];
    bool own = true;
    for (unsigned i = 0, shown = 0; i < event->count; i++) {
        void *pc = (void *)(event->pcs[i] - 1); /* of the call */
        __sanitizer_symbolize_pc(pc, "%f", text, sizeof text);
        own = own && is_own(text);
        if (own) continue;
        __sanitizer_symbolize_pc(pc, "%p %F %L", text, sizeof text);
        dprintf(fd, "    #%u %s\n", shown++, text);
    }
}

bool kiln_watch_explain(int fd, const void *address)
{
    kiln_addr_t at = (uintptr_t)address;
    kiln_blocks_record_t record;
    /* Below a block lies the end of the slot before it, above it the block's own. */
    if (!kiln_blocks_at(at, &record)) return false;
    uint64_t offset = at - record.block;
    bool inside = offset < record.bytes;
    kiln_addr_t end = record.block + record.bytes;
    dprintf(fd, "%p is located %llu bytes %s %llu-byte Kiln block [0x%llx,0x%llx)\n", address,
            (unsigned long long)(inside ? offset : offset - record.bytes),
            inside ? "inside of" : "after", (unsigned long long)record.bytes,
            (unsigned long long)record.block, (unsigned long long)end);
    if (record.free.thread != 0) {
        dprintf(fd, "freed by thread %u here:\n", record.free.thread);
        print_stack(fd, &record.free);
    }
    dprintf(fd, "%sallocated by thread %u here:\n", record.free.thread != 0 ? "previously " : "",
            record.alloc.thread);
    print_stack(fd, &record.alloc);
    return true;
}
