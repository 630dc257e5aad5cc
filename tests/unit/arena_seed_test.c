/* What `seed` and `go19` keep bit for bit, at the edges at which the growth routine decides. */
#include "tests/unit/arena_script.h"

static void test_a_switch_takes_the_flag_of_the_new_block(void)
{
    for (unsigned unreserved = 0; unreserved < 2; unreserved++) {
        fresh_32(KILN_FOLLOW_SEED, 0x20000000, KILN_MIB(1));
        script.unreserved = unreserved;
        answer(0x50000000);
        EXPECT_EQ(kiln_arena_alloc(&arena, KILN_MIB(2)).branch, KILN_ARENA_SWITCH);
        EXPECT_EQ(arena.arena_reserved, !unreserved);
    }
}

/* arena_end is 0 where the current block ends at 2^32: a refusal must not look contiguous. */
static void test_a_refusal_is_not_taken_for_address_0(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(32, 4096);
    config.follow = KILN_FOLLOW_SEED;
    fresh(&config);
    EXPECT_RULE(kiln_arena_place(&arena, 0, 0xfff00000, 0xfff00000, 0, true));
    answer(0);
    kiln_arena_result_t result = kiln_arena_alloc(&arena, KILN_MIB(2));
    EXPECT_EQ(result.branch, KILN_ARENA_RESERVE_FAILED);
    EXPECT_EQ(result.service, KILN_ARENA_NIL);
    EXPECT_EQ(arena.arena_end, 0);
}

/* A machine of 31 bits: the last byte of the block is the last of the range; its twin is one more.
 */
static void test_a_block_that_ends_at_the_limit_is_taken(void)
{
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        kiln_arena_config_t config = kiln_arena_config_default(32, 4096);
        config.follow = KILN_FOLLOW_GO19;
        config.addr_max = 0x7fffffff;
        fresh(&config);
        EXPECT_RULE(kiln_arena_place(&arena, 0, 0x20000000, 0x20000000, 0x20100000, true));
        answer(beyond ? 0x70001000 : 0x70000000);
        answer(0); /* the fallback */
        kiln_arena_result_t result = kiln_arena_alloc(&arena, KILN_MIB(2));
        EXPECT_EQ(result.branch, beyond ? KILN_ARENA_REJECT_RANGE : KILN_ARENA_SWITCH);
        EXPECT_EQ(count_calls(CALL_RELEASE), beyond);
    }
}

static void test_a_switch_strands_less_than_16_mib(void)
{
    for (unsigned less = 0; less < 2; less++) {
        fresh_32(KILN_FOLLOW_GO19, 0x21000000, KILN_MIB(16) - less * KILN_KIB(64));
        answer(0x50000000);
        answer(0); /* the fallback */
        kiln_arena_result_t result = kiln_arena_alloc(&arena, KILN_MIB(17));
        EXPECT_EQ(result.branch, less ? KILN_ARENA_SWITCH : KILN_ARENA_REJECT_STRAND);
    }
}

/* seed and go19 write the end of a block at the top of the address space as 0. */
static void test_destroy_gives_back_a_block_at_the_top(void)
{
    fresh_32(KILN_FOLLOW_GO19, 0x20000000, 0);
    answer(0xf0000000);
    EXPECT_EQ(kiln_arena_alloc(&arena, KILN_MIB(1)).addr, 0xf0000000);
    EXPECT_EQ(arena.arena_end, 0);
    kiln_arena_destroy(&arena);
    unsigned count = 0;
    for (unsigned i = 0; i < count_calls(CALL_RELEASE); i++) {
        const call_t *call = nth_call(CALL_RELEASE, i);
        count += call->addr == 0xf0100000 && call->bytes == KILN_MIB(255);
    }
    EXPECT_EQ(count, 1);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_destroy_gives_back_a_block_at_the_top),
        KILN_TEST(test_a_switch_takes_the_flag_of_the_new_block),
        KILN_TEST(test_a_refusal_is_not_taken_for_address_0),
        KILN_TEST(test_a_block_that_ends_at_the_limit_is_taken),
        KILN_TEST(test_a_switch_strands_less_than_16_mib),
    };
    int status = kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
    free(present);
    return status;
}
