/* Ranges against an array with one tag a page, under random changes. */
#include "allocator/base/rng.h"
#include "allocator/os/ranges.h"
#include "tests/kiln_test.h"

enum { PAGES = 64, ROUNDS = 200, STEPS = 400 };

static kiln_os_range_t items[PAGES];
static kiln_ranges_t ranges;
static kiln_os_tag_t naive[PAGES];
static uint64_t unit;   /* page size, and */
static kiln_addr_t low; /* address of page 0, such that the last page may be the top of all */

static kiln_addr_t at(unsigned page)
{
    return low + page * unit;
}

static kiln_addr_t last_of(unsigned page)
{
    return at(page) + (unit - 1);
}

static bool same(kiln_os_tag_t left, kiln_os_tag_t right)
{
    return left.state == right.state && left.access == right.access && left.use == right.use;
}

static kiln_os_tag_t tag_of(unsigned page)
{
    unsigned i = kiln_ranges_find(&ranges, at(page));
    if (i < ranges.count && ranges.items[i].first <= at(page)) return ranges.items[i].tag;
    return (kiln_os_tag_t){.state = KILN_OS_NONE};
}

static bool naive_free(unsigned page)
{
    return naive[page].state == KILN_OS_NONE || naive[page].state == KILN_OS_UNRESERVED;
}

static unsigned naive_gap_up(unsigned from, unsigned to, unsigned pages)
{
    unsigned run = 0;
    for (unsigned i = from; i <= to; i++) {
        run = naive_free(i) ? run + 1 : 0;
        if (run == pages) return i + 1 - pages;
    }
    return PAGES;
}

static unsigned naive_gap_down(unsigned from, unsigned to, unsigned pages)
{
    unsigned run = 0;
    for (unsigned i = to + 1; i-- > from;) {
        run = naive_free(i) ? run + 1 : 0;
        if (run == pages) return i;
    }
    return PAGES;
}

static void expect_same_gaps(unsigned from, unsigned to, unsigned pages)
{
    kiln_addr_t addr = 0;
    unsigned up = naive_gap_up(from, to, pages), down = naive_gap_down(from, to, pages);
    bool found = kiln_ranges_gap_up(&ranges, at(from), last_of(to), pages * unit, &addr);
    EXPECT_EQ(found, up != PAGES);
    if (found) EXPECT_EQ(addr, at(up));
    found = kiln_ranges_gap_down(&ranges, at(from), last_of(to), pages * unit, &addr);
    EXPECT_EQ(found, down != PAGES);
    if (found) EXPECT_EQ(addr, at(down));
    bool all_free = naive_gap_up(from, to, to - from + 1) == from;
    EXPECT_EQ(kiln_ranges_free(&ranges, at(from), last_of(to)), all_free);
}

static void run_steps(kiln_rng_t *rng)
{
    ranges = (kiln_ranges_t){.items = items, .count = 0, .max = PAGES};
    memset(naive, 0, sizeof naive);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned from = (unsigned)kiln_rng_below(rng, PAGES);
        unsigned to = from + (unsigned)kiln_rng_below(rng, PAGES - from);
        if (kiln_rng_below(rng, 2)) to = from + (to - from) / 8;
        kiln_os_tag_t tag = {.state = (uint8_t)kiln_rng_below(rng, KILN_OS_STATES)};
        if (tag.state == KILN_OS_READY) tag.use = (uint8_t)kiln_rng_below(rng, 3);
        EXPECT(kiln_ranges_set(&ranges, at(from), last_of(to), tag));
        for (unsigned i = from; i <= to; i++) naive[i] = tag;
        EXPECT_RULE(kiln_ranges_broken_rule(&ranges));
        for (unsigned i = 0; i < PAGES; i++) EXPECT(same(tag_of(i), naive[i]));
        from = (unsigned)kiln_rng_below(rng, PAGES);
        to = from + (unsigned)kiln_rng_below(rng, PAGES - from);
        expect_same_gaps(from, to, 1 + (unsigned)kiln_rng_below(rng, 6));
    }
}

static void test_ranges_are_what_an_array_of_pages_says(void)
{
    static const uint64_t units[] = {1, 4096, 65536};
    kiln_rng_t rng = {.state = 7};
    printf("seed 7\n");
    for (unsigned round = 0; round < ROUNDS; round++) {
        unit = units[round % 3];
        low = round % 2 ? UINT64_MAX - PAGES * unit + 1 : unit * (round % 5);
        run_steps(&rng);
    }
}

static const kiln_os_tag_t reserved = {.state = KILN_OS_RESERVED};
static const kiln_os_tag_t ready = {.state = KILN_OS_READY};
static const kiln_os_tag_t none = {.state = KILN_OS_NONE};

static void test_a_full_array_refuses_and_changes_nothing(void)
{
    ranges = (kiln_ranges_t){.items = items, .count = 0, .max = 2};
    EXPECT(kiln_ranges_set(&ranges, 0, 9, reserved));
    EXPECT(kiln_ranges_set(&ranges, 20, 29, reserved));
    EXPECT(!kiln_ranges_set(&ranges, 3, 5, ready));
    EXPECT(!kiln_ranges_set(&ranges, 3, 5, none));
    EXPECT(!kiln_ranges_set(&ranges, 12, 13, reserved));
    EXPECT_EQ(ranges.count, 2);
    EXPECT_EQ(items[0].last, 9);
    EXPECT(kiln_ranges_set(&ranges, 10, 19, reserved)); /* closes the gap */
    EXPECT_EQ(ranges.count, 1);
    EXPECT(kiln_ranges_set(&ranges, 5, 29, none));
    EXPECT_EQ(items[0].last, 4);
}

static void test_the_whole_space_is_one_range(void)
{
    kiln_addr_t addr;
    ranges = (kiln_ranges_t){.items = items, .count = 0, .max = PAGES};
    EXPECT(kiln_ranges_set(&ranges, 0, UINT64_MAX, reserved));
    EXPECT_EQ(ranges.count, 1);
    EXPECT(!kiln_ranges_gap_up(&ranges, 0, UINT64_MAX, 1, &addr));
    EXPECT(!kiln_ranges_gap_down(&ranges, 0, UINT64_MAX, 1, &addr));
    EXPECT(kiln_ranges_set(&ranges, UINT64_MAX, UINT64_MAX, none));
    EXPECT(kiln_ranges_gap_up(&ranges, 0, UINT64_MAX, 1, &addr));
    EXPECT_EQ(addr, UINT64_MAX);
    EXPECT(!kiln_ranges_gap_up(&ranges, 0, UINT64_MAX, 2, &addr));
    EXPECT(kiln_ranges_set(&ranges, 0, 0, none));
    EXPECT(kiln_ranges_gap_down(&ranges, 0, UINT64_MAX - 1, 1, &addr));
    EXPECT_EQ(addr, 0);
    EXPECT(!kiln_ranges_gap_down(&ranges, 0, UINT64_MAX, 0, &addr));
}

/* Each law of the array, broken by hand. */
static void test_broken_ranges_are_named(void)
{
    const kiln_os_range_t good[2] = {{1, 2, reserved}, {3, 4, ready}};
    ranges = (kiln_ranges_t){.items = items, .count = 2, .max = 2};
    memcpy(items, good, sizeof good);
    EXPECT_RULE(kiln_ranges_broken_rule(&ranges));
    items[1].tag = reserved;
    EXPECT_STR(kiln_ranges_broken_rule(&ranges), "ranges: equal neighbours are one");
    memcpy(items, good, sizeof good);
    items[1].first = 2;
    EXPECT_STR(kiln_ranges_broken_rule(&ranges), "ranges: ascending and disjoint");
    memcpy(items, good, sizeof good);
    items[0].first = 3;
    EXPECT_STR(kiln_ranges_broken_rule(&ranges), "ranges: none is empty");
    memcpy(items, good, sizeof good);
    items[0].tag = none;
    EXPECT_STR(kiln_ranges_broken_rule(&ranges), "ranges: each has a state");
    ranges.max = 1;
    EXPECT_STR(kiln_ranges_broken_rule(&ranges), "ranges: no more than fit");
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_ranges_are_what_an_array_of_pages_says),
        KILN_TEST(test_a_full_array_refuses_and_changes_nothing),
        KILN_TEST(test_the_whole_space_is_one_range),
        KILN_TEST(test_broken_ranges_are_named),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
