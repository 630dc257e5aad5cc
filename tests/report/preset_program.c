/* A program that brings options of its own, right ones or (-DWRONG) one that does not exist. */
#include "allocator/api/kiln.h"

#include <stdlib.h>

const char *kiln_default_options(void)
{
#ifdef WRONG
    return "exitcod=3";
#else
    return "exitcode=21:report=json";
#endif
}

int main(void)
{
    char *block = malloc(37);
    free(block);
    free(block); // NOLINT(clang-analyzer-unix.Malloc): the misuse
    return 0;
}
