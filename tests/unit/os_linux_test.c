/* What the linux backend promises beyond the contract: few mappings, memory that really goes back,
 * errno left alone, refusals at every limit, and no system call but those that a filter allows. */
#define _GNU_SOURCE
#include "allocator/base/lock.h"
#include "allocator/os/linux.h"
#include "allocator/os/linux_syscall.h"
#include "tests/kiln_stops.h"
#include "tests/kiln_test.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static kiln_os_t os;
static size_t page_bytes;

static void start(void)
{
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    kiln_os_linux_init(&os, page_bytes);
}

static kiln_addr_t reserve(uint64_t bytes)
{
    bool reserved = false;
    kiln_addr_t addr = os.reserve(os.ctx, 0, bytes, &reserved);
    return reserved ? addr : 0;
}

static bool commit(kiln_addr_t addr, uint64_t bytes)
{
    return os.commit(os.ctx, addr, bytes, true, KILN_OS_HEAP) == KILN_OS_OK;
}

static unsigned char *bytes_of(kiln_addr_t addr)
{
    return (unsigned char *)(uintptr_t)addr;
}

/* How many mappings touch [addr, addr+bytes). */
static unsigned count_mappings(kiln_addr_t addr, uint64_t bytes)
{
    unsigned count = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    EXPECT(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        unsigned long first = 0, end = 0;
        if (sscanf(line, "%lx-%lx", &first, &end) == 2 && first < addr + bytes && end > addr)
            count++;
    }
    fclose(maps);
    return count;
}

static void test_neighbours_are_one_mapping(void)
{
    enum { STEPS = 64 };
    const uint64_t step = KILN_KIB(64);
    start();
    kiln_addr_t base = reserve(STEPS * step);
    for (unsigned i = 0; i < STEPS; i++) {
        EXPECT(commit(base + i * step, step));
        bytes_of(base)[i * step] = 1;
        EXPECT(count_mappings(base, STEPS * step) <= 2);
    }
    EXPECT_EQ(count_mappings(base, STEPS * step), 1);
    /* Holes come and go, in any order. */
    for (unsigned i = 1; i < STEPS; i += 2) os.decommit(os.ctx, base + i * step, step);
    EXPECT_EQ(count_mappings(base, STEPS * step), STEPS);
    for (unsigned i = 1; i < STEPS; i += 2) {
        unsigned odd = (i * 37) % STEPS;
        EXPECT(commit(base + odd * step, step));
        bytes_of(base)[odd * step] = 1;
    }
    EXPECT_EQ(count_mappings(base, STEPS * step), 1);
    for (unsigned i = 0; i < STEPS; i += 3) os.discard(os.ctx, base + i * step, step);
    EXPECT_EQ(count_mappings(base, STEPS * step), 1);
    os.release(os.ctx, base, STEPS * step);
    EXPECT_EQ(count_mappings(base, STEPS * step), 0);
}

static unsigned resident_pages(kiln_addr_t addr, unsigned pages)
{
    unsigned char in[64];
    unsigned count = 0;
    EXPECT(pages <= sizeof in);
    EXPECT(mincore(bytes_of(addr), pages * page_bytes, in) == 0);
    for (unsigned i = 0; i < pages; i++) count += in[i] & 1;
    return count;
}

/* How much of [addr, addr+bytes) lies in huge pages. */
static uint64_t huge_bytes_in(kiln_addr_t addr, uint64_t bytes)
{
    uint64_t sum = 0;
    bool inside = false;
    char line[512];
    FILE *smaps = fopen("/proc/self/smaps", "r");
    EXPECT(smaps != NULL);
    while (fgets(line, sizeof line, smaps)) {
        unsigned long first = 0, end = 0, kib = 0;
        if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
            inside = first < addr + bytes && end > addr;
        else if (inside && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
            sum += KILN_KIB(kib);
    }
    fclose(smaps);
    return sum;
}

/* A kernel that gives a mapping of the test's own huge pages gives the heap's memory some, too. */
static void test_huge_pages_are_what_the_kernel_gives(void)
{
    enum { BYTES = 8 << 20 };
    start();
    void *own = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(own != MAP_FAILED);
    (void)madvise(own, BYTES, MADV_HUGEPAGE);
    memset(own, 1, BYTES);
    uint64_t kernel_gives = huge_bytes_in((uintptr_t)own, BYTES);
    (void)munmap(own, BYTES);
    kiln_addr_t base = reserve(BYTES);
    EXPECT(commit(base, BYTES));
    kiln_os_huge(&os, base, BYTES, true);
    memset(bytes_of(base), 1, BYTES);
    uint64_t got = huge_bytes_in(base, BYTES);
    printf("huge pages: %llu KiB, a mapping of the test's own %llu KiB\n",
           (unsigned long long)got / 1024, (unsigned long long)kernel_gives / 1024);
    EXPECT_EQ(got > 0, kernel_gives > 0);
    EXPECT_EQ(os.huge_bytes, page_bytes == 4096 ? KILN_MIB(2) : 0);
    os.release(os.ctx, base, BYTES);
}

static void test_memory_given_up_goes_back(void)
{
    enum { PAGES = 32 };
    start();
    kiln_addr_t base = reserve(PAGES * page_bytes);
    EXPECT(commit(base, PAGES * page_bytes));
    EXPECT_EQ(resident_pages(base, PAGES), 0);
    memset(bytes_of(base), 1, PAGES * page_bytes);
    EXPECT_EQ(resident_pages(base, PAGES), PAGES);
    os.discard(os.ctx, base, 10 * page_bytes);
    EXPECT_EQ(resident_pages(base, PAGES), PAGES - 10);
    os.decommit(os.ctx, base + 20 * page_bytes, 5 * page_bytes);
    EXPECT_EQ(resident_pages(base, PAGES), PAGES - 15);
    os.release(os.ctx, base, PAGES * page_bytes);
}

static void test_a_free_hint_is_obeyed(void)
{
    bool reserved;
    start();
    kiln_addr_t base = reserve(64 * page_bytes);
    os.release(os.ctx, base, 64 * page_bytes);
    EXPECT_EQ(os.reserve(os.ctx, base + page_bytes, 4 * page_bytes, &reserved), base + page_bytes);
    kiln_addr_t other = os.reserve(os.ctx, base + page_bytes, page_bytes, &reserved);
    EXPECT(other != 0 && other != base + page_bytes);
    os.release(os.ctx, other, page_bytes);
    os.release(os.ctx, base + page_bytes, 4 * page_bytes);
}

/* The kernel writes on the program's behalf, and answers in place of a fault. */
static long kernel_writes(kiln_addr_t addr)
{
    return kiln_linux_call(__NR_getrandom, (uintptr_t)addr, 1, 0, 0, 0);
}

static void test_protected_memory_is_not_written(void)
{
    start();
    kiln_addr_t base = reserve(2 * page_bytes);
    EXPECT(commit(base, 2 * page_bytes));
    EXPECT(os.protect(os.ctx, base, page_bytes, KILN_OS_READ_ONLY));
    EXPECT(kernel_writes(base) == -EFAULT);
    EXPECT_EQ(bytes_of(base)[0], 0);
    EXPECT(kernel_writes(base + page_bytes) == 1);
    EXPECT(os.protect(os.ctx, base, page_bytes, KILN_OS_READ_WRITE));
    EXPECT(kernel_writes(base) == 1);
    os.release(os.ctx, base, 2 * page_bytes);
}

/* From Linux 6.13 on: any number of pages that fault, in one mapping, and their memory is gone. */
static void test_guarded_pages_make_no_mapping(void)
{
    enum { PAGES = 4096 };
    start();
    kiln_addr_t base = reserve(PAGES * page_bytes);
    EXPECT(commit(base, PAGES * page_bytes));
    memset(bytes_of(base), 1, PAGES * page_bytes);
    if (os.guard(os.ctx, base, page_bytes, true)) {
        for (unsigned i = 2; i < PAGES; i += 2)
            EXPECT(os.guard(os.ctx, base + i * page_bytes, page_bytes, true));
        EXPECT_EQ(count_mappings(base, PAGES * page_bytes), 1);
        EXPECT_EQ(resident_pages(base, 64), 32);
        EXPECT(kernel_writes(base) == -EFAULT);
        EXPECT(kernel_writes(base + page_bytes) == 1);
        EXPECT(os.guard(os.ctx, base, PAGES * page_bytes, false));
        EXPECT(kernel_writes(base) == 1);
        EXPECT_EQ(bytes_of(base)[1], 0);
        EXPECT_EQ(bytes_of(base)[page_bytes + 1], 1);
    } else { /* an older kernel: as if nobody had asked */
        EXPECT(!os.guard(os.ctx, base, page_bytes, false));
        EXPECT_EQ(bytes_of(base)[0], 1);
        EXPECT(kernel_writes(base) == 1);
    }
    os.release(os.ctx, base, PAGES * page_bytes);
}

static void test_errno_is_left_alone(void)
{
    bool reserved;
    start();
    errno = 1234;
    kiln_addr_t base = reserve(4 * page_bytes);
    EXPECT(commit(base, page_bytes));
    EXPECT(os.protect(os.ctx, base, page_bytes, KILN_OS_READ_ONLY));
    EXPECT(!os.guard(os.ctx, base + page_bytes + 1, page_bytes, true));
    EXPECT_EQ(os.reserve(os.ctx, 0, 0, &reserved), 0);
    EXPECT_EQ(os.reserve(os.ctx, 0, UINTPTR_MAX - page_bytes, &reserved), 0);
    EXPECT_EQ(os.direct(os.ctx, UINTPTR_MAX - page_bytes, KILN_OS_META), 0);
    EXPECT_EQ(os.commit(os.ctx, base, page_bytes, false, KILN_OS_HEAP), KILN_OS_ELSEWHERE);
    os.discard(os.ctx, base, page_bytes);
    os.decommit(os.ctx, base, page_bytes);
    os.release(os.ctx, base, 4 * page_bytes);
    EXPECT(!commit(base, page_bytes));
    EXPECT(!os.protect(os.ctx, base, page_bytes, KILN_OS_READ_ONLY));
    _Atomic uint32_t word = 1;
    os.parker.wait(&word, 2);
    os.parker.wake(&word);
    EXPECT_EQ(errno, 1234);
}

static void test_numbers_beyond_the_machine_are_refused(void)
{
    bool reserved;
    start();
    EXPECT_EQ(os.addr_bits, sizeof(void *) * 8);
    kiln_addr_t base = os.reserve(os.ctx, UINT64_MAX - 4095, page_bytes, &reserved);
    EXPECT(base != 0);
    os.release(os.ctx, base, page_bytes);
    EXPECT_EQ(os.commit(os.ctx, UINT64_MAX - 4095, 8192, true, KILN_OS_HEAP), KILN_OS_FAIL);
    EXPECT_EQ(os.commit(os.ctx, UINT64_MAX - 4095, 8192, false, KILN_OS_HEAP), KILN_OS_FAIL);
    EXPECT(!os.protect(os.ctx, UINT64_MAX - 4095, 8192, KILN_OS_READ_ONLY));
    EXPECT(!os.guard(os.ctx, UINT64_MAX - 4095, 8192, true));
    os.discard(os.ctx, UINT64_MAX - 4095, 8192);
    os.decommit(os.ctx, UINT64_MAX - 4095, 8192);
    os.release(os.ctx, UINT64_MAX - 4095, 8192);
    kiln_os_linux_init(&os, 0);
    EXPECT_EQ(os.phys_bytes, 4096);
    kiln_os_linux_init(&os, 65536);
    EXPECT_EQ(os.phys_bytes, 65536);
}

/* --- in a child, which may be crippled --- */

/* The child's answer: the line of the first thing that was not so, or 0. */
#define SO(x)                                                                                      \
    do {                                                                                           \
        if (!(x)) return __LINE__;                                                                 \
    } while (0)

static int child_status(int (*program)(void))
{
    int status = 0;
    start();
    fflush(NULL);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        alarm(60);
        /* The exit is raw: a filter may be on, and sanitizers do more in theirs. An exit status has
         * eight bits, so the line goes to standard error first. */
        int line = program();
        if (line != 0) {
            char text[64];
            int length = snprintf(text, sizeof text, "os_linux_test.c:%d: not so\n", line);
            (void)kiln_linux_call(__NR_write, 2, (uintptr_t)text, (uintptr_t)length, 0, 0);
        }
        (void)kiln_linux_call(__NR_exit_group, line != 0, 0, 0, 0, 0);
    }
    EXPECT(waitpid(child, &status, 0) == child);
    return status;
}

static int without_address_space(void)
{
    bool reserved;
    kiln_addr_t base = reserve(4 * page_bytes);
    struct rlimit limit = {page_bytes, page_bytes};
    SO(base != 0 && setrlimit(RLIMIT_AS, &limit) == 0);
    errno = 99;
    SO(os.reserve(os.ctx, 0, page_bytes, &reserved) == 0 && !reserved);
    SO(os.direct(os.ctx, page_bytes, KILN_OS_META) == 0);
    SO(commit(base, 2 * page_bytes)); /* it was counted when it was reserved */
    bytes_of(base)[0] = 1;
    os.discard(os.ctx, base, page_bytes);
    SO(commit(base, page_bytes) && bytes_of(base)[0] == 0);
    os.decommit(os.ctx, base, page_bytes);
    SO(commit(base, page_bytes) && bytes_of(base)[0] == 0);
    os.release(os.ctx, base, 4 * page_bytes);
    SO(os.commit(os.ctx, base, page_bytes, false, KILN_OS_HEAP) == KILN_OS_FAIL);
    SO(errno == 99);
    return 0;
}

static void test_no_address_space_is_an_answer(void)
{
    EXPECT_EQ(child_status(without_address_space), 0);
}

/* A limit on data refuses the commit of what was reserved. */
static int without_memory(void)
{
    kiln_addr_t base = reserve(4 * page_bytes);
    SO(base != 0 && commit(base, page_bytes));
    bytes_of(base)[0] = 7;
    struct rlimit limit = {page_bytes, page_bytes};
    SO(setrlimit(RLIMIT_DATA, &limit) == 0);
    SO(!commit(base + page_bytes, page_bytes));
    SO(bytes_of(base)[0] == 7);
    SO(kiln_linux_call(__NR_write, 2, (uintptr_t)(base + page_bytes), 1, 0, 0) == -EFAULT);
    return 0;
}

/* The kernel opens the first page before it finds that the second is not there. */
static int half_of_a_commit(void)
{
    kiln_addr_t base = reserve(2 * page_bytes);
    os.release(os.ctx, base + page_bytes, page_bytes);
    SO(!commit(base, 2 * page_bytes));
    SO(kiln_linux_call(__NR_write, 2, (uintptr_t)base, 1, 0, 0) == -EFAULT);
    SO(commit(base, page_bytes));
    return 0;
}

static void test_a_refused_commit_opens_nothing(void)
{
    EXPECT_EQ(child_status(half_of_a_commit), 0);
}

static void test_no_memory_is_an_answer(void)
{
    EXPECT_EQ(child_status(without_memory), 0);
}

/* At vm.max_map_count everything that can be refused is, and the rest still gives memory back. */
static int without_mappings(void)
{
    enum { PAGES = 1 << 18 };
    kiln_addr_t base = reserve(PAGES * page_bytes);
    uint64_t committed = 0;
    SO(base != 0);
    while (committed < PAGES / 2 && commit(base + 2 * committed * page_bytes, page_bytes))
        bytes_of(base)[2 * committed++ * page_bytes] = 1;
    SO(committed > 1000 && committed < PAGES / 2);

    kiln_addr_t last = base + 2 * (committed - 1) * page_bytes, tail = last + 64 * page_bytes;
    SO(!commit(tail, page_bytes));        /* would cut a mapping in three */
    os.release(os.ctx, tail, page_bytes); /* cannot cut it either: kept, and never used again */
    os.discard(os.ctx, last, page_bytes);
    SO(commit(last, page_bytes) && bytes_of(last)[0] == 0);
    bytes_of(last)[0] = 2;
    os.decommit(os.ctx, last, page_bytes);
    SO(commit(last, page_bytes) && bytes_of(last)[0] == 0);
    os.release(os.ctx, base, PAGES * page_bytes);
    SO(reserve(page_bytes) != 0);
    return 0;
}

static void test_the_limit_of_mappings_is_survived(void)
{
    EXPECT_EQ(child_status(without_mappings), 0);
}

/* Pieces of one Ready mapping, each given up at the limit: the memory goes, and is zero when it
 * comes back. */
static int pieces_without_mappings(void)
{
    enum { PAGES = 64, FILLER = 1 << 18 };
    unsigned char resident = 1;
    kiln_addr_t base = reserve(PAGES * page_bytes), filler = reserve(FILLER * page_bytes);
    SO(base != 0 && filler != 0 && commit(base, PAGES * page_bytes));
    memset(bytes_of(base), 3, PAGES * page_bytes);
    for (uint64_t i = 0; i < FILLER; i += 2)
        if (!commit(filler + i * page_bytes, page_bytes)) break;
    os.release(os.ctx, base + 8 * page_bytes, page_bytes);
    SO(mincore(bytes_of(base + 8 * page_bytes), page_bytes, &resident) == 0); /* munmap failed */
    SO((resident & 1) == 0);
    for (unsigned i = 1; i < PAGES; i += 4) {
        os.decommit(os.ctx, base + i * page_bytes, page_bytes);
        os.discard(os.ctx, base + (i + 2) * page_bytes, page_bytes);
    }
    for (unsigned i = 1; i < PAGES; i += 4) {
        SO(commit(base + i * page_bytes, page_bytes));
        SO(commit(base + (i + 2) * page_bytes, page_bytes));
    }
    for (unsigned i = 0; i < PAGES; i++)
        SO(i == 8 || bytes_of(base)[i * page_bytes] == (i % 2 == 0 ? 3 : 0));
    return 0;
}

static void test_pieces_are_given_up_at_the_limit(void)
{
    EXPECT_EQ(child_status(pieces_without_mappings), 0);
}

/* A program that locks its memory: the kernel refuses to drop locked pages. */
static int with_locked_memory(void)
{
    kiln_addr_t base = reserve(4 * page_bytes);
    SO(commit(base, 4 * page_bytes));
    memset(bytes_of(base), 5, 4 * page_bytes);
    SO(kiln_linux_call(__NR_mlock, (uintptr_t)base, 4 * page_bytes, 0, 0, 0) == 0);
    os.discard(os.ctx, base, page_bytes);
    os.decommit(os.ctx, base + page_bytes, page_bytes);
    SO(commit(base, 2 * page_bytes));
    SO(bytes_of(base)[0] == 0 && bytes_of(base)[page_bytes] == 0);
    SO(bytes_of(base)[2 * page_bytes] == 5);
    SO(!os.guard(os.ctx, base + 2 * page_bytes, page_bytes, true)); /* not for locked memory */
    SO(bytes_of(base)[2 * page_bytes] == 5);
    return 0;
}

static void test_locked_memory_is_zero_again(void)
{
    EXPECT_EQ(child_status(with_locked_memory), 0);
}

/* --- under a filter --- */

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

static int everything_under_a_filter(void)
{
    bool reserved;
    kiln_lock_t lock = {0};
    _Atomic uint32_t word = 1;
    SO(filter_calls());
    kiln_addr_t base = os.reserve(os.ctx, 0x10000000, 64 * page_bytes, &reserved);
    SO(base != 0 && reserved && commit(base, 8 * page_bytes));
    bytes_of(base)[0] = 1;
    SO(os.protect(os.ctx, base, page_bytes, KILN_OS_READ_ONLY));
    os.discard(os.ctx, base, page_bytes);
    if (os.guard(os.ctx, base + 4 * page_bytes, page_bytes, true))
        SO(os.guard(os.ctx, base + 4 * page_bytes, page_bytes, false));
    os.decommit(os.ctx, base, 2 * page_bytes);
    SO(commit(base, page_bytes) && bytes_of(base)[0] == 0);
    kiln_addr_t direct = os.direct(os.ctx, page_bytes, KILN_OS_META);
    SO(direct != 0);
    SO(os.commit(os.ctx, direct, page_bytes, false, KILN_OS_HEAP) == KILN_OS_ELSEWHERE);
    os.release(os.ctx, direct, page_bytes);
    SO(os.commit(os.ctx, direct, page_bytes, false, KILN_OS_HEAP) == KILN_OS_OK);
    os.release(os.ctx, base, 64 * page_bytes);
    kiln_lock_acquire(&lock, &os.parker);
    kiln_lock_release(&lock, &os.parker);
    os.parker.wait(&word, 2);
    os.parker.wake(&word);
    return 0;
}

static int one_call_more_under_a_filter(void)
{
    SO(filter_calls());
    (void)kiln_linux_call(__NR_getpid, 0, 0, 0, 0, 0);
    return 0;
}

static void test_no_call_but_those_that_are_allowed(void)
{
    EXPECT_EQ(child_status(everything_under_a_filter), 0);
    int status = child_status(one_call_more_under_a_filter); /* the filter does filter */
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGSYS);
}

/* --- the parker --- */

enum { THREADS = 4, TURNS = 20000 };

static kiln_lock_t counter_lock;
static unsigned counter;

static void *count_up(void *unused)
{
    for (unsigned i = 0; i < TURNS; i++) {
        kiln_lock_acquire(&counter_lock, &os.parker);
        counter++;
        kiln_lock_release(&counter_lock, &os.parker);
    }
    return unused;
}

static void test_a_lock_on_the_parker_excludes(void)
{
    pthread_t threads[THREADS];
    start();
    counter = 0;
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, count_up, NULL) == 0);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    EXPECT_EQ(counter, THREADS * TURNS);
}

static _Atomic uint32_t gate;
static _Atomic uint32_t waits;

static void *wait_at_the_gate(void *unused)
{
    for (; gate == 0; waits++) os.parker.wait(&gate, 0);
    return unused;
}

static void test_a_waiter_sleeps_until_it_is_woken(void)
{
    pthread_t thread;
    start();
    gate = waits = 0;
    EXPECT(pthread_create(&thread, NULL, wait_at_the_gate, NULL) == 0);
    usleep(200000);
    EXPECT(waits < 10); /* who does not sleep comes by millions of times */
    gate = 1;
    os.parker.wake(&gate);
    EXPECT(pthread_join(thread, NULL) == 0);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_neighbours_are_one_mapping),
        KILN_TEST(test_huge_pages_are_what_the_kernel_gives),
        KILN_TEST(test_memory_given_up_goes_back),
        KILN_TEST(test_a_free_hint_is_obeyed),
        KILN_TEST(test_protected_memory_is_not_written),
        KILN_TEST(test_guarded_pages_make_no_mapping),
        KILN_TEST(test_errno_is_left_alone),
        KILN_TEST(test_numbers_beyond_the_machine_are_refused),
        KILN_TEST(test_no_address_space_is_an_answer),
        KILN_TEST(test_no_memory_is_an_answer),
        KILN_TEST(test_a_refused_commit_opens_nothing),
        KILN_TEST(test_the_limit_of_mappings_is_survived),
        KILN_TEST(test_pieces_are_given_up_at_the_limit),
        KILN_TEST(test_locked_memory_is_zero_again),
        KILN_TEST(test_no_call_but_those_that_are_allowed),
        KILN_TEST(test_a_lock_on_the_parker_excludes),
        KILN_TEST(test_a_waiter_sleeps_until_it_is_woken),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
