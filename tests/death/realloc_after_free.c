/* Grows a block that was freed. With any argument: grows it first. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    void *volatile block = malloc(64);
    (void)argv;
    if (argc == 1) {
        free(block);
        block = realloc(block, 128);
    } else {
        block = realloc(block, 128);
        free(block);
    }
    return 0;
}
