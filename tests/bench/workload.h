/* workload.h - programs that do nothing but allocate, in shapes that real ones have.
 *
 * `workload SHAPE` runs one of them on whatever malloc the process has, and prints a line of the
 * work done: the same for every heap, so that a heap which is wrong does not look fast. The shapes
 * are those that allocators are usually compared by (mimalloc-bench, and the papers that it names);
 * the code is ours.
 *
 * A shape does a fixed amount of work and looks at no clock. What a run cost goes to the file of
 * --report: see workload_report.c.
 *
 * Units  `_bytes` counts bytes as the program asked for them; an operation is one block made and
 *        one ended.
 * Fault  whatever goes wrong, in a heap or around it, ends the process with status 1; wrong
 *        arguments, with status 2. */
#ifndef KILN_TESTS_BENCH_WORKLOAD_H
#define KILN_TESTS_BENCH_WORKLOAD_H

#include "allocator/base/rng.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct kiln_load {
    uint64_t ops;     /* over all threads */
    size_t bytes;     /* of a block, where the shape has one size */
    size_t live;      /* blocks at a time, of each thread */
    unsigned threads; /* started by the shape; the first thread waits */
    uint64_t seed;

    /* Filled while it runs, for the report. */
    size_t array_bytes;      /* of workload_array: not the heap's, though in memory */
    uint64_t live_bytes;     /* the program's blocks now; only of shapes that count them */
    uint64_t live_bytes_max; /* and their peak */
    uint64_t phase_ns;       /* CPU time of what is between the two phase calls */
    uint64_t phase_began_ns;
} kiln_load_t;

typedef struct kiln_shape {
    const char *name;
    const char *about;
    /* Gives a number that depends on what was read back from blocks. */
    uint64_t (*run)(kiln_load_t *load);
    /* What it does unless told otherwise; 0: the shape has no such setting. */
    uint64_t ops;
    size_t bytes, live;
    unsigned threads;
} kiln_shape_t;

/* Each list ends with an empty name. */
extern const kiln_shape_t kiln_shapes_alone[];   /* one thread, small blocks */
extern const kiln_shape_t kiln_shapes_large[];   /* one thread, blocks of any size, and memory */
extern const kiln_shape_t kiln_shapes_threads[]; /* several threads */

_Noreturn void workload_failed(const char *what);
_Noreturn void workload_misused(const char *what);

/* workload_block gives a block of `bytes` bytes that holds `mark` at both ends; workload_end takes
 * the mark back and frees it. Both stop the program when something is wrong. Inline, so
 * that a pair is the heap's two calls and no other. */
static inline void *workload_block(size_t bytes, uint8_t mark)
{
    unsigned char *block = (unsigned char *)malloc(bytes);
    if (!block) workload_failed("malloc gave NULL");
    block[0] = mark;
    block[bytes - 1] = mark;
    return block;
}

static inline uint8_t workload_end(void *block, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)block;
    uint8_t mark = at[0];
    if (at[bytes - 1] != mark) workload_failed("a block does not hold what was written");
    free(block);
    return mark;
}

/* A block with its size, for shapes of many sizes. */
typedef struct kiln_held {
    void *block; /* NULL: none */
    size_t bytes;
} kiln_held_t;

/* workload_replace ends what `held` holds, if anything, and makes a new one. Gives the old mark. */
uint8_t workload_replace(kiln_held_t *held, size_t bytes, uint8_t mark);
/* workload_drop ends what `count` of them hold, and gives the sum of the marks. */
uint64_t workload_drop(kiln_held_t *held, size_t count);

/* workload_array gives zeroed and touched memory that is none of the heap's. It stays. */
void *workload_array(kiln_load_t *load, size_t count, size_t bytes);

/* workload_size gives a size as programs ask for them: most below 128 bytes, few above 4 KiB, none
 * above 32 KiB. */
size_t workload_size(kiln_rng_t *rng);

/* The phase of a run that is measured by itself, without what it needs before and after. */
void workload_phase_begin(kiln_load_t *load);
void workload_phase_end(kiln_load_t *load);

#endif
