/* guard_pairs HEAP BYTES PAIRS LIVE - what a malloc and its free cost when every block ends at a
 * page that faults: processor time a pair, and what the process has grown to.
 *
 *   HEAP   guard-high, guard-low, guard-old (no guard pages: mappings); malloc: whatever heap is
 *          preloaded, for example AFL++'s libdislocator.so
 *   LIVE   so many blocks are held, the oldest is freed first; 0: each is freed at once
 *
 * The first and last byte of each block are written. */
#define _GNU_SOURCE
#include "allocator/harden/guard.h"
#include "allocator/os/linux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static kiln_os_t os;
static kiln_guard_t guard;
static bool guarded;

static void *take(size_t bytes)
{
    return guarded ? kiln_guard_malloc(&guard, bytes, 16, 1, 1) : malloc(bytes);
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

static unsigned mappings(void)
{
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps) return 0;
    for (int c = getc(maps); c != EOF; c = getc(maps)) count += c == '\n';
    fclose(maps);
    return count;
}

static void start(const char *heap)
{
    kiln_os_linux_init(&os, 4096);
    kiln_guard_config_t config = kiln_guard_config_default(&os);
    guarded = strncmp(heap, "guard", 5) == 0;
    if (strcmp(heap, "guard-low") == 0) config.policy = KILN_GUARD_LOW;
    if (strcmp(heap, "guard-old") == 0) config.space.mechanism = KILN_GUARD_MAPPINGS;
    const char *rule = kiln_guard_init(&guard, &os, &config);
    if (rule) fprintf(stderr, "guard_pairs: %s\n", rule);
}

/* Gives how many pairs were made before there was no more room. */
static unsigned long run(size_t bytes, unsigned long pairs, char **held, unsigned long live)
{
    for (unsigned long i = 0; i < pairs; i++) {
        char *block = take(bytes);
        if (!block) return i;
        block[0] = block[bytes - 1] = 1;
        if (live > 0) {
            char *oldest = held[i % live];
            held[i % live] = block;
            block = oldest;
        }
        give(block);
    }
    return pairs;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr,
                "Usage: guard_pairs guard-high|guard-low|guard-old|malloc BYTES PAIRS LIVE\n");
        return 2;
    }
    size_t bytes = strtoul(argv[2], NULL, 10);
    if (bytes == 0) bytes = 1;
    unsigned long pairs = strtoul(argv[3], NULL, 10), live = strtoul(argv[4], NULL, 10);
    start(argv[1]);
    char **held = calloc(live + 1, sizeof *held);
    if (!held) return 2;
    double before = used_seconds();
    unsigned long done = run(bytes, pairs, held, live);
    double seconds = used_seconds() - before;
    printf("%-10s %7zu bytes, %lu live: %lu pairs, %.0f ns each; %u mappings, %lu KiB resident, "
           "%lu KiB of page tables\n",
           argv[1], bytes, live, done, done > 0 ? seconds * 1e9 / (double)done : 0.0, mappings(),
           status_kib("VmRSS:"), status_kib("VmPTE:"));
    free(held);
    return done == pairs ? 0 : 1;
}
