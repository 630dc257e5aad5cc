#include "allocator/heap/heap.h"

#include "allocator/base/check.h"
#include "allocator/heap/given.h"

#include <string.h>

/* ---- a heap's life ---- */

static const char threads_possible = 0;

static const char *broken_config_rule(const kiln_heap_config_t *config)
{
    if (!config->os || !config->arena_os) return "a heap needs os and arena_os";
    if (config->arena.page_bytes != KILN_PAGE_BYTES) return "the heap's pages are 8 KiB";
    if (config->arena.word_bytes != sizeof(void *)) return "the arena's word is a pointer";
    if ((config->arena.tables & 1u << KILN_ARENA_SPANS) == 0) return "the heap needs a span table";
    if (config->arena.phys_bytes != config->os->phys_bytes)
        return "arena and OS have the same hardware page";
    return NULL;
}

static void release_present(kiln_heap_t *heap)
{
    const kiln_os_t *os = heap->config.os;
    if (heap->present) os->release(os->ctx, (uintptr_t)heap->present, heap->present_bytes);
    heap->present = NULL;
}

static const char *start_arena(kiln_heap_t *heap)
{
    const kiln_heap_config_t *config = &heap->config;
    kiln_arena_layout_t layout;
#ifdef __aarch64__
    kiln_arena_arch_t arch = KILN_ARENA_ARM64;
#else
    kiln_arena_arch_t arch = KILN_ARENA_AMD64;
#endif
    const char *reason = kiln_arena_init(&heap->arena, &config->arena, config->arena_os,
                                         config->watcher, config->log, heap->present);
    if (reason) return reason;
    return kiln_arena_start(&heap->arena, arch, config->image_end, config->brk, &layout);
}

static uint64_t quarantine_bytes(const kiln_watcher_t *watcher)
{
    return watcher && watcher->free ? watcher->quarantine_bytes : 0;
}

static void tell_own(const kiln_heap_t *heap, const kiln_watcher_t *watcher, bool on)
{
    if (watcher && watcher->own) watcher->own(watcher->ctx, (uintptr_t)heap, sizeof *heap, on);
}

const char *kiln_heap_init(kiln_heap_t *heap, const kiln_heap_config_t *config)
{
    const char *reason = broken_config_rule(config);
    if (!reason) reason = kiln_arena_config_broken_rule(&config->arena);
    if (reason) return reason;

    const kiln_os_t *os = config->os;
    heap->config = *config;
    heap->single_threaded = config->single_threaded ? config->single_threaded : &threads_possible;
    size_t words = kiln_arena_present_words(&config->arena);
    if (words > 0) {
        heap->present_bytes = kiln_round_up(words * sizeof(uint64_t), os->phys_bytes);
        heap->present =
            (uint64_t *)(uintptr_t)os->direct(os->ctx, heap->present_bytes, KILN_OS_META);
        if (!heap->present) return "no memory for the heap's first records";
    }
    reason = start_arena(heap);
    if (reason) {
        release_present(heap);
        return reason;
    }
    kiln_page_heap_init(&heap->pages, &heap->arena, os, config->idle_bytes_max);
    heap->pages.seal = config->seal;
    if (config->huge_after_bytes != 0)
        kiln_page_heap_use_huge(&heap->pages, config->huge_after_bytes);
    if (config->note_bytes != 0) kiln_page_heap_harden(&heap->pages, config->note_bytes);
    kiln_page_map_init(&heap->map, &heap->arena);
    for (uint32_t i = 0; i < KILN_SIZE_CLASSES; i++)
        kiln_central_init(&heap->central[i], &heap->pages, i);
    kiln_thread_cache_list_init(&heap->caches, &heap->pages, heap->central);
    kiln_watched_quarantine_init(&heap->waiting, os, quarantine_bytes(config->watcher));
    tell_own(heap, config->watcher, true);
    return NULL;
}

static void end_block(void *ctx, void *block, size_t slot_bytes)
{
    const kiln_heap_t *heap = ctx;
    const kiln_watcher_t *watcher = heap->config.watcher;
    atomic_store_explicit(kiln_heap_find(heap, block).state, KILN_SLOT_FREE, memory_order_relaxed);
    watcher->free(watcher->ctx, (uintptr_t)kiln_given_bare(heap, block), slot_bytes);
}

void kiln_heap_destroy(kiln_heap_t *heap)
{
    const kiln_os_t *os = heap->config.arena_os;
    const kiln_watcher_t *watcher = heap->config.watcher;
    if (watcher && watcher->free) kiln_heap_walk(heap, end_block, heap);
    for (const kiln_region_t *region = heap->pages.regions; region; region = region->next) {
        uint64_t bytes = region->end - region->start;
        if (watcher && watcher->retire) watcher->retire(watcher->ctx, region->start, bytes);
        os->release(os->ctx, region->start, bytes);
    }
    kiln_watched_quarantine_destroy(&heap->waiting);
    kiln_arena_destroy(&heap->arena);
    release_present(heap);
    kiln_page_heap_destroy(&heap->pages);
    memset(heap, 0, sizeof *heap);
    tell_own(heap, watcher, false);
}

/* Is anybody told of blocks? */
static bool is_watched(const kiln_heap_t *heap)
{
    const kiln_watcher_t *watcher = heap->config.watcher;
    return watcher && (watcher->alloc || watcher->free);
}

kiln_thread_cache_t *kiln_heap_attach(kiln_heap_t *heap)
{
    if (is_watched(heap)) return NULL;
    return kiln_thread_cache_new(&heap->caches);
}

void kiln_heap_detach(kiln_heap_t *heap, kiln_thread_cache_t *cache)
{
    kiln_thread_cache_end(&heap->caches, cache);
}

void kiln_heap_flush(kiln_heap_t *heap, kiln_thread_cache_t *cache)
{
    kiln_thread_cache_empty(&heap->caches, cache);
}

/* ---- what a watcher is told; never on the way through a cache ---- */

static inline void tell_alloc(const kiln_heap_t *heap, const void *block, size_t bytes,
                              size_t slot_bytes)
{
    const kiln_watcher_t *watcher = heap->config.watcher;
    if (__builtin_expect(watcher != NULL, 0) && watcher->alloc)
        watcher->alloc(watcher->ctx, (uintptr_t)block, bytes, slot_bytes);
}

static inline void tell_zeroed(const kiln_heap_t *heap, const void *block, size_t bytes)
{
    const kiln_watcher_t *watcher = heap->config.watcher;
    if (__builtin_expect(watcher != NULL, 0) && watcher->zeroed)
        watcher->zeroed(watcher->ctx, (uintptr_t)block, bytes);
}

static inline void tell_free(const kiln_heap_t *heap, const void *block, const kiln_span_t *span)
{
    const kiln_watcher_t *watcher = heap->config.watcher;
    if (__builtin_expect(watcher != NULL, 0) && watcher->free)
        watcher->free(watcher->ctx, (uintptr_t)block, kiln_span_slot_bytes(span));
}

/* ---- where a freed block goes ---- */

/* The slot was taken from the program and is in no cache yet. */
static void put_away(kiln_heap_t *heap, kiln_thread_cache_t *cache, kiln_span_t *span,
                     kiln_slot_t slot)
{
    uint32_t class_idx = span->class_idx;
    if (class_idx == KILN_CLASS_LARGE) {
        kiln_page_heap_give(&heap->pages, span);
    } else if (!cache) {
        kiln_central_give(&heap->central[class_idx], &slot, 1);
    } else {
        kiln_slot_t *top = kiln_cache_bin_top(cache, class_idx);
        if (kiln_cache_bin_is_full(cache, class_idx, top)) {
            kiln_thread_cache_put(&heap->caches, cache, span, slot);
            kiln_page_map_widen(&heap->map); /* there may be new slots */
        } else {
            kiln_cache_bin_put(cache, class_idx, top, slot);
        }
    }
}

/* let_go puts blocks away that have waited: those for which there is no room, or all. */
static bool let_go(kiln_heap_t *heap, bool all)
{
    kiln_waiting_t block;
    bool any = false;
    while (kiln_watched_quarantine_next(&heap->waiting, all, &block)) {
        atomic_store_explicit(block.slot.state, KILN_SLOT_FREE, memory_order_relaxed);
        put_away(heap, NULL, block.span, block.slot);
        any = true;
    }
    return any;
}

/* let_all_go is for when there is no memory: true where a second attempt is worth it. */
static bool let_all_go(kiln_heap_t *heap)
{
    return is_watched(heap) && let_go(heap, true);
}

/* put_away for a watched heap: the slot waits, if it may, and others that have waited go. */
static void put_away_watched(kiln_heap_t *heap, kiln_span_t *span, kiln_slot_t slot)
{
    kiln_waiting_t block = {span, slot};
    atomic_store_explicit(slot.state, KILN_SLOT_QUARANTINED, memory_order_relaxed);
    if (!kiln_watched_quarantine_put(&heap->waiting, block)) {
        atomic_store_explicit(slot.state, KILN_SLOT_FREE, memory_order_relaxed);
        put_away(heap, NULL, span, slot);
    }
    (void)let_go(heap, false);
}

/* ---- allocation ---- */

static bool take_slot(kiln_heap_t *heap, kiln_thread_cache_t *cache, uint32_t class_idx,
                      kiln_slot_t *out)
{
    if (!cache) {
        if (kiln_central_take(&heap->central[class_idx], out, 1) == 1) return true;
        return let_all_go(heap) && kiln_central_take(&heap->central[class_idx], out, 1) == 1;
    }
    if (kiln_cache_bin_pop(cache, class_idx, out)) return true;
    if (!kiln_thread_cache_refill(&heap->caches, cache, class_idx)) return false;
    kiln_page_map_widen(&heap->map); /* before the first free of what is new */
    bool popped = kiln_cache_bin_pop(cache, class_idx, out);
    kiln_thread_cache_mark(&heap->caches, cache, class_idx);
    return popped;
}

static void *take_small(kiln_heap_t *heap, kiln_thread_cache_t *cache, uint32_t class_idx,
                        size_t bytes, bool zero)
{
    kiln_slot_t slot;
    if (!take_slot(heap, cache, class_idx, &slot)) return NULL;
    bool fresh = atomic_load_explicit(slot.state, memory_order_relaxed) == KILN_SLOT_FRESH;
    atomic_store_explicit(slot.state, KILN_SLOT_LIVE, memory_order_relaxed);
    tell_alloc(heap, slot.block, bytes, kiln_size_classes[class_idx].slot_bytes);
    if (zero && !fresh) memset(slot.block, 0, bytes);
    if (zero) tell_zeroed(heap, slot.block, bytes);
    return kiln_given(heap, slot.block);
}

/* What a block of `bytes` (not 0) takes of its slot: more where a tool needs some behind it. */
static size_t room_for(const kiln_heap_t *heap, size_t bytes)
{
    const kiln_watcher_t *watcher = heap->config.watcher;
    if (__builtin_expect(watcher == NULL, 1) || bytes > PTRDIFF_MAX) return bytes;
    return bytes + (watcher->free ? (size_t)watcher->redzone_bytes : 0);
}

static void *take_large(kiln_heap_t *heap, size_t bytes, size_t align, bool zero)
{
    size_t room = room_for(heap, bytes);
    if (room > PTRDIFF_MAX) return NULL;
    kiln_span_t *span = kiln_large_new(&heap->pages, room, align);
    if (!span && let_all_go(heap)) span = kiln_large_new(&heap->pages, room, align);
    if (!span) return NULL;
    void *block = (void *)kiln_span_base(span);
    tell_alloc(heap, block, bytes, kiln_span_slot_bytes(span));
    if (zero) kiln_span_clear(span, bytes);
    if (zero) tell_zeroed(heap, block, bytes);
    return kiln_given(heap, block);
}

void *kiln_heap_malloc_slow(kiln_heap_t *heap, kiln_thread_cache_t *cache, size_t bytes)
{
    if (bytes == 0) bytes = 1;
    size_t room = room_for(heap, bytes);
    if (room > KILN_SMALL_MAX) return take_large(heap, bytes, 1, false);
    return take_small(heap, cache, kiln_size_class_of(room), bytes, false);
}

/* Not compiled into callers: gcc would forget what the prototype says of the block. */
void *kiln_heap_malloc(kiln_heap_t *heap, kiln_thread_cache_t *cache, size_t bytes)
{
    void *block = cache ? kiln_heap_malloc_fast(cache, bytes) : NULL;
    return __builtin_expect(block != NULL, 1) ? block : kiln_heap_malloc_slow(heap, cache, bytes);
}

void *kiln_heap_calloc(kiln_heap_t *heap, kiln_thread_cache_t *cache, size_t count, size_t bytes)
{
    size_t all;
    if (__builtin_mul_overflow(count, bytes, &all)) return NULL;
    if (all == 0) all = 1; /* a watcher is told of no block without bytes */
    size_t room = room_for(heap, all);
    if (room > KILN_SMALL_MAX) return take_large(heap, all, 1, true);
    return take_small(heap, cache, kiln_size_class_of(room), all, true);
}

/* The class that serves a request, or KILN_CLASS_LARGE. `align` is a power of two. */
static uint32_t class_for(size_t align, size_t bytes)
{
    if (bytes == 0) bytes = 1;
    if (bytes > KILN_SMALL_MAX || align > KILN_PAGE_BYTES) return KILN_CLASS_LARGE;
    if (align <= KILN_HEAP_ALIGN_MIN) return kiln_size_class_of(bytes);
    return kiln_size_class_aligned(align, bytes);
}

void *kiln_heap_aligned(kiln_heap_t *heap, kiln_thread_cache_t *cache, size_t align, size_t bytes)
{
    if (!kiln_is_power_of_two(align)) return NULL;
    if (bytes == 0) bytes = 1;
    uint32_t class_idx = class_for(align, room_for(heap, bytes));
    if (class_idx != KILN_CLASS_LARGE) return take_small(heap, cache, class_idx, bytes, false);
    return take_large(heap, bytes, align, false);
}

/* ---- what a pointer is ---- */

typedef kiln_heap_found_t found_t;

/* The bytes of a span in use from its base on; 0 for any other record. What another thread closes
 * meanwhile must not look open here after kiln_span_slot_at found it closed: one field says so. */
static size_t span_bytes(const kiln_span_t *span)
{
    if (span->class_idx == KILN_CLASS_LARGE) return kiln_span_slots_bytes(span);
    if (atomic_load_explicit(&span->slots, memory_order_relaxed) == 0) return 0;
    return (size_t)kiln_size_classes[span->class_idx].span_pages << KILN_PAGE_SHIFT;
}

/* `addr` is not the start of a slot of `span`, which is what the page map leads to; or NULL. */
static kiln_misuse_t misuse_of(const kiln_span_t *span, uintptr_t addr)
{
    if (!span) return KILN_MISUSE_FOREIGN;
    if (addr - kiln_span_base(span) < span_bytes(span)) return KILN_MISUSE_INTERIOR;
    return kiln_is_aligned(addr, KILN_HEAP_ALIGN_MIN) ? KILN_MISUSE_DOUBLE_FREE
                                                      : KILN_MISUSE_INTERIOR;
}

static found_t find_live(const kiln_heap_t *heap, const void *block)
{
    uintptr_t addr = (uintptr_t)kiln_given_bare(heap, block);
    found_t found = {.span = kiln_page_map_find(&heap->map, addr)};
    uint32_t slot_idx = UINT32_MAX;
    if (found.span) slot_idx = kiln_span_slot_at(found.span, addr - kiln_span_base(found.span));
    if (slot_idx == UINT32_MAX) {
        found.misuse = misuse_of(found.span, addr);
        return found;
    }
    found.state = &found.span->states[slot_idx];
    found.was = atomic_load_explicit(found.state, memory_order_relaxed);
    if ((found.was != KILN_SLOT_LIVE && found.was != KILN_SLOT_KEPT) || !kiln_given_is(heap, block))
        found.misuse = KILN_MISUSE_DOUBLE_FREE;
    return found;
}

/* ---- free ---- */

kiln_misuse_t kiln_heap_free_slow(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block)
{
    found_t found = find_live(heap, block);
    if (found.misuse != KILN_MISUSE_NONE) return found.misuse;
    if (!kiln_heap_change(heap, found.state, found.was, KILN_SLOT_FREE))
        return KILN_MISUSE_DOUBLE_FREE;
    block = kiln_given_bare(heap, block);
    tell_free(heap, block, found.span);
    if (is_watched(heap))
        put_away_watched(heap, found.span, (kiln_slot_t){block, found.state});
    else
        put_away(heap, cache, found.span, (kiln_slot_t){block, found.state});
    return KILN_MISUSE_NONE;
}

/* Could a request of that alignment and size have been answered with this live block? A KEPT one
 * is larger than a malloc of its size would be, nobody remembers by how much. */
static kiln_misuse_t misuse_of_size(const kiln_heap_t *heap, const found_t *found, uintptr_t addr,
                                    size_t align, size_t bytes)
{
    size_t slot_bytes = kiln_span_slot_bytes(found->span);
    if (align != 0 && (!kiln_is_power_of_two(align) || !kiln_is_aligned(addr, align)))
        return KILN_MISUSE_ALIGNMENT;
    if (bytes == 0) bytes = 1;
    if (bytes > slot_bytes) return KILN_MISUSE_SIZE;
    if (found->was == KILN_SLOT_KEPT) return KILN_MISUSE_NONE;
    size_t room = room_for(heap, bytes);
    uint32_t class_idx = class_for(align, room);
    if (class_idx != found->span->class_idx) return KILN_MISUSE_SIZE;
    if (class_idx == KILN_CLASS_LARGE && kiln_large_pages(room) != slot_bytes >> KILN_PAGE_SHIFT)
        return KILN_MISUSE_SIZE;
    return KILN_MISUSE_NONE;
}

kiln_misuse_t kiln_heap_free_sized(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block,
                                   size_t align, size_t bytes)
{
    if (align == 0 && cache && bytes <= KILN_SMALL_MAX) { /* C++ makes this a common path */
        kiln_span_t *span = kiln_page_map_find(&heap->map, (uintptr_t)block);
        if (span && span->class_idx == kiln_size_class_of(bytes) &&
            kiln_heap_free_in(heap, cache, span, block))
            return KILN_MISUSE_NONE;
    }
    found_t found = find_live(heap, block);
    if (found.misuse == KILN_MISUSE_NONE)
        found.misuse = misuse_of_size(heap, &found, (uintptr_t)block, align, bytes);
    if (found.misuse != KILN_MISUSE_NONE) return found.misuse;
    return kiln_heap_free(heap, cache, block);
}

/* ---- realloc ---- */

/* The state of a live block in that slot: KEPT unless a malloc of `bytes` would give the same. */
static uint8_t live_state(const kiln_span_t *span, size_t bytes)
{
    if (class_for(1, bytes) != span->class_idx) return KILN_SLOT_KEPT;
    if (span->class_idx != KILN_CLASS_LARGE) return KILN_SLOT_LIVE;
    bool exact = kiln_large_pages(bytes) == kiln_span_slot_bytes(span) >> KILN_PAGE_SHIFT;
    return exact ? KILN_SLOT_LIVE : KILN_SLOT_KEPT;
}

/* Room for `bytes` that replaces a large block: with a quarter to spare if there is memory, so that
 * a block that grows in small steps is not copied at each. */
static void *take_to_grow(kiln_heap_t *heap, size_t bytes)
{
    if (bytes > PTRDIFF_MAX / 2) return NULL;
    kiln_span_t *span = kiln_large_new(&heap->pages, bytes + bytes / KILN_LARGE_SLACK, 1);
    if (!span) return NULL;
    atomic_store_explicit(&span->states[0], live_state(span, bytes), memory_order_relaxed);
    return (void *)kiln_span_base(span);
}

/* Can the block be `bytes` long where it is? A small one that would fill half of its slot or less
 * is worth a move. */
static bool fits_here(kiln_heap_t *heap, kiln_span_t *span, size_t bytes)
{
    size_t has = kiln_span_slot_bytes(span);
    if (span->class_idx == KILN_CLASS_LARGE)
        return bytes > KILN_SMALL_MAX && kiln_large_resize(&heap->pages, span, bytes);
    return bytes <= has && (bytes > has / 2 || class_for(1, bytes) == span->class_idx);
}

static void *copy_elsewhere(kiln_heap_t *heap, kiln_thread_cache_t *cache, const void *block,
                            const kiln_span_t *span, size_t bytes)
{
    size_t has = kiln_span_slot_bytes(span);
    void *fresh = NULL;
    if (span->class_idx == KILN_CLASS_LARGE && bytes > has) fresh = take_to_grow(heap, bytes);
    if (!fresh) fresh = kiln_heap_malloc(heap, cache, bytes);
    if (fresh) memcpy(fresh, block, has < bytes ? has : bytes);
    return fresh;
}

/* realloc_watched moves the block, whatever its size: no tool then takes what a shorter one held,
 * or its old address, for the program's. The block is claimed, and its free told last. */
static void *realloc_watched(kiln_heap_t *heap, void *block, const found_t *found, size_t bytes)
{
    const kiln_watcher_t *watcher = heap->config.watcher;
    size_t has = kiln_span_slot_bytes(found->span), kept = has < bytes ? has : bytes;
    void *fresh = kiln_heap_malloc_slow(heap, NULL, bytes);
    if (!fresh) {
        atomic_store_explicit(found->state, found->was, memory_order_relaxed);
        return NULL;
    }
    void *to = kiln_given_bare(heap, fresh);
    block = kiln_given_bare(heap, block);
    if (watcher->copy)
        watcher->copy(watcher->ctx, (uintptr_t)to, (uintptr_t)block, kept);
    else
        memcpy(to, block, kept);
    tell_free(heap, block, found->span);
    put_away_watched(heap, found->span, (kiln_slot_t){block, found->state});
    return fresh;
}

/* The block is claimed, as free would, before anything is done with it: whoever frees it meanwhile
 * is told of a double free. It is BUSY and not FREE, since what it holds is still the program's: a
 * search for leaks that stops this thread here follows it. */
void *kiln_heap_realloc(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block, size_t bytes,
                        kiln_misuse_t *out_misuse)
{
    found_t found = find_live(heap, block);
    *out_misuse = found.misuse;
    if (found.misuse != KILN_MISUSE_NONE || bytes > PTRDIFF_MAX) return NULL;
    if (!kiln_heap_change(heap, found.state, found.was, KILN_SLOT_BUSY)) {
        *out_misuse = KILN_MISUSE_DOUBLE_FREE;
        return NULL;
    }
    if (is_watched(heap)) return realloc_watched(heap, block, &found, bytes);
    void *fresh = fits_here(heap, found.span, bytes)
                      ? NULL
                      : copy_elsewhere(heap, cache, block, found.span, bytes);
    if (fresh) {
        atomic_store_explicit(found.state, KILN_SLOT_FREE, memory_order_relaxed);
        put_away(heap, cache, found.span, (kiln_slot_t){block, found.state});
        return fresh;
    }
    /* Here it stays: because it fits, or because there is no memory. A smaller one always fits. */
    size_t has = kiln_span_slot_bytes(found.span);
    bool fits = bytes <= has;
    uint8_t state = fits ? live_state(found.span, bytes) : found.was;
    atomic_store_explicit(found.state, state, memory_order_relaxed);
    return fits ? block : NULL;
}

/* ---- questions ---- */

size_t kiln_heap_usable(kiln_heap_t *heap, const void *block, kiln_misuse_t *out_misuse)
{
    found_t found = find_live(heap, block);
    *out_misuse = found.misuse;
    return found.misuse == KILN_MISUSE_NONE ? kiln_span_slot_bytes(found.span) : 0;
}

kiln_heap_about_t kiln_heap_about(kiln_heap_t *heap, const void *address)
{
    kiln_heap_about_t about = {0};
    uintptr_t addr = (uintptr_t)kiln_given_bare(heap, address);
    const kiln_span_t *span = kiln_page_map_find(&heap->map, addr);
    if (!span || span->class_idx >= KILN_SIZE_CLASSES) return about; /* a ruined record is none */
    uintptr_t base = kiln_span_base(span);
    size_t slot_bytes = kiln_span_slot_bytes(span), offset = addr - base;
    about.heap = offset < span_bytes(span);
    if (!about.heap || slot_bytes == 0 || offset / slot_bytes >= kiln_span_slots(span))
        return about;
    size_t slot_idx = offset / slot_bytes;
    uint8_t state = atomic_load_explicit(&span->states[slot_idx], memory_order_relaxed);
    about.live = state == KILN_SLOT_LIVE || state == KILN_SLOT_KEPT;
    about.state = state;
    about.block = base + slot_idx * slot_bytes;
    about.slot_bytes = slot_bytes;
    return about;
}

bool kiln_heap_trim(kiln_heap_t *heap, uint64_t keep_bytes)
{
    (void)let_all_go(heap);
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) kiln_central_trim(&heap->central[i]);
    return kiln_page_heap_trim(&heap->pages, keep_bytes);
}

/* ---- fork ---- */

static void unlock_all(kiln_heap_t *heap)
{
    kiln_lock_release(&heap->waiting.lock, &heap->config.os->parker);
    kiln_page_heap_unlock(&heap->pages);
    for (uint32_t i = KILN_SIZE_CLASSES; i-- > 1;) kiln_central_unlock(&heap->central[i]);
    kiln_thread_cache_list_unlock(&heap->caches);
}

void kiln_heap_fork_prepare(kiln_heap_t *heap)
{
    kiln_thread_cache_list_lock(&heap->caches);
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) kiln_central_lock(&heap->central[i]);
    kiln_page_heap_lock(&heap->pages);
    kiln_lock_acquire(&heap->waiting.lock, &heap->config.os->parker);
}

void kiln_heap_fork_parent(kiln_heap_t *heap)
{
    unlock_all(heap);
}

void kiln_heap_fork_child(kiln_heap_t *heap, kiln_thread_cache_t *mine)
{
    unlock_all(heap);
    kiln_thread_cache_abandon(&heap->caches, mine);
}

/* ---- for a layer above ---- */

kiln_heap_found_t kiln_heap_find(const kiln_heap_t *heap, const void *block)
{
    return find_live(heap, block);
}

bool kiln_heap_take_slot(kiln_heap_t *heap, kiln_thread_cache_t *cache, uint32_t class_idx,
                         kiln_slot_t *out)
{
    return take_slot(heap, cache, class_idx, out);
}

/* The state must be that of the block's slot; whether that is out, kiln_central_reclaim asks. */
void kiln_heap_reclaim_slot(kiln_heap_t *heap, kiln_slot_t slot, bool clear)
{
    uintptr_t addr = (uintptr_t)slot.block;
    kiln_span_t *span = slot.block ? kiln_page_map_find(&heap->map, addr) : NULL;
    if (!span || span->kind != KILN_SPAN_SMALL) return;
    uint32_t slot_idx = kiln_span_slot_at(span, addr - kiln_span_base(span));
    uint8_t from = KILN_SLOT_QUARANTINED;
    if (slot_idx == UINT32_MAX || &span->states[slot_idx] != slot.state) return;
    if (!atomic_compare_exchange_strong(slot.state, &from, KILN_SLOT_FREE)) return;
    if (clear) memset(slot.block, 0, kiln_span_slot_bytes(span));
    kiln_central_reclaim(&heap->central[span->class_idx], slot);
}

uint32_t kiln_heap_class_for(size_t align, size_t bytes)
{
    return class_for(align, bytes);
}
