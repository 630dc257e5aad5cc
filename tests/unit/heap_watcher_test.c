/* What a heap tells a watcher of blocks, against a list of what the program has. */
#include "allocator/base/rng.h"
#include "tests/unit/heap_world.h"

enum { BLOCKS = 400, STEPS = 40000, GROWTHS_MAX = 256 };

/* A block as the watcher sees it. */
typedef struct {
    kiln_addr_t addr; /* 0: none */
    uint64_t bytes, slot_bytes;
    bool retired; /* of a growth */
} seen_t;

static struct {
    seen_t blocks[BLOCKS];
    seen_t growths[GROWTHS_MAX];
    unsigned growth_count;
    uint64_t allocs, frees, zeroed, copies;
    const char *broken; /* the first rule that an event broke */
} seen;

static void break_rule(const char *rule)
{
    if (!seen.broken) seen.broken = rule;
}

static seen_t *seen_at(kiln_addr_t addr)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (seen.blocks[i].addr == addr) return &seen.blocks[i];
    return NULL;
}

static void see_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    if (seen.growth_count == GROWTHS_MAX) return break_rule("the heap grows in large steps");
    seen.growths[seen.growth_count++] = (seen_t){addr, bytes, bytes, false};
}

/* Growths that touch are one piece of heap: a block may lie across them. */
static bool has_grown(kiln_addr_t addr, uint64_t bytes)
{
    kiln_addr_t at = addr;
    for (unsigned i = 0; at < addr + bytes && i < seen.growth_count; i++) {
        const seen_t *growth = &seen.growths[i];
        if (at - growth->addr >= growth->bytes) continue;
        at = growth->addr + growth->bytes;
        i = UINT32_MAX; /* from the first one again: growths come in any order */
    }
    return at >= addr + bytes;
}

static void see_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    seen.allocs++;
    if (bytes == 0 || bytes > slot_bytes) break_rule("a block has bytes, and a slot for them");
    if (!has_grown(block, slot_bytes)) break_rule("a block lies in what was grown");
    if (!kiln_heap_about(&world.heap, (void *)(uintptr_t)block).live)
        break_rule("a block is the caller's when its alloc is told");
    for (unsigned i = 0; i < BLOCKS; i++) {
        const seen_t *other = &seen.blocks[i];
        if (other->addr != 0 && block < other->addr + other->slot_bytes &&
            other->addr < block + slot_bytes)
            break_rule("a block is told of once, and overlaps none");
    }
    seen_t *place = seen_at(0);
    if (!place) return break_rule("no more blocks than the program has");
    *place = (seen_t){block, bytes, slot_bytes, false};
}

static void see_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    seen.frees++;
    if (kiln_heap_about(&world.heap, (void *)(uintptr_t)block).live)
        break_rule("a block was taken from the caller when its free is told");
    seen_t *found = seen_at(block);
    if (!found) return break_rule("what is freed was allocated");
    if (found->slot_bytes != slot_bytes) break_rule("a slot is freed as it was allocated");
    *found = (seen_t){.addr = 0};
}

static void see_zeroed(void *ctx, kiln_addr_t block, uint64_t bytes)
{
    (void)ctx;
    const seen_t *found = seen_at(block);
    if (!found || found->bytes != bytes) break_rule("what is zeroed was just allocated");
    const unsigned char *at = (const unsigned char *)(uintptr_t)block;
    for (uint64_t i = 0; i < bytes; i++)
        if (at[i] != 0) return break_rule("what is zeroed is zero");
    seen.zeroed++;
}

static void see_copy(void *ctx, kiln_addr_t to, kiln_addr_t from, uint64_t bytes)
{
    (void)ctx;
    const seen_t *target = seen_at(to), *source = seen_at(from);
    if (!target || !source) return break_rule("a copy is from a block to a block");
    if (bytes > target->bytes || bytes > source->slot_bytes) break_rule("a copy fits both");
    if (*kiln_heap_find(&world.heap, (void *)(uintptr_t)from).state != KILN_SLOT_BUSY)
        break_rule("a block is busy, and not free, while it is copied");
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, (size_t)bytes);
    seen.copies++;
}

/* All that has grown is retired, once. */
static void see_retire(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    if (seen.allocs != seen.frees) break_rule("no block is live when its memory is retired");
    for (unsigned i = 0; i < seen.growth_count; i++) {
        seen_t *growth = &seen.growths[i];
        if (growth->addr - addr >= bytes) continue;
        if (growth->bytes > bytes - (growth->addr - addr))
            break_rule("no part of a growth retires");
        if (growth->retired) break_rule("nothing retires twice");
        growth->retired = true;
    }
}

static const kiln_watcher_t watcher = {
    .grow = see_grow,
    .alloc = see_alloc,
    .free = see_free,
    .zeroed = see_zeroed,
    .copy = see_copy,
    .retire = see_retire,
};

static kiln_heap_t *open_watched(world_kind_t kind)
{
    memset(&seen, 0, sizeof seen);
    return world_open(
        (world_config_t){.kind = kind, .follow = KILN_FOLLOW_KILN, .watcher = &watcher});
}

/* The watcher and the program agree on one block. */
static void expect_seen(const void *block, uint64_t bytes)
{
    const seen_t *found = seen_at((uintptr_t)block);
    kiln_misuse_t misuse;
    EXPECT_RULE(seen.broken);
    EXPECT(found);
    EXPECT_EQ(found->bytes, bytes);
    EXPECT_EQ(found->slot_bytes, kiln_heap_usable(&world.heap, block, &misuse));
}

static void test_every_way_to_a_block_is_told(void)
{
    for (world_kind_t kind = WORLD_LINUX; kind < WORLDS; kind++) {
        kiln_heap_t *heap = open_watched(kind);
        kiln_misuse_t misuse;
        void *small = kiln_heap_malloc(heap, NULL, 100), *large;
        expect_seen(small, 100);
        EXPECT_EQ(kiln_heap_free(heap, NULL, small), KILN_MISUSE_NONE);
        EXPECT(!seen_at((uintptr_t)small));
        expect_seen(small = kiln_heap_malloc(heap, NULL, 0), 1);
        expect_seen(kiln_heap_calloc(heap, NULL, 3, 50), 150);
        expect_seen(kiln_heap_calloc(heap, NULL, 3, 50000), 150000);
        expect_seen(kiln_heap_aligned(heap, NULL, 256, 300), 300);
        expect_seen(kiln_heap_aligned(heap, NULL, 16, 0), 1);
        void *none = kiln_heap_calloc(heap, NULL, 0, 8);
        expect_seen(none, 1);
        EXPECT_EQ(kiln_heap_free(heap, NULL, none), KILN_MISUSE_NONE);
        expect_seen(large = kiln_heap_aligned(heap, NULL, 65536, 10), 10);
        EXPECT_EQ(kiln_heap_free_sized(heap, NULL, large, 65536, 10), KILN_MISUSE_NONE);
        EXPECT(!seen_at((uintptr_t)large));
        expect_seen(small = kiln_heap_realloc(heap, NULL, small, 12, &misuse), 12);
        expect_seen(small = kiln_heap_realloc(heap, NULL, small, 5000, &misuse), 5000);
        expect_seen(large = kiln_heap_realloc(heap, NULL, small, 500000, &misuse), 500000);
        EXPECT(!seen_at((uintptr_t)small));
        expect_seen(large = kiln_heap_realloc(heap, NULL, large, 900000, &misuse), 900000);
        expect_seen(large = kiln_heap_realloc(heap, NULL, large, 70000, &misuse), 70000);
        expect_seen(kiln_heap_realloc(heap, NULL, large, 7, &misuse), 7);
        EXPECT_EQ(seen.allocs - seen.frees, 5);
        EXPECT_EQ(seen.zeroed, 3);
        EXPECT_EQ(seen.copies, 6);
        world_close();
        EXPECT_RULE(seen.broken);
        for (unsigned i = 0; i < seen.growth_count; i++) EXPECT(seen.growths[i].retired);
    }
}

/* A watcher that knows which heaps there are. */
static struct {
    kiln_addr_t heap;
    unsigned begun, ended;
} owned;

static void see_own(void *ctx, kiln_addr_t heap, uint64_t bytes, bool on)
{
    (void)ctx;
    if (bytes != sizeof(kiln_heap_t)) break_rule("the struct of a heap is told whole");
    if (on ? owned.heap != 0 : owned.heap != heap) break_rule("a heap begins once and ends once");
    if (!on && seen.allocs != seen.frees) break_rule("the end of a heap is told last");
    owned.heap = on ? heap : 0;
    owned.begun += on;
    owned.ended += !on;
}

static void test_where_a_heap_is_is_told(void)
{
    kiln_watcher_t owns = watcher;
    owns.own = see_own;
    memset(&seen, 0, sizeof seen);
    memset(&owned, 0, sizeof owned);
    kiln_heap_t *heap = world_open(
        (world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN, .watcher = &owns});
    EXPECT_EQ(owned.heap, (uintptr_t)heap);
    EXPECT(kiln_heap_malloc(heap, NULL, 100));
    kiln_heap_t second;
    kiln_heap_config_t refused = heap->config;
    refused.arena.page_bytes = 4096;
    EXPECT(kiln_heap_init(&second, &refused));
    EXPECT_EQ(owned.begun, 1);
    world_close();
    EXPECT_EQ(owned.begun, 1);
    EXPECT_EQ(owned.ended, 1);
    EXPECT_RULE(seen.broken);
}

static void test_what_is_refused_is_not_told(void)
{
    kiln_heap_t *heap = open_watched(WORLD_LINUX);
    kiln_misuse_t misuse;
    char *block = kiln_heap_malloc(heap, NULL, 100000);
    uint64_t allocs = seen.allocs, frees = seen.frees;

    EXPECT_EQ(kiln_heap_free(heap, NULL, block + 16), KILN_MISUSE_INTERIOR);
    EXPECT_EQ(kiln_heap_free_sized(heap, NULL, block, 0, 8), KILN_MISUSE_SIZE);
    volatile size_t most = SIZE_MAX; /* compilers object */
    EXPECT(!kiln_heap_malloc(heap, NULL, most));
    EXPECT(!kiln_heap_calloc(heap, NULL, most, 2));
    EXPECT(!kiln_heap_realloc(heap, NULL, block + 1, 10, &misuse));
    EXPECT(!kiln_heap_realloc(heap, NULL, block, most, &misuse));
    EXPECT_EQ(seen.allocs, allocs);
    EXPECT_EQ(seen.frees, frees);

    /* A realloc for which there is no memory leaves the block as it was. */
    EXPECT(!kiln_heap_realloc(heap, NULL, block, PTRDIFF_MAX, &misuse));
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    EXPECT_EQ(seen.allocs, allocs);
    EXPECT_EQ(seen.frees, frees);
    expect_seen(block, 100000);
    EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
    EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_DOUBLE_FREE);
    EXPECT_EQ(seen.frees, seen.allocs);
    world_close();
}

static void test_a_watched_heap_has_no_caches(void)
{
    kiln_heap_t *heap = open_watched(WORLD_LINUX);
    EXPECT(!kiln_heap_attach(heap));
    world_close();

    kiln_watcher_t grow_only = {.grow = see_grow};
    memset(&seen, 0, sizeof seen);
    heap = world_open(
        (world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN, .watcher = &grow_only});
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    EXPECT(cache);
    EXPECT(kiln_heap_malloc(heap, cache, 10));
    EXPECT_EQ(seen.growth_count, 1);
    EXPECT_EQ(seen.allocs, 0);
    world_close();
}

/* A place is not used again before so many bytes were freed after it; a free of what waits is a
 * double free, and its bytes are those of the last owner. */
static void test_freed_blocks_wait(void)
{
    enum { BYTES = 1000, WAIT_BYTES = 100 * 1024, LARGER_BYTES = 2 * WAIT_BYTES };
    kiln_watcher_t waits = watcher;
    waits.quarantine_bytes = WAIT_BYTES;
    for (world_kind_t kind = WORLD_LINUX; kind < WORLDS; kind++) {
        memset(&seen, 0, sizeof seen);
        kiln_heap_t *heap = world_open(
            (world_config_t){.kind = kind, .follow = KILN_FOLLOW_KILN, .watcher = &waits});
        char *first = kiln_heap_malloc(heap, NULL, BYTES);
        memset(first, 0x5a, BYTES);
        EXPECT_EQ(kiln_heap_free(heap, NULL, first), KILN_MISUSE_NONE);
        uint64_t freed_bytes = 0;
        bool again = false;
        while (!again) {
            char *block = kiln_heap_malloc(heap, NULL, BYTES);
            again = block == first;
            if (!again) {
                EXPECT_EQ(kiln_heap_free(heap, NULL, first), KILN_MISUSE_DOUBLE_FREE);
                EXPECT_EQ(first[BYTES / 2], 0x5a);
                freed_bytes += BYTES;
            }
            EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
            EXPECT_RULE(kiln_heap_broken_rule(heap));
            EXPECT(freed_bytes < KILN_MIB(16));
        }
        EXPECT(freed_bytes >= WAIT_BYTES / 2);

        /* A block that is larger than all that may wait goes at once, and no other for it. */
        uint64_t waiting_bytes = kiln_heap_stats(heap).waiting_bytes;
        EXPECT(waiting_bytes > 0 && waiting_bytes <= WAIT_BYTES);
        EXPECT_EQ(kiln_heap_free(heap, NULL, kiln_heap_malloc(heap, NULL, LARGER_BYTES)),
                  KILN_MISUSE_NONE);
        EXPECT_EQ(kiln_heap_stats(heap).waiting_bytes, waiting_bytes);
        EXPECT_EQ(kiln_heap_stats(heap).live_bytes, waiting_bytes);
        (void)kiln_heap_trim(heap, 0);
        EXPECT_EQ(kiln_heap_stats(heap).waiting_bytes, 0);
        EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
        EXPECT_RULE(seen.broken);
        world_close();
    }
}

static void expect_redzone(kiln_heap_t *heap, char *block, size_t align, size_t bytes, size_t most)
{
    kiln_misuse_t misuse;
    EXPECT(block);
    size_t has = kiln_heap_usable(heap, block, &misuse);
    EXPECT(has >= bytes + most);
    EXPECT_EQ(kiln_heap_free_sized(heap, NULL, block, align, bytes), KILN_MISUSE_NONE);
}

/* Behind each block lies what the watcher asks for, and a free may name the size it was asked for.
 */
static void test_a_redzone_is_behind_each_block(void)
{
    static const size_t edges[] = {
        1,     15,    16,       17,       64,       1024,          4096,
        32752, 32753, 32 << 10, 33 << 10, 64 << 10, (1 << 20) - 1, 1 << 20};
    volatile size_t most_bytes = SIZE_MAX; /* gcc would not compile what it sees to be too large */
    for (size_t most = 0; most <= 48; most += 16) {
        kiln_watcher_t wants = watcher;
        kiln_misuse_t misuse;
        wants.redzone_bytes = most;
        memset(&seen, 0, sizeof seen);
        kiln_heap_t *heap = world_open(
            (world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN, .watcher = &wants});
        for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
            size_t bytes = edges[i];
            expect_redzone(heap, kiln_heap_malloc(heap, NULL, bytes), 0, bytes, most);
            expect_redzone(heap, kiln_heap_calloc(heap, NULL, 1, bytes), 0, bytes, most);
            for (size_t align = 32; align <= 16384; align *= 8)
                expect_redzone(heap, kiln_heap_aligned(heap, NULL, align, bytes), align, bytes,
                               most);
            char *block = kiln_heap_malloc(heap, NULL, 3);
            block = kiln_heap_realloc(heap, NULL, block, bytes, &misuse);
            expect_redzone(heap, block, 0, bytes, most);
        }
        EXPECT(!kiln_heap_malloc(heap, NULL, most_bytes / 2));
        EXPECT(!kiln_heap_malloc(heap, NULL, most_bytes));
        EXPECT(!kiln_heap_calloc(heap, NULL, 1, most_bytes));
        EXPECT(!kiln_heap_aligned(heap, NULL, 64, most_bytes));
        EXPECT_RULE(kiln_heap_broken_rule(heap));
        EXPECT_RULE(seen.broken);
        world_close();
    }
}

/* Where memory ends, what waits goes, and the program does not see that it is watched. */
static void test_what_waits_is_given_before_memory_ends(void)
{
    kiln_watcher_t waits = watcher;
    waits.quarantine_bytes = UINT64_MAX;
    const size_t sizes[] = {30000, 2 << 20};
    for (unsigned i = 0; i < 2; i++) {
        memset(&seen, 0, sizeof seen);
        kiln_heap_t *heap = world_open(
            (world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN, .watcher = &waits});
        for (uint64_t bytes = 0; bytes < KILN_MIB(512); bytes += sizes[i]) {
            void *block = kiln_heap_malloc(heap, NULL, sizes[i]);
            EXPECT(block);
            EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
        }
        world_close();
    }
}

/* The end of a heap is the end of its blocks, and a walk shows those that are live. */
static void count_block(void *ctx, void *block, size_t slot_bytes)
{
    unsigned *count = ctx;
    (*count)++;
    const seen_t *found = seen_at((uintptr_t)block);
    EXPECT(found && found->slot_bytes == slot_bytes);
}

static void test_live_blocks_are_walked_and_ended(void)
{
    kiln_heap_t *heap = open_watched(WORLD_LINUX);
    unsigned count = 0;
    for (size_t bytes = 1; bytes < 5000000; bytes = bytes * 3 / 2 + 1) {
        void *block = kiln_heap_malloc(heap, NULL, bytes);
        if (bytes % 2 == 0) EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
    }
    kiln_heap_walk(heap, count_block, &count);
    EXPECT(count > 10);
    EXPECT_EQ(count, seen.allocs - seen.frees);
    world_close();
    EXPECT_EQ(seen.allocs, seen.frees);
}

/* Sizes of all kinds, over and over. */
static size_t random_bytes(kiln_rng_t *rng)
{
    uint64_t kind = kiln_rng_below(rng, 10);
    return (size_t)kiln_rng_below(rng, kind == 0 ? 300000 : kind < 3 ? 10000 : 300);
}

/* A reset is the end of all blocks and not of the heap: what was live is told as freed, once,
 * whatever the heap's spans look like. */
static void test_a_reset_frees_what_is_live(void)
{
    kiln_watcher_t waits = watcher;
    for (world_kind_t kind = WORLD_LINUX; kind < WORLDS; kind++) {
        kiln_rng_t rng = {.state = 7};
        waits.quarantine_bytes = kind == WORLD_LINUX ? KILN_MIB(1) : 0;
        memset(&seen, 0, sizeof seen);
        kiln_heap_t *heap = world_open(
            (world_config_t){.kind = kind, .follow = KILN_FOLLOW_KILN, .watcher = &waits});
        for (unsigned round = 0; round < 30; round++) {
            void *blocks[BLOCKS / 2] = {NULL};
            for (unsigned step = 0; step < BLOCKS; step++) {
                void **block = &blocks[kiln_rng_below(&rng, BLOCKS / 2)];
                if (*block) EXPECT_EQ(kiln_heap_free(heap, NULL, *block), KILN_MISUSE_NONE);
                *block = *block ? NULL : kiln_heap_malloc(heap, NULL, random_bytes(&rng));
            }
            EXPECT(seen.allocs > seen.frees);
            kiln_heap_reset(heap);
            EXPECT_EQ(seen.allocs, seen.frees);
            EXPECT_RULE(seen.broken);
            EXPECT_RULE(kiln_heap_broken_rule(heap));
            kiln_heap_stats_t stats = kiln_heap_stats(heap);
            EXPECT_EQ(stats.live_bytes, stats.waiting_bytes);
            for (unsigned i = 0; i < BLOCKS / 2; i++)
                if (blocks[i] && waits.quarantine_bytes)
                    EXPECT_EQ(kiln_heap_free(heap, NULL, blocks[i]), KILN_MISUSE_DOUBLE_FREE);
        }
        world_close();
    }
}

/* Of a heap that nobody watches, what threads' caches hold stays there. */
static void test_a_reset_leaves_caches_alone(void)
{
    kiln_heap_t *heap =
        world_open((world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN});
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    kiln_rng_t rng = {.state = 9};
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            void *block = kiln_heap_malloc(heap, cache, random_bytes(&rng));
            EXPECT(block);
            if (i % 3 == 0) EXPECT_EQ(kiln_heap_free(heap, cache, block), KILN_MISUSE_NONE);
        }
        kiln_heap_stats_t before = kiln_heap_stats(heap);
        EXPECT(before.live_bytes > before.cached_bytes);
        kiln_heap_reset(heap);
        kiln_heap_stats_t after = kiln_heap_stats(heap);
        EXPECT_EQ(after.cached_bytes, before.cached_bytes);
        EXPECT_EQ(after.live_bytes, after.cached_bytes);
        EXPECT_RULE(kiln_heap_broken_rule(heap));
    }
    kiln_heap_detach(heap, cache);
    EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
    world_close();
}

/* Many small blocks fill the ring before their bytes do. */
static void test_a_full_quarantine_lets_the_oldest_go(void)
{
    kiln_watcher_t waits = watcher;
    waits.quarantine_bytes = UINT64_MAX;
    memset(&seen, 0, sizeof seen);
    kiln_heap_t *heap = world_open(
        (world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN, .watcher = &waits});
    void *first = kiln_heap_malloc(heap, NULL, 16), *block;
    EXPECT_EQ(kiln_heap_free(heap, NULL, first), KILN_MISUSE_NONE);
    unsigned frees = 0;
    while ((block = kiln_heap_malloc(heap, NULL, 16)) != first) {
        EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
        EXPECT(++frees < 4 * KILN_WATCHED_QUARANTINE_MAX);
    }
    EXPECT(frees >= KILN_WATCHED_QUARANTINE_MAX - 2);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    world_close();
}

static void test_random_calls_agree_with_the_watcher(void)
{
    for (world_kind_t kind = WORLD_LINUX; kind < WORLDS; kind++) {
        kiln_heap_t *heap = open_watched(kind);
        kiln_rng_t rng = {.state = 3};
        void *blocks[BLOCKS / 2] = {NULL};
        printf("%s, seed %d\n", world_kind_name(kind), 3);
        for (unsigned step = 0; step < STEPS; step++) {
            void **block = &blocks[kiln_rng_below(&rng, BLOCKS / 2)];
            size_t bytes = random_bytes(&rng);
            kiln_misuse_t misuse;
            if (!*block) {
                *block = kiln_heap_malloc(heap, NULL, bytes);
                if (*block) expect_seen(*block, bytes == 0 ? 1 : bytes);
            } else if (kiln_rng_below(&rng, 2) == 0) {
                void *moved = kiln_heap_realloc(heap, NULL, *block, bytes + 1, &misuse);
                if (moved) expect_seen(*block = moved, bytes + 1);
            } else {
                EXPECT_EQ(kiln_heap_free(heap, NULL, *block), KILN_MISUSE_NONE);
                EXPECT(!seen_at((uintptr_t)*block));
                *block = NULL;
            }
            EXPECT_RULE(seen.broken);
        }
        uint64_t live = 0;
        for (unsigned i = 0; i < BLOCKS / 2; i++) live += blocks[i] != NULL;
        EXPECT_EQ(seen.allocs - seen.frees, live);
        world_close();
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_every_way_to_a_block_is_told),
        KILN_TEST(test_where_a_heap_is_is_told),
        KILN_TEST(test_what_is_refused_is_not_told),
        KILN_TEST(test_a_watched_heap_has_no_caches),
        KILN_TEST(test_freed_blocks_wait),
        KILN_TEST(test_a_redzone_is_behind_each_block),
        KILN_TEST(test_a_reset_frees_what_is_live),
        KILN_TEST(test_a_reset_leaves_caches_alone),
        KILN_TEST(test_a_full_quarantine_lets_the_oldest_go),
        KILN_TEST(test_what_waits_is_given_before_memory_ends),
        KILN_TEST(test_live_blocks_are_walked_and_ended),
        KILN_TEST(test_random_calls_agree_with_the_watcher),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
