/* The pages of a table under `kiln`: what arena_step_harness.c assumes of arena_tables.c in its
 * stubs. The one proof of the arena with a bound: a table of WORDS words of `present`, in any
 * state, and entries that lie on at most PAGES_MAX pages, anywhere in it. The loops of
 * arena_tables.c go by runs and by words; four pages have every way to begin, to end and to
 * follow one another.
 *
 * The table lies at one address: the code only adds it.
 *
 * Two witnesses: a byte of heap at offset g, whose entry lies on some page, and page p, any. */
#include "allocator/arena/arena_tables.h"
#include "tests/proof/proof.h"

#define BASE (UINT64_C(1) << 40)

#ifndef PAGES_MAX
#define PAGES_MAX 4
#endif
enum { WORDS = 2 };

static kiln_arena_table_t table;
static _Atomic uint64_t present[WORDS];
static uint64_t p;
static bool p_mapped;                   /* what the OS has there */
static unsigned commits_before_failure; /* any number */

static bool has_p(kiln_addr_t addr, uint64_t bytes)
{
    kiln_addr_t page = BASE + p * PHYS;
    PROOF_ASSERT(bytes != 0 && kiln_is_aligned(addr - BASE, PHYS) && kiln_is_aligned(bytes, PHYS),
                 "os: whole pages of the table");
    PROOF_ASSERT(addr >= BASE && addr - BASE < WORDS * 64 * PHYS &&
                     bytes <= WORDS * 64 * PHYS - (addr - BASE),
                 "os: pages of the table and no others");
    return addr <= page && page - addr < bytes;
}

static kiln_os_answer_t os_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                  kiln_os_use_t use)
{
    (void)ctx, (void)reserved;
    PROOF_ASSERT(use == table.use, "os: the use is the table's");
    if (commits_before_failure-- == 0) return nondet_bool() ? KILN_OS_FAIL : KILN_OS_ELSEWHERE;
    if (!has_p(addr, bytes)) return KILN_OS_OK;
    PROOF_ASSERT(!p_mapped, "os: commit does not take Ready memory");
    p_mapped = true;
    return KILN_OS_OK;
}

static bool reserved_flag;

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

static bool shown(uint64_t page)
{
    return present[page / 64] >> (page % 64) & 1;
}

static void any_table(void)
{
    table = (kiln_arena_table_t){
        .used = true,
        .use = nondet_bool() ? KILN_OS_BITS : KILN_OS_SPANS,
        .base = BASE,
        .heap_bytes = HEAP_BYTES,
        .entry_bytes = ENTRY_BYTES,
        .round_bytes = 1,
        .phys_bytes = PHYS,
        .bytes_max = WORDS * 64 * PHYS,
        .mapped_bytes = nondet_uint64(),
        .present = present,
    };
    for (unsigned i = 0; i < WORDS; i++) present[i] = nondet_uint64();
    p = nondet_below(WORDS * 64);
    p_mapped = shown(p);
    reserved_flag = nondet_bool();
    commits_before_failure = nondet_unsigned();
}

void harness(void)
{
    any_table();
    uint64_t offset = nondet_uint64();
    uint64_t bytes = nondet_uint64();
    const uint64_t heap_max = (uint64_t)WORDS * 64 * PHYS / ENTRY_BYTES * HEAP_BYTES;
    PROOF_ASSUME(bytes != 0 && offset < heap_max && bytes <= heap_max &&
                 offset + bytes <= heap_max);
    PROOF_ASSUME((offset + bytes - 1) / HEAP_BYTES * ENTRY_BYTES / PHYS -
                     offset / HEAP_BYTES * ENTRY_BYTES / PHYS <
                 PAGES_MAX);
#ifdef COVER /* a line that is reached from one of these requests is reached */
    const uint64_t page_heap_bytes = PHYS / ENTRY_BYTES * HEAP_BYTES;
    PROOF_ASSUME(offset == 62 * page_heap_bytes && bytes == PAGES_MAX * page_heap_bytes);
#endif
    uint64_t g = nondet_uint64();
    PROOF_ASSUME(g >= offset && g - offset < bytes);
    bool was_shown = shown(p);
    uint64_t g_page = g / HEAP_BYTES * ENTRY_BYTES / PHYS;
    kiln_arena_table_t before = table;

    kiln_os_answer_t answer = kiln_arena_table_add(&table, &os, offset, bytes, reserved_flag);
    PROOF_ASSERT(shown(p) == was_shown && table.mapped_bytes == before.mapped_bytes,
                 "L2: an add shows nothing to readers");
    if (answer != KILN_OS_OK) {
        PROOF_ASSERT(p_mapped == was_shown, "L4: a failed add leaves the table as it was");
        return;
    }
    PROOF_ASSERT(p_mapped || !was_shown, "an add takes nothing away");
    PROOF_ASSERT(p != g_page || p_mapped, "L2: the pages of all entries are mapped");
    if (nondet_bool()) {
        kiln_arena_table_drop(&table, &os, offset, bytes, reserved_flag);
        PROOF_ASSERT(p_mapped == was_shown && shown(p) == was_shown &&
                         table.mapped_bytes == before.mapped_bytes,
                     "L4: a drop leaves the table as it was before the add");
        return;
    }
    kiln_arena_table_show(&table, offset, bytes);
    PROOF_ASSERT(shown(p) == p_mapped, "L2: what is mapped is shown, and nothing else");
    PROOF_ASSERT(kiln_arena_table_has(&table, g), "L2: readers find every entry");
}
