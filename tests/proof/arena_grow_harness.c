/* The caller above the growth routine: how many bytes it asks for, and when once more. The routine
 * itself is a stub that answers anything. */
#include "allocator/arena/arena_internal.h"
#include "tests/proof/arena_phys.h"

static kiln_arena_t arena;
static unsigned asks, told;
static uint64_t asked[2];
static kiln_arena_result_t answers[2];

static kiln_arena_result_t answer(uint64_t bytes)
{
    PROOF_ASSERT(asks < 2, "the growth routine is asked twice at most");
    answers[asks] = (kiln_arena_result_t){.addr = nondet_uint64()};
    if (arena.config.follow != KILN_FOLLOW_KILN && nondet_bool())
        answers[asks].throw_reason = KILN_THROW_NO_MEMORY;
    asked[asks] = bytes;
    return answers[asks++];
}

kiln_arena_result_t kiln_arena_alloc_kiln(kiln_arena_t *a, uint64_t bytes)
{
    PROOF_ASSERT(a->config.follow == KILN_FOLLOW_KILN, "each behaviour has its routine");
    return answer(bytes);
}

kiln_arena_result_t kiln_arena_alloc_seed(kiln_arena_t *a, uint64_t bytes)
{
    PROOF_ASSERT(a->config.follow != KILN_FOLLOW_KILN, "each behaviour has its routine");
    return answer(bytes);
}

static void log_returned(void *ctx, uint64_t bytes, const kiln_arena_result_t *result)
{
    (void)ctx;
    PROOF_ASSERT(told + 1 == asks && bytes == asked[told] && result->addr == answers[told].addr,
                 "the log is told of each request and its result");
    told++;
}

static const kiln_arena_log_t log_functions = {.returned = log_returned};

void harness(void)
{
    arena.config = any_page_config(WIDTH);
    arena.config.follow = (kiln_follow_t)nondet_below(KILN_FOLLOW_KILN + 1);
    arena.mask = kiln_width_mask(WIDTH);
    arena.log = &log_functions;
    uint64_t pages = nondet_uint64();
    uint64_t bytes = nondet_uint64();
    uint64_t need = pages * arena.config.page_bytes & arena.mask;

    kiln_arena_result_t result = kiln_arena_grow(&arena, pages, &bytes);
    PROOF_ASSERT(asks != 0 && told == asks, "each request is told of");
    PROOF_ASSERT(kiln_is_aligned(asked[0], KILN_KIB(64)), "a request is a multiple of 64 KiB");
    /* Within 64 KiB of the top the size wraps, as the machine's would; the caller compares. */
    PROOF_ASSERT(need > arena.mask - KILN_KIB(64) || asked[0] >= need, "a request is met whole");
    PROOF_ASSERT(asked[0] >= KILN_MIB(1), "at least 1 MiB is asked for");
    PROOF_ASSERT(asked[0] == KILN_MIB(1) || asked[0] - need < KILN_KIB(64),
                 "more than 1 MiB is asked for only as far as it is needed");
    bool refused = answers[0].addr == 0 && !answers[0].throw_reason;
    bool smaller = need <= KILN_MIB(1) - KILN_KIB(64);
    PROOF_ASSERT((asks == 2) == (refused && (smaller || need > arena.mask - KILN_KIB(64) + 1)),
                 "L4: a refused megabyte is followed by the exact size");
    PROOF_ASSERT(asks == 1 ||
                     asked[1] == ((need + KILN_KIB(64) - 1) & ~(KILN_KIB(64) - 1) & arena.mask),
                 "the exact size is the need in units of 64 KiB");
    PROOF_ASSERT(bytes == asked[asks - 1], "what was asked for last is told");
    PROOF_ASSERT(result.addr == answers[asks - 1].addr &&
                     result.throw_reason == answers[asks - 1].throw_reason,
                 "the result is that of the last request");
    PROOF_REACHED(asks == 2 && need > KILN_KIB(512), "more than half a megabyte is tried again");
    reach_pages();
}
