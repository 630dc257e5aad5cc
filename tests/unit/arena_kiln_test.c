/* What `kiln` repairs, at the edges: which remainder goes, where a block is odd, at the bottom of
 * the possible range and at the top of the address space. */
#include "tests/unit/arena_script.h"

/* Remainders of 2, 3 ... 64 KiB steps; beyond the most, the smallest of all is what goes back. */
static void test_the_smallest_remainder_goes_back(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x08000000, KILN_MIB(1));
    arena.config.block_bytes = KILN_MIB(2);
    for (unsigned i = 0; i < KILN_ARENA_KEPT_MAX + 3; i++) {
        answer(0x10000000 + i * KILN_MIB(4)); /* never adjacent */
        EXPECT_EQ(alloc(KILN_MIB(1) + KILN_KIB(64) * (i % 15 + 1)).branch, KILN_ARENA_SWITCH);
    }
    uint64_t smallest = UINT64_MAX;
    for (unsigned i = 0; i < arena.kept_count; i++)
        if (arena.kept[i].end - arena.kept[i].start < smallest)
            smallest = arena.kept[i].end - arena.kept[i].start;
    EXPECT_EQ(arena.kept_count, KILN_ARENA_KEPT_MAX);
    EXPECT(count_calls(CALL_RELEASE) >= 2);
    for (unsigned i = 0; i < count_calls(CALL_RELEASE); i++)
        EXPECT(nth_call(CALL_RELEASE, i)->bytes <= smallest);
}

static void test_of_equal_remainders_the_new_one_goes_back(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x08000000, KILN_MIB(1));
    arena.config.block_bytes = KILN_MIB(2);
    for (unsigned i = 0; i <= KILN_ARENA_KEPT_MAX; i++) {
        answer(0x10000000 + i * KILN_MIB(4)); /* never adjacent */
        EXPECT_EQ(alloc(KILN_MIB(1) + KILN_KIB(64)).branch, KILN_ARENA_SWITCH);
    }
    EXPECT_EQ(count_calls(CALL_RELEASE), 1);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr,
              0x10000000 + (KILN_ARENA_KEPT_MAX - 1) * KILN_MIB(4) + KILN_MIB(1) + KILN_KIB(64));
}

static void test_a_remainder_of_less_than_a_page_goes_back(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20001000, KILN_KIB(4));
    answer(0x50000000);
    EXPECT_EQ(alloc(KILN_MIB(1)).addr, 0x50000000);
    EXPECT_EQ(arena.kept_count, 0);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr, 0x20000000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->bytes, KILN_KIB(4));
}

/* The rest of a remainder, less than a page, as well. */
static void test_what_a_remainder_leaves_goes_back(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20001000, KILN_MIB(1) + KILN_KIB(4));
    answer(0x50000000);
    EXPECT_EQ(alloc(KILN_MIB(2)).addr, 0x50000000);
    EXPECT_EQ(alloc(KILN_MIB(1)).addr, 0x1ff00000);
    EXPECT_EQ(arena.kept_count, 0);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr, 0x20000000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->bytes, KILN_KIB(4));
}

/* An OS that grants part of a remainder once more. */
static void test_a_block_over_a_remainder_is_refused(void)
{
    for (unsigned over = 0; over < 2; over++) {
        fresh_32(KILN_FOLLOW_KILN, 0x20800000, KILN_MIB(8));
        answer(0x70000000);
        EXPECT_EQ(alloc(KILN_MIB(255)).addr, 0x70000000);
        answer(over ? 0x20400000 : 0x20800000); /* the twin begins behind it */
        if (over) answer(0);                    /* the fallback */
        kiln_arena_result_t result = alloc(KILN_MIB(16));
        EXPECT_EQ(result.addr, over ? 0 : 0x20800000);
        EXPECT_EQ(result.branch, over ? KILN_ARENA_REJECT_RANGE : KILN_ARENA_SWITCH);
        EXPECT_EQ(count_calls(CALL_RELEASE), 0);
    }
}

static void test_the_head_of_an_odd_block_goes_back(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20000000, KILN_KIB(64));
    answer(0x50001000); /* half a page */
    EXPECT_EQ(alloc(KILN_MIB(1)).addr, 0x50002000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr, 0x50001000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->bytes, KILN_KIB(4));
    EXPECT_EQ(arena.arena_end, 0x60001000);
}

/* The current block lies above arena_start: what is between is free, and may be granted in part. */
static void test_a_block_over_arena_start_is_refused(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(64, 4096);
    kiln_addr_t start = UINT64_C(0xc000000000), block = start + KILN_GIB(1);

    for (unsigned over = 0; over < 2; over++) {
        fresh(&config);
        EXPECT_RULE(kiln_arena_place(&arena, start, block, block, block + KILN_MIB(1), true));
        answer(over ? start - KILN_MIB(128) : start); /* the twin begins there */
        kiln_arena_result_t result = alloc(KILN_MIB(2));
        EXPECT_EQ(result.addr, over ? 0 : start);
        EXPECT_EQ(result.branch, over ? KILN_ARENA_REJECT_RANGE : KILN_ARENA_SWITCH);
        EXPECT_EQ(count_calls(CALL_RELEASE), over);
    }
}

/* The last page of the space has no representable end: the fallback gives it back as well. */
static void test_fallback_at_the_top_loses_its_last_page(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0x20000000, KILN_KIB(64));
    for (unsigned i = 0; i < 8; i++) answer(0); /* no block of 256 MiB ... 4 and 3 MiB */
    answer(0xffdfe000);
    kiln_arena_result_t result = alloc(KILN_MIB(2));
    EXPECT_EQ(result.service, KILN_ARENA_SMALL);
    EXPECT_EQ(result.addr, 0xffdfe000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr, 0xffffe000);
    EXPECT_EQ(nth_call(CALL_RELEASE, 0)->bytes, KILN_KIB(8));
    EXPECT_EQ(arena.heap_sys_bytes, KILN_MIB(2));
}

static void test_requests_that_wrap_at_64_bits_are_refused(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(64, 4096);
    kiln_addr_t start = UINT64_C(0xc000000000);

    fresh(&config);
    EXPECT_RULE(kiln_arena_place(&arena, start, start, start, start + KILN_MIB(256), true));
    EXPECT_EQ(alloc(UINT64_C(0) - start).addr, 0); /* arena_alloc + bytes is 0 */
    EXPECT_EQ(alloc(UINT64_C(0) - KILN_KIB(64)).addr, 0);
    EXPECT_EQ(script.calls_count, 0);
    EXPECT_EQ(alloc(KILN_MIB(256)).addr, start);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_the_smallest_remainder_goes_back),
        KILN_TEST(test_of_equal_remainders_the_new_one_goes_back),
        KILN_TEST(test_a_remainder_of_less_than_a_page_goes_back),
        KILN_TEST(test_what_a_remainder_leaves_goes_back),
        KILN_TEST(test_a_block_over_a_remainder_is_refused),
        KILN_TEST(test_the_head_of_an_odd_block_goes_back),
        KILN_TEST(test_a_block_over_arena_start_is_refused),
        KILN_TEST(test_fallback_at_the_top_loses_its_last_page),
        KILN_TEST(test_requests_that_wrap_at_64_bits_are_refused),
    };
    int status = kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
    free(present);
    return status;
}
