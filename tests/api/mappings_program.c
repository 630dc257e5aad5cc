/* Keeps 200,000 blocks of mixed sizes alive, then frees every second large one: holes, each of
 * which may cost a mapping. The kernel allows 65,530 of them; this allows 500, and checks that the
 * program itself can map. With any argument it makes too many mappings itself, and must notice. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    BLOCKS = 200000,
    LARGE_EVERY = sizeof(void *) == 8 ? 5 : 40, /* 32 bits have not the addresses for more */
    MAPPINGS_MAX = 500,
};

static char *blocks[BLOCKS];

static unsigned mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    unsigned lines = 0;
    int letter;
    if (!file) return 0;
    while ((letter = getc(file)) != EOF) lines += letter == '\n';
    fclose(file);
    return lines;
}

static size_t size_of(unsigned i)
{
    if (i % LARGE_EVERY == 0) return 33000 + i % 8 * 9000;
    return 1 + i % 37 * (i % 11) * 5;
}

static int make_all(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        if (!blocks[i]) return 0;
        blocks[i][0] = (char)i;
    }
    return 1;
}

/* Every second page of a stretch with another protection: a mapping for each. */
static void make_mappings(void)
{
    enum { PAGES = 2 * MAPPINGS_MAX, PAGE_BYTES = 4096 };
    char *stretch = mmap(NULL, PAGES * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < PAGES; i += 2)
        if (stretch != MAP_FAILED) mprotect(stretch + i * PAGE_BYTES, PAGE_BYTES, PROT_READ);
}

int main(int argc, char **argv)
{
    unsigned at_start = mappings(), large = 0;
    (void)argv;
    if (argc > 1) make_mappings();
    if (!make_all()) return puts("no memory for 200,000 blocks"), 1;
    unsigned with_all = mappings();
    for (unsigned i = 0; i < BLOCKS; i += LARGE_EVERY) {
        if (large++ % 2 == 0) continue;
        free(blocks[i]);
        blocks[i] = NULL;
    }
    unsigned with_holes = mappings();
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i] && blocks[i][0] != (char)i) return puts("a block was lost"), 1;
    void *own = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own == MAP_FAILED) return puts("the program itself cannot map"), 1;
    for (unsigned i = 0; i < BLOCKS; i++) free(blocks[i]);
    printf("mappings: %u at start, %u with all blocks, %u with holes, %u at the end\n", at_start,
           with_all, with_holes, mappings());
    return at_start > 0 && with_all < MAPPINGS_MAX && with_holes < MAPPINGS_MAX ? 0 : 1;
}
