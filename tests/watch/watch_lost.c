/* Cases of watch_program: what is lost when the program ends, and what is not. main() leaves their
 * blocks as they are. */
#include "tests/watch/watch_program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **kept;

/* Where registers and the stack said which block it was, they say something else now. */
static __attribute__((noinline)) void forget_the_stack(void)
{
    volatile char bytes[4096];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = 0;
}

static __attribute__((noinline)) void take_one(bool keeps)
{
    char *volatile block = take(1234);
    memset(block, 0, 1234);
    if (keeps) kept = (char **)block;
    block = NULL;
}

/* The first block of a heap lies where the heap begins. */
static void a_block_is_lost(void)
{
    take_one(false);
    take_one(false);
    take_one(true); /* whatever registers and the stack still say is this one's */
    forget_the_stack();
}

static void the_first_block_is_lost(void)
{
    take_one(false);
    take_one(true);
    forget_the_stack();
}

static void a_block_is_not_lost(void)
{
    take_one(true);
}

static __attribute__((noinline)) void lose_two(void)
{
    char **block = (char **)take(1234);
    memset(block, 0, 1234);
    block[3] = take(77);
    memset(block[3], 0, 77);
}

static void a_block_is_lost_with_another(void)
{
    lose_two();
    take_one(true);
    forget_the_stack();
    give(kept);
    kept = NULL;
}

/* The one that held its address was freed, and holds it still. */
static __attribute__((noinline)) void keep_in_a_freed_one(void)
{
    char **block = (char **)take(100);
    memset(block, 0, 100);
    block[3] = take(1234);
    give(block);
}

static void a_block_in_a_freed_one(void)
{
    keep_in_a_freed_one();
    take_one(true);
    forget_the_stack();
}

static __attribute__((noinline)) void keep_in_a_freed_system_block(void)
{
    char **block = malloc(100);
    if (!block) exit(2);
    memset(block, 0, 100);
    block[3] = take(1234);
    free(block);
}

static void a_block_in_a_freed_system_block(void)
{
    take_one(true);
    keep_in_a_freed_system_block();
    forget_the_stack();
}

static void a_block_in_a_system_block(void)
{
    kept = malloc(sizeof *kept);
    if (!kept) exit(2);
    *kept = take(1234);
}

/* By a word into its middle, from a block of another heap. */
static void a_block_in_another_heaps_block(void)
{
    static kiln_heap_t second;
    open_heap(&second);
    kept = kiln_heap_malloc(&second, NULL, 100);
    if (!kept) exit(2);
    memset(kept, 0, 100);
    kept[5] = take(1234) + 700;
}

static _Atomic int holds;

static void *hold_a_block(void *unused)
{
    char *volatile block = take(1234);
    atomic_store(&holds, 1);
    while (block) pause();
    return unused;
}

static void a_block_on_a_threads_stack(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, hold_a_block, NULL) != 0) exit(2);
    while (!atomic_load(&holds)) continue;
    forget_the_stack();
}

static void fill_with_a_system_block(void)
{
    *kept = malloc(1234);
    if (!*kept) exit(2);
    memset(*kept, 0, 1234);
}

static void system_block_in_a_live_one(void)
{
    kept = (char **)take(sizeof *kept);
    fill_with_a_system_block();
}

static void system_block_in_a_freed_one(void)
{
    system_block_in_a_live_one();
    give(kept);
}

/* LeakSanitizer has nothing to say then: what is lost is the one that holds it. */
static __attribute__((noinline)) void keep_in_a_lost_one(void)
{
    char **block = (char **)take(1234);
    memset(block, 0, 1234);
    block[3] = malloc(77);
}

static void system_block_in_a_lost_one(void)
{
    keep_in_a_lost_one();
    take_one(true);
    forget_the_stack();
}

static __attribute__((noinline)) void lose_a_system_block(void)
{
    char *block = malloc(77);
    if (block) *(volatile char *)block = 0;
} // NOLINT(clang-analyzer-unix.Malloc): the loss

static void a_block_and_a_system_block_are_lost(void)
{
    take_one(false);
    lose_a_system_block();
    take_one(true);
    forget_the_stack();
}

const deed_t lost_deeds[] = {
    DEED(a_block_is_lost),
    DEED(the_first_block_is_lost),
    DEED(a_block_is_not_lost),
    DEED(a_block_is_lost_with_another),
    DEED(a_block_in_a_freed_one),
    DEED(a_block_in_a_freed_system_block),
    DEED(a_block_in_a_system_block),
    DEED(a_block_in_another_heaps_block),
    DEED(a_block_on_a_threads_stack),
    DEED(system_block_in_a_live_one),
    DEED(system_block_in_a_freed_one),
    DEED(system_block_in_a_lost_one),
    DEED(a_block_and_a_system_block_are_lost),
    {NULL, NULL},
};
