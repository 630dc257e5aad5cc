/* One request of `seed` or `go19`, from any state that the rule allows: what they keep, and exactly
 * where they do not. FOLLOW is the behaviour; each law that the seed breaks is an assertion of its
 * own, and what is assumed away (the list below) is what DESIGN.md says of it.
 *
 *   NOT_AT_TOP     no block ends at the top of the address space (weakness W6)
 *   NOT_FRESH      tables are mapped for what lies below arena_used (weakness W1, seed alone)
 *   CONTIGUOUS     no hole and nothing below the peak: the next byte of the block is the bound, and
 *                  what the OS gives continues it (weakness W12)
 *   JUDGE_L3       L3 is judged, which holds only where CONTIGUOUS is assumed
 *   ALL_RESERVED   everything is really reserved; assumed unless one of the next two is, or the OS
 *                  may answer anything (ANY_ANSWER)
 *   ALL_BELIEVED   nothing is, as for 64-bit Go on Linux, and the OS does not grant the tables'
 *                  address space once more
 *   MIXED          some is: each block and the tables have a flag of their own, and a block is not
 *                  joined with one of the other flag (weakness W5)
 *   FLAGS_JOIN     ... or is: what that breaks is to be refuted
 *   NO_RELEASE     what is given back was really reserved: of what is believed, nothing was held
 *   JUDGE_LIES     what an OS that answers anything breaks is to be refuted, from a state in which
 *                  it has not lied yet
 *   REPLAYABLE     only states that a trace can set
 *
 * A request is a multiple of page and hardware page, as kiln_arena_grow makes it. */
#if !ANY_ANSWER && !defined ALL_BELIEVED && !defined MIXED
#define ALL_RESERVED
#endif
#include "tests/proof/arena_ghost.h"

/* seed and go19 keep nothing, and never ask. */
const char *kiln_arena_kept_broken_rule(const kiln_arena_t *a)
{
    (void)a;
    return NULL;
}

kiln_arena_result_t kiln_arena_alloc_kiln(kiln_arena_t *a, uint64_t bytes)
{
    (void)a, (void)bytes;
    PROOF_ASSERT(false, "seed and go19 do not go here");
    return (kiln_arena_result_t){.addr = 0};
}

/* What tools/proof/trace.py reads besides the OS's answers. */
static uint64_t proof_bytes; /* the request */
static uint64_t proof_width, proof_phys, proof_follow, proof_init_map, proof_believed;
static kiln_addr_t proof_start, proof_used, proof_alloc, proof_end;

static void record_state(void)
{
    proof_width = WIDTH;
    proof_phys = PHYS;
    proof_follow = FOLLOW;
    proof_believed = !arena.arena_reserved;
#ifdef REPLAYABLE
    proof_init_map = MAPPED_AT_START;
#else
    proof_init_map = 0;
#endif
    proof_start = arena.arena_start;
    proof_used = arena.arena_used;
    proof_alloc = arena.arena_alloc;
    proof_end = arena.arena_end;
}

static void any_state(void)
{
    any_config(FOLLOW);
    any_addresses();
    PROOF_ASSUME(arena.arena_end <= arena.mask && arena.arena_used <= arena.mask);
    block_rule(true);
#ifdef ALL_BELIEVED
    arena.tables_reserved = false;
#elif defined MIXED && defined REPLAYABLE
    arena.tables_reserved = arena.arena_reserved;
#elif !defined MIXED
    arena.tables_reserved = true;
#endif
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        kiln_arena_table_t *table = &arena.tables[id];
        table->mapped_bytes = table->used ? nondet_uint64() : 0;
        PROOF_ASSUME(kiln_is_aligned(table->mapped_bytes, PHYS) &&
                     table->mapped_bytes <= table->bytes_max);
#ifdef REPLAYABLE
        table->base = 0;
#endif
#if defined NOT_FRESH || defined REPLAYABLE
        uint64_t need = kiln_arena_table_need(table, arena.arena_used - arena.arena_start);
#endif
#ifdef NOT_FRESH
        PROOF_ASSUME(!table->used || table->mapped_bytes >= need);
#endif
#ifdef REPLAYABLE
        PROOF_ASSUME(table->mapped_bytes == (MAPPED_AT_START ? need : 0));
#endif
    }
    PROOF_ASSUME(kiln_arena_broken_rule(&arena) == NULL);
    any_ghost();
    PROOF_ASSUME(!ghost.kept);
#ifdef NOT_AT_TOP
    PROOF_ASSUME(arena.arena_end != 0 || arena.arena_alloc == 0);
#endif
#ifdef CONTIGUOUS
    PROOF_ASSUME(arena.arena_alloc == arena.arena_used);
#endif
#ifdef JUDGE_LIES
    bool below = g >= arena.arena_start && g < arena.arena_used;
    PROOF_ASSUME(!ghost.heap || (below && !in_block()));
    ghost.told = below && nondet_bool(); /* holes may have been told of, too */
#endif
}

static void judge_success(const kiln_arena_t *before, kiln_addr_t addr)
{
    PROOF_ASSERT(kiln_is_aligned(addr, arena.config.page_bytes), "L1: a block is page aligned");
    if (!has_g(addr, proof_bytes)) return;
    PROOF_ASSERT(!ghost.heap, ONE_FLAG "L1: no byte is handed out twice");
    PROOF_ASSERT(ghost.os == READY, "L1: a block is Ready");
    PROOF_ASSERT(g >= arena.arena_start && g < arena.arena_used,
                 "a block is heap: L1: it lies in [arena_start, arena_used)");
    PROOF_ASSERT(readable(), "a block is heap: L2: its entries are mapped");
#ifdef JUDGE_L3
    PROOF_ASSERT(ghost.told == 1, "published once: L3: a block is, when it is handed out");
#endif
    ghost.heap = true;
    (void)before;
}

static bool is_as_it_was(const kiln_arena_t *before)
{
    return arena.arena_used == before->arena_used && arena.arena_alloc == before->arena_alloc &&
           arena.arena_end == before->arena_end && arena.arena_reserved == before->arena_reserved &&
           arena.heap_sys_bytes == before->heap_sys_bytes;
}

static void judge_failure(const kiln_arena_t *before, const ghost_t *ghost_before)
{
    PROOF_ASSERT(is_as_it_was(before), "L4: a failed request leaves the arena as it was");
    PROOF_ASSERT(ghost.os == ghost_before->os && ghost.told == ghost_before->told,
                 "L4: a failed request leaves OS and watcher as they were");
}

/* Readers without a lock go by mapped_bytes, also those that say why the program was stopped: so it
 * holds whatever became of the request. */
static void judge_tables(const kiln_arena_t *before)
{
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        PROOF_ASSERT(arena.tables[id].mapped_bytes - before->tables[id].mapped_bytes ==
                         table_commits[id],
                     "L2: readers are shown the table pages that the OS mapped, and no others");
}

/* The program ends here, by contract: where the OS does not commit, or the span table is too small
 * for the bound that was to be reached; but not for a block off its page. */
static void judge_stop(const kiln_arena_result_t *result)
{
    const kiln_arena_table_t *spans = &arena.tables[KILN_ARENA_SPANS];
    kiln_addr_t direct_addr = kiln_arena_up(&arena, direct_start, arena.config.page_bytes);
    kiln_addr_t bound = result->service == KILN_ARENA_FROM_BLOCK
                            ? arena.arena_alloc
                            : kiln_arena_add(&arena, direct_addr, proof_bytes);
    uint64_t need = kiln_arena_table_need(spans, kiln_arena_sub(&arena, bound, arena.arena_start));
    bool lied_to =
        ANY_ANSWER && !kiln_is_aligned(kiln_arena_sub(&arena, arena.arena_alloc, proof_bytes),
                                       arena.config.page_bytes);
    PROOF_ASSERT(ANY_ANSWER || kiln_is_aligned(arena.arena_alloc, arena.config.page_bytes),
                 "L1: nobody is stopped for a block that is not page aligned");
    PROOF_ASSERT(commit_refused || need > spans->bytes_max || lied_to,
                 "L4: nobody is stopped unless the OS refuses, or the span table is full");
}

/* What seed and go19 believe breaks each of these, which is to be refuted. */
static inline void judge_lies(const kiln_arena_t *before, const ghost_t *ghost_before,
                              const kiln_arena_result_t *result)
{
    bool mine = result->addr != 0 && has_g(result->addr, proof_bytes);
    PROOF_ASSERT(!mine || !ghost_before->heap, "an OS that lies: L1: no byte is handed out twice");
    PROOF_ASSERT(!mine || (g >= arena.arena_start && g < arena.arena_used),
                 "an OS that lies: L1: a block lies in [arena_start, arena_used)");
    PROOF_ASSERT(!mine || readable(), "an OS that lies: L2: a block's entries are mapped");
    PROOF_ASSERT(kiln_arena_broken_rule(&arena) == NULL,
                 "an OS that lies: L2: the rule of the arena holds");
    PROOF_ASSERT(ghost.told <= 1, "L3: whatever the OS answers, no byte is published twice");
    if (result->addr != 0) return;
    PROOF_ASSERT(is_as_it_was(before),
                 "an OS that lies: L4: a failed request leaves the arena as it was");
    PROOF_ASSERT(ghost.told == ghost_before->told,
                 "an OS that lies: L4: a failed request leaves the watcher as it was");
}

void harness(void)
{
    any_state();
    record_state();
    kiln_arena_t before = arena;
    ghost_t ghost_before = ghost;
    bool was_in_block = in_block();

    proof_bytes = nondet_uint64();
    PROOF_ASSUME(proof_bytes != 0 && proof_bytes <= arena.mask &&
                 kiln_is_aligned(proof_bytes, kiln_arena_unit(&arena)));
    PROOF_ASSUME(PATH == PATH_ANY ||
                 (proof_bytes > kiln_arena_left(&arena)) == (PATH != PATH_BUMP));
    kiln_arena_result_t result = kiln_arena_alloc_seed(&arena, proof_bytes);
    PROOF_ASSERT(arena.arena_used >= before.arena_used, "L2: arena_used never decreases");
    judge_tables(&before);
    PROOF_ASSERT(!beyond_table || result.throw_reason,
                 "L2: who asks for pages beyond their table is stopped");
    if (result.throw_reason) {
        judge_stop(&result);
        return;
    }
    bool in_step = g >= before.arena_used && g < arena.arena_used;
    PROOF_ASSERT(ghost.told == ghost_before.told + in_step,
                 "L3: the step of arena_used is published, once, and nothing else");
    PROOF_REACHED(has_g(result.addr, proof_bytes) && arena.heap_sys_bytes != before.heap_sys_bytes,
                  "a request is served");
    PROOF_REACHED(result.addr == 0, "a request is refused");
    reach_pages();
    if (ANY_ANSWER) {
        /* What an OS that lies cannot break; seed and go19 believe it all the rest. */
        PROOF_ASSERT(result.addr <= arena.mask && arena.arena_used <= arena.mask,
                     "L1: addresses are representable");
        PROOF_ASSERT(kiln_is_aligned(result.addr, arena.config.page_bytes),
                     "L1: a block is page aligned");
        PROOF_ASSERT(!ghost.bound_passed || ghost.shown_at_bound,
                     "L2: tables are mapped before arena_used passes them");
#ifdef JUDGE_LIES
        judge_lies(&before, &ghost_before, &result);
#endif
        return;
    }

#ifdef CONTIGUOUS
    PROOF_ASSUME(result.addr == 0 || result.addr == before.arena_used);
#endif
    if (result.addr == 0)
        judge_failure(&before, &ghost_before);
    else
        judge_success(&before, result.addr);
#ifdef JUDGE_L3
    PROOF_ASSERT(ghost.told == ghost_before.told || ghost.heap, "published once: L3: no hole is");
#endif
    /* What a switch strands, and what rounding costs on either side, is ours for ever. */
    uint64_t after = g - result.addr;
    bool rounding = result.addr - g < arena.config.page_bytes ||
                    (after >= proof_bytes &&
                     after - proof_bytes < arena.config.page_bytes + kiln_arena_unit(&arena));
    bool stranded = was_in_block && result.branch == KILN_ARENA_SWITCH &&
                    kiln_arena_left(&before) < before.config.strand_bytes;
    if (!ghost.heap && (!in_block() || !arena.arena_reserved) && ghost.os != NONE)
        ghost.rest |= stranded || (result.addr != 0 && rounding && ghost_before.os == NONE);
    PROOF_ASSERT(!ghost.bound_passed || ghost.shown_at_bound,
                 "L2: tables are mapped before arena_used passes them");
#ifdef REPLAYABLE /* here one law, that of judge_success, is to be refuted and no other */
    if (has_g(result.addr, proof_bytes) && result.addr != 0) return;
#endif
    ghost.told = ghost.heap;
    PROOF_ASSERT(kiln_arena_broken_rule(&arena) == NULL, "L2: the rule of the arena holds");
    block_rule(false);
    ghost_rule(false);
}
