#include "allocator/heap/thread_cache.h"

#include "allocator/base/check.h"

#include <string.h>

void kiln_thread_cache_list_init(kiln_thread_cache_list_t *list, kiln_page_heap_t *pages,
                                 kiln_central_t *central)
{
    *list = (kiln_thread_cache_list_t){.pages = pages, .central = central};
}

void kiln_thread_cache_list_lock(kiln_thread_cache_list_t *list)
{
    kiln_lock_acquire(&list->lock, &list->pages->os->parker);
}

void kiln_thread_cache_list_unlock(kiln_thread_cache_list_t *list)
{
    kiln_lock_release(&list->lock, &list->pages->os->parker);
}

static void set_count(kiln_thread_cache_t *cache, uint32_t class_idx, uint32_t count)
{
    kiln_slot_t *top = kiln_cache_bin_first(cache, class_idx) + count;
    atomic_signal_fence(memory_order_release);
    atomic_store_explicit(&cache->tops[class_idx], top, memory_order_relaxed);
}

static void lay_out(kiln_thread_cache_t *cache)
{
    kiln_slot_t *next = cache->slots;
    for (uint32_t i = 0; i < KILN_SIZE_CLASSES; i++) {
        next += 1 + kiln_size_classes[i].cache_max; /* one stays empty, see thread_cache.h */
        cache->ends[i] = next;
        kiln_cache_bin_open(cache, i);
        set_count(cache, i, 0);
    }
    KILN_ASSERT(next == cache->slots + KILN_CACHE_ENTRIES_SUM + KILN_SIZE_CLASSES);
}

kiln_thread_cache_t *kiln_thread_cache_new(kiln_thread_cache_list_t *list)
{
    kiln_thread_cache_list_lock(list);
    kiln_thread_cache_t *cache = list->spares;
    if (cache) {
        list->spares = cache->next;
    } else {
        cache = kiln_page_heap_record(list->pages, sizeof *cache);
        if (cache) lay_out(cache);
        if (cache) cache->number = (uint16_t)(list->made++ % UINT16_MAX + 1);
    }
    if (cache) {
        memset(cache->fill, 0, sizeof cache->fill);
        for (uint32_t i = 1; i <= KILN_CACHE_MARKED_MAX; i++)
            cache->stops[i] = kiln_cache_bin_first(cache, i);
        cache->prev = NULL;
        cache->next = list->first;
        if (cache->next) cache->next->prev = cache;
        list->first = cache;
        list->count++;
    }
    kiln_thread_cache_list_unlock(list);
    return cache;
}

/* Gives all slots of a bin to their class. */
static void empty_bin(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                      uint32_t class_idx)
{
    uint32_t count = kiln_cache_bin_count(cache, class_idx);
    if (count == 0) return;
    kiln_central_give(&list->central[class_idx], kiln_cache_bin_first(cache, class_idx), count);
    set_count(cache, class_idx, 0);
}

/* Holds the list's lock. */
static void end(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache)
{
    if (cache->next) cache->next->prev = cache->prev;
    if (cache->prev)
        cache->prev->next = cache->next;
    else
        list->first = cache->next;
    cache->next = list->spares;
    list->spares = cache;
    list->count--;
}

void kiln_thread_cache_empty(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) empty_bin(list, cache, i);
}

void kiln_thread_cache_end(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache)
{
    kiln_thread_cache_empty(list, cache);
    kiln_thread_cache_list_lock(list);
    end(list, cache);
    kiln_thread_cache_list_unlock(list);
}

bool kiln_thread_cache_refill(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                              uint32_t class_idx)
{
    uint32_t half = kiln_size_classes[class_idx].cache_max / 2u, wanted = cache->fill[class_idx];
    if (wanted == 0) wanted = KILN_CACHE_FIRST;
    if (wanted > half) wanted = half;
    cache->fill[class_idx] = (uint8_t)(2 * wanted);
    kiln_taker_t taker = {cache->number, atomic_load_explicit(&list->count, memory_order_relaxed)};
    uint32_t taken = kiln_central_take_for(&list->central[class_idx],
                                           kiln_cache_bin_first(cache, class_idx), wanted, taker);
    set_count(cache, class_idx, taken);
    kiln_cache_bin_open(cache, class_idx);
    return taken > 0;
}

void kiln_thread_cache_mark(const kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                            uint32_t class_idx)
{
    if (class_idx <= KILN_CACHE_MARKED_MAX &&
        atomic_load_explicit(&list->count, memory_order_relaxed) > 1)
        cache->stops[class_idx] = kiln_cache_bin_top(cache, class_idx);
}

void kiln_thread_cache_flush(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                             uint32_t class_idx)
{
    kiln_slot_t *slots = kiln_cache_bin_first(cache, class_idx);
    uint32_t count = kiln_cache_bin_count(cache, class_idx), half = (count + 1) / 2;
    kiln_central_give(&list->central[class_idx], slots, half);
    memcpy(slots, slots + half, (count - half) * sizeof *slots); /* they do not overlap */
    set_count(cache, class_idx, count - half);
}

/* The mark was come to: twice as many may lie in the bin before the next look. */
static void raise_mark(kiln_thread_cache_t *cache, uint32_t class_idx)
{
    uint32_t count = kiln_cache_bin_count(cache, class_idx);
    kiln_cache_bin_open(cache, class_idx);
    if (count == 0) count = 1;
    if (2 * count < kiln_size_classes[class_idx].cache_max)
        cache->stops[class_idx] = kiln_cache_bin_first(cache, class_idx) + (size_t)2 * count;
}

void kiln_thread_cache_put(kiln_thread_cache_list_t *list, kiln_thread_cache_t *cache,
                           const kiln_span_t *span, kiln_slot_t slot)
{
    uint32_t class_idx = span->class_idx, count = kiln_cache_bin_count(cache, class_idx);
    kiln_slot_t *first = kiln_cache_bin_first(cache, class_idx);
    bool is_full = count == kiln_size_classes[class_idx].cache_max;
    bool is_others = !is_full && kiln_cache_bin_is_full(cache, class_idx, first + count) &&
                     atomic_load_explicit(&span->taker, memory_order_relaxed) != cache->number;
    if (is_full) kiln_thread_cache_flush(list, cache, class_idx);
    if (is_others && count == 0) (void)kiln_thread_cache_refill(list, cache, class_idx);
    count = kiln_cache_bin_count(cache, class_idx);
    if (!is_full) raise_mark(cache, class_idx);
    if (is_others) {
        memmove(first + 1, first, count * sizeof *first);
        *first = slot;
    } else {
        first[count] = slot;
    }
    set_count(cache, class_idx, count + 1);
}

void kiln_thread_cache_abandon(kiln_thread_cache_list_t *list, kiln_thread_cache_t *mine)
{
    kiln_thread_cache_list_lock(list);
    list->may_lose_slots = true; /* what a thread had in its hands is in no cache */
    for (kiln_thread_cache_t *cache = list->first, *next; cache; cache = next) {
        next = cache->next;
        if (cache == mine) continue;
        /* A torn entry may name a slot that is in `mine` by now: that one must not be out while the
         * entry is looked at. So mine goes back first. */
        if (mine) kiln_thread_cache_empty(list, mine);
        for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
            const kiln_slot_t *slots = kiln_cache_bin_first(cache, i);
            uint32_t count = kiln_cache_bin_count(cache, i);
            for (uint32_t j = 0; j < count && j < kiln_size_classes[i].cache_max; j++)
                kiln_central_reclaim(&list->central[i], slots[j]);
            set_count(cache, i, 0);
        }
        end(list, cache);
    }
    kiln_thread_cache_list_unlock(list);
}

uint64_t kiln_thread_cache_bytes(kiln_thread_cache_list_t *list)
{
    uint64_t bytes = 0;
    kiln_thread_cache_list_lock(list);
    for (const kiln_thread_cache_t *cache = list->first; cache; cache = cache->next)
        for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++)
            bytes += (uint64_t)kiln_cache_bin_count(cache, i) * kiln_size_classes[i].slot_bytes;
    kiln_thread_cache_list_unlock(list);
    return bytes;
}

static const char *broken_bin_rule(const kiln_thread_cache_list_t *list,
                                   const kiln_thread_cache_t *cache, uint32_t class_idx)
{
    const kiln_slot_t *slots = kiln_cache_bin_first(cache, class_idx);
    uint32_t count = kiln_cache_bin_count(cache, class_idx);
    if (count > kiln_size_classes[class_idx].cache_max) return "a cache keeps no more than it may";
    if (cache->stops[class_idx] < slots + count || cache->stops[class_idx] > cache->ends[class_idx])
        return "a bin stops at its end, or sooner, and not below its top";
    if (slots[-1].block != NULL) return "below the first slot lies an empty one";
    for (uint32_t i = 0; i < count; i++) {
        uintptr_t addr = (uintptr_t)slots[i].block;
        const kiln_span_t *span = kiln_page_map_find(&list->pages->map, addr);
        if (!span || span->kind != KILN_SPAN_SMALL || span->class_idx != class_idx)
            return "a cached slot is of its class";
        uint32_t slot_idx = kiln_span_slot_at(span, addr - kiln_span_base(span));
        if (slot_idx == UINT32_MAX || slots[i].state != &span->states[slot_idx])
            return "a cache entry names a slot and its state";
        if (!kiln_slot_is_free(*slots[i].state) || !kiln_span_is_out(span, slot_idx))
            return "a slot in a cache is FREE and out";
        for (uint32_t j = 0; j < i; j++)
            if (slots[j].block == slots[i].block) return "a slot is cached once";
    }
    return NULL;
}

const char *kiln_thread_cache_broken_rule(const kiln_thread_cache_list_t *list, uint64_t *out_slots)
{
    uint32_t caches = 0;
    const kiln_thread_cache_t *prev = NULL;
    *out_slots = 0;
    for (const kiln_thread_cache_t *cache = list->first; cache; cache = cache->next) {
        if (cache->prev != prev) return "the list of caches is linked both ways";
        if (++caches > list->count) return "the list counts its caches";
        prev = cache;
        for (uint32_t i = 0; i < KILN_SIZE_CLASSES; i++) {
            const char *rule = broken_bin_rule(list, cache, i);
            if (rule) return rule;
            *out_slots += kiln_cache_bin_count(cache, i);
        }
    }
    return caches == list->count ? NULL : "the list counts its caches";
}
