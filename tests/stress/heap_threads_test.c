/* Many threads on one heap, on Linux.
 *
 *   heap_threads_test [TEST ...] [--seed=N] [--rounds=N] */
#define _GNU_SOURCE
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"
#include "tests/kiln_number.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, QUEUE = 256 };

static uint64_t seed_of_run = 1;
static unsigned rounds_of_run = 40000;
static _Atomic unsigned failures; /* of threads, which must not longjmp */

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #x);                       \
            atomic_fetch_add(&failures, 1);                                                        \
        }                                                                                          \
    } while (0)

static kiln_heap_t *open_heap(void)
{
    failures = 0;
    return world_open(
        (world_config_t){.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN, .bare = true});
}

static void close_heap(kiln_heap_t *heap)
{
    EXPECT_EQ(failures, 0);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    kiln_heap_destroy(heap);
}

static void run_threads(unsigned count, void *(*body)(void *))
{
    pthread_t threads[16];
    for (uintptr_t i = 0; i < count; i++)
        EXPECT(pthread_create(&threads[i], NULL, body, (void *)i) == 0);
    for (unsigned i = 0; i < count; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
}

/* ---- blocks that travel ---- */

typedef struct {
    unsigned char *start;
    size_t bytes;
} block_t;

static struct {
    pthread_mutex_t mutex;
    block_t blocks[QUEUE];
} box = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Puts a block in a place of the box, and takes what was there. */
static block_t swap(unsigned place, block_t block)
{
    pthread_mutex_lock(&box.mutex);
    block_t was = box.blocks[place];
    box.blocks[place] = block;
    pthread_mutex_unlock(&box.mutex);
    return was;
}

static unsigned char mark(block_t block)
{
    return (unsigned char)((uintptr_t)block.start >> 4 ^ block.bytes);
}

static void check_and_free(kiln_thread_cache_t *cache, block_t block)
{
    for (size_t i = 0; i < block.bytes; i += 1 + block.bytes / 16)
        MUST(block.start[i] == mark(block));
    MUST(kiln_heap_free(&world.heap, cache, block.start) == KILN_MISUSE_NONE);
}

static void *trade(void *arg)
{
    kiln_rng_t rng = {seed_of_run * 100 + (uintptr_t)arg};
    kiln_thread_cache_t *cache = kiln_heap_attach(&world.heap);
    for (unsigned i = 0; i < rounds_of_run; i++) {
        block_t block;
        block.bytes = 1 + (size_t)kiln_rng_below(&rng, UINT64_C(1) << kiln_rng_below(&rng, 17));
        block.start = kiln_heap_malloc(&world.heap, cache, block.bytes);
        MUST(block.start);
        if (!block.start) break;
        if (kiln_rng_below(&rng, 8) == 0) {
            kiln_misuse_t misuse;
            block.bytes = 1 + (size_t)kiln_rng_below(&rng, 100000);
            block.start = kiln_heap_realloc(&world.heap, cache, block.start, block.bytes, &misuse);
            MUST(block.start && misuse == KILN_MISUSE_NONE);
        }
        memset(block.start, mark(block), block.bytes);
        block_t was = swap((unsigned)kiln_rng_below(&rng, QUEUE), block);
        if (was.start) check_and_free(cache, was);
        if (kiln_rng_below(&rng, 1000) == 0) kiln_heap_trim(&world.heap, 0);
        if (kiln_rng_below(&rng, 1000) == 0) (void)kiln_heap_stats(&world.heap);
    }
    kiln_heap_detach(&world.heap, cache);
    return NULL;
}

static void test_blocks_freed_by_other_threads(void)
{
    kiln_heap_t *heap = open_heap();
    memset(box.blocks, 0, sizeof box.blocks);
    run_threads(THREADS, trade);
    for (unsigned i = 0; i < QUEUE; i++)
        if (box.blocks[i].start) check_and_free(NULL, box.blocks[i]);
    EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
    close_heap(heap);
}

/* ---- threads that come and go ---- */

static void *live_shortly(void *arg)
{
    kiln_thread_cache_t *cache = kiln_heap_attach(&world.heap);
    block_t mine[20];
    for (size_t i = 0; i < 20; i++) {
        mine[i].bytes = 1 + i * (uintptr_t)arg % 5000;
        mine[i].start = kiln_heap_malloc(&world.heap, cache, mine[i].bytes);
        memset(mine[i].start, mark(mine[i]), mine[i].bytes);
    }
    for (size_t i = 0; i < 20; i++) check_and_free(cache, mine[i]);
    kiln_heap_detach(&world.heap, cache);
    return NULL;
}

static void test_a_thousand_short_threads_leak_nothing(void)
{
    kiln_heap_t *heap = open_heap();
    run_threads(8, live_shortly);
    kiln_heap_stats_t before = kiln_heap_stats(heap);
    for (unsigned i = 0; i < 125; i++) run_threads(8, live_shortly);
    kiln_heap_stats_t after = kiln_heap_stats(heap);
    EXPECT_EQ(after.live_bytes, 0);
    EXPECT_EQ(after.cached_bytes, 0);
    /* Eight caches at once, or fewer if they never met the first time. */
    EXPECT(after.meta_bytes <= before.meta_bytes + 8 * sizeof(kiln_thread_cache_t) + KILN_MIB(1));
    EXPECT(after.arena_bytes <= before.arena_bytes + KILN_MIB(8));
    close_heap(heap);
}

/* ---- two frees at once ---- */

enum { PRIZES = 64, SPINS_MAX = 2000 };

static struct {
    _Atomic unsigned turn; /* counts the arrivals of both threads */
    void *prizes[PRIZES];
    _Atomic unsigned freed, told;
    unsigned rounds;
} duel;

/* Both leave as close to each other as can be. */
static void meet(void)
{
    unsigned turn = atomic_fetch_add(&duel.turn, 1);
    unsigned both = turn - turn % 2 + 2;
    for (unsigned spins = 0; atomic_load(&duel.turn) < both; spins++)
        if (spins > SPINS_MAX) sched_yield();
}

/* One frees upwards, the other downwards: somewhere they come to the same block at once. */
static void *fight(void *arg)
{
    static const size_t sizes[] = {16, 100, 5000, 50000};
    kiln_thread_cache_t *cache = kiln_heap_attach(&world.heap);
    unsigned freed = 0, told = 0;
    for (unsigned i = 0; i < duel.rounds; i++) {
        for (unsigned j = 0; !arg && j < PRIZES; j++)
            duel.prizes[j] = kiln_heap_malloc(&world.heap, cache, sizes[i % 4]);
        meet();
        for (unsigned j = 0; j < PRIZES; j++) {
            void *prize = duel.prizes[arg ? j : PRIZES - 1 - j];
            kiln_misuse_t misuse = kiln_heap_free(&world.heap, i % 3 ? cache : NULL, prize);
            freed += misuse == KILN_MISUSE_NONE;
            told += misuse == KILN_MISUSE_DOUBLE_FREE;
        }
        meet();
    }
    kiln_heap_detach(&world.heap, cache);
    atomic_fetch_add(&duel.freed, freed);
    atomic_fetch_add(&duel.told, told);
    return NULL;
}

static void test_of_two_frees_at_once_one_is_told(void)
{
    kiln_heap_t *heap = open_heap();
    duel.turn = duel.freed = duel.told = 0;
    duel.rounds = rounds_of_run / 4; /* without atomic exchanges, every second run fails */
    run_threads(2, fight);
    EXPECT_EQ(duel.freed, duel.rounds * PRIZES);
    EXPECT_EQ(duel.told, duel.freed);
    EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
    close_heap(heap);
}

/* ---- programs that free anything ---- */

/* Everybody frees addresses all over the heap, also blocks of others. What the heap answers does
 * not matter here: it must go on, and keep its rules. */
static void *vandal(void *arg)
{
    kiln_rng_t rng = {seed_of_run * 200 + (uintptr_t)arg};
    kiln_thread_cache_t *cache = kiln_heap_attach(&world.heap);
    uintptr_t seen = 0;
    for (unsigned i = 0; i < rounds_of_run; i++) {
        size_t bytes = (size_t)kiln_rng_below(&rng, UINT64_C(1) << kiln_rng_below(&rng, 18));
        void *block = kiln_heap_malloc(&world.heap, cache, bytes);
        if (i % 7 == 0) seen = (uintptr_t)block;
        uintptr_t wild = seen + (uintptr_t)kiln_rng_below(&rng, 1 << 20) - (1 << 19);
        if (i % 2) wild &= ~(uintptr_t)(i % 3 ? 15 : 8191);
        kiln_misuse_t misuse = kiln_heap_free(&world.heap, cache, (void *)wild);
        (void)kiln_heap_about(&world.heap, (void *)(wild + 5));
        if (misuse != KILN_MISUSE_NONE || i % 4) (void)kiln_heap_free(&world.heap, cache, block);
    }
    kiln_heap_detach(&world.heap, cache);
    return NULL;
}

static void test_wild_frees_break_no_rule(void)
{
    kiln_heap_t *heap = open_heap();
    run_threads(THREADS, vandal);
    close_heap(heap);
}

/* ---- fork ---- */

static _Atomic bool stop;

static void *keep_busy(void *arg)
{
    kiln_rng_t rng = {seed_of_run * 300 + (uintptr_t)arg};
    kiln_thread_cache_t *cache = kiln_heap_attach(&world.heap);
    while (!stop) {
        void *blocks[30];
        for (unsigned i = 0; i < 30; i++)
            blocks[i] =
                kiln_heap_malloc(&world.heap, cache, (size_t)kiln_rng_below(&rng, 60000) >> i % 9);
        for (unsigned i = 0; i < 30; i++)
            MUST(kiln_heap_free(&world.heap, cache, blocks[i]) == KILN_MISUSE_NONE);
    }
    kiln_heap_detach(&world.heap, cache);
    return NULL;
}

/* Exit codes tell what is wrong in the child. */
static int child_of_fork(kiln_heap_t *heap, kiln_thread_cache_t *mine, void *block)
{
    void *blocks[500];
    if (heap->caches.count != 1) return 2;
    for (size_t i = 0; i < 500; i++) {
        blocks[i] = kiln_heap_malloc(heap, mine, i * 90);
        if (!blocks[i]) return 3;
        memset(blocks[i], 1, i * 90);
    }
    for (unsigned i = 0; i < 500; i++)
        if (kiln_heap_free(heap, mine, blocks[i]) != KILN_MISUSE_NONE) return 4;
    if (kiln_heap_free(heap, mine, block) != KILN_MISUSE_NONE) return 5;
    kiln_heap_detach(heap, mine);
    const char *rule = kiln_heap_broken_rule(heap);
    if (!rule) return 0;
    fprintf(stderr, "child: %s\n", rule);
    return 6;
}

static void test_fork_while_others_allocate(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *mine = kiln_heap_attach(heap);
    pthread_t threads[THREADS];
    stop = false;
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, keep_busy, (void *)i) == 0);
    for (unsigned i = 0; i < rounds_of_run / 800; i++) {
        void *block = kiln_heap_malloc(heap, mine, 100);
        kiln_heap_fork_prepare(heap);
        pid_t pid = fork();
        if (pid == 0) {
            kiln_heap_fork_child(heap, mine);
            _exit(child_of_fork(heap, mine, block));
        }
        kiln_heap_fork_parent(heap);
        int status = -1;
        MUST(pid > 0 && waitpid(pid, &status, 0) == pid);
        if (status != 0) fprintf(stderr, "child %u: status %#x\n", i, (unsigned)status);
        MUST(status == 0);
        MUST(kiln_heap_free(heap, mine, block) == KILN_MISUSE_NONE);
    }
    stop = true;
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    kiln_heap_detach(heap, mine);
    EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
    close_heap(heap);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_blocks_freed_by_other_threads),
        KILN_TEST(test_a_thousand_short_threads_leak_nothing),
        KILN_TEST(test_of_two_frees_at_once_one_is_told),
        KILN_TEST(test_wild_frees_break_no_rule),
        KILN_TEST(test_fork_while_others_allocate),
    };
    int names = 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seed=", 7) == 0)
            seed_of_run = kiln_number(argv[i], 0, UINT64_MAX);
        else if (strncmp(argv[i], "--rounds=", 9) == 0)
            rounds_of_run = (unsigned)kiln_number(argv[i], 1, UINT32_MAX);
        else
            argv[names++] = argv[i];
    }
    printf("--seed=%llu --rounds=%u\n", (unsigned long long)seed_of_run, rounds_of_run);
    return kiln_test_main(names, argv, tests, sizeof tests / sizeof *tests);
}
