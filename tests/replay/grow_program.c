/* A program whose heap grows: small blocks, large ones, some refused, some given back, and a child
 * whose heap grows too. It writes no byte of the large ones, so that it needs little memory. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned refused;

static void take(size_t bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char *block = malloc(bytes);
        if (block)
            block[0] = (char)i;
        else
            refused++;
        if (i % 3 == 0) free(block);
    }
}

int main(void)
{
    take(100, 20000);
    take(5000, 2000);
    take((size_t)300 << 10, 40);
    take((size_t)5 << 20, 30);

    pid_t child = fork();
    if (child == 0) { /* its heap is its own, and not in the record */
        take((size_t)7 << 20, 10);
        _exit(0);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 1;

    take((size_t)40 << 20, 20);
    take((size_t)-1 / 3, 3); /* more than there is */
    take((size_t)64 << 10, 100);
    printf("%u refused\n", refused);
    return 0;
}
