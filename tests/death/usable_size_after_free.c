/* Asks for the size of a freed block. With any argument: of a live one. */
#include <malloc.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    void *volatile block = malloc(64);
    (void)argv;
    if (argc == 1) free(block);
    size_t bytes = malloc_usable_size(block); // NOLINT(clang-analyzer-unix.Malloc): the misuse
    if (argc > 1) free(block);
    return bytes >= 64 ? 0 : 1;
}
