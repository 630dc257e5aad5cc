/* guard_pairs HEAP BYTES PAIRS LIVE - what a malloc and its free cost when every block ends at a
 * page that faults: processor time a pair, and what the process has grown to. kiln bench guard
 * runs it.
 *
 *   HEAP   guard-high, guard-low, guard-old (no guard pages: mappings); malloc: whatever heap is
 *          preloaded, for example AFL++'s libdislocator.so; floor: no heap, but one page that is
 *          opened, touched and made to fault again; floor-N: the same with N pages at a time, a
 *          page a pair, which no heap can do that lets each block fault as soon as it is freed
 *   BYTES  of each block; random: 1 to 65,536, as many of each power of two, every fourth aligned
 *          to 16 to 4,096
 *   LIVE   so many blocks are held, the oldest is freed first; 0: each is freed at once
 *
 * The first and last byte of each block are written. It prints facts (NAME=NUMBER): the pairs that
 * were made before there was no more room, nanoseconds a pair, the most mappings of the kernel that
 * the process had (looked at after every LOOK_EVERY pairs), how many of the blocks that can end at
 * a page did and how many did not, and memory. Exit status 1 where not all pairs were made. */
#define _GNU_SOURCE
#include "allocator/base/rng.h"
#include "allocator/harden/guard.h"
#include "allocator/os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, LOOK_EVERY = 1000, MAPS_BYTES = 1 << 16 };

#ifndef MADV_GUARD_INSTALL
enum { MADV_GUARD_INSTALL = 102, MADV_GUARD_REMOVE = 103 };
#endif

static kiln_os_t os;
static kiln_guard_t guard;
static bool guarded;
static kiln_rng_t rng = {20259};
static unsigned long at_page, elsewhere;

static void *take(size_t bytes, size_t align)
{
    void *block = NULL;
    if (guarded) return kiln_guard_malloc(&guard, bytes, align, 1, 1);
    if (align == 16) return malloc(bytes);
    return posix_memalign(&block, align, bytes) == 0 ? block : NULL;
}

static void give(void *block)
{
    kiln_guard_damage_t damage;
    if (!guarded)
        free(block);
    else if (block && kiln_guard_free(&guard, block, 1, 1, &damage) != KILN_MISUSE_NONE)
        abort();
}

static double used_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static unsigned long status_kib(const char *name)
{
    unsigned long kib = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    if (!status) return 0;
    while (fgets(line, sizeof line, status))
        if (strncmp(line, name, strlen(name)) == 0) kib = strtoul(line + strlen(name), NULL, 10);
    fclose(status);
    return kib;
}

/* By read alone: stdio would allocate. */
static unsigned long mappings(void)
{
    static char text[MAPS_BYTES];
    unsigned long count = 0;
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0) return 0;
    for (ssize_t got; (got = read(maps, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < got; i++) count += text[i] == '\n';
    close(maps);
    return count;
}

static void start(const char *heap)
{
    kiln_os_linux_init(&os, PAGE_BYTES);
    kiln_guard_config_t config = kiln_guard_config_default(&os);
    guarded = strncmp(heap, "guard", 5) == 0;
    if (strcmp(heap, "guard-low") == 0) config.policy = KILN_GUARD_LOW;
    if (strcmp(heap, "guard-old") == 0) config.space.mechanism = KILN_GUARD_MAPPINGS;
    const char *rule = kiln_guard_init(&guard, &os, &config);
    if (rule) fprintf(stderr, "guard_pairs: %s\n", rule);
}

static char *one_block(size_t bytes)
{
    size_t align = 16;
    if (bytes == 0) {
        bytes = 1 + (size_t)kiln_rng_below(&rng, UINT64_C(1) << kiln_rng_below(&rng, 17));
        if (kiln_rng_below(&rng, 4) == 0) align <<= kiln_rng_below(&rng, 9);
    }
    char *block = take(bytes, align);
    if (!block) return NULL;
    block[0] = block[bytes - 1] = 1;
    bool ends = ((uintptr_t)block + bytes) % PAGE_BYTES == 0;
    if (bytes % align == 0) *(ends ? &at_page : &elsewhere) += 1;
    return block;
}

typedef struct pairs {
    unsigned long done, mappings_max;
} pairs_t;

/* Each pair, until there is no more room. `bytes` is 0: random. */
static pairs_t run(size_t bytes, unsigned long pairs, char **held, unsigned long live)
{
    pairs_t made = {0, 0};
    for (; made.done < pairs; made.done++) {
        char *block = one_block(bytes);
        if (!block) break;
        if (live > 0) {
            char *oldest = held[made.done % live];
            held[made.done % live] = block;
            block = oldest;
        }
        give(block);
        if (made.done % LOOK_EVERY != 0) continue;
        unsigned long now = mappings();
        if (now > made.mappings_max) made.mappings_max = now;
    }
    return made;
}

/* What the system takes for it, and nothing else. */
static pairs_t floor_run(unsigned long pages, unsigned long pairs)
{
    pairs_t made = {0, 0};
    size_t bytes = pages * PAGE_BYTES;
    char *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED || madvise(region, bytes, MADV_GUARD_INSTALL) != 0) {
        fprintf(stderr, "guard_pairs: %s: a floor wants guard pages, Linux 6.13\n",
                strerror(errno));
        exit(2);
    }
    for (; made.done < pairs; made.done += pages) {
        if (madvise(region, bytes, MADV_GUARD_REMOVE) != 0) break;
        for (size_t i = 0; i < bytes; i += PAGE_BYTES) region[i] = region[i + PAGE_BYTES - 1] = 1;
        if (madvise(region, bytes, MADV_GUARD_INSTALL) != 0) break;
    }
    made.mappings_max = mappings();
    return made;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "Usage: guard_pairs guard-high|guard-low|guard-old|malloc|floor|floor-N "
                        "BYTES|random PAIRS LIVE\n");
        return 2;
    }
    bool is_floor = strncmp(argv[1], "floor", strlen("floor")) == 0;
    unsigned long pages = strncmp(argv[1], "floor-", 6) == 0 ? strtoul(argv[1] + 6, NULL, 10) : 1;
    size_t bytes = strtoul(argv[2], NULL, 10);
    if (bytes == 0 && strcmp(argv[2], "random") != 0) bytes = 1;
    unsigned long pairs = strtoul(argv[3], NULL, 10), live = strtoul(argv[4], NULL, 10);
    start(argv[1]);
    char **held = pages == 0 ? NULL : calloc(live + 1, sizeof *held);
    if (!held) return 2;
    double before = used_seconds();
    pairs_t made = is_floor ? floor_run(pages, pairs) : run(bytes, pairs, held, live);
    double seconds = used_seconds() - before;
    printf("%s %s bytes, %lu live: pairs=%lu ns=%.0f mappings=%lu at_page=%lu elsewhere=%lu "
           "resident_kib=%lu page_tables_kib=%lu\n",
           argv[1], argv[2], live, made.done,
           made.done > 0 ? seconds * 1e9 / (double)made.done : 0.0, made.mappings_max, at_page,
           elsewhere, status_kib("VmRSS:"), status_kib("VmPTE:"));
    free(held);
    return made.done >= pairs ? 0 : 1;
}
