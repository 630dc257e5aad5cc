/* Frees a pointer that never was one, and that is not aligned. With any argument: NULL. */
#include <stdint.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    void *volatile wrong = (void *)(uintptr_t)0x1235; /* no address of any mapping */
    (void)argv;
    free(argc == 1 ? wrong : NULL); // NOLINT(clang-analyzer-unix.Malloc): the misuse
    return 0;
}
