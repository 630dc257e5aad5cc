/* The fake OS: where each policy, and each script, places what it grants. */
#include "tests/unit/os_fake_setup.h"

/* --- placement --- */

static void test_obey_hint(void)
{
    defaults(32, PAGE, KILN_PLACE_OBEY_HINT);
    start();
    EXPECT_EQ(reserve(0x10000000, 0x10000), 0x10000000);
    EXPECT_EQ(reserve(0x10000000, 0x2000), 0x10010000); /* taken: the next gap above */
    EXPECT_EQ(reserve(0x20000123, 0x1000), 0x20000000); /* rounded down */
    EXPECT_EQ(reserve(0, 0x1000), 0x1000);
    EXPECT_EQ(reserve(0xfffff000, 0x2000), 0x2000); /* no room there nor above it */
    EXPECT_EQ(fake.os.direct(&fake, 0x1000, KILN_OS_META), 0x4000);
    EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
}

static void test_lowest_and_highest(void)
{
    defaults(32, PAGE, KILN_PLACE_LOWEST);
    start();
    occupy(0x2000, 0x1000);
    EXPECT_EQ(reserve(0x50000000, 0x2000), 0x3000);
    EXPECT_EQ(reserve(0x50000000, 0x1000), 0x1000);

    defaults(32, PAGE, KILN_PLACE_HIGHEST);
    start();
    occupy(0xffffe000, 0x1000);
    EXPECT_EQ(reserve(0x50000000, 0x2000), 0xffffc000);
    EXPECT_EQ(reserve(0x50000000, 0x1000), 0xfffff000);
}

static void test_below_all(void)
{
    defaults(32, PAGE, KILN_PLACE_BELOW_ALL);
    start();
    EXPECT_EQ(reserve(0x10000000, 0x10000), 0xffff0000);
    EXPECT_EQ(reserve(0x10000000, 0x10000), 0xfffe0000);
    fake.os.release(&fake, 0xfffe0000, 0x10000);
    EXPECT_EQ(fake.os.direct(&fake, 0x1000, KILN_OS_META), 0xfffdf000); /* so far: also released */
    occupy(0x2000, 0xfffdd000);
    EXPECT_EQ(reserve(0, 0x1000), 0x1000);
    EXPECT_EQ(reserve(0, 0x1000), 0xfffe0000); /* nothing below: the lowest gap */
    fake.os.release(&fake, 0xfffdf000, 0x1000);
    EXPECT(kiln_os_fake_place(&fake, 0x3000, 0x1000, KILN_OS_NONE));
    EXPECT_EQ(reserve(0, 0x1000), 0x3000); /* below all, not below the latest */
}

static void test_adjacent(void)
{
    defaults(32, PAGE, KILN_PLACE_ADJACENT_ABOVE);
    start();
    EXPECT_EQ(reserve(0x40000000, 0x3000), 0x40000000); /* nothing yet: the hint */
    EXPECT_EQ(reserve(0x10000000, 0x2000), 0x40003000);
    occupy(0x40006000, 0x1000);
    EXPECT_EQ(reserve(0x10000000, 0x2000), 0x40007000);

    defaults(32, PAGE, KILN_PLACE_ADJACENT_BELOW);
    start();
    EXPECT_EQ(reserve(0x40000000, 0x3000), 0x40000000);
    EXPECT_EQ(reserve(0x10000000, 0x2000), 0x3fffe000);
    EXPECT_EQ(reserve(0x10000000, 0x1000), 0x3fffd000);
}

static void test_straddle(void)
{
    defaults(32, 64 * KIB, KILN_PLACE_STRADDLE);
    config.straddle_addr = 0x30000000;
    start();
    kiln_addr_t addr = reserve(0x10000000, 0x50000);
    EXPECT_EQ(addr, 0x2ffe0000);
    EXPECT(addr < config.straddle_addr && config.straddle_addr < addr + 0x50000);
    EXPECT_EQ(reserve(0, 0x10000), 0x30030000); /* taken: the next gap */
    start();
    EXPECT_EQ(reserve(0, 0x10000), 0x2fff0000); /* one page cannot straddle: just below */
}

static void test_at_top(void)
{
    defaults(32, PAGE, KILN_PLACE_AT_TOP);
    start();
    EXPECT_EQ(reserve(0x10000000, 0x10000000), 0xf0000000); /* its end is 2^32 */
    EXPECT_EQ(kiln_os_fake_state(&fake, 0xffffffff), KILN_OS_RESERVED);
    EXPECT_EQ(reserve(0x10000000, 0x1000), 0x1000);
    EXPECT_EQ(commit(0xf0000000, 0x10000000), KILN_OS_OK);
    fake.os.release(&fake, 0xf0000000, 0x10000000);

    defaults(64, PAGE, KILN_PLACE_AT_TOP);
    start();
    EXPECT_EQ(reserve(0, 0x3000), UINT64_MAX - 0x2fff);
}

static void test_beside_the_hint(void)
{
    defaults(32, 16 * KIB, KILN_PLACE_BESIDE_ABOVE);
    start();
    EXPECT_EQ(reserve(0x10000000, 0x10000), 0x10004000);
    defaults(32, 16 * KIB, KILN_PLACE_BESIDE_BELOW);
    start();
    EXPECT_EQ(reserve(0x10000000, 0x10000), 0x0fffc000);
}

static void test_random_follows_its_seed(void)
{
    kiln_addr_t first[64];
    for (uint64_t seed = 1; seed <= 3; seed++) {
        defaults(32, PAGE, KILN_PLACE_RANDOM);
        config.seed = seed;
        unsigned different = 0;
        for (unsigned again = 0; again < 2; again++) {
            start();
            for (unsigned i = 0; i < 64; i++) {
                kiln_addr_t addr = reserve(0x10000000, PAGE * (i % 5 + 1));
                EXPECT(addr != 0);
                if (seed == 1 && again == 0) first[i] = addr;
                if (seed == 1) EXPECT_EQ(addr, first[i]);
                if (addr != first[i]) different++;
            }
        }
        EXPECT_EQ(different > 64, seed != 1);
    }
}

/* --- scripts --- */

static void script(const uint8_t *bytes, size_t count)
{
    defaults(32, PAGE, KILN_PLACE_SCRIPT);
    config.script = bytes;
    config.script_bytes = count;
}

static void test_a_script_decides_each_call(void)
{
    static const uint8_t bytes[] = {
        KILN_PLACE_HIGHEST, /* reserve */
        0,                  /* commit */
        7,                  /* commit: refused */
        7 << 5,             /* reserve: refused */
        KILN_PLACE_AT_PAGE, /* reserve at page 0x0123 from space_first */
        0x23,
        0x01,
        0x10 | KILN_PLACE_LOWEST, /* reserve, unreserved */
        6,                        /* commit: somebody was faster */
        6 << 5,                   /* reserve: somebody takes the hint */
        7,                        /* protect: refused */
        15,                       /* no such policy: the hint */
        KILN_PLACE_LIE_OCCUPIED,  /* not lying: the hint */
    };
    script(bytes, sizeof bytes);
    start();
    EXPECT_EQ(reserve(0x10000000, 0x3000), 0xffffd000);
    EXPECT_EQ(commit(0xffffd000, 0x1000), KILN_OS_OK);
    EXPECT_EQ(commit(0xffffe000, 0x1000), KILN_OS_FAIL);
    EXPECT_EQ(kiln_os_fake_state(&fake, 0xffffe000), KILN_OS_RESERVED);
    EXPECT_EQ(reserve(0x10000000, 0x3000), 0);
    EXPECT_EQ(reserve(0x10000000, 0x3000), 0x124000);
    EXPECT_EQ(reserve(0x10000000, 0x3000), 0x1000);
    EXPECT(!reserved);
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x1000), KILN_OS_UNRESERVED);
    EXPECT_EQ(fake.os.commit(&fake, 0x1000, 0x3000, false, KILN_OS_HEAP), KILN_OS_ELSEWHERE);
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x3000), KILN_OS_FOREIGN);
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x2000), KILN_OS_UNRESERVED);
    EXPECT_EQ(reserve(0x10000000, 0x3000), 0x10001000);
    EXPECT_EQ(kiln_os_fake_state(&fake, 0x10000000), KILN_OS_FOREIGN);
    EXPECT(!fake.os.protect(&fake, 0xffffd000, 0x1000, KILN_OS_READ_ONLY));
    EXPECT_EQ(reserve(0x20000000, 0x3000), 0x20000000);
    EXPECT_EQ(reserve(0x30000000, 0x3000), 0x30000000);
    EXPECT_EQ(fake.stats.lies, 0);
    EXPECT_EQ(fake.script_at, sizeof bytes);
    EXPECT_EQ(reserve(0x40000000, 0x3000), 0x40000000); /* at its end: friendly */
    EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
}

static void test_a_lying_script_lies(void)
{
    static const uint8_t bytes[] = {KILN_PLACE_LIE_WRAP, KILN_PLACE_LIE_OCCUPIED,
                                    KILN_PLACE_LIE_WRAP};
    script(bytes, sizeof bytes);
    config.lying = true;
    start();
    EXPECT_EQ(reserve(0x10000000, 0x4000), 0xffffe000); /* two pages fit, the rest wraps */
    EXPECT_EQ(reserve(0x10000000, 0x2000), 0xffffe000); /* once more */
    EXPECT_EQ(fake.stats.lies, 2);
    EXPECT_EQ(reserve(0x10000000, 0x1000), 0x10000000); /* one page cannot wrap */
    /* Whoever believes it is not stopped. */
    EXPECT_EQ(commit(0xffffe000, 0x4000), KILN_OS_FAIL);
    EXPECT_EQ(commit(0xffffe000, 0x2000), KILN_OS_OK);
    fake.os.release(&fake, 0xffffe000, 0x4000);
    fake.os.release(&fake, 0xffffe000, 0x2000);
    fake.os.release(&fake, 0xffffe000, 0x2000);
    EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
}

/* Every string of two bytes, on a machine of 5 bits: no answer breaks a law. */
static void test_all_short_scripts_on_a_tiny_machine(void)
{
    for (unsigned text = 0; text < 1u << 16; text++) {
        const uint8_t bytes[] = {(uint8_t)text, (uint8_t)(text >> 8)};
        script(bytes, sizeof bytes);
        config.addr_bits = 5;
        config.phys_bytes = 2;
        config.space_first = 2;
        config.space_last = 31;
        start();
        for (unsigned call = 0; call < 4; call++) {
            kiln_addr_t addr = call % 2 ? fake.os.direct(&fake, 6, KILN_OS_META) : reserve(10, 8);
            EXPECT(addr == 0 || (addr >= 2 && addr % 2 == 0 && addr <= 31 - 5));
        }
        EXPECT_RULE(kiln_os_fake_broken_rule(&fake));
        unsigned idx = 0;
        for (const kiln_os_range_t *range; (range = kiln_os_fake_next(&fake, &idx));)
            EXPECT(range->tag.state == KILN_OS_RESERVED || range->tag.state == KILN_OS_READY);
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_obey_hint),
        KILN_TEST(test_lowest_and_highest),
        KILN_TEST(test_below_all),
        KILN_TEST(test_adjacent),
        KILN_TEST(test_straddle),
        KILN_TEST(test_at_top),
        KILN_TEST(test_beside_the_hint),
        KILN_TEST(test_random_follows_its_seed),
        KILN_TEST(test_a_script_decides_each_call),
        KILN_TEST(test_a_lying_script_lies),
        KILN_TEST(test_all_short_scripts_on_a_tiny_machine),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
