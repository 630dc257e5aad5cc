/* One thread grows the arena on every step; others look addresses up without a lock.
 *
 *   bound_threads_test [TEST ...] [--lookups=N] [--seed=N]
 *
 * The arena is the real one, on Linux; blocks are placed at random, also below. The tables are
 * memory: an entry that must not be read yet faults. Before the arena publishes a block (its
 * watcher is told then) the writer stores the entries of its pages; who may read an entry must find
 * it. Accesses to entries are plain where the arena alone keeps writer and readers apart, so that
 * ThreadSanitizer sees an order that is missing.
 *
 *   bits    kiln; a block is as large as what one table page stands for, and present bits alone
 *           show it. Plain.
 *   shared  kiln; small blocks share table pages, so that entries are atomic, as the heap's are.
 *   climb   go19; every block lies above, holes between them: arena_used alone shows it. Plain.
 *   below   go19; blocks also lie below arena_used, where nobody is told. Atomic. */
#define _GNU_SOURCE
#include "allocator/arena/arena.h"
#include "allocator/base/rng.h"
#include "allocator/os/linux.h"
#include "tests/kiln_number.h"
#include "tests/kiln_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { READERS = 3, WIDE = sizeof(void *) > 4, BATCH = 256, BLOCKS_MAX = 1 << 16 };

#define RANGE_BYTES (WIDE ? KILN_GIB(16) : KILN_MIB(768))
#define PAGE_BYTES KILN_KIB(8)
/* As much heap as a table page of 4 KiB stands for. */
#define CHUNK_BYTES (4096 / sizeof(uintptr_t) * PAGE_BYTES)

typedef struct mode {
    const char *name;
    kiln_follow_t follow;
    bool plain, climbs, small;
} stress_mode_t;

static const stress_mode_t modes[] = {
    {"bits", KILN_FOLLOW_KILN, true, false, false},
    {"shared", KILN_FOLLOW_KILN, false, false, true},
    {"climb", KILN_FOLLOW_GO19, true, true, false},
    {"below", KILN_FOLLOW_GO19, false, false, false},
};

static uint64_t lookups_wanted = 10 * 1000 * 1000, seed_of_run = 1;

static struct {
    const stress_mode_t *mode;
    kiln_os_t linux_os, os;
    kiln_arena_t arena;
    kiln_watcher_t watcher;
    uint64_t *present;
    kiln_addr_t base; /* of the range that blocks lie in */
    kiln_rng_t rng;
    kiln_addr_t blocks[BLOCKS_MAX];
    uint64_t bytes[BLOCKS_MAX];
    unsigned count, steps_max;
    bool told;

    _Atomic kiln_addr_t hot; /* where something is about to happen; a hint without any order */
    _Atomic uint64_t lookups, covered, found;
    _Atomic uint64_t due; /* more look-ups than these wait for the next step */
    _Atomic uint64_t wrong;
    _Atomic bool stop;
} run;

/* --- entries --------------------------------------------------------------------------------- */

static uintptr_t *entry_of(kiln_addr_t addr)
{
    const kiln_arena_table_t *table = &run.arena.tables[KILN_ARENA_SPANS];
    uint64_t page_idx = (addr - run.arena.arena_start) / PAGE_BYTES;
    return (uintptr_t *)(uintptr_t)(table->base + page_idx * sizeof(uintptr_t));
}

static uintptr_t value_of(kiln_addr_t addr)
{
    return (uintptr_t)(addr / PAGE_BYTES * PAGE_BYTES) ^ (uintptr_t)0x5bd1e995;
}

static void store_entries(kiln_addr_t addr, uint64_t bytes)
{
    for (kiln_addr_t page = addr; page < addr + bytes; page += PAGE_BYTES) {
        if (run.mode->plain)
            *entry_of(page) = value_of(page);
        else
            __atomic_store_n(entry_of(page), value_of(page), __ATOMIC_RELAXED);
    }
}

/* --- the writer ------------------------------------------------------------------------------ */

/* Under go19 the step of arena_used is told, and what lies below is not. */
static void watch_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    run.told = true;
    if (run.mode->follow != KILN_FOLLOW_KILN && addr < run.base) {
        bytes -= run.base - addr;
        addr = run.base;
    }
    store_entries(addr, bytes);
}

/* place_block asks Linux for a place at random, which it grants if it is free. */
static kiln_addr_t place_block(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    (void)ctx;
    uint64_t chunks = RANGE_BYTES / CHUNK_BYTES, low = 0, high = chunks - 1 - bytes / CHUNK_BYTES;
    for (unsigned attempt = 0; attempt < 64; attempt++) {
        if (run.mode->climbs) { /* a hole of up to three chunks above */
            low = (hint - run.base + CHUNK_BYTES - 1) / CHUNK_BYTES + attempt;
            if (low >= high) return 0;
        }
        uint64_t room = run.mode->climbs && high - low > 3 ? 3 : high - low + 1;
        kiln_addr_t wish = run.base + (low + kiln_rng_below(&run.rng, room)) * CHUNK_BYTES;
        kiln_addr_t got = run.linux_os.reserve(run.linux_os.ctx, wish, bytes, out_reserved);
        if (got == wish) {
            atomic_store_explicit(&run.hot, got, memory_order_relaxed);
            return got;
        }
        if (got != 0) run.linux_os.release(run.linux_os.ctx, got, bytes);
    }
    return 0;
}

/* The fallback of 32 bits would put memory anywhere. */
static kiln_addr_t give_nothing(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    (void)ctx, (void)bytes, (void)use;
    return 0;
}

/* A thread that grows as fast as it can would be through before the others have looked; and readers
 * of an arena that stands still would have looked enough before it grows (see wait_for_growth). */
static void keep_pace(unsigned step, uint64_t share)
{
    uint64_t due = share / run.steps_max * step;
    atomic_store_explicit(&run.due, due + share / 64, memory_order_relaxed);
    while (atomic_load_explicit(&run.lookups, memory_order_relaxed) < due) sched_yield();
}

static void grow(uint64_t share)
{
    for (unsigned step = 0; step < run.steps_max && run.count < BLOCKS_MAX; step++) {
        uint64_t bytes = CHUNK_BYTES;
        if (run.mode->small) bytes = PAGE_BYTES * (1 + kiln_rng_below(&run.rng, 64));
        run.told = false;
        kiln_arena_result_t result = kiln_arena_alloc(&run.arena, bytes);
        if (result.throw_reason) fprintf(stderr, "%s\n", result.throw_reason);
        if (result.addr == 0) break;
        if (!run.told) store_entries(result.addr, bytes);
        run.blocks[run.count] = result.addr;
        run.bytes[run.count++] = bytes;
        if (run.mode->small) atomic_store_explicit(&run.hot, result.addr, memory_order_relaxed);
        keep_pace(step, share);
    }
    atomic_store_explicit(&run.due, UINT64_MAX, memory_order_relaxed);
    while (atomic_load_explicit(&run.lookups, memory_order_relaxed) < share) sched_yield();
    atomic_store(&run.stop, true);
}

/* --- the readers ----------------------------------------------------------------------------- */

/* may_read: what a reader asks before it looks into the table. */
static bool may_read(kiln_addr_t addr)
{
    /* The seed's own readers ask nothing but this. */
    if (run.mode->climbs) return kiln_arena_holds(&run.arena, addr);
    return kiln_arena_table_covers(&run.arena, KILN_ARENA_SPANS, addr);
}

static void look_up(kiln_addr_t addr, uint64_t counts[2])
{
    if (!may_read(addr)) return;
    counts[0]++;
    uintptr_t entry =
        run.mode->plain ? *entry_of(addr) : __atomic_load_n(entry_of(addr), __ATOMIC_RELAXED);
    counts[1] += entry != 0;
    /* Zero: a hole of climb, or a page that has no block yet. Where present bits alone show a table
     * page, it is full from the start. */
    bool may_be_zero = strcmp(run.mode->name, "bits") != 0;
    if (entry == value_of(addr) || (entry == 0 && may_be_zero)) return;
    if (atomic_fetch_add(&run.wrong, 1) == 0)
        fprintf(stderr, "%s: the entry of %#llx is %#llx\n", run.mode->name,
                (unsigned long long)addr, (unsigned long long)entry);
}

static void wait_for_growth(void)
{
    while (!atomic_load_explicit(&run.stop, memory_order_relaxed) &&
           atomic_load_explicit(&run.lookups, memory_order_relaxed) >
               atomic_load_explicit(&run.due, memory_order_relaxed))
        sched_yield();
}

static void *read_entries(void *arg)
{
    kiln_rng_t rng = {seed_of_run * 1000 + (uintptr_t)arg};
    uint64_t near = run.mode->small ? CHUNK_BYTES / 16 : 4 * CHUNK_BYTES;
    while (!atomic_load_explicit(&run.stop, memory_order_relaxed)) {
        uint64_t counts[2] = {0};
        for (unsigned i = 0; i < BATCH; i++) {
            kiln_addr_t addr = run.base + kiln_rng_below(&rng, RANGE_BYTES);
            kiln_addr_t hot = atomic_load_explicit(&run.hot, memory_order_relaxed);
            if ((i & 3) != 0) addr = hot + kiln_rng_below(&rng, near);
            look_up(addr, counts);
        }
        atomic_fetch_add_explicit(&run.covered, counts[0], memory_order_relaxed);
        atomic_fetch_add_explicit(&run.found, counts[1], memory_order_relaxed);
        atomic_fetch_add_explicit(&run.lookups, BATCH, memory_order_relaxed);
        wait_for_growth();
    }
    return NULL;
}

/* --- a round --------------------------------------------------------------------------------- */

static void open_arena(const stress_mode_t *mode)
{
    kiln_arena_config_t config = kiln_arena_config_default(WIDE ? 64 : 32, 4096);
    config.follow = mode->follow;
    config.tables = 1u << KILN_ARENA_SPANS;
    config.block_bytes = 4 * CHUNK_BYTES;
    config.strand_bytes = 2 * CHUNK_BYTES;
    if (WIDE) config.addr_max = RANGE_BYTES - 1;

    memset(&run, 0, sizeof run);
    run.mode = mode;
    run.rng.state = seed_of_run;
    run.steps_max = mode->small ? 4096 : (unsigned)(RANGE_BYTES / CHUNK_BYTES);
    kiln_os_linux_init(&run.linux_os, 4096);
    run.os = run.linux_os;
    run.os.reserve = place_block;
    run.os.direct = give_nothing;
    run.watcher.grow = watch_grow;
    run.present = calloc(kiln_arena_present_words(&config) + 1, sizeof *run.present);
    EXPECT(run.present != NULL);
    EXPECT_RULE(kiln_arena_init(&run.arena, &config, &run.os, &run.watcher, NULL, run.present));

    /* A range that is free now; what others map there later are holes. */
    bool reserved;
    uint64_t room = RANGE_BYTES + CHUNK_BYTES;
    kiln_addr_t at = run.linux_os.reserve(run.linux_os.ctx, 0, room, &reserved);
    EXPECT(at != 0);
    run.base = kiln_round_up(at, CHUNK_BYTES);
    run.linux_os.release(run.linux_os.ctx, at, room);
    kiln_arena_table_t *table = &run.arena.tables[KILN_ARENA_SPANS];
    table->base =
        run.linux_os.reserve(run.linux_os.ctx, run.base + room, table->bytes_max, &reserved);
    EXPECT(table->base != 0 && reserved);
    EXPECT_RULE(
        kiln_arena_place(&run.arena, WIDE ? run.base : 0, run.base, run.base, run.base, true));
    EXPECT_RULE(kiln_arena_publish_start(&run.arena));
    run.hot = run.base;
}

static void close_arena(void)
{
    EXPECT_RULE(kiln_arena_broken_rule(&run.arena));
    for (unsigned i = 0; i < run.count; i++)
        run.linux_os.release(run.linux_os.ctx, run.blocks[i], run.bytes[i]);
    kiln_arena_destroy(&run.arena);
    free(run.present);
}

static void stress(const char *name)
{
    const stress_mode_t *mode = modes;
    while (strcmp(mode->name, name) != 0) mode++;
    uint64_t share = lookups_wanted / (sizeof modes / sizeof *modes);
    uint64_t below = 0;
    open_arena(mode);
    pthread_t readers[READERS];
    for (uintptr_t i = 0; i < READERS; i++)
        EXPECT(pthread_create(&readers[i], NULL, read_entries, (void *)i) == 0);
    grow(share);
    for (unsigned i = 0; i < READERS; i++) EXPECT(pthread_join(readers[i], NULL) == 0);
    for (unsigned i = 1; i < run.count; i++) below += run.blocks[i] < run.blocks[i - 1];
    printf(
        "%-6s %llu look-ups, %llu of them read an entry, %llu of heap; %u blocks, %llu below the "
        "one before\n",
        name, (unsigned long long)run.lookups, (unsigned long long)run.covered,
        (unsigned long long)run.found, run.count, (unsigned long long)below);
    EXPECT_EQ(run.wrong, 0);
    EXPECT(run.lookups >= share);
    EXPECT(run.found > share / 1000 && run.covered >= run.found);
    EXPECT(run.count > run.steps_max / 4);
    EXPECT(mode->climbs ? below == 0 : below > run.count / 64);
    close_arena();
}

static void test_present_bits_show_tables(void)
{
    stress("bits");
}

static void test_shared_table_pages(void)
{
    stress("shared");
}

static void test_bound_shows_tables(void)
{
    stress("climb");
}

static void test_blocks_below_the_bound(void)
{
    stress("below");
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_present_bits_show_tables),
        KILN_TEST(test_shared_table_pages),
        KILN_TEST(test_bound_shows_tables),
        KILN_TEST(test_blocks_below_the_bound),
    };
    int names = 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seed=", 7) == 0)
            seed_of_run = kiln_number(argv[i], 0, UINT64_MAX);
        else if (strncmp(argv[i], "--lookups=", 10) == 0)
            lookups_wanted = kiln_number(argv[i], 1, UINT64_C(1) << 40);
        else
            argv[names++] = argv[i];
    }
    printf("--seed=%llu --lookups=%llu\n", (unsigned long long)seed_of_run,
           (unsigned long long)lookups_wanted);
    return kiln_test_main(names, argv, tests, sizeof tests / sizeof *tests);
}
