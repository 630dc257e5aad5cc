/* Works hard on the heap and makes no other use of the world than to write one line: for worlds
 * that lack something. usage: closed_program none|heap|threads */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 500, ROUNDS = 20000, THREADS = 3 };

static int failed;

static size_t size_of(unsigned i)
{
    static const size_t sizes[] = {1, 24, 100, 500, 3000, 20000, 40000, 300000, 2000000};
    return sizes[i % 9] + i % 5;
}

static void check(char *block, size_t bytes, char value)
{
    if (block && (block[0] != value || block[bytes - 1] != value)) failed = 1;
}

static void *work(void *unused)
{
    static const size_t largest = 2000005;
    struct {
        char *block;
        size_t bytes;
        char value;
    } live[BLOCKS];
    unsigned random = 12345;
    memset(live, 0, sizeof live);
    for (unsigned i = 0; i < ROUNDS; i++) {
        random = random * 1103515245u + 12345u;
        unsigned slot = (random >> 16) % BLOCKS;
        check(live[slot].block, live[slot].bytes, live[slot].value);
        size_t bytes = size_of(random >> 8);
        if (bytes > largest / 10 && i % 16 != 0) bytes /= 100;
        if (random & 1024) {
            free(live[slot].block);
            live[slot].block = random & 2048 ? malloc(bytes) : calloc(1, bytes);
        } else {
            live[slot].block = realloc(live[slot].block, bytes);
        }
        if (!live[slot].block) failed = 1;
        live[slot].bytes = bytes;
        live[slot].value = (char)i;
        if (live[slot].block) live[slot].block[0] = live[slot].block[bytes - 1] = (char)i;
    }
    for (unsigned i = 0; i < BLOCKS; i++) free(live[i].block);
    malloc_trim(0);
    return unused;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "heap") == 0) {
        work(NULL);
    } else if (strcmp(what, "threads") == 0) {
        pthread_t threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++)
            if (pthread_create(&threads[i], NULL, work, NULL) != 0) return 3;
        work(NULL);
        for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    } else if (strcmp(what, "none") != 0) {
        return 2;
    }
    const char *line = failed ? "a block was lost\n" : "all went well\n";
    if (write(STDOUT_FILENO, line, strlen(line)) < 0) return 4;
    return failed;
}
