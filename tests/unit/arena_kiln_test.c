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

/* What rounding costs goes back, before the request, behind it, or both. */
static void test_fallback_gives_back_what_rounding_costs(void)
{
    for (kiln_addr_t got = 0x30000000; got <= 0x30001000; got += KILN_KIB(4)) {
        bool odd = got % KILN_KIB(8) != 0;
        fresh_32(KILN_FOLLOW_KILN, 0x20000000, KILN_KIB(64));
        for (unsigned i = 0; i < 8; i++) answer(0);
        answer(got);
        kiln_arena_result_t result = alloc(KILN_MIB(2));
        EXPECT_EQ(result.service, KILN_ARENA_SMALL);
        EXPECT_EQ(result.addr, odd ? 0x30002000 : 0x30000000);
        EXPECT_EQ(count_calls(CALL_RELEASE), odd ? 2 : 1);
        const call_t *tail = nth_call(CALL_RELEASE, odd);
        EXPECT_EQ(tail->addr, result.addr + KILN_MIB(2));
        EXPECT_EQ(tail->bytes, odd ? KILN_KIB(4) : KILN_KIB(8));
        if (odd) EXPECT_EQ(nth_call(CALL_RELEASE, 0)->addr, got);
        EXPECT_EQ(arena.heap_sys_bytes, KILN_MIB(2));
    }
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

/* --- kiln_arena_broken_rule: each clause, broken alone, is named ------------------------------ */

/* A current block of 16 MiB, and two remainders below it. */
static kiln_arena_t good_arena(kiln_follow_t follow)
{
    fresh_32(follow, 0x20000000, KILN_MIB(16));
    if (follow == KILN_FOLLOW_KILN) {
        arena.kept[0] = (kiln_arena_region_t){0x10000000, 0x10010000, true};
        arena.kept[1] = (kiln_arena_region_t){0x11000000, 0x11010000, false};
        arena.kept_count = 2;
    }
    return arena;
}

/* BROKEN breaks an arena that is whole otherwise. */
#define BROKEN(follow, change, rule)                                                               \
    do {                                                                                           \
        kiln_arena_t broken = good_arena(follow);                                                  \
        change;                                                                                    \
        EXPECT_STR(kiln_arena_broken_rule(&broken), rule);                                         \
    } while (0)
#define BROKEN_KILN(change, rule) BROKEN(KILN_FOLLOW_KILN, change, rule)

static void test_broken_rules_of_addresses_are_named(void)
{
    kiln_arena_t good = good_arena(KILN_FOLLOW_KILN);
    EXPECT_RULE(kiln_arena_broken_rule(&good));
    BROKEN_KILN(broken.config.page_bytes = 3, "page is a power of two");
    BROKEN_KILN(broken.arena_used = UINT64_C(1) << 32, "arena_used is representable");
    BROKEN_KILN(broken.arena_start = 0x20000000, "arena_start <= arena_used");
    BROKEN_KILN(broken.arena_alloc = 0x20002000, "arena_alloc <= arena_end");
    BROKEN_KILN(broken.arena_end = UINT64_C(1) << 32, "arena_end is representable");
    BROKEN_KILN(broken.config.addr_max = 0x0fffffff,
                "the current block lies in the possible range");
    BROKEN_KILN(broken.arena_alloc = 0,
                "the current block does not hold address 0, which answers \"none\"");
    BROKEN_KILN(broken.arena_alloc += 0x1000,
                "arena_alloc is aligned to a page and to a hardware page");
    BROKEN_KILN(broken.arena_end -= 0x800, "arena_end is aligned to a hardware page");
}

static void test_broken_rules_of_tables_are_named(void)
{
    BROKEN_KILN(broken.tables[0].heap_bytes = 3, "table heap_bytes is a power of two");
    BROKEN_KILN(broken.tables[1].entry_bytes = 3, "table entry_bytes is a power of two");
    BROKEN_KILN(broken.tables[0].mapped_bytes = 1,
                "table mapped_bytes is a multiple of phys_bytes");
    BROKEN_KILN(broken.tables[1].mapped_bytes = 4096,
                "table mapped_bytes counts the present pages");
    BROKEN_KILN((present[0] = 1), "table mapped_bytes counts the present pages");
    BROKEN_KILN((broken.tables[1].used = false, broken.tables[1].mapped_bytes = 4096),
                "an unused table maps nothing");
    BROKEN(KILN_FOLLOW_SEED, broken.tables[0].mapped_bytes = 4096,
           "tables cover [arena_start, arena_used)");
    BROKEN(KILN_FOLLOW_GO19, broken.tables[0].mapped_bytes = 0,
           "tables cover [arena_start, arena_used)");
    BROKEN(KILN_FOLLOW_SEED, broken.arena_alloc = 0x20002000, "arena_alloc <= arena_end");
    BROKEN(KILN_FOLLOW_SEED, broken.kept_count = 1, "seed and go19 keep no remainders");
}

static void test_broken_rules_of_remainders_are_named(void)
{
    BROKEN_KILN(broken.kept_count = KILN_ARENA_KEPT_MAX + 1, "kept_count is at most KEPT_MAX");
    BROKEN_KILN(broken.kept[1].start = 0x1000e000, "kept remainders ascend and do not overlap");
    BROKEN_KILN(broken.kept[1].end = 0x10ffe000, "a kept remainder's end is representable");
    BROKEN_KILN(broken.kept[1].end = UINT64_C(1) << 32, "a kept remainder's end is representable");
    BROKEN_KILN(broken.kept[1].end = 0x11001000, "a kept remainder is of use");
    BROKEN_KILN(broken.kept[0].start = 0, "a kept remainder does not hold address 0");
    BROKEN_KILN(broken.kept[1].start += 0x1000, "a kept remainder starts at a page");
    BROKEN_KILN(broken.kept[1].end += 0x800, "a kept remainder ends with a hardware page");
    BROKEN_KILN(broken.arena_start = 0x10800000, "a kept remainder lies in the possible range");
    BROKEN_KILN((broken.kept[1].start = 0x1effe000, broken.kept[1].end = 0x1f002000),
                "a kept remainder does not overlap the current block");
}

static void test_lying_answers_at_start_are_not_given_back(void)
{
    kiln_arena_config_t config = kiln_arena_config_default(32, 4096);
    kiln_arena_layout_t layout;

    fresh(&config);
    answer(0xfff00000); /* leaves the address space */
    answer(UINT64_C(0x123400000000));
    answer(0x20000800);
    answer(0x20000000);
    EXPECT_RULE(kiln_arena_start(&arena, KILN_ARENA_AMD64, 0x8100000, 0, &layout));
    EXPECT_EQ(count_calls(CALL_RESERVE), 4);
    EXPECT_EQ(count_calls(CALL_RELEASE), 0);
}

static void test_unaligned_fallback_is_refused_and_not_given_back(void)
{
    fresh_32(KILN_FOLLOW_KILN, 0xc0000000, KILN_MIB(256));
    answer(0x20000800); /* no block of that size has room above the current one */
    EXPECT_EQ(alloc(KILN_MIB(1280)).service, KILN_ARENA_SMALL_RANGE);
    EXPECT_EQ(count_calls(CALL_RELEASE), 0);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_lying_answers_at_start_are_not_given_back),
        KILN_TEST(test_unaligned_fallback_is_refused_and_not_given_back),
        KILN_TEST(test_the_smallest_remainder_goes_back),
        KILN_TEST(test_of_equal_remainders_the_new_one_goes_back),
        KILN_TEST(test_a_remainder_of_less_than_a_page_goes_back),
        KILN_TEST(test_what_a_remainder_leaves_goes_back),
        KILN_TEST(test_a_block_over_a_remainder_is_refused),
        KILN_TEST(test_the_head_of_an_odd_block_goes_back),
        KILN_TEST(test_a_block_over_arena_start_is_refused),
        KILN_TEST(test_fallback_at_the_top_loses_its_last_page),
        KILN_TEST(test_fallback_gives_back_what_rounding_costs),
        KILN_TEST(test_requests_that_wrap_at_64_bits_are_refused),
        KILN_TEST(test_broken_rules_of_addresses_are_named),
        KILN_TEST(test_broken_rules_of_tables_are_named),
        KILN_TEST(test_broken_rules_of_remainders_are_named),
    };
    int status = kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
    free(present);
    return status;
}
