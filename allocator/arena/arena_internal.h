/* arena_internal.h - what the files of the arena share; nobody else includes it. */
#ifndef KILN_ALLOCATOR_ARENA_ARENA_INTERNAL_H
#define KILN_ALLOCATOR_ARENA_ARENA_INTERNAL_H

#include "allocator/arena/arena.h"

/* The reasons for which `seed` and `go19` stop the program. */
#define KILN_THROW_NO_MEMORY "out of memory while mapping"
#define KILN_THROW_CONFLICT "mapping landed elsewhere: address space conflict"
#define KILN_THROW_NOT_HONOURED "mapping landed elsewhere: reserved range not honoured"
#define KILN_THROW_MISALIGNED "result is not page aligned"
#define KILN_THROW_SPANS_FULL "span table capacity exceeded"
#define KILN_THROW_NO_START "no initial reservation possible"

/* Sums and differences of addresses wrap at the width of the machine. */
static inline kiln_addr_t kiln_arena_add(const kiln_arena_t *arena, kiln_addr_t a, uint64_t b)
{
    return (a + b) & arena->mask;
}

static inline uint64_t kiln_arena_sub(const kiln_arena_t *arena, kiln_addr_t a, kiln_addr_t b)
{
    return (a - b) & arena->mask;
}

static inline uint64_t kiln_arena_up(const kiln_arena_t *arena, uint64_t n, uint64_t unit)
{
    return kiln_round_up(n, unit) & arena->mask;
}

static inline uint64_t kiln_arena_left(const kiln_arena_t *arena)
{
    return kiln_arena_sub(arena, arena->arena_end, arena->arena_alloc);
}

/* kiln_arena_config_unit gives what is whole pages and whole hardware pages. */
static inline uint64_t kiln_arena_config_unit(const kiln_arena_config_t *config)
{
    return config->page_bytes > config->phys_bytes ? config->page_bytes : config->phys_bytes;
}

/* kiln_arena_unit gives what a request of `kiln` must be a multiple of. */
static inline uint64_t kiln_arena_unit(const kiln_arena_t *arena)
{
    return kiln_arena_config_unit(&arena->config);
}

/* kiln_arena_granule_min gives the smallest size that blocks of `kiln` are multiples of. */
static inline uint64_t kiln_arena_granule_min(const kiln_arena_config_t *config)
{
    uint64_t min = config->granule_min_bytes;

    if (min < config->page_bytes) min = config->page_bytes;
    if (min < config->phys_bytes) min = config->phys_bytes;
    return min < config->block_bytes ? min : config->block_bytes;
}

static inline uint64_t kiln_arena_region_bytes(const kiln_arena_region_t *region)
{
    return region->end - region->start;
}

/* kiln_arena_release_held gives back what is really reserved; else nothing is held. */
static inline void kiln_arena_release_held(kiln_arena_t *arena, kiln_addr_t addr, uint64_t bytes,
                                           bool reserved)
{
    if (reserved && bytes != 0) arena->os->release(arena->os->ctx, addr, bytes);
}

static inline bool kiln_arena_has_fallback(const kiln_arena_t *arena)
{
    return arena->config.addr_bits <= 32;
}

/* kiln_arena_store_used raises arena_used to `new_used`, the last step of a publication. */
void kiln_arena_store_used(kiln_arena_t *arena, kiln_addr_t new_used);

/* kiln_arena_raise_used publishes the bound `new_used` the way seed and go19 do: tables without
 * holes, the watcher told of the step of arena_used when `watched`. Returns NULL or a throw reason.
 */
const char *kiln_arena_raise_used(kiln_arena_t *arena, kiln_addr_t new_used, bool watched);

/* kiln_arena_overlaps: does [start, last] overlap address space that the arena still has to hand
 * out, or its tables, and that is really reserved, or, asked with false, only believed free? The
 * tables of an arena that was placed by hand are nowhere. */
bool kiln_arena_overlaps(const kiln_arena_t *arena, kiln_addr_t start, kiln_addr_t last,
                         bool reserved);

kiln_arena_result_t kiln_arena_alloc_seed(kiln_arena_t *arena, uint64_t bytes);
kiln_arena_result_t kiln_arena_alloc_kiln(kiln_arena_t *arena, uint64_t bytes);

/* --- blocks as the OS gives them to `kiln` (arena_block.c) --- */

/* A block before the arena has it. `branch` is KILN_ARENA_EXTEND where it is adjacent to the
 * current block and of its flag, KILN_ARENA_SWITCH where it is not, and else says why there is
 * none; the region's start is a hardware page's and not rounded to a page. */
typedef struct kiln_arena_block {
    kiln_arena_branch_t branch;
    kiln_arena_region_t region;
} kiln_arena_block_t;

/* kiln_arena_block_ask asks for a block that serves `bytes`, which are more than the current one
 * has and not oversized: by the granule and, when the OS has none that large, by half of it, down
 * to the smallest. It lies in the possible range and overlaps nothing of the arena's; what does not
 * has gone back. The branch names the last refusal of the OS, or the first of the arena's own when
 * the OS was never asked. The arena is as it was. */
kiln_arena_block_t kiln_arena_block_ask(kiln_arena_t *arena, uint64_t bytes);

/* --- the remainders that `kiln` keeps (arena_kept.c) --- */

/* kiln_arena_kept_find gives the lowest remainder that holds `bytes`, or NULL. */
kiln_arena_region_t *kiln_arena_kept_find(kiln_arena_t *arena, uint64_t bytes);

/* kiln_arena_kept_take shortens a remainder by its first `bytes`, which are heap now. A rest that
 * is too small to be of use goes back to the OS. */
void kiln_arena_kept_take(kiln_arena_t *arena, kiln_arena_region_t *region, uint64_t bytes);

/* kiln_arena_kept_add remembers a remainder, which overlaps no other and is page aligned, as far as
 * it is not empty. What is too small to be of use, and the smallest remainder when there are too
 * many (of equals the new one, so that nothing moves), goes back to the OS: nothing is stranded. */
void kiln_arena_kept_add(kiln_arena_t *arena, kiln_arena_region_t region);

/* kiln_arena_kept_overlaps: does [start, last] overlap a remainder with that `reserved` flag? */
bool kiln_arena_kept_overlaps(const kiln_arena_t *arena, kiln_addr_t start, kiln_addr_t last,
                              bool reserved);

const char *kiln_arena_kept_broken_rule(const kiln_arena_t *arena);

/* --- their array (arena_kept_list.c) --- */

/* kiln_arena_kept_place gives the index of a remainder that begins at `start`: what is before it
 * begins below. kiln_arena_kept_insert puts one there; the array is not full. */
unsigned kiln_arena_kept_place(const kiln_arena_t *arena, kiln_addr_t start);
void kiln_arena_kept_insert(kiln_arena_t *arena, unsigned idx, kiln_arena_region_t region);

/* kiln_arena_kept_remove takes one of the array's elements out. */
void kiln_arena_kept_remove(kiln_arena_t *arena, const kiln_arena_region_t *region);

/* kiln_arena_kept_smallest gives the lowest of the smallest ones; the array is full. */
kiln_arena_region_t *kiln_arena_kept_smallest(kiln_arena_t *arena);

#endif
