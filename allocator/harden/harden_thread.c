/* What threads have of a hardened heap: how it begins, ends, and goes through a fork. */
#include "allocator/harden/harden.h"

#include "allocator/base/check.h"
#include "allocator/base/mix.h"

/* See kiln_harden_next_guarded. */
enum { EXACT_ROUNDS = 50, EXACT_THREADS = 16, SELDOM_TIMES = 10 };

uint32_t kiln_harden_note_bytes(const kiln_harden_config_t *config)
{
    return config->stack || config->families ? KILN_NOTE_STACKS_BYTES : KILN_NOTE_SIZE_BYTES;
}

static const char *broken_config_rule(const kiln_heap_t *heap, const kiln_harden_config_t *config)
{
    const kiln_watcher_t *watcher = heap->config.watcher;
    if (heap->config.note_bytes < kiln_harden_note_bytes(config))
        return "a hardened heap's records have room for notes";
    if (watcher && (watcher->alloc || watcher->free))
        return "a hardened heap has no watcher of blocks: it tells of damage itself";
    if (config->quarantine.blocks_max > KILN_QUARANTINE_PLACES_MAX)
        return "a quarantine keeps at most 1,024 blocks of a class";
    if (!config->found) return "somebody must be told of damage";
    return NULL;
}

const char *kiln_harden_init(kiln_harden_t *harden, kiln_heap_t *heap,
                             const kiln_harden_config_t *config)
{
    const char *rule = broken_config_rule(heap, config);
    if (rule) return rule;
    *harden = (kiln_harden_t){
        .heap = heap,
        .fresh = kiln_unit_of(config->fresh_byte),
        .freed = kiln_unit_of(config->freed_byte),
        .fresh_byte = config->fresh_byte,
        .freed_byte = config->freed_byte,
        .random = config->random,
        .keeps_stacks = config->stack != NULL,
        .keeps_who = config->stack != NULL || config->families,
        .config = *config,
    };
    kiln_canary_init(&harden->canary, config->seed);
    for (uint32_t i = 0; i < KILN_SIZE_CLASSES; i++) harden->shapes[i] = kiln_note_shape(i);
    return NULL;
}

static void lock(kiln_harden_t *harden)
{
    kiln_lock_acquire(&harden->lock, &harden->heap->config.os->parker);
}

static void unlock(kiln_harden_t *harden)
{
    kiln_lock_release(&harden->lock, &harden->heap->config.os->parker);
}

/* Holds the lock. */
static kiln_harden_thread_t *take_record(kiln_harden_t *harden)
{
    kiln_harden_thread_t *mine = harden->spares;
    if (mine) {
        harden->spares = mine->next;
        return mine;
    }
    const kiln_quarantine_bounds_t *bounds = &harden->config.quarantine;
    size_t bytes = sizeof *mine + kiln_quarantine_bytes(bounds);
    mine = kiln_page_heap_record(&harden->heap->pages, bytes);
    kiln_slot_t *places = mine ? mine->places : NULL;
    for (uint32_t i = 0; mine && i < KILN_SIZE_CLASSES; i++) {
        uint32_t count = kiln_quarantine_places(bounds, i);
        kiln_quarantine_init(&mine->bins[i].ring, places, count);
        mine->bins[i].shape = harden->shapes[i];
        mine->bins[i].canary = harden->canary;
        places += count;
    }
    return mine;
}

/* Do the common paths know all that is to be done? */
static bool is_plain(const kiln_harden_t *harden)
{
    return harden->config.guard_every != 1 && harden->random && !harden->keeps_who &&
           harden->fresh_byte == 0 && harden->freed_byte == 0;
}

/* The same of those that keep who. */
static bool is_kept(const kiln_harden_t *harden)
{
    return harden->config.guard_every != 1 && harden->random && harden->keeps_stacks &&
           harden->fresh_byte != 0 && harden->freed_byte != 0;
}

/* Which of the two common paths a thread goes, if any. */
static void choose_paths(const kiln_harden_t *harden, kiln_harden_thread_t *mine)
{
    uint16_t families = (uint16_t)~KILN_NOTE_THREAD_MAX;
    mine->few_classes = is_plain(harden) ? KILN_FEW_CLASSES : 0;
    mine->few_bytes = is_plain(harden) ? KILN_FEW_BYTES : 0;
    mine->kept_bytes = is_kept(harden) ? KILN_SMALL_MAX : 0;
    mine->number = kiln_harden_thread_number(harden);
    mine->family_mask = harden->config.families ? families : 0;
}

/* One in how many, on average, after `blocks` blocks. */
static uint64_t seldom(const kiln_harden_t *harden, uint64_t blocks)
{
    uint64_t every = harden->config.guard_every, later = blocks / EXACT_ROUNDS;
    if (later < every) return every;
    bool is_bounded = !harden->config.guard_rotates && later > every * SELDOM_TIMES;
    return is_bounded ? every * SELDOM_TIMES : later;
}

uint64_t kiln_harden_next_guarded(const kiln_harden_t *harden, kiln_harden_thread_t *mine)
{
    uint64_t every = harden->config.guard_every;
    if (!harden->config.guard || every == 0) return UINT64_MAX;
    if (every == 1) return 1;
    if (mine->blocks + every < mine->exact_blocks) {
        mine->blocks += every;
        return every;
    }
    every = seldom(harden, mine->before + mine->blocks);
    uint64_t later = 1 + kiln_mix(mine->random ^ mine->blocks) % (2 * every);
    mine->blocks += later;
    return later;
}

void kiln_harden_turn(kiln_harden_thread_t *mine, uint64_t number)
{
    const kiln_harden_config_t *config = &mine->harden->config;
    uint64_t every = config->guard_every;
    if (!config->guard || !config->guard_rotates || every < 2) return;
    mine->exact_blocks = every * EXACT_ROUNDS;
    mine->blocks = mine->until_guard = 1 + (config->seed + number) % every;
}

/* Which of a thread's first blocks: where they go round, another one under the next seed. Of many
 * threads some begin so, others under the next round of seeds. Under the lock: this is the last
 * thread that came. */
static uint64_t first_guarded(const kiln_harden_t *harden, kiln_harden_thread_t *mine)
{
    const kiln_harden_config_t *config = &harden->config;
    uint64_t every = config->guard_every, share = harden->threads / EXACT_THREADS;
    mine->blocks = mine->exact_blocks = 0;
    mine->before = harden->blocks_before;
    if (!config->guard || every == 0) return UINT64_MAX;
    bool is_exact = config->guard_rotates &&
                    (share < 2 || (config->seed / every + harden->threads) % share == 0);
    if (is_exact) mine->exact_blocks = every * EXACT_ROUNDS;
    mine->blocks = 1 + (is_exact ? config->seed % every
                                 : kiln_mix(mine->random) % seldom(harden, mine->before));
    return mine->blocks;
}

/* How many blocks a thread was given: all up to the next guarded one, but for those until then. */
static uint64_t blocks_of(const kiln_harden_thread_t *mine)
{
    return mine->blocks > mine->until_guard ? mine->blocks - mine->until_guard : 0;
}

kiln_harden_thread_t *kiln_harden_attach(kiln_harden_t *harden)
{
    kiln_thread_cache_t *cache = kiln_heap_attach(harden->heap);
    if (!cache) return NULL;
    lock(harden);
    kiln_harden_thread_t *mine = take_record(harden);
    if (mine) {
        mine->cache = cache;
        mine->harden = harden;
        choose_paths(harden, mine);
        for (uint32_t i = 0; i < KILN_SIZE_CLASSES; i++) {
            mine->bins[i].first = kiln_cache_bin_first(cache, i);
            kiln_cache_bin_open(cache, i); /* which slot is given out is drawn, or has waited */
        }
        mine->random = kiln_mix(harden->config.seed + ++harden->threads) | 1;
        mine->until_guard = first_guarded(harden, mine);
        mine->prev = NULL;
        mine->next = harden->first;
        if (mine->next) mine->next->prev = mine;
        harden->first = mine;
    }
    unlock(harden);
    if (!mine) kiln_heap_detach(harden->heap, cache);
    return mine;
}

/* All that waits in a ring leaves it, the oldest first. */
static void end_waiting(kiln_harden_t *harden, kiln_harden_thread_t *mine, uint32_t class_idx,
                        kiln_site_t site)
{
    kiln_quarantine_ring_t *ring = &mine->bins[class_idx].ring;
    if (!ring->next || !ring->places[0].block) return; /* it is filled from its first place on */
    for (ptrdiff_t left = ring->end - ring->places; left > 0; left--) {
        kiln_slot_t slot = kiln_quarantine_push(ring, (kiln_slot_t){NULL, NULL});
        if (slot.block) kiln_harden_release(harden, mine, class_idx, slot, site);
    }
    ring->next = ring->places;
}

void kiln_harden_flush(kiln_harden_t *harden, kiln_harden_thread_t *mine, kiln_site_t site)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        end_waiting(harden, mine, i, site);
        kiln_harden_look_at_bin(mine, i, kiln_cache_bin_count(mine->cache, i), site);
    }
    kiln_heap_flush(harden->heap, mine->cache);
}

/* Holds the lock. */
static void end(kiln_harden_t *harden, kiln_harden_thread_t *mine)
{
    if (mine->next) mine->next->prev = mine->prev;
    if (mine->prev)
        mine->prev->next = mine->next;
    else
        harden->first = mine->next;
    harden->blocks_before += blocks_of(mine);
    mine->cache = NULL;
    mine->next = harden->spares;
    harden->spares = mine;
}

void kiln_harden_detach(kiln_harden_t *harden, kiln_harden_thread_t *mine)
{
    kiln_thread_cache_t *cache = mine->cache;
    kiln_harden_flush(harden, mine, (kiln_site_t){"the thread's end", 0});
    lock(harden);
    end(harden, mine);
    unlock(harden);
    kiln_heap_detach(harden->heap, cache);
}

/* ---- fork ---- */

void kiln_harden_fork_prepare(kiln_harden_t *harden)
{
    lock(harden);
    if (harden->config.guard) kiln_guard_fork_prepare(harden->config.guard);
}

void kiln_harden_fork_parent(kiln_harden_t *harden)
{
    if (harden->config.guard) kiln_guard_fork_parent(harden->config.guard);
    unlock(harden);
}

static void reclaim(kiln_harden_t *harden, kiln_harden_thread_t *dead)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        kiln_quarantine_ring_t *ring = &dead->bins[i].ring;
        for (kiln_slot_t *place = ring->places; place < ring->end; place++) {
            if (place->block) kiln_heap_reclaim_slot(harden->heap, *place, harden->freed_byte != 0);
            *place = (kiln_slot_t){NULL, NULL};
        }
        if (ring->next) ring->next = ring->places;
    }
}

void kiln_harden_fork_child(kiln_harden_t *harden, kiln_harden_thread_t *mine)
{
    if (harden->config.guard) kiln_guard_fork_child(harden->config.guard);
    unlock(harden);
    for (kiln_harden_thread_t *thread = harden->first, *next; thread; thread = next) {
        next = thread->next;
        if (thread == mine) continue;
        reclaim(harden, thread);
        end(harden, thread);
    }
}

const char *kiln_harden_broken_rule(const kiln_harden_t *harden)
{
    const kiln_harden_thread_t *prev = NULL;
    const char *guard_rule =
        harden->config.guard ? kiln_guard_broken_rule(harden->config.guard) : NULL;
    if (guard_rule) return guard_rule;
    for (const kiln_harden_thread_t *mine = harden->first; mine; mine = mine->next) {
        if (mine->prev != prev) return "the list of threads is linked both ways";
        if (!mine->cache) return "a thread of a hardened heap has a cache";
        for (uint32_t i = 0; i < KILN_SIZE_CLASSES; i++) {
            const char *rule = kiln_quarantine_broken_rule(&mine->bins[i].ring, harden->heap, i);
            if (rule) return rule;
        }
        prev = mine;
    }
    return NULL;
}
