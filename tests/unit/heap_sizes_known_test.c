/* What a compiler knows of blocks, from the prototypes of heap.h: their length and alignment. Built
 * with optimisation and _FORTIFY_SOURCE; a memset beyond a block, by a length that only the
 * program's run tells, then ends the process. */
#include "tests/unit/heap_world.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const world_config_t on_linux = {.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN};

static void put(kiln_heap_t *heap, void *block)
{
    EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
}

/* The control: what it returns is any pointer. */
static __attribute__((noinline)) void *get_unsaid(kiln_heap_t *heap, size_t bytes)
{
    void *block = kiln_heap_malloc(heap, NULL, bytes);
    __asm__("" : "+r"(block));
    return block;
}

static void test_lengths_are_known(void)
{
    kiln_heap_t *heap = world_open(on_linux);
    kiln_misuse_t misuse;
    char *block = kiln_heap_malloc(heap, NULL, 37);
    EXPECT_EQ(__builtin_object_size(block, 0), 37);
    char *longer = kiln_heap_realloc(heap, NULL, block, 77, &misuse);
    EXPECT_EQ(__builtin_object_size(longer, 0), 77);
    put(heap, longer);
    char *array = kiln_heap_calloc(heap, NULL, 37, 3);
    EXPECT_EQ(__builtin_object_size(array, 0), 111);
    put(heap, array);
    char *aligned = kiln_heap_aligned(heap, NULL, 64, 53);
    EXPECT_EQ(__builtin_object_size(aligned, 0), 53);
    put(heap, aligned);
    char *unsaid = get_unsaid(heap, 37);
    EXPECT_EQ(__builtin_object_size(unsaid, 0), (size_t)-1);
    put(heap, unsaid);
    world_close();
}

/* How a process ends that writes `bytes` bytes to a block of 37. */
static int status_of_writing(kiln_heap_t *heap, volatile size_t bytes)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        (void)close(STDERR_FILENO);
        char *block = kiln_heap_malloc(heap, NULL, 37);
        if (block) memset(block, 1, bytes);
        _exit(block ? block[36] - 1 : 2);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
}

static void test_a_write_beyond_the_length_ends_the_process(void)
{
    kiln_heap_t *heap = world_open(on_linux);
    EXPECT_EQ(status_of_writing(heap, 37), 0);
    int status = status_of_writing(heap, 38); /* the slot has 48 */
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    world_close();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_lengths_are_known),
        KILN_TEST(test_a_write_beyond_the_length_ends_the_process),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
