/* A process's heap that is put back: addresses, bytes, what threads and forks make of it, and who
 * uses a block that went. Runs itself again with other options. */
#define _GNU_SOURCE
#include "allocator/api/kiln.h"
#include "allocator/base/rng.h"
#include "tests/kiln_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OLD = 60, PLACES = 200, STEPS = 600, ROUNDS = 40 };

const char *kiln_default_options(void)
{
    return "checkpoints=1";
}

static const char *self;
static unsigned char *old[OLD]; /* blocks that are live at the checkpoint */
static unsigned char *places[PLACES];
static int added[3];

static size_t old_bytes(unsigned i)
{
    return i % 20 == 19 ? 200000 + i : 10 + i * i;
}

static void start(void)
{
    for (unsigned i = 0; i < OLD; i++) {
        free(old[i]);
        old[i] = malloc(old_bytes(i));
        EXPECT(old[i]);
        memset(old[i], (int)i, old_bytes(i));
    }
}

static bool is_old_whole(unsigned i, int byte)
{
    for (size_t at = 0; at < old_bytes(i); at++)
        if (old[i][at] != byte) return false;
    return true;
}

/* One input: blocks are made, freed, resized and lost. The addresses, as one number. */
static uint64_t run(uint64_t seed, unsigned steps)
{
    kiln_rng_t rng = {.state = seed};
    uint64_t hash = 1;
    memset(places, 0, sizeof places);
    for (unsigned i = 0; i < steps; i++) {
        unsigned char **at = &places[kiln_rng_below(&rng, PLACES)];
        size_t bytes = 1 + (size_t)kiln_rng_below(&rng, i % 50 == 0 ? 400000 : 700);
        if (*at && kiln_rng_below(&rng, 3) != 0) {
            free(*at);
            *at = NULL;
        } else {
            *at = realloc(*at, bytes);
            EXPECT(*at);
            (*at)[0] = (*at)[bytes - 1] = (unsigned char)i;
        }
        hash = (hash ^ (uintptr_t)*at) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void rounds_are_the_same(kiln_restored_t what)
{
    start();
    EXPECT_EQ(kiln_checkpoint(), 0);
    uint64_t wanted = run(1, STEPS);
    for (unsigned i = 0; i < ROUNDS; i++) {
        EXPECT_EQ(kiln_restore(what), 0);
        uint64_t got = run(1 + i % 3, STEPS);
        EXPECT_EQ(got == wanted, i % 3 == 0);
    }
    EXPECT_EQ(kiln_restore(what), 0);
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
    for (unsigned i = 0; i < OLD; i++) EXPECT(is_old_whole(i, (int)i));
    EXPECT_EQ(kiln_check_heap(), 0);
}

static void test_the_same_calls_get_the_same_addresses(void)
{
    rounds_are_the_same(KILN_BYTES);
    rounds_are_the_same(KILN_BLOCKS);
}

static void test_bytes_go_back_where_they_are_to(void)
{
    start();
    EXPECT_EQ(kiln_checkpoint(), 0);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < OLD; i++) memset(old[i], 200, old_bytes(i));
        EXPECT_EQ(kiln_restore(KILN_BYTES), 0);
        for (unsigned i = 0; i < OLD; i++) EXPECT(is_old_whole(i, (int)i));
    }
    for (unsigned i = 0; i < OLD; i++) memset(old[i], 200, old_bytes(i));
    (void)run(7, STEPS);
    EXPECT_EQ(kiln_restore(KILN_BLOCKS), 0);
    for (unsigned i = 0; i < OLD; i++) EXPECT(is_old_whole(i, 200));
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
    EXPECT_EQ(kiln_check_heap(), 0);
}

static void freed_live_again(kiln_restored_t what)
{
    start();
    EXPECT_EQ(kiln_checkpoint(), 0);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = round % 2; i < OLD; i += 2) free(old[i]);
        EXPECT_EQ(kiln_restore(what), 0);
        for (unsigned i = 0; i < OLD; i++) EXPECT(is_old_whole(i, (int)i));
    }
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
    start(); /* frees all of them */
    EXPECT_EQ(kiln_check_heap(), 0);
}

static void test_freed_blocks_are_live_again(void)
{
    freed_live_again(KILN_BYTES);
    freed_live_again(KILN_BLOCKS);
}

static void test_checkpoints_nest(void)
{
    start();
    EXPECT_EQ(kiln_checkpoint(), 0);
    uint64_t first = run(3, STEPS);
    memset(old[5], 55, old_bytes(5));
    EXPECT_EQ(kiln_checkpoint(), 0);
    unsigned char *between = places[0];
    uint64_t second = run(4, STEPS);
    EXPECT_EQ(kiln_restore(KILN_BYTES), 0);
    EXPECT_EQ(run(4, STEPS), second);
    memset(old[5], 66, old_bytes(5));
    EXPECT_EQ(kiln_restore(KILN_BYTES), 0);
    EXPECT(is_old_whole(5, 55));
    (void)run(5, STEPS);
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
    EXPECT_EQ(kiln_restore(KILN_BYTES), 0);
    EXPECT(is_old_whole(5, 5));
    EXPECT_EQ(run(3, STEPS), first);
    EXPECT(places[0] == between);
    EXPECT_EQ(kiln_restore(KILN_BYTES), 0);
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
    EXPECT_EQ(kiln_check_heap(), 0);
}

static void test_other_memory_goes_back(void)
{
    EXPECT_EQ(kiln_checkpoint_add(added, sizeof added), 0);
    EXPECT_EQ(kiln_checkpoint_add(added, 0), 0);
    added[0] = 1;
    EXPECT_EQ(kiln_checkpoint(), 0);
    added[0] = 2;
    added[2] = 3;
    EXPECT_EQ(kiln_restore(KILN_BLOCKS), 0);
    EXPECT_EQ(added[0], 1);
    EXPECT_EQ(added[2], 0);
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
}

/* Ends a child: 0 is that all was as expected. */
static int in_child(void (*function)(void))
{
    pid_t child = fork();
    int status = -1;
    if (child == 0) {
        if (setjmp(kiln_test_failed) != 0) _exit(1);
        function();
        _exit(0);
    }
    EXPECT(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static void go_back_some_times(void)
{
    uint64_t wanted = 0;
    for (unsigned i = 0; i < 6; i++) {
        memset(old[7], 77, old_bytes(7));
        EXPECT_EQ(kiln_restore(KILN_BYTES), 0);
        EXPECT(is_old_whole(7, 7));
        uint64_t got = run(9, STEPS);
        EXPECT(i == 0 || got == wanted);
        wanted = got;
    }
    EXPECT_EQ(kiln_restore(KILN_BYTES), 0);
}

static void test_a_child_of_fork_goes_back(void)
{
    start();
    EXPECT_EQ(kiln_checkpoint(), 0);
    memset(old[9], 99, old_bytes(9));
    EXPECT_EQ(in_child(go_back_some_times), 0);
    EXPECT(is_old_whole(9, 99)); /* the parent has not gone anywhere */
    go_back_some_times();
    EXPECT(is_old_whole(9, 9));
    EXPECT_EQ(in_child(go_back_some_times), 0);
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
}

static void close_all_and_go_back(void)
{
    go_back_some_times(); /* with files of its own from now on */
    for (int fd = 3; fd < 1024; fd++) (void)close(fd);
    memset(old[9], 99, old_bytes(9));
    go_back_some_times();
    EXPECT(is_old_whole(9, 9));
}

static void test_files_may_be_closed(void)
{
    start();
    EXPECT_EQ(kiln_checkpoint(), 0);
    go_back_some_times();
    EXPECT_EQ(in_child(close_all_and_go_back), 0);
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
}

static int refused(int answer)
{
    return answer == -1 ? errno : 0;
}

static pthread_barrier_t barrier;

static void *wait_with_a_block(void *unused)
{
    free(malloc(10));
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_barrier_wait(&barrier);
    return unused;
}

static void test_what_cannot_be_is_refused(void)
{
    pthread_t thread;
    EXPECT_EQ(refused(kiln_restore(KILN_BYTES)), EINVAL);
    EXPECT_EQ(refused(kiln_checkpoint_drop()), EINVAL);
    EXPECT_EQ(refused(kiln_checkpoint_add((void *)64, 8)), EFAULT);
    EXPECT_EQ(refused(kiln_checkpoint_add((void *)(UINTPTR_MAX - 7), 16)), EINVAL);
    start();
    EXPECT_EQ(refused(kiln_checkpoint_add(old[3], 1)), EINVAL);
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(pages != MAP_FAILED && mprotect(pages + 4096, 4096, PROT_READ) == 0);
    EXPECT_EQ(refused(kiln_checkpoint_add(pages + 4095, 2)), EFAULT);
    EXPECT_EQ(munmap(pages + 4096, 4096), 0);
    EXPECT_EQ(refused(kiln_checkpoint_add(pages + 4095, 2)), EFAULT);
    EXPECT_EQ(munmap(pages, 4096), 0);
    EXPECT_EQ(kiln_checkpoint(), 0);
    kiln_restored_t nothing = KILN_BYTES;
    memset(&nothing, 7, sizeof nothing); /* what a program of another version may say */
    EXPECT_EQ(refused(kiln_restore(nothing)), EINVAL);
    EXPECT_EQ(refused(kiln_checkpoint_add(added, 4)), EBUSY);
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
    EXPECT_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, wait_with_a_block, NULL), 0);
    (void)pthread_barrier_wait(&barrier);
    EXPECT_EQ(refused(kiln_checkpoint()), EBUSY);
    (void)pthread_barrier_wait(&barrier);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(kiln_checkpoint(), 0);
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
}

static long resident_kib(void)
{
    long kib = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    if (!status) return 0;
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1) break;
    fclose(status);
    return kib;
}

/* A megabyte in all is what these rounds may make of difference. */
static void test_what_inputs_lose_is_not_kept(void)
{
    start();
    (void)resident_kib();
    EXPECT_EQ(kiln_checkpoint(), 0);
    long before = 0, after = 0;
    for (unsigned i = 0; i < 3000; i++) {
        (void)run(i % 10, 100);
        EXPECT_EQ(kiln_restore(i % 2 == 0 ? KILN_BYTES : KILN_BLOCKS), 0);
        if (i == 100) before = resident_kib();
    }
    after = resident_kib();
    EXPECT_EQ(kiln_checkpoint_drop(), 0);
    EXPECT(before > 0);
    EXPECT(after - before < 1024);
}

/* ---- with other options ---- */

/* What a run of this program with these options and words says on standard error. */
static int run_self(const char *options, const char *word, const char *number, char *said,
                    size_t said_max)
{
    int ends[2], status = -1;
    size_t length = 0;
    char list[512];
    const char *given = getenv("KILN_OPTIONS");
    (void)snprintf(list, sizeof list, "%s%s%s", given ? given : "", given ? ":" : "", options);
    EXPECT_EQ(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], 2);
        (void)setenv("KILN_OPTIONS", list, 1);
        (void)execl(self, self, word, number, (char *)NULL);
        _exit(99);
    }
    EXPECT(child > 0);
    (void)close(ends[1]);
    for (ssize_t got; (got = read(ends[0], said + length, said_max - 1 - length)) > 0;)
        length += (size_t)got;
    said[length] = '\0';
    (void)close(ends[0]);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
}

/* Of 64 blocks the one whose number is given is read behind its end, in each of some inputs. */
static int read_beyond(unsigned which, bool turns)
{
    volatile char *blocks[64];
    if (kiln_checkpoint() != 0) return 4;
    for (unsigned input = 0; input < 30; input++) {
        if (turns) kiln_input(input, NULL);
        for (unsigned i = 0; i < 64; i++) blocks[i] = malloc(100);
        char beyond = blocks[which][115];
        for (unsigned i = 0; i < 64; i++) free((void *)blocks[i]);
        if (kiln_restore(KILN_BYTES) != 0) return beyond ? 5 : 6;
    }
    return 0;
}

static const size_t stale_bytes[] = {1, 24, 500, 5000, 70000};

// NOLINTBEGIN(clang-analyzer-unix.Malloc): what is wrong here is what is to be seen

/* The other program: `word` is what it does with a block that a restore took. */
static int use(const char *word, size_t bytes)
{
    if (kiln_checkpoint() != 0) return errno == ENOTSUP ? 3 : 4;
    volatile char *stale = malloc(bytes);
    if (!stale || kiln_restore(KILN_BYTES) != 0) return 5;
    if (strcmp(word, "read") == 0) return stale[bytes - 1];
    if (strcmp(word, "free") == 0) free((void *)stale);
    if (strcmp(word, "write") == 0) stale[bytes - 1] = 1;
    if (strcmp(word, "ok") == 0) stale = malloc(bytes), stale[0] = 1;
    if (strcmp(word, "twice") == 0) {
        free(malloc(bytes)); /* at the same address, and freed by the program itself */
        free((void *)stale);
    }
    return kiln_restore(KILN_BYTES) == 0 ? 0 : 6; /* where the profile is fuzz, it looks */
}

// NOLINTEND(clang-analyzer-unix.Malloc)

static void expect_said(const char *options, const char *word, const char *wanted)
{
    static char said[1 << 16];
    for (unsigned i = 0; i < sizeof stale_bytes / sizeof *stale_bytes; i++) {
        char number[32];
        (void)snprintf(number, sizeof number, "%zu", stale_bytes[i]);
        int status = run_self(options, word, number, said, sizeof said);
        if (!wanted ? status != 0 : !WIFSIGNALED(status) || !strstr(said, wanted))
            fprintf(stderr, "%s %s %s: status %x, said: %s\n", options, word, number,
                    (unsigned)status, said);
        EXPECT(wanted ? WIFSIGNALED(status) && strstr(said, wanted) != NULL : status == 0);
    }
}

static void test_use_after_restore_is_reported(void)
{
    static const char all[] = "profile=hardened:guard=all:symbolize=0",
                      after[] = "use-after-restore";
    expect_said(all, "read", after);
    expect_said(all, "write", after);
    expect_said(all, "free", "a restore took the block back");
    expect_said(all, "ok", NULL);
    expect_said("profile=fuzz:guard=none:symbolize=0", "write", after);
    expect_said("profile=fuzz:guard=none:symbolize=0", "free", "a restore took the block back");
    expect_said("profile=fuzz:guard=none", "ok", NULL);
}

/* What the program did since with a block at the address of one that a restore took is told as
 * that. */
static void test_the_programs_own_frees_are_told_as_such(void)
{
    static char said[1 << 16];
    static const char *const options[] = {"profile=hardened:symbolize=0",
                                          "profile=fuzz:guard=none:symbolize=0",
                                          "profile=fuzz:guard=all:symbolize=0"};
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++) {
        int status = run_self(options[i], "twice", "200", said, sizeof said);
        EXPECT(WIFSIGNALED(status) && strstr(said, "double-free"));
        if (strstr(said, "restore took")) fprintf(stderr, "%s: %s\n", options[i], said);
        EXPECT(!strstr(said, "restore took"));
    }
}

/* Which blocks are guarded goes by the input's number, not by how many came before. */
static void test_guarded_blocks_go_round_with_inputs(void)
{
    static char said[1 << 16];
    unsigned seen = 0, seen_without = 0;
    for (unsigned which = 0; which < 64; which += 7) {
        char number[32];
        (void)snprintf(number, sizeof number, "%u", which);
        seen += WIFSIGNALED(
            run_self("profile=fuzz:guard=some", "beyond-turns", number, said, sizeof said));
        seen_without +=
            WIFSIGNALED(run_self("profile=fuzz:guard=some", "beyond", number, said, sizeof said));
    }
    EXPECT_EQ(seen, 10);
    EXPECT(seen_without < 5);
}

static void test_other_options(void)
{
    static char said[1 << 16];
    int status = run_self("checkpoints=0", "ok", "10", said, sizeof said);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    EXPECT(strstr(said, "kiln_checkpoint") && strstr(said, "checkpoints=1"));
    status = run_self("record=/dev/null", "ok", "10", said, sizeof said);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    EXPECT(strstr(said, "record") && strstr(said, "checkpoints=1"));
    EXPECT_EQ(setenv("AFL_LD_LIMIT_MB", "32", 1), 0);
    status = run_self("seed=1", "limit", "0", said, sizeof said);
    EXPECT_EQ(unsetenv("AFL_LD_LIMIT_MB"), 0);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// NOLINTBEGIN(clang-analyzer-unix.Malloc): a restore takes the blocks

/* As much memory each time as the first time. */
static int use_all(void)
{
    unsigned first = 0;
    if (kiln_checkpoint() != 0) return 4;
    for (unsigned round = 0; round < 10; round++) {
        unsigned count = 0;
        while (malloc(50000)) count++;
        if (kiln_restore(KILN_BYTES) != 0) return 5;
        if (round == 0) first = count;
        if (count != first || count < 100) return 6;
    }
    return 0;
}

// NOLINTEND(clang-analyzer-unix.Malloc)

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_the_same_calls_get_the_same_addresses),
        KILN_TEST(test_bytes_go_back_where_they_are_to),
        KILN_TEST(test_freed_blocks_are_live_again),
        KILN_TEST(test_checkpoints_nest),
        KILN_TEST(test_other_memory_goes_back),
        KILN_TEST(test_a_child_of_fork_goes_back),
        KILN_TEST(test_files_may_be_closed),
        KILN_TEST(test_what_cannot_be_is_refused),
        KILN_TEST(test_what_inputs_lose_is_not_kept),
        KILN_TEST(test_use_after_restore_is_reported),
        KILN_TEST(test_the_programs_own_frees_are_told_as_such),
        KILN_TEST(test_guarded_blocks_go_round_with_inputs),
        KILN_TEST(test_other_options),
    };
    if (argc == 3 && strcmp(argv[1], "limit") == 0) return use_all();
    if (argc == 3 && strncmp(argv[1], "beyond", 6) == 0)
        return read_beyond((unsigned)strtoul(argv[2], NULL, 10), argv[1][6] != '\0');
    if (argc == 3) return use(argv[1], (size_t)strtoull(argv[2], NULL, 10));
    self = argv[0];
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
