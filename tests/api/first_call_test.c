/* A thread's first call of the malloc family leaves errno alone, although it makes the heap, or
 * attaches the thread to it, by calls of the C library that may set errno even when they succeed.
 * Here they always do: the linker's --wrap puts the two functions below in front of them. */
#include "tests/kiln_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { ERRNO_BEFORE = ENOTTY, ERRNO_OF_LIBC = EXDEV };

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

static unsigned wrapped_calls;

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    wrapped_calls++;
    int answer = __real_pthread_atfork(prepare, parent, child);
    errno = ERRNO_OF_LIBC;
    return answer;
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    wrapped_calls++;
    int answer = __real_pthread_setspecific(key, value);
    errno = ERRNO_OF_LIBC;
    return answer;
}

static void *volatile block; /* volatile: the compiler may not drop a pair of calls */

static void call_malloc(void)
{
    block = malloc(10);
}

static void call_calloc(void)
{
    block = calloc(2, 10);
}

static void call_realloc(void)
{
    block = realloc(NULL, 10);
}

static void call_aligned_alloc(void)
{
    block = aligned_alloc(64, 128);
}

static void call_free(void)
{
    free(block); /* another thread's block */
    block = NULL;
}

typedef struct first_call {
    void (*call)(void);
    int errno_after;
    bool was_first; /* the thread was attached in this call */
} first_call_t;

static void *first_call_of_a_thread(void *arg)
{
    first_call_t *first = arg;
    unsigned wrapped_before = wrapped_calls;

    errno = ERRNO_BEFORE;
    first->call();
    first->errno_after = errno;
    first->was_first = wrapped_calls > wrapped_before;
    return NULL;
}

static void test_a_threads_first_call_leaves_errno_alone(void)
{
    static void (*const calls[])(void) = {
        call_malloc,  call_free, call_calloc,        call_free,
        call_realloc, call_free, call_aligned_alloc, call_free,
    };

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        first_call_t first = {.call = calls[i]};
        pthread_t thread;
        EXPECT_EQ(pthread_create(&thread, NULL, first_call_of_a_thread, &first), 0);
        EXPECT_EQ(pthread_join(thread, NULL), 0);
        EXPECT_EQ(first.errno_after, ERRNO_BEFORE);
        EXPECT(first.was_first);
    }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_a_threads_first_call_leaves_errno_alone),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
