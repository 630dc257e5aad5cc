/* A right program on a hardened heap, with threads: while they allocate, resize, free each other's
 * blocks and fork, checks of the whole heap find nothing. Then one byte is written where it must
 * not be, and they do. */
#include "allocator/api/kiln.h"
#include "allocator/base/rng.h"
#include "tests/kiln_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, SHARED = 256, STEPS = 60000, CHECKS_MIN = 20, FORKS = 8 };

const char *kiln_default_options(void)
{
    return "profile=hardened:guard_every=100:halt_on_error=0:symbolize=0";
}

static _Atomic(char *) shared[SHARED];
static _Atomic unsigned running;
static _Atomic bool wrong;

static size_t any_size(kiln_rng_t *rng)
{
    uint64_t random = kiln_rng_next(rng);
    if (random % 100 == 0) return random >> 8 & 0x3ffff;
    return random % 10 == 0 ? random >> 8 & 0x3fff : random >> 8 & 0xff;
}

/* The first bytes say how many there are and what the others hold. */
static void fill(char *block, size_t bytes, char mark)
{
    memset(block, mark, bytes);
    memcpy(block, &bytes, sizeof bytes);
}

static void expect_filled(const char *block)
{
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    for (size_t i = sizeof bytes + 1; i < bytes; i++)
        if (block[i] != block[sizeof bytes]) atomic_store(&wrong, true);
}

static void step(kiln_rng_t *rng)
{
    size_t at = (size_t)kiln_rng_below(rng, SHARED), bytes = sizeof(size_t) + any_size(rng);
    char *block = atomic_exchange(&shared[at], NULL);
    if (block) expect_filled(block);
    if (block && kiln_rng_below(rng, 3) == 0) {
        char *resized = realloc(block, bytes);
        if (!resized) free(block);
        block = resized;
    } else {
        free(block);
        block = kiln_rng_below(rng, 4) == 0 ? calloc(1, bytes) : malloc(bytes);
    }
    if (!block) return;
    fill(block, bytes, (char)kiln_rng_next(rng));
    free(atomic_exchange(&shared[at], block));
}

static void *work(void *seed)
{
    kiln_rng_t rng = {(uintptr_t)seed};
    for (unsigned i = 0; i < STEPS; i++) step(&rng);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* The child has this thread alone, and what the others were in the middle of. */
static void fork_and_go_on(unsigned seed)
{
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        kiln_rng_t rng = {1000 + seed};
        if (kiln_check_heap() != 0) _exit(3);
        for (unsigned i = 0; i < 2000; i++) step(&rng);
        _exit(kiln_check_heap() == 0 && !atomic_load(&wrong) ? 0 : 4);
    }
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT_EQ(status, 0);
}

static void test_threads_and_checks(void)
{
    pthread_t threads[THREADS];
    atomic_store(&running, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
    unsigned checks = 0;
    for (; atomic_load(&running) > 0 || checks < CHECKS_MIN; checks++) {
        EXPECT_EQ(kiln_check_heap(), 0);
        if (checks < FORKS) fork_and_go_on(checks);
    }
    for (unsigned i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
    EXPECT(!atomic_load(&wrong));
    EXPECT_EQ(kiln_check_heap(), 0);
}

/* The control: without it, the test above could not fail. */
static void test_a_check_sees_one_byte(void)
{
    volatile char *blocks[8]; /* or the compiler thinks that nobody else looks at them */
    for (unsigned i = 0; i < 8; i++) blocks[i] = malloc(100); /* one of them may be guarded */
    for (unsigned i = 0; i < 8; i++) blocks[i][100] ^= 1;
    EXPECT(kiln_check_heap() >= 7);
    for (unsigned i = 0; i < 8; i++) blocks[i][100] ^= 1;
    EXPECT_EQ(kiln_check_heap(), 0);
    for (unsigned i = 0; i < 8; i++) free((void *)blocks[i]);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_threads_and_checks),
        KILN_TEST(test_a_check_sees_one_byte),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
