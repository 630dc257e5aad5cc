/* What a heap tells a watcher of blocks, against a list of what the program has. */
#include "allocator/base/rng.h"
#include "tests/unit/heap_world.h"

enum { BLOCKS = 400, STEPS = 40000, GROWTHS_MAX = 256 };

/* A block as the watcher sees it. */
typedef struct {
    kiln_addr_t addr; /* 0: none */
    uint64_t bytes, slot_bytes;
} seen_t;

static struct {
    seen_t blocks[BLOCKS];
    seen_t growths[GROWTHS_MAX];
    unsigned growth_count;
    uint64_t allocs, frees;
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
    seen.growths[seen.growth_count++] = (seen_t){addr, bytes, bytes};
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
    *place = (seen_t){block, bytes, slot_bytes};
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

static const kiln_watcher_t watcher = {.grow = see_grow, .alloc = see_alloc, .free = see_free};

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
        world_close();
        EXPECT_RULE(seen.broken);
    }
}

static void test_what_is_refused_is_not_told(void)
{
    kiln_heap_t *heap = open_watched(WORLD_LINUX);
    kiln_misuse_t misuse;
    char *block = kiln_heap_malloc(heap, NULL, 100000);
    uint64_t allocs = seen.allocs, frees = seen.frees;

    EXPECT_EQ(kiln_heap_free(heap, NULL, block + 16), KILN_MISUSE_INTERIOR);
    EXPECT_EQ(kiln_heap_free_sized(heap, NULL, block, 0, 8), KILN_MISUSE_SIZE);
    EXPECT(!kiln_heap_malloc(heap, NULL, SIZE_MAX));
    EXPECT(!kiln_heap_calloc(heap, NULL, SIZE_MAX, 2));
    EXPECT(!kiln_heap_realloc(heap, NULL, block + 1, 10, &misuse));
    EXPECT(!kiln_heap_realloc(heap, NULL, block, SIZE_MAX, &misuse));
    EXPECT_EQ(seen.allocs, allocs);
    EXPECT_EQ(seen.frees, frees);

    /* A realloc for which there is no memory leaves the block, and the watcher has it back. */
    EXPECT(!kiln_heap_realloc(heap, NULL, block, PTRDIFF_MAX, &misuse));
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    expect_seen(block, kiln_heap_usable(heap, block, &misuse));
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

/* Sizes of all kinds, over and over. */
static size_t random_bytes(kiln_rng_t *rng)
{
    uint64_t kind = kiln_rng_below(rng, 10);
    return (size_t)kiln_rng_below(rng, kind == 0 ? 300000 : kind < 3 ? 10000 : 300);
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
        KILN_TEST(test_what_is_refused_is_not_told),
        KILN_TEST(test_a_watched_heap_has_no_caches),
        KILN_TEST(test_random_calls_agree_with_the_watcher),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
