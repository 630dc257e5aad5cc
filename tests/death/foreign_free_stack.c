/* Frees an array of the stack. With any argument: a block. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    char array[64];
    void *volatile block = malloc(64);
    void *volatile wrong = array;
    (void)argv;
    free(argc == 1 ? wrong : block); // NOLINT(clang-analyzer-unix.Malloc): the misuse
    return 0;
}
