/* kiln_stop for Linux: the text to standard error, then SIGABRT.
 *
 * A program's own handler of SIGABRT runs first: fuzzing engines and crash reporters count on it.
 * If it comes back, or stops the program once more while it runs, the default action follows. */
#include "allocator/base/check.h"
#include "allocator/os/linux_syscall.h"

#include <linux/errno.h>
#include <linux/futex.h>
#include <linux/signal.h>

#include <stdatomic.h>

enum {
    STDERR = 2,
#ifdef __mips__
    KERNEL_SIGSET_BYTES = 16,
#else
    KERNEL_SIGSET_BYTES = 8,
#endif
    EXIT_AS_ABORTED = 128 + SIGABRT, /* what a shell shows for SIGABRT */
};

static _Atomic long stopping_thread; /* 0: nobody stops the program yet */

static void write_all(const char *text, size_t bytes)
{
    while (bytes > 0) {
        long written = kiln_linux_call(__NR_write, STDERR, (uintptr_t)text, bytes, 0, 0);
        if (written == -EINTR) continue;
        if (written <= 0) return; /* nobody listens */
        text += written;
        bytes -= (size_t)written;
    }
}

static void abort_thread(long thread)
{
    uint64_t abort_only[2] = {UINT64_C(1) << (SIGABRT - 1), 0};
    (void)kiln_linux_call(__NR_rt_sigprocmask, SIG_UNBLOCK, (uintptr_t)abort_only, 0,
                          KERNEL_SIGSET_BYTES, 0);
    long process = kiln_linux_call(__NR_getpid, 0, 0, 0, 0, 0);
    (void)kiln_linux_call(__NR_tgkill, (uintptr_t)process, (uintptr_t)thread, SIGABRT, 0, 0);
}

/* All zero is the kernel's struct for SIG_DFL without flags, whatever its layout. */
static void default_action(void)
{
    uint64_t action[8] = {0};
    (void)kiln_linux_call(__NR_rt_sigaction, SIGABRT, (uintptr_t)action, 0, KERNEL_SIGSET_BYTES, 0);
}

/* The thread that was first decides how the program ends; the others wait for that. */
static void wait_for_the_end(void)
{
    static const uint32_t never_woken = 0;
    for (;;)
        (void)kiln_linux_call(KILN_LINUX_FUTEX, (uintptr_t)&never_woken, FUTEX_WAIT_PRIVATE, 0, 0,
                              0);
}

_Noreturn void kiln_stop(const char *text, size_t bytes)
{
    long thread = kiln_linux_call(__NR_gettid, 0, 0, 0, 0, 0), first = 0;
    write_all(text, bytes);
    if (atomic_compare_exchange_strong(&stopping_thread, &first, thread))
        abort_thread(thread); /* back here: the program's handler returned */
    else if (first != thread)
        wait_for_the_end();
    default_action();
    abort_thread(thread);
    for (;;) (void)kiln_linux_call(__NR_exit_group, EXIT_AS_ABORTED, 0, 0, 0, 0);
}
