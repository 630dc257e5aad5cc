/* race_child.h - one run of the race detector, in a process of its own.
 *
 * A process has one detector, and some of what is tried here must crash. So every scenario is a
 * function that runs in a child; the parent looks at how it ended and at what it wrote to standard
 * error. A failed expectation in a child is a failure of its parent. */
#ifndef KILN_TESTS_RACE_RACE_CHILD_H
#define KILN_TESTS_RACE_RACE_CHILD_H

#include "tests/kiln_test.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHILD_FAILED = 99,   /* an expectation in the child */
    CHILD_REPORTS = 66,  /* the detector's own status when there were reports */
    CHILD_SIGNAL = 1000, /* plus the signal that ended it */
    CHILD_TEXT_MAX = 1 << 20,
};

typedef struct child {
    int status; /* of exit, or CHILD_SIGNAL + n */
    long peak_kib;
    char text[CHILD_TEXT_MAX]; /* standard error */
} child_t;

static inline void child_run(void (*scenario)(void), int errors)
{
    struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)dup2(errors, STDERR_FILENO);
    if (setjmp(kiln_test_failed) == 0) {
        scenario();
        exit(0);
    }
    _exit(CHILD_FAILED);
}

/* child_of runs `scenario` to its end. The result is valid until the next call. */
static inline const child_t *child_of(void (*scenario)(void))
{
    static child_t child;
    FILE *errors = tmpfile();
    int status;
    struct rusage usage;

    EXPECT(errors);
    fflush(stdout); /* else the child writes it again */
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) child_run(scenario, fileno(errors));
    EXPECT(wait4(pid, &status, 0, &usage) == pid);
    child.status = WIFEXITED(status) ? WEXITSTATUS(status) : CHILD_SIGNAL + WTERMSIG(status);
    child.peak_kib = usage.ru_maxrss;
    EXPECT_EQ(fseek(errors, 0, SEEK_SET), 0);
    child.text[fread(child.text, 1, sizeof child.text - 1, errors)] = 0;
    fclose(errors);
    if (child.status == CHILD_FAILED) fputs(child.text, stderr);
    return &child;
}

/* child_expect: the child ended so; else what it wrote is shown. */
static inline void child_expect(const child_t *child, int status)
{
    if (child->status != status)
        fprintf(stderr, "the child wrote:\n%s(its end: %d, not %d; %d is a failed expectation)\n",
                child->text, child->status, status, CHILD_FAILED);
    EXPECT_EQ(child->status, status);
}

static inline unsigned child_count(const child_t *child, const char *words)
{
    unsigned count = 0;
    for (const char *at = child->text; (at = strstr(at, words)); at++) count++;
    return count;
}

#endif
