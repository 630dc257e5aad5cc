#include "allocator/base/units.h"
#include "tests/kiln_test.h"

static void test_power_of_two_has_one_bit(void)
{
    EXPECT(!kiln_is_power_of_two(0));
    EXPECT(!kiln_is_power_of_two(3));
    EXPECT(!kiln_is_power_of_two(UINT64_MAX));
    for (unsigned shift = 0; shift < 64; shift++) {
        EXPECT(kiln_is_power_of_two(UINT64_C(1) << shift));
        if (shift > 0) EXPECT(!kiln_is_power_of_two((UINT64_C(1) << shift) + 1));
    }
}

static void test_rounding_reaches_the_nearest_multiple(void)
{
    for (uint64_t unit = 1; unit <= 64; unit *= 2) {
        for (uint64_t n = 0; n <= 200; n++) {
            uint64_t down = kiln_round_down(n, unit), up = kiln_round_up(n, unit);
            EXPECT_EQ(down % unit, 0);
            EXPECT_EQ(up % unit, 0);
            EXPECT(down <= n && n - down < unit);
            EXPECT(up >= n && up - n < unit);
            EXPECT_EQ(kiln_is_aligned(n, unit), down == n);
            EXPECT_EQ(kiln_is_aligned(n, unit), up == n);
        }
    }
}

static void test_rounding_at_the_top_of_64_bits(void)
{
    EXPECT_EQ(kiln_round_down(UINT64_MAX, 4096), UINT64_MAX - 4095);
    EXPECT_EQ(kiln_round_up(UINT64_MAX - 4095, 4096), UINT64_MAX - 4095);
    EXPECT_EQ(kiln_round_up(UINT64_MAX - 4094, 4096), 0); /* wraps, as the header says */
    EXPECT_EQ(kiln_round_up(UINT64_MAX, UINT64_C(1) << 63), 0);
}

static void test_width_mask_is_the_highest_address(void)
{
    EXPECT_EQ(kiln_width_mask(1), 1);
    EXPECT_EQ(kiln_width_mask(32), UINT32_MAX);
    EXPECT_EQ(kiln_width_mask(48), UINT64_C(0xffffffffffff));
    EXPECT_EQ(kiln_width_mask(63), UINT64_MAX >> 1);
    EXPECT_EQ(kiln_width_mask(64), UINT64_MAX);
}

static void test_sizes_are_64_bits_wide_everywhere(void)
{
    EXPECT_EQ(KILN_KIB(4), 4096);
    EXPECT_EQ(KILN_MIB(1), 1048576);
    EXPECT_EQ(KILN_GIB(4), UINT64_C(1) << 32);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_power_of_two_has_one_bit),
        KILN_TEST(test_rounding_reaches_the_nearest_multiple),
        KILN_TEST(test_rounding_at_the_top_of_64_bits),
        KILN_TEST(test_width_mask_is_the_highest_address),
        KILN_TEST(test_sizes_are_64_bits_wide_everywhere),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
