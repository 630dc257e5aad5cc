/* A part of an address space: what lies in it is granted, what does not goes back. */
#include "allocator/os/fake.h"
#include "allocator/os/within.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

enum { RANGES = 64, PAGE = 4096 };

#define FIRST UINT64_C(0x40000000)
#define LAST UINT64_C(0x4fffffff)

static kiln_os_range_t ranges[RANGES];
static kiln_os_fake_t fake;
static kiln_os_within_t within;

static void start(kiln_os_fake_place_t policy, kiln_addr_t first, kiln_addr_t last, uint64_t max)
{
    kiln_os_fake_config_t config = kiln_os_fake_config_default(32, PAGE, ranges, RANGES);
    config.policy = policy;
    kiln_os_fake_init(&fake, &config);
    kiln_os_within_init(&within, &fake.os, first, last, max);
}

static kiln_addr_t reserve(kiln_addr_t hint, uint64_t bytes)
{
    bool reserved = true;
    kiln_addr_t addr = within.os.reserve(within.os.ctx, hint, bytes, &reserved);
    EXPECT_EQ(reserved, addr != 0);
    return addr;
}

static void expect_nothing_held(void)
{
    unsigned idx = 0;
    EXPECT(kiln_os_fake_next(&fake, &idx) == NULL);
}

static void test_a_hint_inside_is_passed_on(void)
{
    start(KILN_PLACE_OBEY_HINT, FIRST, LAST, 0);
    EXPECT_EQ(reserve(FIRST, PAGE), FIRST);
    EXPECT_EQ(reserve(FIRST + 0x10000, PAGE), FIRST + 0x10000);
    EXPECT_EQ(reserve(LAST - PAGE + 1, PAGE), LAST - PAGE + 1);
}

static void test_a_hint_outside_is_replaced(void)
{
    const kiln_addr_t hints[] = {0, PAGE, FIRST - PAGE, LAST + 1, LAST - PAGE + 1};
    for (unsigned i = 0; i < sizeof hints / sizeof *hints; i++) {
        start(KILN_PLACE_OBEY_HINT, FIRST, LAST, 0);
        EXPECT_EQ(reserve(hints[i], 2 * PAGE), FIRST);
    }
}

static void test_what_lands_elsewhere_goes_back(void)
{
    start(KILN_PLACE_LOWEST, FIRST, LAST, 0);
    EXPECT_EQ(reserve(FIRST, PAGE), 0);
    EXPECT_EQ(within.os.direct(within.os.ctx, PAGE, KILN_OS_HEAP), 0);
    expect_nothing_held();
    start(KILN_PLACE_OBEY_HINT, FIRST, LAST, 0);
    EXPECT_EQ(reserve(0, LAST - FIRST + 1 + PAGE), 0);
    expect_nothing_held();
    EXPECT_EQ(reserve(0, LAST - FIRST + 1), FIRST);
}

static void test_records_may_lie_anywhere(void)
{
    start(KILN_PLACE_LOWEST, FIRST, LAST, 0);
    kiln_addr_t addr = within.os.direct(within.os.ctx, PAGE, KILN_OS_META);
    EXPECT(addr != 0 && addr < FIRST);
    within.os.release(within.os.ctx, addr, PAGE);
    expect_nothing_held();
}

static void test_a_large_reserve_is_refused(void)
{
    start(KILN_PLACE_OBEY_HINT, 0, 0, 4 * PAGE);
    EXPECT_EQ(reserve(FIRST, 5 * PAGE), 0);
    EXPECT_EQ(reserve(FIRST, UINT64_MAX), 0);
    EXPECT_EQ(reserve(FIRST, 0), 0);
    expect_nothing_held();
    EXPECT_EQ(reserve(FIRST, 4 * PAGE), FIRST);
}

static void test_all_else_is_the_inner_backends(void)
{
    start(KILN_PLACE_OBEY_HINT, FIRST, LAST, 0);
    const kiln_os_t *os = &within.os;
    kiln_addr_t addr = reserve(0, 4 * PAGE);
    EXPECT_EQ(os->commit(os->ctx, addr, 4 * PAGE, true, KILN_OS_HEAP), KILN_OS_OK);
    EXPECT_EQ(kiln_os_fake_state(&fake, addr), KILN_OS_READY);
    EXPECT(os->protect(os->ctx, addr, PAGE, KILN_OS_READ_ONLY));
    EXPECT(kiln_os_guard(os, addr + PAGE, PAGE, true));
    EXPECT_EQ(kiln_os_fake_state(&fake, addr + PAGE), KILN_OS_GUARDED);
    os->discard(os->ctx, addr + 2 * PAGE, PAGE);
    EXPECT_EQ(kiln_os_fake_state(&fake, addr + 2 * PAGE), KILN_OS_PREPARED);
    os->decommit(os->ctx, addr + 3 * PAGE, PAGE);
    EXPECT_EQ(kiln_os_fake_state(&fake, addr + 3 * PAGE), KILN_OS_RESERVED);
    os->release(os->ctx, addr, 4 * PAGE);
    expect_nothing_held();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_hint_inside_is_passed_on),
        KILN_TEST(test_a_hint_outside_is_replaced),
        KILN_TEST(test_what_lands_elsewhere_goes_back),
        KILN_TEST(test_records_may_lie_anywhere),
        KILN_TEST(test_a_large_reserve_is_refused),
        KILN_TEST(test_all_else_is_the_inner_backends),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
