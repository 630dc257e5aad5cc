/* Tags in addresses: where they are, and which one is next. */
#include "allocator/base/rng.h"
#include "allocator/base/tag.h"
#include "tests/kiln_test.h"

static const kiln_tags_t kinds[] = {{39, 3}, {56, 7}, {56, 8}, {0, 0}};
enum { KINDS = sizeof kinds / sizeof *kinds, TAGGED_KINDS = KINDS - 1 };

static void test_a_tag_goes_in_and_out(void)
{
    kiln_rng_t rng = {.state = 1};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < 1000; i++) {
            kiln_tags_t tags = kinds[kind];
            kiln_addr_t addr = kiln_rng_next(&rng);
            unsigned tag = (unsigned)kiln_rng_below(&rng, UINT64_C(1) << tags.bits);
            kiln_addr_t tagged = kiln_tag_put(tags, addr, tag);
            EXPECT_EQ(kiln_tag_of(tags, tagged), tag);
            EXPECT_EQ(kiln_tag_strip(tags, tagged), kiln_tag_strip(tags, addr));
            EXPECT_EQ(kiln_tag_of(tags, kiln_tag_strip(tags, tagged)), 0);
            EXPECT_EQ((tagged ^ addr) & ~kiln_tag_mask(tags), 0);
        }
}

/* A tag that does not fit changes nothing else. */
static void test_a_wide_tag_stays_in_its_bits(void)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        kiln_addr_t tagged = kiln_tag_put(kinds[kind], 0, UINT32_MAX);
        EXPECT_EQ(tagged, kiln_tag_mask(kinds[kind]));
    }
}

static void test_arithmetic_inside_of_a_block_keeps_its_tag(void)
{
    kiln_addr_t block = UINT64_C(0x6c0020000000);
    for (unsigned tag = 1; tag < 8; tag++) {
        kiln_addr_t tagged = kiln_tag_put(kinds[0], block, tag);
        EXPECT_EQ(kiln_tag_of(kinds[0], tagged + (1 << 30)), tag);
        EXPECT_EQ(kiln_tag_strip(kinds[0], tagged + 100), block + 100);
    }
}

static void test_the_next_tag_is_no_neighbours(void)
{
    for (unsigned kind = 0; kind < TAGGED_KINDS; kind++) {
        unsigned end = 1u << kinds[kind].bits;
        for (unsigned last = 0; last < end; last++)
            for (unsigned left = 0; left < 8; left++)
                for (unsigned right = 0; right < 16; right++) {
                    const unsigned others[] = {left, right, 7};
                    unsigned tag = kiln_tag_next(kinds[kind], last, others, 3);
                    EXPECT(tag > 0 && tag < end);
                    EXPECT(tag != last && tag != left && tag != right && tag != 7);
                }
    }
}

/* A stale address stays one for as many owners as there are tags but one. */
static void test_all_tags_take_turns(void)
{
    for (unsigned kind = 0; kind < TAGGED_KINDS; kind++) {
        unsigned most = (1u << kinds[kind].bits) - 1, tag = 0, first = 0;
        for (unsigned turn = 0; turn < most; turn++) {
            tag = kiln_tag_next(kinds[kind], tag, NULL, 0);
            EXPECT(turn == 0 || tag != first);
            if (turn == 0) first = tag;
        }
        EXPECT_EQ(kiln_tag_next(kinds[kind], tag, NULL, 0), first);
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_tag_goes_in_and_out),
        KILN_TEST(test_a_wide_tag_stays_in_its_bits),
        KILN_TEST(test_arithmetic_inside_of_a_block_keeps_its_tag),
        KILN_TEST(test_the_next_tag_is_no_neighbours),
        KILN_TEST(test_all_tags_take_turns),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
