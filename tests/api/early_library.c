/* A library whose constructor allocates and registers fork handlers that allocate. Preloaded before
 * or after libkiln.so it runs at other times than a program of its own can. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *kept;

static void use_the_heap(void)
{
    free(malloc(1000));
    free(malloc(300000));
}

__attribute__((constructor)) static void early(void)
{
    pthread_atfork(use_the_heap, use_the_heap, use_the_heap);
    kept = strdup("kept");
    for (size_t bytes = 1; bytes < 100000; bytes += 777) free(malloc(bytes));
    char *grown = realloc(kept, 100000);
    if (!grown || strcmp(grown, "kept") != 0) _exit(77);
    kept = grown;
}

__attribute__((destructor)) static void late(void)
{
    if (strcmp(kept, "kept") != 0) _exit(77);
    free(kept);
}
