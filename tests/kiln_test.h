/* kiln_test.h - a test program is a list of functions.
 *
 * Small on purpose: the tests run under every sanitizer, at 32 bits and on heaps that are being
 * tested, where a library compiled some other way would be in the way.
 *
 *   static void test_take_from_full_span_returns_false(void) { EXPECT(!take(&s)); }
 *   int main(int argc, char **argv)
 *   {
 *       static const kiln_test_t tests[] = {KILN_TEST(test_take_from_full_span_returns_false)};
 *       return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
 *   }
 *
 * `PROGRAM NAME...` runs only the tests whose names contain one of the words. A failed expectation
 * prints FILE:LINE and ends that test; the exit status is 1 when any failed, 2 when no test has
 * such a name. */
#ifndef KILN_TESTS_KILN_TEST_H
#define KILN_TESTS_KILN_TEST_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct kiln_test {
    const char *name;
    void (*run)(void);
} kiln_test_t;

#define KILN_TEST(function) {#function, function}

static jmp_buf kiln_test_failed;
static const char *kiln_test_program;
static const char *kiln_test_name;

#define EXPECT(x)                                                                                  \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #x);                       \
            longjmp(kiln_test_failed, 1);                                                          \
        }                                                                                          \
    } while (0)

#define EXPECT_EQ(left, right)                                                                     \
    do {                                                                                           \
        uint64_t kiln_left_ = (uint64_t)(left), kiln_right_ = (uint64_t)(right);                   \
        if (kiln_left_ != kiln_right_) {                                                           \
            fprintf(stderr, "%s:%d: expected %s == %s, got %#llx and %#llx\n", __FILE__, __LINE__, \
                    #left, #right, (unsigned long long)kiln_left_,                                 \
                    (unsigned long long)kiln_right_);                                              \
            longjmp(kiln_test_failed, 1);                                                          \
        }                                                                                          \
    } while (0)

#define EXPECT_STR(left, right)                                                                    \
    do {                                                                                           \
        const char *kiln_left_ = (left), *kiln_right_ = (right);                                   \
        if (!kiln_left_ || !kiln_right_ || strcmp(kiln_left_, kiln_right_) != 0) {                 \
            fprintf(stderr, "%s:%d: expected %s to be %s, got \"%s\" and \"%s\"\n", __FILE__,      \
                    __LINE__, #left, #right, kiln_left_ ? kiln_left_ : "(null)",                   \
                    kiln_right_ ? kiln_right_ : "(null)");                                         \
            longjmp(kiln_test_failed, 1);                                                          \
        }                                                                                          \
    } while (0)

/* A rule that must hold: EXPECT_RULE(kiln_span_broken_rule(&span)). */
#define EXPECT_RULE(answer)                                                                        \
    do {                                                                                           \
        const char *kiln_rule_ = (answer);                                                         \
        if (kiln_rule_) {                                                                          \
            fprintf(stderr, "%s:%d: broken rule: %s\n", __FILE__, __LINE__, kiln_rule_);           \
            longjmp(kiln_test_failed, 1);                                                          \
        }                                                                                          \
    } while (0)

static inline int kiln_test_wanted(const char *name, int argc, char **argv)
{
    if (argc < 2) return 1;
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i])) return 1;
    return 0;
}

static inline int kiln_test_one(const kiln_test_t *test)
{
    kiln_test_name = test->name;
    if (setjmp(kiln_test_failed) == 0) {
        test->run();
        return 1;
    }
    fprintf(stderr, "FAILED %s; again alone: %s %s\n", test->name, kiln_test_program, test->name);
    return 0;
}

static inline int kiln_test_main(int argc, char **argv, const kiln_test_t *tests, size_t count)
{
    volatile unsigned passed = 0, failed = 0;
    kiln_test_program = argv[0];
    for (volatile size_t i = 0; i < count; i++) {
        if (!kiln_test_wanted(tests[i].name, argc, argv)) continue;
        if (kiln_test_one(&tests[i]))
            passed++;
        else
            failed++;
    }
    printf("%u passed, %u failed\n", passed, failed);
    if (passed + failed == 0) {
        fprintf(stderr, "%s: no test has such a name\n", argv[0]);
        return 2;
    }
    return failed ? 1 : 0;
}

#endif
