/* Frees of what is not, or no longer, the program's. */
#define _GNU_SOURCE
#include "tests/death/case.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

enum { REUSE_MAX = 4096, PAGES_BYTES = 1 << 16, HEADED_BYTES = 0x70 };

/* ---- twice ---- */

static const case_args_t *race_args;
static char *race_block;
static pthread_barrier_t race_start;

static void *free_in_thread(void *together)
{
    if (together) pthread_barrier_wait(&race_start);
    case_give(race_args->call, race_block, race_args->align, race_args->bytes);
    return NULL;
}

static void in_threads(const case_args_t *args, char *block, bool together)
{
    pthread_t threads[2];
    unsigned count = args->right || !together ? 1 : 2;
    race_args = args;
    race_block = block;
    pthread_barrier_init(&race_start, NULL, count);
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, free_in_thread, together ? block : NULL) != 0)
            case_end(CASE_NO_PLACE, "there is no thread");
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
    if (!together && !args->right) case_give(args->call, block, args->align, args->bytes);
}

/* Allocates until the address comes back: then the second free takes it from its new owner, which
 * no heap can tell from a right one, and the owner's own free is the one too many. */
static void after_reuse(const case_args_t *args, char *block)
{
    char *again = NULL;
    for (unsigned i = 0; i < REUSE_MAX && again != block; i++) {
        again = case_take(args->take, args->align, 1, args->bytes);
        if (again != block) case_give("free", again, 0, 0);
    }
    if (again == block) case_give("free", again, 0, 0);
    if (!args->right) case_give(args->call, block, args->align, args->bytes);
}

void case_double_free(const case_args_t *args)
{
    char *block = case_block(args, args->bytes), *wall = case_block(args, args->bytes);
    case_fact("block", block, args->bytes);
    if (case_is(args->how, "threads") || case_is(args->how, "race")) {
        in_threads(args, block, case_is(args->how, "race"));
    } else if (case_is(args->how, "reuse")) {
        case_give("free", block, 0, 0);
        after_reuse(args, block);
    } else {
        if (case_is(args->how, "realloc")) {
            if (case_resize(block, args->bytes * 2 + 64) == block)
                case_end(CASE_NO_PLACE, "realloc did not move the block");
        } else if (!args->right || !case_is(args->call, "usable")) {
            case_give(case_is(args->call, "usable") ? "free" : args->call, block, args->align,
                      args->bytes);
        }
        case_ops(args, args->ops);
        if (!args->right) case_give(args->call, block, args->align, args->bytes);
    }
    case_fact("wall", wall, args->bytes);
}

/* ---- what never was a block ---- */

static char global_bytes[PAGES_BYTES];

static char *pages(void)
{
    char *mapped =
        mmap(NULL, PAGES_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) case_end(CASE_NO_PLACE, "there is no memory");
    return mapped;
}

/* A block of another heap's, which has its size and a mark in front of it, and another block
 * behind, as the C library's do: whoever believes such a word takes it for one of his. */
static char *headed_block(void)
{
    char *mapped = pages();
    size_t word = HEADED_BYTES | 1, *header = (size_t *)(mapped + 4 * sizeof word);
    header[-1] = word;
    header[HEADED_BYTES / sizeof word - 1] = word;
    return (char *)header;
}

/* `distance` is the number itself where the address is one. */
static char *foreign(const case_args_t *args, char *stack_bytes)
{
    char *mapped;
    if (case_is(args->how, "stack")) return stack_bytes + args->distance;
    if (case_is(args->how, "global")) return global_bytes + args->distance;
    if (case_is(args->how, "code")) return (char *)(uintptr_t)case_wrong_free + args->distance;
    if (case_is(args->how, "number")) return (char *)args->distance;
    if (case_is(args->how, "headed")) return headed_block() + args->distance;
    mapped = pages();
    if (case_is(args->how, "foreign")) return mapped + args->distance;
    if (!case_is(args->how, "unmapped")) case_end(CASE_USAGE, "no memory is called that");
    munmap(mapped, PAGES_BYTES);
    return mapped + args->distance;
}

/* Inside a block, or of no block at all. */
void case_wrong_free(const case_args_t *args)
{
    char stack_bytes[64] __attribute__((aligned(64)));
    memset(stack_bytes, 0, sizeof stack_bytes);
    char *block = case_block(args, args->bytes);
    char *wrong = block + args->distance;
    if (case_is(args->deed, "foreign-free")) wrong = foreign(args, stack_bytes);
    case_fact("block", block, args->bytes);
    case_fact("freed", wrong, 0);
    if (!args->right) case_give(args->call, wrong, args->align, args->bytes);
    case_give(args->call, block, args->align, args->bytes);
}

/* A right block, of which the free is told something wrong. */
void case_mismatch(const case_args_t *args)
{
    char *block = case_block(args, args->bytes);
    size_t align = args->claimed_align;
    /* To be aligned as it was not asked for is chance: of two neighbours one is not. */
    while (case_is(args->how, "misaligned") && (uintptr_t)block % align == 0)
        block = case_block(args, args->bytes);
    case_fact("block", block, args->bytes);
    if (args->right)
        case_give(args->call, block, args->align, args->bytes);
    else
        case_give(args->call, block, align, args->claimed);
}
