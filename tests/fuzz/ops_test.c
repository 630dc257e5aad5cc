/* ops_test.c - bytes to text and back lose nothing, and bad text is refused with its line. */
#include "fuzz/ops.h"

#include "allocator/base/rng.h"
#include "tests/kiln_test.h"

static const char *const names[] = {"take", "give", "look"};

static const kiln_fuzz_words_t words = {
    .target = "test",
    .config = {"speed", NULL, "depth"},
    .ops = names,
    .op_count = 3,
};

/* Of a target without operations. */
static const kiln_fuzz_words_t text_words = {.target = "text", .config = {"speed"}};

static char text[1 << 16];
static uint8_t bytes[4096], again[4096];

static void test_a_record_reads_as_it_was_written(void)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t record;
    size_t size = 0;
    unsigned line = 0;
    EXPECT_RULE(kiln_fuzz_bytes_of(&words,
                                   "# two settings, two records\nset depth 7\nset byte1 255\n"
                                   "give slot=3 size=0x10 how=255 arg=0xdeadbeef\nlook+84 arg=1\n",
                                   bytes, sizeof bytes, &size, &line));
    EXPECT_EQ(size, 32);
    kiln_fuzz_open(&input, bytes, size);
    EXPECT_EQ(input.config[2], 7);
    EXPECT_EQ(input.config[1], 255);
    EXPECT(kiln_fuzz_next(&input, &record));
    EXPECT_EQ(record.op, 1);
    EXPECT_EQ(record.slot, 3);
    EXPECT_EQ(record.size, 16);
    EXPECT_EQ(record.how, 255);
    EXPECT_EQ(record.arg, 0xdeadbeef);
    EXPECT(kiln_fuzz_next(&input, &record));
    EXPECT_EQ(record.op, 2 + 84 * 3);
    EXPECT(!kiln_fuzz_next(&input, &record));
}

static void test_what_is_missing_counts_as_zero(void)
{
    static const uint8_t few[19] = {9, 8, [16] = 1, 2, 3};
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t record;
    kiln_fuzz_open(&input, NULL, 0);
    EXPECT_EQ(input.config[0], 0);
    EXPECT(!kiln_fuzz_next(&input, &record));
    kiln_fuzz_open(&input, few, 2);
    EXPECT_EQ(input.config[1], 8);
    EXPECT_EQ(input.config[2], 0);
    EXPECT(!kiln_fuzz_next(&input, &record));
    kiln_fuzz_open(&input, few, sizeof few);
    EXPECT(kiln_fuzz_next(&input, &record));
    EXPECT_EQ(record.size, 3);
    EXPECT_EQ(record.arg, 0);
    EXPECT(!kiln_fuzz_next(&input, &record));
}

static void test_a_target_may_have_no_operations(void)
{
    size_t size = 0;
    unsigned line = 0;
    static const char spoken[] = "set speed 3\ntext a=b\\x00\\x5c # two lines\ntext \\xffc\n";
    EXPECT_RULE(kiln_fuzz_bytes_of(&text_words, spoken, bytes, sizeof bytes, &size, &line));
    EXPECT_EQ(size, KILN_FUZZ_CONFIG_BYTES + 7);
    EXPECT_EQ(bytes[0], 3);
    EXPECT(memcmp(bytes + KILN_FUZZ_CONFIG_BYTES,
                  "a=b\0\\\xff"
                  "c",
                  7) == 0);
}

static void text_loses_no_byte(const kiln_fuzz_words_t *about, uint64_t size_max, uint64_t rarely)
{
    kiln_rng_t rng = {.state = 1};
    unsigned line = 0;
    for (unsigned round = 0; round < 3000; round++) {
        size_t size = (size_t)kiln_rng_below(&rng, size_max), back = 0;
        for (size_t i = 0; i < size; i++)
            bytes[i] = kiln_rng_below(&rng, rarely) ? (uint8_t)kiln_rng_next(&rng)
                                                    : 0; /* many zeros: fields left out */
        size_t length = kiln_fuzz_text_of(about, bytes, size, text, sizeof text);
        EXPECT(length < sizeof text);
        EXPECT_EQ(strlen(text), length);
        EXPECT_RULE(kiln_fuzz_bytes_of(about, text, again, sizeof again, &back, &line));
        EXPECT_EQ(back, size);
        EXPECT(memcmp(bytes, again, size) == 0);
    }
}

static void test_text_loses_no_byte(void)
{
    text_loses_no_byte(&words, 200, 3);
    text_loses_no_byte(&text_words, 400, 10);
}

static void test_text_that_does_not_fit_is_cut(void)
{
    char little[16];
    memset(bytes, 1, 64);
    size_t length = kiln_fuzz_text_of(&words, bytes, 64, little, sizeof little);
    EXPECT(length >= sizeof little);
    EXPECT_EQ(strlen(little), sizeof little - 1);
}

static void test_bad_text_is_refused_with_its_line(void)
{
    static const struct {
        const char *text, *reason;
    } bad[] = {
        {"take\nsteal\n", "no such operation"},
        {"take\nset speed 1\n", "a setting after the first operation"},
        {"\nset speed 256\n", "want: set NAME 0..255"},
        {"\nset colour 1\n", "no such setting"},
        {"\nset byte16 1\n", "no such setting"},
        {"\ntake slot\n", "want NAME=VALUE after the operation"},
        {"\ntake slot=256\n", "slot, size and how are 0..255"},
        {"\ntake arg=0x100000000\n", "arg is 32 bits"},
        {"\ntake weight=1\n", "no such field: slot, size, how, arg"},
        {"\ngive+85\n", "too many turns"},
        {"\nbytes 1\n", "want two hex digits a byte"},
        {"\nbytes 00 11 22 33 44 55 66 77\n", "too many bytes for this line"},
        {"bytes 00\ntake\n", "nothing may follow bytes or short"},
        {"take\nshort 00\n", "short stands alone"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t size = 1;
        unsigned line = 0;
        const char *reason =
            kiln_fuzz_bytes_of(&words, bad[i].text, again, sizeof again, &size, &line);
        EXPECT_STR(reason, bad[i].reason);
        EXPECT_EQ(line, 2);
        EXPECT_EQ(size, 0);
    }
    static const char *const bad_text[] = {"\ntext",       "\ntext a\\", "\ntext \\x1",
                                           "\ntext \\n00", "\ntake",     "text a\nset speed 1"};
    for (unsigned i = 0; i < sizeof bad_text / sizeof *bad_text; i++) {
        size_t size = 1;
        unsigned line = 0;
        EXPECT(kiln_fuzz_bytes_of(&text_words, bad_text[i], again, sizeof again, &size, &line));
        EXPECT_EQ(line, 2);
        EXPECT_EQ(size, 0);
    }
    size_t size;
    unsigned line;
    EXPECT_STR(kiln_fuzz_bytes_of(&words, "text a", again, sizeof again, &size, &line),
               "no such operation");
    EXPECT_RULE(kiln_fuzz_bytes_of(&words, "take+85\n", again, sizeof again, &size, &line));
    EXPECT_STR(kiln_fuzz_bytes_of(&words, "take\ntake\n", again, 20, &size, &line),
               "the input is too long");
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_record_reads_as_it_was_written),
        KILN_TEST(test_what_is_missing_counts_as_zero),
        KILN_TEST(test_text_loses_no_byte),
        KILN_TEST(test_a_target_may_have_no_operations),
        KILN_TEST(test_text_that_does_not_fit_is_cut),
        KILN_TEST(test_bad_text_is_refused_with_its_line),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
