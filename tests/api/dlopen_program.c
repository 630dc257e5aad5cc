/* usage: dlopen_program LIBKILN: opens the library late, uses its heap beside the system's, closes
 * it again, and ends threads that have used it. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *(*kiln_malloc)(size_t);
static void (*kiln_free)(void *);

static void find(void *library, const char *name, void *out_function)
{
    void *symbol = dlsym(library, name);
    memcpy(out_function, &symbol, sizeof symbol);
}

static void *work(void *block)
{
    kiln_free(block);
    block = kiln_malloc(1000);
    memset(block, 2, 1000);
    return block;
}

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        fprintf(stderr, "%s\n", argc > 1 ? dlerror() : "usage: dlopen_program LIBKILN");
        return 2;
    }
    find(library, "malloc", &kiln_malloc);
    find(library, "free", &kiln_free);
    char *block = kiln_malloc(500);
    memset(block, 1, 500);
    pthread_t thread;
    void *answer;
    if (pthread_create(&thread, NULL, work, block) != 0 || dlclose(library) != 0) return 1;
    pthread_join(thread, &answer);
    if (((char *)answer)[999] != 2) return 1;
    kiln_free(answer);
    puts("all went well");
    return 0;
}
