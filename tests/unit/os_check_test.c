/* The check backend above a fake OS that lies, and what it remembers of calls that were granted.
 * Its rules, one by one, are in tests/contract/os_rules_test.c. */
#include "allocator/os/check.h"
#include "allocator/os/fake.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

enum { RANGES = 64, PAGE = 4096 };

static kiln_os_range_t fake_ranges[RANGES], ranges[RANGES];
static kiln_os_fake_t fake;
static kiln_os_check_t check;
static const kiln_os_t *os = &check.os;
static kiln_addr_t base;

static void start(const uint8_t *script, size_t script_bytes)
{
    kiln_os_fake_config_t config = kiln_os_fake_config_default(32, PAGE, fake_ranges, RANGES);
    config.policy = KILN_PLACE_SCRIPT;
    config.script = script;
    config.script_bytes = script_bytes;
    config.lying = true;
    kiln_os_fake_init(&fake, &config);
    kiln_os_check_init(&check, &fake.os, ranges, RANGES, false);
}

static void reserve(void)
{
    bool reserved;
    base = os->reserve(os->ctx, 0x10000, 4 * PAGE, &reserved);
}

static void take_direct(void)
{
    (void)os->direct(os->ctx, 4 * PAGE, KILN_OS_META);
}

static void test_lies_stop_the_program(void)
{
    static const uint8_t twice[] = {KILN_PLACE_OBEY_HINT, KILN_PLACE_LIE_OCCUPIED};
    static const uint8_t wraps[] = {KILN_PLACE_OBEY_HINT, KILN_PLACE_LIE_WRAP};
    static const uint8_t honest[] = {KILN_PLACE_OBEY_HINT, KILN_PLACE_LOWEST};
    void (*const asks[])(void) = {reserve, take_direct};

    for (unsigned i = 0; i < 2; i++) {
        start(twice, sizeof twice);
        reserve();
        EXPECT_STR(kiln_stops_rule(asks[i]), KILN_OS_RULE_ANSWER_OURS);
        start(wraps, sizeof wraps);
        reserve();
        EXPECT_STR(kiln_stops_rule(asks[i]), KILN_OS_RULE_ANSWER_SPACE);
        start(honest, sizeof honest);
        reserve();
        EXPECT_RULE(kiln_stops_rule(asks[i]));
    }
}

static uint64_t held_bytes(void)
{
    uint64_t bytes = 0;
    const kiln_os_range_t *range;
    unsigned i = 0;
    while ((range = kiln_os_check_next(&check, &i))) bytes += range->last - range->first + 1;
    return bytes;
}

static void commit_first(void)
{
    (void)os->commit(os->ctx, base, PAGE, true, KILN_OS_HEAP);
}

static void protect_first(void)
{
    (void)os->protect(os->ctx, base, PAGE, KILN_OS_NO_ACCESS);
}

static void guard_first(void)
{
    (void)kiln_os_guard(os, base, PAGE, true);
}

static void guard_second(void)
{
    (void)kiln_os_guard(os, base + PAGE, PAGE, true);
}

static void release_second(void)
{
    os->release(os->ctx, base + PAGE, PAGE);
}

/* What was refused did not happen, what was granted did. */
static void test_answers_are_remembered(void)
{
    start(NULL, 0);
    reserve();
    EXPECT_STR(kiln_stops_rule(protect_first), KILN_OS_RULE_PROTECT);
    fake.config.refuse_call = fake.stats.refusable + 1;
    commit_first();
    EXPECT_STR(kiln_stops_rule(protect_first), KILN_OS_RULE_PROTECT);
    commit_first();
    EXPECT_STR(kiln_stops_rule(commit_first), KILN_OS_RULE_RECOMMIT);
    fake.config.refuse_call = fake.stats.refusable + 1;
    protect_first();
    EXPECT_EQ(kiln_os_model_tag(&check.model, base).access, KILN_OS_READ_WRITE);
    protect_first();
    EXPECT_EQ(kiln_os_model_tag(&check.model, base).state, KILN_OS_READY);
    EXPECT_EQ(kiln_os_model_tag(&check.model, base).access, KILN_OS_NO_ACCESS);
    EXPECT_EQ(held_bytes(), 4 * PAGE);
    release_second();
    EXPECT_EQ(held_bytes(), 3 * PAGE);
    EXPECT_STR(kiln_stops_rule(release_second), KILN_OS_RULE_RELEASE);
    EXPECT_RULE(kiln_os_model_broken_rule(&check.model));
}

static void test_guards_are_remembered(void)
{
    start(NULL, 0);
    reserve();
    commit_first();
    EXPECT_STR(kiln_stops_rule(guard_second), KILN_OS_RULE_GUARD);
    fake.config.refuse_call = fake.stats.refusable + 1;
    guard_first();
    EXPECT_EQ(kiln_os_model_tag(&check.model, base).state, KILN_OS_READY);
    guard_first();
    EXPECT_EQ(kiln_os_model_tag(&check.model, base).state, KILN_OS_GUARDED);
    EXPECT_STR(kiln_stops_rule(protect_first), KILN_OS_RULE_PROTECT);
    EXPECT_STR(kiln_stops_rule(commit_first), KILN_OS_RULE_COMMIT);
    EXPECT(kiln_os_guard(os, base, PAGE, false));
    EXPECT_EQ(kiln_os_model_tag(&check.model, base).state, KILN_OS_READY);
    EXPECT_EQ(kiln_os_model_tag(&check.model, base).access, KILN_OS_READ_WRITE);
    protect_first();
    EXPECT_STR(kiln_stops_rule(guard_first), KILN_OS_RULE_GUARD);
    EXPECT_RULE(kiln_os_model_broken_rule(&check.model));
}

static void test_what_memory_is_for_is_remembered(void)
{
    static const kiln_os_use_t uses[] = {KILN_OS_HEAP, KILN_OS_SPANS, KILN_OS_BITS, KILN_OS_META};
    for (unsigned i = 0; i < 4; i++) {
        start(NULL, 0);
        reserve();
        EXPECT_EQ(os->commit(os->ctx, base, PAGE, true, uses[i]), KILN_OS_OK);
        EXPECT_EQ(kiln_os_model_tag(&check.model, base).use, uses[i]);
        base = os->direct(os->ctx, PAGE, uses[i]);
        EXPECT_EQ(kiln_os_model_tag(&check.model, base).use, uses[i]);
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_lies_stop_the_program),
        KILN_TEST(test_answers_are_remembered),
        KILN_TEST(test_guards_are_remembered),
        KILN_TEST(test_what_memory_is_for_is_remembered),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
