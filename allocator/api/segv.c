#define _GNU_SOURCE
#include "allocator/api/segv.h"

#include "allocator/api/process.h"
#include "allocator/os/linux_syscall.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

enum {
    ERROR_WRITE = 2, /* x86's page fault error code */
    KERNEL_SIGSET_BYTES = 8,
};

kiln_segv_explain_t *kiln_segv_explain;

/* The C library's own, by names that programs do not use. */
extern int libc_sigaction(int number, const struct sigaction *action,
                          struct sigaction *old) __asm__("__sigaction");
extern sighandler_t libc_signal(int number, sighandler_t handler) __asm__("ssignal");

/* What the program believes to be set. Written with all signals blocked and the lock held; the
 * handler reads the copy that `current` names, which is not written until the other has been. */
typedef struct disposition {
    _Atomic bool ours; /* Kiln's handler is set */
    _Atomic unsigned current;
    struct sigaction wanted[2]; /* by the program */
} disposition_t;

static disposition_t segv, bus;
static _Atomic bool writing;
static _Atomic long process;                          /* whose handlers they are */
static const kiln_report_options_t *_Atomic awaiting; /* kiln_segv_begin_later's, until then */

static long this_process(void)
{
    return kiln_linux_call(__NR_getpid, 0, 0, 0, 0, 0);
}

/* NULL: the signal is not Kiln's. */
static disposition_t *disposition_of(int number)
{
    if (number == SIGSEGV && segv.ours) return &segv;
    return number == SIGBUS && bus.ours ? &bus : NULL;
}

static const struct sigaction *wanted(disposition_t *disposition)
{
    return &disposition->wanted[atomic_load_explicit(&disposition->current, memory_order_acquire)];
}

static bool is_function(const struct sigaction *action)
{
    return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static void fill_registers(const ucontext_t *context, kiln_unwind_t *out)
{
    const greg_t *from = context->uc_mcontext.gregs;
#if defined(__x86_64__)
    static const uint8_t of[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                 REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                 REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
#else
    static const uint8_t of[] = {REG_EAX, REG_ECX, REG_EDX, REG_EBX, REG_ESP,
                                 REG_EBP, REG_ESI, REG_EDI, REG_EIP};
#endif
    for (unsigned i = 0; i < KILN_UNWIND_REGISTERS; i++) out->registers[i] = (uintptr_t)from[of[i]];
    out->exact = true;
}

static bool is_the_programs(kiln_heap_about_t about)
{
    return about.live || (about.heap && about.state == KILN_SLOT_BUSY);
}

/* In the heap, or in what the heap has reserved and not used yet, but in no block that is live or
 * that a call is at work in. No lock: what another thread changes meanwhile makes a lesser answer,
 * not a wrong step. */
static bool is_of_the_heap(uintptr_t address)
{
    kiln_heap_t *heap = &kiln_process_heap;
    if (heap->config.os == NULL) return false;
    if (kiln_page_map_find(&heap->map, address) != NULL)
        return !is_the_programs(kiln_heap_about(heap, (const void *)address));
    return address >= heap->arena.arena_alloc && address < heap->arena.arena_end;
}

static bool explain(kiln_report_t *report)
{
    if (kiln_segv_explain && kiln_segv_explain(report)) return true;
    if (!is_of_the_heap(report->address)) return false;
    report->kind = KILN_REPORT_WILD_ACCESS;
    report->look_up = true;
    return true;
}

static void report_fault(const siginfo_t *info, const ucontext_t *context)
{
    static const uint64_t both = UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1);
    bool is_write = (context->uc_mcontext.gregs[REG_ERR] & ERROR_WRITE) != 0;
    kiln_unwind_t at;
    kiln_report_t report = {
        .address = (uintptr_t)info->si_addr,
        .access = is_write ? KILN_ACCESS_WRITE : KILN_ACCESS_READ,
        .at = &at,
    };
    fill_registers(context, &at);
    if (!explain(&report)) return;
    /* A fault in the report ends it: see kiln_segv_during_report. */
    (void)kiln_linux_call(__NR_rt_sigprocmask, SIG_UNBLOCK, (uintptr_t)&both, 0,
                          KERNEL_SIGSET_BYTES, 0);
    kiln_report(&report);
}

/* A fault comes again when the instruction does; a signal that was sent does not. */
static void default_action(int number, const siginfo_t *info, bool is_ignored)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    if (info->si_code <= 0 && is_ignored) return;
    (void)libc_sigaction(number, &action, NULL);
    if (info->si_code > 0) return;
    long thread = kiln_linux_call(__NR_gettid, 0, 0, 0, 0, 0);
    (void)kiln_linux_call(__NR_tgkill, (uintptr_t)this_process(), (uintptr_t)thread,
                          (uintptr_t)number, 0, 0);
}

static void handle(int number, siginfo_t *info, void *context)
{
    int errno_before = errno;
    bool is_fault = info->si_code > 0 && info->si_code != SI_KERNEL; /* else there is no address */
    if (is_fault) report_fault(info, context);
    struct sigaction action = *wanted(number == SIGSEGV ? &segv : &bus);
    errno = errno_before;
    if (!is_function(&action)) {
        default_action(number, info, action.sa_handler == SIG_IGN);
        return;
    }
    if (action.sa_flags & (int)SA_RESETHAND) {
        struct sigaction none = {.sa_handler = SIG_DFL};
        (void)sigaction(number, &none, NULL);
    }
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(number, info, context);
    else
        action.sa_handler(number);
}

/* Kiln's handler, as the program wants its own to be called. */
static int set_ours(int number, const struct sigaction *program, struct sigaction *old)
{
    struct sigaction ours = *program;
    ours.sa_sigaction = handle;
    if (!is_function(program)) {
        sigemptyset(&ours.sa_mask);
        ours.sa_flags = SA_ONSTACK;
    }
    ours.sa_flags = (ours.sa_flags & ~(int)SA_RESETHAND) | SA_SIGINFO;
    return libc_sigaction(number, &ours, old);
}

static int set_wanted(int number, disposition_t *disposition, const struct sigaction *action,
                      struct sigaction *old)
{
    uint64_t all = UINT64_MAX, before = 0;
    int answer = 0;
    (void)kiln_linux_call(__NR_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&all, (uintptr_t)&before,
                          KERNEL_SIGSET_BYTES, 0);
    while (atomic_exchange_explicit(&writing, true, memory_order_acquire)) {
    }
    struct sigaction was = *wanted(disposition);
    if (action) {
        unsigned next = !atomic_load_explicit(&disposition->current, memory_order_relaxed);
        disposition->wanted[next] = *action;
        atomic_store_explicit(&disposition->current, next, memory_order_release);
        answer = set_ours(number, action, NULL);
    }
    atomic_store_explicit(&writing, false, memory_order_release);
    (void)kiln_linux_call(__NR_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&before, 0,
                          KERNEL_SIGSET_BYTES, 0);
    if (old) *old = was;
    return answer;
}

/* The child of a vfork, which has this memory and handlers of its own. */
static int set_elsewhere(int number, disposition_t *disposition, const struct sigaction *action,
                         struct sigaction *old)
{
    struct sigaction was = *wanted(disposition);
    int answer = action ? libc_sigaction(number, action, NULL) : 0;
    if (old) *old = was;
    return answer;
}

static void begin_if_awaited(void)
{
    const kiln_report_options_t *options =
        atomic_load_explicit(&awaiting, memory_order_relaxed) == NULL
            ? NULL
            : atomic_exchange_explicit(&awaiting, NULL, memory_order_acquire);
    if (options) kiln_segv_begin(options);
}

KILN_EXPORT int sigaction(int number, const struct sigaction *restrict action,
                          struct sigaction *restrict old)
{
    disposition_t *disposition = disposition_of(number);
    if (disposition)
        return this_process() == atomic_load_explicit(&process, memory_order_relaxed)
                   ? set_wanted(number, disposition, action, old)
                   : set_elsewhere(number, disposition, action, old);
    int answer = libc_sigaction(number, action, old);
    if (answer == 0) begin_if_awaited();
    return answer;
}

/* Faults take the way above; all others go to the C library's function by its other name. */
KILN_EXPORT sighandler_t signal(int number, sighandler_t handler)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    if (!disposition_of(number) || handler == SIG_ERR) {
        sighandler_t was = libc_signal(number, handler);
        if (was != SIG_ERR) begin_if_awaited();
        return was;
    }
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, number);
    return sigaction(number, &action, &old) < 0 ? SIG_ERR : old.sa_handler;
}

/* What <signal.h> makes of signal() for a program that asks for nothing but POSIX or C. */
KILN_EXPORT sighandler_t kiln_sysv_signal(int number,
                                          sighandler_t handler) __asm__("__sysv_signal");
KILN_EXPORT sighandler_t kiln_sysv_signal(int number, sighandler_t handler)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    struct sigaction old;
    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, &old) < 0 ? SIG_ERR : old.sa_handler;
}

KILN_EXPORT sighandler_t sysv_signal(int number, sighandler_t handler)
{
    return kiln_sysv_signal(number, handler);
}

/* Behind what the kernel knows of the mask is whatever the C library had there. */
static void keep_wanted(disposition_t *disposition, const struct sigaction *action)
{
    unsigned next = !atomic_load_explicit(&disposition->current, memory_order_relaxed);
    struct sigaction *wanted = &disposition->wanted[next];
    *wanted = *action;
    memset((char *)&wanted->sa_mask + KERNEL_SIGSET_BYTES, 0,
           sizeof wanted->sa_mask - KERNEL_SIGSET_BYTES);
    atomic_store_explicit(&disposition->current, next, memory_order_release);
}

/* Another thread may set the program's handler meanwhile: then what Kiln's replaced is another than
 * was found, and Kiln's takes its form. */
static void begin(int number, disposition_t *disposition)
{
    struct sigaction found, replaced;
    if (disposition->ours || libc_sigaction(number, NULL, &replaced) != 0) return;
    do {
        found = replaced;
        keep_wanted(disposition, &found);
        if (set_ours(number, &found, &replaced) != 0) return;
    } while (replaced.sa_sigaction != found.sa_sigaction && replaced.sa_sigaction != handle);
    disposition->ours = true;
}

void kiln_segv_begin(const kiln_report_options_t *options)
{
    if (!options->handle_segv && !options->handle_sigbus) return;
    atomic_store_explicit(&process, this_process(), memory_order_relaxed);
    if (options->handle_segv) begin(SIGSEGV, &segv);
    if (options->handle_sigbus) begin(SIGBUS, &bus);
}

void kiln_segv_begin_later(const kiln_report_options_t *options)
{
    atomic_store_explicit(&awaiting, options, memory_order_release);
}

void kiln_segv_fork_child(void)
{
    if (segv.ours || bus.ours)
        atomic_store_explicit(&process, this_process(), memory_order_relaxed);
}

void kiln_segv_during_report(void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_NODEFER};
    (void)libc_sigaction(SIGSEGV, &action, NULL);
    (void)libc_sigaction(SIGBUS, &action, NULL);
}
