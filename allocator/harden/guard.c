#include "allocator/harden/guard.h"

#include "allocator/base/check.h"
#include "allocator/base/mix.h"
#include "allocator/harden/guard_canary.h"

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

kiln_guard_config_t kiln_guard_config_default(const kiln_os_t *os)
{
    bool wide = os->addr_bits > 32;
    uint64_t chunk_bytes = KILN_GUARD_CHUNK_PAGES * os->phys_bytes;
    uint64_t region_bytes = wide ? KILN_GIB(256) : KILN_MIB(256);
    return (kiln_guard_config_t){
        .policy = KILN_GUARD_HIGH,
        .space = {.mechanism = KILN_GUARD_CHOOSE,
                  .region_bytes = region_bytes,
                  .gap_pages = wide ? 2 : 1,
                  .freed_chunks_max = wide ? 1024 : (uint32_t)(region_bytes / chunk_bytes / 2 + 1),
                  .mappings_max = 600},
        .block_bytes_max = (size_t)(region_bytes / 16),
    };
}

static const char *config_broken_rule(const kiln_guard_config_t *config)
{
    if (config->policy > KILN_GUARD_LOW) return "guard: the policy is one of those";
    if (config->block_bytes_max > UINTPTR_MAX / 4) return "guard: a block fits the address space";
    return kiln_guard_space_config_broken_rule(&config->space);
}

const char *kiln_guard_init(kiln_guard_t *guard, const kiln_os_t *os,
                            const kiln_guard_config_t *config)
{
    const char *rule = config_broken_rule(config);
    if (rule) return rule;
    *guard = (kiln_guard_t){.config = *config};
    kiln_guard_space_init(&guard->space, os, &config->space);
    return NULL;
}

void kiln_guard_destroy(kiln_guard_t *guard)
{
    kiln_guard_config_t config = guard->config;
    const kiln_os_t *os = guard->space.os;
    kiln_guard_space_destroy(&guard->space);
    *guard = (kiln_guard_t){.config = config};
    kiln_guard_space_init(&guard->space, os, &config.space);
}

static void acquire(kiln_guard_t *guard)
{
    kiln_lock_acquire(&guard->lock, &guard->space.os->parker);
}

static void release(kiln_guard_t *guard)
{
    kiln_lock_release(&guard->lock, &guard->space.os->parker);
}

static uint64_t pages_bytes(const kiln_guard_t *guard, const kiln_guard_slot_t *slot)
{
    return (uint64_t)LOAD(slot->pages) << guard->space.page_shift;
}

static kiln_guard_slack_t slack_of(const kiln_guard_t *guard, const kiln_guard_place_t *place)
{
    uintptr_t start = LOAD(place->slot->start);
    return (kiln_guard_slack_t){
        .data = place->data,
        .data_end = place->data + (uintptr_t)pages_bytes(guard, place->slot),
        .start = start,
        .end = start + LOAD(place->slot->bytes),
        .key = kiln_mix(guard->config.seed ^ start),
    };
}

/* --- malloc --- */

/* A block of 0 bytes is the start of its page, which faults. */
static uintptr_t start_in(const kiln_guard_t *guard, const kiln_guard_place_t *place, size_t bytes,
                          size_t align)
{
    if (guard->config.policy == KILN_GUARD_LOW || bytes == 0) return place->data;
    uintptr_t unit = (uintptr_t)guard->space.os->phys_bytes;
    if (align < unit) unit = align;
    uintptr_t end = place->data + (uintptr_t)pages_bytes(guard, place->slot);
    return (end - bytes) & ~(unit - 1);
}

static bool over_limit(const kiln_guard_t *guard, size_t bytes)
{
    const uint64_t max = guard->config.live_bytes_max;
    const uint64_t live = guard->live_pages << guard->space.page_shift;
    return max != 0 &&
           (live > max || kiln_round_up(bytes, guard->space.os->phys_bytes) > max - live);
}

void *kiln_guard_malloc(kiln_guard_t *guard, size_t bytes, size_t align, uint32_t stack,
                        uint32_t thread)
{
    kiln_guard_place_t place;
    if (!kiln_is_power_of_two(align) || align > KILN_GUARD_ALIGN_MAX) return NULL;
    if (bytes > guard->config.block_bytes_max) return NULL;
    acquire(guard);
    if (over_limit(guard, bytes) || !kiln_guard_space_take(&guard->space, bytes, align, &place)) {
        guard->refused++;
        release(guard);
        return NULL;
    }
    uintptr_t start = start_in(guard, &place, bytes, align);
    STORE(place.slot->start, start);
    STORE(place.slot->alloc_stack, stack);
    STORE(place.slot->alloc_thread, thread);
    if (bytes != 0) {
        kiln_guard_slack_t slack = slack_of(guard, &place);
        kiln_guard_slack_fill(&slack);
        guard->live_pages += LOAD(place.slot->pages);
    }
    kiln_guard_space_live(&guard->space, &place);
    guard->live_blocks++;
    guard->live_bytes += bytes;
    guard->blocks++;
    release(guard);
    return (void *)start;
}

/* --- free --- */

static kiln_guard_damage_t damage_of(const kiln_guard_t *guard, const kiln_guard_place_t *place)
{
    kiln_guard_damage_t damage = {.damaged = false};
    if (LOAD(place->slot->bytes) == 0) return damage;
    kiln_guard_slack_t slack = slack_of(guard, place);
    if (kiln_guard_slack_above(&slack, &damage.first)) {
        damage.damaged = true;
        damage.where = KILN_GUARD_ABOVE;
    } else if (kiln_guard_slack_below(&slack, &damage.first)) {
        damage.damaged = true;
        damage.where = KILN_GUARD_BELOW;
    }
    return damage;
}

/* find_live gives the live block that starts at `block`, or what is wrong with it. */
static kiln_misuse_t find_live(const kiln_guard_t *guard, const void *block,
                               kiln_guard_place_t *out_place)
{
    uintptr_t address = (uintptr_t)block;
    if (!kiln_guard_space_has(&guard->space, address)) return KILN_MISUSE_FOREIGN;
    if (!kiln_guard_space_find(&guard->space, address, out_place)) {
        if (!kiln_guard_space_had_blocks(&guard->space, address)) return KILN_MISUSE_FOREIGN;
        return address % KILN_HEAP_ALIGN_MIN == 0 ? KILN_MISUSE_DOUBLE_FREE : KILN_MISUSE_INTERIOR;
    }
    if (LOAD(out_place->slot->start) != address) return KILN_MISUSE_INTERIOR;
    return LOAD(out_place->slot->state) == KILN_GUARD_SLOT_LIVE ? KILN_MISUSE_NONE
                                                                : KILN_MISUSE_DOUBLE_FREE;
}

kiln_misuse_t kiln_guard_free(kiln_guard_t *guard, void *block, uint32_t stack, uint32_t thread,
                              kiln_guard_damage_t *out_damage)
{
    kiln_guard_place_t place;
    *out_damage = (kiln_guard_damage_t){.damaged = false};
    acquire(guard);
    kiln_misuse_t misuse = find_live(guard, block, &place);
    if (misuse == KILN_MISUSE_NONE) {
        size_t bytes = LOAD(place.slot->bytes);
        *out_damage = damage_of(guard, &place);
        STORE(place.slot->free_stack, stack);
        STORE(place.slot->free_thread, thread);
        guard->live_blocks--;
        guard->live_bytes -= bytes;
        if (bytes != 0) guard->live_pages -= LOAD(place.slot->pages);
        kiln_guard_space_give(&guard->space, &place);
    }
    release(guard);
    return misuse;
}

size_t kiln_guard_usable(kiln_guard_t *guard, const void *block, kiln_misuse_t *out_misuse)
{
    kiln_guard_place_t place;
    acquire(guard);
    *out_misuse = find_live(guard, block, &place);
    size_t bytes = *out_misuse == KILN_MISUSE_NONE ? LOAD(place.slot->bytes) : 0;
    release(guard);
    return bytes;
}

/* --- looking --- */

bool kiln_guard_about(const kiln_guard_t *guard, const void *address, kiln_guard_about_t *out)
{
    *out = (kiln_guard_about_t){.known = false};
    if (!kiln_guard_owns(guard, address)) return false;
    kiln_guard_space_about(&guard->space, (uintptr_t)address,
                           guard->config.policy == KILN_GUARD_HIGH, out);
    return true;
}

/* Of one round over live blocks. */
typedef struct kiln_guard_round {
    bool damaged_only;
    kiln_wants_t
        *wants; /* which are looked at, by their bytes, or of all their records; NULL: all */
    const void *wants_ctx;
    kiln_guard_visit_t visit; /* may be NULL */
    void *ctx;
} round_t;

/* visit_slot gives 1 when the visitor was to be told. */
static size_t visit_slot(const kiln_guard_t *guard, uint32_t head, kiln_guard_slot_t *slot,
                         const round_t *round)
{
    uint32_t page_shift = guard->space.page_shift;
    uintptr_t chunk = kiln_guard_chunk_start(&guard->space, head);
    kiln_guard_place_t place = {head, slot,
                                chunk + ((uintptr_t)LOAD(slot->first_page) << page_shift)};
    kiln_guard_damage_t damage = {.damaged = false};
    kiln_guard_about_t about;
    if (round->damaged_only) {
        size_t bytes = (size_t)LOAD(slot->pages) << page_shift;
        if (round->wants && !round->wants(round->wants_ctx, (const void *)place.data, bytes))
            return 0;
        damage = damage_of(guard, &place);
        if (!damage.damaged) return 0;
    }
    kiln_guard_slot_about(slot, LOAD(slot->start), &about);
    if (round->visit) round->visit(round->ctx, &about, round->damaged_only ? &damage : NULL);
    return 1;
}

/* Chunk by chunk: of most of them nothing changed. */
static bool is_chunk_wanted(const kiln_guard_space_t *space, uint32_t head,
                            const kiln_guard_book_t *book, const round_t *round)
{
    uint32_t run = atomic_load_explicit(&space->chunks[head].run_chunks, memory_order_relaxed);
    size_t bytes = (size_t)kiln_guard_chunk_bytes(space) * (run > 1 ? run : 1);
    if (!round->wants) return true;
    if (!round->damaged_only) return round->wants(round->wants_ctx, book, sizeof *book);
    return round->wants(round->wants_ctx, (const void *)kiln_guard_chunk_start(space, head), bytes);
}

static size_t visit_all(kiln_guard_t *guard, const round_t *round)
{
    size_t told = 0;
    const kiln_guard_space_t *space = &guard->space;
    uint32_t head = space->used.first;
    for (; head != KILN_GUARD_NO_CHUNK; head = space->chunks[head].next) {
        kiln_guard_book_t *book = kiln_guard_book_of(space, head);
        if (space->chunks[head].live_slots == 0) continue;
        if (!is_chunk_wanted(space, head, book, round)) continue;
        for (uint32_t word = 0; word < KILN_GUARD_SLOTS_MAX / 64; word++) {
            uint64_t bits = book->live_bits[word];
            for (; bits != 0; bits &= bits - 1) {
                uint32_t idx = word * 64 + (uint32_t)__builtin_ctzll(bits);
                told += visit_slot(guard, head, &book->slots[idx], round);
            }
        }
    }
    return told;
}

size_t kiln_guard_check(kiln_guard_t *guard, kiln_guard_visit_t visit, void *ctx)
{
    return kiln_guard_check_some(guard, NULL, NULL, visit, ctx);
}

size_t kiln_guard_check_some(kiln_guard_t *guard, kiln_wants_t *wants, const void *wants_ctx,
                             kiln_guard_visit_t visit, void *ctx)
{
    round_t round = {true, wants, wants_ctx, visit, ctx};
    acquire(guard);
    size_t told = visit_all(guard, &round);
    release(guard);
    return told;
}

void kiln_guard_for_each_changed(kiln_guard_t *guard, kiln_wants_t *wants, const void *wants_ctx,
                                 kiln_guard_visit_t visit, void *ctx)
{
    round_t round = {.wants = wants, .wants_ctx = wants_ctx, .visit = visit, .ctx = ctx};
    acquire(guard);
    (void)visit_all(guard, &round);
    release(guard);
}

void kiln_guard_for_each_live_locked(kiln_guard_t *guard, kiln_guard_visit_t visit, void *ctx)
{
    round_t round = {.visit = visit, .ctx = ctx};
    (void)visit_all(guard, &round);
}

void kiln_guard_for_each_live(kiln_guard_t *guard, kiln_guard_visit_t visit, void *ctx)
{
    acquire(guard);
    kiln_guard_for_each_live_locked(guard, visit, ctx);
    release(guard);
}

kiln_guard_stats_t kiln_guard_stats(kiln_guard_t *guard)
{
    acquire(guard);
    kiln_guard_stats_t stats = {
        .live_blocks = guard->live_blocks,
        .live_bytes = guard->live_bytes,
        .live_pages = guard->live_pages,
        .blocks = guard->blocks,
        .refused = guard->refused,
        .space = kiln_guard_space_stats(&guard->space),
    };
    release(guard);
    return stats;
}

/* --- fork --- */

void kiln_guard_fork_prepare(kiln_guard_t *guard)
{
    acquire(guard);
}

void kiln_guard_fork_parent(kiln_guard_t *guard)
{
    release(guard);
}

/* What was locked by the forking thread is released by its copy. */
void kiln_guard_fork_child(kiln_guard_t *guard)
{
    release(guard);
}
