/* Start-up: one reservation that holds the tables and a first stretch of heap, in the order spans,
 * bits, heap. */
#include "allocator/arena/arena_internal.h"

enum {
    KILN_ARENA_HINTS = 128,     /* attempts at the big reservation */
    KILN_ARENA_HINT_SHIFT = 40, /* hint i is i << 40 | base */
    KILN_ARENA_ATTEMPTS = 4,    /* two blocks, one, a half, none */
};

static const kiln_addr_t hint_bases[] = {
    [KILN_ARENA_AMD64] = UINT64_C(0x00c0) << 32,
    [KILN_ARENA_ARM64] = UINT64_C(0x0040) << 32, /* 39-bit address spaces */
    [KILN_ARENA_DARWIN_ARM64] = UINT64_C(0x0013) << 28,
};

typedef struct reservation {
    kiln_addr_t start; /* 0: refused */
    uint64_t bytes;
    bool reserved;
} reservation_t;

static uint64_t tables_bytes(const kiln_arena_t *arena)
{
    return arena->tables[KILN_ARENA_SPANS].bytes_max + arena->tables[KILN_ARENA_BITS].bytes_max;
}

/* holds_start: is there room for the tables in what was reserved, and does the heap behind them
 * begin in the possible range? At 32 bits that range is fixed, wherever the OS puts things. */
static bool holds_start(const kiln_arena_t *arena, const reservation_t *got)
{
    kiln_addr_t heap_start =
        kiln_round_up(got->start, arena->config.page_bytes) + tables_bytes(arena);
    return got->bytes != 0 && heap_start <= got->start + got->bytes &&
           (arena->config.addr_bits > 32 || heap_start <= arena->config.addr_max);
}

/* reservation_bytes gives what is asked for: tables, `heap_bytes` and a page for rounding. */
static uint64_t reservation_bytes(const kiln_arena_t *arena, uint64_t heap_bytes)
{
    const kiln_arena_config_t *config = &arena->config;
    uint64_t bytes = tables_bytes(arena) + heap_bytes + config->page_bytes;
    return config->follow == KILN_FOLLOW_KILN ? kiln_round_up(bytes, config->phys_bytes) : bytes;
}

/* reserve_at asks for `bytes`. Under `kiln` an answer that leaves the address space, or is of no
 * use, is a refusal; and the page that ends at the top of the address space is given back. */
static reservation_t reserve_at(kiln_arena_t *arena, kiln_addr_t hint, uint64_t bytes)
{
    const kiln_os_t *os = arena->os;
    uint64_t unit = kiln_arena_unit(arena);
    reservation_t got = {.bytes = bytes & arena->mask};

    got.start = os->reserve(os->ctx, hint, got.bytes, &got.reserved);
    if (arena->config.follow != KILN_FOLLOW_KILN || got.start == 0) return got;

    kiln_addr_t last = got.start + (got.bytes - 1);
    if (got.start > arena->mask || last > arena->mask || last < got.start ||
        !kiln_is_aligned(got.start, arena->config.phys_bytes)) {
        got.start = 0;
        return got;
    }
    if (last == arena->mask) {
        got.bytes -= unit;
        if (got.reserved) os->release(os->ctx, got.start + got.bytes, unit);
    }
    if (!holds_start(arena, &got)) {
        if (got.reserved && got.bytes != 0) os->release(os->ctx, got.start, got.bytes);
        got.start = 0;
    }
    return got;
}

static reservation_t reserve_big(kiln_arena_t *arena, kiln_arena_arch_t arch)
{
    uint64_t heap_bytes = kiln_round_up(arena->config.addr_max + 1, arena->config.page_bytes);
    uint64_t bytes = reservation_bytes(arena, heap_bytes);
    reservation_t got = {.start = 0};

    for (uint64_t i = 0; i < KILN_ARENA_HINTS && got.start == 0; i++)
        got = reserve_at(arena, i << KILN_ARENA_HINT_SHIFT | hint_bases[arch], bytes);
    return got;
}

static reservation_t reserve_blocks(kiln_arena_t *arena, kiln_addr_t image_end, kiln_addr_t brk)
{
    bool kiln = arena->config.follow == KILN_FOLLOW_KILN;
    reservation_t got = {.start = 0};

    for (unsigned attempt = 0; attempt < KILN_ARENA_ATTEMPTS && got.start == 0; attempt++) {
        uint64_t heap_bytes = attempt == KILN_ARENA_ATTEMPTS - 1
                                  ? 0
                                  : kiln_round_down(arena->config.block_bytes * 2 >> attempt,
                                                    arena->config.page_bytes);
        uint64_t bytes = reservation_bytes(arena, heap_bytes);
        kiln_addr_t hint = kiln_arena_up(arena, image_end + KILN_KIB(256), KILN_MIB(1));
        /* The seed's sum wraps where the block ends with the address space. */
        if (hint <= brk && (kiln ? brk - hint < bytes : brk < kiln_arena_add(arena, hint, bytes)))
            hint = kiln_arena_up(arena, brk + KILN_MIB(1), KILN_MIB(1));
        got = reserve_at(arena, hint, bytes);
    }
    return got;
}

/* watcher_refusal says why the watcher cannot follow an arena that may put heap anywhere in the
 * possible range from `first` on, or returns NULL. */
static const char *watcher_refusal(const kiln_arena_t *arena, kiln_addr_t first, bool by_blocks)
{
    const kiln_watcher_t *watcher = arena->watcher;
    uint64_t room = arena->mask - first, addr_max = arena->config.addr_max;
    kiln_addr_t last = first + (addr_max < room ? addr_max : room);

    if (!watcher) return NULL;
    if (watcher->upward_only && by_blocks)
        return "the watcher needs one range that grows upwards, and this arena grows by blocks "
               "that may lie anywhere: on a machine of 64 bits, lift the limit on address space";
    if (watcher->range_last != 0 && (first < watcher->range_start || last > watcher->range_last))
        return watcher->range_refusal ? watcher->range_refusal
                                      : "the arena's possible range lies outside the range that "
                                        "the watcher can follow";
    return NULL;
}

/* cut_to_range gives where the possible range, which begins at `start`, ends in what was reserved.
 * The page for rounding must not become heap that no table covers; what else lies beyond, of a
 * range that is smaller than a block, goes back. */
static kiln_addr_t cut_to_range(const kiln_arena_t *arena, kiln_addr_t start, reservation_t *got)
{
    kiln_addr_t end = kiln_round_down(start + arena->config.addr_max + 1, arena->config.phys_bytes);
    kiln_addr_t rest = end + kiln_arena_unit(arena);
    kiln_addr_t got_end = got->start + got->bytes;

    if (got_end <= rest) return end;
    if (got->reserved) arena->os->release(arena->os->ctx, rest, got_end - rest);
    got->bytes = rest - got->start;
    return end;
}

const char *kiln_arena_place(kiln_arena_t *arena, kiln_addr_t start, kiln_addr_t used,
                             kiln_addr_t alloc, kiln_addr_t end, bool reserved)
{
    arena->arena_start = start;
    arena->arena_alloc = alloc;
    arena->arena_end = end;
    arena->arena_reserved = reserved;
    arena->tables_reserved = reserved;
    atomic_store_explicit(&arena->arena_used, used, memory_order_release);
    const char *rule = NULL;
    if (arena->config.follow == KILN_FOLLOW_KILN)
        rule = kiln_is_aligned(start, arena->config.page_bytes) ? kiln_arena_broken_rule(arena)
                                                                : "arena_start is page aligned";
    return rule ? rule : watcher_refusal(arena, start, true);
}

const char *kiln_arena_start(kiln_arena_t *arena, kiln_arena_arch_t arch, kiln_addr_t image_end,
                             kiln_addr_t brk, kiln_arena_layout_t *out_layout)
{
    const kiln_arena_config_t *config = &arena->config;
    bool wide = config->addr_bits > 32;
    bool kiln = config->follow == KILN_FOLLOW_KILN;
    reservation_t got = {.start = 0};

    if (wide) got = reserve_big(arena, arch);
    bool by_blocks = got.start == 0;
    if (by_blocks) got = reserve_blocks(arena, image_end, brk);
    if (got.start == 0) return KILN_THROW_NO_START;

    kiln_addr_t spans_start = kiln_arena_up(arena, got.start, arena->config.page_bytes);
    kiln_addr_t bits_start =
        kiln_arena_add(arena, spans_start, arena->tables[KILN_ARENA_SPANS].bytes_max);
    kiln_addr_t heap_start =
        kiln_arena_add(arena, bits_start, arena->tables[KILN_ARENA_BITS].bytes_max);
    /* Rounding the start up is paid for at the end, with the page that was reserved for it. */
    uint64_t rounding = kiln_arena_sub(arena, spans_start, got.start);
    kiln_addr_t end = kiln_arena_add(arena, got.start, got.bytes - rounding);

    /* At 32 bits the tables cover the whole address space, so that a block may lie anywhere. */
    kiln_addr_t start = wide ? heap_start : 0;
    const char *refusal = watcher_refusal(arena, start, by_blocks);
    if (refusal) {
        if (got.reserved) arena->os->release(arena->os->ctx, got.start, got.bytes);
        return refusal;
    }
    if (kiln && end != start && end - 1 - start > config->addr_max)
        end = cut_to_range(arena, start, &got);

    if (got.reserved) {
        arena->slack[0] = (kiln_arena_region_t){got.start, spans_start, true};
        arena->slack[1] =
            (kiln_arena_region_t){end, kiln_arena_add(arena, got.start, got.bytes), true};
    }
    arena->tables[KILN_ARENA_SPANS].base = spans_start;
    arena->tables[KILN_ARENA_BITS].base = bits_start;
    arena->tables_reserved = got.reserved;
    arena->arena_start = start;
    arena->arena_alloc = heap_start;
    arena->arena_end = end;
    arena->arena_reserved = got.reserved;
    atomic_store_explicit(&arena->arena_used, heap_start, memory_order_release);
    *out_layout = (kiln_arena_layout_t){
        .spans_start = spans_start,
        .spans_end = bits_start,
        .bitmap_start = bits_start,
        .bitmap_end = heap_start,
        .by_blocks = by_blocks,
    };
    return config->follow == KILN_FOLLOW_SEED ? NULL : kiln_arena_publish_start(arena);
}

static void release(const kiln_arena_t *arena, kiln_addr_t start, kiln_addr_t end, bool reserved)
{
    uint64_t bytes = kiln_arena_sub(arena, end, start);
    if (reserved && bytes != 0) arena->os->release(arena->os->ctx, start, bytes);
}

/* Tables that are only believed reserved are ours where they were mapped, page by page. */
static void release_table(const kiln_arena_t *arena, const kiln_arena_table_t *table)
{
    if (!table->used) return;
    if (arena->tables_reserved || !table->present) {
        uint64_t bytes = arena->tables_reserved ? table->bytes_max : table->mapped_bytes;
        kiln_addr_t start =
            table->grows_down ? table->base + table->bytes_max - bytes : table->base;
        release(arena, start, start + bytes, true);
        return;
    }
    uint64_t word_bytes = 64 * table->phys_bytes; /* of the table, for one word of `present` */
    for (uint64_t at = 0; at < table->bytes_max; at += table->phys_bytes) {
        while (at % word_bytes == 0 && at < table->bytes_max &&
               atomic_load_explicit(&table->present[at / word_bytes], memory_order_relaxed) == 0)
            at += word_bytes;
        if (kiln_arena_table_has(table, at / table->entry_bytes * table->heap_bytes))
            release(arena, table->base + at, table->base + at + table->phys_bytes, true);
    }
}

void kiln_arena_destroy(kiln_arena_t *arena)
{
    for (unsigned id = 0; id < KILN_ARENA_TABLES; id++) release_table(arena, &arena->tables[id]);
    release(arena, arena->arena_alloc, arena->arena_end, arena->arena_reserved);
    for (unsigned i = 0; i < arena->kept_count; i++)
        release(arena, arena->kept[i].start, arena->kept[i].end, arena->kept[i].reserved);
    for (unsigned i = 0; i < 2; i++)
        release(arena, arena->slack[i].start, arena->slack[i].end, arena->slack[i].reserved);
}
