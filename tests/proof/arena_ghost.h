/* arena_ghost.h - an arena in any state, the OS below it, and who watches it, as one byte sees
 * them.
 *
 * g is an address, any one; the ghost knows what became of that byte alone. A law that holds for
 * the ghost, whatever g is, holds for every byte: so there is no loop over memory, and no bound.
 *
 * The OS answers what os.h allows (ANY_ANSWER 0): an answer is aligned, lies in the address space,
 * and holds no byte that is ours. Or anything at all (ANY_ANSWER 1): then what the ghost says of
 * the OS is not judged, but of what `kiln` gives back that it may be. */
#ifndef KILN_TESTS_PROOF_ARENA_GHOST_H
#define KILN_TESTS_PROOF_ARENA_GHOST_H

#include "allocator/arena/arena_internal.h"
#include "tests/proof/arena_phys.h"
#include "tests/proof/proof.h"

#ifndef ANY_ANSWER
#define ANY_ANSWER 0
#endif

/* A proof may take one way through the growth routine, so that the solver has a part of it at
 * once. That these are all is asserted where a run leaves its path: without need nothing is asked
 * of the OS, and what follows the fallback, or is followed by it, is no commit of a block.
 * PATH_ANY: no choice. */
enum {
    PATH_ANY,
    PATH_KEPT,    /* from a remainder */
    PATH_BUMP,    /* from the current block as it is */
    PATH_EXTEND,  /* a block is asked for, and its first bytes follow what was handed out last */
    PATH_SWITCH,  /* a block is asked for, and they do not */
    PATH_SMALL,   /* a block is asked for, and then the fallback */
    PATH_REFUSED, /* neither is come to */
};
#ifndef PATH
#define PATH PATH_ANY
#endif

typedef enum { NONE, RESERVED, READY } ghost_os_t;

typedef struct ghost {
    ghost_os_t os;
    bool kept, kept_reserved; /* in a remainder of an earlier block, and that remainder's flag */
    bool heap;                /* handed out */
    bool rest;                /* ours for ever, neither heap nor to be handed out: rounding */
    unsigned told;            /* how often the watcher was told of it */
    bool mapped[KILN_ARENA_TABLES], shown[KILN_ARENA_TABLES]; /* the table page of its entry */
    bool shown_at_bound, bound_passed; /* its entries were shown when arena_used passed it */
} ghost_t;

static kiln_addr_t g;
static ghost_t ghost;
static kiln_arena_t arena;
static kiln_addr_t direct_start; /* what the last direct gave */
static uint64_t direct_bytes;
#ifdef ONE_KEPT
/* One remainder, any, as a whole: the clause of the rule that ties it to the current block. */
static kiln_arena_region_t any_kept;
#endif

/* Comparisons rather than differences wherever nothing wraps: solvers take them in far less time.
 * An exclusive end, which is 0 for what ends with the address space, is one sum less. */
static bool has_g(kiln_addr_t addr, uint64_t bytes)
{
    kiln_addr_t end = addr + bytes;

    return bytes != 0 && addr <= g && (g < end || end == 0);
}

/* between: the same for what has an end, not 0: a difference would cost two sums more. */
static bool between(kiln_addr_t start, kiln_addr_t end)
{
    return start <= g && g < end;
}

static bool in_block(void)
{
    if (arena.config.follow == KILN_FOLLOW_KILN) return between(arena.arena_alloc, arena.arena_end);
    /* seed and go19 write the top of the address space as 0. */
    return arena.arena_alloc <= g &&
           (g < arena.arena_end || (arena.arena_end == 0 && arena.arena_alloc != 0));
}

static bool in_table(void)
{
    bool in = false;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        if (arena.tables[id].used && arena.tables[id].base != 0)
            in |= has_g(arena.tables[id].base, arena.tables[id].bytes_max);
    return in;
}

/* held_back: is g really reserved, and to be handed out? */
static bool held_back(void)
{
    return (in_block() && arena.arena_reserved) || (ghost.kept && ghost.kept_reserved);
}

static bool all_mapped(const bool mapped[KILN_ARENA_TABLES])
{
    return (!arena.tables[0].used || mapped[0]) && (!arena.tables[1].used || mapped[1]);
}

/* readable: may a reader who holds a pointer to g read its entries? */
static bool readable(void)
{
    bool all = true;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        const kiln_arena_table_t *table = &arena.tables[id];
        if (!table->used) continue;
        all &= arena.config.follow == KILN_FOLLOW_KILN
                   ? ghost.shown[id]
                   : kiln_arena_table_has(table, g - arena.arena_start);
    }
    return all;
}

/* --- the OS ---------------------------------------------------------------------------------- */

static void judge_range(kiln_addr_t addr, uint64_t bytes)
{
    if (ANY_ANSWER && arena.config.follow != KILN_FOLLOW_KILN) return;
    PROOF_ASSERT(bytes != 0, "os: the size of a call is not zero");
    PROOF_ASSERT(kiln_is_aligned(addr, PHYS), "os: addresses are multiples of phys_bytes");
    PROOF_ASSERT(addr <= arena.mask && bytes - 1 <= arena.mask - addr,
                 "os: a range lies in the address space");
}

/* What tools/proof/trace.py reads from a counterexample: the answers of reserve and direct. */
enum { ANSWERS_MAX = 4 };
static kiln_addr_t proof_answer[ANSWERS_MAX];
static bool proof_answer_direct[ANSWERS_MAX], proof_answer_believed[ANSWERS_MAX];
static unsigned proof_answers;

static void record_answer(kiln_addr_t addr, bool direct, bool believed)
{
    if (proof_answers == ANSWERS_MAX) return;
    proof_answer[proof_answers] = addr;
    proof_answer_believed[proof_answers] = believed;
    proof_answer_direct[proof_answers++] = direct;
}

/* Tables that are only believed reserved: the OS does not grant their address space once more. */
#if defined ALL_BELIEVED || defined MIXED
#define TABLES_ALONE true
#else
#define TABLES_ALONE false
#endif

/* What one flag for all breaks (weakness W5) has a name of its own where that is to be refuted.
 * MAY_DIFFER: flags may, but blocks of two are not joined. */
#ifdef FLAGS_JOIN
#define ONE_FLAG "one flag for all: "
#else
#define ONE_FLAG ""
#endif
#if defined MIXED && !defined FLAGS_JOIN
#define MAY_DIFFER true
#else
#define MAY_DIFFER false
#endif

/* assume_free: the OS may give [addr, addr+whole). */
static void assume_free(kiln_addr_t addr, uint64_t whole)
{
    PROOF_ASSUME(whole != 0 && kiln_is_aligned(addr, PHYS));
    PROOF_ASSUME(addr <= arena.mask && whole - 1 <= arena.mask - addr);
    PROOF_ASSUME(!has_g(addr, whole) || ghost.os == NONE);
    /* The same for whole ranges that are ours: what the ghost's rule says of every g. */
    PROOF_ASSUME(!arena.arena_reserved || kiln_arena_left(&arena) == 0 ||
                 addr + (whole - 1) < arena.arena_alloc ||
                 (arena.arena_end != 0 && addr >= arena.arena_end));
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        const kiln_arena_table_t *table = &arena.tables[id];
        PROOF_ASSUME(
            !table->used || table->base == 0 || (!TABLES_ALONE && !arena.tables_reserved) ||
            addr + (whole - 1) < table->base || addr > table->base + (table->bytes_max - 1));
    }
#ifdef ONE_KEPT
    PROOF_ASSUME(!any_kept.reserved || addr + (whole - 1) < any_kept.start || addr >= any_kept.end);
#endif
#ifdef NOT_AT_TOP
    PROOF_ASSUME(addr + (whole - 1) != arena.mask);
#endif
}

/* grant: an address that the OS may give for `bytes`, or 0. */
static kiln_addr_t grant(uint64_t bytes)
{
    kiln_addr_t addr = nondet_uint64();
    uint64_t whole = kiln_round_up(bytes, PHYS);

#ifdef REPLAYABLE
    PROOF_ASSUME(addr <= arena.mask && kiln_is_aligned(addr, PHYS) && (bytes != 0 || addr == 0));
#endif
    if (ANY_ANSWER || addr == 0) return addr;
    PROOF_ASSUME(bytes != 0 && whole >= bytes);
    assume_free(addr, whole);
    return addr;
}

#ifdef NO_OFFER
static kiln_addr_t grant_block(uint64_t bytes)
{
    (void)bytes;
    PROOF_ASSERT(false, "L4: what asks for blocks is proved by itself");
    return 0;
}
#elif defined ONE_OFFER
/* A routine that asks for blocks of several sizes until it gets one gets at most one. So one offer,
 * any, chosen before all, stands for every run of answers: a request of another size is refused,
 * one of this size may be. */
static kiln_addr_t offer_addr;
static uint64_t offer_bytes;

static void any_offer(void)
{
    offer_addr = ANY_ANSWER ? nondet_uint64() : any_multiple(PHYS);
    offer_bytes = any_multiple(PHYS);
    if (!ANY_ANSWER) assume_free(offer_addr, offer_bytes);
}

static kiln_addr_t grant_block(uint64_t bytes)
{
    static bool given;

    PROOF_ASSERT(!given, "L4: who has a block asks for no other");
    PROOF_ASSERT(ANY_ANSWER || bytes != 0, "os: the size of a call is not zero");
    if (kiln_round_up(bytes, PHYS) != offer_bytes || nondet_bool()) return 0;
    PROOF_ASSERT(ANY_ANSWER || !has_g(offer_addr, offer_bytes) || ghost.os == NONE,
                 "harness: the offer is still free");
    given = offer_addr != 0;
    return offer_addr;
}
#else
#define grant_block grant
#endif

static bool direct_asked, heap_commit_asked, commit_refused, given_believed;
static uint64_t table_commits[KILN_ARENA_TABLES]; /* the bytes of each table that the OS mapped */

#ifdef JUDGE_HINT
static void judge_hint(kiln_addr_t hint, uint64_t bytes);
#else
#define judge_hint(hint, bytes) (void)(hint), (void)(bytes)
#endif

#ifdef SERVES_AT
/* At 64 bits start-up asks up to 132 times: from 128 hints for the big reservation, then for
 * blocks. An answer of no use is given back, and the next attempt finds the arena as the first did:
 * that is asserted at each. So a run in which several are answered is, from the last of them on,
 * one in which it alone is: SERVES_AT is its number, those before it are refused, and a run that
 * goes on behind it counts for nothing. Between hints nothing changes but the hint, which no answer
 * depends on: the first stands for them all. That they ask for the same is asserted by itself,
 * where the last of them would serve. */
#define HINTED 128
#define BLOCKS_ASKED 4
#if SERVES_AT == HINTED
#define SIZES_ALONE
#endif

static bool is_refused(uint64_t bytes)
{
    static unsigned attempt;
    static uint64_t first_bytes;

    if (attempt++ == 0) first_bytes = bytes;
#ifdef SIZES_ALONE
    PROOF_ASSERT(bytes == first_bytes, "each attempt at the big reservation is of the same size");
    if (attempt == HINTED) {
        PROOF_REACHED(true, "the last hint");
        reach_pages();
    }
    PROOF_ASSUME(attempt < HINTED);
#endif
    PROOF_ASSERT(ANY_ANSWER || ghost.os == NONE, "L4: an answer of no use is given back");
    PROOF_ASSERT(arena.arena_start == 0 && arena.arena_used == 0 && arena.arena_alloc == 0 &&
                     arena.arena_end == 0 && arena.arena_reserved && arena.tables_reserved,
                 "an answer of no use leaves the arena as it was");
    PROOF_ASSERT(attempt <= HINTED + BLOCKS_ASKED, "the attempts are those that rows stand for");
    PROOF_ASSUME(attempt <= SERVES_AT);
    return attempt < SERVES_AT;
}
#endif

static kiln_addr_t os_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    (void)ctx;
    judge_hint(hint, bytes);
#ifdef SERVES_AT
    if (is_refused(bytes)) return 0;
#endif
    PROOF_ASSERT(PATH != PATH_KEPT && PATH != PATH_BUMP, "L4: no block is asked for without need");
    PROOF_ASSUME(PATH != PATH_KEPT && PATH != PATH_BUMP);
    kiln_addr_t addr = grant_block(bytes);
    *out_reserved = nondet_bool();
#ifdef ALL_RESERVED
    *out_reserved = true;
#elif defined ALL_BELIEVED
    *out_reserved = false;
#endif
    PROOF_ASSUME(!MAY_DIFFER || addr != arena.arena_end || kiln_arena_left(&arena) == 0 ||
                 *out_reserved == arena.arena_reserved);
    given_believed = addr != 0 && !*out_reserved;
    record_answer(addr, false, !*out_reserved);
    if (addr != 0 && *out_reserved && has_g(addr, kiln_round_up(bytes, PHYS))) ghost.os = RESERVED;
    return addr;
}

static kiln_addr_t os_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    (void)ctx, (void)use;
    PROOF_ASSERT(PATH != PATH_KEPT && PATH != PATH_BUMP, "L4: no fallback without need");
    PROOF_ASSERT(PATH == PATH_ANY || !heap_commit_asked, "L4: no fallback after a commit");
    PROOF_ASSERT(WIDTH <= 32, "L4: who has 64 bits has no fallback");
    PROOF_ASSERT(bytes <= arena.mask, "os: the size of the fallback is one of the machine");
    direct_asked = true;
    PROOF_ASSUME(PATH == PATH_ANY || PATH == PATH_SMALL);
    direct_start = grant(bytes);
    direct_bytes = kiln_round_up(bytes, PHYS);
    record_answer(direct_start, true, false);
    if (direct_start != 0 && has_g(direct_start, direct_bytes)) ghost.os = READY;
    return direct_start;
}

/* Under seed and go19 a table grows by what lies next to the pages that it has. At 64 bits their
 * first block ends a page, the one for rounding, beyond the possible range: when that page is asked
 * for, the bitmap grows beyond its table, and then the span table stops the program. */
static bool beyond_table;

static void judge_table_commit(const kiln_arena_table_t *table, kiln_addr_t addr, uint64_t bytes)
{
    uint64_t has = table->mapped_bytes;
    if (arena.config.follow == KILN_FOLLOW_KILN) return; /* for the tables' own proof to judge */
    beyond_table |= bytes > table->bytes_max - has;
    PROOF_ASSERT(addr == table->base + (table->grows_down ? table->bytes_max - has - bytes : has),
                 "L2: table pages are committed next to those that are mapped");
}

static kiln_os_answer_t os_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                  kiln_os_use_t use)
{
    (void)ctx;
    unsigned answer = nondet_below(KILN_OS_ELSEWHERE + 1);
#ifdef REPLAYABLE
    PROOF_ASSUME(answer == KILN_OS_OK);
#endif
    commit_refused |= answer != KILN_OS_OK;
    if (use != KILN_OS_HEAP) {
        judge_table_commit(&arena.tables[use == KILN_OS_SPANS], addr, bytes);
        if (answer == KILN_OS_OK) table_commits[use == KILN_OS_SPANS] += bytes;
#if !ANY_ANSWER
        PROOF_ASSERT(reserved == arena.tables_reserved ||
                         (MAY_DIFFER && arena.arena_reserved != arena.tables_reserved),
                     ONE_FLAG "os: table pages are committed as they were reserved");
#endif
        return (kiln_os_answer_t)answer;
    }
    PROOF_ASSERT(PATH == PATH_ANY || !direct_asked, "L4: no commit after the fallback");
    heap_commit_asked = true;
    PROOF_ASSUME(PATH != PATH_SMALL && PATH != PATH_REFUSED);
    PROOF_ASSUME(PATH != PATH_EXTEND || addr == arena.arena_alloc);
    PROOF_ASSUME(PATH != PATH_SWITCH || addr != arena.arena_alloc);
    judge_range(addr, bytes);
    if (!has_g(addr, bytes)) return (kiln_os_answer_t)answer;
    if (!ANY_ANSWER) {
        PROOF_ASSERT(!reserved || ghost.os == RESERVED,
                     ONE_FLAG "os: commit takes Reserved memory");
        /* What is only believed free may be taken by now; then the OS says so. */
        PROOF_ASSUME(reserved || ghost.os == NONE || answer != KILN_OS_OK);
    }
    if (answer == KILN_OS_OK) ghost.os = READY;
    return (kiln_os_answer_t)answer;
}

static void os_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    judge_range(addr, bytes);
    if (!has_g(addr, bytes)) return;
    PROOF_ASSERT(ANY_ANSWER || (ghost.os == READY && !ghost.heap),
                 "L4: decommit takes Ready memory that is no heap");
    ghost.os = RESERVED;
}

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
#ifdef NO_RELEASE
    PROOF_ASSUME(!given_believed || direct_asked);
#endif
    judge_range(addr, bytes);
    if (!has_g(addr, kiln_round_up(bytes, PHYS))) return;
    PROOF_ASSERT(ANY_ANSWER || (ghost.os != NONE && !ghost.heap),
                 "L4: release takes what the OS gave and is no heap");
    PROOF_ASSERT(!ANY_ANSWER || arena.config.follow != KILN_FOLLOW_KILN ||
                     !(held_back() || (in_table() && arena.tables_reserved)),
                 "L4: whatever the OS answers, what is held is not given back");
    ghost.os = NONE;
}

static kiln_os_t os = {
    .addr_bits = WIDTH,
    .reserve = os_reserve,
    .commit = os_commit,
    .decommit = os_decommit,
    .release = os_release,
    .direct = os_direct,
};

/* --- who watches ----------------------------------------------------------------------------- */

static void watcher_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    PROOF_ASSERT(bytes != 0, "L3: the watcher is not told of nothing");
    if (!has_g(addr, bytes)) return;
    ghost.told += ghost.told < 2;
    if (arena.config.follow != KILN_FOLLOW_KILN) return;
    PROOF_ASSERT(ANY_ANSWER || ghost.os == READY, "L3: bytes are Ready before the watcher is told");
    PROOF_ASSERT(all_mapped(ghost.mapped), "L3: tables are mapped before the watcher is told");
}

static void log_bound(void *ctx, kiln_addr_t old_used, kiln_addr_t new_used)
{
    (void)ctx;
    PROOF_ASSERT(new_used >= old_used, "L2: arena_used never decreases");
    if (g < old_used || g >= new_used) return;
    ghost.bound_passed = true;
    ghost.shown_at_bound = readable();
}

static void log_outside(void *ctx, kiln_addr_t addr)
{
    (void)ctx;
    PROOF_ASSERT(addr == direct_start, "the log names what the OS gave");
}

static kiln_watcher_t watcher = {.grow = watcher_grow};
static const kiln_arena_log_t log_functions = {.bound = log_bound, .outside = log_outside};

/* --- states ---------------------------------------------------------------------------------- */

/* set_up makes an arena without address space, of the defaults. */
static void set_up(kiln_arena_t *made, kiln_follow_t follow, uint64_t phys_bytes)
{
    static uint64_t present[1]; /* the stubs of the tables do not touch it */
    kiln_arena_config_t config = kiln_arena_config_default(WIDTH, phys_bytes);
    config.follow = follow;
    PROOF_ASSUME(kiln_arena_config_broken_rule(&config) == NULL);
    const char *why = kiln_arena_init(made, &config, &os, &watcher, &log_functions, present);
    PROOF_ASSERT(why == NULL, "a configuration without a broken rule makes an arena");
}

/* Each size of hardware page is set up by itself, and then any is taken: so what does not depend on
 * it is a constant, and a formula has a fourth of the size. */
static void any_config(kiln_follow_t follow)
{
#ifdef ANY_PHYS
    static kiln_arena_t of_4k, of_16k, of_64k;
    set_up(&of_4k, follow, KILN_KIB(4));
    set_up(&of_16k, follow, KILN_KIB(16));
    set_up(&of_64k, follow, KILN_KIB(64));
    any_page();
    arena = PHYS == KILN_KIB(4) ? of_4k : PHYS == KILN_KIB(16) ? of_16k : of_64k;
#else
    set_up(&arena, follow, PHYS);
#endif
    os.phys_bytes = PHYS;
    g = nondet_uint64();
    PROOF_ASSUME(g <= arena.mask);
}

/* any_limit: any possible range up to the default, granule and set of tables. Each table has any
 * size that one of the defaults may have: what size it really is, arena_geometry_harness.c says. */
static inline void any_limit(void)
{
    uint64_t widest = arena.config.addr_max;
    arena.config.addr_max = nondet_uint64();
    PROOF_ASSUME(arena.config.addr_max <= widest);
    arena.config.block_bytes = KILN_MIB(1) << nondet_below(9);
    arena.config.tables = nondet_below(1u << KILN_ARENA_TABLES);
    PROOF_ASSUME(kiln_arena_config_broken_rule(&arena.config) == NULL);
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        kiln_arena_table_t *table = &arena.tables[id];
        uint64_t bytes_max = any_multiple(kiln_arena_unit(&arena));
        table->used = arena.config.tables >> id & 1;
        PROOF_ASSUME(bytes_max <= table->bytes_max && (bytes_max != 0) == table->used);
        table->bytes_max = bytes_max;
    }
}

static inline void any_addresses(void)
{
    uint64_t end_unit = PHYS < arena.config.page_bytes ? PHYS : arena.config.page_bytes;

    arena.arena_start = any_multiple(arena.config.page_bytes);
    arena.arena_used = nondet_uint64();
    arena.arena_alloc = any_multiple(kiln_arena_unit(&arena));
    arena.arena_end = any_multiple(end_unit);
    arena.arena_reserved = nondet_bool();
    arena.tables_reserved = nondet_bool();
    arena.heap_sys_bytes = nondet_uint64();
    PROOF_ASSUME(arena.arena_start <= arena.mask && arena.arena_alloc <= arena.mask);
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        arena.tables[id].base = any_multiple(PHYS);
        PROOF_ASSUME(arena.tables[id].base <= arena.mask);
        PROOF_ASSUME(!arena.tables[id].used || arena.tables[id].base == 0 ||
                     arena.tables[id].bytes_max - 1 <= arena.mask - arena.tables[id].base);
    }
}

/* in_lost_page: is g behind the current block, in the hardware page that it ends in? Start-up of
 * `seed` and `go19` asks for pages, and the OS gives whole hardware pages (arena_start_harness.c).
 */
static bool in_lost_page(void)
{
    kiln_addr_t end = arena.arena_end;
    return arena.arena_reserved && !kiln_is_aligned(end, PHYS) && g >= end &&
           kiln_round_down(g, PHYS) == kiln_round_down(end, PHYS);
}

/* ghost_rule ties the ghost to the arena. It holds between steps: `assume` says so of the state
 * before one, and asserts it of the state after. */
#define LAW(holds, text)                                                                           \
    do {                                                                                           \
        if (assume)                                                                                \
            PROOF_ASSUME(holds);                                                                   \
        else                                                                                       \
            PROOF_ASSERT(holds, text);                                                             \
    } while (0)

static void ghost_rule(bool assume)
{
    LAW(!(in_block() && ghost.kept), "L1: a kept remainder is no part of the current block");
    LAW(ghost.told == ghost.heap, "L3: every byte of heap is published exactly once, no other is");
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        LAW(ghost.mapped[id] == ghost.shown[id],
            "L4: table pages are mapped and shown, or neither");
    LAW(!ghost.heap || readable(), "L2: tables cover every heap byte");
    LAW(!ghost.heap || (g >= arena.arena_start && g < arena.arena_used),
        "L1: heap lies in [arena_start, arena_used)");
    LAW(!ghost.heap || g - arena.arena_start <= arena.config.addr_max,
        "L1: heap lies in the possible range");
    LAW(!((in_block() || ghost.kept) && in_table()), "L1: no table is to be handed out");
    if (ANY_ANSWER) return;
    /* What is only believed free belongs to nobody: the OS may give it to us by another way, and
     * then refuses to commit it. */
    bool held_table = in_table() && arena.tables_reserved;
    LAW(ghost.heap + ghost.rest + held_back() + held_table <= 1, "L1: no byte has two owners");
    LAW(!ghost.heap || ghost.os == READY, "L1: heap is Ready");
    LAW(!(ghost.rest || held_table) || ghost.os != NONE, "L4: what is ours is not given back");
    LAW(!in_lost_page() || ghost.rest, "L1: the rest of the last hardware page is nobody's");
    /* What ends there has no end that is an address: `kiln` gives that page back. */
    LAW(arena.config.follow != KILN_FOLLOW_KILN || g <= arena.mask - PHYS || ghost.os == NONE,
        "L4: nothing of the last hardware page of the address space is held");
    if (ghost.heap || ghost.rest || in_table()) return;
    LAW(ghost.os == (held_back() ? RESERVED : NONE),
        "L4: what is to be handed out is Reserved, and nothing that the OS granted is lost");
}

/* block_rule: what kiln_arena_broken_rule does not say of `seed` and `go19`, because a trace may
 * begin anywhere. It holds after start-up (arena_start_harness.c), and each request keeps it. At 64
 * bits the page for rounding may lie beyond the possible range, in the first block alone. */
static inline void block_rule(bool assume)
{
    uint64_t end_unit = PHYS < arena.config.page_bytes ? PHYS : arena.config.page_bytes;
    bool empty = kiln_arena_left(&arena) == 0;

    LAW(kiln_is_aligned(arena.arena_alloc, kiln_arena_unit(&arena)), "the block is page aligned");
    LAW(kiln_is_aligned(arena.arena_used, kiln_arena_unit(&arena)), "the bound is page aligned");
    LAW(kiln_is_aligned(arena.arena_end, end_unit), "the block ends with a page");
    LAW(arena.arena_alloc != 0 || empty, "the block does not hold address 0");
    LAW(arena.arena_alloc >= arena.arena_start || (arena.arena_alloc == 0 && arena.arena_end == 0),
        "the block lies above arena_start");
    LAW(empty || ((arena.arena_end - arena.arena_start - 1) & arena.mask) <=
                     (WIDTH > 32 ? arena.config.addr_max + arena.config.page_bytes
                                 : arena.config.addr_max),
        "the block lies in the possible range");
#ifdef ALL_RESERVED
    LAW(arena.arena_reserved, "one reserved flag for all");
#elif defined ALL_BELIEVED
    LAW(!arena.arena_reserved, "one reserved flag for all");
#endif
}

static inline void any_ghost(void)
{
    ghost.os = (ghost_os_t)nondet_below(READY + 1);
    ghost.kept = nondet_bool();
    ghost.kept_reserved = nondet_bool();
    ghost.heap = nondet_bool();
    ghost.rest = nondet_bool();
    ghost.told = ghost.heap;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        ghost.mapped[id] = ghost.shown[id] = nondet_bool();
    ghost_rule(true);
}

#endif
