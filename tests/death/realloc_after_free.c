/* Grows a block that was freed. With any argument: grows it first. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    void *volatile block = malloc(64);
    void *volatile grown;
    (void)argv;
    if (argc == 1) free(block);
    grown = realloc(block, 128); // NOLINT(clang-analyzer-unix.Malloc): the misuse
    free(grown);
    return 0;
}
