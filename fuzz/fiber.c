/* fiber.c - logical threads, and what sanitizers are told of them (fiber.h). */
#include "fuzz/fiber.h"

#include "allocator/base/check.h"

#include <stdint.h>
#include <ucontext.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define KILN_FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#define KILN_FIBER_TSAN 1
void __tsan_ignore_thread_begin(void); /* of the runtime, in no header */
void __tsan_ignore_thread_end(void);
#endif
#endif

static kiln_fiber_t *running;

/* --- what the sanitizers are told ------------------------------------------------------------ */

static void leave_for(void **fake_stack, const void *stack, size_t stack_bytes)
{
#ifdef KILN_FIBER_ASAN
    __sanitizer_start_switch_fiber(fake_stack, stack, stack_bytes);
#else
    (void)fake_stack;
    (void)stack;
    (void)stack_bytes;
#endif
}

static void arrived(void *fake_stack, const void **from_stack, size_t *from_bytes)
{
#ifdef KILN_FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, from_stack, from_bytes);
#else
    (void)fake_stack;
    (void)from_stack;
    (void)from_bytes;
#endif
}

KILN_FIBER_UNSEEN static void become_thread(void *tsan)
{
#ifdef KILN_FIBER_TSAN
    __tsan_switch_to_fiber(tsan, __tsan_switch_to_fiber_no_sync);
#else
    (void)tsan;
#endif
}

/* A call begins after all that the resumer did, and the resumer goes on after a call is through. */
static void order_after(kiln_fiber_t *fiber)
{
#ifdef KILN_FIBER_TSAN
    __tsan_acquire(&fiber->act);
#else
    (void)fiber;
#endif
}

static void order_before(kiln_fiber_t *fiber)
{
#ifdef KILN_FIBER_TSAN
    __tsan_release(&fiber->act);
#else
    (void)fiber;
#endif
}

void kiln_fiber_unseen_begin(void)
{
#ifdef KILN_FIBER_TSAN
    __tsan_ignore_thread_begin();
#endif
}

void kiln_fiber_unseen_end(void)
{
#ifdef KILN_FIBER_TSAN
    __tsan_ignore_thread_end();
#endif
}

/* --- fibers ---------------------------------------------------------------------------------- */

KILN_FIBER_UNSEEN static void live(void)
{
    kiln_fiber_t *fiber = running;
    arrived(NULL, &fiber->resumer_stack, &fiber->resumer_stack_bytes);
    for (;;) {
        order_after(fiber);
        fiber->act(fiber);
        fiber->is_busy = false;
        order_before(fiber);
        kiln_fiber_pause();
    }
}

void kiln_fiber_reset(kiln_fiber_t *fiber)
{
    running = NULL;
    if (fiber->is_busy) fiber->is_begun = false;
    fiber->is_busy = false;
#ifdef KILN_FIBER_TSAN
    if (!fiber->tsan) fiber->tsan = __tsan_create_fiber(0);
#endif
}

/* leave goes on where `to` was left, or begins with a context where that is not NULL. It is
 * compilers' own setjmp, of a few instructions: glibc's swapcontext makes two system calls, and
 * under ASan clears the shadow of a whole stack. */
KILN_FIBER_UNSEEN static __attribute__((noinline)) void leave(void **from, void **to,
                                                              const ucontext_t *first)
{
    if (__builtin_setjmp(from) != 0) return;
    if (first) (void)setcontext(first);
    __builtin_longjmp(to, 1);
}

KILN_FIBER_UNSEEN static void go(kiln_fiber_t *fiber, const ucontext_t *first)
{
    kiln_fiber_t *was = running;
    KILN_CHECK(fiber->is_busy && fiber != was);
    running = fiber;
#ifdef KILN_FIBER_TSAN
    fiber->resumer_tsan = __tsan_get_current_fiber();
#endif
    leave_for(&fiber->resumer_fake_stack, fiber->stack, sizeof fiber->stack);
    become_thread(fiber->tsan);
    leave(fiber->resumer, fiber->here, first);
    arrived(fiber->resumer_fake_stack, NULL, NULL);
    running = was;
    if (!fiber->is_busy) order_after(fiber);
}

void kiln_fiber_start(kiln_fiber_t *fiber, void (*act)(kiln_fiber_t *fiber))
{
    KILN_CHECK(!fiber->is_busy);
    fiber->act = act;
    fiber->is_busy = true;
    order_before(fiber);
    if (fiber->is_begun) {
        go(fiber, NULL);
        return;
    }
    ucontext_t first;
    KILN_CHECK(getcontext(&first) == 0);
    first.uc_stack.ss_sp = fiber->stack;
    first.uc_stack.ss_size = sizeof fiber->stack;
    first.uc_link = NULL;
    makecontext(&first, live, 0);
    fiber->fake_stack = NULL;
    fiber->is_begun = true;
    go(fiber, &first);
}

void kiln_fiber_resume(kiln_fiber_t *fiber)
{
    go(fiber, NULL);
}

KILN_FIBER_UNSEEN kiln_fiber_t *kiln_fiber_running(void)
{
    return running;
}

KILN_FIBER_UNSEEN void kiln_fiber_pause(void)
{
    kiln_fiber_t *fiber = running;
    leave_for(&fiber->fake_stack, fiber->resumer_stack, fiber->resumer_stack_bytes);
    become_thread(fiber->resumer_tsan);
    leave(fiber->here, fiber->resumer, NULL);
    arrived(fiber->fake_stack, &fiber->resumer_stack, &fiber->resumer_stack_bytes);
}
