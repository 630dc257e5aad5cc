/* One request of `kiln`, from any state: the rule of the arena and the laws L1 to L4 are kept.
 *
 * arena_block.c, arena_kept.c and arena_tables.c are stubs here, which assert what these functions
 * may be given and answer anything that they may answer; their own harnesses prove that they do no
 * more than that. */
#define NO_OFFER
#include "tests/proof/arena_block.h"

/* --- arena_kept.c: of all remainders, the ghost's, and the one that was found ----------------- */

static kiln_arena_region_t found, found_then; /* as it is, and as it is to be */
static unsigned kept_changes;
static bool block_asked;
static kiln_arena_t before; /* the request */
static ghost_t ghost_before;

kiln_arena_region_t *kiln_arena_kept_find(kiln_arena_t *a, uint64_t bytes)
{
    if (PATH == PATH_ANY ? nondet_bool() : PATH != PATH_KEPT) return NULL;
    found = (kiln_arena_region_t){nondet_uint64(), nondet_uint64(), nondet_bool()};
    PROOF_ASSUME(found.start != 0 && found.start < found.end && found.end <= a->mask);
    PROOF_ASSUME(found.end - found.start >= bytes && found.end - found.start >= kiln_arena_unit(a));
    PROOF_ASSUME(kiln_is_aligned(found.start, kiln_arena_unit(a)) &&
                 kiln_is_aligned(found.end, PHYS));
    PROOF_ASSUME(found.start >= a->arena_start &&
                 found.end - 1 - a->arena_start <= a->config.addr_max);
    PROOF_ASSUME(found.end <= a->arena_alloc || a->arena_end <= found.start);
    if (between(found.start, found.end))
        PROOF_ASSUME(ghost.kept && ghost.kept_reserved == found.reserved);
    found_then = found;
    return &found;
}

/* is_untouched: nobody but the functions of arena_kept.c changes a remainder. */
static bool is_untouched(void)
{
    return found.start == found_then.start && found.end == found_then.end &&
           found.reserved == found_then.reserved;
}

static void give_back(bool reserved)
{
    ghost.kept = false;
    if (!reserved) return;
    PROOF_ASSERT(ANY_ANSWER || ghost.os == RESERVED, "L4: a remainder that goes back is Reserved");
    ghost.os = NONE;
}

void kiln_arena_kept_take(kiln_arena_t *a, kiln_arena_region_t *region, uint64_t bytes)
{
    PROOF_ASSERT(region == &found, "a remainder that was found is taken from");
    PROOF_ASSERT(is_untouched(), "L4: a remainder is cut by what takes from it alone");
    PROOF_ASSERT(bytes != 0 && bytes <= region->end - region->start &&
                     kiln_is_aligned(bytes, kiln_arena_unit(a)),
                 "what is taken lies in the remainder");
    kept_changes++;
    if (has_g(region->start, bytes)) ghost.kept = false;
    region->start += bytes;
    found_then = *region;
    uint64_t rest_bytes = region->end - region->start;
    if (rest_bytes < kiln_arena_unit(a) && between(region->start, region->end))
        give_back(region->reserved);
}

void kiln_arena_kept_add(kiln_arena_t *a, kiln_arena_region_t region)
{
    bool mine = between(region.start, region.end);
    kept_changes++;
    PROOF_ASSERT(region.start <= region.end && region.end <= a->mask &&
                     kiln_is_aligned(region.start, kiln_arena_unit(a)) &&
                     kiln_is_aligned(region.end, PHYS),
                 "a new remainder is aligned and representable");
    PROOF_ASSERT(region.start == region.end ||
                     (region.start != 0 && region.start >= a->arena_start &&
                      region.end - 1 - a->arena_start <= a->config.addr_max),
                 "a new remainder lies in the possible range");
    PROOF_ASSERT(region.start == region.end || region.end <= a->arena_alloc ||
                     a->arena_end <= region.start,
                 "a new remainder is no part of the current block");
    PROOF_ASSERT(!mine || !ghost.kept, "a new remainder overlaps no other");
    if (mine) {
        ghost.kept = true;
        ghost.kept_reserved = region.reserved;
    }
    if (ghost.kept && nondet_bool())
        give_back(ghost.kept_reserved); /* too small, or one too many */
}

/* --- arena_block.c: any block that it may give ------------------------------------------------ */

kiln_arena_block_t kiln_arena_block_ask(kiln_arena_t *a, uint64_t bytes)
{
    kiln_arena_block_t block = {.branch = KILN_ARENA_RESERVE_FAILED};

    PROOF_ASSERT(a == &arena && may_ask(bytes), "L4: a block is asked for what needs one");
    PROOF_ASSERT(is_unchanged(&before, &ghost_before) && ghost.os == ghost_before.os,
                 "L4: a block is asked for before anything is changed");
    PROOF_ASSERT(!block_asked, "L4: who has a block asks for no other");
    PROOF_ASSERT(PATH != PATH_KEPT && PATH != PATH_BUMP, "L4: no block is asked for without need");
    PROOF_ASSUME(PATH != PATH_KEPT && PATH != PATH_BUMP);
    block_asked = true;
    if (nondet_bool()) return block; /* refused, and all is as it was */
    block.branch = nondet_bool() ? KILN_ARENA_EXTEND : KILN_ARENA_SWITCH;
    block.region = (kiln_arena_region_t){any_multiple(PHYS), any_multiple(PHYS), nondet_bool()};
    granted_rule(true, &block, bytes);
    if (block.region.reserved && between(block.region.start, block.region.end)) ghost.os = RESERVED;
    return block;
}

/* --- arena_tables.c: the page of g's entry ---------------------------------------------------- */

static bool pending[KILN_ARENA_TABLES];
static uint64_t pending_offset, pending_bytes;

static bool covers_g(uint64_t offset, uint64_t bytes)
{
    return has_g(arena.arena_start + offset, bytes);
}

kiln_os_answer_t kiln_arena_table_add(kiln_arena_table_t *table, const kiln_os_t *below,
                                      uint64_t offset, uint64_t bytes, bool reserved)
{
    unsigned id = table == &arena.tables[1];
    PROOF_ASSERT(table->used && below == &os && reserved == arena.tables_reserved,
                 "the tables are asked for as they were reserved");
    PROOF_ASSERT(bytes != 0 && offset <= arena.config.addr_max &&
                     bytes - 1 <= arena.config.addr_max - offset,
                 "L2: entries are asked for in the possible range");
    PROOF_ASSERT(!pending[id], "a table is asked once");
    if (nondet_bool()) return nondet_bool() ? KILN_OS_FAIL : KILN_OS_ELSEWHERE;
    pending[id] = true;
    pending_offset = offset;
    pending_bytes = bytes;
    ghost.mapped[id] |= covers_g(offset, bytes) || nondet_bool();
    return KILN_OS_OK;
}

void kiln_arena_table_show(kiln_arena_table_t *table, uint64_t offset, uint64_t bytes)
{
    unsigned id = table == &arena.tables[1];
    PROOF_ASSERT(pending[id] && offset == pending_offset && bytes == pending_bytes,
                 "L2: tables are mapped before they are shown");
    PROOF_ASSERT(ANY_ANSWER || !covers_g(offset, bytes) || ghost.told == 1,
                 "L3: the watcher is told before a reader can see");
    ghost.shown[id] = ghost.mapped[id];
    pending[id] = false;
}

void kiln_arena_table_drop(kiln_arena_table_t *table, const kiln_os_t *below, uint64_t offset,
                           uint64_t bytes, bool reserved)
{
    unsigned id = table == &arena.tables[1];
    PROOF_ASSERT(pending[id] && offset == pending_offset && bytes == pending_bytes &&
                     below == &os && reserved == arena.tables_reserved,
                 "L4: what is taken back was asked for");
    ghost.mapped[id] = ghost.shown[id];
    pending[id] = false;
}

/* --- the step -------------------------------------------------------------------------------- */

static void judge_success(const kiln_arena_result_t *result, uint64_t bytes)
{
    kiln_addr_t addr = result->addr;

    PROOF_ASSERT(kiln_is_aligned(addr, arena.config.page_bytes), "L1: a block is page aligned");
    PROOF_ASSERT(addr >= arena.arena_start && addr <= arena.mask &&
                     bytes - 1 <= arena.mask - addr && addr + (bytes - 1) < arena.arena_used,
                 "L1: a block lies in [arena_start, arena_used)");
    PROOF_ASSERT(result->service == KILN_ARENA_FROM_BLOCK || result->service == KILN_ARENA_SMALL,
                 "the service says what happened");
    if (has_g(addr, bytes)) {
        PROOF_ASSERT(ANY_ANSWER || !ghost.heap, "L1: no byte is handed out twice");
        PROOF_ASSERT(result->service != KILN_ARENA_SMALL || !held_back(),
                     "L1: the fallback hands out nothing that is still to be handed out");
        PROOF_ASSERT(!ghost.bound_passed || ghost.shown_at_bound,
                     "L2: tables are shown before arena_used passes them");
        ghost.heap = true;
        PROOF_ASSERT(!ANY_ANSWER || ghost.told > ghost_before.told,
                     "L3: a block is told of when it is handed out, whatever the OS answers");
        if (ANY_ANSWER) ghost.told = 1;
    }
}

static void judge_failure(void)
{
    PROOF_ASSERT(is_unchanged(&before, &ghost_before) && kept_changes == 0,
                 "L4: a failed request leaves the arena as it was, tables and watcher, too");
    PROOF_ASSERT(ANY_ANSWER || ghost.os == ghost_before.os,
                 "L4: a failed request leaves the OS as it was");
}

/* may_be_nil: a request of `bytes` is refused without the fallback where there is none, and where
 * the request makes no sense, with the rounding that it needs, at this width. */
static bool may_be_nil(uint64_t bytes)
{
    return WIDTH > 32 || bytes == 0 || bytes > arena.mask - KILN_MIB(2) ||
           !kiln_is_aligned(bytes, kiln_arena_unit(&arena));
}

void harness(void)
{
    any_kiln_arena();
    before = arena;
    ghost_before = ghost;

    uint64_t bytes = nondet_uint64();
    PROOF_ASSUME(PATH == PATH_ANY || PATH == PATH_KEPT ||
                 (bytes > kiln_arena_left(&arena)) == (PATH != PATH_BUMP));
    kiln_arena_result_t result = kiln_arena_alloc_kiln(&arena, bytes);
    PROOF_ASSUME((PATH != PATH_EXTEND && PATH != PATH_SWITCH) || heap_commit_asked);
    PROOF_ASSUME(PATH != PATH_SMALL || direct_asked);

    PROOF_ASSERT(result.throw_reason == NULL, "L4: kiln stops nobody");
    PROOF_ASSERT(arena.arena_used >= before.arena_used, "L2: arena_used never decreases");
    PROOF_ASSERT(arena.arena_start == before.arena_start, "arena_start is constant");
    PROOF_ASSERT(is_untouched(), "L4: what is left of a remainder stays kept");
    if (result.addr != 0)
        judge_success(&result, bytes);
    else
        judge_failure();
    PROOF_ASSERT(result.service != KILN_ARENA_NIL || may_be_nil(bytes),
                 "L4: at 32 bits a refused request says what became of the fallback");
    PROOF_REACHED(result.addr != 0 || PATH == PATH_REFUSED, "a request is served, or refused");
    reach_pages();
    PROOF_ASSERT(kiln_arena_broken_rule(&arena) == NULL, "L2: the rule of the arena holds");
    ghost_rule(false);
}
