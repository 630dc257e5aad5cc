/* Frees a block of whole pages twice. With any argument: once. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    void *volatile block = malloc(1000000);
    (void)argv;
    free(block);
    if (argc == 1) free(block); // NOLINT(clang-analyzer-unix.Malloc): the misuse
    return 0;
}
