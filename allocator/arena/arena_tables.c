#include "allocator/arena/arena_tables.h"

uint64_t kiln_arena_table_need(const kiln_arena_table_t *table, uint64_t heap_bytes)
{
    uint64_t need = heap_bytes / table->heap_bytes * table->entry_bytes;
    return kiln_round_up(kiln_round_up(need, table->round_bytes), table->phys_bytes);
}

uint64_t kiln_arena_table_offset(const kiln_arena_table_t *table, kiln_addr_t addr, uint64_t bytes)
{
    return table->grows_down ? table->base + table->bytes_max - addr - bytes : addr - table->base;
}

kiln_os_answer_t kiln_arena_table_extend(kiln_arena_table_t *table, const kiln_os_t *os,
                                         uint64_t heap_bytes, bool reserved)
{
    uint64_t need = kiln_arena_table_need(table, heap_bytes);
    uint64_t mapped_bytes = atomic_load_explicit(&table->mapped_bytes, memory_order_relaxed);
    if (need <= mapped_bytes) return KILN_OS_OK;

    uint64_t bytes = need - mapped_bytes;
    kiln_addr_t addr =
        table->grows_down ? table->base + table->bytes_max - need : table->base + mapped_bytes;
    kiln_os_answer_t answer = os->commit(os->ctx, addr, bytes, reserved, table->use);
    /* Release: partner is the acquire load of kiln_arena_table_has, as in kiln_arena_table_show. */
    if (answer == KILN_OS_OK)
        atomic_store_explicit(&table->mapped_bytes, need, memory_order_release);
    return answer;
}

/* The hardware pages [first, end) of a table. */
typedef struct pages {
    uint64_t first, end;
} pages_t;

static pages_t pages_of(const kiln_arena_table_t *table, uint64_t offset, uint64_t bytes)
{
    uint64_t first_entry = offset / table->heap_bytes;
    uint64_t last_entry = (offset + bytes - 1) / table->heap_bytes;
    return (pages_t){
        .first = first_entry * table->entry_bytes / table->phys_bytes,
        .end = ((last_entry + 1) * table->entry_bytes - 1) / table->phys_bytes + 1,
    };
}

/* first_page gives the first page of [first, end) that is mapped, or that is not, or `end`. A table
 * has millions of pages: it goes by words. */
static uint64_t first_page(const kiln_arena_table_t *table, uint64_t first, uint64_t end,
                           bool mapped)
{
    while (first < end && !kiln_arena_pages_seek(table, &first, end, mapped)) {
    }
    return first;
}

/* next_run narrows `*run` to its first stretch of pages that are not mapped; false: none is left.
 */
static bool next_run(const kiln_arena_table_t *table, pages_t *run)
{
    run->first = first_page(table, run->first, run->end, false);
    run->end = first_page(table, run->first, run->end, true);
    return run->first < run->end;
}

/* Where nothing was reserved, nothing may stay behind: what lies there is not ours to hold. */
static void drop_pages(const kiln_arena_table_t *table, const kiln_os_t *os, pages_t pages,
                       bool reserved)
{
    for (pages_t run = pages; next_run(table, &run); run = (pages_t){run.end, pages.end}) {
        kiln_addr_t addr = table->base + run.first * table->phys_bytes;
        uint64_t bytes = (run.end - run.first) * table->phys_bytes;
        if (reserved)
            os->decommit(os->ctx, addr, bytes);
        else
            os->release(os->ctx, addr, bytes);
    }
}

kiln_os_answer_t kiln_arena_table_add(kiln_arena_table_t *table, const kiln_os_t *os,
                                      uint64_t offset, uint64_t bytes, bool reserved)
{
    pages_t pages = pages_of(table, offset, bytes);
    for (pages_t run = pages; next_run(table, &run); run = (pages_t){run.end, pages.end}) {
        kiln_os_answer_t answer =
            os->commit(os->ctx, table->base + run.first * table->phys_bytes,
                       (run.end - run.first) * table->phys_bytes, reserved, table->use);
        if (answer != KILN_OS_OK) {
            drop_pages(table, os, (pages_t){pages.first, run.first}, reserved);
            return answer;
        }
    }
    return KILN_OS_OK;
}

void kiln_arena_table_drop(kiln_arena_table_t *table, const kiln_os_t *os, uint64_t offset,
                           uint64_t bytes, bool reserved)
{
    drop_pages(table, os, pages_of(table, offset, bytes), reserved);
}

void kiln_arena_table_show(kiln_arena_table_t *table, uint64_t offset, uint64_t bytes)
{
    pages_t pages = pages_of(table, offset, bytes);
    for (uint64_t first = pages.first; first < pages.end;)
        first = kiln_arena_pages_show(table, first, pages.end);
}

const char *kiln_arena_table_broken_rule(const kiln_arena_table_t *table)
{
    if (!table->used) return table->mapped_bytes == 0 ? NULL : "an unused table maps nothing";
    if (!kiln_is_power_of_two(table->heap_bytes)) return "table heap_bytes is a power of two";
    if (!kiln_is_power_of_two(table->entry_bytes)) return "table entry_bytes is a power of two";
    if (!kiln_is_aligned(table->mapped_bytes, table->phys_bytes))
        return "table mapped_bytes is a multiple of phys_bytes";
    if (!table->present) return NULL;

    uint64_t pages_max = (table->bytes_max + table->phys_bytes - 1) / table->phys_bytes;
    uint64_t pages = 0;
    for (uint64_t word_idx = 0; word_idx < (pages_max + 63) / 64; word_idx++)
        pages += (uint64_t)__builtin_popcountll(
            atomic_load_explicit(&table->present[word_idx], memory_order_relaxed));
    if (pages * table->phys_bytes != table->mapped_bytes)
        return "table mapped_bytes counts the present pages";
    return NULL;
}
