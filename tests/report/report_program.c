/* usage: report_program WHAT
 *
 * Makes one report: of a kind (its name), as a detector would, or in a situation. Functions that a
 * report must show are not inlined and end with something, so that no call is their last. */
#define _GNU_SOURCE
#include "allocator/api/kiln.h"
#include "allocator/api/process.h"
#include "allocator/api/report.h"
#include "allocator/api/segv.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK_BYTES = 37 };

static kiln_report_block_t sample = {
    .known = true,
    .bytes = BLOCK_BYTES,
    .slot_bytes = 48,
};
static volatile int after;

/* The misuses, which compilers and linters would see through. */
static void *(*volatile get)(size_t) = malloc;
static void (*volatile put)(void *) = free;
static void *(*volatile resize)(void *, size_t) = realloc;
static void *(*volatile zeroed)(size_t, size_t) = calloc;
static void *(*volatile aligned)(size_t, size_t) = aligned_alloc;

/* As malloc and free of a profile with stacks would be. */
static __attribute__((noinline)) kiln_stack_id_t fake_call(void)
{
    kiln_stack_id_t id = kiln_stack_capture(KILN_CALLER(), 16);
    after++;
    return id;
}

static __attribute__((noinline)) void fake_report(kiln_report_t *report)
{
    report->caller = KILN_CALLER();
    kiln_report(report);
    after++;
}

static __attribute__((noinline)) char *get_block(void)
{
    char *block = malloc(BLOCK_BYTES);
    sample.start = (uintptr_t)block;
    sample.live = true;
    sample.alloc_stack = fake_call();
    sample.alloc_thread = kiln_thread_number();
    after++;
    return block;
}

static __attribute__((noinline)) void put_block(char *block)
{
    sample.live = false;
    sample.free_stack = fake_call();
    sample.free_thread = kiln_thread_number();
    free(block);
    after++;
}

static __attribute__((noinline)) void use_block(kiln_report_t *report)
{
    fake_report(report);
    after++;
}

static void lose_block(kiln_report_t *report, uintptr_t block)
{
    static kiln_lost_t lost[2];
    lost[0] = (kiln_lost_t){.stack = sample.alloc_stack,
                            .direct = true,
                            .blocks = 2,
                            .bytes = 2 * BLOCK_BYTES,
                            .first = block};
    lost[1] = (kiln_lost_t){.blocks = 1, .bytes = BLOCK_BYTES, .first = block};
    report->lost = lost;
    report->lost_count = 2;
}

static int make_kind(kiln_report_kind_t kind)
{
    bool is_access = kiln_report_words(kind)->shape == KILN_REPORT_ACCESS;
    bool is_late = kind == KILN_REPORT_USE_AFTER_FREE || kind == KILN_REPORT_DOUBLE_FREE;
    char *block = get_block();
    intptr_t offset = kind == KILN_REPORT_OVERFLOW    ? BLOCK_BYTES + 2
                      : kind == KILN_REPORT_UNDERFLOW ? -8
                                                      : 3;
    if (is_late) put_block(block);
    kiln_report_t report = {
        .kind = kind,
        .call = is_access ? NULL : "free",
        .access = is_access ? KILN_ACCESS_WRITE : KILN_ACCESS_NONE,
        .access_bytes = is_access ? 4 : 0,
        .address = (uintptr_t)block + (uintptr_t)offset,
        .block = sample,
        .has_seed = true,
        .seed = UINT64_C(0xfedcba9876543210),
        .has_input = true,
        .input = 12345,
        .replay = "./kiln run -- \"a\\b\" \x01\xff\xc3\xa9",
    };
    if (kiln_report_words(kind)->shape == KILN_REPORT_REQUEST) {
        report.block.known = false;
        report.claimed_bytes = SIZE_MAX;
    }
    if (kind == KILN_REPORT_LEAK) lose_block(&report, (uintptr_t)block);
    use_block(&report);
    return 0;
}

/* ---- situations ---- */

static void *volatile twice;

static void in_handler(int number)
{
    (void)number;
    put(twice);
    after++;
}

static int report_in_handler(void)
{
    static char stack[8192];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK};
    twice = get(64);
    put(twice);
    if (sigaltstack(&alternate, NULL) != 0 || sigaction(SIGUSR1, &action, NULL) != 0) return 2;
    return raise(SIGUSR1);
}

static int report_of_an_input(void)
{
    kiln_input(1, "not this one");
    kiln_input(UINT64_MAX, "./fuzz_me inputs/7");
    void *volatile block = get(64);
    put(block);
    put(block);
    return 0;
}

static int report_with_locks(void)
{
    kiln_report_t report = {.kind = KILN_REPORT_USE_AFTER_FREE, .access = KILN_ACCESS_READ};
    report.address = (uintptr_t)get(64);
    report.block = kiln_report_about(report.address);
    kiln_heap_fork_prepare(&kiln_process_heap); /* every lock there is */
    use_block(&report);
    return 0;
}

static pthread_barrier_t all_there;

static void *report_in_thread(void *block)
{
    pthread_barrier_wait(&all_there);
    put(block);
    return NULL;
}

static int report_from_threads(void)
{
    pthread_t threads[4];
    void *block = get(64);
    put(block);
    if (pthread_barrier_init(&all_there, NULL, 4) != 0) return 2;
    for (unsigned i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, report_in_thread, block) != 0) return 2;
    for (unsigned i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    puts("went on");
    return 0;
}

/* A report that faults itself: its note is nowhere. */
static int report_that_faults(void)
{
    kiln_report_t report = {.kind = KILN_REPORT_WILD_ACCESS, .note = (const char *)(uintptr_t)16};
    report.address = (uintptr_t)get(64);
    use_block(&report);
    return 0;
}

static int report_in_child(void)
{
    void *volatile block = get(64);
    put(block);
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        put(block);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? 0 : 1;
}

static volatile sig_atomic_t program_saw;

static void programs_handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    static const char words[] = "the program's handler ran\n";
    program_saw = number == SIGSEGV && info->si_addr == (void *)(uintptr_t)64;
    if (write(STDOUT_FILENO, words, sizeof words - 1) < 0 || !program_saw) _exit(2);
    _exit(0);
}

static __attribute__((noinline)) void touch(volatile char *address)
{
    *address = 1;
    after++;
}

static volatile char *far_off(void)
{
    volatile char *block = get(64);
    return block + (1 << 24); /* what was reserved, and is not used */
}

static int wild_access(void)
{
    touch(far_off());
    return 0;
}

static int wild_access_beside_a_handler(void)
{
    if (signal(SIGSEGV, SIG_DFL) == SIG_ERR) return 2;
    struct sigaction action = {.sa_sigaction = programs_handler, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &action, NULL) != 0) return 2;
    return wild_access();
}

static int null_access_with_a_handler(void)
{
    struct sigaction action = {.sa_sigaction = programs_handler, .sa_flags = SA_SIGINFO}, old;
    if (sigaction(SIGSEGV, &action, &old) != 0) return 2;
    if (old.sa_handler != SIG_DFL) return 3; /* what the program sees is its own */
    if (sigaction(SIGSEGV, NULL, &old) != 0 || old.sa_sigaction != programs_handler) return 4;
    touch((volatile char *)(uintptr_t)64);
    return 0;
}

static int null_access(void)
{
    touch((volatile char *)(uintptr_t)64);
    return 0;
}

static sigjmp_buf back;

static void jump_back(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

/* The child's handler is the child's, although it shares the parent's memory. */
static int null_access_after_vfork(void)
{
    int status = 0;
    put(get(1)); /* the heap is there, and Kiln's handler, if any */
    if (signal(SIGSEGV, jump_back) == SIG_ERR) return 2;
    // NOLINTBEGIN(*vfork,*Vfork,bugprone-unsafe-functions,cert-msc*): it is what is tested
    pid_t child = vfork();
    if (child == 0) _exit(signal(SIGSEGV, SIG_DFL) == jump_back ? 0 : 3);
    // NOLINTEND(*vfork,*Vfork,bugprone-unsafe-functions,cert-msc*)
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 3;
    if (sigsetjmp(back, 1) == 0) {
        touch((volatile char *)(uintptr_t)64);
        return 4;
    }
    puts("went on");
    return 0;
}

static struct {
    char *start;
    size_t bytes;
    volatile sig_atomic_t opened;
} closed;

static void open_block(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    size_t offset = (size_t)((char *)info->si_addr - closed.start);
    if (offset >= closed.bytes) _exit(3);
    if (mprotect(closed.start, closed.bytes, PROT_READ | PROT_WRITE) != 0) _exit(3);
    closed.opened++;
}

/* Blocks that the program itself protects, as collectors and debuggers do: the fault is its own. */
/* Makes a block and closes it; 0: that cannot be. */
static int close_block(size_t bytes)
{
    closed.bytes = bytes;
    closed.start = aligned(4096, bytes);
    return closed.start && mprotect(closed.start, bytes, PROT_NONE) == 0;
}

static int protected_blocks(void)
{
    enum { PAGE_BYTES = 4096, SMALL_BYTES = 16 << 10, LARGEST_BYTES = 4 << 20 };
    struct sigaction action = {.sa_sigaction = open_block, .sa_flags = SA_SIGINFO};
    put(get(1));
    if (sigaction(SIGSEGV, &action, NULL) != 0) return 2;
    for (size_t bytes = PAGE_BYTES; bytes <= LARGEST_BYTES; bytes *= 4) {
        int before = closed.opened;
        if (!close_block(bytes)) return 2;
        touch(closed.start + bytes / 2);
        if (closed.opened != before + 1) return 1;
        put(closed.start);
        if (!close_block(bytes)) return 2;
        put(resize(closed.start, 2 * bytes + 100)); /* which reads it */
        if (bytes > SMALL_BYTES) continue;
        if (!close_block(bytes)) return 2;
        before = closed.opened;
        put(closed.start); /* which may clear it, or leave it closed */
        if (closed.opened == before && mprotect(closed.start, bytes, PROT_READ | PROT_WRITE) != 0)
            return 2;
    }
    puts("went on");
    return 0;
}

/* Behind a block: what the profile that nobody named sees. Four bytes, as the canary is drawn anew
 * in each process, and one of its bytes is what is written there by one time in 255. */
static int overflow(void)
{
    char *block = get(24);
    for (unsigned i = 0; i < 4; i++) touch(block + 24 + i);
    put(block);
    puts("went on");
    return 0;
}

/* In the pages behind a guarded block; where the program set a handler, or did not. */
static int overflow_of_pages(void)
{
    volatile char *block = get(100000);
    touch(block + 103000);
    puts("went on");
    return 0;
}

static int overflow_of_pages_beside_a_handler(void)
{
    put(get(1));
    if (signal(SIGUSR1, SIG_IGN) == SIG_ERR) return 2;
    return overflow_of_pages();
}

static int sent_signal(void)
{
    raise(SIGSEGV);
    return 0;
}

static int ignored_sent_signal(void)
{
    if (signal(SIGSEGV, SIG_IGN) != SIG_DFL || signal(SIGSEGV, SIG_IGN) != SIG_IGN) return 2;
    raise(SIGSEGV);
    puts("went on");
    return 0;
}

/* As signal() is where a program asks for nothing but POSIX. */
static int sysv_signals(void)
{
    put(get(1));
    if (sysv_signal(SIGSEGV, SIG_IGN) != SIG_DFL || sysv_signal(SIGSEGV, SIG_DFL) != SIG_IGN)
        return 2;
    if (sysv_signal(SIGUSR2, SIG_IGN) != SIG_DFL || sysv_signal(SIGUSR2, SIG_ERR) != SIG_ERR)
        return 2;
    puts("went on");
    return 0;
}

/* What goes on after a report, where it may. */
static int misuses_that_go_on(void)
{
    void *volatile block = get(64);
    char *volatile inside = (char *)block + 8;
    put(inside);
    if (resize(inside, 100)) return 1;
    put(block);
    put(block);
    block = get(64);
    if (!block) return 1;
    put(block);
    puts("went on");
    return 0;
}

static int refusals(void)
{
    if (zeroed(SIZE_MAX / 2, 3) || get(SIZE_MAX / 2 + 1) || aligned(24, 48)) return 1;
    puts("went on");
    return 0;
}

/* With 50 MiB of heap: 40 of them again and again, and never 60. */
static int limited(void)
{
    for (unsigned i = 0; i < 20; i++) {
        char *block = get(40 << 20);
        if (!block) return 1;
        memset(block, 1, 40 << 20);
        put(block);
    }
    void *block = get(60 << 20);
    puts(block ? "no limit" : "limited");
    put(block);
    return 0;
}

static int use_heap_after(unsigned more_pages)
{
    kiln_span_t *span = NULL;
    for (unsigned i = 0; i < 100 && !span; i++) /* a guarded block has none */
        span = kiln_page_map_find(&kiln_process_heap.pages.map, (uintptr_t)get(64));
    if (!span) return 1;
    span->pages += more_pages;
    for (unsigned i = 0; i < 1000; i++) after += get(64) != NULL;
    puts("went on");
    return 0;
}

static int ruined_record(void)
{
    return use_heap_after(1);
}

static int sound_record(void)
{
    return use_heap_after(0);
}

static const struct {
    const char *name;
    int (*run)(void);
} situations[] = {
    {"in_handler", report_in_handler},
    {"of_an_input", report_of_an_input},
    {"with_locks", report_with_locks},
    {"from_threads", report_from_threads},
    {"that_faults", report_that_faults},
    {"in_child", report_in_child},
    {"wild", wild_access},
    {"wild_beside_a_handler", wild_access_beside_a_handler},
    {"null_with_a_handler", null_access_with_a_handler},
    {"null", null_access},
    {"null_after_vfork", null_access_after_vfork},
    {"protected", protected_blocks},
    {"overflow", overflow},
    {"overflow_of_pages", overflow_of_pages},
    {"overflow_of_pages_beside_a_handler", overflow_of_pages_beside_a_handler},
    {"sent_signal", sent_signal},
    {"ignored_sent_signal", ignored_sent_signal},
    {"sysv_signals", sysv_signals},
    {"go_on", misuses_that_go_on},
    {"refusals", refusals},
    {"limited", limited},
    {"ruined_record", ruined_record},
    {"sound_record", sound_record},
};

int main(int argc, char **argv)
{
    kiln_stack_thread_begin();
    for (unsigned i = 0; argc == 2 && i < sizeof situations / sizeof *situations; i++)
        if (strcmp(argv[1], situations[i].name) == 0) return situations[i].run();
    for (unsigned i = 0; argc == 2 && i < KILN_REPORT_KINDS; i++)
        if (strcmp(argv[1], kiln_report_words((kiln_report_kind_t)i)->name) == 0)
            return make_kind((kiln_report_kind_t)i);
    fprintf(stderr, "usage: report_program WHAT; a kind of report, or a situation:");
    for (unsigned i = 0; i < KILN_REPORT_KINDS; i++)
        fprintf(stderr, " %s", kiln_report_words((kiln_report_kind_t)i)->name);
    for (unsigned i = 0; i < sizeof situations / sizeof *situations; i++)
        fprintf(stderr, " %s", situations[i].name);
    fputs("\n", stderr);
    return 2;
}
