/* Frees a block from malloc as one aligned to 1 MiB. With any argument: as one of free. */
#include "allocator/api/kiln.h"

#include <stdint.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    void *volatile blocks[2] = {malloc(100), malloc(100)};
    unsigned odd = (uintptr_t)blocks[0] % (1 << 20) == 0; /* one of the two is not so aligned */
    (void)argv;
    if (argc == 1)
        free_aligned_sized(blocks[odd], 1 << 20, 100);
    else
        free_aligned_sized(blocks[odd], 16, 100);
    return 0;
}
