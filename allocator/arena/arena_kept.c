/* The remainders of earlier blocks that `kiln` keeps, by ascending address. */
#include "allocator/arena/arena_internal.h"

kiln_arena_region_t *kiln_arena_kept_find(kiln_arena_t *arena, uint64_t bytes)
{
    for (unsigned i = 0; i < arena->kept_count; i++)
        if (kiln_arena_region_bytes(&arena->kept[i]) >= bytes) return &arena->kept[i];
    return NULL;
}

void kiln_arena_kept_take(kiln_arena_t *arena, kiln_arena_region_t *region, uint64_t bytes)
{
    region->start += bytes;
    if (kiln_arena_region_bytes(region) >= kiln_arena_unit(arena)) return;

    kiln_arena_region_t rest = *region;
    kiln_arena_kept_remove(arena, region);
    kiln_arena_release_held(arena, rest.start, kiln_arena_region_bytes(&rest), rest.reserved);
}

void kiln_arena_kept_add(kiln_arena_t *arena, kiln_arena_region_t region)
{
    kiln_arena_region_t victim = region;

    if (kiln_arena_region_bytes(&region) >= kiln_arena_unit(arena)) {
        if (arena->kept_count == KILN_ARENA_KEPT_MAX) {
            kiln_arena_region_t *smallest = kiln_arena_kept_smallest(arena);
            if (kiln_arena_region_bytes(&region) > kiln_arena_region_bytes(smallest)) {
                victim = *smallest;
                kiln_arena_kept_remove(arena, smallest);
            }
        } else {
            victim.end = victim.start;
        }
        if (arena->kept_count < KILN_ARENA_KEPT_MAX)
            kiln_arena_kept_insert(arena, kiln_arena_kept_place(arena, region.start), region);
    }
    kiln_arena_release_held(arena, victim.start, kiln_arena_region_bytes(&victim), victim.reserved);
}

bool kiln_arena_kept_overlaps(const kiln_arena_t *arena, kiln_addr_t start, kiln_addr_t last,
                              bool reserved)
{
    for (unsigned i = 0; i < arena->kept_count; i++)
        if (arena->kept[i].reserved == reserved && start < arena->kept[i].end &&
            arena->kept[i].start <= last)
            return true;
    return false;
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
        if (kiln_arena_region_bytes(region) < kiln_arena_unit(arena))
            return "a kept remainder is of use";
        if (region->start == 0) return "a kept remainder does not hold address 0";
        if (!kiln_is_aligned(region->start, kiln_arena_unit(arena)))
            return "a kept remainder starts at a page";
        if (!kiln_is_aligned(region->end, arena->config.phys_bytes))
            return "a kept remainder ends with a hardware page";
        if (region->start < arena->arena_start ||
            region->end - 1 - arena->arena_start > arena->config.addr_max)
            return "a kept remainder lies in the possible range";
        if (region->start < arena->arena_end && arena->arena_alloc < region->end)
            return "a kept remainder does not overlap the current block";
        last_end = region->end;
    }
    return NULL;
}
