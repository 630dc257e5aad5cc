/* Every call of the heap to the OS is refused once, in a fixed run of heap calls: the n-th for
 * n = 1, 2, ... until the run makes fewer than n calls; then the same with all calls from the n-th
 * on refused. A heap call that fails changes nothing and loses nothing. */
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"

enum { BLOCKS = 64, STEPS = 260, RULES_EVERY = 8 };

static struct {
    unsigned char *start;
    size_t bytes;
} blocks[BLOCKS];

static unsigned failed_calls; /* of the heap, in all runs */

static void check_contents(unsigned idx, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (blocks[idx].start[i] != (unsigned char)idx) EXPECT_EQ(i, SIZE_MAX);
}

static bool same(const kiln_heap_stats_t *a, const kiln_heap_stats_t *b)
{
    return a->arena_bytes == b->arena_bytes && a->live_bytes == b->live_bytes &&
           a->free_bytes == b->free_bytes && a->large_count == b->large_count &&
           a->cached_bytes == b->cached_bytes;
}

static void try_block(kiln_heap_t *heap, kiln_thread_cache_t *cache, unsigned idx, size_t bytes,
                      unsigned way)
{
    kiln_heap_stats_t before = kiln_heap_stats(heap);
    kiln_misuse_t misuse = KILN_MISUSE_NONE;
    void *start;
    if (blocks[idx].start)
        start = kiln_heap_realloc(heap, cache, blocks[idx].start, bytes, &misuse);
    else if (way == 0)
        start = kiln_heap_calloc(heap, cache, bytes, 1);
    else if (way == 1)
        start = kiln_heap_aligned(heap, cache, 65536, bytes);
    else
        start = kiln_heap_malloc(heap, cache, bytes);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    if (!start) {
        kiln_heap_stats_t after = kiln_heap_stats(heap);
        EXPECT(same(&before, &after));
        if (blocks[idx].start) check_contents(idx, blocks[idx].bytes);
        failed_calls++;
        return;
    }
    size_t kept = !blocks[idx].start ? 0 : blocks[idx].bytes < bytes ? blocks[idx].bytes : bytes;
    blocks[idx].start = start;
    blocks[idx].bytes = bytes;
    check_contents(idx, kept);
    memset(start, (int)idx, bytes);
}

static void drop_block(kiln_heap_t *heap, kiln_thread_cache_t *cache, unsigned idx)
{
    check_contents(idx, blocks[idx].bytes);
    EXPECT_EQ(kiln_heap_free(heap, cache, blocks[idx].start), KILN_MISUSE_NONE);
    blocks[idx].start = NULL;
}

/* The run: the same calls at every n, whatever fails. */
static void run_calls(kiln_heap_t *heap)
{
    kiln_rng_t rng = {3};
    kiln_thread_cache_t *cache = kiln_heap_attach(heap); /* NULL will do */
    memset(blocks, 0, sizeof blocks);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned idx = (unsigned)kiln_rng_below(&rng, BLOCKS);
        size_t bytes = 1 + (size_t)kiln_rng_below(&rng, UINT64_C(1) << (4 + idx % 17));
        unsigned way = (unsigned)kiln_rng_below(&rng, 4);
        if (step % 3 == 2 && blocks[idx].start)
            drop_block(heap, cache, idx);
        else
            try_block(heap, cache, idx, bytes, way);
        if (step % 100 == 99) kiln_heap_trim(heap, 0);
        if (step % RULES_EVERY == 0) EXPECT_RULE(kiln_heap_broken_rule(heap));
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].start) drop_block(heap, cache, i);
    if (cache) kiln_heap_detach(heap, cache);
    EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
}

static void sweep(world_config_t config)
{
    uint64_t refused = 0;
    failed_calls = 0;
    for (int ever_after = 0; ever_after < 2; ever_after++)
        for (config.fail_call = 1;; config.fail_call++) {
            config.fail_ever_after = ever_after != 0;
            const char *reason = world_try(config);
            if (reason) {
                EXPECT_EQ(world_held_bytes(), 0);
            } else {
                run_calls(&world.heap);
                world_close();
            }
            if (kiln_os_fault_missed(&world.fault)) break;
            refused++;
        }
    printf("%llu runs with a refusal, %u failed heap calls\n", (unsigned long long)refused,
           failed_calls);
    EXPECT(refused > 20 && failed_calls > 20);
}

static void test_linux(void)
{
    sweep((world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN});
}

static void test_one_reservation(void)
{
    sweep((world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN});
}

static void test_blocks(void)
{
    sweep((world_config_t){.kind = WORLD_BLOCKS, .follow = KILN_FOLLOW_KILN});
}

static void test_blocks_of_64k_pages(void)
{
    sweep((world_config_t){.kind = WORLD_BLOCKS, .follow = KILN_FOLLOW_KILN, .phys_bytes = 65536});
}

/* As under an address-space limit that the arena has used up: pages are idle, and the OS has
 * nothing for the records of new spans. The idle pages must serve all the same. */
static void records_at_the_limit(world_config_t config)
{
    enum { IDLE_BYTES = 8 << 20, BLOCK_BYTES = 16 };
    kiln_misuse_t misuse;
    kiln_heap_t *heap = world_open(config);
    void *idle = kiln_heap_malloc(heap, NULL, IDLE_BYTES);
    EXPECT(idle != NULL);
    EXPECT_EQ(kiln_heap_free(heap, NULL, idle), KILN_MISUSE_NONE);
    world.fault.calls_set = 1u << KILN_OS_CALL_DIRECT | 1u << KILN_OS_CALL_RESERVE;
    world.fault.fail_call = 1;
    world.fault.ever_after = true;
    world.fault.calls_seen = 0;

    uintptr_t *last = NULL;
    uint64_t bytes = 0;
    for (; bytes < UINT64_C(4) * IDLE_BYTES; bytes += BLOCK_BYTES) {
        uintptr_t *block = kiln_heap_malloc(heap, NULL, BLOCK_BYTES);
        if (!block) break;
        *block = (uintptr_t)last;
        last = block;
    }
    EXPECT(world.fault.faults > 0);
    EXPECT(bytes > UINT64_C(3) * IDLE_BYTES / 4);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    while (last) {
        uintptr_t *block = last;
        EXPECT_EQ(kiln_heap_usable(heap, block, &misuse), BLOCK_BYTES);
        last = (uintptr_t *)*block;
        EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
    }
    EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
    world_close();
}

static void test_records_at_the_limit_of_one_reservation(void)
{
    records_at_the_limit((world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN});
}

static void test_records_at_the_limit_of_64k_pages(void)
{
    records_at_the_limit(
        (world_config_t){.kind = WORLD_BLOCKS, .follow = KILN_FOLLOW_KILN, .phys_bytes = 65536});
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_linux),
        KILN_TEST(test_one_reservation),
        KILN_TEST(test_blocks),
        KILN_TEST(test_blocks_of_64k_pages),
        KILN_TEST(test_records_at_the_limit_of_one_reservation),
        KILN_TEST(test_records_at_the_limit_of_64k_pages),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
