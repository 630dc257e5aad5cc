/* Large blocks of a hardened heap.
 *
 *   |<- asked ->| canary | faults; room to grow |
 *   base                 base + open_bytes       the span's end
 *
 * Behind a live one, and so in front of the next, pages fault, where the OS has such pages that
 * cost no mapping (os.h: Guarded): all of the span from the first whole hardware page behind the
 * block on. The canary has what is left of the page before.
 *
 * One that is freed gives its bytes back to the OS at once and waits among the last few that were,
 * Reserved, so that its pages fault: whoever still uses it is seen at the access. Its pages are
 * zero when they are used again. (Guard pages in their place cost as much as the block is long;
 * this costs two mappings while it waits.) A block that is no whole hardware pages does not wait:
 * its pages are cleared when they are used again. */
#include "allocator/harden/harden.h"

#include "allocator/heap/huge.h"

/* What a large block must have room for behind its last byte. */
static size_t tail_bytes(const kiln_harden_t *harden)
{
    const kiln_os_t *os = harden->heap->config.os;
    bool guards = os->guard && os->phys_bytes <= KILN_PAGE_BYTES;
    return 1 + (guards ? (size_t)os->phys_bytes : 0);
}

static uint64_t open_bytes_for(const kiln_harden_t *harden, size_t asked)
{
    return kiln_round_up((uint64_t)asked + 1, harden->heap->config.os->phys_bytes);
}

static bool guard(const kiln_harden_t *harden, const kiln_span_t *span, uint64_t from, uint64_t to,
                  bool on)
{
    return kiln_os_guard(harden->heap->pages.os, kiln_span_base(span) + from, to - from, on);
}

/* close_tail makes what lies behind the block fault, open_tail takes that back: nothing else may
 * have pages that do, nor may the span's size be changed. move_tail opens what the block grows by,
 * within its room. False: refused, and all is as it was. */
static void close_tail(kiln_harden_t *harden, kiln_span_t *span, size_t asked)
{
    uint64_t open_bytes = open_bytes_for(harden, asked), end = kiln_span_slot_bytes(span);
    bool fits = harden->heap->config.os->phys_bytes <= KILN_PAGE_BYTES && open_bytes < end;
    kiln_page_heap_lock(&harden->heap->pages);
    if (!fits || !guard(harden, span, open_bytes, end, true)) open_bytes = 0;
    atomic_store_explicit(&kiln_note_large(span)->open_bytes, (size_t)open_bytes,
                          memory_order_relaxed);
    kiln_page_heap_unlock(&harden->heap->pages);
}

/* From where they are closed now, up to `to`; what is behind stays closed from `stays` on. */
static bool open_up_to(kiln_harden_t *harden, kiln_span_t *span, uint64_t to, size_t stays)
{
    _Atomic size_t *open_bytes = &kiln_note_large(span)->open_bytes;
    size_t was = atomic_load_explicit(open_bytes, memory_order_relaxed);
    if (was == 0 || was >= to) return true;
    kiln_page_heap_lock(&harden->heap->pages);
    bool done = guard(harden, span, was, to, false);
    if (done) atomic_store_explicit(open_bytes, stays, memory_order_relaxed);
    kiln_page_heap_unlock(&harden->heap->pages);
    return done;
}

static bool open_tail(kiln_harden_t *harden, kiln_span_t *span)
{
    return open_up_to(harden, span, kiln_span_slot_bytes(span), 0);
}

static bool move_tail(kiln_harden_t *harden, kiln_span_t *span, size_t bytes)
{
    uint64_t to = open_bytes_for(harden, bytes);
    return open_up_to(harden, span, to, (size_t)to);
}

/* What a block of `bytes` bytes is to have behind it. */
static void write_canary(kiln_harden_t *harden, const kiln_span_t *span, size_t bytes)
{
    uintptr_t start = kiln_span_base(span) + bytes, end = kiln_harden_canary_end(span, bytes);
    kiln_canary_write(&harden->canary, (char *)end, end - start);
}

/* The caller has the span for itself: its block is LIVE, but nobody else knows of it. */
static void *begin(kiln_harden_t *harden, kiln_span_t *span, size_t bytes, bool zero,
                   kiln_site_t site)
{
    void *block = (void *)kiln_span_base(span);
    close_tail(harden, span, bytes);
    kiln_harden_begin_fresh(harden, block, bytes, zero);
    atomic_store_explicit(&kiln_note_large(span)->asked, bytes, memory_order_relaxed);
    write_canary(harden, span, bytes);
    if (harden->keeps_who) kiln_harden_note_alloc(harden, span, 0, site);
    atomic_store_explicit(&kiln_note_large(span)->ready, true, memory_order_release);
    return block;
}

/* Whatever makes pages fault, or lose their bytes, holds the page heap's lock, as for all other
 * calls of the OS; and as kiln_harden_check does, which reads them.
 *
 * Pages that faulted are zero again, and have no memory behind them. Where the OS refuses, the
 * block stays where it is for ever: nothing else may have its pages. */
static void leave(kiln_harden_t *harden, kiln_slot_t slot)
{
    kiln_page_heap_t *pages = &harden->heap->pages;
    kiln_span_t *span = kiln_page_map_find(&harden->heap->map, (uintptr_t)slot.block);
    kiln_page_heap_lock(pages);
    bool done = pages->os->commit(pages->os->ctx, kiln_span_base(span), kiln_span_slot_bytes(span),
                                  true, KILN_OS_HEAP) == KILN_OS_OK;
    if (done) kiln_huge_again(pages, kiln_span_base(span), kiln_span_slot_bytes(span));
    kiln_page_heap_unlock(pages);
    if (done) kiln_page_heap_give_zeroed(pages, span);
}

static kiln_slot_t exchange(kiln_harden_t *harden, uint32_t place, kiln_slot_t slot)
{
    kiln_slot_t was = harden->large[place];
    harden->large[place] = slot;
    return was;
}

/* Among those that were freed last: false where its pages cannot be made to fault, since a hardware
 * page of it is another's, too. */
static bool wait(kiln_harden_t *harden, kiln_span_t *span, kiln_slot_t slot)
{
    kiln_page_heap_t *pages = &harden->heap->pages;
    const kiln_os_t *os = harden->heap->config.os;
    size_t bytes = kiln_span_slot_bytes(span);
    if (!kiln_is_aligned(kiln_span_base(span) | bytes, os->phys_bytes)) return false;
    kiln_page_heap_lock(pages);
    pages->os->decommit(pages->os->ctx, kiln_span_base(span), bytes);
    kiln_page_heap_unlock(pages);
    atomic_store_explicit(slot.state, KILN_SLOT_QUARANTINED, memory_order_relaxed);
    kiln_lock_acquire(&harden->lock, &os->parker);
    kiln_slot_t leaves = exchange(harden, harden->large_next, slot);
    harden->large_next = (harden->large_next + 1) % KILN_HARDEN_LARGE_PLACES;
    kiln_lock_release(&harden->lock, &os->parker);
    if (leaves.block) leave(harden, leaves);
    return true;
}

bool kiln_harden_large_flush(kiln_harden_t *harden)
{
    const kiln_os_t *os = harden->heap->config.os;
    bool any = false;
    for (uint32_t i = 0; i < KILN_HARDEN_LARGE_PLACES; i++) {
        kiln_lock_acquire(&harden->lock, &os->parker);
        kiln_slot_t leaves = exchange(harden, i, (kiln_slot_t){NULL, NULL});
        kiln_lock_release(&harden->lock, &os->parker);
        if (!leaves.block) continue;
        leave(harden, leaves);
        any = true;
    }
    return any;
}

void *kiln_harden_large_malloc(kiln_harden_t *harden, size_t align, size_t bytes, size_t room_bytes,
                               bool zero, kiln_site_t site)
{
    if (room_bytes > PTRDIFF_MAX - tail_bytes(harden)) return NULL;
    room_bytes += tail_bytes(harden);
    kiln_span_t *span = kiln_large_new(&harden->heap->pages, room_bytes, align);
    if (!span && kiln_harden_large_flush(harden))
        span = kiln_large_new(&harden->heap->pages, room_bytes, align);
    if (!span) return NULL;
    kiln_span_clear(span, SIZE_MAX);
    return begin(harden, span, bytes, zero, site);
}

void kiln_harden_large_retire(kiln_harden_t *harden, kiln_span_t *span, kiln_site_t site)
{
    size_t asked = atomic_load_explicit(&kiln_note_large(span)->asked, memory_order_relaxed);
    uintptr_t end = kiln_harden_canary_end(span, asked);
    if (!kiln_canary_holds(&harden->canary, (const char *)end, end - kiln_span_base(span) - asked))
        kiln_harden_tell(harden, span, 0, KILN_SLOT_LIVE, site);
    if (harden->keeps_who) kiln_harden_note_free(harden, span, 0, site);
    atomic_store_explicit(&kiln_note_large(span)->ready, false, memory_order_relaxed);
    atomic_store_explicit(&kiln_note_large(span)->open_bytes, 0, memory_order_relaxed);
    kiln_slot_t slot = {(void *)kiln_span_base(span), &span->states[0]};
    if (!wait(harden, span, slot)) kiln_page_heap_give(&harden->heap->pages, span);
}

/* What a block of now `bytes` bytes gave up behind its canary, and does not fault, is zero: it may
 * grow into that again. */
static void clear_given_up(const kiln_span_t *span, size_t asked, size_t bytes)
{
    uintptr_t block = kiln_span_base(span), start = kiln_harden_canary_end(span, bytes);
    size_t open_bytes =
        atomic_load_explicit(&kiln_note_large(span)->open_bytes, memory_order_relaxed);
    if (open_bytes == 0) open_bytes = kiln_span_slot_bytes(span);
    uintptr_t end = block + (asked < open_bytes ? asked : open_bytes);
    if (start < end) memset((void *)start, 0, end - start);
}

/* Where it has room it grows into that; else its span becomes longer, or shorter. */
static bool resize_span(kiln_harden_t *harden, kiln_span_t *span, size_t asked, size_t bytes)
{
    size_t wanted = bytes + tail_bytes(harden);
    if (bytes >= asked && wanted <= kiln_span_slot_bytes(span))
        return move_tail(harden, span, bytes);
    if (!open_tail(harden, span)) return false;
    if (kiln_large_resize(&harden->heap->pages, span, wanted)) return true;
    close_tail(harden, span, asked);
    write_canary(harden, span, asked); /* it is longer where the tail could not be closed */
    return false;
}

bool kiln_harden_large_resize(kiln_harden_t *harden, kiln_span_t *span, size_t asked, size_t bytes)
{
    uintptr_t block = kiln_span_base(span), old_end = kiln_harden_canary_end(span, asked);
    if (!resize_span(harden, span, asked, bytes)) return false;
    /* What the canary was in is the program's, or is nobody's: zero, as the rest. */
    uintptr_t last = block + kiln_span_slot_bytes(span);
    if (old_end > last) old_end = last;
    if (old_end > block + asked) memset((void *)(block + asked), 0, old_end - block - asked);
    if (atomic_load_explicit(&kiln_note_large(span)->open_bytes, memory_order_relaxed) == 0)
        close_tail(harden, span, bytes);
    atomic_store_explicit(&kiln_note_large(span)->asked, bytes, memory_order_relaxed);
    write_canary(harden, span, bytes);
    clear_given_up(span, asked, bytes);
    return true;
}
