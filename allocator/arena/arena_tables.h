/* arena_tables.h - the side tables of an arena: plain arrays indexed by address - arena_start.
 *
 *   bits   2 bits a word: one byte for every 4 words of heap (the seed's bitmap)
 *   spans  one word a page: what a pointer is looked up in
 *
 * Address space for a whole table is reserved once; its pages are mapped as the heap grows. Under
 * `seed` and `go19` a table is mapped from its first byte without holes up to what arena_used
 * needs, so one counter says it all. Under `kiln` table pages are mapped only for pages that are
 * heap, and `present` holds a bit for every hardware page of the table, read by threads without a
 * lock.
 *
 * Offsets count from the entry of arena_start. The seed's bitmap grows downwards from its end:
 * there the entry at offset 0 is the last byte of the table (`grows_down`). */
#ifndef KILN_ALLOCATOR_ARENA_ARENA_TABLES_H
#define KILN_ALLOCATOR_ARENA_ARENA_TABLES_H

#include "allocator/base/units.h"
#include "allocator/os/os.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum kiln_arena_table_id {
    KILN_ARENA_BITS,
    KILN_ARENA_SPANS,
    KILN_ARENA_TABLES, /* how many */
} kiln_arena_table_id_t;

typedef struct kiln_arena_table {
    bool used;            /* false: this arena has no such table */
    bool grows_down;      /* see above */
    kiln_os_use_t use;    /* what the OS is told */
    kiln_addr_t base;     /* lowest address of the table */
    uint64_t heap_bytes;  /* heap that one entry stands for; a power of two */
    uint64_t entry_bytes; /* a power of two */
    uint64_t round_bytes; /* needs are rounded up to this, then to phys_bytes */
    uint64_t phys_bytes;
    uint64_t bytes_max; /* whole table */
    /* Now mapped; under seed and go19 from offset 0 without a hole, and then readers go by it. */
    _Atomic uint64_t mapped_bytes;
    _Atomic uint64_t *present; /* `kiln`: bit i says that hardware page i is mapped; else NULL */
} kiln_arena_table_t;

/* kiln_arena_table_need gives the bytes that the entries of `heap_bytes` bytes of heap from
 * arena_start on take, rounded as the table wants. */
uint64_t kiln_arena_table_need(const kiln_arena_table_t *table, uint64_t heap_bytes);

/* kiln_arena_table_extend maps the table from what is mapped up to the need of `heap_bytes` of heap
 * (seed, go19). Nothing is asked of the OS when enough is there. */
kiln_os_answer_t kiln_arena_table_extend(kiln_arena_table_t *table, const kiln_os_t *os,
                                         uint64_t heap_bytes, bool reserved);

/* kiln_arena_table_add maps the pages that the entries of heap [offset, offset+bytes) lie on and
 * that are not mapped yet (kiln). On failure the table is as it was. Readers see the pages, and
 * mapped_bytes counts them, after kiln_arena_table_show. */
kiln_os_answer_t kiln_arena_table_add(kiln_arena_table_t *table, const kiln_os_t *os,
                                      uint64_t offset, uint64_t bytes, bool reserved);

/* kiln_arena_table_offset gives back the offset, from the entry of arena_start, of a piece that the
 * OS was asked to map for this table. */
uint64_t kiln_arena_table_offset(const kiln_arena_table_t *table, kiln_addr_t addr, uint64_t bytes);

/* kiln_arena_table_show makes the pages of a successful add visible to readers;
 * kiln_arena_table_drop takes that add back instead. Same arguments as the add. */
void kiln_arena_table_show(kiln_arena_table_t *table, uint64_t offset, uint64_t bytes);
void kiln_arena_table_drop(kiln_arena_table_t *table, const kiln_os_t *os, uint64_t offset,
                           uint64_t bytes, bool reserved);

/* kiln_arena_table_has: may the entry of the heap byte at `offset` be read? Any thread. */
static inline bool kiln_arena_table_has(const kiln_arena_table_t *table, uint64_t offset)
{
    uint64_t at = offset / table->heap_bytes * table->entry_bytes;
    if (!table->present)
        return at < atomic_load_explicit(&table->mapped_bytes, memory_order_acquire);
    uint64_t page_idx = at / table->phys_bytes;
    if (at >= table->bytes_max) return false;
    return atomic_load_explicit(&table->present[page_idx / 64], memory_order_acquire) >>
               (page_idx % 64) &
           1;
}

const char *kiln_arena_table_broken_rule(const kiln_arena_table_t *table);

/* --- for arena_tables.c alone: the words of `present`, one at a time (arena_pages.c) --- */

/* kiln_arena_pages_seek looks for a page of [*first, end) that is mapped, or that is not, in the
 * word of *first. True: *first is the first such page. False: there is none, and *first is the
 * first page of the next word, or `end`. */
bool kiln_arena_pages_seek(const kiln_arena_table_t *table, uint64_t *first, uint64_t end,
                           bool mapped);

/* kiln_arena_pages_show makes those pages of [first, end) visible that are in the word of `first`,
 * counts the new ones in mapped_bytes, and gives the first page of the next word. */
uint64_t kiln_arena_pages_show(kiln_arena_table_t *table, uint64_t first, uint64_t end);

#endif
