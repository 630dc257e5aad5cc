#include "allocator/base/units.h"
#include "tests/kiln_test.h"

static void test_power_of_two_has_one_bit(void)
{
    EXPECT(!kiln_is_power_of_two(0));
    EXPECT(!kiln_is_power_of_two(3));
    EXPECT(!kiln_is_power_of_two(UINT64_MAX));
    for (unsigned shift = 0; shift < 64; shift++)
        EXPECT(kiln_is_power_of_two(UINT64_C(1) << shift));
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {KILN_TEST(test_power_of_two_has_one_bit)};
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
