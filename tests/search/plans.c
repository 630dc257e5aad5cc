/* plans.c - see plans.h. */
#include "tests/search/plans.h"

#include "tests/search/laws.h"

#include <string.h>

/* A small machine. Sizes are in bytes; on the real ones a page is 8 KiB, a hardware page half, two
 * or eight of them, a block 32768 pages, and the strand limit a sixteenth of a block. */
typedef struct shape {
    const char *name;
    unsigned bits, page, word, phys, block, strand, granule_min;
    unsigned addr_max;  /* 0: the whole width */
    unsigned tables;    /* 1: bits, 2: spans, 3: both */
    unsigned addr_bits; /* 0: `bits`; more than 32: a window of a larger space ... */
    bool at_top;        /* ... that ends at its top */
    bool unreserved, by_start, quick;
} shape_t;

static const shape_t shapes[] = {
    /* hardware page = half a page */
    {"6-half", 6, 8, 2, 4, 16, 16, 16, 0, 0, 0, 0, 1, 0, 1},
    {"6-half-halving", 6, 8, 2, 4, 32, 16, 8, 0, 0, 0, 0, 1, 0, 1},
    {"6-half-tables", 6, 8, 2, 4, 16, 16, 8, 0, 3, 0, 0, 1, 0, 1},
    {"6-half-limit", 6, 8, 2, 4, 16, 16, 8, 47, 2, 0, 0, 1, 0, 1},
    {"7-half", 7, 8, 2, 4, 32, 16, 8, 0, 0, 0, 0, 0, 0, 0},
    {"7-half-tables", 7, 8, 2, 4, 32, 16, 8, 0, 3, 0, 0, 0, 0, 1},
    {"7-half-start", 7, 8, 2, 4, 32, 16, 8, 0, 3, 0, 0, 1, 1, 1},
    {"8-half-tables", 8, 16, 2, 8, 64, 32, 16, 0, 3, 0, 0, 0, 0, 0},
    /* the same size */
    {"6-equal", 6, 4, 1, 4, 16, 8, 4, 0, 0, 0, 0, 0, 0, 1},
    {"6-equal-tables", 6, 4, 1, 4, 16, 8, 4, 0, 3, 0, 0, 1, 0, 1},
    {"7-equal", 7, 16, 4, 16, 64, 32, 16, 0, 0, 0, 0, 1, 0, 1},
    {"7-equal-tables", 7, 16, 4, 16, 32, 32, 16, 0, 3, 0, 0, 1, 0, 1},
    {"7-equal-limit", 7, 16, 4, 16, 32, 32, 16, 63, 0, 0, 0, 1, 0, 1},
    {"8-equal-tables", 8, 16, 4, 16, 64, 32, 16, 0, 3, 0, 0, 0, 0, 0},
    {"8-equal-start", 8, 16, 2, 16, 32, 32, 16, 0, 3, 0, 0, 0, 1, 1},
    {"8-equal-start-limit", 8, 16, 4, 16, 32, 32, 16, 191, 2, 0, 0, 0, 1, 1},
    /* two pages */
    {"7-double", 7, 8, 2, 16, 32, 16, 16, 0, 0, 0, 0, 1, 0, 1},
    {"7-double-tables", 7, 8, 2, 16, 32, 32, 8, 0, 3, 0, 0, 1, 0, 1},
    {"8-double-tables", 8, 8, 2, 16, 64, 32, 8, 0, 3, 0, 0, 0, 0, 1},
    {"8-double-start", 8, 8, 1, 16, 32, 32, 8, 0, 3, 0, 0, 1, 1, 1},
    /* four and eight pages */
    {"7-quad-tables", 7, 4, 1, 16, 32, 16, 4, 0, 3, 0, 0, 1, 0, 1},
    {"8-quad-tables", 8, 8, 2, 32, 64, 32, 8, 0, 3, 0, 0, 1, 0, 1},
    {"8-octuple-tables", 8, 4, 1, 32, 64, 32, 4, 0, 3, 0, 0, 1, 0, 1},
    {"8-octuple-start", 8, 4, 1, 32, 64, 32, 4, 0, 2, 0, 0, 1, 1, 1},
    /* more than 32 bits: no fallback, and tables count from where the heap begins */
    {"wide-half", 7, 8, 2, 4, 16, 16, 8, 63, 0, 33, 0, 1, 0, 1},
    {"wide-tables", 7, 8, 2, 8, 32, 16, 8, 63, 3, 33, 0, 1, 0, 1},
    {"wide-top", 7, 8, 2, 8, 32, 16, 8, 63, 3, 33, 1, 1, 0, 1},
    {"wide-double", 7, 8, 2, 16, 32, 16, 8, 63, 2, 33, 1, 1, 0, 1},
    {"wide-start", 7, 8, 1, 8, 16, 16, 8, 63, 3, 33, 0, 1, 1, 1},
    {"wide-start-top", 8, 16, 2, 8, 32, 32, 16, 127, 3, 33, 1, 1, 1, 1},
    /* for walks: more address space than three requests can use up */
    {"walk-half", 11, 8, 2, 4, 128, 32, 8, 0, 3, 0, 0, 1, 1, 0},
    {"walk-equal", 12, 8, 2, 8, 256, 64, 16, 0, 3, 0, 0, 1, 1, 0},
    {"walk-double", 12, 8, 2, 16, 256, 64, 8, 0, 3, 0, 0, 1, 1, 0},
    {"walk-octuple", 12, 8, 2, 64, 256, 64, 8, 0, 3, 0, 0, 1, 1, 0},
    {"walk-limit", 11, 8, 2, 4, 128, 32, 8, 1535, 3, 0, 0, 1, 1, 0},
    {"walk-reserved", 12, 8, 2, 8, 128, 32, 8, 0, 3, 0, 0, 0, 1, 0},
    {"walk-wide", 12, 8, 2, 4, 128, 32, 8, 2047, 3, 40, 1, 1, 1, 0},
};

/* A range that ends within a hardware page or a page, and tables that would: `seed` and `go19` map
 * parts of hardware pages then. */
static const shape_t kiln_shapes[] = {
    {"8-double-start-odd", 8, 8, 1, 16, 32, 32, 8, 183, 3, 0, 0, 1, 1, 1},
    {"8-double-start-odder", 8, 8, 2, 16, 32, 32, 8, 202, 2, 0, 0, 1, 1, 1},
    {"wide-start-odd", 8, 8, 1, 16, 32, 16, 8, 87, 3, 33, 0, 1, 1, 1},
};

static const shape_t *nth_shape(unsigned n, kiln_follow_t follow)
{
    const unsigned count = sizeof shapes / sizeof *shapes;
    if (n < count) return &shapes[n];
    n -= count;
    return follow == KILN_FOLLOW_KILN && n < sizeof kiln_shapes / sizeof *kiln_shapes
               ? &kiln_shapes[n]
               : NULL;
}

bool search_plan(unsigned n, kiln_follow_t follow, search_plan_t *out_plan)
{
    const shape_t *shape = nth_shape(n, follow);
    if (!shape) return false;
    unsigned addr_bits = shape->addr_bits ? shape->addr_bits : shape->bits;
    uint64_t mask = kiln_width_mask(addr_bits), bytes = kiln_width_mask(shape->bits) + 1;
    *out_plan = (search_plan_t){
        .name = shape->name,
        .bits = shape->bits,
        .window = addr_bits == shape->bits ? 0
                  : shape->at_top          ? mask - (bytes - 1)
                                           : mask / 2 + 1,
        .unreserved = shape->unreserved,
        .by_start = shape->by_start,
        .walk = strncmp(shape->name, "walk", 4) == 0,
        .quick = shape->quick,
        .arena = {.follow = follow,
                  .addr_bits = addr_bits,
                  .page_bytes = shape->page,
                  .word_bytes = shape->word,
                  .phys_bytes = shape->phys,
                  .block_bytes = shape->block,
                  .granule_min_bytes = shape->granule_min,
                  .strand_bytes = shape->strand,
                  .addr_max = shape->addr_max ? shape->addr_max : mask,
                  .tables = shape->tables},
    };
    return true;
}

/* --- starts ---------------------------------------------------------------------------------- */

static uint64_t tables_bytes(void)
{
    const kiln_arena_t *arena = &search_machine.world.arena;
    uint64_t bytes = 0;
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++)
        if (arena->tables[id].used)
            bytes += kiln_round_up(arena->tables[id].bytes_max, arena->config.phys_bytes);
    return bytes;
}

/* The places that are tried for something: all of them, or the lowest, a middle one, the highest.
 */
static bool is_tried(uint64_t at, uint64_t first, uint64_t last, uint64_t unit, bool all)
{
    return all || at == first || at == last || at == kiln_round_down((first + last) / 2, unit);
}

typedef struct starts {
    search_start_t *items;
    unsigned count;
} starts_t;

static void add_start(starts_t *starts, search_start_t start)
{
    const kiln_arena_t *arena = &search_machine.world.arena;
    bool wide = arena->config.addr_bits > 32;
    bool kiln = search_follows_kiln();
    uint64_t end = start.end ? start.end : arena->mask + 1;
    start.start = wide ? start.alloc : 0;
    if (end - start.start > arena->config.addr_max + 1) return;
    if (kiln && end > arena->mask) return; /* such an end cannot be written */
    if (start.used < start.alloc || (wide && start.used - start.start > arena->config.addr_max + 1))
        return;
    if (starts->count == SEARCH_STARTS_MAX) search_break("the search has room for the starts", 0);
    starts->items[starts->count++] = start;
}

/* add_blocks adds a block of each length at each place that the tables leave free. */
static void add_blocks(starts_t *starts, kiln_addr_t tables, bool all)
{
    const search_plan_t *plan = search_machine.plan;
    uint64_t unit = search_machine.unit_bytes, top = plan->window + search_machine.bytes;
    uint64_t taken = tables_bytes(), block = plan->arena.block_bytes;
    uint64_t lengths[] = {0, unit, unit + plan->arena.phys_bytes, block};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t first = plan->window + (plan->window == 0 ? unit : 0), last = top - lengths[i];
        if (i == 2 && plan->arena.phys_bytes >= plan->arena.page_bytes) continue; /* an odd end */
        if (lengths[i] == 0) last -= unit;
        last = kiln_round_down(last, unit);
        for (kiln_addr_t at = first; at <= last; at += unit) {
            if (!is_tried(at, first, last, unit, all)) continue;
            if (lengths[i] != 0 && at < tables + taken && tables < at + lengths[i]) continue;
            kiln_addr_t end = (at + lengths[i]) & search_machine.world.arena.mask;
            kiln_addr_t peak = kiln_round_down(top - 1, unit);
            for (unsigned bits = 0; bits < 4; bits++) {
                if ((bits & 1) && (!plan->unreserved || lengths[i] + taken == 0)) continue;
                if ((bits & 2) && peak <= at) continue;
                add_start(starts, (search_start_t){.tables = tables,
                                                   .used = bits & 2 ? peak : at,
                                                   .alloc = at,
                                                   .end = end,
                                                   .reserved = !(bits & 1)});
            }
        }
    }
}

unsigned search_starts(search_start_t items[SEARCH_STARTS_MAX], bool all)
{
    const search_plan_t *plan = search_machine.plan;
    starts_t starts = {items, 0};
    uint64_t phys = plan->arena.phys_bytes, taken = tables_bytes();
    if (plan->by_start) {
        items[0] = (search_start_t){.start = 0};
        return 1;
    }
    if (plan->window == 0 && taken == 0) /* as kiln_arena_init leaves it */
        items[starts.count++] = (search_start_t){.reserved = true};
    if (taken == 0) {
        add_blocks(&starts, 0, all);
        return starts.count;
    }
    kiln_addr_t first = plan->window + (plan->window == 0 ? phys : 0);
    kiln_addr_t last = plan->window + search_machine.bytes - taken;
    for (kiln_addr_t tables = first; tables <= last; tables += phys)
        if (is_tried(tables, first, last, phys, all)) add_blocks(&starts, tables, all);
    return starts.count;
}

static void hold(kiln_addr_t addr, uint64_t bytes, bool reserved)
{
    uint64_t idx = 0, cells = 0;
    if (bytes == 0) return;
    if (!search_range(addr, bytes, &idx, &cells)) search_break("a start lies in the window", 0);
    for (uint64_t i = idx; i < idx + cells; i++) {
        if (reserved)
            search_state()[i] = SEARCH_RESERVED;
        else
            search_marks()[i] |= SEARCH_PROMISED;
    }
}

static const char *place(const search_start_t *start)
{
    kiln_arena_t *arena = &search_machine.world.arena;
    kiln_addr_t at = start->tables;
    for (unsigned i = 0; i < KILN_ARENA_TABLES; i++) {
        kiln_arena_table_t *table = &arena->tables[i == 0 ? KILN_ARENA_SPANS : KILN_ARENA_BITS];
        if (!table->used) continue;
        table->base = at;
        uint64_t bytes = kiln_round_up(table->bytes_max, arena->config.phys_bytes);
        hold(at, bytes, start->reserved);
        at += bytes;
    }
    hold(start->alloc, (start->end - start->alloc) & arena->mask, start->reserved);
    search_machine.world.tables_held = start->reserved;
    const char *refusal = kiln_arena_place(arena, start->start, start->used, start->alloc,
                                           start->end, start->reserved);
    if (refusal) search_break(refusal, SEARCH_UNKNOWN);
    /* As a trace does: `seed` maps nothing before its first publication. */
    if (arena->config.follow == KILN_FOLLOW_SEED) return NULL;
    return kiln_arena_publish_start(arena);
}

void search_do_start(const search_plan_t *plan, const search_start_t *start)
{
    static search_world_t before;
    search_open(plan);
    search_world_save(&before);
    const char *reason;
    if (plan->by_start) {
        kiln_arena_layout_t layout;
        search_machine.starting = true;
        reason = kiln_arena_start(&search_machine.world.arena, KILN_ARENA_AMD64, 0, 0, &layout);
        search_machine.starting = false;
    } else {
        reason = place(start);
    }
    search_judge_start(&before, reason);
}

/* --- requests -------------------------------------------------------------------------------- */

unsigned search_requests(uint64_t bytes[SEARCH_REQUESTS_MAX])
{
    const search_plan_t *plan = search_machine.plan;
    uint64_t unit = search_machine.unit_bytes, mask = search_machine.world.arena.mask;
    unsigned count = 0;
    /* Every multiple of what callers ask in, up to all there is. */
    for (uint64_t n = unit; n <= search_machine.bytes && n <= mask; n += unit)
        if (!plan->walk || n <= 24 * unit) bytes[count++] = n;
    for (uint64_t n = 3; n >= 1; n--) /* where sums wrap */
        if (mask + 1 - n * unit > bytes[count - 1]) bytes[count++] = mask + 1 - n * unit;
    if (plan->arena.addr_bits > 32 && search_follows_kiln()) bytes[count++] = mask / 2 + 1;
    if (!search_follows_kiln()) return count;
    bytes[count++] = 0; /* what the callers of seed and go19 never ask for */
    if (unit > 1) bytes[count++] = unit / 2;
    if (unit > plan->arena.page_bytes) bytes[count++] = unit + plan->arena.page_bytes;
    bytes[count++] = mask + 1;
    bytes[count++] = UINT64_MAX - unit + 1;
    return count;
}
