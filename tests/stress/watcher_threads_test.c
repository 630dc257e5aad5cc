/* Many threads on a watched heap: what the watcher is told of one place in memory comes one after
 * the other, free, alloc, free, alloc, whichever threads tell it.
 *
 *   watcher_threads_test [TEST ...] [--seed=N] */
#define _GNU_SOURCE
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"
#include "tests/kiln_number.h"

#include <pthread.h>

enum { THREADS = 4, STEPS = 15000, OWN = 24, GRANULE_SHIFT = 4 };

static uint64_t seed_of_run = 1;
static _Atomic unsigned failures; /* of threads, which must not longjmp */

/* One byte for 16 of memory: 1 in a block that was told of. */
static _Atomic uint8_t taken[KILN_MIB(256) >> GRANULE_SHIFT];

static void mark(kiln_addr_t block, uint64_t slot_bytes, uint8_t mark)
{
    uint64_t first = (block - world.window.memory.first) >> GRANULE_SHIFT;
    uint64_t end = first + (slot_bytes >> GRANULE_SHIFT);
    for (uint64_t i = first; i < end; i++)
        if (atomic_exchange_explicit(&taken[i], mark, memory_order_relaxed) == mark)
            atomic_fetch_add(&failures, 1);
}

static void told_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx, (void)bytes;
    mark(block, slot_bytes, 1);
}

static void told_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx;
    mark(block, slot_bytes, 0);
}

static const kiln_watcher_t watcher = {.alloc = told_alloc, .free = told_free};

static size_t random_bytes(kiln_rng_t *rng)
{
    return (size_t)(kiln_rng_below(rng, 8) == 0 ? KILN_KIB(40) + kiln_rng_below(rng, KILN_KIB(200))
                                                : kiln_rng_below(rng, 2000));
}

static void *allocate_and_resize(void *number)
{
    void *own[OWN] = {NULL};
    kiln_rng_t rng = {.state = seed_of_run * THREADS + (uintptr_t)number};
    kiln_misuse_t misuse;
    for (unsigned step = 0; step < STEPS; step++) {
        void **block = &own[kiln_rng_below(&rng, OWN)];
        if (!*block) {
            *block = kiln_heap_malloc(&world.heap, NULL, random_bytes(&rng));
        } else if (kiln_rng_below(&rng, 2) == 0) {
            void *moved =
                kiln_heap_realloc(&world.heap, NULL, *block, 1 + random_bytes(&rng), &misuse);
            if (moved) *block = moved;
        } else {
            if (kiln_heap_free(&world.heap, NULL, *block) != KILN_MISUSE_NONE)
                atomic_fetch_add(&failures, 1);
            *block = NULL;
        }
    }
    for (unsigned i = 0; i < OWN; i++)
        if (own[i]) (void)kiln_heap_free(&world.heap, NULL, own[i]);
    return NULL;
}

static void test_events_of_one_place_alternate(void)
{
    pthread_t threads[THREADS];
    printf("seed %llu; again: --seed=%llu\n", (unsigned long long)seed_of_run,
           (unsigned long long)seed_of_run);
    (void)world_open(
        (world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN, .watcher = &watcher});
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, allocate_and_resize, (void *)i) == 0);
    for (unsigned i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
    EXPECT_EQ(failures, 0);
    for (size_t i = 0; i < sizeof taken; i++) EXPECT_EQ(taken[i], 0);
    world_close();
}

static int read_options(int argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seed=", 7) == 0)
            seed_of_run = kiln_number(argv[i], 0, UINT64_MAX);
        else
            argv[kept++] = argv[i];
    }
    return kept;
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {KILN_TEST(test_events_of_one_place_alternate)};
    argc = read_options(argc, argv);
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
