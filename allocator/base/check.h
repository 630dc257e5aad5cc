/* check.h - two kinds of assertion.
 *
 * KILN_CHECK stays in every build and guards what a buggy program or a lying OS can reach.
 * KILN_ASSERT is for this project's own logic; it is compiled, but not run, when NDEBUG is set.
 * KILN_CHECK_RULE takes the answer of a kiln_<noun>_broken_rule() function: NULL, or the name of
 * the law that does not hold.
 *
 * Threads  any.   Memory  none is allocated, so a failing check works inside malloc. */
#ifndef KILN_ALLOCATOR_BASE_CHECK_H
#define KILN_ALLOCATOR_BASE_CHECK_H

#include <stddef.h>

/* kiln_stop writes `bytes` bytes of `text` where the embedder wants its last words, then ends the
 * process. The core only declares it: //allocator/os:stop_linux is the one for Linux (write(2) on
 * standard error, then SIGABRT); an embedder without an OS supplies its own. */
_Noreturn void kiln_stop(const char *text, size_t bytes);

/* kiln_check_failed stops the program with "kiln: FILE:LINE: broken rule: RULE". */
_Noreturn void kiln_check_failed(const char *rule, const char *file, int line);

#define KILN_CHECK(x) ((x) ? (void)0 : kiln_check_failed(#x, __FILE__, __LINE__))
#define KILN_CHECK_RULE(answer)                                                                    \
    do {                                                                                           \
        const char *kiln_rule_ = (answer);                                                         \
        if (kiln_rule_) kiln_check_failed(kiln_rule_, __FILE__, __LINE__);                         \
    } while (0)

#ifdef NDEBUG
#define KILN_ASSERT(x) ((void)sizeof(x))
#define KILN_ASSERT_RULE(answer) ((void)sizeof(answer))
#else
#define KILN_ASSERT(x) KILN_CHECK(x)
#define KILN_ASSERT_RULE(answer) KILN_CHECK_RULE(answer)
#endif

#endif
