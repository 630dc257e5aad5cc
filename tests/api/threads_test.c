/* A thread's exit gives everything back: after a thousand short-lived threads the heap holds as
 * much as after the first ones, whoever freed their blocks. */
#include "allocator/api/kiln.h"
#include "tests/kiln_test.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 1000, AT_ONCE = 8, WARM_THREADS = 80, BLOCKS = 300, HANDED = 50 };

typedef struct job {
    unsigned seed;
    size_t leak_bytes;    /* what it forgets to free; 0: nothing */
    void *handed[HANDED]; /* for whoever joins it */
} job_t;

/* Figures are those of the heap, without its guarded blocks. */
const char *kiln_default_options(void)
{
    return "guard=none";
}

static void *work(void *arg)
{
    job_t *job = arg;
    void *blocks[BLOCKS];
    unsigned random = job->seed;

    for (unsigned i = 0; i < BLOCKS; i++) {
        random = random * 1103515245 + 12345;
        size_t bytes = 1 + (random >> 16) % (i % 50 == 0 ? 60000 : 600);
        blocks[i] = malloc(bytes);
        if (blocks[i]) memset(blocks[i], 1, bytes);
    }
    for (unsigned i = 0; i < HANDED; i++) job->handed[i] = blocks[i];
    for (unsigned i = HANDED; i < BLOCKS; i++) free(blocks[i]);
    void *volatile forgotten = job->leak_bytes ? malloc(job->leak_bytes) : NULL;
    (void)forgotten;
    return NULL;
}

/* run_threads starts `count` threads, AT_ONCE at a time. The same seeds each time. */
static void run_threads(unsigned count, size_t leak_bytes)
{
    static job_t jobs[AT_ONCE];
    pthread_t threads[AT_ONCE];

    for (unsigned done = 0; done < count; done += AT_ONCE) {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            jobs[i] = (job_t){.seed = i, .leak_bytes = leak_bytes};
            EXPECT_EQ(pthread_create(&threads[i], NULL, work, &jobs[i]), 0);
        }
        for (unsigned i = 0; i < AT_ONCE; i++) {
            EXPECT_EQ(pthread_join(threads[i], NULL), 0);
            for (unsigned k = 0; k < HANDED; k++) free(jobs[i].handed[k]);
        }
    }
}

static size_t live_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void test_threads_leave_nothing(void)
{
    run_threads(WARM_THREADS, 0);
    size_t live = live_bytes();
    size_t arena = mallinfo2().arena;
    run_threads(THREADS, 0);
    EXPECT_EQ(live_bytes(), live);
    EXPECT(mallinfo2().arena <= arena + ((size_t)4 << 20)); /* how they overlapped may differ */
}

/* The control: what a thread does forget shows. */
static void test_threads_that_leak_are_seen(void)
{
    run_threads(WARM_THREADS, 0);
    size_t live = live_bytes();
    run_threads(THREADS, 1024);
    EXPECT(live_bytes() >= live + (size_t)THREADS * 1024);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_threads_leave_nothing),
        KILN_TEST(test_threads_that_leak_are_seen),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
