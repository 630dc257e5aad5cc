/* Forks while four threads are busy in the heap, and lets every child use it. A child that finds a
 * lock held by a thread that does not exist there waits for ever: it is counted as stuck.
 *
 * usage: fork_program FORKS [control]
 * With `control` the process is copied by _Fork, which calls no fork handlers: then children do get
 * stuck, which shows that this program would notice. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, BLOCKS = 64, STUCK_AFTER_MS = 4000 };

static _Atomic bool stop;

static void *allocate_some(unsigned *seed)
{
    static const size_t sizes[] = {16, 200, 3000, 40000, 70000, 500000};
    size_t bytes = sizes[(unsigned)rand_r(seed) % 6];
    char *block = malloc(bytes);
    if (block) block[0] = block[bytes - 1] = 1;
    return block;
}

static void churn(void **blocks, unsigned rounds, unsigned *seed)
{
    for (unsigned i = 0; i < rounds; i++) {
        unsigned slot = (unsigned)rand_r(seed) % BLOCKS;
        free(blocks[slot]);
        blocks[slot] = allocate_some(seed);
    }
}

static void *work(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    void *blocks[BLOCKS] = {NULL};
    while (!stop) churn(blocks, 1000, &seed);
    for (unsigned i = 0; i < BLOCKS; i++) free(blocks[i]);
    return NULL;
}

/* What the handlers of other libraries do: they run before and after Kiln's own. */
static void *handler_block;
static void allocate_in_handler(void)
{
    handler_block = malloc(50000);
}
static void free_in_handler(void)
{
    free(handler_block);
    free(malloc(60));
}

static _Noreturn void child(void **blocks)
{
    unsigned seed = 99;
    pthread_t thread;
    churn(blocks, 300, &seed);
    stop = true; /* this copy's */
    if (pthread_create(&thread, NULL, work, NULL) != 0) _exit(3);
    pthread_join(thread, NULL);
    pid_t grandchild = fork();
    if (grandchild == 0) {
        churn(blocks, 300, &seed);
        _exit(0);
    }
    int status;
    if (waitpid(grandchild, &status, 0) != grandchild || status != 0) _exit(4);
    _exit(0);
}

/* 0: it ended well; 1: stuck; 2: it ended badly. */
static int wait_for(pid_t pid)
{
    int status;
    for (int i = 0; i < STUCK_AFTER_MS; i++) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) {
            if (status != 0) fprintf(stderr, "a child ended with status %#x\n", (unsigned)status);
            return status == 0 ? 0 : 2;
        }
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return 1;
}

int main(int argc, char **argv)
{
    unsigned forks = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    bool control = argc > 2 && strcmp(argv[2], "control") == 0;
    unsigned seed = 1, counts[3] = {0};
    pthread_t threads[THREADS];
    void *blocks[BLOCKS] = {NULL};
    pthread_atfork(allocate_in_handler, free_in_handler, free_in_handler);
    for (size_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    for (unsigned i = 0; i < forks && counts[1] == 0; i++) {
        churn(blocks, 20, &seed);
        pid_t pid = control ? _Fork() : fork();
        if (pid == 0) {
            setpgid(0, 0);
            child(blocks);
        }
        counts[wait_for(pid)]++;
    }
    stop = true;
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("well %u, stuck %u, badly %u\n", counts[0], counts[1], counts[2]);
    return counts[1] || counts[2] ? 1 : 0;
}
