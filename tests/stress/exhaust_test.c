/* A whole address space, taken and given back, through malloc on Linux.
 *
 *   exhaust_test [--seeds=N] [--seed=N]     every layout of foreign mappings, N seeds each
 *   exhaust_test --layout=NAME --seed=N     one of them, in this process
 *
 * At 32 bits the space is the machine's own; at 64 bits the program limits itself to 4 GiB
 * (RLIMIT_AS). Foreign mappings lie low, high or all over, made before the heap is. Blocks of all
 * kinds are taken until nothing is left: as much as the layout leaves. Then everything is judged:
 * no block overlaps another or a foreign mapping, each holds what was written, the heap's rule
 * holds, and the answers are NULL with ENOMEM. All of it is freed, the memory goes back to the
 * system, and as much can be taken again. Resident is never more than about 1 GiB: a block's ends
 * are touched. */
#define _GNU_SOURCE
#include "allocator/api/process.h"
#include "allocator/base/rng.h"
#include "tests/kiln_number.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS_MAX = 1 << 20, FOREIGN_MAX = 4096, WIDE = sizeof(void *) > 4 };

#define SPACE_BYTES KILN_GIB(4)
#define RSS_KEPT_BYTES KILN_MIB(192)

typedef struct block {
    unsigned char *start;
    size_t bytes;
} block_t;

static struct {
    block_t blocks[BLOCKS_MAX];
    size_t count;
    uint64_t bytes;
    block_t foreign[FOREIGN_MAX];
    size_t foreign_count;
    kiln_rng_t rng;
} run;

/* The program under test is this one: what it says may not need the heap. */
#define MUST(x, ...)                                                                               \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            dprintf(2, "%s:%d: expected %s: ", __FILE__, __LINE__, #x);                            \
            dprintf(2, __VA_ARGS__);                                                               \
            dprintf(2, "\n");                                                                      \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* --- foreign mappings ------------------------------------------------------------------------ */

static void map_foreign(uintptr_t at, size_t bytes)
{
    if (run.foreign_count == FOREIGN_MAX) return;
    void *got = mmap((void *)at, bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED) return; /* taken already: by the program, its libraries, its stack */
    if ((uintptr_t)got != at) {
        munmap(got, bytes);
        return;
    }
    run.foreign[run.foreign_count++] = (block_t){got, bytes};
}

static void map_every(uint64_t first, uint64_t last, uint64_t step, size_t bytes)
{
    for (uint64_t at = first; at < last; at += step) map_foreign((uintptr_t)at, bytes);
}

/* Of each layout how much of 4 GiB can be had at least, in MiB: 2 to 5 % less than what was, at 32
 * bits and at 64. A heap that strands the rests of its blocks has 6 to 9 % less, and one that
 * cannot use what lies between the mappings a quarter. */
static const struct layout {
    const char *name;
    unsigned mib;
} layouts[] = {{"none", 3800},     {"low", 3600},  {"high", 3560},
               {"all-over", 3600}, {"hole", 3600}, {"random", 3560}};

/* Where a 32-bit kernel has its own gigabyte at the top there is one less; and what a hardened heap
 * has reserved for guarded blocks is no plain block's. */
static uint64_t wanted_bytes(const char *name)
{
    uint64_t lost = WIDE || (uintptr_t)&name > 0xc0000000 ? 0 : KILN_GIB(1);
    if (kiln_process_hardened) lost += KILN_MIB(WIDE ? 128 : 64);
    for (unsigned i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (strcmp(layouts[i].name, name) == 0) return KILN_MIB(layouts[i].mib) - lost;
    MUST(false, "there is no layout %s", name);
}

static void make_layout(const char *name)
{
    if (strcmp(name, "low") == 0) map_every(0x10000000, 0x50000000, KILN_MIB(64), 12 << 20);
    if (strcmp(name, "high") == 0) map_every(0xa0000000, 0xf8000000, KILN_MIB(32), 5 << 20);
    if (strcmp(name, "all-over") == 0) map_every(0x00800000, 0xff000000, KILN_MIB(8), 4096);
    if (strcmp(name, "hole") == 0) map_foreign(0x68000000, 256 << 20);
    for (unsigned i = 0; strcmp(name, "random") == 0 && i < 200; i++)
        map_foreign((uintptr_t)(kiln_rng_below(&run.rng, 0xff000) << 12),
                    (size_t)(1 + kiln_rng_below(&run.rng, 512)) << 12);
}

/* --- blocks ---------------------------------------------------------------------------------- */

static unsigned char mark(block_t block)
{
    return (unsigned char)((uintptr_t)block.start >> 12 ^ (uintptr_t)block.start >> 4 ^
                           block.bytes);
}

static void write_ends(block_t block)
{
    block.start[0] = block.start[block.bytes - 1] = mark(block);
    block.start[block.bytes / 2] = mark(block);
}

static void judge_ends(block_t block)
{
    MUST(block.start[0] == mark(block) && block.start[block.bytes - 1] == mark(block) &&
             block.start[block.bytes / 2] == mark(block),
         "%p, %zu bytes, holds something else", (void *)block.start, block.bytes);
}

/* take_one asks for a block in one of the ways that there are; false: there is no memory. */
static bool take_one(size_t bytes)
{
    block_t block = {NULL, bytes};
    size_t align = 0;
    bool zeroed = false;
    MUST(run.count < BLOCKS_MAX, "room for every block");
    errno = 0;
    switch (kiln_rng_below(&run.rng, bytes < 65536 ? 6 : 3)) {
    case 0:
        align = (size_t)64 << kiln_rng_below(&run.rng, 12);
        block.start = aligned_alloc(align, bytes);
        break;
    case 1:
        block.start = calloc(1, bytes);
        zeroed = true;
        break;
    default:
        block.start = malloc(bytes);
        break;
    }
    if (!block.start) {
        MUST(errno == ENOMEM, "errno is %d", errno);
        return false;
    }
    MUST(align == 0 || (uintptr_t)block.start % align == 0, "alignment %zu", align);
    MUST((uintptr_t)block.start % 16 == 0, "alignment 16");
    MUST(!zeroed || !(block.start[0] | block.start[bytes / 2] | block.start[bytes - 1]), "zeros");
    write_ends(block);
    run.blocks[run.count++] = block;
    run.bytes += bytes;
    return true;
}

/* Small ones are many, large ones are most of the bytes: of 4 GiB about 70 MiB, 300 MiB, 1.3 GiB
 * and the rest. */
static size_t random_bytes(void)
{
    uint64_t dice = kiln_rng_below(&run.rng, 1024), limit = 1024;
    if (dice < 128) limit = 32768;
    if (dice < 16) limit = KILN_MIB(1);
    if (dice < 1) limit = KILN_MIB(32);
    return 1 + (size_t)kiln_rng_below(&run.rng, limit);
}

/* take_all takes blocks of all sizes; when one is refused, smaller ones, down to one byte. */
static void take_all(void)
{
    run.count = 0;
    run.bytes = 0;
    for (size_t max = 32 << 20; max != 0; max /= 2) {
        bool mixed = max == 32 << 20; /* the largest are refused long before the others */
        for (unsigned refusals = 0; refusals < (mixed ? 200 : 4);)
            refusals += !take_one(mixed ? random_bytes() : max);
    }
}

/* --- judging --------------------------------------------------------------------------------- */

static void sort_blocks(block_t *blocks, size_t count)
{
    static const size_t gaps[] = {510774, 227011, 100894, 44842, 19930, 8858, 3937, 1750,
                                  701,    301,    132,    57,    23,    10,   4,    1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (size_t i = gaps[g]; i < count; i++) {
            block_t block = blocks[i];
            size_t at = i;
            for (; at >= gaps[g] && blocks[at - gaps[g]].start > block.start; at -= gaps[g])
                blocks[at] = blocks[at - gaps[g]];
            blocks[at] = block;
        }
}

static void judge_blocks(void)
{
    sort_blocks(run.blocks, run.count);
    for (size_t i = 0; i < run.count; i++) {
        block_t block = run.blocks[i];
        judge_ends(block);
        MUST(i == 0 || run.blocks[i - 1].start + run.blocks[i - 1].bytes <= block.start,
             "%p overlaps %p", (void *)block.start, (void *)run.blocks[i - 1].start);
        for (size_t j = 0; j < run.foreign_count && block.bytes >= 32768; j++)
            MUST(block.start + block.bytes <= run.foreign[j].start ||
                     run.foreign[j].start + run.foreign[j].bytes <= block.start,
                 "%p overlaps a foreign mapping", (void *)block.start);
    }
    const char *rule = kiln_heap_broken_rule(&kiln_process_heap);
    MUST(!rule, "%s", rule);
}

/* Nothing is left: every way to ask says so, and leaves what there is alone. */
static void judge_refusals(void)
{
    block_t *some = &run.blocks[run.count / 2];
    void *block = NULL;
    errno = 0;
    MUST(!malloc(KILN_MIB(64)) && errno == ENOMEM, "errno is %d", errno);
    errno = 0;
    MUST(!calloc(1 << 13, 1 << 13) && errno == ENOMEM, "errno is %d", errno);
    errno = 0;
    MUST(!realloc(some->start, KILN_MIB(96)) && errno == ENOMEM, "errno is %d", errno);
    judge_ends(*some);
    errno = 0;
    MUST(!aligned_alloc(KILN_MIB(1), KILN_MIB(64)) && errno == ENOMEM, "errno is %d", errno);
    errno = 0;
    MUST(posix_memalign(&block, 4096, KILN_MIB(64)) == ENOMEM, "posix_memalign says no");
    MUST(!block && errno == 0, "posix_memalign keeps errno");
}

static uint64_t rss_bytes(void)
{
    char text[128] = "";
    unsigned long long pages = 0;
    int file = open("/proc/self/statm", O_RDONLY);
    MUST(file >= 0 && read(file, text, sizeof text - 1) > 0, "statm is read");
    close(file);
    MUST(sscanf(text, "%*u %llu", &pages) == 1, "statm has numbers");
    return pages * 4096;
}

static void free_all(void)
{
    for (size_t i = run.count; i > 1; i--) {
        size_t j = (size_t)kiln_rng_below(&run.rng, i);
        block_t block = run.blocks[j];
        run.blocks[j] = run.blocks[i - 1];
        run.blocks[i - 1] = block;
    }
    for (size_t i = 0; i < run.count; i++) {
        judge_ends(run.blocks[i]);
        free(run.blocks[i].start);
    }
}

/* Pages that were written to and are free now are given out again, as zeros. */
static void judge_zeros(void)
{
    for (unsigned i = 0; i < 64; i++) {
        size_t bytes = 32768 + (size_t)kiln_rng_below(&run.rng, 1 << 19);
        unsigned char *block = calloc(bytes, 1);
        MUST(block, "%zu bytes where all is free", bytes);
        for (size_t at = 0; at < bytes; at++) MUST(block[at] == 0, "zeros");
        free(block);
    }
}

/* --- one layout ------------------------------------------------------------------------------ */

/* Somebody else's mapping goes away: what it held can be had. */
static void use_hole(void)
{
    if (run.foreign_count == 0) return;
    block_t hole = run.foreign[0];
    if (hole.bytes < KILN_MIB(128)) return;
    MUST(munmap(hole.start, hole.bytes) == 0, "the hole opens");
    run.foreign[0] = run.foreign[--run.foreign_count];
    for (unsigned i = 0; i < 4; i++)
        MUST(take_one(KILN_MIB(16)), "a block of 16 MiB where a hole has opened");
}

static int run_layout(const char *layout, uint64_t seed)
{
    run.rng.state = seed;
    if (!WIDE) MUST(!kiln_process_heap.config.os, "the heap is made after the mappings");
    make_layout(layout);
    uint64_t first_bytes = 0;
    for (unsigned round = 0; round < 2; round++) {
        take_all();
        uint64_t full_rss = rss_bytes();
        judge_refusals();
        if (round == 0) {
            first_bytes = run.bytes;
            use_hole();
        }
        judge_blocks();
        size_t count = run.count;
        free_all();
        const char *rule = kiln_heap_broken_rule(&kiln_process_heap);
        MUST(!rule, "%s", rule);
        judge_zeros();
        malloc_trim(0);
        uint64_t rss = rss_bytes();
        printf("%s --seed=%llu: %llu MiB in %zu blocks, %zu foreign mappings, resident %llu MiB, "
               "after free %llu MiB\n",
               layout, (unsigned long long)seed, (unsigned long long)(run.bytes >> 20), count,
               run.foreign_count, (unsigned long long)(full_rss >> 20),
               (unsigned long long)(rss >> 20));
        fflush(stdout);
        MUST(run.bytes >= wanted_bytes(layout), "as much as the layout leaves");
        MUST(run.bytes >= first_bytes / 20 * 19, "as much again as the %llu MiB before",
             (unsigned long long)(first_bytes >> 20));
        MUST(rss < RSS_KEPT_BYTES && rss < full_rss / 2, "the memory is given back");
    }
    return 0;
}

/* --- all of them, each in a process of its own ------------------------------------------------ */

static int spawn(const char *program, const char *options, const char *layout, uint64_t seed)
{
    char layout_arg[64], seed_arg[64];
    snprintf(layout_arg, sizeof layout_arg, "--layout=%s", layout);
    snprintf(seed_arg, sizeof seed_arg, "--seed=%llu", (unsigned long long)seed);
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {(rlim_t)SPACE_BYTES, (rlim_t)SPACE_BYTES};
        if (WIDE && setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
        if (setenv("KILN_OPTIONS", options, 1) != 0) _exit(3);
        execl(program, program, layout_arg, seed_arg, (char *)NULL);
        _exit(3);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status == 0) return pid < 0;
    fprintf(stderr, "FAILED with status %#x; again alone: KILN_OPTIONS=%s %s %s %s\n",
            (unsigned)status, options, program, layout_arg, seed_arg);
    return 1;
}

int main(int argc, char **argv)
{
    static const char *const heaps[] = {"profile=fast", "profile=hardened:seed=1"};
    const char *layout = NULL;
    uint64_t seed = 1, seeds = 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--layout=", 9) == 0)
            layout = argv[i] + 9;
        else if (strncmp(argv[i], "--seed=", 7) == 0)
            seed = kiln_number(argv[i], 0, UINT64_MAX);
        else if (strncmp(argv[i], "--seeds=", 8) == 0)
            seeds = kiln_number(argv[i], 1, UINT32_MAX);
        else
            return dprintf(2, "usage: %s [--layout=NAME] [--seed=N] [--seeds=N]\n", argv[0]), 2;
    }
    if (layout) return run_layout(layout, seed);
    int failed = 0;
    for (uint64_t n = 0; n < seeds; n++)
        for (unsigned i = 0; i < sizeof layouts / sizeof *layouts; i++)
            for (unsigned k = 0; k < sizeof heaps / sizeof *heaps; k++)
                failed += spawn("/proc/self/exe", heaps[k], layouts[i].name, seed + n);
    printf("%d failed\n", failed);
    return failed != 0;
}
