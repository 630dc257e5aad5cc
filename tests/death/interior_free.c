/* Frees a pointer that was moved on. With any argument: moves it back first. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    char *volatile text = malloc(64);
    (void)argv;
    text += 8;
    if (argc > 1) text -= 8;
    free(text); // NOLINT(clang-analyzer-unix.Malloc): the misuse
    return 0;
}
