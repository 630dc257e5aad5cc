/* usage: limit_program MEBIBYTES BYTES
 *
 * Under a limit of address space: after its start the program can map and run threads; then the
 * heap gives at least so many MiB in blocks of BYTES before it says no, and again after they were
 * freed. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { THREADS = 4 };

typedef struct link {
    struct link *next;
} link_t;

static size_t fill(size_t bytes, link_t **out_list)
{
    size_t got = 0;
    link_t *list = NULL, *block;
    errno = 0;
    while ((block = malloc(bytes)) != NULL) {
        block->next = list;
        list = block;
        got += bytes;
    }
    if (errno != ENOMEM) printf("errno is %d, not ENOMEM\n", errno), exit(1);
    *out_list = list;
    return got;
}

static void drain(link_t *list)
{
    while (list) {
        link_t *next = list->next;
        free(list);
        list = next;
    }
}

static void *work(void *unused)
{
    for (size_t bytes = 1; bytes < 200000; bytes += 1000) free(malloc(bytes));
    return unused;
}

static int threads_run(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0) return 0;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fputs("usage: limit_program MEBIBYTES BYTES\n", stderr), 2;
    size_t wanted_mib = strtoul(argv[1], NULL, 10), bytes = strtoul(argv[2], NULL, 10);
    void *own = mmap(NULL, 32 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own == MAP_FAILED) return puts("the program cannot map 32 MiB at its start"), 1;
    munmap(own, 32 << 20);
    if (!threads_run()) return puts("no threads at the start"), 1;
    for (int round = 0; round < 2; round++) {
        link_t *list;
        size_t got_mib = fill(bytes, &list) >> 20;
        drain(list);
        printf("%zu MiB in blocks of %zu bytes\n", got_mib, bytes);
        if (got_mib < wanted_mib) return 1;
    }
    return 0;
}
