/* A heap against a model: random calls, contents, overlap and every rule checked.
 *
 *   heap_random_test [TEST ...] [--seed=N] [--steps=N] */
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"

enum { BLOCKS = 400, CACHES = 3 };

typedef struct {
    unsigned char *start;
    size_t bytes;
    size_t align; /* 0: from malloc; then sized free is exact only without realloc */
    unsigned char fill;
    bool resized;
} block_t;

static struct {
    kiln_rng_t rng;
    block_t blocks[BLOCKS];
    kiln_thread_cache_t *caches[CACHES]; /* the last one is NULL: no cache */
    unsigned char next_fill;
} run;

static uint64_t seed_of_run = 1, steps_of_run = 20000;

static size_t below(size_t limit)
{
    return (size_t)kiln_rng_below(&run.rng, limit);
}

static size_t random_bytes(void)
{
    size_t bits = below(40);
    if (bits >= 21) bits = below(10);
    return below(((size_t)1 << bits) + 1);
}

static void fill(block_t *block)
{
    block->fill = ++run.next_fill;
    memset(block->start, block->fill, block->bytes);
}

static void check_bytes(const block_t *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (block->start[i] != block->fill) EXPECT_EQ(i, SIZE_MAX);
}

static void check_no_overlap(const block_t *block)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        const block_t *other = &run.blocks[i];
        if (other == block || !other->start) continue;
        EXPECT(block->start + block->bytes <= other->start ||
               other->start + other->bytes <= block->start);
    }
}

static kiln_thread_cache_t *some_cache(void)
{
    return run.caches[below(CACHES)];
}

static void make(kiln_heap_t *heap, block_t *block)
{
    size_t bytes = random_bytes();
    *block = (block_t){.bytes = bytes};
    switch (below(4)) {
    case 0:
        block->start = kiln_heap_calloc(heap, some_cache(), 1, bytes);
        for (size_t i = 0; i < bytes && block->start; i++)
            if (block->start[i] != 0) EXPECT_EQ(i, SIZE_MAX);
        break;
    case 1:
        block->align = (size_t)1 << below(below(8) ? 13 : 18);
        block->start = kiln_heap_aligned(heap, some_cache(), block->align, bytes);
        EXPECT(kiln_is_aligned((uintptr_t)block->start, block->align));
        break;
    default:
        block->start = kiln_heap_malloc(heap, some_cache(), bytes);
    }
    EXPECT(kiln_is_aligned((uintptr_t)block->start, block->align >= 16 ? 16 : 1));
    if (!block->start) return;
    kiln_misuse_t misuse;
    EXPECT(kiln_heap_usable(heap, block->start, &misuse) >= bytes);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    check_no_overlap(block);
    fill(block);
}

static void resize(kiln_heap_t *heap, block_t *block)
{
    size_t bytes = random_bytes() + 1, kept = bytes < block->bytes ? bytes : block->bytes;
    kiln_misuse_t misuse;
    void *moved = kiln_heap_realloc(heap, some_cache(), block->start, bytes, &misuse);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    if (!moved) {
        EXPECT(bytes > block->bytes);
        check_bytes(block, block->bytes);
        return;
    }
    block->start = moved;
    block->bytes = bytes;
    block->align = 0;
    block->resized = true;
    check_bytes(block, kept);
    check_no_overlap(block);
    fill(block);
}

static void drop(kiln_heap_t *heap, block_t *block)
{
    check_bytes(block, block->bytes);
    EXPECT_EQ(kiln_heap_free(heap, some_cache(), block->start + 1), KILN_MISUSE_INTERIOR);
    if (below(2))
        EXPECT_EQ(kiln_heap_free(heap, some_cache(), block->start), KILN_MISUSE_NONE);
    else
        EXPECT_EQ(
            kiln_heap_free_sized(heap, some_cache(), block->start, block->align, block->bytes),
            KILN_MISUSE_NONE);
    EXPECT_EQ(kiln_heap_free(heap, some_cache(), block->start), KILN_MISUSE_DOUBLE_FREE);
    EXPECT(!kiln_heap_about(heap, block->start).live);
    block->start = NULL;
}

static void look_around(kiln_heap_t *heap, uint64_t step)
{
    if (below(300) == 0) kiln_heap_trim(heap, below(1 << 20));
    if (below(500) == 0) {
        size_t idx = below(CACHES - 1);
        kiln_heap_detach(heap, run.caches[idx]);
        run.caches[idx] = kiln_heap_attach(heap);
        EXPECT(run.caches[idx]);
    }
    if (step % 500) return;
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    kiln_heap_stats_t stats = kiln_heap_stats(heap);
    EXPECT_EQ(stats.arena_bytes,
              stats.live_bytes + stats.free_bytes + stats.idle_bytes + stats.discarded_bytes);
    uint64_t live = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (run.blocks[i].start) live += run.blocks[i].bytes;
    EXPECT(stats.live_bytes - stats.cached_bytes >= live);
}

static void random_calls(world_config_t config)
{
    kiln_heap_t *heap = world_open(config);
    memset(&run, 0, sizeof run);
    run.rng.state = seed_of_run;
    for (unsigned i = 0; i + 1 < CACHES; i++) run.caches[i] = kiln_heap_attach(heap);
    for (uint64_t step = 0; step < steps_of_run; step++) {
        block_t *block = &run.blocks[below(BLOCKS)];
        if (!block->start)
            make(heap, block);
        else if (below(3) == 0)
            resize(heap, block);
        else
            drop(heap, block);
        look_around(heap, step);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (run.blocks[i].start) drop(heap, &run.blocks[i]);
    for (unsigned i = 0; i + 1 < CACHES; i++) kiln_heap_detach(heap, run.caches[i]);
    EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    world_close();
}

static void test_linux_kiln(void)
{
    random_calls((world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN});
}

static void test_linux_seed(void)
{
    random_calls((world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_SEED});
}

static void test_linux_go19(void)
{
    random_calls((world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_GO19});
}

static void test_fake_kiln_4k(void)
{
    random_calls((world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN});
}

static void test_fake_kiln_16k(void)
{
    random_calls(
        (world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN, .phys_bytes = 16384});
}

static void test_fake_kiln_64k(void)
{
    random_calls(
        (world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN, .phys_bytes = 65536});
}

static void test_blocks_kiln_4k(void)
{
    random_calls((world_config_t){.kind = WORLD_BLOCKS, .follow = KILN_FOLLOW_KILN});
}

static void test_blocks_kiln_64k(void)
{
    random_calls(
        (world_config_t){.kind = WORLD_BLOCKS, .follow = KILN_FOLLOW_KILN, .phys_bytes = 65536});
}

/* Without atomic exchanges, as in a process of one thread. */
static void test_fake_single_threaded(void)
{
    static const char yes = 1;
    random_calls(
        (world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN, .single_threaded = &yes});
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_linux_kiln),           KILN_TEST(test_linux_seed),
        KILN_TEST(test_linux_go19),           KILN_TEST(test_fake_kiln_4k),
        KILN_TEST(test_fake_kiln_16k),        KILN_TEST(test_fake_kiln_64k),
        KILN_TEST(test_blocks_kiln_4k),       KILN_TEST(test_blocks_kiln_64k),
        KILN_TEST(test_fake_single_threaded),
    };
    int names = 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seed=", 7) == 0)
            seed_of_run = strtoull(argv[i] + 7, NULL, 0);
        else if (strncmp(argv[i], "--steps=", 8) == 0)
            steps_of_run = strtoull(argv[i] + 8, NULL, 0);
        else
            argv[names++] = argv[i];
    }
    printf("--seed=%llu --steps=%llu\n", (unsigned long long)seed_of_run,
           (unsigned long long)steps_of_run);
    return kiln_test_main(names, argv, tests, sizeof tests / sizeof *tests);
}
