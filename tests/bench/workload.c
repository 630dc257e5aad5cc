#define _GNU_SOURCE /* MAP_POPULATE */
#include "tests/bench/workload.h"

#include "tests/bench/workload_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

void workload_failed(const char *what)
{
    fprintf(stderr, "workload: %s\n", what);
    _Exit(1);
}

void workload_misused(const char *what)
{
    fprintf(stderr, "workload: %s\n", what);
    _Exit(2);
}

uint8_t workload_replace(kiln_held_t *held, size_t bytes, uint8_t mark)
{
    uint8_t old = held->block ? workload_end(held->block, held->bytes) : 0;
    held->bytes = bytes;
    held->block = workload_block(bytes, mark);
    return old;
}

uint64_t workload_drop(kiln_held_t *held, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (held[i].block) sum += workload_end(held[i].block, held[i].bytes);
        held[i].block = NULL;
    }
    return sum;
}

void *workload_array(kiln_load_t *load, size_t count, size_t bytes)
{
    void *array = mmap(NULL, count * bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (array == MAP_FAILED) workload_failed("no memory for an array of blocks");
    load->array_bytes += count * bytes;
    return array;
}

size_t workload_size(kiln_rng_t *rng)
{
    uint64_t random = kiln_rng_next(rng);
    unsigned kind = random & 1023;
    random >>= 10;
    if (kind < 820) return 8 + (size_t)(random % 120);
    if (kind < 980) return 128 + (size_t)(random % 896);
    if (kind < 1016) return 1024 + (size_t)(random % 3072);
    return 4096 + (size_t)(random % 28672);
}

static const kiln_shape_t *const lists[] = {kiln_shapes_alone, kiln_shapes_large,
                                            kiln_shapes_threads, NULL};

static void print_help(void)
{
    puts("Usage: workload SHAPE [--ops=N] [--bytes=N] [--live=N] [--threads=N] [--seed=N]\n"
         "                      [--report=FILE]\n"
         "\n"
         "Allocates in a shape that real programs have, and prints a line that is the same on "
         "every\n"
         "heap. What the run cost goes to FILE. A shape has the settings that it shows here:\n");
    for (const kiln_shape_t *const *list = lists; *list; list++)
        for (const kiln_shape_t *at = *list; at->name; at++) {
            printf("  %-8s %s\n           --ops=%" PRIu64, at->name, at->about, at->ops);
            if (at->bytes) printf(" --bytes=%zu", at->bytes);
            if (at->live) printf(" --live=%zu", at->live);
            if (at->threads) printf(" --threads=%u", at->threads);
            puts("");
        }
}

static const kiln_shape_t *find(const char *name)
{
    for (const kiln_shape_t *const *list = lists; *list; list++)
        for (const kiln_shape_t *at = *list; at->name; at++)
            if (strcmp(at->name, name) == 0) return at;
    fprintf(stderr, "workload: there is no shape '%s'; workload --help lists them\n", name);
    exit(2);
}

/* Reads "--name=NUMBER" into `*out`; false when `arg` is another option. A number that the shape
 * does not take, for it is out of range or the shape has no such setting, ends the process. */
static bool read_number(const char *arg, const char *name, uint64_t max, uint64_t *out)
{
    size_t length = strlen(name);
    if (strncmp(arg, name, length) != 0 || arg[length] != '=') return false;
    const char *digits = arg + length + 1;
    char *end;
    errno = 0;
    uint64_t number = strtoull(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || errno || number == 0 || number > max) {
        if (max == 0)
            fprintf(stderr, "workload: this shape has no setting %s; leave it out\n", name);
        else
            fprintf(stderr, "workload: %s is 1 to %" PRIu64 ", not '%s'\n", name, max, digits);
        exit(2);
    }
    *out = number;
    return true;
}

static const char *read_options(const kiln_shape_t *shape, kiln_load_t *load, int argc, char **argv)
{
    const char *report = NULL;
    for (int i = 2; i < argc; i++) {
        uint64_t number;
        if (strncmp(argv[i], "--report=", 9) == 0 && argv[i][9])
            report = argv[i] + 9;
        else if (read_number(argv[i], "--ops", UINT64_C(1) << 48, &number))
            load->ops = number;
        else if (read_number(argv[i], "--bytes", shape->bytes ? 1 << 30 : 0, &number))
            load->bytes = (size_t)number;
        else if (read_number(argv[i], "--live", shape->live ? 100000000 : 0, &number))
            load->live = (size_t)number;
        else if (read_number(argv[i], "--threads", shape->threads ? 1024 : 0, &number))
            load->threads = (unsigned)number;
        else if (read_number(argv[i], "--seed", UINT64_MAX, &number))
            load->seed = number;
        else {
            fprintf(stderr, "workload: what is '%s'? workload --help lists the options\n", argv[i]);
            exit(2);
        }
    }
    return report;
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        if (argc >= 2) print_help();
        if (argc < 2) fputs("workload: which shape? workload --help lists them\n", stderr);
        return argc < 2 ? 2 : 0;
    }
    workload_report_start();
    const kiln_shape_t *shape = find(argv[1]);
    kiln_load_t load = {.ops = shape->ops,
                        .bytes = shape->bytes,
                        .live = shape->live,
                        .threads = shape->threads,
                        .seed = 1};
    const char *report = read_options(shape, &load, argc, argv);
    uint64_t sum = shape->run(&load);
    if (report) workload_report_write(report, &load);
    printf("%s ops %" PRIu64 " bytes %zu live %zu threads %u seed %" PRIu64 ": %016" PRIx64 "\n",
           shape->name, load.ops, load.bytes, load.live, load.threads, load.seed, sum);
    return fflush(stdout) == 0 ? 0 : 1;
}
