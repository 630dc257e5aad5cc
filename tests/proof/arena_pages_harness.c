/* The words of `present` and who reads them: one word of a table of any size, from any state.
 *
 *   OP  SEEK, SHOW  the two functions of arena_pages.c, which arena_tables_harness.c takes for one
 *                   round of the loops of arena_tables.c
 *       BITS, COUNT what a reader without a lock is told of one entry, who goes by them
 *
 * Of `present`, which has up to as many words as the largest table of the defaults, two are known:
 * the one of page p, any, which stands for all pages, and another, any. A third is any number, and
 * is asked for once. */
#include "tests/proof/proof.h"

#include <stdatomic.h>

static uint64_t load(const _Atomic uint64_t *at);
static uint64_t fetch_or(_Atomic uint64_t *at, uint64_t bits);
#undef atomic_load_explicit
#undef atomic_fetch_or_explicit
#define atomic_load_explicit(at, order) load(at)
#define atomic_fetch_or_explicit(at, bits, order) fetch_or(at, bits)

#include "allocator/arena/arena.h"

enum { SEEK, SHOW, BITS, COUNT };
enum { WORDS = 1 << 16 };
#define PAGES ((uint64_t)WORDS * 64)

static kiln_arena_t arena;
#define TABLE (arena.tables[KILN_ARENA_SPANS])
static _Atomic uint64_t present[WORDS]; /* its addresses alone */
static uint64_t p, word_of_p, other, word_of_other;
static unsigned strange_words;

/* known gives the word at `at`, if it is one of the two. */
static uint64_t *known(const _Atomic uint64_t *at)
{
    uint64_t idx = (uint64_t)(at - present);
    PROOF_ASSERT(idx < WORDS, "the words of a table, and no others");
    if (idx == p / 64) return &word_of_p;
    return idx == other ? &word_of_other : NULL;
}

static uint64_t load(const _Atomic uint64_t *at)
{
    if (at == &arena.arena_used) return arena.arena_used;
    if (at == &TABLE.mapped_bytes) return TABLE.mapped_bytes;
    const uint64_t *word = known(at);
    if (!word) PROOF_ASSERT(strange_words++ == 0, "harness: a word is read once");
    return word ? *word : nondet_uint64();
}

static uint64_t new_bits; /* those of the last fetch_or that were not there before */

static uint64_t fetch_or(_Atomic uint64_t *at, uint64_t bits)
{
    uint64_t *word = known(at);
    uint64_t old = word ? *word : nondet_uint64();
    if (word) *word |= bits;
    new_bits = bits & ~old;
    return old;
}

/* count_bits is any number: that the compiler counts right is not the question, and how many bits
 * there are would be asked of a solver for hours. */
static uint64_t counted, count;

static uint64_t count_bits(uint64_t bits)
{
    counted = bits;
    count = nondet_below(65);
    return count;
}

#define __builtin_popcountll count_bits

#include "allocator/arena/arena.c"
#include "allocator/arena/arena_pages.c"
#include "allocator/arena/arena_tables.c"

static bool place, other_place; /* that are to be reached, of each function */

static bool shown(uint64_t page)
{
    const uint64_t *word = known(&present[page / 64]);
    PROOF_ASSERT(word != NULL, "harness: that word is known");
    return *word >> (page % 64) & 1;
}

static void prove_seek(uint64_t first, uint64_t end)
{
    bool mapped = nondet_bool();
    uint64_t at = first;
    kiln_arena_table_t before = TABLE;

    PROOF_ASSUME(other == first / 64);
    bool was_shown = shown(p);
    bool found = kiln_arena_pages_seek(&TABLE, &at, end, mapped);
    PROOF_ASSERT(at > first || found, "a search goes on");
    PROOF_ASSERT(at >= first && at <= end, "a search stays in its pages");
    PROOF_ASSERT(!found || (at < end && at / 64 == first / 64 && shown(at) == mapped),
                 "what is found is wanted");
    PROOF_ASSERT(p < first || p >= at || shown(p) != mapped, "no page is passed that is wanted");
    PROOF_ASSERT(shown(p) == was_shown && TABLE.mapped_bytes == before.mapped_bytes,
                 "a search changes nothing");
    place = found && at > first;
    other_place = !found && at < end;
}

static void prove_show(uint64_t first, uint64_t end)
{
    kiln_arena_table_t before = TABLE;
    bool was_shown = shown(p);

    uint64_t next = kiln_arena_pages_show(&TABLE, first, end);
    PROOF_ASSERT(next > first, "a show goes on");
    PROOF_ASSERT(shown(p) == (was_shown || (first <= p && p < end && p < next)),
                 "L2: the pages up to the next word are shown, and no others");
    PROOF_ASSERT(counted == new_bits && TABLE.mapped_bytes == before.mapped_bytes + count * PHYS,
                 "L2: mapped_bytes counts the new pages, and no others");
    PROOF_ASSERT(TABLE.base == before.base && TABLE.bytes_max == before.bytes_max &&
                     TABLE.present == before.present,
                 "a table stays where it is");
    place = next < end && was_shown != shown(p);
    other_place = next > end && was_shown != shown(p);
}

/* Under seed and go19 readers go by mapped_bytes, under kiln by the bit of the entry's page. */
static void prove_covers(bool by_bits)
{
    kiln_addr_t addr = nondet_uint64();

    if (!by_bits) TABLE.present = NULL;
    TABLE.used = nondet_bool();
    arena.arena_start = nondet_uint64();
    arena.arena_used = nondet_uint64();
    uint64_t at = (addr - arena.arena_start) / HEAP_BYTES * ENTRY_BYTES;
    bool heap = arena.arena_start <= addr && addr < arena.arena_used;
    bool mapped = at < (by_bits ? TABLE.bytes_max : TABLE.mapped_bytes);
    if (by_bits && mapped) {
        p = at / PHYS;
        mapped = shown(p);
    }
    bool answer = kiln_arena_table_covers(&arena, KILN_ARENA_SPANS, addr);
    PROOF_ASSERT(!answer || (TABLE.used && heap), "a table covers what may be heap alone");
    PROOF_ASSERT(!answer || mapped, "L2: no entry is read that is not mapped");
    PROOF_ASSERT(answer || !TABLE.used || !heap || !mapped,
                 "L2: readers find every entry that is mapped");
    place = answer;
    other_place = !answer && TABLE.used && heap;
}

void harness(void)
{
    uint64_t first = nondet_uint64();
    uint64_t end = nondet_uint64();

    p = nondet_uint64();
    other = nondet_uint64();
    word_of_p = nondet_uint64();
    word_of_other = nondet_uint64();
    uint64_t pages = nondet_uint64();
    PROOF_ASSUME(pages <= PAGES && p < pages && first < end && end <= pages);
    TABLE = (kiln_arena_table_t){
        .used = true,
        .base = any_multiple(PHYS),
        .heap_bytes = HEAP_BYTES,
        .entry_bytes = ENTRY_BYTES,
        .phys_bytes = PHYS,
        .bytes_max = pages * PHYS,
        .mapped_bytes = nondet_uint64(),
        .present = present,
    };
    if (OP == SEEK) prove_seek(first, end);
    if (OP == SHOW) prove_show(first, end);
    if (OP == BITS || OP == COUNT) prove_covers(OP == BITS);
    PROOF_REACHED(place, "a page is found, a word in the middle shown, an entry read");
    PROOF_REACHED(other_place, "the next word is looked at, the last one shown, no entry read");
}
