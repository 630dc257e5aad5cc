/* The growth routine of `kiln`: every request either succeeds whole or changes nothing.
 *
 * What it repairs, and why, is in DESIGN.md, "kiln". The shape that makes it possible: a step first
 * decides on a block without touching the arena, then asks the OS for all that can be refused, and
 * only then changes the state, in a part that cannot fail. */
#include "allocator/arena/arena_internal.h"
#include "allocator/base/check.h"

static uint64_t request_unit(const kiln_arena_t *arena)
{
    const kiln_arena_config_t *config = &arena->config;
    return config->page_bytes > config->phys_bytes ? config->page_bytes : config->phys_bytes;
}

static void release_held(kiln_arena_t *arena, kiln_addr_t addr, uint64_t bytes, bool reserved)
{
    if (reserved && bytes != 0) arena->os->release(arena->os->ctx, addr, bytes);
}

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

/* --- remainders of earlier blocks ------------------------------------------------------------ */

static uint64_t region_bytes(const kiln_arena_region_t *region)
{
    return region->end - region->start;
}

static void kept_remove(kiln_arena_t *arena, unsigned idx)
{
    arena->kept_count--;
    for (unsigned i = idx; i < arena->kept_count; i++) arena->kept[i] = arena->kept[i + 1];
}

/* kept_add remembers a remainder. What is too small to be of use, and the smallest remainder when
 * there are too many, goes back to the OS: nothing is stranded. */
static void kept_add(kiln_arena_t *arena, kiln_arena_region_t region)
{
    if (region_bytes(&region) < request_unit(arena)) {
        release_held(arena, region.start, region_bytes(&region), region.reserved);
        return;
    }
    if (arena->kept_count == KILN_ARENA_KEPT_MAX) {
        unsigned smallest = 0;
        for (unsigned i = 1; i < arena->kept_count; i++)
            if (region_bytes(&arena->kept[i]) < region_bytes(&arena->kept[smallest])) smallest = i;
        kiln_arena_region_t victim = arena->kept[smallest];
        if (region_bytes(&region) <= region_bytes(&victim)) {
            release_held(arena, region.start, region_bytes(&region), region.reserved);
            return;
        }
        kept_remove(arena, smallest);
        release_held(arena, victim.start, region_bytes(&victim), victim.reserved);
    }
    unsigned idx = arena->kept_count++;
    for (; idx > 0 && arena->kept[idx - 1].start > region.start; idx--)
        arena->kept[idx] = arena->kept[idx - 1];
    arena->kept[idx] = region;
}

static kiln_arena_result_t take_kept(kiln_arena_t *arena, unsigned idx, uint64_t bytes)
{
    kiln_arena_region_t *region = &arena->kept[idx];
    kiln_arena_result_t result = {.branch = KILN_ARENA_BUMP, .service = KILN_ARENA_MAP_FAILED};

    if (!commit_heap(arena, region->start, bytes, region->reserved)) return result;
    result.addr = region->start;
    result.service = KILN_ARENA_FROM_BLOCK;
    region->start += bytes;
    arena->heap_sys_bytes += bytes;
    publish(arena, result.addr, bytes);
    if (region_bytes(region) < request_unit(arena)) {
        kiln_arena_region_t rest = *region;
        kept_remove(arena, idx);
        release_held(arena, rest.start, region_bytes(&rest), rest.reserved);
    }
    return result;
}

const char *kiln_arena_kept_broken_rule(const kiln_arena_t *arena)
{
    kiln_addr_t last_end = 0;

    if (arena->kept_count > KILN_ARENA_KEPT_MAX) return "kept_count is at most KEPT_MAX";
    for (unsigned i = 0; i < arena->kept_count; i++) {
        const kiln_arena_region_t *region = &arena->kept[i];
        if (region->start < last_end) return "kept remainders ascend and do not overlap";
        if (region->end < region->start || region->end > arena->mask)
            return "a kept remainder's end is representable";
        if (region_bytes(region) < request_unit(arena)) return "a kept remainder is of use";
        if (!kiln_is_aligned(region->start, arena->config.page_bytes))
            return "a kept remainder starts at a page";
        if (region->start < arena->arena_start ||
            region->end - 1 - arena->arena_start > arena->config.addr_max)
            return "a kept remainder lies in the possible range";
        if (region->start < arena->arena_end && arena->arena_alloc < region->end)
            return "a kept remainder does not overlap the current block";
        last_end = region->end;
    }
    return NULL;
}

/* --- new blocks ------------------------------------------------------------------------------ */

/* A block as the OS gave it, before the arena has changed. */
typedef struct block {
    kiln_arena_branch_t branch;
    kiln_arena_region_t region; /* start is not rounded yet */
} block_t;

/* overlaps: does [start, last] overlap address space that the arena still has to hand out, or its
 * tables, and that is really reserved, or, asked with false, only believed free? The tables of an
 * arena that was placed by hand are nowhere. */
static bool overlaps(const kiln_arena_t *arena, kiln_addr_t start, kiln_addr_t last, bool reserved)
{
    if (arena->arena_reserved == reserved && arena->arena_alloc < arena->arena_end &&
        start < arena->arena_end && arena->arena_alloc <= last)
        return true;
    for (unsigned i = 0; i < arena->kept_count; i++)
        if (arena->kept[i].reserved == reserved && start < arena->kept[i].end &&
            arena->kept[i].start <= last)
            return true;
    for (unsigned id = 0; id < KILN_ARENA_TABLES && arena->tables_reserved == reserved; id++) {
        const kiln_arena_table_t *table = &arena->tables[id];
        if (table->used && table->base != 0 && start <= table->base + (table->bytes_max - 1) &&
            table->base <= last)
            return true;
    }
    return false;
}

/* judge_block decides what a block that the OS gave is good for. An OS that lies (a range that
 * leaves the address space, that overlaps what is ours, that is not aligned) gets a refusal, and
 * nothing is given back that may not be ours to give. */
static block_t judge_block(kiln_arena_t *arena, kiln_addr_t start, uint64_t size, bool reserved)
{
    const kiln_arena_config_t *config = &arena->config;
    block_t block = {.branch = KILN_ARENA_REJECT_RANGE};
    kiln_addr_t last = start + (size - 1);

    if (start > arena->mask || last > arena->mask || last < start ||
        !kiln_is_aligned(start, config->phys_bytes) || overlaps(arena, start, last, true))
        return block;
    if (last == arena->mask) {
        /* The end of this block cannot be written as an exclusive bound: chop off the last page. */
        uint64_t unit = request_unit(arena);
        release_held(arena, start + (size - unit), unit, reserved);
        size -= unit;
        last -= unit;
    }
    /* Nothing was held of a block that is only believed free, so the OS may grant it once more. */
    if (start < arena->arena_start || last - arena->arena_start > config->addr_max ||
        overlaps(arena, start, last, false)) {
        release_held(arena, start, size, reserved);
        return block;
    }
    bool adjacent = start == arena->arena_end && reserved == arena->arena_reserved;
    block.branch = adjacent ? KILN_ARENA_EXTEND : KILN_ARENA_SWITCH;
    block.region = (kiln_arena_region_t){.start = start, .end = start + size, .reserved = reserved};
    return block;
}

static uint64_t granule_min(const kiln_arena_config_t *config)
{
    uint64_t min = config->granule_min_bytes;

    if (min < config->page_bytes) min = config->page_bytes;
    if (min < config->phys_bytes) min = config->phys_bytes;
    return min < config->block_bytes ? min : config->block_bytes;
}

/* is_oversized: no granule, however small, can be a multiple that holds `bytes` and the page for
 * rounding. The seed's size wraps to 0 there, and it asks the OS for no bytes. */
static bool is_oversized(const kiln_arena_t *arena, uint64_t bytes)
{
    uint64_t wanted = bytes + arena->config.page_bytes;
    uint64_t size = kiln_round_up(wanted, granule_min(&arena->config));
    return wanted < bytes || size < wanted || size > arena->mask;
}

/* ask_block asks for a block that serves `bytes`, by the granule and, when the OS has none that
 * large, by half of it, down to granule_min. The branch names the last refusal of the OS, or the
 * first of the arena's own when the OS was never asked. */
static block_t ask_block(kiln_arena_t *arena, uint64_t bytes)
{
    const kiln_arena_config_t *config = &arena->config;
    block_t block = {.branch = KILN_ARENA_BUMP};
    uint64_t last_size = 0;

    for (uint64_t granule = config->block_bytes; granule >= granule_min(config); granule /= 2) {
        kiln_arena_branch_t refusal = KILN_ARENA_RESERVE_FAILED;
        uint64_t wanted = bytes + config->page_bytes;
        uint64_t size = kiln_round_up(wanted, granule);
        uint64_t room = arena->mask - arena->arena_end;
        if (size == last_size) continue;
        if (wanted < bytes || size < wanted || size > room)
            refusal = KILN_ARENA_GROW_OVERFLOW;
        else if (arena->arena_end + size - arena->arena_start - 1 > config->addr_max)
            refusal = KILN_ARENA_GROW_LIMIT;
        if (refusal != KILN_ARENA_RESERVE_FAILED) {
            if (block.branch == KILN_ARENA_BUMP) block.branch = refusal;
            continue;
        }
        last_size = size;
        bool reserved = false;
        kiln_addr_t start = arena->os->reserve(arena->os->ctx, arena->arena_end, size, &reserved);
        if (start != 0) return judge_block(arena, start, size, reserved);
        block.branch = KILN_ARENA_RESERVE_FAILED;
    }
    return block;
}

/* take_block serves `bytes` from the current block joined with, or replaced by, a new one. */
static kiln_arena_result_t take_block(kiln_arena_t *arena, const block_t *block, uint64_t bytes)
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
        release_held(arena, block->region.start, region_bytes(&block->region),
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
        release_held(arena, block->region.start, addr - block->region.start, reserved);
        kept_add(arena, rest);
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
    bool lying =
        got > arena->mask || last > arena->mask || last < got || overlaps(arena, got, last, true);
    if (lying || got < arena->arena_start || last - arena->arena_start > config->addr_max) {
        if (arena->log && arena->log->outside) arena->log->outside(arena->log->ctx, got);
        if (!lying) arena->os->release(arena->os->ctx, got, size);
        result.service = KILN_ARENA_SMALL_RANGE;
        return result;
    }
    if (last == arena->mask) { /* as for a block: the last page is chopped off */
        size -= request_unit(arena);
        arena->os->release(arena->os->ctx, got + size, request_unit(arena));
    }
    kiln_addr_t addr = kiln_round_up(got, config->page_bytes);
    if (!map_tables(arena, addr, bytes)) {
        arena->os->release(arena->os->ctx, got, size);
        result.service = KILN_ARENA_MAP_FAILED;
        return result;
    }
    arena->heap_sys_bytes += size;
    publish(arena, addr, bytes);
    result.addr = addr;
    result.service = KILN_ARENA_SMALL;
    return result;
}

kiln_arena_result_t kiln_arena_alloc_kiln(kiln_arena_t *arena, uint64_t bytes)
{
    kiln_arena_result_t nil = {.branch = KILN_ARENA_BUMP, .service = KILN_ARENA_NIL};
    block_t block = {.branch = KILN_ARENA_BUMP};

    if (bytes == 0 || bytes > arena->mask || !kiln_is_aligned(bytes, request_unit(arena)))
        return nil;
    for (unsigned i = 0; i < arena->kept_count; i++)
        if (region_bytes(&arena->kept[i]) >= bytes) return take_kept(arena, i, bytes);
    if (bytes > kiln_arena_left(arena)) {
        if (is_oversized(arena, bytes)) {
            nil.branch = KILN_ARENA_GROW_OVERFLOW;
            return nil;
        }
        block = ask_block(arena, bytes);
        if (block.branch != KILN_ARENA_EXTEND && block.branch != KILN_ARENA_SWITCH) {
            if (kiln_arena_has_fallback(arena)) return fall_back(arena, bytes, block.branch);
            nil.branch = block.branch;
            return nil;
        }
    }
    return take_block(arena, &block, bytes);
}
