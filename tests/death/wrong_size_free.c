/* Frees a block of 100 bytes as one of 200. With any argument: as what it is. */
#include "allocator/api/kiln.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    void *volatile block = malloc(100);
    (void)argv;
    free_sized(block, argc == 1 ? 200 : 100);
    return 0;
}
