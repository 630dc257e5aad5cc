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
    options.report = kiln_report_options;
    bool right = kiln_options_parse("KILN_OPTIONS", list, &options, &error);
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

static void test_reports(void)
{
    EXPECT(parse(""));
    EXPECT_EQ(options.report.forms, KILN_REPORT_TEXT);
    EXPECT(options.report.abort_on_error && options.report.halt_on_error);
    EXPECT(parse("report=json:log_path=/tmp/log:symbolize=0:halt_on_error=0:dedup_token_length=3"));
    EXPECT_EQ(options.report.forms, KILN_REPORT_JSON);
    EXPECT_STR(options.report.log_path, "/tmp/log");
    EXPECT(!options.report.symbolize && !options.report.halt_on_error);
    EXPECT_EQ(options.report.dedup_token_length, 3);
    EXPECT(parse("report=both:report_as=AddressSanitizer"));
    EXPECT_EQ(options.report.forms, KILN_REPORT_TEXT | KILN_REPORT_JSON);
    EXPECT_EQ(options.report.as_asan, 1);
    EXPECT(parse("report=both:report=text"));
    EXPECT_EQ(options.report.forms, KILN_REPORT_TEXT);
}

static void test_what_was_named_is_known(void)
{
    EXPECT(parse(""));
    EXPECT(!options.has_profile && !options.has_guard && !options.has_handle_segv);
    EXPECT_EQ(options.profile, KILN_PROFILE_HARDENED);
    EXPECT(parse("profile=fast:guard=some"));
    EXPECT(options.has_profile && options.has_guard && !options.has_handle_segv);
    EXPECT_EQ(options.profile, KILN_PROFILE_FAST);
    EXPECT(options.report.handle_segv && options.report.handle_sigbus);
    EXPECT(parse("handle_segv=0"));
    EXPECT(options.has_handle_segv && !options.report.handle_segv && !options.report.handle_sigbus);
    EXPECT(parse("handle_sigbus=1:handle_segv=0"));
    EXPECT(!options.report.handle_segv && options.report.handle_sigbus);
}

static void test_an_exit_code_is_wanted_unless_abort_is(void)
{
    EXPECT(parse("exitcode=23"));
    EXPECT(!options.report.abort_on_error && options.report.exitcode == 23);
    EXPECT(parse("exitcode=23:abort_on_error=1"));
    EXPECT(options.report.abort_on_error);
    EXPECT(parse("abort_on_error=0"));
    EXPECT(!options.report.abort_on_error && options.report.exitcode == 1);
}

static bool afl(const char *limit_mb, bool hard_fail, bool verbose)
{
    static kiln_message_t error;
    error.length_bytes = 0;
    memset(&options, 0, sizeof options);
    options.report = kiln_report_options;
    bool right = kiln_options_afl(limit_mb, hard_fail, verbose, &options, &error);
    memcpy(error_text, error.text, error.length_bytes);
    error_text[error.length_bytes] = '\0';
    return right;
}

static void test_libdislocators_variables(void)
{
    EXPECT(afl(NULL, false, false));
    EXPECT(options.report.may_return_null && !options.stats && options.limit_bytes == 0);
    EXPECT(afl("50", true, true));
    EXPECT(!options.report.may_return_null && options.stats);
    EXPECT_EQ(options.limit_bytes, 50 << 20);
    EXPECT(!afl("lots", false, false));
    EXPECT_STR(error_text, "AFL_LD_LIMIT_MB is a number of megabytes above 0, not \"lots\"\n");
    EXPECT(!afl("0", false, false));
    EXPECT(!afl("18446744073709551615", false, false));
}

static void test_wrong_lists_are_named(void)
{
    static const struct {
        const char *list, *error;
    } wrong[] = {
        {"exitcode=256", "KILN_OPTIONS: exitcode is a number from 0 to 255, not \"256\"\n"},
        {"report=xml", "KILN_OPTIONS: report is one of text|json|both, not \"xml\"\n"},
        {"report_as=asan",
         "KILN_OPTIONS: report_as is one of Kiln|AddressSanitizer, not \"asan\"\n"},
        {"halt_on_eror=0", "KILN_OPTIONS has no option \"halt_on_eror\"; the nearest is "
                           "halt_on_error, and KILN_OPTIONS=help=1 lists them all\n"},
        {"log_path=", "KILN_OPTIONS: log_path wants the name of a file after the =\n"},
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
    memcpy(list + sizeof list - 8, "stats=1", 7);
    EXPECT(!parse(
        list)); /* of the name there is the beginning; what it is nearest to, for all of it */
    EXPECT(strlen(error_text) < 512);
    EXPECT(strstr(error_text, "xxxx...\"; the nearest is stats, and"));
}

static void test_a_message_is_one_line(void)
{
    EXPECT(!parse("stats=\n\x7f\t\xc3\xa9"));
    EXPECT_STR(error_text, "KILN_OPTIONS: stats is 0 or 1, not \"\\x0a\\x7f\\x09\xc3\xa9\"\n");
}

static void test_help_names_every_option(void)
{
    static char text[16384];
    kiln_out_t help = {text, sizeof text - 1, 0, -1};
    kiln_options_help(&help);
    text[help.length] = '\0';
    EXPECT(help.length < help.room);
    EXPECT(strstr(text, "\n  help=0|1 (default: 0)\n"));
    EXPECT(strstr(text, "\n  record=FILE\n"));
    EXPECT(strstr(text, "\n  idle_bytes=N "));
    EXPECT(strstr(text, "\n  stats=0|1 (default: 0)\n"));
    EXPECT(strstr(text, "\n  report=text|json|both (default: text)\n"));
}

static bool same_reports(const kiln_report_options_t *a, const kiln_report_options_t *b)
{
    return a->forms == b->forms && a->as_asan == b->as_asan && a->symbolize == b->symbolize &&
           a->abort_on_error == b->abort_on_error && a->halt_on_error == b->halt_on_error &&
           a->handle_segv == b->handle_segv && a->handle_sigbus == b->handle_sigbus &&
           a->may_return_null == b->may_return_null && a->exitcode == b->exitcode &&
           a->dedup_token_length == b->dedup_token_length &&
           a->malloc_context_size == b->malloc_context_size &&
           strcmp(a->symbolizer, b->symbolizer) == 0;
}

/* The default that help prints is what an option is when nobody sets it. */
static void test_helps_defaults_are_true(void)
{
    static char text[16384];
    static kiln_options_t normal;
    kiln_out_t help = {text, sizeof text - 1, 0, -1};
    unsigned compared = 0;
    kiln_options_help(&help);
    text[help.length] = '\0';
    EXPECT(parse(""));
    normal = options;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *name = line + 2, *equals = strchr(line, '='), *value = strstr(line, "(default: ");
        if (strncmp(line, "  ", 2) != 0 || name[0] == ' ' || !equals || !value) continue;
        char list[128];
        value += strlen("(default: ");
        if (strchr(value, ' ')) continue; /* as the machine has */
        snprintf(list, sizeof list, "%.*s=%.*s", (int)(equals - name), name,
                 (int)strcspn(value, ")"), value);
        if (strncmp(list, "log_path", 8) == 0) continue; /* a name for what "" means */
        EXPECT(parse(list));
        bool is_exit = strncmp(list, "exitcode", 8) == 0; /* setting it at all says more */
        if (is_exit) options.report.abort_on_error = true;
        EXPECT(same_reports(&options.report, &normal.report));
        EXPECT(options.help == normal.help && options.stats == normal.stats);
        EXPECT(options.profile == normal.profile);
        EXPECT(!options.has_huge_pages || options.huge_pages); /* as where nobody sets it */
        compared++;
    }
    EXPECT_EQ(compared, 15);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_numbers),
        KILN_TEST(test_right_lists),
        KILN_TEST(test_reports),
        KILN_TEST(test_what_was_named_is_known),
        KILN_TEST(test_an_exit_code_is_wanted_unless_abort_is),
        KILN_TEST(test_libdislocators_variables),
        KILN_TEST(test_wrong_lists_are_named),
        KILN_TEST(test_long_values_neither_fit_nor_spill),
        KILN_TEST(test_a_message_is_one_line),
        KILN_TEST(test_help_names_every_option),
        KILN_TEST(test_helps_defaults_are_true),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
