#define _GNU_SOURCE
#include "allocator/api/world.h"

#include "allocator/base/text.h"
#include "allocator/os/linux_syscall.h"

#include <elf.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/wait.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/uio.h>

enum {
    THREADS_MAX = 1 << 14,
    ROUNDS_MAX = 100, /* of looking for new threads, which those not stopped yet may start */
    ENTRIES_BYTES = 4096,
    REGISTERS_BYTES = 16 << 10, /* the widest vector registers take 11 KiB */
    NUMBER_AT = 19,             /* in a directory entry of the kernel: the name */
    SIZE_AT = 16,
    EVENT_STOP = 128,  /* PTRACE_EVENT_STOP */
    PAUSE_NS = 20000,  /* between two looks at a thread that is to stop, later a hundred */
    PAUSES_MAX = 5000, /* some ten seconds */
};

_Alignas(64) unsigned char kiln_world_stack[KILN_WORLD_STACK_BYTES];

/* Of the one call that there is. */
static struct {
    const kiln_world_visit_t *visit;
    const char *wrong;
    _Atomic uint32_t may_begin;
    long process, caller;
    uint32_t count;
    int threads[THREADS_MAX];
    unsigned char signals[THREADS_MAX]; /* that a stop kept from the thread; 0: none */
} world;

static long trace(long request, int thread, uintptr_t address, uintptr_t data)
{
    return kiln_linux_call(__NR_ptrace, (uintptr_t)request, (uintptr_t)thread, address, data, 0);
}

static bool is_stopped(long thread)
{
    for (uint32_t i = 0; i < world.count; i++)
        if (world.threads[i] == thread) return true;
    return false;
}

/* Has it ended, and is only remembered? The first thread is, after its pthread_exit. The state is
 * the word after the name, which is in brackets and may have any characters. */
static bool has_ended(int thread)
{
    char text[512], path[96];
    char *end = kiln_text_dec(kiln_text_word(path, "/proc/"), (uint64_t)world.process);
    end = kiln_text_dec(kiln_text_word(end, "/task/"), (uint64_t)thread);
    *kiln_text_word(end, "/stat") = '\0';
    long fd = kiln_linux_call(__NR_openat, (uintptr_t)AT_FDCWD, (uintptr_t)path,
                              O_RDONLY | O_CLOEXEC, 0, 0);
    if (fd < 0) return true;
    long got = kiln_linux_call(__NR_read, (uintptr_t)fd, (uintptr_t)text, sizeof text, 0, 0);
    (void)kiln_linux_call(__NR_close, (uintptr_t)fd, 0, 0, 0, 0);
    while (got > 2 && text[got - 1] != ')') got--;
    return got > 2 && got + 1 < (long)sizeof text && (text[got + 1] == 'Z' || text[got + 1] == 'X');
}

typedef enum kiln_world_answer { STOPPED, ENDED, CANNOT } answer_t;

/* A stop for a signal keeps it from the thread, which gets it when it goes on. A first thread that
 * ends tells nobody before all others have; one in the kernel, for as long as that takes, cannot be
 * stopped: so it is asked again and again, and not waited for. */
static answer_t wait_until_stopped(int thread, unsigned char *out_signal)
{
    long rest[2] = {0, PAUSE_NS};
    for (unsigned pause = 0; pause < PAUSES_MAX; pause++) {
        int status = 0;
        long answer = kiln_linux_call(__NR_wait4, (uintptr_t)thread, (uintptr_t)&status,
                                      __WALL | WNOHANG, 0, 0);
        if (answer == thread && (status & 0xff) == 0x7f) {
            *out_signal = status >> 16 == EVENT_STOP ? 0 : (unsigned char)(status >> 8);
            return STOPPED;
        }
        if ((answer != 0 && answer != -EINTR) || has_ended(thread)) return ENDED;
        if (pause > PAUSES_MAX / 10) rest[1] = PAUSE_NS * 100L;
        (void)kiln_linux_call(__NR_nanosleep, (uintptr_t)rest, 0, 0, 0, 0);
    }
    return CANNOT;
}

/* False: it cannot be stopped. A thread that has ended meanwhile is none. */
static bool stop_thread(int thread)
{
    if (world.count == THREADS_MAX) return false;
    long answer = trace(PTRACE_SEIZE, thread, 0, 0);
    if (answer != 0) return answer == -ESRCH || has_ended(thread);
    unsigned char signal = 0;
    if (trace(PTRACE_INTERRUPT, thread, 0, 0) != 0) return true;
    answer_t stopped = wait_until_stopped(thread, &signal);
    if (stopped != STOPPED) return stopped == ENDED;
    world.threads[world.count] = thread;
    world.signals[world.count++] = signal;
    return true;
}

/* One listing. `*out_new`: a thread was stopped that had not been. */
static bool stop_those_listed(int folder, bool *out_new)
{
    _Alignas(8) unsigned char entries[ENTRIES_BYTES] = {0};
    long bytes;
    *out_new = false;
    (void)kiln_linux_call(__NR_lseek, (uintptr_t)folder, 0, 0, 0, 0);
    while ((bytes = kiln_linux_call(__NR_getdents64, (uintptr_t)folder, (uintptr_t)entries,
                                    sizeof entries, 0, 0)) > 0)
        for (long at = 0; at < bytes; at += *(const unsigned short *)(entries + at + SIZE_AT)) {
            long thread = 0;
            const char *digit = (const char *)entries + at + NUMBER_AT;
            for (; kiln_text_digit(*digit) < 10; digit++)
                thread = thread * 10 + (long)kiln_text_digit(*digit);
            if (thread == 0 || thread == world.caller || is_stopped(thread)) continue;
            uint32_t count = world.count;
            if (!stop_thread((int)thread)) return false;
            *out_new |= world.count > count;
        }
    return bytes == 0;
}

static const char *stop_all(void)
{
    char path[64];
    char *end = kiln_text_dec(kiln_text_word(path, "/proc/"), (uint64_t)world.process);
    *kiln_text_word(end, "/task") = '\0';
    long folder = kiln_linux_call(__NR_openat, (uintptr_t)AT_FDCWD, (uintptr_t)path,
                                  O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0);
    if (folder < 0) return "the list of its threads in /proc cannot be read";
    bool found = true, done = true;
    for (unsigned round = 0; done && found && round < ROUNDS_MAX; round++)
        done = stop_those_listed((int)folder, &found);
    (void)kiln_linux_call(__NR_close, (uintptr_t)folder, 0, 0, 0, 0);
    return done && !found ? NULL : "its other threads cannot be stopped with ptrace";
}

static void show_registers(void)
{
    _Alignas(64) unsigned char registers[REGISTERS_BYTES] = {0};
    static const unsigned kinds[] = {NT_PRSTATUS, NT_X86_XSTATE};
    for (uint32_t i = 0; i < world.count; i++)
        for (unsigned kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
            struct iovec into = {registers, sizeof registers};
            if (trace(PTRACE_GETREGSET, world.threads[i], kinds[kind], (uintptr_t)&into) == 0)
                world.visit->registers(world.visit->ctx, registers, into.iov_len);
        }
}

static void let_go(void)
{
    for (uint32_t i = 0; i < world.count; i++)
        (void)trace(PTRACE_DETACH, world.threads[i], 0, world.signals[i]);
}

static int child(void *unused)
{
    (void)unused;
    (void)kiln_linux_call(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (kiln_linux_call(__NR_getppid, 0, 0, 0, 0, 0) != world.process) return 0;
    while (atomic_load_explicit(&world.may_begin, memory_order_acquire) == 0)
        (void)kiln_linux_call(KILN_LINUX_FUTEX, (uintptr_t)&world.may_begin, FUTEX_WAIT, 0, 0, 0);
    const char *wrong = stop_all();
    if (!wrong) wrong = world.visit->begin(world.visit->ctx);
    if (!wrong) {
        show_registers();
        world.visit->look(world.visit->ctx);
    }
    world.wrong = wrong; /* not sooner: who dies on the way has not looked */
    let_go();
    return 0;
}

const char *kiln_world_stop(const kiln_world_visit_t *visit)
{
    world.visit = visit;
    world.wrong = "the child that looks ended early";
    world.count = 0;
    world.process = kiln_linux_call(__NR_getpid, 0, 0, 0, 0, 0);
    world.caller = kiln_linux_call(__NR_gettid, 0, 0, 0, 0, 0);
    atomic_store_explicit(&world.may_begin, 0, memory_order_relaxed);
    int pid = clone(child, kiln_world_stack + sizeof kiln_world_stack,
                    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED, NULL);
    if (pid < 0) return "a process that looks cannot be made";
    /* Where only a parent may trace, the child is let. */
    (void)kiln_linux_call(__NR_prctl, PR_SET_PTRACER, (uintptr_t)pid, 0, 0, 0);
    atomic_store_explicit(&world.may_begin, 1, memory_order_release);
    (void)kiln_linux_call(KILN_LINUX_FUTEX, (uintptr_t)&world.may_begin, FUTEX_WAKE, 1, 0, 0);
    while (kiln_linux_call(__NR_wait4, (uintptr_t)pid, 0, __WALL, 0, 0) == -EINTR) {
    }
    (void)kiln_linux_call(__NR_prctl, PR_SET_PTRACER, 0, 0, 0, 0);
    return world.wrong;
}
