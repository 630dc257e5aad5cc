/* usage: leak_program WHAT [--checks=N]
 *
 * kiln_check_leaks beside threads that never stop allocating, where it cannot be done, in a child
 * of a fork, and in a program whose first thread has ended. Each says what it found. */
#define _GNU_SOURCE
#include "allocator/api/kiln.h"
#include "tests/kiln_number.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, NODES = 64, LOST_BYTES = 12345 };

/* How often leaks are looked for beside the threads. */
static uint64_t checks = 100;

static void *(*volatile get)(size_t) = malloc;
static void *(*volatile resize)(void *, size_t) = realloc;
static void (*volatile put)(void *) = free;
static atomic_bool stop;

typedef struct node {
    struct node *next;
    size_t bytes;
} node_t;

/* A list that is turned over all the time. Its head lies on this stack, or for moments in a
 * register; inside of realloc a node may be in a slot that is no block's. */
static void *turn_over(void *seed)
{
    unsigned random = (unsigned)(uintptr_t)seed;
    node_t *head = NULL;
    for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
        random = random * 1664525 + 1013904223;
        size_t bytes = sizeof(node_t) + (random >> 16) % (random % 64 == 0 ? 200000 : 600);
        node_t *node = get(bytes);
        if (!node) abort();
        *node = (node_t){head, bytes};
        head = node;
        if (random % 3 == 0) head = resize(head, bytes * 2);
        for (unsigned drop = i % NODES == 0 ? NODES : 0; drop > 0 && head; drop--) {
            node_t *next = head->next;
            put(head);
            head = next;
        }
    }
    while (head) {
        node_t *next = head->next;
        put(head);
        head = next;
    }
    return NULL;
}

static pthread_t threads[THREADS];

static void start_threads(void)
{
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, turn_over, (void *)(i + 1)) != 0) abort();
}

static void end_threads(void)
{
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

/* The block that is to be lost. It is allocated before there are threads: where a block of theirs
 * was, an old address on a stack would be one of it. Its answer takes the place of the address in
 * the register that answers are in. It is not the first of its size either: that may begin where a
 * span does, or all of the heap, whose addresses threads that allocate have at hand. */
static void *volatile kept, *volatile first;

static __attribute__((noinline)) int take(void)
{
    volatile char *deep = __builtin_alloca(1 << 16);
    for (size_t i = 0; i < 1 << 16; i++) deep[i] = 0;
    first = get(LOST_BYTES);
    kept = get(LOST_BYTES);
    memset(kept, 0, LOST_BYTES);
    return deep[0];
}

static void lose(void)
{
    kept = NULL;
}

/* No check may tell of anything; and one block that is really lost is found among all. */
static int beside_threads(void)
{
    size_t found = 0;
    start_threads();
    for (uint64_t i = 0; i < checks; i++) found += kiln_check_leaks();
    printf("found %zu\n", found);
    lose();
    printf("then %zu\n", kiln_check_leaks());
    end_threads();
    return 0;
}

/* Where ptrace is refused: a program of one thread needs none. */
static int without_ptrace(bool has_threads)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 77;
    if (has_threads) start_threads();
    lose();
    printf("found %zu\n", kiln_check_leaks());
    if (has_threads) end_threads();
    return 0;
}

static int in_child(void)
{
    start_threads();
    lose();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("child %zu\n", kiln_check_leaks() > 0);
        fflush(stdout);
        _exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    printf("parent %zu\n", kiln_check_leaks());
    end_threads();
    return status;
}

/* As shells have it: a stopped thread must not be theirs to wait for. */
static void reap(int number)
{
    int status;
    (void)number;
    while (waitpid(-1, &status, WNOHANG) > 0) {
    }
}

static int with_child_handler(void)
{
    signal(SIGCHLD, reap);
    return beside_threads();
}

/* A page of a block that cannot be read, as of a stack with a guard; a page that was written and
 * can only be read now: what it holds is reached. */
static int protected_pages(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *block = aligned_alloc(page, 8 * page);
    char *frozen = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!block || frozen == MAP_FAILED) return 1;
    *(void *volatile *)frozen = block;
    if (mprotect(block + page, page, PROT_NONE) != 0 || mprotect(frozen, page, PROT_READ) != 0)
        return 1;
    block = NULL;
    lose();
    printf("found %zu\n", kiln_check_leaks());
    return 0;
}

/* The process ends while its threads go on. */
static int at_the_end(bool loses)
{
    start_threads();
    if (loses) lose();
    return 0;
}

static void *after_the_first(void *unused)
{
    (void)unused;
    if (take() != 0) exit(2); /* here: on the first thread's stack its address would stay */
    usleep(100000); /* by then the first thread has ended; nothing goes wrong where it has not */
    lose();
    printf("found %zu\n", kiln_check_leaks());
    end_threads();
    exit(0);
}

static int first_thread_ended(void)
{
    pthread_t last;
    start_threads();
    if (pthread_create(&last, NULL, after_the_first, NULL) != 0) return 1;
    pthread_exit(NULL);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc > 2 && strncmp(argv[2], "--checks=", 9) == 0)
        checks = kiln_number(argv[2], 1, UINT32_MAX);
    if (strcmp(what, "first_ended") == 0) return first_thread_ended();
    if (take() != 0) return 2;
    if (strcmp(what, "threads") == 0) return beside_threads();
    if (strcmp(what, "no_ptrace") == 0) return without_ptrace(true);
    if (strcmp(what, "no_ptrace_alone") == 0) return without_ptrace(false);
    if (strcmp(what, "child") == 0) return in_child();
    if (strcmp(what, "child_handler") == 0) return with_child_handler();
    if (strcmp(what, "protected") == 0) return protected_pages();
    if (strcmp(what, "exit") == 0) return at_the_end(true);
    if (strcmp(what, "exit_clean") == 0) return at_the_end(false);
    return 2;
}
