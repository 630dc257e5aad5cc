/* count_program SHAPE N: does one thing with the heap N times. How many instructions one of them
 * takes is the difference between two runs, of N and of 2 N: see count_test.sh. It prints how many
 * pages faulted meanwhile without being read from a disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { LIVE = 10000 };

static void *blocks[LIVE];

static void pair(size_t bytes, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) free(malloc(bytes));
}

static void zeroed(size_t bytes, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) free(calloc(1, bytes));
}

static void same_size(size_t bytes, unsigned long count)
{
    void *block = malloc(bytes);
    for (unsigned long i = 0; i < count; i++) {
        void *same = realloc(block, bytes - i % 8);
        if (!same) break;
        block = same;
    }
    free(block);
}

/* Every slot goes out of its span and back. */
static void lifo(size_t bytes, unsigned long count)
{
    for (unsigned long round = 0; round < count / LIVE; round++) {
        for (unsigned i = 0; i < LIVE; i++) blocks[i] = malloc(bytes);
        for (unsigned i = LIVE; i-- > 0;) free(blocks[i]);
    }
}

/* Blocks that stay, each with the address of the one before. */
static void **kept;

static void keep(size_t bytes, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        void **block = malloc(bytes);
        if (!block) break;
        *block = kept;
        kept = block;
    }
}

/* Zeroed blocks that stay and are not touched. */
static void keep_zeroed(size_t bytes, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        blocks[i % LIVE] = calloc(1, bytes);
        if (!blocks[i % LIVE]) break;
    }
}

/* Large blocks that come and go, where `runs` free runs of pages of other sizes lie between blocks.
 */
static size_t large_bytes(unsigned long i)
{
    return (size_t)(9 + i * 7 % 32) << 13;
}

static void among(size_t runs, unsigned long count)
{
    for (size_t i = 0; i < runs; i++) {
        blocks[i] = malloc(large_bytes(i));
        keep(1 << 17, 1);
    }
    for (size_t i = 0; i < runs; i++) free(blocks[i]);
    for (unsigned long i = 0; i < count; i++) free(malloc(large_bytes(i)));
}

static const struct {
    const char *name;
    void (*run)(size_t bytes, unsigned long count);
    size_t bytes;
} shapes[] = {
    {"pair_16", pair, 16},
    {"pair_64", pair, 64},
    {"pair_256", pair, 256},
    {"pair_4096", pair, 4096},
    {"pair_32768", pair, 32768},
    {"pair_1048576", pair, 1048576},
    {"calloc_64", zeroed, 64},
    {"calloc_1024", zeroed, 1024},
    {"realloc_64", same_size, 64},
    {"lifo_64", lifo, 64},
    {"lifo_256", lifo, 256},
    {"keep_64", keep, 64},
    {"zeroed_64m", keep_zeroed, 64 << 20},
    {"among_10", among, 10},
    {"among_100", among, 100},
    {"among_1000", among, 1000},
    {"among_10000", among, 10000},
};

static long faults(void)
{
    struct rusage usage = {.ru_minflt = -1};
    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof shapes / sizeof *shapes; i++) {
        if (strcmp(argv[1], shapes[i].name) != 0) continue;
        long before = faults();
        shapes[i].run(shapes[i].bytes, strtoul(argv[2], NULL, 10));
        printf("%ld\n", faults() - before);
        return 0;
    }
    fputs("Usage: count_program SHAPE N, with a shape of tests/count/counts.txt\n", stderr);
    return 2;
}
