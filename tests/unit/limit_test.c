/* An OS that gives the heap so many bytes and no more: what counts, and what may be taken again. */
#include "allocator/api/limit.h"
#include "allocator/os/fake.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

enum { RANGES = 16, PAGES_MAX = 8 };

static const uint64_t PAGE = 4096;

static kiln_os_range_t ranges[RANGES];
static kiln_os_fake_t fake;
static kiln_limit_t limit;

static kiln_addr_t start(void)
{
    kiln_os_fake_config_t config = kiln_os_fake_config_default(32, PAGE, ranges, RANGES);
    bool reserved;
    config.policy = KILN_PLACE_LOWEST;
    kiln_os_fake_init(&fake, &config);
    kiln_limit_init(&limit, &fake.os, PAGES_MAX * PAGE);
    return limit.os.reserve(&limit, 0, PAGE * 2 * PAGES_MAX, &reserved);
}

static kiln_os_answer_t commit(kiln_addr_t addr, uint64_t pages, kiln_os_use_t use)
{
    return limit.os.commit(&limit, addr, pages * PAGE, true, use);
}

static void test_what_the_heap_has_counts(void)
{
    kiln_addr_t addr = start();
    EXPECT_EQ(commit(addr, PAGES_MAX + 1, KILN_OS_HEAP), KILN_OS_FAIL);
    EXPECT_EQ(commit(addr, PAGES_MAX, KILN_OS_HEAP), KILN_OS_OK);
    EXPECT_EQ(commit(addr + PAGES_MAX * PAGE, 1, KILN_OS_HEAP), KILN_OS_FAIL);
    EXPECT_EQ(limit.os.direct(&limit, PAGE, KILN_OS_HEAP), 0);
    EXPECT_EQ(commit(addr + PAGES_MAX * PAGE, 1, KILN_OS_SPANS), KILN_OS_OK);
    EXPECT(limit.os.direct(&limit, PAGE, KILN_OS_META) != 0);
}

static void test_what_is_decommitted_may_be_taken_again(void)
{
    kiln_addr_t addr = start();
    EXPECT_EQ(commit(addr, PAGES_MAX, KILN_OS_HEAP), KILN_OS_OK);
    limit.os.decommit(&limit, addr, 2 * PAGE);
    EXPECT_EQ(commit(addr, 3, KILN_OS_HEAP), KILN_OS_FAIL);
    EXPECT_EQ(commit(addr, 2, KILN_OS_HEAP), KILN_OS_OK);
}

/* The arena asks for a page more than it needs, and gives back what rounding did not cost. */
static void test_what_is_left_of_a_direct_may_be_taken_again(void)
{
    start();
    for (unsigned i = 0; i < 2 * PAGES_MAX; i++) {
        kiln_addr_t addr = limit.os.direct(&limit, 4 * PAGE, KILN_OS_HEAP);
        EXPECT(addr != 0);
        limit.os.release(&limit, addr, PAGE);
        limit.os.release(&limit, addr + 3 * PAGE, PAGE);
        EXPECT_EQ(limit.bytes, 2 * PAGE);
        limit.os.release(&limit, addr + PAGE, 2 * PAGE);
        EXPECT_EQ(limit.bytes, 0);
    }
}

/* What was only Reserved never counted. */
static void test_what_was_reserved_gives_nothing_back(void)
{
    kiln_addr_t addr = start();
    kiln_addr_t direct = limit.os.direct(&limit, PAGE, KILN_OS_HEAP);
    EXPECT(direct != 0);
    limit.os.release(&limit, addr, PAGE * 2 * PAGES_MAX);
    EXPECT_EQ(limit.bytes, PAGE);
}

/* ... also where a direct was that went back. */
static void test_what_is_reserved_where_a_direct_was_gives_nothing_back(void)
{
    start();
    kiln_addr_t direct = limit.os.direct(&limit, 2 * PAGE, KILN_OS_HEAP);
    EXPECT(direct != 0);
    limit.os.release(&limit, direct + PAGE, PAGE);
    EXPECT_EQ(limit.bytes, PAGE);
    bool reserved;
    EXPECT_EQ(limit.os.reserve(&limit, 0, PAGE, &reserved), direct + PAGE);
    limit.os.release(&limit, direct + PAGE, PAGE);
    EXPECT_EQ(limit.bytes, PAGE);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_what_the_heap_has_counts),
        KILN_TEST(test_what_is_decommitted_may_be_taken_again),
        KILN_TEST(test_what_is_left_of_a_direct_may_be_taken_again),
        KILN_TEST(test_what_was_reserved_gives_nothing_back),
        KILN_TEST(test_what_is_reserved_where_a_direct_was_gives_nothing_back),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
