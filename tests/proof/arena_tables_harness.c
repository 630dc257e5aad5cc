/* The pages of a table under `kiln`: what arena_step_harness.c assumes of arena_tables.c in its
 * stubs, for a request of any size, on any number of pages, in a table of any state. WIDTH, PHYS,
 * HEAP_BYTES and ENTRY_BYTES are the geometry.
 *
 * Two witnesses: a byte of heap at offset g, whose entry lies on some page, and page p, any, which
 * stands for all pages: what the OS has there, and what readers are shown.
 *
 * There is no bound on the rounds of the loops. The two functions of arena_pages.c are stubs that
 * do any number of rounds of theirs at once, as arena_pages_harness.c proves of each round. The
 * loops over runs, in add and in drop, ask for the first page that is not mapped at the head of
 * each round: there the stub takes the first head for any later one, with what the rounds between
 * did to p (`settled`); then one round is made, and at the next head it must have done just that.
 * So by induction every round does. */
#include "allocator/arena/arena_tables.h"
#include "tests/proof/proof.h"

static kiln_arena_table_t table;
static _Atomic uint64_t no_words[1]; /* of `present`: nobody but arena_pages.c touches them */
static uint64_t p;
static bool p_mapped, p_shown; /* what the OS has there, and what readers are shown */
static bool reserved_flag;

static const uint64_t heap_max = UINT64_C(1) << (WIDTH > 32 ? 39 : 32);
#define PAGES (heap_max / HEAP_BYTES * ENTRY_BYTES / PHYS) /* of the largest table */
static uint64_t pages;                                     /* of this one */
#define BASE (UINT64_C(1) << 40)                           /* the code only adds it */

/* any_below gives any number below `end`, a power of two: the solver is spared the high bits. */
static uint64_t any_below(uint64_t end)
{
    return nondet_uint64() & (end - 1);
}

/* --- the loops over runs ---------------------------------------------------------------------- */

static bool dropping;         /* pages are taken back; else they are mapped */
static bool p_then;           /* p_mapped before the loop */
static unsigned heads;        /* how often a round began */
static uint64_t loop_start;   /* the first page */
static bool shows_were_asked; /* arena_pages_show was called */

static void begin(bool drop)
{
    dropping = drop;
    p_then = p_mapped;
    heads = 0;
}

/* settled: what the rounds up to page `end` make of p_mapped. */
static bool settled(uint64_t end)
{
    return loop_start <= p && p < end && !p_shown ? !dropping : p_then;
}

static void at_head(uint64_t *first, uint64_t end)
{
    if (heads++ == 0) {
        loop_start = *first;
        uint64_t later = any_below(PAGES);
        PROOF_ASSUME(*first <= later && later < end);
        *first = later;
        p_mapped = settled(later);
        return;
    }
    PROOF_ASSERT(p_mapped == settled(*first),
                 "L2: a round maps or drops its run, and no other page");
    PROOF_ASSUME(false);
}

/* --- arena_pages.c ---------------------------------------------------------------------------- */

/* assume_passed: a search for pages that are `mapped` passed [start, at), and found page `at`. */
static void assume_passed(uint64_t start, uint64_t at, bool found, bool mapped, uint64_t page,
                          bool is_mapped)
{
    PROOF_ASSUME(page < start || page >= at || is_mapped != mapped);
    PROOF_ASSUME(!found || page != at || is_mapped == mapped);
}

static uint64_t last_found = UINT64_MAX; /* by a search, which the next one must agree with */
static bool last_mapped;

bool kiln_arena_pages_seek(const kiln_arena_table_t *t, uint64_t *first, uint64_t end, bool mapped)
{
    PROOF_ASSERT(t == &table && *first < end && end <= pages, "a search begins in the table");
    if (!mapped) at_head(first, end);
    uint64_t start = *first;
    bool found = nondet_bool();
    *first = found ? any_below(PAGES) : end;
    PROOF_ASSUME(start <= *first && *first <= end && (!found || *first < end));
    assume_passed(start, *first, found, mapped, p, p_shown);
    assume_passed(start, *first, found, mapped, last_found, last_mapped);
    last_found = found ? *first : UINT64_MAX;
    last_mapped = mapped;
    return found;
}

uint64_t kiln_arena_pages_show(kiln_arena_table_t *t, uint64_t first, uint64_t end)
{
    uint64_t next = shows_were_asked ? end : any_below(2 * PAGES);
    PROOF_ASSERT(t == &table && first < end && end <= pages, "pages of the table are shown");
    PROOF_ASSUME(first < next);
    if (first <= p && p < end && p < next) p_shown = true;
    shows_were_asked = true;
    return next;
}

/* --- the OS ----------------------------------------------------------------------------------- */

static bool has_p(kiln_addr_t addr, uint64_t bytes)
{
    kiln_addr_t page = BASE + p * PHYS;
    PROOF_ASSERT(bytes != 0 && kiln_is_aligned(addr, PHYS) && kiln_is_aligned(bytes, PHYS),
                 "os: whole pages of the table");
    PROOF_ASSERT(addr >= BASE && addr - BASE < pages * PHYS &&
                     bytes <= pages * PHYS - (addr - BASE),
                 "os: pages of the table and no others");
    return addr <= page && page - addr < bytes;
}

static kiln_os_answer_t os_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                  kiln_os_use_t use)
{
    (void)ctx;
    PROOF_ASSERT(use == table.use, "os: the use is the table's");
    PROOF_ASSERT(reserved == reserved_flag, "os: pages are committed as they were reserved");
    PROOF_ASSERT(!dropping, "L4: nothing is mapped after a refusal");
    if (nondet_bool()) {
        begin(true);
        return nondet_bool() ? KILN_OS_FAIL : KILN_OS_ELSEWHERE;
    }
    if (!has_p(addr, bytes)) return KILN_OS_OK;
    PROOF_ASSERT(!p_mapped, "os: commit does not take Ready memory");
    p_mapped = true;
    return KILN_OS_OK;
}

static void os_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    PROOF_ASSERT(reserved_flag, "os: only reserved pages stay");
    if (!has_p(addr, bytes)) return;
    PROOF_ASSERT(p_mapped, "os: decommit takes Ready memory");
    p_mapped = false;
}

static void os_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    PROOF_ASSERT(!reserved_flag, "os: reserved pages stay ours");
    if (!has_p(addr, bytes)) return;
    PROOF_ASSERT(p_mapped, "os: release takes what is ours");
    p_mapped = false;
}

static const kiln_os_t os = {.commit = os_commit, .decommit = os_decommit, .release = os_release};

/* --- a request -------------------------------------------------------------------------------- */

static void any_table(void)
{
    pages = 1 + any_below(PAGES);
    table = (kiln_arena_table_t){
        .used = true,
        .use = nondet_bool() ? KILN_OS_BITS : KILN_OS_SPANS,
        .base = BASE,
        .heap_bytes = HEAP_BYTES,
        .entry_bytes = ENTRY_BYTES,
        .round_bytes = 1,
        .phys_bytes = PHYS,
        .bytes_max = pages * PHYS,
        .mapped_bytes = nondet_uint64(),
        .present = no_words,
    };
    p = any_below(PAGES);
    PROOF_ASSUME(p < pages);
    p_mapped = p_shown = nondet_bool();
    reserved_flag = nondet_bool();
}

static void judge_drop(uint64_t offset, uint64_t bytes, bool was_shown)
{
    begin(true);
    kiln_arena_table_drop(&table, &os, offset, bytes, reserved_flag);
    PROOF_ASSERT(p_mapped == was_shown, "L4: a drop leaves the table as it was before the add");
    PROOF_REACHED(p_then != p_mapped, "a page is taken back");
}

void harness(void)
{
    any_table();
    uint64_t offset = any_below(heap_max);
    uint64_t last = any_below(heap_max);
    uint64_t g = any_below(heap_max);
    PROOF_ASSUME(offset <= g && g <= last);
    PROOF_ASSUME(last / HEAP_BYTES * ENTRY_BYTES + (ENTRY_BYTES - 1) < pages * PHYS);
    uint64_t bytes = last - offset + 1;
    bool was_shown = p_shown;
    bool is_g_page = p == g / HEAP_BYTES * ENTRY_BYTES / PHYS;
    kiln_arena_table_t before = table;

    begin(false);
    kiln_os_answer_t answer = kiln_arena_table_add(&table, &os, offset, bytes, reserved_flag);
    PROOF_ASSERT(!shows_were_asked && table.mapped_bytes == before.mapped_bytes && no_words[0] == 0,
                 "L2: an add shows nothing to readers");
    if (answer != KILN_OS_OK) {
        PROOF_ASSERT(p_mapped == was_shown, "L4: a failed add leaves the table as it was");
        PROOF_REACHED(p_then != p_mapped, "a run before the refusal is taken back");
        return;
    }
    PROOF_ASSERT(p_mapped || !was_shown, "an add takes nothing away");
    PROOF_ASSERT(!is_g_page || p_mapped, "L2: the pages of all entries are mapped");
    if (nondet_bool()) {
        judge_drop(offset, bytes, was_shown);
    } else {
        kiln_arena_table_show(&table, offset, bytes);
        PROOF_ASSERT(p_shown == p_mapped, "L2: what is mapped is shown, and nothing else");
        PROOF_ASSERT(!is_g_page || p_shown, "L2: readers find every entry");
        PROOF_REACHED(p_shown && !was_shown, "a page is shown");
    }
    PROOF_ASSERT(table.mapped_bytes == before.mapped_bytes && no_words[0] == 0,
                 "mapped_bytes and the words are arena_pages.c's");
}
