/* Guarded blocks on Linux: real faults and what a handler learns of them; mappings, memory and page
 * tables that stay bounded; threads, fork, filters and limits. */
#define _GNU_SOURCE
#include "allocator/base/rng.h"
#include "allocator/harden/guard.h"
#include "allocator/os/linux.h"
#include "allocator/os/linux_syscall.h"
#include "tests/kiln_test.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define UNDER_SANITIZER 1 /* they take and keep memory and mappings of their own */
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

enum { PAGE = 4096, OWN_MAPPINGS_MAX = 1000, WIDE = sizeof(void *) == 8 };

static kiln_os_t os;
static kiln_guard_t guard;
static kiln_guard_config_t config;

static void defaults(void)
{
    kiln_os_linux_init(&os, PAGE);
    config = kiln_guard_config_default(&os);
}

static void start(void)
{
    EXPECT_RULE(kiln_guard_init(&guard, &os, &config));
}

static void finish(void)
{
    EXPECT_RULE(kiln_guard_broken_rule(&guard));
    kiln_guard_destroy(&guard);
}

static unsigned char *take(size_t bytes)
{
    return kiln_guard_malloc(&guard, bytes, 16, 1, 10);
}

static kiln_misuse_t give(void *block)
{
    kiln_guard_damage_t damage;
    return kiln_guard_free(&guard, block, 2, 20, &damage);
}

/* --- what /proc says --- */

/* The mappings that touch what the guard reserved. */
static unsigned own_mappings(void)
{
    unsigned count = 0;
    char line[512];
    const kiln_guard_space_t *space = &guard.space;
    FILE *maps = fopen("/proc/self/maps", "r");
    EXPECT(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        unsigned long long first = 0, end = 0;
        if (sscanf(line, "%llx-%llx", &first, &end) != 2) continue;
        count += first < space->region + space->region_reserved_bytes && end > space->region;
        count += first < space->meta + space->meta_reserved_bytes && end > space->meta;
    }
    fclose(maps);
    return count;
}

static unsigned long status_kib(const char *name)
{
    unsigned long kib = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    EXPECT(status != NULL);
    while (fgets(line, sizeof line, status))
        if (strncmp(line, name, strlen(name)) == 0) kib = strtoul(line + strlen(name), NULL, 10);
    fclose(status);
    return kib;
}

typedef struct footprint {
    unsigned long resident_kib, tables_kib;
} footprint_t;

static footprint_t footprint(void)
{
    return (footprint_t){status_kib("VmRSS:"), status_kib("VmPTE:")};
}

/* The kernel may have joined the reservation with a neighbour, or not have joined two parts yet. */
static void expect_growth(footprint_t before, unsigned long resident_kib, unsigned long tables_kib)
{
    footprint_t now = footprint();
    unsigned own = own_mappings();
    EXPECT(own > 0 && own < OWN_MAPPINGS_MAX);
    EXPECT(own <= kiln_guard_stats(&guard).space.mappings + 8);
    if (UNDER_SANITIZER) return;
    EXPECT(now.resident_kib <= before.resident_kib + resident_kib);
    EXPECT(now.tables_kib <= before.tables_kib + tables_kib);
}

/* --- bounds --- */

/* Where a page fault costs ten times as much, a million pairs take a minute: as released is enough.
 */
#ifdef NDEBUG
enum { RELEASED = 1 };
#else
enum { RELEASED = 0 };
#endif

/* A million pairs of one process; the chunks that hold them are 170 to 256 blocks each. */
static void test_a_million_pairs_stay_small(void)
{
    static const size_t sizes[] = {16, 100, 5000, 40, 20000};
    for (unsigned old = 0; old < 2; old++) {
        defaults();
        if (old) config.space.mechanism = KILN_GUARD_MAPPINGS;
        start();
        footprint_t before = footprint();
        unsigned pairs = RELEASED && WIDE && !old ? 1000000 : 100000;
        for (unsigned i = 0; i < pairs; i++) {
            unsigned char *block = take(sizes[i % 5]);
            EXPECT(block && block[0] == 0);
            block[0] = 1;
            EXPECT_EQ(give(block), KILN_MISUSE_NONE);
        }
        expect_growth(before, 64 << 10, 16 << 10);
        EXPECT(kiln_guard_stats(&guard).space.chunks_dead <= config.space.freed_chunks_max);
        finish();
    }
}

/* One block in 150 stays: few chunks are ever empty, and those lie apart. */
static void test_leaks_here_and_there_stay_small(void)
{
    static unsigned char *kept[4000];
    unsigned count = 0;
    defaults();
    config.space.freed_chunks_max = 16;
    config.space.mappings_max = 100;
    start();
    footprint_t before = footprint();
    kiln_rng_t rng = {.state = 3};
    for (unsigned i = 0; i < 200000 && count < 1000; i++) {
        unsigned char *block = take(16);
        if (!block) break;
        block[0] = 1;
        if (kiln_rng_below(&rng, 600) == 0)
            kept[count++] = block;
        else
            EXPECT_EQ(give(block), KILN_MISUSE_NONE);
    }
    EXPECT(count > 40);
    EXPECT(kiln_guard_stats(&guard).space.mappings <= 100);
    if (kiln_guard_stats(&guard).space.guard_pages) {
        EXPECT(count > (WIDE ? 200 : 80)); /* 128 chunks at 32 bits */
        EXPECT(!WIDE || kiln_guard_stats(&guard).space.chunks_reused > 0);
        EXPECT(kiln_guard_stats(&guard).space.chunks_dead < 64);
    }
    expect_growth(before, 64 << 10, 16 << 10);
    EXPECT_RULE(kiln_guard_broken_rule(&guard));
    for (unsigned i = 0; i < count; i++) {
        EXPECT_EQ(kept[i][0], 1);
        EXPECT_EQ(give(kept[i]), KILN_MISUSE_NONE);
    }
    finish();
}

static unsigned asked;

static bool wants(const void *ctx, const void *start, size_t bytes)
{
    (void)start, (void)bytes;
    asked++;
    return ctx != NULL;
}

static void count_block(void *ctx, const kiln_guard_about_t *block,
                        const kiln_guard_damage_t *damage)
{
    *(unsigned *)ctx += block->live && !damage;
}

/* Who wants nothing is asked once a chunk, and not for each of its blocks. */
static void only_what_is_wanted_is_told(unsigned count)
{
    unsigned seen = 0, chunks = kiln_guard_stats(&guard).space.chunks_used;
    asked = 0;
    kiln_guard_for_each_changed(&guard, wants, NULL, count_block, &seen);
    EXPECT_EQ(kiln_guard_check_some(&guard, wants, NULL, NULL, NULL), 0);
    EXPECT_EQ(seen, 0);
    EXPECT(asked > 0 && asked <= 2 * chunks);
    kiln_guard_for_each_changed(&guard, wants, &guard, count_block, &seen);
    EXPECT_EQ(seen, count);
}

static void test_many_blocks_live_at_once(void)
{
    enum { MANY = WIDE ? 100000 : 10000 };
    static unsigned char *blocks[MANY];
    unsigned count = 0;
    defaults();
    start();
    footprint_t before = footprint();
    for (; count < MANY; count++) {
        size_t bytes = 1 + count * 7 % 3000;
        blocks[count] = take(bytes);
        if (!blocks[count]) break;
        blocks[count][0] = (unsigned char)count;
        blocks[count][bytes - 1] = (unsigned char)count;
    }
    if (kiln_guard_stats(&guard).space.guard_pages)
        EXPECT_EQ(count, MANY);
    else
        EXPECT(count > 250); /* as many as mappings allow */
    expect_growth(before, MANY * 5, 16 << 10);
    EXPECT_EQ(kiln_guard_check(&guard, NULL, NULL), 0);
    only_what_is_wanted_is_told(count);
    for (unsigned i = 0; i < count; i++) EXPECT_EQ(blocks[i][0], (unsigned char)i);
    for (unsigned i = 0; i < count; i++) /* in an order of its own: 7919 is prime to both */
        EXPECT_EQ(give(blocks[(uint64_t)i * 7919 % count]), KILN_MISUSE_NONE);
    EXPECT_EQ(kiln_guard_stats(&guard).live_blocks, 0);
    expect_growth(before, 64 << 10, 16 << 10);
    finish();
}

/* --- faults --- */

static sigjmp_buf fault_caught;
static kiln_guard_about_t fault_about;
static bool fault_ours;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    fault_ours = kiln_guard_about(&guard, info->si_addr, &fault_about);
    siglongjmp(fault_caught, 1);
}

/* Touches the byte and says whether that faulted. */
static bool faults(unsigned char *at, bool write)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER}, old;
    sigaction(SIGSEGV, &action, &old);
    bool faulted = true;
    if (sigsetjmp(fault_caught, 1) == 0) {
        volatile unsigned char *byte = at;
        if (write)
            *byte = 7;
        else
            (void)*byte;
        faulted = false;
    }
    sigaction(SIGSEGV, &old, NULL);
    return faulted;
}

static void expect_fault(unsigned char *at, const void *block, bool live, kiln_guard_where_t where)
{
    for (unsigned write = 0; write < 2; write++) {
        fault_ours = false;
        EXPECT(faults(at, write != 0));
        EXPECT(fault_ours && fault_about.known);
        EXPECT_EQ(fault_about.block, (uintptr_t)block);
        EXPECT_EQ(fault_about.live, live);
        EXPECT_EQ(fault_about.where, where);
    }
}

static void test_a_handler_learns_what_was_touched(void)
{
    static const size_t sizes[] = {16, 4096, 100000, 1 << 20, 5 << 20};
    for (unsigned policy = 0; policy < 2; policy++)
        for (unsigned i = 0; i < 5; i++) {
            defaults();
            config.policy = (kiln_guard_policy_t)policy;
            start();
            unsigned char *first = take(sizes[i]), *block = take(sizes[i]), *last = take(sizes[i]);
            EXPECT(first && block && last);
            EXPECT(!faults(block, true) && !faults(block + sizes[i] - 1, true));
            if (policy == KILN_GUARD_HIGH)
                expect_fault(block + sizes[i], block, true, KILN_GUARD_ABOVE);
            else
                expect_fault(block - 1, block, true, KILN_GUARD_BELOW);
            EXPECT_EQ(give(block), KILN_MISUSE_NONE);
            expect_fault(block, block, false, KILN_GUARD_INSIDE);
            expect_fault(block + sizes[i] - 1, block, false, KILN_GUARD_INSIDE);
            EXPECT_EQ(fault_about.free_stack, 2);
            EXPECT(!faults(first, true) && !faults(last, true));
            finish();
        }
}

/* A freed block faults after any number of others, as long as it is remembered. */
static void test_a_freed_block_faults_for_long(void)
{
    defaults();
    start();
    unsigned char *block = take(64);
    EXPECT_EQ(give(block), KILN_MISUSE_NONE);
    for (unsigned i = 1; i <= (WIDE ? 100000 : 10000); i++) {
        unsigned char *other = take(64);
        EXPECT(other && other != block);
        EXPECT_EQ(give(other), KILN_MISUSE_NONE);
        if (i == 10 || i == 1000 || i == 10000 || i == 100000)
            expect_fault(block, block, false, KILN_GUARD_INSIDE);
    }
    finish();
}

/* --- threads and fork --- */

enum { THREADS = 4, TURNS = 3000 };

static _Atomic(void *) shared_block;
static _Atomic unsigned freed, freed_twice, wrong;
static pthread_barrier_t barrier;

static void *take_and_give(void *unused)
{
    for (unsigned i = 0; i < TURNS; i++) {
        unsigned char *block = take(1 + i % 6000);
        if (!block || block[0] != 0) {
            wrong++;
            continue;
        }
        block[0] = 1;
        if (give(block) != KILN_MISUSE_NONE) wrong++;
    }
    return unused;
}

static void *free_the_same(void *unused)
{
    for (unsigned i = 0; i < 200; i++) {
        int turn = pthread_barrier_wait(&barrier);
        if (turn == PTHREAD_BARRIER_SERIAL_THREAD) shared_block = take(32);
        pthread_barrier_wait(&barrier);
        kiln_misuse_t misuse = give(shared_block);
        if (misuse == KILN_MISUSE_NONE)
            freed++;
        else if (misuse == KILN_MISUSE_DOUBLE_FREE)
            freed_twice++;
        else
            wrong++;
    }
    return unused;
}

static void in_threads(void *(*run)(void *))
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, run, NULL) == 0);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void test_threads(void)
{
    defaults();
    config.space.freed_chunks_max = 4;
    start();
    freed = freed_twice = wrong = 0;
    in_threads(take_and_give);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(kiln_guard_stats(&guard).blocks, THREADS * TURNS);
    EXPECT(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    in_threads(free_the_same);
    pthread_barrier_destroy(&barrier);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(freed, 200);
    EXPECT_EQ(freed_twice, 200 * (THREADS - 1));
    finish();
}

/* The child's answer: the line of the first thing that was not so, or 0. */
#define SO(x)                                                                                      \
    do {                                                                                           \
        if (!(x)) return __LINE__;                                                                 \
    } while (0)

static int child_status(int (*program)(void))
{
    int status = 0;
    fflush(NULL);
    kiln_guard_fork_prepare(&guard);
    pid_t child = fork();
    if (child == 0) {
        kiln_guard_fork_child(&guard);
        alarm(60);
        int line = program();
        if (line != 0) {
            char text[64];
            int length = snprintf(text, sizeof text, "guard_linux_test.c:%d: not so\n", line);
            (void)kiln_linux_call(__NR_write, 2, (uintptr_t)text, (uintptr_t)length, 0, 0);
        }
        (void)kiln_linux_call(__NR_exit_group, line != 0, 0, 0, 0, 0);
    }
    kiln_guard_fork_parent(&guard);
    EXPECT(child > 0);
    EXPECT(waitpid(child, &status, 0) == child);
    return status;
}

static unsigned char *inherited[300], *inherited_freed;

static int use_inherited(void)
{
    SO(faults(inherited_freed, false));
    for (unsigned i = 0; i < 300; i++) {
        SO(inherited[i][0] == (unsigned char)i);
        SO(faults(inherited[i] + 32, true));
        inherited[i][0] = 99;
        SO(give(inherited[i]) == KILN_MISUSE_NONE && faults(inherited[i], true));
    }
    for (unsigned i = 0; i < 1000; i++) {
        unsigned char *block = take(32);
        SO(block && block[0] == 0);
        SO(give(block) == KILN_MISUSE_NONE);
    }
    SO(kiln_guard_broken_rule(&guard) == NULL);
    return 0;
}

static void test_fork(void)
{
    pthread_t thread;
    defaults();
    start();
    for (unsigned i = 0; i < 300; i++) {
        inherited[i] = take(32);
        EXPECT(inherited[i] != NULL);
        inherited[i][0] = (unsigned char)i;
    }
    inherited_freed = take(32);
    EXPECT_EQ(give(inherited_freed), KILN_MISUSE_NONE);
    wrong = 0;
    EXPECT(pthread_create(&thread, NULL, take_and_give, NULL) == 0); /* so that locks are held */
    for (unsigned i = 0; i < 5; i++) EXPECT_EQ(child_status(use_inherited), 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(wrong, 0);
    for (unsigned i = 0; i < 300; i++) {
        EXPECT_EQ(inherited[i][0], (unsigned char)i);
        EXPECT_EQ(give(inherited[i]), KILN_MISUSE_NONE);
    }
    finish();
}

/* --- filters and limits, each in a child --- */

/* Kills the process for any call but Kiln's seven, and write and exit_group for the test. */
static bool filter_calls(void)
{
#define ALLOW(number)                                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1),                                           \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(KILN_LINUX_MMAP),
        ALLOW(__NR_munmap),
        ALLOW(__NR_mremap),
        ALLOW(__NR_mprotect),
        ALLOW(__NR_madvise),
        ALLOW(__NR_getrandom),
        ALLOW(KILN_LINUX_FUTEX),
        ALLOW(__NR_write),
        ALLOW(__NR_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
#undef ALLOW
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int a_few_blocks(void)
{
    static const size_t sizes[] = {1, 100, 5000, 100000, 3 << 20};
    errno = 1234;
    for (unsigned i = 0; i < 1000; i++) {
        unsigned char *block = take(sizes[i % 5]);
        SO(block != NULL);
        block[0] = 1;
        SO(give(block) == KILN_MISUSE_NONE);
        SO(kiln_linux_call(__NR_write, 2, (uintptr_t)block, 1, 0, 0) == -EFAULT);
        SO(give(block) == KILN_MISUSE_DOUBLE_FREE);
    }
    SO(errno == 1234);
    return 0;
}

static int under_a_filter(void)
{
    SO(filter_calls());
    return a_few_blocks();
}

static int with_little_address_space(void)
{
    struct rlimit limit = {(rlim_t)status_kib("VmSize:") * 1024 + (200 << 20), RLIM_INFINITY};
    SO(setrlimit(RLIMIT_AS, &limit) == 0);
    SO(a_few_blocks() == 0);
    SO(kiln_guard_stats(&guard).space.region_bytes == 32 << 20);
    void *rest = mmap(NULL, 100 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SO(rest != MAP_FAILED); /* the program's share */
    return 0;
}

static int without_address_space(void)
{
    struct rlimit limit = {PAGE, PAGE};
    SO(setrlimit(RLIMIT_AS, &limit) == 0);
    for (unsigned i = 0; i < 3000; i++) SO(take(16) == NULL);
    SO(kiln_guard_stats(&guard).refused == 3000);
    SO(kiln_guard_stats(&guard).space.region_bytes == 0);
    return 0;
}

/* The program locks its memory in: there are no guard pages for that, yet a freed block faults. */
static int with_locked_memory(void)
{
    unsigned char *blocks[100];
    for (unsigned i = 0; i < 100; i++) SO((blocks[i] = take(16)) != NULL);
    unsigned char *large = take(3 << 20);
    SO(large != NULL);
    for (unsigned i = 10; i < 30; i += 10)
        SO(kiln_linux_call(__NR_mlock, (uintptr_t)blocks[i], 1, 0, 0, 0) == 0); /* its page */
    for (unsigned i = 0; i < 100; i++) {
        SO(give(blocks[i]) == KILN_MISUSE_NONE);
        SO(kiln_linux_call(__NR_write, 2, (uintptr_t)blocks[i], 1, 0, 0) == -EFAULT);
    }
    SO(kiln_guard_broken_rule(&guard) == NULL);
    SO(give(large) == KILN_MISUSE_NONE);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned char *block = take(16);
        SO(block && block[0] == 0 && give(block) == KILN_MISUSE_NONE);
    }
    SO(kiln_guard_broken_rule(&guard) == NULL);
    return 0;
}

static void test_filters_and_limits(void)
{
    for (unsigned old = 0; old < 2; old++) {
        defaults();
        if (old) config.space.mechanism = KILN_GUARD_MAPPINGS;
        config.space.freed_chunks_max = 2;
        start();
        EXPECT_EQ(child_status(under_a_filter), 0);
        EXPECT_EQ(child_status(a_few_blocks), 0);
        EXPECT_EQ(child_status(with_locked_memory), 0);
        if (!UNDER_SANITIZER) {
            EXPECT_EQ(child_status(with_little_address_space), 0);
            EXPECT_EQ(child_status(without_address_space), 0);
        }
        finish();
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_million_pairs_stay_small),
        KILN_TEST(test_leaks_here_and_there_stay_small),
        KILN_TEST(test_many_blocks_live_at_once),
        KILN_TEST(test_a_handler_learns_what_was_touched),
        KILN_TEST(test_a_freed_block_faults_for_long),
        KILN_TEST(test_threads),
        KILN_TEST(test_fork),
        KILN_TEST(test_filters_and_limits),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
