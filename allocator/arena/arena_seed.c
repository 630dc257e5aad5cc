/* The growth routine of `seed` and `go19`: the commit's own behaviour, branch by branch, including
 * what is wrong with it (no check for a range that wraps, one `reserved` flag for everything, the
 * fallback's range test without the -1). The order of the tests matters; DESIGN.md, "The seed",
 * says why each stands where it does. */
#include "allocator/arena/arena_internal.h"

static const char *throw_reason_of(kiln_os_answer_t answer, bool reserved)
{
    switch (answer) {
    case KILN_OS_OK:
        return NULL;
    case KILN_OS_FAIL:
        return KILN_THROW_NO_MEMORY;
    case KILN_OS_ELSEWHERE:
        break;
    }
    return reserved ? KILN_THROW_NOT_HONOURED : KILN_THROW_CONFLICT;
}

const char *kiln_arena_raise_used(kiln_arena_t *arena, kiln_addr_t new_used, bool watched)
{
    kiln_addr_t old_used = kiln_arena_used(arena);
    uint64_t heap_bytes = kiln_arena_sub(arena, new_used, arena->arena_start);

    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        kiln_arena_table_t *table = &arena->tables[id];
        if (!table->used) continue;
        if (id == KILN_ARENA_SPANS && kiln_arena_table_need(table, heap_bytes) > table->bytes_max)
            return KILN_THROW_SPANS_FULL;
        const char *reason = throw_reason_of(
            kiln_arena_table_extend(table, arena->os, heap_bytes, arena->arena_reserved),
            arena->arena_reserved);
        if (reason) return reason;
    }
    if (watched && new_used > old_used && arena->watcher && arena->watcher->grow)
        arena->watcher->grow(arena->watcher->ctx, old_used, new_used - old_used);
    kiln_arena_store_used(arena, new_used);
    return NULL;
}

/* What became of an attempt to get a new block. */
typedef struct growth {
    kiln_arena_branch_t branch;
    bool give_up; /* seed: a refused block ends the request, without the fallback */
} growth_t;

static growth_t accept_block(kiln_arena_t *arena, kiln_addr_t block, uint64_t bytes, bool reserved)
{
    kiln_addr_t block_end = kiln_arena_add(arena, block, bytes);
    uint64_t last = kiln_arena_sub(arena, block_end, kiln_arena_add(arena, arena->arena_start, 1));

    if (block == arena->arena_end) {
        arena->arena_end = block_end;
        arena->arena_reserved = reserved;
        return (growth_t){.branch = KILN_ARENA_EXTEND};
    }
    bool in_range = arena->arena_start <= block && last <= arena->config.addr_max;
    if (in_range && kiln_arena_left(arena) < arena->config.strand_bytes) {
        /* The end comes from the block as it was mapped, the start is rounded afterwards: a block
         * at an odd hardware page must not seem to reach beyond its mapping. arena_used stays. */
        arena->arena_end = block_end;
        arena->arena_alloc = kiln_arena_up(arena, block, arena->config.page_bytes);
        arena->arena_reserved = reserved;
        return (growth_t){.branch = KILN_ARENA_SWITCH};
    }
    arena->os->release(arena->os->ctx, block, bytes);
    return (growth_t){.branch = in_range ? KILN_ARENA_REJECT_STRAND : KILN_ARENA_REJECT_RANGE};
}

static growth_t grow_block(kiln_arena_t *arena, uint64_t bytes)
{
    const kiln_arena_config_t *config = &arena->config;
    /* One page more than asked for pays for rounding the block's start up. */
    uint64_t size = kiln_arena_up(arena, bytes + config->page_bytes, config->block_bytes);
    kiln_addr_t new_end = kiln_arena_add(arena, arena->arena_end, size);

    if (new_end < arena->arena_end) return (growth_t){.branch = KILN_ARENA_GROW_OVERFLOW};
    /* The offset of the last byte, not the length: a whole 32-bit range has no length. */
    if (((new_end - arena->arena_start - 1) & arena->mask) > config->addr_max)
        return (growth_t){.branch = KILN_ARENA_GROW_LIMIT};

    bool reserved = false;
    kiln_addr_t block = arena->os->reserve(arena->os->ctx, arena->arena_end, size, &reserved);
    /* Before the contiguity test: arena_end may be 0. */
    if (block == 0)
        return (growth_t){.branch = KILN_ARENA_RESERVE_FAILED,
                          .give_up = config->follow == KILN_FOLLOW_SEED};
    return accept_block(arena, block, size, reserved);
}

static kiln_arena_result_t take(kiln_arena_t *arena, uint64_t bytes, kiln_arena_branch_t branch)
{
    kiln_arena_result_t result = {.branch = branch, .service = KILN_ARENA_FROM_BLOCK};
    kiln_addr_t addr = arena->arena_alloc;

    arena->heap_sys_bytes += bytes; /* counted first, so a fatal failure shows it counted */
    result.throw_reason = throw_reason_of(
        arena->os->commit(arena->os->ctx, addr, bytes, arena->arena_reserved, KILN_OS_HEAP),
        arena->arena_reserved);
    if (result.throw_reason) return result;

    arena->arena_alloc = kiln_arena_add(arena, addr, bytes);
    if (arena->arena_alloc > kiln_arena_used(arena))
        result.throw_reason = kiln_arena_raise_used(arena, arena->arena_alloc, true);
    if (!result.throw_reason && !kiln_is_aligned(addr, arena->config.page_bytes))
        result.throw_reason = KILN_THROW_MISALIGNED;
    if (!result.throw_reason) result.addr = addr;
    return result;
}

/* The small fallback: just enough memory, wherever the OS has some. The current block is left as it
 * is. Up to a page before and after what is handed out is lost, and stays counted. */
static kiln_arena_result_t fall_back(kiln_arena_t *arena, uint64_t bytes,
                                     kiln_arena_branch_t branch)
{
    kiln_arena_result_t result = {.branch = branch, .service = KILN_ARENA_SMALL_FAILED};
    uint64_t page_bytes = arena->config.page_bytes;
    uint64_t size = (kiln_round_up(bytes, page_bytes) + page_bytes) & arena->mask;

    kiln_addr_t got = arena->os->direct(arena->os->ctx, size, KILN_OS_HEAP);
    if (got == 0) return result;
    arena->heap_sys_bytes += size;
    /* Without the -1 of the other range test: memory that ends exactly at the limit is refused. */
    if (got < arena->arena_start ||
        ((got + size - arena->arena_start) & arena->mask) > arena->config.addr_max) {
        if (arena->log && arena->log->outside) arena->log->outside(arena->log->ctx, got);
        arena->os->release(arena->os->ctx, got, size);
        arena->heap_sys_bytes -= size;
        result.service = KILN_ARENA_SMALL_RANGE;
        return result;
    }
    kiln_addr_t addr = kiln_arena_up(arena, got, page_bytes);
    kiln_addr_t end = kiln_arena_add(arena, addr, bytes);
    if (end > kiln_arena_used(arena)) result.throw_reason = kiln_arena_raise_used(arena, end, true);
    result.service = KILN_ARENA_SMALL;
    if (!result.throw_reason) result.addr = addr;
    return result;
}

kiln_arena_result_t kiln_arena_alloc_seed(kiln_arena_t *arena, uint64_t bytes)
{
    growth_t growth = {.branch = KILN_ARENA_BUMP};

    /* Differences, never sums: arena_alloc + bytes may wrap. */
    if (bytes > kiln_arena_left(arena)) growth = grow_block(arena, bytes);
    if (!growth.give_up && bytes <= kiln_arena_left(arena))
        return take(arena, bytes, growth.branch);
    if (growth.give_up || !kiln_arena_has_fallback(arena))
        return (kiln_arena_result_t){.branch = growth.branch, .service = KILN_ARENA_NIL};
    return fall_back(arena, bytes, growth.branch);
}
