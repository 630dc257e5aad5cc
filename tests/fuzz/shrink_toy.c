/* shrink_toy.c - a fuzz target whose smallest findings are known: one bug a value of `bug`. With
 * TOY_IS_RIGHT its twin, that has none. */
#include "fuzz/target.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { OP_NOISE, OP_MARK, OP_COUNT, OPS };
enum {
    BUG_NONE,
    BUG_MARKS,
    BUG_ASAN,
    BUG_UBSAN,
    BUG_MSAN,
    BUG_ALL,
    BUG_TWO_LAWS,
    BUG_SIGNAL,
    BUGS
};
enum { ALL_RECORDS = 400, OTHER_MIN = 5, ARG_MIN = 1000 };

static const char *const op_names[OPS] = {"noise", "mark", "count"};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "toy",
    .config = {"bug", "other", "nothing"},
    .ops = op_names,
    .op_count = OPS,
};

static struct {
    unsigned noise, counts;
    bool marked[256], twice; /* slot 3, and slot 7 after it */
} seen;

void kiln_fuzz_last_words(void)
{
}

static void take(const kiln_fuzz_record_t *r)
{
    switch (r->op % OPS) {
    case OP_NOISE:
        seen.noise++;
        break;
    case OP_MARK:
        seen.marked[r->slot] = true;
        if (r->slot == 7 && seen.marked[3] && r->arg >= ARG_MIN) seen.twice = true;
        break;
    default:
        seen.counts++;
        break;
    }
}

/* Right in this function, and with it in the fuzzing engine's: a stack of two frames. */
void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
    memset(&seen, 0, sizeof seen);
    kiln_fuzz_open(&input, data, size);
    while (kiln_fuzz_next(&input, &r)) take(&r);
#ifdef TOY_IS_RIGHT
    return;
#endif
    if (input.config[1] < OTHER_MIN) return;
    volatile int most = INT_MAX;
    volatile char *block = malloc(8);
    switch (seen.twice || input.config[0] == BUG_ALL || input.config[0] == BUG_TWO_LAWS
                ? input.config[0] % BUGS
                : BUG_NONE) {
    case BUG_MARKS:
        kiln_check_failed("toy: seven came after three", __FILE__, __LINE__);
    case BUG_ASAN:
        block[8] = 1;
        break;
    case BUG_UBSAN:
        most = most + 1;
        break;
    case BUG_MSAN:
        if (block[seen.noise % 8] == 42) most = 0;
        break;
    case BUG_ALL:
        KILN_FUZZ_LAW("toy: not so many", seen.counts < ALL_RECORDS);
        break;
    case BUG_TWO_LAWS:
        KILN_FUZZ_LAW("toy: no mark and noise", !seen.marked[1] || seen.noise == 0);
        KILN_FUZZ_LAW("toy: no mark", !seen.marked[1]);
        break;
    case BUG_SIGNAL:
        *(volatile int *)(uintptr_t)(seen.twice ? 16 : 0) = 1;
        break;
    default:
        break;
    }
    free((void *)block);
}
