/* Blocks that a restore took back, and that are used all the same. */
#include "tests/death/case.h"

#include "allocator/api/kiln.h"

#pragma weak kiln_checkpoint /* other heaps have none */
#pragma weak kiln_restore
#pragma weak kiln_check_heap

enum { MALLOCS_MAX = 4000 };

static void go_back(void)
{
    if (kiln_restore(KILN_BYTES) != 0) case_end(CASE_NO_PLACE, "the heap was not put back");
}

/* Until the block's place is given out, where what was written there is seen. */
static void reuse(const case_args_t *args, const char *block)
{
    for (unsigned i = 0; i < MALLOCS_MAX; i++)
        if (case_take(args->take, args->align, 1, args->bytes) == block) return;
    case_end(CASE_NO_PLACE, "the block's place was not given out again");
}

static void find(const case_args_t *args, const char *block)
{
    if (case_is(args->when, "restore")) go_back();
    if (case_is(args->when, "check")) (void)kiln_check_heap();
    if (case_is(args->when, "reuse")) reuse(args, args->right ? NULL : block);
}

void case_restored(const case_args_t *args)
{
    if (!kiln_checkpoint || !kiln_restore) case_end(CASE_USAGE, "this heap has no checkpoints");
    for (size_t i = 0; i < args->blocks; i++) (void)case_block(args, args->bytes);
    if (kiln_checkpoint() != 0) case_end(CASE_NO_PLACE, "there is no checkpoint");
    char *block = case_block(args, args->bytes), *at = block + args->distance;
    case_fact("block", block, args->bytes);
    go_back();
    if (args->right && case_block(args, args->bytes) != block)
        case_end(CASE_NO_PLACE, "the same call got another address");
    if (case_is(args->deed, "restored-free")) {
        case_give(args->call, block, args->align, args->bytes);
        return;
    }
    bool reads = case_is(args->deed, "restored-read");
    case_fact(reads ? "read" : "write", at, args->width);
    if (reads)
        case_read(at, args->width);
    else
        case_flip(at, args->width);
    if (!args->right || !case_is(args->when, "reuse")) find(args, block);
}
