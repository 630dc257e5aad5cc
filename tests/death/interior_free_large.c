/* Frees the third page of a large block. With any argument: its start. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    char *volatile text = malloc(1000000);
    (void)argv;
    text += 8192;
    if (argc > 1) text -= 8192;
    free(text); // NOLINT(clang-analyzer-unix.Malloc): the misuse
    return 0;
}
