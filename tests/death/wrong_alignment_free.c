/* Frees a block from malloc as one aligned to 1 MiB. With any argument: as one aligned
 * to 16. */
#include "allocator/api/kiln.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    void *one = malloc(100), *other = malloc(100);
    bool is_aligned = (uintptr_t)one % (1 << 20) == 0; /* then the other is not */
    (void)argv;
    free(is_aligned ? one : other);
    free_aligned_sized(is_aligned ? other : one, argc == 1 ? 1 << 20 : 16, 100);
    return 0; // NOLINT(clang-analyzer-unix.Malloc): nothing has leaked
}
