/* Guard pages that the OS gives at first and refuses later, as Linux does to a program that locks
 * its memory in: what is freed faults all the same, at the price of mappings. */
#include "tests/unit/guard_world.h"

enum { SMALL_BLOCKS = 40, MAPPINGS_MAX = 16, BIG_BYTES = 1 << 20 };

static unsigned char *take(size_t bytes)
{
    unsigned char *block = kiln_guard_malloc(guard, bytes, KILN_HEAP_ALIGN_MIN, 1, 10);
    if (block && bytes != 0) memset(block, 1, bytes);
    EXPECT_RULE(kiln_guard_broken_rule(guard));
    return block;
}

static void give(unsigned char *block)
{
    EXPECT_EQ(guard_free(block), KILN_MISUSE_NONE);
    EXPECT(!guard_can_touch(block));
    EXPECT_RULE(kiln_guard_broken_rule(guard));
}

static void refuse_guard_pages(bool refuse)
{
    world.fake.config.refuse_calls = 1u << KILN_OS_CALL_GUARD;
    world.fake.config.refuse_call = refuse ? 1 : 0;
    world.fake.config.refuse_ever_after = refuse;
}

static void open_world(uint64_t chunks)
{
    kiln_guard_config_t config = guard_small_config(KILN_GUARD_HIGH);
    config.space.region_bytes = chunks * GUARD_CHUNK_BYTES;
    config.space.freed_chunks_max = 1;
    config.space.mappings_max = MAPPINGS_MAX;
    guard_world_open(GUARD_FAKE, &config, 0, false);
}

static void test_freed_blocks_fault_beyond_the_mappings(void)
{
    unsigned char *blocks[SMALL_BLOCKS];
    open_world(4);
    for (unsigned i = 0; i < SMALL_BLOCKS; i++) blocks[i] = take(100);
    EXPECT(blocks[SMALL_BLOCKS - 1]);
    refuse_guard_pages(true);
    for (unsigned i = 0; i < SMALL_BLOCKS; i++) give(blocks[i]);
    EXPECT(kiln_guard_stats(guard).space.mappings > MAPPINGS_MAX);
    EXPECT(!take(100)); /* nor is there a guard for another one */
    refuse_guard_pages(false);
    EXPECT(take(100));
    guard_world_close();
}

/* Chunks between two that are committed: to commit them costs no mapping, but to take that back
 * does, where there are too many already. */
static void chunks_that_cannot_be_guarded_go_back(unsigned chunks, size_t bytes)
{
    unsigned char *small[SMALL_BLOCKS], *big[4];
    open_world(chunks + 3);
    for (unsigned i = 0; i < SMALL_BLOCKS; i++) small[i] = take(100);
    for (unsigned i = 0; i < chunks + 2; i++) big[i] = take(BIG_BYTES); /* a chunk each */
    for (unsigned i = 0; i < chunks + 1; i++) give(big[i]);             /* the last one waits */
    EXPECT_EQ(kiln_guard_stats(guard).space.chunks_retired, chunks);
    refuse_guard_pages(true);
    for (unsigned i = 0; i < SMALL_BLOCKS; i++) give(small[i]);
    EXPECT(!take(bytes));
    refuse_guard_pages(false);
    give(take(bytes));
    give(big[chunks + 1]);
    guard_world_close();
}

static void test_a_chunk_that_cannot_be_guarded_goes_back(void)
{
    chunks_that_cannot_be_guarded_go_back(1, BIG_BYTES);
}

static void test_a_run_that_cannot_be_guarded_goes_back(void)
{
    chunks_that_cannot_be_guarded_go_back(2, GUARD_CHUNK_BYTES);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_freed_blocks_fault_beyond_the_mappings),
        KILN_TEST(test_a_chunk_that_cannot_be_guarded_goes_back),
        KILN_TEST(test_a_run_that_cannot_be_guarded_goes_back),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
