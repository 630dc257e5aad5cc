/* Requests that no heap can serve, and what is read from fresh memory. */
#include "tests/death/case.h"

#include <errno.h>
#include <string.h>

enum { OLD = 0xa5, TRIES = 3000, TRIES_BYTES = 64 << 20, FILLED_BYTES = 4096 };

void case_request(const case_args_t *args)
{
    void *block;
    if (!case_is(args->how, "first")) case_give("free", case_take("malloc", 0, 1, 1), 0, 0);
    errno = 0;
    if (args->right)
        block = case_take(args->take, 64, 2, 128); /* aligned_alloc wants a multiple */
    else if (case_is(args->how, "resize"))
        block = case_resize(case_take("malloc", 0, 1, 100), args->bytes);
    else
        block = case_take(args->take, args->align, args->count, args->bytes);
    case_fact(block ? "served" : "refused", block, (size_t)errno);
    case_give(case_free_of(args->take), block, 0, 0);
}

/* Fresh memory is all the same, or zero behind where it is filled, and never what another owner
 * wrote. */
static void look(const char *block, size_t start, size_t end)
{
    const volatile unsigned char *at = (const volatile unsigned char *)block;
    for (size_t i = start; i < end; i++)
        if (at[i] == OLD || (at[i] != at[start] && (i < FILLED_BYTES || at[i] != 0)))
            case_end(CASE_OLD_BYTES, "another owner's bytes");
}

void case_old_bytes(const case_args_t *args)
{
    static char *blocks[8];
    size_t tries =
        TRIES_BYTES / (args->bytes + 1) < TRIES ? TRIES_BYTES / (args->bytes + 1) : TRIES;
    if (tries < 3) tries = 3;
    for (unsigned i = 0; i < 8; i++) {
        blocks[i] = case_take(args->take, args->align, 1, args->bytes);
        if (!blocks[i]) case_end(CASE_NO_PLACE, "there is no memory");
        memset(blocks[i], OLD, args->bytes);
    }
    for (unsigned i = 0; i < 8; i++) case_give(case_free_of(args->take), blocks[i], 0, 0);
    if (args->right) return; /* the twin reads nothing that it did not write */
    for (size_t i = 0; i < tries; i++) {
        size_t bytes = case_is(args->how, "grown") ? args->bytes / 2 + 1 : args->bytes;
        char *block = case_take(args->take, args->align, 1, bytes);
        look(block, 0, bytes);
        memset(block, OLD ^ 0xff, bytes);
        if (case_is(args->how, "grown")) {
            block = case_resize(block, args->bytes);
            look(block, bytes, args->bytes);
        }
        memset(block, OLD, args->bytes);
        case_give(case_free_of(args->take), block, 0, 0);
    }
}
