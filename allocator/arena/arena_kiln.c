/* The growth routine of `kiln`: every request either succeeds whole or changes nothing.
 *
 * What it repairs, and why, is in DESIGN.md, "kiln". The shape that makes it possible: a step first
 * decides on a block without touching the arena, then asks the OS for all that can be refused, and
 * only then changes the state, in a part that cannot fail. */
#include "allocator/arena/arena_internal.h"
#include "allocator/base/check.h"

/* map_tables maps the table entries of [addr, addr+bytes), or changes nothing. */
static bool map_tables(kiln_arena_t *arena, kiln_addr_t addr, uint64_t bytes)
{
    uint64_t offset = addr - arena->arena_start;

    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        kiln_arena_table_t *table = &arena->tables[id];
        if (!table->used) continue;
        if (kiln_arena_table_add(table, arena->os, offset, bytes, arena->tables_reserved) ==
            KILN_OS_OK)
            continue;
        while (id-- > 0)
            if (arena->tables[id].used)
                kiln_arena_table_drop(&arena->tables[id], arena->os, offset, bytes,
                                      arena->tables_reserved);
        return false;
    }
    return true;
}

/* commit_heap makes [addr, addr+bytes) Ready, with its table entries, or changes nothing. */
static bool commit_heap(kiln_arena_t *arena, kiln_addr_t addr, uint64_t bytes, bool reserved)
{
    const kiln_os_t *os = arena->os;

    if (os->commit(os->ctx, addr, bytes, reserved, KILN_OS_HEAP) != KILN_OS_OK) return false;
    if (map_tables(arena, addr, bytes)) return true;
    if (reserved)
        os->decommit(os->ctx, addr, bytes);
    else
        os->release(os->ctx, addr, bytes);
    return false;
}

/* publish tells the watcher of exactly these bytes, then lets readers see them. Cannot fail. */
static void publish(kiln_arena_t *arena, kiln_addr_t addr, uint64_t bytes)
{
    if (arena->watcher && arena->watcher->grow)
        arena->watcher->grow(arena->watcher->ctx, addr, bytes);
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        if (arena->tables[id].used)
            kiln_arena_table_show(&arena->tables[id], addr - arena->arena_start, bytes);
    if (addr + bytes > kiln_arena_used(arena)) kiln_arena_store_used(arena, addr + bytes);
}

/* take_kept serves `bytes` from a remainder of an earlier block. */
static kiln_arena_result_t take_kept(kiln_arena_t *arena, kiln_arena_region_t *region,
                                     uint64_t bytes)
{
    kiln_arena_result_t result = {.branch = KILN_ARENA_BUMP, .service = KILN_ARENA_MAP_FAILED};

    if (!commit_heap(arena, region->start, bytes, region->reserved)) return result;
    result.addr = region->start;
    result.service = KILN_ARENA_FROM_BLOCK;
    arena->heap_sys_bytes += bytes;
    publish(arena, result.addr, bytes);
    kiln_arena_kept_take(arena, region, bytes);
    return result;
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* take_block serves `bytes` from the current block joined with, or replaced by, a new one. */
static kiln_arena_result_t take_block(kiln_arena_t *arena, const kiln_arena_block_t *block,
                                      uint64_t bytes)
{
    kiln_arena_result_t result = {.branch = block->branch, .service = KILN_ARENA_MAP_FAILED};
    bool switched = block->branch == KILN_ARENA_SWITCH;
    kiln_addr_t addr = arena->arena_alloc;
    bool reserved = arena->arena_reserved;
    kiln_addr_t end = arena->arena_end;

    if (block->branch != KILN_ARENA_BUMP) end = block->region.end;
    if (switched) {
        addr = kiln_round_up(block->region.start, arena->config.page_bytes);
        reserved = block->region.reserved;
    }
    KILN_ASSERT(bytes <= end - addr);
    if (!commit_heap(arena, addr, bytes, reserved)) {
        kiln_arena_release_held(arena, block->region.start, kiln_arena_region_bytes(&block->region),
                                block->region.reserved);
        return result;
    }
    kiln_arena_region_t rest = {arena->arena_alloc, arena->arena_end, arena->arena_reserved};
    arena->arena_alloc = addr + bytes;
    arena->arena_end = end;
    arena->arena_reserved = reserved;
    arena->heap_sys_bytes += bytes;
    if (switched) {
        /* Part of a page, which rounding the block's start cost, would be lost for ever. */
        kiln_arena_release_held(arena, block->region.start, addr - block->region.start, reserved);
        kiln_arena_kept_add(arena, rest);
    }
    publish(arena, addr, bytes);
    result.addr = addr;
    result.service = KILN_ARENA_FROM_BLOCK;
    return result;
}

static kiln_arena_result_t fall_back(kiln_arena_t *arena, uint64_t bytes,
                                     kiln_arena_branch_t branch)
{
    kiln_arena_result_t result = {.branch = branch, .service = KILN_ARENA_SMALL_FAILED};
    const kiln_arena_config_t *config = &arena->config;
    uint64_t size = kiln_round_up(bytes + config->page_bytes, config->phys_bytes);

    if (size > arena->mask) return result;
    kiln_addr_t got = arena->os->direct(arena->os->ctx, size, KILN_OS_HEAP);
    if (got == 0) return result;
    kiln_addr_t last = got + (size - 1);
    bool lying = got > arena->mask || last > arena->mask || last < got ||
                 !kiln_is_aligned(got, config->phys_bytes) ||
                 kiln_arena_overlaps(arena, got, last, true);
    if (lying || got < arena->arena_start || last - arena->arena_start > config->addr_max) {
        if (arena->log && arena->log->outside) arena->log->outside(arena->log->ctx, got);
        if (!lying) arena->os->release(arena->os->ctx, got, size);
        result.service = KILN_ARENA_SMALL_RANGE;
        return result;
    }
    kiln_addr_t addr = kiln_round_up(got, config->page_bytes);
    if (!map_tables(arena, addr, bytes)) {
        arena->os->release(arena->os->ctx, got, size);
        result.service = KILN_ARENA_MAP_FAILED;
        return result;
    }
    /* What rounding cost goes back: whole hardware pages on either side, and with them the last one
     * of the address space, whose end is no address. */
    kiln_arena_release_held(arena, got, addr - got, true);
    kiln_arena_release_held(arena, addr + bytes, got + size - (addr + bytes), true);
    arena->heap_sys_bytes += bytes;
    publish(arena, addr, bytes);
    result.addr = addr;
    result.service = KILN_ARENA_SMALL;
    return result;
}

/* is_oversized: no granule, however small, can be a multiple that holds `bytes` and the page for
 * rounding. The seed's size wraps to 0 there, and it asks the OS for no bytes. */
static bool is_oversized(const kiln_arena_t *arena, uint64_t bytes)
{
    uint64_t wanted = bytes + arena->config.page_bytes;
    uint64_t size = kiln_round_up(wanted, kiln_arena_granule_min(&arena->config));
    return wanted < bytes || size < wanted || size > arena->mask;
}

kiln_arena_result_t kiln_arena_alloc_kiln(kiln_arena_t *arena, uint64_t bytes)
{
    kiln_arena_result_t nil = {.branch = KILN_ARENA_BUMP, .service = KILN_ARENA_NIL};
    kiln_arena_block_t block = {.branch = KILN_ARENA_BUMP};

    if (bytes == 0 || bytes > arena->mask || !kiln_is_aligned(bytes, kiln_arena_unit(arena)))
        return nil;
    kiln_arena_region_t *kept = kiln_arena_kept_find(arena, bytes);
    if (kept) return take_kept(arena, kept, bytes);
    if (bytes > kiln_arena_left(arena)) {
        if (is_oversized(arena, bytes)) {
            nil.branch = KILN_ARENA_GROW_OVERFLOW;
            return nil;
        }
        block = kiln_arena_block_ask(arena, bytes);
        if (block.branch != KILN_ARENA_EXTEND && block.branch != KILN_ARENA_SWITCH) {
            if (kiln_arena_has_fallback(arena)) return fall_back(arena, bytes, block.branch);
            nil.branch = block.branch;
            return nil;
        }
    }
    return take_block(arena, &block, bytes);
}
