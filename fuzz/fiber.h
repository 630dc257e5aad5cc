/* fiber.h - a logical thread: a stack of its own, which runs when it is told to and stops where it
 * says so. All of them are one thread of the system's, so that what they do in turns is the same
 * each time.
 *
 * The sanitizers know of it: ASan which stack it is, and TSan that it is a thread. What happens
 * between two pauses of a call is ordered for TSan by the program's locks alone; the start and the
 * end of a call are ordered with whoever resumes, as they are where threads hand blocks over.
 *
 * Threads  one.   Memory  stacks are part of the struct. */
#ifndef KILN_FUZZ_FIBER_H
#define KILN_FUZZ_FIBER_H

#include <stdbool.h>
#include <stddef.h>

enum { KILN_FIBER_STACK_BYTES = 128 * 1024 };

typedef struct kiln_fiber kiln_fiber_t;
struct kiln_fiber {
    void *here[5], *resumer[5];            /* of __builtin_setjmp */
    void (*act)(kiln_fiber_t *fiber);      /* what it is to do; NULL: it is at rest */
    void *fake_stack, *resumer_fake_stack; /* ASan's */
    const void *resumer_stack;
    size_t resumer_stack_bytes;
    void *tsan, *resumer_tsan;
    bool is_begun, is_busy; /* busy: not at rest */
    _Alignas(64) unsigned char stack[KILN_FIBER_STACK_BYTES];
};

/* TSan takes logical threads for threads, and is to look at what they call, not at what steps them:
 * a function with the first, or what runs between calls of the others. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KILN_FIBER_UNSEEN __attribute__((disable_sanitizer_instrumentation))
#endif
#endif
#ifndef KILN_FIBER_UNSEEN
#define KILN_FIBER_UNSEEN
#endif
void kiln_fiber_unseen_begin(void);
void kiln_fiber_unseen_end(void);

/* kiln_fiber_reset makes it one at rest, wherever it was, and says that no fiber runs. The struct
 * was zero before the first. */
void kiln_fiber_reset(kiln_fiber_t *fiber);

/* kiln_fiber_start has a fiber at rest begin `act`; kiln_fiber_resume go on with it. Both return
 * when it pauses, or is through: then it is at rest. */
void kiln_fiber_start(kiln_fiber_t *fiber, void (*act)(kiln_fiber_t *fiber));
void kiln_fiber_resume(kiln_fiber_t *fiber);

/* kiln_fiber_running gives the fiber that runs, or NULL; kiln_fiber_pause goes back to whoever
 * resumed it. */
kiln_fiber_t *kiln_fiber_running(void);
void kiln_fiber_pause(void);

#endif
