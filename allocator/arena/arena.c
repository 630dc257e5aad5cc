#include "allocator/arena/arena.h"

#include "allocator/arena/arena_internal.h"
#include "allocator/base/check.h"

enum {
    KILN_ARENA_GROW_UNIT_BYTES = 64 << 10, /* a multiple of every hardware page in use */
    KILN_ARENA_GROW_MIN_BYTES = 1 << 20,
};

kiln_arena_config_t kiln_arena_config_default(unsigned addr_bits, uint64_t phys_bytes)
{
    bool wide = addr_bits > 32;
    return (kiln_arena_config_t){
        .follow = KILN_FOLLOW_KILN,
        .addr_bits = addr_bits,
        .page_bytes = KILN_KIB(8),
        .word_bytes = wide ? 8 : 4,
        .phys_bytes = phys_bytes,
        .block_bytes = KILN_MIB(256),
        .granule_min_bytes = KILN_MIB(1),
        .strand_bytes = KILN_MIB(16),
        .addr_max = kiln_width_mask(wide ? 39 : 32),
        .tables = 1u << KILN_ARENA_BITS | 1u << KILN_ARENA_SPANS,
    };
}

const char *kiln_arena_config_broken_rule(const kiln_arena_config_t *config)
{
    if (config->addr_bits < 4 || config->addr_bits > 64) return "addr_bits is 4 to 64";
    uint64_t mask = kiln_width_mask(config->addr_bits);

    if (!kiln_is_power_of_two(config->page_bytes)) return "page is a power of two";
    if (!kiln_is_power_of_two(config->phys_bytes)) return "phys is a power of two";
    if (!kiln_is_power_of_two(config->word_bytes)) return "word is a power of two";
    if (!kiln_is_power_of_two(config->block_bytes)) return "block is a power of two";
    if (config->block_bytes < config->page_bytes) return "block is at least page";
    if (config->block_bytes < config->phys_bytes) return "block is at least phys";
    if (config->block_bytes > mask) return "block fits the width";
    if (!kiln_is_power_of_two(config->granule_min_bytes)) return "granule_min is a power of two";
    if (config->page_bytes < config->word_bytes) return "page is at least a word";
    if (config->addr_max > mask) return "maxmem fits the width";
    if (config->addr_max > kiln_width_mask(62)) return "maxmem is below 2^62";
    if (config->addr_max < config->page_bytes - 1) return "maxmem is at least one page, minus one";
    if (config->tables >> KILN_ARENA_TABLES != 0) return "tables names tables that exist";
    if (config->follow > KILN_FOLLOW_KILN) return "follow is seed, go19 or kiln";
    return NULL;
}

/* set_tables fills in the geometry of both tables; their addresses come later. */
static void set_tables(kiln_arena_table_t tables[KILN_ARENA_TABLES],
                       const kiln_arena_config_t *config)
{
    bool kiln = config->follow == KILN_FOLLOW_KILN;
    /* Under `kiln` what lies behind a table is whole hardware pages, too. */
    uint64_t unit = kiln ? kiln_arena_config_unit(config) : config->page_bytes;

    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        bool bits = id == KILN_ARENA_BITS;
        kiln_arena_table_t *table = &tables[id];
        *table = (kiln_arena_table_t){
            .used = config->tables >> id & 1,
            .grows_down = bits && !kiln,
            .use = bits ? KILN_OS_BITS : KILN_OS_SPANS,
            .heap_bytes = bits ? 4 * config->word_bytes : config->page_bytes,
            .entry_bytes = bits ? 1 : config->word_bytes,
            .round_bytes = bits ? config->page_bytes : 1,
            .phys_bytes = config->phys_bytes,
        };
        if (!table->used) continue;
        uint64_t entries = config->addr_max / table->heap_bytes;
        if (config->addr_max % table->heap_bytes == table->heap_bytes - 1) entries++;
        table->bytes_max = kiln_round_up(entries * table->entry_bytes, unit);
    }
}

static size_t table_present_words(const kiln_arena_table_t *table)
{
    uint64_t pages = (table->bytes_max + table->phys_bytes - 1) / table->phys_bytes;
    return (size_t)((pages + 63) / 64);
}

size_t kiln_arena_present_words(const kiln_arena_config_t *config)
{
    kiln_arena_table_t tables[KILN_ARENA_TABLES];
    size_t words = 0;

    if (config->follow != KILN_FOLLOW_KILN) return 0;
    set_tables(tables, config);
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) words += table_present_words(&tables[id]);
    return words;
}

const char *kiln_arena_init(kiln_arena_t *arena, const kiln_arena_config_t *config,
                            const kiln_os_t *os, const kiln_watcher_t *watcher,
                            const kiln_arena_log_t *log, uint64_t *present)
{
    const char *rule = kiln_arena_config_broken_rule(config);
    if (rule) return rule;

    *arena = (kiln_arena_t){
        .config = *config,
        .mask = kiln_width_mask(config->addr_bits),
        .os = os,
        .watcher = watcher,
        .log = log,
        .arena_reserved = true,
        .tables_reserved = true,
    };
    set_tables(arena->tables, config);
    if (config->follow != KILN_FOLLOW_KILN) return NULL;
    if (!present) return "kiln needs memory for kiln_arena_present_words()";
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        arena->tables[id].present = (_Atomic uint64_t *)present;
        present += table_present_words(&arena->tables[id]);
    }
    return NULL;
}

/* Publishing a new bound, and who reads it:
 *
 *   writer, holds the arena's lock               reader, no lock (free, reports, race detector)
 *   1 heap bytes committed
 *   2 table pages committed
 *   3 watchers told (shadow exists)
 *   4 present bits stored, release       ---->   2 present bit, acquire: the entry may be read
 *   5 arena_used stored, release         ---->   1 addr < arena_used, acquire
 *
 * A stale bound only makes a reader call a brand-new block "not heap"; whoever handed it that block
 * synchronised with us. A bound that decreased would disown live blocks, so it never does. */
void kiln_arena_store_used(kiln_arena_t *arena, kiln_addr_t new_used)
{
    kiln_addr_t old_used = kiln_arena_used(arena);

    KILN_ASSERT(new_used >= old_used);
    if (arena->log && arena->log->bound) arena->log->bound(arena->log->ctx, old_used, new_used);
    atomic_store_explicit(&arena->arena_used, new_used, memory_order_release);
}

const char *kiln_arena_publish_start(kiln_arena_t *arena)
{
    if (arena->config.follow != KILN_FOLLOW_KILN)
        return kiln_arena_raise_used(arena, kiln_arena_used(arena), false);
    kiln_arena_store_used(arena, kiln_arena_used(arena));
    return NULL;
}

kiln_arena_result_t kiln_arena_alloc(kiln_arena_t *arena, uint64_t bytes)
{
    kiln_arena_result_t result = arena->config.follow == KILN_FOLLOW_KILN
                                     ? kiln_arena_alloc_kiln(arena, bytes)
                                     : kiln_arena_alloc_seed(arena, bytes);
    if (arena->log && arena->log->returned) arena->log->returned(arena->log->ctx, bytes, &result);
    return result;
}

kiln_arena_result_t kiln_arena_grow(kiln_arena_t *arena, uint64_t pages, uint64_t *out_bytes)
{
    uint64_t page_bytes = arena->config.page_bytes;
    /* Wraps as the machine would; a wrapped request is smaller than the caller's, who compares. */
    uint64_t exact =
        kiln_arena_up(arena, pages * page_bytes & arena->mask, KILN_ARENA_GROW_UNIT_BYTES);
    uint64_t ask = exact < KILN_ARENA_GROW_MIN_BYTES ? KILN_ARENA_GROW_MIN_BYTES : exact;

    kiln_arena_result_t result = kiln_arena_alloc(arena, ask);
    if (result.addr == 0 && !result.throw_reason && exact < ask) {
        ask = exact;
        result = kiln_arena_alloc(arena, ask);
    }
    *out_bytes = ask;
    return result;
}

bool kiln_arena_overlaps(const kiln_arena_t *arena, kiln_addr_t start, kiln_addr_t last,
                         bool reserved)
{
    if (arena->arena_reserved == reserved && arena->arena_alloc < arena->arena_end &&
        start < arena->arena_end && arena->arena_alloc <= last)
        return true;
    if (kiln_arena_kept_overlaps(arena, start, last, reserved)) return true;
    for (unsigned id = 0; id < KILN_ARENA_TABLES && arena->tables_reserved == reserved; id++) {
        const kiln_arena_table_t *table = &arena->tables[id];
        if (table->used && table->base != 0 && start <= table->base + (table->bytes_max - 1) &&
            table->base <= last)
            return true;
    }
    return false;
}

bool kiln_arena_table_covers(const kiln_arena_t *arena, kiln_arena_table_id_t id, kiln_addr_t addr)
{
    const kiln_arena_table_t *table = &arena->tables[id];
    return table->used && kiln_arena_holds(arena, addr) &&
           kiln_arena_table_has(table, addr - arena->arena_start);
}

static const char *seed_broken_rule(const kiln_arena_t *arena)
{
    uint64_t heap_bytes = kiln_arena_sub(arena, kiln_arena_used(arena), arena->arena_start);

    /* An end of 0 stands for the top of the address space. */
    if (arena->arena_alloc > arena->arena_end && arena->arena_end != 0)
        return "arena_alloc <= arena_end";
    if (arena->kept_count != 0) return "seed and go19 keep no remainders";
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        const kiln_arena_table_t *table = &arena->tables[id];
        /* `seed` maps nothing before its first publication: weakness W1. */
        bool fresh = arena->config.follow == KILN_FOLLOW_SEED && table->mapped_bytes == 0;
        if (table->used && !fresh && table->mapped_bytes < kiln_arena_table_need(table, heap_bytes))
            return "tables cover [arena_start, arena_used)";
    }
    return NULL;
}

static const char *kiln_mode_broken_rule(const kiln_arena_t *arena)
{
    if (arena->arena_alloc > arena->arena_end) return "arena_alloc <= arena_end";
    if (arena->arena_end > arena->mask) return "arena_end is representable";
    if (arena->arena_end > arena->arena_alloc &&
        (arena->arena_alloc < arena->arena_start ||
         arena->arena_end - 1 - arena->arena_start > arena->config.addr_max))
        return "the current block lies in the possible range";
    if (arena->arena_end > arena->arena_alloc && arena->arena_alloc == 0)
        return "the current block does not hold address 0, which answers \"none\"";
    if (!kiln_is_aligned(arena->arena_alloc, kiln_arena_unit(arena)))
        return "arena_alloc is aligned to a page and to a hardware page";
    if (!kiln_is_aligned(arena->arena_end, arena->config.phys_bytes))
        return "arena_end is aligned to a hardware page";
    return kiln_arena_kept_broken_rule(arena);
}

const char *kiln_arena_broken_rule(const kiln_arena_t *arena)
{
    kiln_addr_t used = kiln_arena_used(arena);

    const char *rule = kiln_arena_config_broken_rule(&arena->config);
    if (rule) return rule;
    if (used > arena->mask) return "arena_used is representable";
    if (used < arena->arena_start) return "arena_start <= arena_used";
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) {
        rule = kiln_arena_table_broken_rule(&arena->tables[id]);
        if (rule) return rule;
    }
    return arena->config.follow == KILN_FOLLOW_KILN ? kiln_mode_broken_rule(arena)
                                                    : seed_broken_rule(arena);
}

const char *kiln_follow_name(kiln_follow_t follow)
{
    static const char *const names[] = {"seed", "go19", "kiln"};
    return names[follow];
}

const char *kiln_arena_branch_name(kiln_arena_branch_t branch)
{
    static const char *const names[] = {
        "bump",       "extend",         "switch",        "grow-overflow",
        "grow-limit", "reserve-failed", "reject-strand", "reject-range",
    };
    return names[branch];
}

const char *kiln_arena_service_suffix(kiln_arena_service_t service)
{
    static const char *const suffixes[] = {
        "", "/nil", "/small", "/small-failed", "/small-range", "/map-failed",
    };
    return suffixes[service];
}
