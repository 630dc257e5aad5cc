/* text.h and rng.h: what is written, and that it stays the same everywhere. */
#include <inttypes.h>

#include "allocator/base/rng.h"
#include "allocator/base/text.h"
#include "tests/kiln_test.h"

static const uint64_t edges[] = {
    0,
    1,
    9,
    10,
    15,
    16,
    99,
    100,
    255,
    256,
    UINT32_MAX,
    UINT64_C(1) << 32,
    UINT64_MAX,
    UINT64_C(9999999999999999999),
    UINT64_C(10000000000000000000),
};

static void expect_as_printf(uint64_t number)
{
    char ours[64], theirs[64];

    *kiln_text_dec(ours, number) = '\0';
    snprintf(theirs, sizeof theirs, "%" PRIu64, number);
    EXPECT_STR(ours, theirs);
    EXPECT(strlen(ours) <= KILN_TEXT_NUMBER_MAX);

    *kiln_text_hex(ours, number) = '\0';
    snprintf(theirs, sizeof theirs, "0x%" PRIx64, number);
    EXPECT_STR(ours, theirs);
    EXPECT(strlen(ours) <= KILN_TEXT_NUMBER_MAX);
}

static void test_numbers_are_written_as_printf_writes_them(void)
{
    kiln_rng_t rng = {.state = 1};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) expect_as_printf(edges[i]);
    for (unsigned i = 0; i < 1000; i++)
        expect_as_printf(kiln_rng_next(&rng) >> kiln_rng_below(&rng, 64));
}

static void test_words_follow_each_other_without_an_end_mark(void)
{
    char text[] = "........";
    char *end = kiln_text_word(kiln_text_word(text, "ab"), "");
    EXPECT_EQ(kiln_text_word(end, "cd") - text, 4);
    EXPECT_STR(text, "abcd....");
}

static void test_digits_are_appended_up_to_64_bits(void)
{
    uint64_t number = 0;
    for (const char *at = "18446744073709551615"; *at; at++)
        EXPECT(kiln_text_append(&number, 10, kiln_text_digit(*at)));
    EXPECT_EQ(number, UINT64_MAX);
    EXPECT(!kiln_text_append(&number, 10, 0));
    EXPECT_EQ(number, UINT64_MAX);

    number = UINT64_MAX / 10;
    EXPECT(!kiln_text_append(&number, 10, 6));
    EXPECT_EQ(number, UINT64_MAX / 10);
    EXPECT(kiln_text_append(&number, 10, 5));
    EXPECT_EQ(kiln_text_digit('F'), 15);
    EXPECT_EQ(kiln_text_digit('f'), 15);
    EXPECT_EQ(kiln_text_digit('g'), 16);
    EXPECT_EQ(kiln_text_digit('/'), 16);
}

static void test_the_generator_gives_the_published_numbers(void)
{
    /* the first numbers of splitmix64 from seed 1234567 */
    static const uint64_t published[] = {
        UINT64_C(6457827717110365317),
        UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423),
    };
    kiln_rng_t rng = {.state = 1234567};
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        EXPECT_EQ(kiln_rng_next(&rng), published[i]);
}

static void test_below_stays_below_and_reaches_everything(void)
{
    kiln_rng_t rng = {.state = 7};
    unsigned seen = 0;
    for (unsigned i = 0; i < 200; i++) {
        uint64_t number = kiln_rng_below(&rng, 5);
        EXPECT(number < 5);
        seen |= 1u << number;
    }
    EXPECT_EQ(seen, 31);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_numbers_are_written_as_printf_writes_them),
        KILN_TEST(test_words_follow_each_other_without_an_end_mark),
        KILN_TEST(test_digits_are_appended_up_to_64_bits),
        KILN_TEST(test_the_generator_gives_the_published_numbers),
        KILN_TEST(test_below_stays_below_and_reaches_everything),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
