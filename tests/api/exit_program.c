/* Uses the heap wherever threads and the process come to their end. With any argument its threads
 * leak, which it must notice. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 4, THREADS = 3000 };

static pthread_key_t keys[KEYS];
static _Atomic unsigned destroyed;
static int leaks;
static void *volatile leaked;

/* Frees what the thread made, allocates, and asks to be called again: after all rounds of it the
 * thread has no cache any more. */
static void destroy(void *block)
{
    char *text = block;
    unsigned round = (unsigned)(text[0] - '0'), key = (unsigned)(text[1] - '0');
    free(text);
    destroyed++;
    free(malloc(100000));
    if (round == 3) return;
    char *next = malloc(100);
    next[0] = (char)('0' + round + 1);
    next[1] = (char)('0' + key);
    pthread_setspecific(keys[key], next);
}

static void *work(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < KEYS; i++) {
        char *block = malloc(2);
        block[0] = '0';
        block[1] = (char)('0' + i);
        pthread_setspecific(keys[i], block);
    }
    for (size_t bytes = 1; bytes < 3000; bytes += 100) free(malloc(bytes));
    if (leaks) leaked = malloc(3000);
    return NULL;
}

/* A thread whose first use of the heap is in a destructor. */
static pthread_key_t late_key;
static void allocate_late(void *unused)
{
    (void)unused;
    free(strdup("late"));
}
static void *work_late(void *argument)
{
    pthread_setspecific(late_key, argument);
    return NULL;
}

static void at_exit(void)
{
    free(strdup("at exit"));
}

__attribute__((constructor)) static void before_main(void)
{
    free(strdup("before main"));
}

__attribute__((destructor)) static void after_exit(void)
{
    char *text = strdup("all went well\n");
    fputs(text, stdout);
    fflush(stdout);
    free(text);
}

int main(int argc, char **argv)
{
    (void)argv;
    leaks = argc > 1;
    atexit(at_exit);
    for (unsigned i = 0; i < KEYS; i++) pthread_key_create(&keys[i], destroy);
    pthread_key_create(&late_key, allocate_late);
    size_t in_use = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_t one, other;
        pthread_create(&one, NULL, work, NULL);
        pthread_create(&other, NULL, work_late, &late_key);
        pthread_join(one, NULL);
        pthread_join(other, NULL);
        if (i == THREADS / 10) in_use = mallinfo2().arena;
    }
    if (destroyed != THREADS * KEYS * 4) {
        printf("%u destructor calls\n", destroyed);
        return 1;
    }
    if (mallinfo2().arena > in_use + (1 << 20)) {
        printf("ended threads keep memory: %zu, then %zu bytes\n", in_use, mallinfo2().arena);
        return 1;
    }
    return 0;
}
