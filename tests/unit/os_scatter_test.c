/* Memory at drawn addresses: records between pages that fault, the heap's reservation anywhere. */
#include "allocator/os/fake.h"
#include "allocator/os/scatter.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

enum { RANGES = 64, PAGE = 4096 };

static kiln_os_range_t ranges[RANGES];
static kiln_os_fake_t fake;
static kiln_os_scatter_t scatter;

static kiln_os_fake_config_t config_of(unsigned addr_bits)
{
    return kiln_os_fake_config_default(addr_bits, PAGE, ranges, RANGES);
}

static void start_with(const kiln_os_fake_config_t *config, uint64_t seed)
{
    kiln_os_fake_init(&fake, config);
    kiln_os_scatter_init(&scatter, &fake.os, seed);
}

static void start(unsigned addr_bits, uint64_t seed)
{
    kiln_os_fake_config_t config = config_of(addr_bits);
    start_with(&config, seed);
}

static kiln_addr_t reserve(kiln_addr_t hint, uint64_t bytes)
{
    bool reserved = false;
    kiln_addr_t addr = scatter.os.reserve(scatter.os.ctx, hint, bytes, &reserved);
    EXPECT_EQ(reserved, addr != 0);
    return addr;
}

static kiln_addr_t record(uint64_t bytes)
{
    return scatter.os.direct(scatter.os.ctx, bytes, KILN_OS_META);
}

static void expect_between_pages(kiln_addr_t addr, uint64_t bytes)
{
    EXPECT(addr != 0);
    EXPECT_EQ(kiln_os_fake_state(&fake, addr - 1), KILN_OS_RESERVED);
    for (uint64_t at = 0; at < bytes; at += PAGE)
        EXPECT_EQ(kiln_os_fake_state(&fake, addr + at), KILN_OS_READY);
    EXPECT_EQ(kiln_os_fake_state(&fake, kiln_round_up(addr + bytes, PAGE)), KILN_OS_RESERVED);
}

static void test_records_lie_between_pages_that_fault(void)
{
    const unsigned widths[] = {32, 64};
    for (unsigned i = 0; i < sizeof widths / sizeof *widths; i++) {
        start(widths[i], 1);
        const uint64_t sizes[] = {1, PAGE, PAGE + 1, 16 * PAGE};
        for (unsigned j = 0; j < sizeof sizes / sizeof *sizes; j++)
            expect_between_pages(record(sizes[j]), sizes[j]);
    }
}

static void test_addresses_are_drawn_from_the_seed(void)
{
    kiln_addr_t records[2], heaps[2];
    for (uint64_t seed = 1; seed < 40; seed++) {
        for (unsigned again = 0; again < 2; again++) {
            start(64, seed);
            records[again] = record(PAGE);
            heaps[again] = reserve(UINT64_C(0xc0) << 32, KILN_OS_SCATTER_RESERVE_MIN);
        }
        EXPECT_EQ(records[0], records[1]);
        EXPECT_EQ(heaps[0], heaps[1]);
        start(64, seed + 1000);
        EXPECT(record(PAGE) != records[0]);
        EXPECT(reserve(0, KILN_OS_SCATTER_RESERVE_MIN) != heaps[0]);
    }
}

static void test_heap_and_records_are_far_apart(void)
{
    for (uint64_t seed = 0; seed < 1000; seed++) {
        start(64, seed);
        kiln_addr_t low = record(PAGE), high = record(KILN_MIB(1));
        kiln_addr_t heap = reserve(0, KILN_GIB(513));
        EXPECT(low >= UINT64_C(0x4000) << 32 && high < UINT64_C(0x5000) << 32);
        EXPECT(high >= low + 3 * PAGE && high <= low + (2 + 16 + 1) * PAGE);
        EXPECT(heap >= UINT64_C(0x1000) << 32);
        EXPECT(heap + KILN_GIB(513) < UINT64_C(0x4000) << 32);
    }
}

static void test_what_is_no_large_reservation_keeps_its_hint(void)
{
    const kiln_addr_t hint = UINT64_C(0xc0) << 32;
    start(64, 3);
    EXPECT_EQ(reserve(hint, KILN_OS_SCATTER_RESERVE_MIN - PAGE), hint);
    EXPECT(reserve(hint, KILN_OS_SCATTER_RESERVE_MIN) != hint);
    start(32, 3);
    EXPECT_EQ(reserve(0x40000000, KILN_GIB(1)), 0x40000000);
}

/* An arena's fallback has to lie where the arena is. */
static void test_memory_for_programs_is_the_inner_backends(void)
{
    start(64, 3);
    kiln_addr_t addr = scatter.os.direct(scatter.os.ctx, PAGE, KILN_OS_HEAP);
    EXPECT_EQ(addr, PAGE);
    EXPECT_EQ(kiln_os_fake_state(&fake, addr + PAGE), KILN_OS_NONE);
}

/* What is refused is asked for without pages; what is refused then, too, leaves nothing behind. */
static void test_a_refusal_changes_nothing(void)
{
    kiln_os_fake_config_t config = config_of(64);
    config.refuse_calls = 1u << KILN_OS_CALL_RESERVE;
    config.refuse_call = 1;
    config.refuse_ever_after = true;
    start_with(&config, 1);
    kiln_addr_t addr = record(PAGE);
    EXPECT(addr != 0);
    EXPECT_EQ(kiln_os_fake_state(&fake, addr + PAGE), KILN_OS_NONE);

    config.refuse_calls = 1u << KILN_OS_CALL_COMMIT | 1u << KILN_OS_CALL_DIRECT;
    start_with(&config, 1);
    EXPECT_EQ(record(PAGE), 0);
    unsigned idx = 0;
    EXPECT(kiln_os_fake_next(&fake, &idx) == NULL);

    start(64, 1);
    EXPECT_EQ(record(0), 0);
    EXPECT_EQ(record(UINT64_MAX), 0);
    idx = 0;
    EXPECT(kiln_os_fake_next(&fake, &idx) == NULL);
}

static void test_all_else_is_the_inner_backends(void)
{
    start(64, 1);
    const kiln_os_t *os = &scatter.os;
    kiln_addr_t addr = reserve(0, 4 * PAGE);
    EXPECT_EQ(os->commit(os->ctx, addr, 4 * PAGE, true, KILN_OS_HEAP), KILN_OS_OK);
    EXPECT(os->protect(os->ctx, addr, PAGE, KILN_OS_READ_ONLY));
    EXPECT(kiln_os_guard(os, addr + PAGE, PAGE, true));
    EXPECT_EQ(kiln_os_fake_state(&fake, addr + PAGE), KILN_OS_GUARDED);
    os->discard(os->ctx, addr + 2 * PAGE, PAGE);
    EXPECT_EQ(kiln_os_fake_state(&fake, addr + 2 * PAGE), KILN_OS_PREPARED);
    os->decommit(os->ctx, addr + 3 * PAGE, PAGE);
    EXPECT_EQ(kiln_os_fake_state(&fake, addr + 3 * PAGE), KILN_OS_RESERVED);
    os->release(os->ctx, addr, 4 * PAGE);
    kiln_addr_t kept = record(PAGE);
    os->release(os->ctx, kept, PAGE);
    EXPECT_EQ(kiln_os_fake_state(&fake, kept), KILN_OS_NONE);
    EXPECT_EQ(kiln_os_fake_state(&fake, kept - PAGE), KILN_OS_RESERVED);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_records_lie_between_pages_that_fault),
        KILN_TEST(test_addresses_are_drawn_from_the_seed),
        KILN_TEST(test_heap_and_records_are_far_apart),
        KILN_TEST(test_what_is_no_large_reservation_keeps_its_hint),
        KILN_TEST(test_memory_for_programs_is_the_inner_backends),
        KILN_TEST(test_a_refusal_changes_nothing),
        KILN_TEST(test_all_else_is_the_inner_backends),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
