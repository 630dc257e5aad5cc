/* The geometry of the tables under `kiln`: the entry of every byte that may be heap, which is whole
 * pages, lies in its table, and the bit of its page in the words of `present` that
 * kiln_arena_present_words counts and that are that table's alone. */
#include "allocator/arena/arena_internal.h"
#include "tests/proof/proof.h"

#define WORDS_MAX (WIDTH > 32 ? 1 << 17 : 1 << 12)

static uint64_t present[WORDS_MAX];
static const kiln_os_t os = {.phys_bytes = PHYS, .addr_bits = WIDTH};

void harness(void)
{
    static kiln_arena_t arena, whole;
    kiln_arena_config_t config = kiln_arena_config_default(WIDTH, PHYS);
    const char *why = kiln_arena_init(&whole, &config, &os, NULL, NULL, present);
    PROOF_ASSERT(why == NULL, "harness: the default configuration makes an arena");
    config.addr_max = nondet_uint64();
    PROOF_ASSUME(config.addr_max >= config.page_bytes - 1 &&
                 config.addr_max <= whole.config.addr_max);
    config.tables = nondet_below(1u << KILN_ARENA_TABLES);
    size_t words = kiln_arena_present_words(&config);
    PROOF_ASSERT(words <= WORDS_MAX, "harness: there is room for the words");

    why = kiln_arena_init(&arena, &config, &os, NULL, NULL, present);
    PROOF_ASSERT(why == NULL, "any possible range makes an arena");
    uint64_t offset = nondet_uint64();
    PROOF_ASSUME(offset < kiln_round_down(config.addr_max + 1, config.page_bytes));
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        const kiln_arena_table_t *table = &arena.tables[id];
        PROOF_ASSERT((table->bytes_max != 0) == table->used &&
                         table->bytes_max <= whole.tables[id].bytes_max &&
                         kiln_is_aligned(table->bytes_max, kiln_arena_unit(&arena)),
                     "a table is whole pages, no more than of the widest range");
        if (!table->used) continue;
        uint64_t at = offset / table->heap_bytes * table->entry_bytes;
        PROOF_ASSERT(at + table->entry_bytes <= table->bytes_max, "L2: an entry lies in its table");
        uint64_t word =
            (uint64_t)((const uint64_t *)table->present - present) + at / table->phys_bytes / 64;
        PROOF_ASSERT(word < words, "L2: the bit of its page lies in `present`");
        PROOF_ASSERT(id != 0 || !arena.tables[1].used ||
                         word < (uint64_t)((const uint64_t *)arena.tables[1].present - present),
                     "L2: no two tables share a word of `present`");
    }
}
