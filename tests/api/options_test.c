/* KILN_OPTIONS: what is read, and what is said about what cannot be read. */
#include "allocator/api/options.h"
#include "tests/kiln_test.h"

static kiln_options_t options;
static char error_text[KILN_MESSAGE_BYTES_MAX + 1];

static bool parse(const char *list)
{
    static kiln_message_t error;
    error.length_bytes = 0;
    memset(&options, 0, sizeof options);
    bool right = kiln_options_parse(list, &options, &error);
    memcpy(error_text, error.text, error.length_bytes);
    error_text[error.length_bytes] = '\0';
    return right;
}

static void test_numbers(void)
{
    static const struct {
        const char *digits;
        uint64_t number;
    } right[] = {
        {"0", 0},
        {"7", 7},
        {"4096", 4096},
        {"0x0", 0},
        {"0x1F", 31},
        {"0Xff", 255},
        {"017", 15},
        {"00", 0},
        {"18446744073709551615", UINT64_MAX},
        {"0xffffffffffffffff", UINT64_MAX},
        {"01777777777777777777777", UINT64_MAX},
    };
    static const char *const wrong[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x",
        "0xg",
        "08",
        "12a",
        "1e3",
        "1k",
        "0b1",
        "--",
        "18446744073709551616",
        "0x1ffffffffffffffff",
        "99999999999999999999",
        "02000000000000000000000",
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        uint64_t number = 99;
        EXPECT(kiln_options_number(right[i].digits, strlen(right[i].digits), &number));
        EXPECT_EQ(number, right[i].number);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t number = 99;
        EXPECT(!kiln_options_number(wrong[i], strlen(wrong[i]), &number));
        EXPECT_EQ(number, 99);
    }
    uint64_t number = 99; /* only the bytes that were given */
    EXPECT(kiln_options_number("12345", 2, &number));
    EXPECT_EQ(number, 12);
}

static void test_right_lists(void)
{
    EXPECT(parse(""));
    EXPECT(!options.help && !options.stats && options.record[0] == '\0');
    EXPECT(parse("stats=1"));
    EXPECT(options.stats && !options.help);
    EXPECT(parse("stats=1:stats=0"));
    EXPECT(!options.stats);
    EXPECT(!options.has_idle_bytes);
    EXPECT(parse("idle_bytes=0x10000"));
    EXPECT(options.has_idle_bytes && options.idle_bytes == 65536);
    EXPECT(parse(":help=0x1::record=/tmp/a=b:stats=1:"));
    EXPECT(options.stats && options.help);
    EXPECT_STR(options.record, "/tmp/a=b");
}

static void test_wrong_lists_are_named(void)
{
    static const struct {
        const char *list, *error;
    } wrong[] = {
        {"reccord=x", "KILN_OPTIONS has no option \"reccord\"; the nearest is record, and "
                      "KILN_OPTIONS=help=1 lists them all\n"},
        {"stats=1:hlp=1", "KILN_OPTIONS has no option \"hlp\"; the nearest is help, and "
                          "KILN_OPTIONS=help=1 lists them all\n"},
        {"STATS=1", "KILN_OPTIONS has no option \"STATS\"; the nearest is stats, and "
                    "KILN_OPTIONS=help=1 lists them all\n"},
        {"=1", "KILN_OPTIONS has no option \"\"; the nearest is help, and "
               "KILN_OPTIONS=help=1 lists them all\n"},
        {"stats", "KILN_OPTIONS: \"stats\" has no value; write it as key=value\n"},
        {"help=1:stats", "KILN_OPTIONS: \"stats\" has no value; write it as key=value\n"},
        {"idle_bytes=1M", "KILN_OPTIONS: idle_bytes is a number of bytes, not \"1M\"\n"},
        {"stats=yes", "KILN_OPTIONS: stats is 0 or 1, not \"yes\"\n"},
        {"stats=", "KILN_OPTIONS: stats is 0 or 1, not \"\"\n"},
        {"help=2", "KILN_OPTIONS: help is 0 or 1, not \"2\"\n"},
        {"record=", "KILN_OPTIONS: record wants the name of a file after the =\n"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        EXPECT(!parse(wrong[i].list));
        EXPECT_STR(error_text, wrong[i].error);
    }
}

static void test_long_values_neither_fit_nor_spill(void)
{
    static char list[20000];
    memset(list, 'x', sizeof list - 1);
    memcpy(list, "record=", 7);
    EXPECT(!parse(list));
    EXPECT_STR(error_text, "KILN_OPTIONS: record wants a file name of less than 4096 bytes\n");
    list[7 + 4096] = '\0';
    EXPECT(!parse(list));
    list[7 + 4095] = '\0';
    EXPECT(parse(list));
    EXPECT_EQ(strlen(options.record), 4095);
    memset(list, 'x', sizeof list - 1);
    memcpy(list + sizeof list - 3, "=1", 3);
    EXPECT(!parse(list)); /* the message is cut, not the memory after it */
    EXPECT_EQ(strlen(error_text), KILN_MESSAGE_BYTES_MAX);
}

static void test_help_names_every_option(void)
{
    kiln_message_t help = {.length_bytes = 0};
    char text[KILN_MESSAGE_BYTES_MAX + 1];
    kiln_options_help(&help);
    memcpy(text, help.text, help.length_bytes);
    text[help.length_bytes] = '\0';
    EXPECT(strstr(text, "  help=1 "));
    EXPECT(strstr(text, "  record=FILE "));
    EXPECT(strstr(text, "  idle_bytes=N "));
    EXPECT(strstr(text, "  stats=1 "));
    EXPECT(help.length_bytes < KILN_MESSAGE_BYTES_MAX);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_numbers),
        KILN_TEST(test_right_lists),
        KILN_TEST(test_wrong_lists_are_named),
        KILN_TEST(test_long_values_neither_fit_nor_spill),
        KILN_TEST(test_help_names_every_option),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
