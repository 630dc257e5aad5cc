/* Cases of watch_program: blocks and threads. What orders the threads is relaxed, and so orders
 * nothing for a tool. */
#include "tests/watch/watch_program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int turn;
static char *shared, *other;

static void wait_for(int number)
{
    while (atomic_load_explicit(&turn, memory_order_relaxed) != number) continue;
}

static void say(int number)
{
    atomic_store_explicit(&turn, number, memory_order_relaxed);
}

static void in_two_threads(void *(*first)(void *), void *(*second)(void *))
{
    pthread_t threads[2];
    if (pthread_create(&threads[0], NULL, first, NULL) != 0) exit(2);
    if (pthread_create(&threads[1], NULL, second, NULL) != 0) exit(2);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
}

static void *write_shared_first(void *unused)
{
    shared[3] = 1;
    say(1);
    return unused;
}

static void *write_shared_second(void *unused)
{
    wait_for(1);
    shared[3] = 2;
    return unused;
}

static void two_writers(void)
{
    shared = take(64);
    in_two_threads(write_shared_first, write_shared_second);
}

static void *use_and_free(void *unused)
{
    char *block = take(64);
    memset(block, 1, 64);
    other = block;
    give(block);
    say(1);
    return unused;
}

static char *taken[64];

/* A heap gives a place out again sooner or later. */
static void take_the_place_again(void)
{
    for (unsigned i = 0; i < 64; i++) {
        taken[i] = take(64);
        memset(taken[i], 2, 64);
    }
}

static void *take_and_use(void *unused)
{
    wait_for(1);
    take_the_place_again();
    return unused;
}

static void a_place_goes_to_another_thread(void)
{
    in_two_threads(use_and_free, take_and_use);
}

static void *write_then_free(void *unused)
{
    shared[3] = 1;
    return use_and_free(unused);
}

static void *take_then_write(void *unused)
{
    (void)take_and_use(unused);
    shared[3] = 2;
    return unused;
}

static void a_place_orders_nothing(void)
{
    shared = take(64);
    in_two_threads(write_then_free, take_then_write);
}

/* A lock in a block that is gone, and another one in its place: they order nobody by each other.
 * The other is filled in by hand: a call would say that it is new. */
typedef struct locked {
    char more[32];
    pthread_mutex_t mutex;
} locked_t;

static void lock_once(locked_t *locked)
{
    static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
    locked->mutex = unlocked;
    (void)pthread_mutex_lock(&locked->mutex);
    (void)pthread_mutex_unlock(&locked->mutex);
}

static void *write_lock_and_free(void *unused)
{
    locked_t *locked = (locked_t *)take(sizeof *locked);
    shared[3] = 1;
    lock_once(locked);
    give(locked);
    say(1);
    return unused;
}

static void *lock_in_its_place_and_write(void *unused)
{
    wait_for(1);
    for (unsigned i = 0; i < 64; i++) lock_once((locked_t *)take(sizeof(locked_t)));
    shared[3] = 2;
    return unused;
}

static void a_lock_that_was_freed_orders_nothing(void)
{
    shared = take(64);
    in_two_threads(write_lock_and_free, lock_in_its_place_and_write);
}

static void *take_a_new_one(void *unused)
{
    shared = take(64);
    say(1);
    return unused;
}

static void a_new_block_goes_to_another_thread(void)
{
    in_two_threads(take_a_new_one, write_shared_second);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *write_with_lock(void *unused)
{
    (void)pthread_mutex_lock(&lock);
    shared[3]++;
    (void)pthread_mutex_unlock(&lock);
    return unused;
}

static void two_writers_with_a_lock(void)
{
    shared = take(64);
    memset(shared, 0, 64);
    in_two_threads(write_with_lock, write_with_lock);
}

/* Two threads that have spans made and ended, whose records the heap writes under its own locks. */
static void *fill_and_empty(void *unused)
{
    char *blocks[400];
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 400; i++) blocks[i] = take(16 + 16 * (round * 7 % 60));
        for (unsigned i = 0; i < 400; i++) give(blocks[i]);
    }
    return unused;
}

static void records_order_themselves(void)
{
    in_two_threads(fill_and_empty, fill_and_empty);
}

static void *resize_first(void *unused)
{
    other = resize(shared, 100);
    say(1);
    return unused;
}

/* What a realloc copies, it reads. */
static void *write_before_a_resize(void *unused)
{
    shared[3] = 1;
    say(1);
    return unused;
}

static void *resize_after_a_write(void *unused)
{
    wait_for(1);
    return resize_first(unused);
}

static void a_resize_beside_a_writer(void)
{
    shared = take(64);
    in_two_threads(write_before_a_resize, resize_after_a_write);
}

const deed_t thread_deeds[] = {
    DEED(two_writers),
    DEED(a_place_goes_to_another_thread),
    DEED(a_place_orders_nothing),
    DEED(a_lock_that_was_freed_orders_nothing),
    DEED(a_new_block_goes_to_another_thread),
    DEED(two_writers_with_a_lock),
    DEED(records_order_themselves),
    DEED(a_resize_beside_a_writer),
    {NULL, NULL},
};
