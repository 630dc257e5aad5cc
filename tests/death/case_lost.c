/* Blocks that are freed by another family's function, and blocks that nobody frees or can. */
#define _GNU_SOURCE
#include "tests/death/case.h"

#include <pthread.h>
#include <string.h>

#pragma weak kiln_check_leaks /* other heaps have none */
size_t kiln_check_leaks(void);

enum { DEEP_BYTES = 1 << 17 };

void case_wrong_family(const case_args_t *args)
{
    char *block = case_block(args, args->bytes);
    case_fact("block", block, args->bytes);
    size_t bytes = args->claimed > 0 ? args->claimed : args->bytes; /* of another type, too */
    case_give(args->right ? case_free_of(args->take) : args->call, block, args->align, bytes);
}

/* ---- lost ---- */

static char *volatile kept; /* by the correct twin */

/* Blocks one after another, each but the last with the address of the next one in it, or all alone.
 * The address of the first one, or of the first byte behind its start, is kept by the twin. */
static __attribute__((noinline)) void lose(const case_args_t *args)
{
    bool chain = case_is(args->how, "chain"), ring = case_is(args->how, "ring");
    char *first = NULL, *last = NULL;
    for (size_t i = 0; i < args->blocks; i++) {
        char *block = case_block(args, args->bytes);
        if (!first) first = block;
        if (args->right && !chain && !ring) *(char *volatile *)block = kept;
        if ((chain || ring) && last) *(char *volatile *)last = block;
        last = block;
        if (args->right && !chain && !ring) kept = block;
    }
    if (ring && last) *(char *volatile *)last = first;
    if (args->right && (chain || ring)) kept = first;
    if (args->right && case_is(args->place, "inside")) kept++;
    case_fact("lost", NULL, args->bytes);
}

/* What lies on the stack of a function that has returned is not the program's any more. So that
 * what comes later does not go on with it, the blocks are lost far below. */
static __attribute__((noinline)) void lose_deep(const case_args_t *args)
{
    volatile char *deep = __builtin_alloca(DEEP_BYTES + args->blocks);
    for (size_t i = 0; i < DEEP_BYTES; i++) deep[i] = 0;
    lose(args);
    deep[0] = deep[1];
}

static pthread_barrier_t meeting;

/* The only address is on this thread's stack, in front of a word that is none. */
static void *keep(void *first)
{
    char *volatile here[2] = {first, NULL};
    kept = NULL;
    pthread_barrier_wait(&meeting); /* it is there */
    pthread_barrier_wait(&meeting); /* the process has ended before this */
    return here[1];
}

/* Another thread has it, and waits: in the twin the first block, else nothing. */
static void give_to_thread(void)
{
    pthread_t thread;
    pthread_barrier_init(&meeting, NULL, 2);
    if (pthread_create(&thread, NULL, keep, kept) != 0)
        case_end(CASE_NO_PLACE, "there is no thread");
    pthread_barrier_wait(&meeting);
}

void case_leak(const case_args_t *args)
{
    lose_deep(args);
    if (case_is(args->place, "thread")) give_to_thread();
    if (!case_is(args->when, "check")) return; /* at the end of the process */
    if (kiln_check_leaks() != 0) case_end(CASE_USAGE, "a report was to end the program");
}
