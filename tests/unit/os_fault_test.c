/* Faults: which call fails, how many were seen, and whether the one that was due came. */
#include "allocator/os/fake.h"
#include "allocator/os/fault.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

enum { RANGES = 64, CALLS = 7 };

static kiln_os_range_t ranges[RANGES];
static kiln_os_fake_t fake;
static kiln_os_fault_t fault;

/* A run of CALLS calls that can fail, whatever fails; bit i of the answer: call i + 1 did. */
static unsigned run(void)
{
    const kiln_os_t *os = &fault.os;
    unsigned failed = 0;
    bool reserved;
    kiln_addr_t base = os->reserve(os->ctx, 0x10000, 0x4000, &reserved);
    if (base == 0) failed |= 1;
    if (base == 0) base = fake.os.reserve(&fake, 0x10000, 0x4000, &reserved);
    if (os->commit(os->ctx, base, 0x1000, true, KILN_OS_HEAP) != KILN_OS_OK) {
        failed |= 2;
        EXPECT_EQ(kiln_os_fake_state(&fake, base), KILN_OS_RESERVED);
        EXPECT_EQ(fake.os.commit(&fake, base, 0x1000, true, KILN_OS_HEAP), KILN_OS_OK);
    }
    if (!kiln_os_guard(os, base, 0x1000, true)) failed |= 4;
    EXPECT_EQ(kiln_os_fake_state(&fake, base), failed & 4 ? KILN_OS_READY : KILN_OS_GUARDED);
    if (!(failed & 4)) EXPECT(fake.os.guard(&fake, base, 0x1000, false));
    if (!os->protect(os->ctx, base, 0x1000, KILN_OS_READ_ONLY)) failed |= 8;
    kiln_addr_t direct = os->direct(os->ctx, 0x1000, KILN_OS_META);
    if (direct == 0) failed |= 16;
    if (os->commit(os->ctx, base + 0x1000, 0x1000, true, KILN_OS_HEAP) != KILN_OS_OK) failed |= 32;
    os->discard(os->ctx, base, 0x1000);
    os->decommit(os->ctx, base, 0x1000);
    if (os->commit(os->ctx, base, 0x1000, true, KILN_OS_HEAP) != KILN_OS_OK) failed |= 64;
    os->release(os->ctx, base, 0x4000);
    if (direct != 0) os->release(os->ctx, direct, 0x1000);
    return failed;
}

static void start(void)
{
    kiln_os_fake_config_t config = kiln_os_fake_config_default(32, 4096, ranges, RANGES);
    kiln_os_fake_init(&fake, &config);
}

static void expect_all_released(void)
{
    unsigned idx = 0;
    EXPECT(kiln_os_fake_next(&fake, &idx) == NULL);
}

static void test_no_fault_is_no_fault(void)
{
    start();
    kiln_os_fault_init(&fault, &fake.os, 0, false);
    EXPECT_EQ(run(), 0);
    EXPECT_EQ(fault.calls_seen, CALLS);
    EXPECT_EQ(fault.faults, 0);
    EXPECT(!kiln_os_fault_missed(&fault));
    expect_all_released();
}

static void test_each_call_fails_once_until_none_is_left(void)
{
    uint64_t n = 1;
    for (;; n++) {
        start();
        kiln_os_fault_init(&fault, &fake.os, n, false);
        unsigned failed = run();
        EXPECT_EQ(fault.calls_seen, CALLS);
        expect_all_released();
        if (kiln_os_fault_missed(&fault)) break;
        EXPECT_EQ(failed, 1u << (n - 1));
        EXPECT_EQ(fault.faults, 1);
    }
    EXPECT_EQ(n, CALLS + 1);
}

static void test_from_a_call_on_all_fail(void)
{
    for (unsigned n = 1; n <= CALLS; n++) {
        start();
        kiln_os_fault_init(&fault, &fake.os, n, true);
        EXPECT_EQ(run(), (1u << CALLS) - (1u << (n - 1)));
        EXPECT_EQ(fault.faults, CALLS - n + 1);
        EXPECT(!kiln_os_fault_missed(&fault));
        expect_all_released();
    }
}

static void test_a_plan_says_which_calls_fail(void)
{
    for (unsigned plan = 0; plan < 1u << CALLS; plan++) {
        uint8_t bytes = (uint8_t)plan;
        start();
        kiln_os_fault_init_plan(&fault, &fake.os, &bytes, 1);
        EXPECT_EQ(run(), plan);
        EXPECT_EQ(fault.faults, (unsigned)__builtin_popcount(plan));
        EXPECT(!kiln_os_fault_missed(&fault));
    }
    uint8_t late[2] = {0, 1}; /* call 9 of 7 */
    start();
    kiln_os_fault_init_plan(&fault, &fake.os, late, 2);
    EXPECT_EQ(run(), 0);
    EXPECT(kiln_os_fault_missed(&fault));
}

static void test_only_the_chosen_calls_count_and_fail(void)
{
    start();
    kiln_os_fault_init(&fault, &fake.os, 2, true);
    fault.calls_set = 1u << KILN_OS_CALL_COMMIT;
    EXPECT_EQ(run(), 32 | 64);
    EXPECT_EQ(fault.calls_seen, 3);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_no_fault_is_no_fault),
        KILN_TEST(test_each_call_fails_once_until_none_is_left),
        KILN_TEST(test_from_a_call_on_all_fail),
        KILN_TEST(test_a_plan_says_which_calls_fail),
        KILN_TEST(test_only_the_chosen_calls_count_and_fail),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
