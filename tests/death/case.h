/* case.h - one deed, described by arguments: what a program does wrong with a block, once.
 *
 *   case --deed=overflow-write --bytes=100 --slot=112 --distance=1 --when=free
 *
 * With --right it does the same without the wrong step: the correct twin. The same arguments and
 * KILN_OPTIONS do the same again, to the address where the heap's seed is given. On standard output
 * it says its arguments, and as facts (NAME ADDRESS BYTES, a line each) what it touched and which
 * blocks lie around that; on standard error it says nothing, so that all that is there is Kiln's.
 *
 * Nothing is written but slots of blocks that the deed allocated, and around a lone block its own
 * pages. Exit status: 0, or CASE_USAGE for
 * wrong arguments, CASE_NO_PLACE where no block lies as the deed needs it, CASE_OLD_BYTES where
 * another owner's bytes were read. */
#ifndef KILN_TESTS_DEATH_CASE_H
#define KILN_TESTS_DEATH_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CASE_USAGE = 2, CASE_NO_PLACE = 3, CASE_OLD_BYTES = 4 };

/* Words are compared by case_is; numbers are 0 unless given. */
typedef struct case_args {
    const char *deed;
    const char *take;  /* the function that allocates: case_take */
    const char *call;  /* the function that is misused, or that frees: case_give */
    const char *when;  /* how it is to be found: free, realloc, check, exit, leave, reuse */
    const char *how;   /* of the deed */
    const char *place; /* middle; last: no block of the deed's lies behind it; freed: what is
                          written to was a neighbour */
    bool right;
    size_t bytes, align;
    size_t neighbour; /* bytes of the blocks around */
    size_t slot;      /* from a block to the next one of its size, as the driver works it out; 0:
                         the block lies alone */
    size_t blocks;    /* allocated around the deed */
    size_t distance;  /* past the end, before the start, or from the start */
    size_t width;     /* bytes that are written, or read; 1 if not given */
    size_t ops;       /* other pairs of malloc and free between the free and the deed */
    size_t later;     /* and after the deed */
    size_t claimed, claimed_align; /* what a sized free is told */
    size_t count;                  /* calloc's */
} case_args_t;

/* The deeds. */
void case_overflow(const case_args_t *args);
void case_freed(const case_args_t *args);
void case_double_free(const case_args_t *args);
void case_wrong_free(const case_args_t *args);
void case_mismatch(const case_args_t *args);
void case_wrong_family(const case_args_t *args);
void case_leak(const case_args_t *args);
void case_request(const case_args_t *args);
void case_old_bytes(const case_args_t *args);
void case_restored(const case_args_t *args);

bool case_is(const char *word, const char *other);
_Noreturn void case_end(int status, const char *why);
void case_fact(const char *name, const void *address, size_t bytes);

/* case_take allocates by the function of that name; NULL is its answer. case_block ends the program
 * where there is none, and writes to all of it (of a very large one to its ends). */
void *case_take(const char *take, size_t align, size_t count, size_t bytes);
char *case_block(const case_args_t *args, size_t bytes);

/* case_give calls the function of that name: free, a sized free, a delete, or what else takes a
 * block. */
void case_give(const char *call, void *block, size_t align, size_t bytes);

/* case_free_of gives the function that a block of `take`'s is to be freed with. */
const char *case_free_of(const char *take);

/* case_resize is realloc, by a way that no compiler and no linter looks through. */
char *case_resize(char *block, size_t bytes);

/* case_ops makes `count` pairs of malloc and free of the size of the deed's blocks. */
void case_ops(const case_args_t *args, size_t count);

/* case_flip changes every bit of the bytes, whatever they hold, one byte after another. To a page
 * that faults each of them is one access, and a write. case_read reads them so. */
void case_flip(char *start, size_t bytes);
void case_read(const char *start, size_t bytes);

#endif
