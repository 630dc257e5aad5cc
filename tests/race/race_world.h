/* race_world.h - a heap with the race detector of Go, and a log of what the detector was told.
 *
 * The linker leads the watcher's calls of the runtime through __wrap_NAME below (BUILD). There they
 * are held against each other: what an event names must lie in what was published, and that must be
 * one range that grows upwards. world_finish expects so. One world a process: see race_child.h. */
#ifndef KILN_TESTS_RACE_RACE_WORLD_H
#define KILN_TESTS_RACE_RACE_WORLD_H

#include "allocator/os/linux.h"
#include "sanitizer/race/race.h"
#include "sanitizer/race/race_runtime.h"
#include "tests/kiln_test.h"

#include <pthread.h>

/* ---- the log of what the runtime was told ---- */

void __real___tsan_map_shadow(uintptr_t addr, uintptr_t bytes);
void __real___tsan_malloc(void *context, uintptr_t counter, uintptr_t addr, uintptr_t bytes);
void __real___tsan_free(uintptr_t addr, uintptr_t bytes);
void __wrap___tsan_map_shadow(uintptr_t addr, uintptr_t bytes);
void __wrap___tsan_malloc(void *context, uintptr_t counter, uintptr_t addr, uintptr_t bytes);
void __wrap___tsan_free(uintptr_t addr, uintptr_t bytes);

static struct {
    uint64_t maps; /* the first is the program's variables */
    kiln_addr_t first, end;
    _Atomic uint64_t allocs, frees;
    _Atomic uint64_t outside; /* events that name a byte which was not published */
    const char *broken;
} told;

static inline void tell(uintptr_t addr, uintptr_t bytes, _Atomic uint64_t *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    if (addr < told.first || bytes > told.end - addr) atomic_fetch_add(&told.outside, 1);
}

void __wrap___tsan_map_shadow(uintptr_t addr, uintptr_t bytes)
{
    if (addr < 0x1000 || addr + bytes > UINT64_C(0xe000000000)) told.broken = "out of its range";
    if (told.maps == 1) told.first = told.end = addr;
    if (told.maps > 0 && addr != told.end) told.broken = "one range that grows upwards";
    if (told.maps++ > 0) told.end = addr + bytes;
    __real___tsan_map_shadow(addr, bytes);
}

void __wrap___tsan_malloc(void *context, uintptr_t counter, uintptr_t addr, uintptr_t bytes)
{
    if (context) tell(addr, bytes, &told.allocs);
    __real___tsan_malloc(context, counter, addr, bytes);
}

void __wrap___tsan_free(uintptr_t addr, uintptr_t bytes)
{
    tell(addr, bytes, &told.frees);
    __real___tsan_free(addr, bytes);
}

/* ---- a watched heap ---- */

static kiln_os_t os;
static kiln_heap_t heap;
static kiln_watcher_t changed; /* kiln_race_watcher without some of its events */

static inline kiln_heap_config_t plain_config(void)
{
    kiln_os_linux_init(&os, 4096);
    kiln_heap_config_t config = {
        .os = &os,
        .arena_os = &os,
        .arena = kiln_arena_config_default(64, os.phys_bytes),
        .image_end = KILN_RACE_FIRST,
        .idle_bytes_max = KILN_MIB(64),
    };
    config.arena.tables = 1u << KILN_ARENA_SPANS;
    return config;
}

static inline void open_with(const kiln_watcher_t *watcher)
{
    KILN_RACE_PLACE(start);
    kiln_heap_config_t config = plain_config();
    EXPECT_RULE(kiln_race_start(&heap, &start));
    EXPECT_RULE(kiln_race_arrange(&config));
    config.watcher = watcher;
    EXPECT_RULE(kiln_heap_init(&heap, &config));
}

static inline void open_watched(void)
{
    open_with(&kiln_race_watcher);
}

static inline void open_without_blocks(void)
{
    changed = kiln_race_watcher;
    changed.alloc = NULL;
    changed.free = NULL;
    open_with(&changed);
}

static inline void finish(void)
{
    EXPECT_RULE(told.broken);
    EXPECT_EQ(told.outside, 0);
    EXPECT_RULE(kiln_heap_broken_rule(&heap));
    kiln_race_finish();
}

/* ---- threads, real ones, that run one after the other unless a test says otherwise ---- */

typedef struct {
    kiln_race_thread_t race;
    void (*run)(void *block);
    void *block;
} worker_t;

static inline void *work(void *worker_of)
{
    worker_t *worker = worker_of;
    kiln_race_enter(&worker->race);
    worker->run(worker->block);
    kiln_race_leave();
    return NULL;
}

/* The detector is told of the thread's birth, and not that it was waited for. */
static inline void run_thread(void (*run)(void *block), void *block)
{
    KILN_RACE_PLACE(creation);
    worker_t worker = {.run = run, .block = block};
    pthread_t thread;
    kiln_race_create(&worker.race, &creation);
    EXPECT_EQ(pthread_create(&thread, NULL, work, &worker), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

#endif
