/* How a stopped program ends: the text on standard error, then SIGABRT, whatever the program did
 * about that signal. Each program is a child, and this one looks at its end. */
#define _GNU_SOURCE
#include "allocator/base/check.h"
#include "tests/kiln_test.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 4096, HANDLER_EXIT = 77 };

static char text[TEXT_MAX]; /* what the child wrote */

/* child_end runs `program` in a child that must not come back, and gives its wait status. */
static int child_end(void (*program)(void))
{
    int ends[2], status = 0;
    size_t length = 0;
    EXPECT(pipe(ends) == 0);
    fflush(NULL);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        alarm(20); /* a program that hangs is a failure, not a wait for ever */
        program();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], text + length, TEXT_MAX - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    EXPECT(waitpid(child, &status, 0) == child);
    return status;
}

static void expect_aborted(int status)
{
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGABRT);
}

static void default_action(void)
{
    signal(SIGABRT, SIG_DFL);
}

static void stops(void)
{
    default_action();
    kiln_stop("last words\n", 11);
}

static void test_stop_writes_and_aborts(void)
{
    expect_aborted(child_end(stops));
    EXPECT_STR(text, "last words\n");
}

static volatile int zero;

static void fails_a_check(void)
{
    default_action();
    KILN_CHECK(zero == 1);
}

static void test_a_failed_check_says_where_and_what(void)
{
    expect_aborted(child_end(fails_a_check));
    const char *rule = strstr(text, "os_stop_test.c:");
    EXPECT(strncmp(text, "kiln: ", 6) == 0 && rule);
    EXPECT_STR(strstr(rule, ": broken rule: "), ": broken rule: zero == 1\n");
}

static void ignores_the_signal(void)
{
    sigset_t all;
    signal(SIGABRT, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    kiln_stop("ignored\n", 8);
}

static void test_ignoring_or_blocking_the_signal_does_not_help(void)
{
    expect_aborted(child_end(ignores_the_signal));
    EXPECT_STR(text, "ignored\n");
}

static void handler_that_ends(int number)
{
    (void)number;
    _exit(HANDLER_EXIT);
}

static void has_a_handler(void)
{
    signal(SIGABRT, handler_that_ends);
    kiln_stop("handled\n", 8);
}

static void test_the_programs_own_handler_runs(void)
{
    int status = child_end(has_a_handler);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), HANDLER_EXIT);
    EXPECT_STR(text, "handled\n");
}

static void handler_that_returns(int number)
{
    (void)number;
    (void)!write(2, "handler\n", 8);
}

static void has_a_returning_handler(void)
{
    signal(SIGABRT, handler_that_returns);
    kiln_stop("returns\n", 8);
}

static void test_a_handler_that_returns_is_called_once(void)
{
    expect_aborted(child_end(has_a_returning_handler));
    EXPECT_STR(text, "returns\nhandler\n");
}

static void handler_that_stops(int number)
{
    (void)number;
    /* NOLINTNEXTLINE(bugprone-signal-handler,cert-msc54-cpp,cert-sig30-c): what is tested */
    kiln_stop("again\n", 6);
}

static void has_a_stopping_handler(void)
{
    signal(SIGABRT, handler_that_stops);
    kiln_stop("first\n", 6);
}

static void test_a_handler_that_stops_again_ends_the_program(void)
{
    expect_aborted(child_end(has_a_stopping_handler));
    EXPECT_STR(text, "first\nagain\n");
}

static _Atomic int handler_runs;

static void *stop_when_the_handler_runs(void *unused)
{
    (void)unused;
    while (!handler_runs) usleep(1000);
    kiln_stop("thread\n", 7);
}

/* The handler lets the other thread stop the program too, which must wait for this one. */
static void handler_that_lets_another_stop(int number)
{
    (void)number;
    handler_runs = 1;
    (void)poll(NULL, 0, 200);
    _exit(HANDLER_EXIT);
}

static void stops_in_two_threads(void)
{
    pthread_t thread;
    signal(SIGABRT, handler_that_lets_another_stop);
    if (pthread_create(&thread, NULL, stop_when_the_handler_runs, NULL) != 0) _exit(1);
    kiln_stop("main\n", 5);
}

static void test_the_first_thread_decides_the_end(void)
{
    int status = child_end(stops_in_two_threads);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), HANDLER_EXIT);
    EXPECT_STR(text, "main\nthread\n");
}

static void has_no_stderr(void)
{
    default_action();
    close(2);
    kiln_stop("nobody\n", 7);
}

static void test_nobody_listens(void)
{
    expect_aborted(child_end(has_no_stderr));
    EXPECT_STR(text, "");
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_stop_writes_and_aborts),
        KILN_TEST(test_a_failed_check_says_where_and_what),
        KILN_TEST(test_ignoring_or_blocking_the_signal_does_not_help),
        KILN_TEST(test_the_programs_own_handler_runs),
        KILN_TEST(test_a_handler_that_returns_is_called_once),
        KILN_TEST(test_a_handler_that_stops_again_ends_the_program),
        KILN_TEST(test_the_first_thread_decides_the_end),
        KILN_TEST(test_nobody_listens),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
