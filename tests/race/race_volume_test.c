/* Many events, much heap and several threads at once under the race detector of Go. */
#define _GNU_SOURCE
#include "allocator/base/rng.h"
#include "tests/race/race_child.h"
#include "tests/race/race_world.h"

enum { SEED = 7 };

/* ---- 10 million events, 8 GiB ---- */

enum {
    EVENTS = 10 * 1000 * 1000,
    BLOCKS = 20000,  /* live at a time */
    BIG_BLOCKS = 64, /* live to the end, and never touched */
    PEAK_KIB_MAX = 1 << 20,
};
#define BIG_BYTES KILN_MIB(128)

static size_t random_bytes(kiln_rng_t *rng)
{
    uint64_t kind = kiln_rng_below(rng, 1000);
    return (size_t)kiln_rng_below(rng, kind == 0 ? 100000 : kind < 100 ? 4000 : 256);
}

static void replace_block(void **block, kiln_rng_t *rng)
{
    KILN_RACE_PLACE(access);
    size_t bytes = random_bytes(rng);
    EXPECT(!*block || kiln_heap_free(&heap, NULL, *block) == KILN_MISUSE_NONE);
    *block = kiln_heap_malloc(&heap, NULL, bytes);
    EXPECT(*block);
    kiln_race_write(*block, bytes < 8 ? bytes : 8, &access);
}

static void many_events_and_much_heap(void)
{
    static void *blocks[BLOCKS];
    kiln_rng_t rng = {.state = SEED};
    open_watched();
    for (unsigned big = 0; big < BIG_BLOCKS; big++) {
        EXPECT(kiln_heap_malloc(&heap, NULL, BIG_BYTES));
        while (told.allocs + told.frees < (uint64_t)EVENTS * (big + 1) / BIG_BLOCKS)
            replace_block(&blocks[kiln_rng_below(&rng, BLOCKS)], &rng);
    }
    EXPECT(told.allocs + told.frees >= EVENTS);
    EXPECT(told.end - told.first >= KILN_GIB(8));
    EXPECT_EQ(told.end - told.first, kiln_heap_stats(&heap).arena_bytes);
    EXPECT_EQ(told.end, kiln_arena_used(&heap.arena));
    printf("%llu allocs, %llu frees, %llu growths to %llu MiB, all of them in what was published\n",
           (unsigned long long)told.allocs, (unsigned long long)told.frees,
           (unsigned long long)told.maps - 1, (unsigned long long)(told.end - told.first) >> 20);
    finish();
}

static void test_ten_million_events_and_8_gib_stay_in_what_is_published(void)
{
    printf("seed %d\n", SEED);
    const child_t *child = child_of(many_events_and_much_heap);
    child_expect(child, 0);
    EXPECT_STR(child->text, "");
    printf("peak memory %ld KiB\n", child->peak_kib);
    EXPECT(child->peak_kib < PEAK_KIB_MAX);
}

/* The log's own checks find what they are for. */
static void gap_and_event_outside(void)
{
    open_watched();
    void *block = kiln_heap_malloc(&heap, NULL, 16);
    tell((uintptr_t)block, 16, &told.allocs);
    tell((uintptr_t)told.end - 16, 16, &told.allocs);
    EXPECT_EQ(told.outside, 0);
    tell((uintptr_t)told.end - 16, 17, &told.allocs);
    tell((uintptr_t)told.first - 1, 1, &told.allocs);
    EXPECT_EQ(told.outside, 2);
    EXPECT_RULE(told.broken);
    kiln_race_watcher.grow(NULL, told.end + KILN_MIB(1), KILN_MIB(1));
    EXPECT_STR(told.broken, "one range that grows upwards");
}

static void test_the_log_sees_gaps_and_events_outside(void)
{
    child_expect(child_of(gap_and_event_outside), 0);
}

/* ---- threads at once ---- */

enum { WORKERS = 4, STEPS = 50000, BOXES = 16, OWN = 64 };

/* Workers give each other blocks through boxes, each with a lock. The lock is a real one; whether
 * the detector is told of it is what the tests below differ in. */
typedef struct {
    pthread_mutex_t lock;
    void *block;
} box_t;

static box_t *boxes;
static bool tell_of_locks;

static void *exchange(box_t *box, void *block)
{
    pthread_mutex_lock(&box->lock);
    if (tell_of_locks) kiln_race_acquire(box);
    void *given = box->block;
    box->block = block;
    if (tell_of_locks) kiln_race_release(box);
    pthread_mutex_unlock(&box->lock);
    return given;
}

static void write_block(void *block)
{
    KILN_RACE_PLACE(access);
    kiln_race_write(block, 16, &access);
    memset(block, 3, 16);
}

static void exchange_blocks(void *seed)
{
    void *own[OWN] = {NULL};
    kiln_rng_t rng = {.state = (uintptr_t)seed};
    for (unsigned step = 0; step < STEPS; step++) {
        void **block = &own[kiln_rng_below(&rng, OWN)];
        if (!*block) {
            *block = kiln_heap_malloc(&heap, NULL, 16 + random_bytes(&rng));
        } else if (kiln_rng_below(&rng, 4) == 0) {
            *block = exchange(&boxes[kiln_rng_below(&rng, BOXES)], *block);
        } else if (kiln_rng_below(&rng, 3) == 0) {
            (void)kiln_heap_free(&heap, NULL, *block);
            *block = NULL;
        }
        if (*block) write_block(*block);
    }
}

static void run_workers(void)
{
    KILN_RACE_PLACE(creation);
    static worker_t workers[WORKERS];
    pthread_t threads[WORKERS];
    open_watched();
    boxes = kiln_heap_calloc(&heap, NULL, BOXES, sizeof *boxes);
    EXPECT(boxes);
    for (unsigned i = 0; i < BOXES; i++) pthread_mutex_init(&boxes[i].lock, NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].run = exchange_blocks;
        workers[i].block = (void *)(uintptr_t)(SEED + i);
        kiln_race_create(&workers[i].race, &creation);
        EXPECT_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT(told.allocs + told.frees > STEPS);
    finish();
}

static void with_locks(void)
{
    tell_of_locks = true;
    run_workers();
}

static void test_threads_that_synchronise_are_no_report(void)
{
    const child_t *child = child_of(with_locks);
    child_expect(child, 0);
    EXPECT_STR(child->text, "");
}

static void test_threads_whose_locks_are_not_told_are_reports(void)
{
    const child_t *child = child_of(run_workers);
    child_expect(child, CHILD_REPORTS);
    EXPECT(child_count(child, "WARNING: DATA RACE") >= 1);
    EXPECT(child_count(child, "  exchange_blocks()\n") == 0); /* the place is in write_block */
    EXPECT(child_count(child, "  write_block()\n") >= 2);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_ten_million_events_and_8_gib_stay_in_what_is_published),
        KILN_TEST(test_the_log_sees_gaps_and_events_outside),
        KILN_TEST(test_threads_that_synchronise_are_no_report),
        KILN_TEST(test_threads_whose_locks_are_not_told_are_reports),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
