/* check.h in a build with assertions, and in one without (check_ndebug_test). */
#include "allocator/base/check.h"
#include "tests/kiln_test.h"

static jmp_buf stopped;
static char last_words[600];

_Noreturn void kiln_stop(const char *text, size_t bytes)
{
    if (bytes >= sizeof last_words) bytes = sizeof last_words - 1;
    memcpy(last_words, text, bytes);
    last_words[bytes] = '\0';
    longjmp(stopped, 1);
}

#define EXPECT_STOPS(statement, words)                                                             \
    do {                                                                                           \
        last_words[0] = '\0';                                                                      \
        if (setjmp(stopped) == 0) {                                                                \
            statement;                                                                             \
        }                                                                                          \
        EXPECT_STR(last_words, words);                                                             \
    } while (0)

static void test_a_check_that_fails_names_file_line_and_rule(void)
{
    EXPECT_STOPS(kiln_check_failed("2 + 2 == 5", "a.c", 0),
                 "kiln: a.c:0: broken rule: 2 + 2 == 5\n");
    EXPECT_STOPS(kiln_check_failed("r", "a.c", 2147483647),
                 "kiln: a.c:2147483647: broken rule: r\n");
    EXPECT_STOPS(kiln_check_failed("r", "a.c", -1), "kiln: a.c:0: broken rule: r\n");
}

static void test_a_rule_too_long_for_the_line_is_cut(void)
{
    char rule[600];
    memset(rule, 'x', sizeof rule - 1);
    rule[sizeof rule - 1] = '\0';
    last_words[0] = '\0';
    if (setjmp(stopped) == 0) kiln_check_failed(rule, "a.c", 1);
    EXPECT_EQ(strlen(last_words), 512);
    EXPECT(strncmp(last_words, "kiln: a.c:1: broken rule: xxx", 29) == 0);
}

static void test_checks_stay_in_every_build(void)
{
    const char *rule = "a rule";
    volatile int yes = 1;
    EXPECT_STOPS(KILN_CHECK(yes), "");
    EXPECT_STOPS(KILN_CHECK_RULE(yes ? NULL : rule), "");
    if (setjmp(stopped) == 0) KILN_CHECK(!yes);
    EXPECT(strstr(last_words, "check_test.c:") && strstr(last_words, ": broken rule: !yes\n"));
    if (setjmp(stopped) == 0) KILN_CHECK_RULE(yes ? rule : NULL);
    EXPECT(strstr(last_words, ": broken rule: a rule\n"));
}

static void test_assertions_stop_only_without_ndebug(void)
{
    volatile int times_run = 0;
    last_words[0] = '\0';
    if (setjmp(stopped) == 0) KILN_ASSERT(++times_run == 0);
    if (setjmp(stopped) == 0) KILN_ASSERT_RULE(++times_run ? "a rule" : NULL);
#ifdef NDEBUG
    EXPECT_EQ(times_run, 0);
    EXPECT_STR(last_words, "");
#else
    EXPECT_EQ(times_run, 2);
    EXPECT(strstr(last_words, ": broken rule: a rule\n"));
#endif
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_check_that_fails_names_file_line_and_rule),
        KILN_TEST(test_a_rule_too_long_for_the_line_is_cut),
        KILN_TEST(test_checks_stay_in_every_build),
        KILN_TEST(test_assertions_stop_only_without_ndebug),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
