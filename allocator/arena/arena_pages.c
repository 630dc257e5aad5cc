/* The words of `present`, each with the bits of 64 pages of a table. One word is one round of the
 * loops of arena_tables.c: tests/proof proves the round, and by it any number of rounds. */
#include "allocator/arena/arena_tables.h"

bool kiln_arena_pages_seek(const kiln_arena_table_t *table, uint64_t *first, uint64_t end,
                           bool mapped)
{
    uint64_t word = atomic_load_explicit(&table->present[*first / 64], memory_order_relaxed);
    uint64_t wanted = (mapped ? word : ~word) >> (*first % 64);
    uint64_t found =
        wanted != 0 ? *first + (uint64_t)__builtin_ctzll(wanted) : *first / 64 * 64 + 64;

    *first = found < end ? found : end;
    return wanted != 0 && found < end;
}

uint64_t kiln_arena_pages_show(kiln_arena_table_t *table, uint64_t first, uint64_t end)
{
    uint64_t left = end - first;
    uint64_t bits = UINT64_MAX << (first % 64);
    if (left < 64 - first % 64) bits &= (UINT64_C(1) << (first % 64 + left)) - 1;
    /* Release: partner is the acquire load of kiln_arena_table_has, whose caller reads the
     * entry next and must find the page mapped. */
    uint64_t old =
        atomic_fetch_or_explicit(&table->present[first / 64], bits, memory_order_release);
    uint64_t more_bytes = table->phys_bytes * (uint64_t)__builtin_popcountll(bits & ~old);
    atomic_store_explicit(&table->mapped_bytes, table->mapped_bytes + more_bytes,
                          memory_order_relaxed);
    return first / 64 * 64 + 64;
}
