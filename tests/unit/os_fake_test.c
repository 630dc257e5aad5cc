/* The fake OS: when it refuses, what it forgives, and that it is deterministic. Where it places is
 * os_fake_place_test.c; the contract itself is tests/contract. */
#include "tests/unit/os_fake_setup.h"

/* --- refusals --- */

static void test_refusal_by_count(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.refuse_call = 2;
    start();
    EXPECT(reserve(0, PAGE) != 0);
    EXPECT_EQ(reserve(0, PAGE), 0);
    EXPECT(reserve(0, PAGE) != 0);

    config.refuse_ever_after = true;
    start();
    EXPECT(reserve(0, PAGE) != 0);
    EXPECT_EQ(reserve(0, PAGE), 0);
    EXPECT_EQ(commit(PAGE, PAGE), KILN_OS_FAIL);
    EXPECT_EQ(fake.os.direct(&fake, PAGE, KILN_OS_META), 0);
    EXPECT_EQ(fake.stats.refused[KILN_OS_CALL_COMMIT], 1);

    config.refuse_calls = 1u << KILN_OS_CALL_COMMIT; /* only commits are counted and refused */
    start();
    EXPECT(reserve(0, PAGE) != 0);
    EXPECT(reserve(0, PAGE) != 0);
    EXPECT_EQ(commit(PAGE, PAGE), KILN_OS_OK);
    EXPECT_EQ(commit(2 * PAGE, PAGE), KILN_OS_FAIL);
    EXPECT_EQ(fake.stats.refusable, 2);
}

static void test_refusal_by_plan(void)
{
    static const uint8_t plan[] = {0x81, 0x02};
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.refuse_plan = plan;
    config.refuse_plan_bytes = sizeof plan;
    start();
    for (unsigned i = 1; i <= 20; i++)
        EXPECT_EQ(reserve(0, PAGE) == 0, i == 1 || i == 8 || i == 10);
}

static void test_refusal_by_size(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.reserve_bytes_max = 4 * PAGE;
    config.commit_bytes_max = 2 * PAGE;
    start();
    EXPECT_EQ(reserve(0, 5 * PAGE), 0);
    EXPECT_EQ(reserve(0, 4 * PAGE + 1), 0); /* five pages */
    EXPECT_EQ(reserve(0, 4 * PAGE), PAGE);
    EXPECT_EQ(commit(PAGE, 3 * PAGE), KILN_OS_FAIL);
    EXPECT_EQ(commit(PAGE, 2 * PAGE), KILN_OS_OK);
    EXPECT_EQ(fake.os.direct(&fake, 3 * PAGE, KILN_OS_META), 0);
    EXPECT(fake.os.direct(&fake, 2 * PAGE, KILN_OS_META) != 0);
}

static void test_refusal_by_budget(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.space_budget_bytes = 8 * PAGE;
    config.ready_budget_bytes = 3 * PAGE;
    start();
    EXPECT_EQ(reserve(0, 7 * PAGE), PAGE);
    EXPECT_EQ(reserve(0, 2 * PAGE), 0);
    EXPECT_EQ(commit(PAGE, 2 * PAGE), KILN_OS_OK);
    EXPECT_EQ(commit(3 * PAGE, 2 * PAGE), KILN_OS_FAIL);
    EXPECT_EQ(fake.os.direct(&fake, PAGE, KILN_OS_META), 8 * PAGE);
    EXPECT_EQ(commit(3 * PAGE, PAGE), KILN_OS_FAIL);
    fake.os.discard(&fake, PAGE, PAGE); /* Prepared is not Ready */
    EXPECT_EQ(commit(3 * PAGE, PAGE), KILN_OS_OK);
    EXPECT_EQ(fake.stats.ready_peak_bytes, 3 * PAGE);
    EXPECT_EQ(fake.stats.space_peak_bytes, 8 * PAGE);
    fake.os.release(&fake, PAGE, 2 * PAGE);
    EXPECT_EQ(fake.stats.space_bytes, 6 * PAGE);
    EXPECT(reserve(0, 2 * PAGE) != 0);
    EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
}

static void test_unreserved_memory_counts_when_it_is_committed(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.space_budget_bytes = 2 * PAGE;
    config.unreserved_bytes = 2 * PAGE;
    start();
    EXPECT_EQ(reserve(0, PAGE), PAGE);
    EXPECT(reserved);
    EXPECT_EQ(reserve(0x10000, 2 * PAGE), 0);
    fake.os.release(&fake, PAGE, PAGE);
    EXPECT_EQ(reserve(0x10000, 2 * PAGE), 0x10000);
    EXPECT(!reserved);
    EXPECT_EQ(fake.stats.space_bytes, 0);
    EXPECT_EQ(reserve(0, PAGE), PAGE);
    EXPECT_EQ(fake.os.commit(&fake, 0x10000, 2 * PAGE, false, KILN_OS_HEAP), KILN_OS_FAIL);
    EXPECT_EQ(fake.os.commit(&fake, 0x10000, PAGE, false, KILN_OS_HEAP), KILN_OS_OK);
    fake.os.release(&fake, 0x10000, 2 * PAGE); /* one page Ready, one only promised */
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x10000), KILN_OS_UNRESERVED);
    EXPECT_EQ(fake.stats.space_bytes, PAGE);
    EXPECT_EQ(reserve(0x10000, PAGE), 0x10000); /* nobody holds it */
}

/* What was promised may be granted to another; the promise then lands elsewhere, and that is not
 * the caller's fault. */
static void test_a_promise_is_not_held(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.unreserved_bytes = 4 * PAGE;
    start();
    EXPECT_EQ(reserve(0x10000, 4 * PAGE), 0x10000);
    EXPECT_EQ(reserve(0x12000, PAGE), 0x12000);
    EXPECT_EQ(commit(0x12000, PAGE), KILN_OS_OK);
    EXPECT_EQ(fake.os.commit(&fake, 0x10000, 4 * PAGE, false, KILN_OS_HEAP), KILN_OS_ELSEWHERE);
    EXPECT_EQ(fake.stats.elsewhere, 1);
    EXPECT_EQ(fake.os.commit(&fake, 0x10000, 2 * PAGE, false, KILN_OS_HEAP), KILN_OS_OK);
    fake.os.discard(&fake, 0x10000, PAGE);
    fake.os.release(&fake, 0x10000, PAGE);
    fake.os.release(&fake, 0x12000, PAGE);
    fake.os.release(&fake, 0x10000, 4 * PAGE); /* by whoever had the first promise */
}

/* Somebody who maps a part of it and unmaps that changes nothing: who was told still may commit. */
static void test_a_promise_outlives_somebody_else(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.unreserved_bytes = 4 * PAGE;
    start();
    EXPECT_EQ(reserve(0x10000, 4 * PAGE), 0x10000);
    EXPECT(kiln_os_fake_place(&fake, 0x12000, 4 * PAGE, KILN_OS_FOREIGN)); /* two were promised */
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x12000), KILN_OS_FOREIGN);
    EXPECT(kiln_os_fake_place(&fake, 0x11000, 6 * PAGE, KILN_OS_NONE));
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x11000), KILN_OS_NONE); /* as the test says, not he */
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x12000), KILN_OS_UNRESERVED);
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x13000), KILN_OS_UNRESERVED);
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x14000), KILN_OS_NONE);
    EXPECT_EQ(reserve(0x12000, PAGE), 0x12000);
    EXPECT_EQ(commit(0x12000, PAGE), KILN_OS_OK);
    EXPECT_EQ(fake.os.commit(&fake, 0x12000, 2 * PAGE, false, KILN_OS_HEAP), KILN_OS_ELSEWHERE);
    EXPECT_EQ(fake.stats.elsewhere, 1);
}

static void test_a_machine_without_guards_refuses_them(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    for (unsigned none = 0; none < 2; none++) {
        config.no_guard = none != 0;
        start();
        kiln_addr_t base = reserve(0, 4 * PAGE);
        EXPECT_EQ(commit(base, 4 * PAGE), KILN_OS_OK);
        EXPECT_EQ(kiln_os_guard(&fake.os, base + PAGE, PAGE, true), !none);
        EXPECT_EQ(kiln_os_fake_state(&fake, base + PAGE), none ? KILN_OS_READY : KILN_OS_GUARDED);
        EXPECT_EQ(fake.stats.refused[KILN_OS_CALL_GUARD], none);
        EXPECT_EQ(fake.stats.ready_bytes, (none ? 4 : 3) * PAGE);
        EXPECT_EQ(fake.stats.space_bytes, 4 * PAGE);
        EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
    }
}

/* --- the machine --- */

static void test_a_limit_of_mappings(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.ranges_max = 20;
    start();
    kiln_addr_t base = reserve(0x100000, 64 * PAGE);
    uint64_t committed = 0;
    while (commit(base + committed * 2 * PAGE, PAGE) == KILN_OS_OK) committed++;
    EXPECT_EQ(committed, 5); /* 10 ranges: half of 20 */
    EXPECT_EQ(reserve(0, PAGE), 0);
    EXPECT(!fake.os.protect(&fake, base, PAGE, KILN_OS_READ_ONLY));
    for (uint64_t i = 0; i < committed; i++) fake.os.decommit(&fake, base + i * 2 * PAGE, PAGE);
    EXPECT_EQ(fake.model.ranges.count, 1);
    EXPECT_EQ(commit(base, PAGE), KILN_OS_OK);
    for (uint64_t i = 0; i < 9; i++) fake.os.release(&fake, base + (2 * i + 1) * PAGE, PAGE);
    EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
}

static void test_a_loose_fake_does_what_linux_would(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.loose = true;
    start();
    occupy(0x10000, 2 * PAGE);
    EXPECT_EQ(commit(0xf000, 2 * PAGE), KILN_OS_OK); /* replaces */
    EXPECT_EQ(fake.stats.clobbered_bytes, PAGE);
    EXPECT_EQ(fake.os.commit(&fake, 0xf000, PAGE, false, KILN_OS_HEAP), KILN_OS_ELSEWHERE);
    EXPECT_EQ(commit(0xf000, PAGE), KILN_OS_OK);
    fake.os.discard(&fake, 0x20000, PAGE); /* nothing there */
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x20000), KILN_OS_NONE);
    EXPECT(!fake.os.protect(&fake, 0x20000, PAGE, KILN_OS_READ_ONLY));
    fake.os.release(&fake, 0xf000, 16 * PAGE);
    EXPECT_EQ(fake.stats.clobbered_bytes, 2 * PAGE);
    EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
}

static void commit_half_a_page(void)
{
    (void)commit(0x10000, PAGE / 2);
}

static void commit_nowhere(void)
{
    (void)commit(0x10000, PAGE);
}

static void test_arguments_are_never_forgiven(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    config.loose = true;
    start();
    EXPECT_STR(kiln_stops_rule(commit_half_a_page), KILN_OS_RULE_ALIGN);
    EXPECT_RULE(kiln_stops_rule(commit_nowhere));
    config.loose = false;
    start();
    EXPECT_STR(kiln_stops_rule(commit_nowhere), KILN_OS_RULE_COMMIT);
}

/* A run that depends on everything; its hash stands for all answers. */
static uint64_t run_of_everything(uint64_t seed, unsigned lost_call)
{
    kiln_rng_t rng = {.state = seed};
    kiln_addr_t held[16] = {0};
    for (unsigned call = 0; call < 400; call++) {
        unsigned i = (unsigned)kiln_rng_below(&rng, 16);
        uint64_t bytes = PAGE * (1 + kiln_rng_below(&rng, 4));
        if (call == lost_call) continue;
        if (held[i] != 0) {
            fake.os.release(&fake, held[i], PAGE);
            held[i] = 0;
        } else if (call % 3 == 0) {
            held[i] = fake.os.direct(&fake, bytes, KILN_OS_META);
        } else {
            held[i] = reserve(kiln_rng_next(&rng), bytes);
            if (held[i] != 0 && reserved) (void)commit(held[i], PAGE);
        }
    }
    return fake.answers_hash;
}

static void test_same_calls_same_answers(void)
{
    static const uint8_t bytes[] = "any string is a script: \x10\x20\xe0\xc7\x15\x0b\x07\x66";
    static uint64_t hashes[KILN_PLACES];
    for (unsigned policy = 0; policy < KILN_PLACES; policy++) {
        if (policy >= KILN_PLACE_AT_PAGE && policy < KILN_PLACE_SCRIPT) continue;
        defaults(40, PAGE, (kiln_os_fake_place_t)policy);
        config.script = bytes;
        config.script_bytes = sizeof bytes;
        config.seed = 3;
        config.straddle_addr = 0x1000000000;
        start();
        hashes[policy] = run_of_everything(9, 400);
        kiln_os_fake_reset(&fake, NULL);
        EXPECT_EQ(fake.stats.calls[KILN_OS_CALL_RESERVE], 0);
        EXPECT_EQ(fake.model.ranges.count, 0);
        EXPECT_EQ(run_of_everything(9, 400), hashes[policy]);
        kiln_os_fake_reset(&fake, &config);
        EXPECT(run_of_everything(9, 5) != hashes[policy]); /* the hash tells runs apart */
        for (unsigned other = 0; other < policy; other++) EXPECT(hashes[other] != hashes[policy]);
    }
}

static void test_a_snapshot_is_a_copy(void)
{
    static kiln_os_range_t saved_ranges[RANGES];
    static kiln_os_fake_t saved;
    defaults(32, PAGE, KILN_PLACE_RANDOM);
    start();
    (void)run_of_everything(1, 400);
    saved = fake;
    memcpy(saved_ranges, ranges, sizeof ranges);
    kiln_addr_t addr = reserve(0, 8 * PAGE);
    uint64_t hash = fake.answers_hash;
    fake = saved;
    memcpy(ranges, saved_ranges, sizeof ranges);
    EXPECT_EQ(reserve(0, 8 * PAGE), addr);
    EXPECT_EQ(fake.answers_hash, hash);
}

static void test_what_is_left_is_listed(void)
{
    unsigned idx = 0;
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    start();
    occupy(0x5000, PAGE);
    EXPECT(kiln_os_fake_place(&fake, 0x80000, 4 * PAGE, KILN_OS_RESERVED));
    EXPECT_EQ(commit(0x81000, PAGE), KILN_OS_OK);
    fake.os.discard(&fake, 0x81000, PAGE);
    static const kiln_addr_t firsts[] = {0x80000, 0x81000, 0x82000};
    for (unsigned i = 0; i < 3; i++) EXPECT_EQ(kiln_os_fake_next(&fake, &idx)->first, firsts[i]);
    EXPECT(kiln_os_fake_next(&fake, &idx) == NULL);
    fake.os.release(&fake, 0x80000, 4 * PAGE);
    idx = 0;
    EXPECT(kiln_os_fake_next(&fake, &idx) == NULL);
}

static void test_wrong_configurations_are_named(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    const kiln_os_fake_config_t good = config;
    EXPECT_RULE(kiln_os_fake_config_broken_rule(&good));
#define WRONG(text, field, value)                                                                  \
    config = good;                                                                                 \
    config.field = value;                                                                          \
    EXPECT_STR(kiln_os_fake_config_broken_rule(&config), text)
    WRONG("os fake: addr_bits is 4 to 64", addr_bits, 3);
    WRONG("os fake: addr_bits is 4 to 64", addr_bits, 65);
    WRONG("os fake: phys_bytes is a power of two", phys_bytes, 0);
    WRONG("os fake: phys_bytes is a power of two", phys_bytes, 3 * PAGE);
    WRONG("os fake: the space has at least 4 pages", phys_bytes, UINT64_C(1) << 31);
    WRONG("os fake: space_first and space_last are page bounds, and not page 0", space_first, 0);
    WRONG("os fake: space_first and space_last are page bounds, and not page 0", space_first, 1);
    WRONG("os fake: space_first and space_last are page bounds, and not page 0", space_last, PAGE);
    WRONG("os fake: the space is not empty and lies in the address space", space_last, PAGE - 1);
    WRONG("os fake: the space is not empty and lies in the address space", space_last, UINT64_MAX);
    WRONG("os fake: there is memory for at least KILN_OS_FAKE_RANGES_MIN ranges", ranges_max, 15);
    WRONG("os fake: there is memory for at least KILN_OS_FAKE_RANGES_MIN ranges", ranges, NULL);
    WRONG("os fake: the policy is one that needs no script", policy, KILN_PLACE_AT_PAGE);
    WRONG("os fake: the policy is one that needs no script", policy, KILN_PLACES);
    WRONG("os fake: the script is there", script_bytes, 1);
    WRONG("os fake: the plan is there", refuse_plan_bytes, 1);
#undef WRONG
}

static void test_every_policy_has_a_name(void)
{
    for (unsigned i = 0; i < KILN_PLACES; i++) {
        const char *name = kiln_os_fake_place_name((kiln_os_fake_place_t)i);
        EXPECT(name && *name);
        for (unsigned j = 0; j < i; j++)
            EXPECT(strcmp(name, kiln_os_fake_place_name((kiln_os_fake_place_t)j)) != 0);
    }
}

/* Each law of the fake, broken by hand. */
static void test_a_broken_fake_is_named(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    start();
    kiln_addr_t base = reserve(0x10000, 4 * PAGE);
    EXPECT_EQ(commit(base, PAGE), KILN_OS_OK);
    EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
    ranges[1].tag.state = KILN_OS_FOREIGN;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake), "os model: the sums are those of the ranges");
    ranges[1].tag.state = KILN_OS_RESERVED;
    ranges[1].tag.access = KILN_OS_READ_ONLY;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake), "os model: only Ready memory has access rights");
    ranges[1].tag.access = 0;
    ranges[1].last--;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake), "os model: ranges are whole pages");
    ranges[1].last = UINT64_C(0x1ffffffff);
    EXPECT_STR(kiln_os_fake_broken_rule(&fake), "os model: a range lies in the address space");
    ranges[1].last = base + 4 * PAGE - 1;
    fake.stats.ready_bytes++;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake), "os fake: the statistics are those of the model");
    fake.stats.ready_bytes--;
    fake.stats.ready_peak_bytes = 0;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake), "os fake: peaks are not below the present");
    fake.stats.ready_peak_bytes = PAGE;
    fake.stats.refused[KILN_OS_CALL_RELEASE] = 1;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake),
               "os fake: refused calls were calls that can be refused");
    fake.stats.refused[KILN_OS_CALL_RELEASE] = 0;
    fake.stats.lies = 1;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake), "os fake: it lies only when told to");
    fake.stats.lies = 0;
    fake.script_at = 1;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake), "os fake: the script has an end");
    fake.script_at = 0;
    fake.lowest_grant = base + PAGE;
    EXPECT_STR(kiln_os_fake_broken_rule(&fake),
               "os fake: the latest grant is not below the lowest");
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_refusal_by_count),
        KILN_TEST(test_refusal_by_plan),
        KILN_TEST(test_refusal_by_size),
        KILN_TEST(test_refusal_by_budget),
        KILN_TEST(test_unreserved_memory_counts_when_it_is_committed),
        KILN_TEST(test_a_promise_is_not_held),
        KILN_TEST(test_a_promise_outlives_somebody_else),
        KILN_TEST(test_a_machine_without_guards_refuses_them),
        KILN_TEST(test_a_limit_of_mappings),
        KILN_TEST(test_a_loose_fake_does_what_linux_would),
        KILN_TEST(test_arguments_are_never_forgiven),
        KILN_TEST(test_same_calls_same_answers),
        KILN_TEST(test_a_snapshot_is_a_copy),
        KILN_TEST(test_what_is_left_is_listed),
        KILN_TEST(test_wrong_configurations_are_named),
        KILN_TEST(test_every_policy_has_a_name),
        KILN_TEST(test_a_broken_fake_is_named),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
