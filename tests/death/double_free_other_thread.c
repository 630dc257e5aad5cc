/* Frees a block that another thread has freed. With any argument: does not. */
#include <pthread.h>
#include <stdlib.h>

static void *free_it(void *block)
{
    free(block);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *volatile block = malloc(64);
    (void)argv;
    if (pthread_create(&thread, NULL, free_it, block) != 0) return 2;
    pthread_join(thread, NULL);
    if (argc == 1) free(block);
    return 0;
}
