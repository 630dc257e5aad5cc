/* What it costs that the race detector of Go watches a heap: blocks allocated and freed a second.
 *
 *   tools/bazel run --config=release //tests/race:race_rate */
#define _GNU_SOURCE
#include "allocator/base/rng.h"
#include "allocator/os/linux.h"
#include "sanitizer/race/race.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCKS = 1000, PAIRS = 2 * 1000 * 1000, ROUNDS = 3 };

static kiln_os_t os;

static void ignore_alloc(void *ctx, kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx, (void)block, (void)bytes, (void)slot_bytes;
}

static const kiln_watcher_t looks_away = {.alloc = ignore_alloc};

static kiln_heap_config_t heap_config(void)
{
    kiln_os_linux_init(&os, 0);
    kiln_heap_config_t config = {
        .os = &os,
        .arena_os = &os,
        .arena = kiln_arena_config_default(64, os.phys_bytes),
        .idle_bytes_max = KILN_MIB(64),
    };
    config.arena.tables = 1u << KILN_ARENA_SPANS;
    return config;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* A thousand blocks of 1 to 512 bytes are live; each step replaces one. */
static double replace_blocks(kiln_heap_t *heap, kiln_thread_cache_t *cache)
{
    static void *blocks[BLOCKS];
    kiln_rng_t rng = {.state = 1};
    for (unsigned i = 0; i < BLOCKS; i++) blocks[i] = kiln_heap_malloc(heap, cache, 1);
    double started = seconds();
    for (unsigned i = 0; i < PAIRS; i++) {
        uint64_t random = kiln_rng_next(&rng);
        void **block = &blocks[random % BLOCKS];
        (void)kiln_heap_free(heap, cache, *block);
        *block = kiln_heap_malloc(heap, cache, 1 + (random >> 32) % 512);
    }
    double took = seconds() - started;
    for (unsigned i = 0; i < BLOCKS; i++) (void)kiln_heap_free(heap, cache, blocks[i]);
    return took;
}

static void measure(const char *what, const kiln_heap_config_t *config, kiln_heap_t *heap)
{
    double best = 1e9;
    const char *why = kiln_heap_init(heap, config);
    if (why) {
        fprintf(stderr, "race_rate: %s: %s\n", what, why);
        exit(2);
    }
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    for (unsigned i = 0; i < ROUNDS; i++) {
        double took = replace_blocks(heap, cache);
        if (took < best) best = took;
    }
    printf("%-40s %12.0f %8.1f\n", what, 2 * PAIRS / best, best * 1e9 / (2 * PAIRS));
}

int main(void)
{
    static const kiln_race_place_t here = {"main", __FILE__, __LINE__};
    static kiln_heap_t cached, uncached, watched;
    kiln_heap_config_t config = heap_config();

    printf("%-40s %12s %8s\n", "heap", "events/s", "ns each");
    measure("nobody watches", &config, &cached);
    config.watcher = &looks_away;
    measure("a watcher that looks away: no caches", &config, &uncached);
    config.watcher = NULL;
    const char *why = kiln_race_start(&watched, &here);
    if (!why) why = kiln_race_arrange(&config);
    kiln_heap_destroy(&cached); /* the detector wants the address that the first heap got */
    kiln_heap_destroy(&uncached);
    if (why) {
        fprintf(stderr, "race_rate: %s\n", why);
        return 2;
    }
    measure("the race detector watches", &config, &watched);
    kiln_race_finish();
}
