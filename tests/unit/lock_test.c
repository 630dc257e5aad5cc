/* The lock with a parker that sleeps in a condition variable, so that the test can count sleepers
 * and no system call is needed. */
#include <pthread.h>
#include <sched.h>

#include "allocator/base/lock.h"
#include "tests/kiln_test.h"

enum { THREADS = 4, ROUNDS = 20000 };

static pthread_mutex_t parking = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static unsigned waits, wakes; /* under `parking` */

static void park(_Atomic uint32_t *word, uint32_t value)
{
    pthread_mutex_lock(&parking);
    waits++;
    pthread_cond_broadcast(&woken);
    while (atomic_load(word) == value) pthread_cond_wait(&woken, &parking);
    pthread_mutex_unlock(&parking);
}

static void unpark(_Atomic uint32_t *word)
{
    (void)word;
    pthread_mutex_lock(&parking);
    wakes++;
    pthread_cond_broadcast(&woken);
    pthread_mutex_unlock(&parking);
}

static const kiln_parker_t sleeping = {park, unpark};
static const kiln_parker_t spinning = {NULL, NULL};

static kiln_lock_t lock;
static const kiln_parker_t *parker;
static uint64_t counter; /* under `lock`, and torn without it */

static void start(const kiln_parker_t *wanted)
{
    lock = (kiln_lock_t){0};
    parker = wanted;
    counter = 0;
    waits = wakes = 0;
}

static void test_a_held_lock_cannot_be_taken(void)
{
    start(&spinning);
    EXPECT(kiln_lock_try(&lock));
    EXPECT(!kiln_lock_try(&lock));
    kiln_lock_release(&lock, parker);
    EXPECT(kiln_lock_try(&lock));
}

static void test_a_lock_that_nobody_waits_for_wakes_nobody(void)
{
    start(&sleeping);
    for (unsigned i = 0; i < 10; i++) {
        kiln_lock_acquire(&lock, parker);
        kiln_lock_release(&lock, parker);
    }
    EXPECT_EQ(waits, 0);
    EXPECT_EQ(wakes, 0);
}

static void *take_once(void *unused)
{
    (void)unused;
    kiln_lock_acquire(&lock, parker);
    counter++;
    kiln_lock_release(&lock, parker);
    return NULL;
}

static void test_a_sleeper_is_woken_by_the_release(void)
{
    pthread_t sleeper;
    start(&sleeping);
    kiln_lock_acquire(&lock, parker);
    EXPECT_EQ(pthread_create(&sleeper, NULL, take_once, NULL), 0);
    pthread_mutex_lock(&parking);
    while (waits == 0) pthread_cond_wait(&woken, &parking);
    pthread_mutex_unlock(&parking);
    EXPECT_EQ(counter, 0);
    kiln_lock_release(&lock, parker);
    pthread_join(sleeper, NULL);
    EXPECT_EQ(counter, 1);
    EXPECT(wakes >= 1);
    EXPECT_EQ(atomic_load(&lock.word), 0);
}

static void *take_often(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        kiln_lock_acquire(&lock, parker);
        uint64_t was = counter;
        if (i % 1024 == 0) sched_yield(); /* the holder is put off the processor now and then */
        counter = was + 1;
        kiln_lock_release(&lock, parker);
    }
    return NULL;
}

static void expect_threads_exclude_each_other(const kiln_parker_t *wanted)
{
    pthread_t threads[THREADS];
    start(wanted);
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, take_often, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    EXPECT_EQ(counter, (uint64_t)THREADS * ROUNDS);
    EXPECT_EQ(atomic_load(&lock.word), 0);
}

static void test_threads_exclude_each_other_asleep(void)
{
    expect_threads_exclude_each_other(&sleeping);
}

static void test_threads_exclude_each_other_spinning(void)
{
    expect_threads_exclude_each_other(&spinning);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_held_lock_cannot_be_taken),
        KILN_TEST(test_a_lock_that_nobody_waits_for_wakes_nobody),
        KILN_TEST(test_a_sleeper_is_woken_by_the_release),
        KILN_TEST(test_threads_exclude_each_other_asleep),
        KILN_TEST(test_threads_exclude_each_other_spinning),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
