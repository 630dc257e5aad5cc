/* The blocks of `kiln`: what to ask the OS for, and what the answer is good for. Nothing here
 * changes the arena, so that a step can still be called off. */
#include "allocator/arena/arena_internal.h"

/* judge_block decides what a block that the OS gave is good for. An OS that lies (a range that
 * leaves the address space, that overlaps what is ours, that is not aligned) gets a refusal, and
 * nothing is given back that may not be ours to give. */
static kiln_arena_block_t judge_block(kiln_arena_t *arena, kiln_addr_t start, uint64_t size,
                                      bool reserved)
{
    const kiln_arena_config_t *config = &arena->config;
    kiln_arena_block_t block = {.branch = KILN_ARENA_REJECT_RANGE};
    kiln_addr_t last = start + (size - 1);

    if (start > arena->mask || last > arena->mask || last < start ||
        !kiln_is_aligned(start, config->phys_bytes) ||
        kiln_arena_overlaps(arena, start, last, true))
        return block;
    if (last == arena->mask) {
        /* The end of this block cannot be written as an exclusive bound: chop off the last page. */
        uint64_t unit = kiln_arena_unit(arena);
        kiln_arena_release_held(arena, start + (size - unit), unit, reserved);
        size -= unit;
        last -= unit;
    }
    /* Nothing was held of a block that is only believed free, so the OS may grant it once more. */
    if (start < arena->arena_start || last - arena->arena_start > config->addr_max ||
        kiln_arena_overlaps(arena, start, last, false)) {
        kiln_arena_release_held(arena, start, size, reserved);
        return block;
    }
    bool adjacent = start == arena->arena_end && reserved == arena->arena_reserved;
    block.branch = adjacent ? KILN_ARENA_EXTEND : KILN_ARENA_SWITCH;
    block.region = (kiln_arena_region_t){.start = start, .end = start + size, .reserved = reserved};
    return block;
}

kiln_arena_block_t kiln_arena_block_ask(kiln_arena_t *arena, uint64_t bytes)
{
    const kiln_arena_config_t *config = &arena->config;
    kiln_arena_block_t block = {.branch = KILN_ARENA_BUMP};
    uint64_t wanted = bytes + config->page_bytes, last_size = 0;
    uint64_t room = arena->mask - arena->arena_end, offset = arena->arena_end - arena->arena_start;
    uint64_t room_in_range = offset <= config->addr_max ? config->addr_max - offset + 1 : 0;
    kiln_addr_t start = 0;
    bool reserved = false;

    for (uint64_t granule = config->block_bytes;
         start == 0 && granule >= kiln_arena_granule_min(config); granule /= 2) {
        kiln_arena_branch_t refusal = KILN_ARENA_RESERVE_FAILED;
        uint64_t size = kiln_round_up(wanted, granule);
        if (wanted < bytes || size < wanted || size > room)
            refusal = KILN_ARENA_GROW_OVERFLOW;
        else if (size > room_in_range)
            refusal = KILN_ARENA_GROW_LIMIT;
        if (refusal != KILN_ARENA_RESERVE_FAILED) {
            if (block.branch == KILN_ARENA_BUMP) block.branch = refusal;
            continue;
        }
        if (size == last_size) continue; /* the OS refused it already */
        last_size = size;
        block.branch = KILN_ARENA_RESERVE_FAILED;
        start = arena->os->reserve(arena->os->ctx, arena->arena_end, size, &reserved);
    }
    return start == 0 ? block : judge_block(arena, start, last_size, reserved);
}
