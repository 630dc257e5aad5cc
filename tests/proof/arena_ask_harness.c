/* What `kiln` asks of the OS for one request that no memory of its own serves, and what it takes of
 * what it gets, on any possible range: arena_step_harness.c has the laws of memory, and leaves open
 * how much is asked for and what else would have done.
 *
 *   OP  ASK    the OS has nothing: what is asked for fits, and the size of GRANULE_MIB is tried
 *       BLOCK  it has a block for the first size that is asked for
 *       SMALL  it has no block, but memory for the fallback
 *
 * There are no tables and no remainders here. */
#include "allocator/arena/arena_internal.h"
#include "tests/proof/arena_phys.h"

enum { ASK, BLOCK, SMALL };

static kiln_arena_t arena;
static uint64_t request;
static kiln_addr_t got; /* what the OS gives, or 0 */
static bool got_reserved;
static uint64_t got_bytes;

/* --- what should be asked --------------------------------------------------------------------- */

/* round_request gives `request` with its page for rounding as a multiple of `unit`, or 0 where that
 * is no number of the machine. */
static uint64_t round_request(uint64_t unit)
{
    uint64_t page_bytes = arena.config.page_bytes;
    if (request > arena.mask - page_bytes || request + page_bytes > arena.mask - (unit - 1))
        return 0;
    return (request + page_bytes + (unit - 1)) & ~(unit - 1);
}

static bool has_room(uint64_t size)
{
    return size != 0 && size <= arena.mask - arena.arena_end;
}

static bool is_in_limit(uint64_t size)
{
    uint64_t offset = arena.arena_end - arena.arena_start;

    return offset <= arena.config.addr_max && size - 1 <= arena.config.addr_max - offset;
}

/* What is said of all sizes that are asked for is said of one, any, so that there is one sum. */
static uint64_t judged_size;
static bool judged_fits, judged_in_limit, judged_serves;

static uint64_t granule_size; /* of GRANULE_MIB */
static bool granule_tried;
static uint64_t last_size;
static unsigned reserves, directs;

/* --- the OS ----------------------------------------------------------------------------------- */

static kiln_addr_t os_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    (void)ctx;
    PROOF_ASSERT(hint == arena.arena_end, "a block is asked for behind the current one");
    bool judged = bytes == judged_size;
    PROOF_ASSERT(!judged || judged_fits, "os: the size fits the machine behind the hint");
    PROOF_ASSERT(!judged || judged_in_limit, "no block is asked for that the range could not hold");
    PROOF_ASSERT(kiln_is_aligned(bytes, KILN_MIB(1)) && (!judged || judged_serves),
                 "a block holds the request and a page for rounding");
    PROOF_ASSERT(bytes != last_size, "what was refused is not asked for again");
    if (bytes == granule_size) granule_tried = true;
    last_size = bytes;
    *out_reserved = got_reserved;
    if (OP != BLOCK || reserves++ != 0) return 0;
    PROOF_ASSUME(bytes == got_bytes);
    return got;
}

static kiln_addr_t os_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    (void)ctx;
    directs++;
    PROOF_ASSERT(use == KILN_OS_HEAP, "the fallback is for heap");
    PROOF_ASSERT(round_request(KILN_MIB(1)) != 0, "no fallback for what no block could hold");
    PROOF_ASSERT(bytes == round_request(PHYS) && bytes <= arena.mask,
                 "os: the fallback's size is the request with a page, and fits the machine");
    if (OP != SMALL) return 0;
    PROOF_ASSUME(bytes == got_bytes);
    return got;
}

static kiln_os_answer_t os_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                  kiln_os_use_t use)
{
    (void)ctx, (void)addr, (void)bytes, (void)reserved, (void)use;
    return KILN_OS_OK;
}

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx, (void)addr, (void)bytes;
}

static kiln_os_t os = {
    .addr_bits = WIDTH,
    .reserve = os_reserve,
    .commit = os_commit,
    .release = os_release,
    .direct = os_direct,
};

/* --- arena_kept.c: nothing is kept ------------------------------------------------------------ */

kiln_arena_region_t *kiln_arena_kept_find(kiln_arena_t *a, uint64_t bytes)
{
    (void)a, (void)bytes;
    return NULL;
}

void kiln_arena_kept_add(kiln_arena_t *a, kiln_arena_region_t region)
{
    (void)a, (void)region;
}

bool kiln_arena_kept_overlaps(const kiln_arena_t *a, kiln_addr_t start, kiln_addr_t last,
                              bool reserved)
{
    (void)a, (void)start, (void)last, (void)reserved;
    return false;
}

const char *kiln_arena_kept_broken_rule(const kiln_arena_t *a)
{
    (void)a;
    return NULL;
}

const char *kiln_arena_table_broken_rule(const kiln_arena_table_t *table)
{
    PROOF_ASSERT(!table->used, "harness: there is no table");
    return NULL;
}

/* any_address gives any multiple of `unit` that is one: the solver is spared the other bits. */
static kiln_addr_t any_address(uint64_t unit)
{
    return any_multiple(unit) & kiln_width_mask(WIDTH);
}

/* --- a request -------------------------------------------------------------------------------- */

static void any_arena(void)
{
    kiln_arena_config_t config = any_page_config(WIDTH);
    static uint64_t no_words[1];

    os.phys_bytes = PHYS;
    config.addr_max = any_address(1);
    config.tables = 0;
    config.block_bytes = KILN_MIB(1) << nondet_below(9);
    PROOF_ASSUME(kiln_arena_config_broken_rule(&config) == NULL);
    const char *why = kiln_arena_init(&arena, &config, &os, NULL, NULL, no_words);
    PROOF_ASSERT(why == NULL, "a configuration without a broken rule makes an arena");
    arena.arena_start = any_address(config.page_bytes);
    arena.arena_used = any_address(1);
    arena.arena_alloc = any_address(kiln_arena_unit(&arena));
    arena.arena_end = any_address(PHYS);
    arena.arena_reserved = nondet_bool();
    PROOF_ASSUME(kiln_arena_broken_rule(&arena) == NULL);
    PROOF_ASSUME(arena.arena_end >= arena.arena_start); /* as it is after start-up */
    request = any_address(kiln_arena_unit(&arena));
    PROOF_ASSUME(request > kiln_arena_left(&arena));
    got = any_address(PHYS);
    got_reserved = nondet_bool();
    got_bytes = any_address(PHYS);
    PROOF_ASSUME(got != 0 && got_bytes - 1 <= arena.mask - got);
    granule_size = round_request(KILN_MIB(GRANULE_MIB));
    judged_size = nondet_uint64();
    judged_fits = has_room(judged_size);
    judged_in_limit = is_in_limit(judged_size);
    judged_serves = judged_size - arena.config.page_bytes >= request;
}

static bool place, other_place; /* that are to be reached, of each function */

/* in_range: does what the OS gave lie in the possible range? Of a block, once the last page of the
 * address space, which has no exclusive end, is cut off. */
static bool in_range(void)
{
    kiln_addr_t last = got + (got_bytes - 1);
    if (OP == BLOCK && last == arena.mask) last -= kiln_arena_unit(&arena);
    return got >= arena.arena_start && last - arena.arena_start <= arena.config.addr_max;
}

static void judge_refusals(const kiln_arena_result_t *result)
{
    uint64_t largest = round_request(arena.config.block_bytes);
    bool oversized = round_request(KILN_MIB(1)) == 0;

    PROOF_ASSERT(result->addr == 0, "nothing is handed out that the OS has not got");
    PROOF_ASSERT(granule_tried == (has_room(granule_size) && is_in_limit(granule_size)),
                 "L4: the smallest granule is tried if it fits");
    PROOF_ASSERT(directs == (WIDTH <= 32 && !oversized), "L4: at 32 bits the fallback is tried");
    PROOF_ASSERT(last_size == 0 || result->branch == KILN_ARENA_RESERVE_FAILED,
                 "the branch says that the OS refused");
    PROOF_ASSERT(last_size != 0 || result->branch == (has_room(largest) ? KILN_ARENA_GROW_LIMIT
                                                                        : KILN_ARENA_GROW_OVERFLOW),
                 "the branch says why the OS was not asked");
    place = last_size != 0;
    other_place = result->branch == KILN_ARENA_GROW_LIMIT;
}

/* judge_grant: is the block in the possible range, and no part of the current one, it is taken. */
static void judge_grant(const kiln_arena_t *before, const kiln_arena_result_t *result)
{
    bool adjacent = got == before->arena_end && got_reserved == before->arena_reserved;
    if ((OP == BLOCK ? reserves : directs) == 0) return;
    if (OP == BLOCK)
        PROOF_ASSERT(result->branch == (!in_range() ? KILN_ARENA_REJECT_RANGE
                                        : adjacent  ? KILN_ARENA_EXTEND
                                                    : KILN_ARENA_SWITCH),
                     "L4: a block is taken if it lies in the possible range, and else refused");
    if (OP == SMALL)
        PROOF_ASSERT(result->service == (in_range() ? KILN_ARENA_SMALL : KILN_ARENA_SMALL_RANGE),
                     "L4: the fallback's memory is taken if it lies in the possible range");
    place = in_range() && got + got_bytes - arena.arena_start - 1 == arena.config.addr_max;
    other_place = !in_range();
}

void harness(void)
{
    any_arena();
    kiln_arena_t before = arena;
    /* An OS that keeps its contract gives nothing that is ours. */
    PROOF_ASSUME(OP == ASK || got >= arena.arena_end || arena.arena_alloc == arena.arena_end ||
                 got < arena.arena_alloc);
    kiln_arena_result_t result = kiln_arena_alloc_kiln(&arena, request);
    bool apart = got >= before.arena_end || before.arena_alloc == before.arena_end ||
                 got + (got_bytes - 1) < before.arena_alloc;
    if (OP == ASK)
        judge_refusals(&result);
    else if (apart)
        judge_grant(&before, &result);
    PROOF_REACHED(place, "blocks are asked for; or what ends with the range is taken");
    PROOF_REACHED(other_place, "the range has no room; or what lies out of it is refused");
    reach_pages();
}
