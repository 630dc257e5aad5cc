#include "allocator/heap/page_heap.h"

#include "allocator/base/check.h"
#include "allocator/heap/huge.h"

#include <string.h>

/* No arena is larger than this; pages are counted in 32 bits. */
enum { PAGES_MAX = INT32_MAX };

/* What the records are lent at a time. */
enum { LENT_PAGES = 8 };

/* See page_heap.h, the idle policy. */
enum { ROUNDS = 8, FEW = 16 };

/* Runs below 128 KiB are kept when the heap grows. */
enum { GROWTH_RUN_PAGES = 16 };

void kiln_page_heap_init(kiln_page_heap_t *heap, kiln_arena_t *arena, const kiln_os_t *os,
                         uint64_t dirty_bytes_max)
{
    *heap = (kiln_page_heap_t){.os = os, .arena = arena};
    heap->dirty_pages_max = dirty_bytes_max >> KILN_PAGE_SHIFT;
    heap->ready.origin = heap->discarded.origin = (uintptr_t)arena->arena_start;
    kiln_meta_init(&heap->meta, os);
    kiln_page_map_init(&heap->map, arena);
}

void kiln_page_heap_destroy(kiln_page_heap_t *heap)
{
    kiln_meta_destroy(&heap->meta);
}

static uint64_t bytes_of(uint32_t pages)
{
    return (uint64_t)pages << KILN_PAGE_SHIFT;
}

/* ---- records ---- */

static kiln_span_t *take_record(kiln_page_heap_t *heap, uint32_t class_idx)
{
    kiln_span_t *span = heap->spares[class_idx];
    if (span) {
        if (span->kind != KILN_SPAN_SPARE || span->class_idx != class_idx)
            kiln_seal_broken(&heap->seal, span);
        heap->spares[class_idx] = span->left;
        return span;
    }
    span = kiln_meta_take(&heap->meta, kiln_span_record_bytes(class_idx, heap->note_bytes));
    if (!span) return NULL;
    kiln_span_shape(span, class_idx);
    heap->records++;
    return span;
}

/* Defined with the search for free runs. */
static bool lend_idle_pages(kiln_page_heap_t *heap);

/* take_record_at_the_limit also takes what idle pages were lent for: where address space is limited
 * the arena may hold all there is, so that the OS has nothing for records while pages are idle. No
 * free run may be in the caller's hand, since the pages come from one. */
static kiln_span_t *take_record_at_the_limit(kiln_page_heap_t *heap, uint32_t class_idx)
{
    kiln_span_t *span = take_record(heap, class_idx);
    if (span) return span;
    size_t bytes = kiln_span_record_bytes(class_idx, heap->note_bytes);
    span = kiln_meta_take(&heap->lent, bytes);
    if (!span && lend_idle_pages(heap)) span = kiln_meta_take(&heap->lent, bytes);
    if (!span) return NULL;
    kiln_span_shape(span, class_idx);
    heap->records++;
    return span;
}

static void give_record(kiln_page_heap_t *heap, kiln_span_t *span)
{
    span->kind = KILN_SPAN_SPARE;
    span->left = heap->spares[span->class_idx];
    heap->spares[span->class_idx] = span;
}

/* ---- free runs ---- */

static kiln_free_tree_t *tree_of(kiln_page_heap_t *heap, const kiln_span_t *run)
{
    return run->kind == KILN_SPAN_READY ? &heap->ready : &heap->discarded;
}

static uint32_t clip(uint32_t page_idx, uint32_t start, uint32_t end)
{
    return page_idx < start ? 0 : page_idx > end ? end - start : page_idx - start;
}

/* add_run puts `run`, whose kind is set, over pages [first, first + pages) of `base`, where the
 * dirty pages are counted from `base`, and shows it at both ends. */
static void add_run(kiln_page_heap_t *heap, kiln_span_t *run, uintptr_t base, uint32_t first,
                    uint32_t pages, uint32_t dirty_start, uint32_t dirty_end)
{
    run->pages = pages;
    run->dirty_start = clip(dirty_start, first, first + pages);
    run->dirty_end = clip(dirty_end, first, first + pages);
    kiln_span_set_base(run, base + (uintptr_t)bytes_of(first));
    kiln_span_seal(&heap->seal, run);
    heap->counts.dirty += run->dirty_end - run->dirty_start;
    kiln_free_tree_add(tree_of(heap, run), run);
    kiln_page_map_set(&heap->map, run, 0, 1);
    kiln_page_map_set(&heap->map, run, pages - 1, 1);
}

static void remove_run(kiln_page_heap_t *heap, kiln_span_t *run)
{
    kiln_span_check(&heap->seal, run);
    kiln_free_tree_remove(tree_of(heap, run), run);
    heap->counts.dirty -= run->dirty_end - run->dirty_start;
}

/* The free run that ends, or starts, at `addr`. */
static kiln_span_t *run_left_of(kiln_page_heap_t *heap, uintptr_t addr)
{
    kiln_span_t *run = kiln_page_map_find(&heap->map, addr - 1);
    return run && kiln_span_is_free(run) && kiln_span_end(run) == addr ? run : NULL;
}

static kiln_span_t *run_right_of(kiln_page_heap_t *heap, uintptr_t addr)
{
    kiln_span_t *run = kiln_page_map_find(&heap->map, addr);
    return run && kiln_span_is_free(run) && kiln_span_base(run) == addr ? run : NULL;
}

static bool commit(kiln_page_heap_t *heap, uintptr_t base, uint32_t pages)
{
    return heap->os->commit(heap->os->ctx, base, bytes_of(pages), true, KILN_OS_HEAP) == KILN_OS_OK;
}

static void note_low(kiln_page_heap_t *heap)
{
    if (heap->counts.dirty < heap->dirty_low) heap->dirty_low = heap->counts.dirty;
}

static void note_peak(kiln_page_heap_t *heap)
{
    uint64_t held = heap->counts.taken - heap->discarded.pages;
    if (held > heap->counts.peak) heap->counts.peak = held;
}

/* make_ready turns a discarded run in the tree into a Ready one. */
static bool make_ready(kiln_page_heap_t *heap, kiln_span_t *run)
{
    if (run->kind == KILN_SPAN_READY) return true;
    kiln_span_check(&heap->seal, run);
    if (!commit(heap, kiln_span_base(run), run->pages)) return false;
    kiln_free_tree_remove(&heap->discarded, run);
    run->kind = KILN_SPAN_READY;
    kiln_span_seal(&heap->seal, run);
    kiln_free_tree_add(&heap->ready, run);
    note_peak(heap);
    return true;
}

/* join makes one run of two neighbours of one kind that are in the trees. */
static kiln_span_t *join(kiln_page_heap_t *heap, kiln_span_t *low, kiln_span_t *high)
{
    remove_run(heap, low);
    remove_run(heap, high);

    bool low_clean = low->dirty_start == low->dirty_end;
    bool high_clean = high->dirty_start == high->dirty_end;
    uint32_t start = low_clean ? low->pages + high->dirty_start : low->dirty_start;
    uint32_t end = high_clean ? low->dirty_end : low->pages + high->dirty_end;
    uint32_t pages = low->pages + high->pages;
    uintptr_t base = kiln_span_base(low);
    if (low_clean && high_clean) start = end = 0;

    /* Big records go back to their class. */
    kiln_span_t *kept = low->class_idx <= high->class_idx ? low : high;
    give_record(heap, kept == low ? high : low);
    add_run(heap, kept, base, 0, pages, start, end);
    return kept;
}

static kiln_span_t *join_neighbours(kiln_page_heap_t *heap, kiln_span_t *run)
{
    kiln_span_t *left = run_left_of(heap, kiln_span_base(run));
    if (left && left->kind == run->kind) run = join(heap, left, run);
    kiln_span_t *right = run_right_of(heap, kiln_span_end(run));
    if (right && right->kind == run->kind) run = join(heap, run, right);
    return run;
}

/* to_ready gives the Ready run that `run`, in a tree, is a part of after this. NULL when the OS
 * refuses. */
static kiln_span_t *to_ready(kiln_page_heap_t *heap, kiln_span_t *run)
{
    if (run->kind == KILN_SPAN_READY) return run;
    return make_ready(heap, run) ? join_neighbours(heap, run) : NULL;
}

/* Where a page is smaller than the hardware's, a discarded run cannot stay so in part: it is made
 * Ready as a whole before it is cut. */
static kiln_span_t *make_divisible(kiln_page_heap_t *heap, kiln_span_t *run)
{
    return heap->os->phys_bytes <= KILN_PAGE_BYTES ? run : to_ready(heap, run);
}

/* cut takes pages [skip, skip + pages) out of a divisible run in the tree and opens `span` over
 * them. What is left on the right goes to `spare` when there is something left on both sides;
 * otherwise `spare` is not used and may be NULL. False when the OS refuses to commit. */
static bool cut(kiln_page_heap_t *heap, kiln_span_t *run, uint32_t skip, uint32_t pages,
                kiln_span_t *span, kiln_span_t *spare)
{
    uintptr_t base = kiln_span_base(run);
    uint32_t all = run->pages, after = skip + pages;
    uintptr_t start = base + (uintptr_t)bytes_of(skip);
    kiln_span_check(&heap->seal, run);
    if (run->kind == KILN_SPAN_DISCARDED && !commit(heap, start, pages)) return false;
    kiln_free_tree_remove(tree_of(heap, run), run); /* remove_run, without a second check */
    heap->counts.dirty -= run->dirty_end - run->dirty_start;
    uint32_t dirty_start = run->dirty_start, dirty_end = run->dirty_end;
    uint8_t kind = run->kind;
    if (skip > 0) add_run(heap, run, base, 0, skip, dirty_start, dirty_end);
    if (after < all) {
        kiln_span_t *rest = skip > 0 ? spare : run;
        KILN_ASSERT(rest);
        rest->kind = kind;
        add_run(heap, rest, base, after, all - after, dirty_start, dirty_end);
    }
    if (skip == 0 && after == all) give_record(heap, run);

    span->dirty_start = clip(dirty_start, skip, after);
    span->dirty_end = clip(dirty_end, skip, after);
    kiln_span_open(span, start, pages);
    kiln_span_seal(&heap->seal, span);
    kiln_page_map_set(&heap->map, span, 0, pages);
    heap->counts.in_use += pages;
    note_low(heap);
    note_peak(heap);
    return true;
}

/* ---- idle memory ---- */

/* discard gives the bytes of a Ready run in the tree back to the OS: its whole hardware pages. What
 * is left over at its ends stays Ready. False when there is no such page, or no record. */
static bool discard(kiln_page_heap_t *heap, kiln_span_t *run)
{
    uint64_t phys = heap->os->phys_bytes > KILN_PAGE_BYTES ? heap->os->phys_bytes : KILN_PAGE_BYTES;
    uintptr_t base = kiln_span_base(run), end = kiln_span_end(run);
    uintptr_t low = (uintptr_t)kiln_round_up(base, phys);
    uintptr_t high = (uintptr_t)kiln_round_down(end, phys);
    if (low >= high) return false;

    kiln_span_t *head = low > base ? take_record(heap, KILN_CLASS_LARGE) : NULL;
    kiln_span_t *tail = high < end ? take_record(heap, KILN_CLASS_LARGE) : NULL;
    if ((low > base && !head) || (high < end && !tail)) {
        if (head) give_record(heap, head);
        if (tail) give_record(heap, tail);
        return false;
    }
    uint32_t head_pages = (uint32_t)((low - base) >> KILN_PAGE_SHIFT);
    uint32_t tail_pages = (uint32_t)((end - high) >> KILN_PAGE_SHIFT);
    uint32_t pages = run->pages - head_pages - tail_pages;
    uint32_t dirty_start = run->dirty_start, dirty_end = run->dirty_end;
    remove_run(heap, run);
    kiln_huge_take_back(heap);
    heap->os->discard(heap->os->ctx, low, high - low);
    run->kind = KILN_SPAN_DISCARDED;
    add_run(heap, run, low, 0, pages, 0, 0);
    if (head) {
        head->kind = KILN_SPAN_READY;
        add_run(heap, head, base, 0, head_pages, dirty_start, dirty_end);
    }
    if (tail) {
        tail->kind = KILN_SPAN_READY;
        add_run(heap, tail, base, head_pages + pages, tail_pages, dirty_start, dirty_end);
    }
    (void)join_neighbours(heap, run);
    note_low(heap);
    return true;
}

/* Where more is idle than in use, the memory that a growth of `pages` pages will need is taken from
 * idle runs that did not fit, if they are large enough to be worth a system call: so the heap does
 * not grow for being fragmented. `fresh` is what it grew by. */
static void pay_for_growth(kiln_page_heap_t *heap, const kiln_span_t *fresh, uint32_t pages)
{
    if (heap->counts.dirty < heap->counts.in_use) return;
    uint64_t floor = heap->counts.dirty > pages ? heap->counts.dirty - pages : 0;
    kiln_span_t *run = kiln_free_tree_largest(&heap->ready);
    while (run && run->pages >= GROWTH_RUN_PAGES && heap->counts.dirty > floor) {
        kiln_span_t *next = kiln_free_tree_before(&heap->ready, run);
        if (run != fresh && run->dirty_start < run->dirty_end) (void)discard(heap, run);
        run = next;
    }
}

static bool discard_down_to(kiln_page_heap_t *heap, uint64_t dirty_pages)
{
    bool any = false;
    kiln_span_t *run = kiln_free_tree_largest(&heap->ready);
    while (run && heap->counts.dirty > dirty_pages &&
           bytes_of(run->pages) >= heap->os->phys_bytes) {
        kiln_span_t *next = kiln_free_tree_before(&heap->ready, run);
        if (run->dirty_start < run->dirty_end && discard(heap, run)) any = true;
        run = next;
    }
    return any;
}

static void look_at_idle(kiln_page_heap_t *heap)
{
    if (heap->counts.dirty > heap->dirty_pages_max)
        (void)discard_down_to(heap, heap->dirty_pages_max / 8 * 7);
    if (heap->pages_back / ROUNDS < heap->counts.taken) return;
    if (heap->dirty_low > heap->dirty_pages_max / FEW)
        (void)discard_down_to(heap, heap->counts.dirty - heap->dirty_low / 2);
    heap->dirty_low = heap->counts.dirty;
    heap->pages_back = 0;
}

/* ---- growth ---- */

/* grow_by adds a run of at least `pages` pages from the arena, joined with its neighbours. */
static bool grow_by(kiln_page_heap_t *heap, uint64_t pages)
{
    if (heap->arena_failed) return false;
    if (!heap->spare_regions)
        heap->spare_regions = kiln_meta_take(&heap->meta, sizeof *heap->spare_regions);
    kiln_span_t *run = take_record(heap, KILN_CLASS_LARGE);
    if (!run || !heap->spare_regions) {
        if (run) give_record(heap, run);
        return false;
    }
    uint64_t bytes = 0;
    kiln_arena_result_t got = kiln_arena_grow(heap->arena, pages, &bytes);
    if (got.throw_reason) heap->arena_failed = got.throw_reason;
    if (got.addr == 0) {
        give_record(heap, run);
        return false;
    }
    uint32_t got_pages = (uint32_t)(bytes >> KILN_PAGE_SHIFT);
    kiln_region_add(&heap->regions, &heap->spare_regions, (uintptr_t)got.addr,
                    (uintptr_t)(got.addr + bytes));
    heap->counts.taken += got_pages;
    run->kind = KILN_SPAN_READY;
    add_run(heap, run, (uintptr_t)got.addr, 0, got_pages, 0, 0);
    pay_for_growth(heap, join_neighbours(heap, run), got_pages);
    note_peak(heap);
    return true;
}

/* grow_at makes the free pages from `addr` on, if the arena's next bytes come after them and it can
 * help it, at least `pages`. False: it gave nothing, or elsewhere. */
static bool grow_at(kiln_page_heap_t *heap, uintptr_t addr, uint64_t pages)
{
    kiln_span_t *run = run_right_of(heap, addr);
    uint64_t has = run ? run->pages : 0;
    if (addr + (has << KILN_PAGE_SHIFT) != heap->arena->arena_alloc) return false;
    if (run && !to_ready(heap, run)) return false;
    if (has < pages && !grow_by(heap, pages - has)) return false;
    run = run_right_of(heap, addr);
    return run && run->pages >= pages;
}

/* grow makes a run of at least `pages` pages, of what is free at the arena's end if that helps. */
static bool grow(kiln_page_heap_t *heap, uint64_t pages)
{
    kiln_span_t *last = run_left_of(heap, (uintptr_t)heap->arena->arena_alloc);
    if (last) last = to_ready(heap, last);
    if (last && grow_at(heap, kiln_span_base(last), pages)) return true;
    return grow_by(heap, pages);
}

/* grow_huge is grow_by for small blocks, where huge.h says so. False: it says no, or there is no
 * room; then less may do. */
static bool grow_huge(kiln_page_heap_t *heap, uint64_t pages)
{
    uint64_t start = heap->arena->arena_alloc, end = kiln_huge_end(heap, pages);
    if (end == 0 || !grow_by(heap, (end - start) >> KILN_PAGE_SHIFT)) return false;
    if (heap->arena->arena_alloc == end) kiln_huge_ask(heap, start, end);
    return true;
}

/* A Ready run costs nothing; a discarded one a call, and a fault for every page that is touched. */
static kiln_span_t *best_fit(kiln_page_heap_t *heap, uint64_t pages)
{
    kiln_span_t *ready = kiln_free_tree_best(&heap->ready, (uint32_t)pages);
    return ready ? ready : kiln_free_tree_best(&heap->discarded, (uint32_t)pages);
}

/* When the arena gives nothing: Ready and discarded neighbours together may be large enough. */
static kiln_span_t *join_everything(kiln_page_heap_t *heap, uint64_t pages)
{
    if (heap->ready.pages + heap->discarded.pages < pages) return NULL;
    while (heap->discarded.root) {
        kiln_span_t *run = kiln_free_tree_largest(&heap->discarded);
        if (!make_ready(heap, run)) break;
        (void)join_neighbours(heap, run);
    }
    return kiln_free_tree_best(&heap->ready, (uint32_t)pages);
}

static bool lend_idle_pages(kiln_page_heap_t *heap)
{
    kiln_span_t *run = best_fit(heap, LENT_PAGES);
    if (!run) run = join_everything(heap, LENT_PAGES);
    if (run) run = to_ready(heap, run);
    if (!run) return false;

    uintptr_t base = kiln_span_base(run);
    memset((void *)base, 0, (size_t)bytes_of(LENT_PAGES));
    kiln_meta_lend(&heap->lent, base, (size_t)bytes_of(LENT_PAGES));
    /* The record of these pages is the first thing in them. */
    kiln_span_t *span =
        kiln_meta_take(&heap->lent, kiln_span_record_bytes(KILN_CLASS_LARGE, heap->note_bytes));
    KILN_ASSERT(span);
    kiln_span_shape(span, KILN_CLASS_LARGE);
    heap->records++;
    bool done = cut(heap, run, 0, LENT_PAGES, span, NULL); /* Ready: the OS is not asked */
    KILN_ASSERT(done);
    (void)done;
    kiln_span_close(span);
    span->kind = KILN_SPAN_LENT;
    return true;
}

/* Of blocks that are no larger than a common hardware page every page is touched. */
static bool is_dense(uint32_t class_idx)
{
    enum { DENSE_BYTES_MAX = 4096 };
    return class_idx != KILN_CLASS_LARGE &&
           kiln_size_classes[class_idx].slot_bytes <= DENSE_BYTES_MAX;
}

static kiln_span_t *find_run(kiln_page_heap_t *heap, uint64_t pages, bool wants_huge)
{
    kiln_span_t *run = best_fit(heap, pages);
    if (!run && wants_huge && grow_huge(heap, pages)) run = best_fit(heap, pages);
    if (run) return run;
    return grow(heap, pages) ? best_fit(heap, pages) : join_everything(heap, pages);
}

static kiln_span_t *take(kiln_page_heap_t *heap, uint32_t class_idx, uint64_t pages, uint64_t align)
{
    uint64_t slack = align > KILN_PAGE_BYTES ? (align >> KILN_PAGE_SHIFT) - 1 : 0;
    if (pages > PAGES_MAX || slack > PAGES_MAX || pages + slack > PAGES_MAX) return NULL;

    kiln_span_t *span = take_record_at_the_limit(heap, class_idx);
    kiln_span_t *spare = slack > 0 ? take_record_at_the_limit(heap, KILN_CLASS_LARGE) : NULL;
    bool done = false;
    if (span && (spare || slack == 0)) {
        kiln_span_t *run = find_run(heap, pages + slack, is_dense(class_idx));
        if (run) run = make_divisible(heap, run);
        if (run) {
            uintptr_t base = kiln_span_base(run);
            uint64_t skip = (kiln_round_up(base, align) - base) >> KILN_PAGE_SHIFT;
            done = cut(heap, run, (uint32_t)skip, (uint32_t)pages, span, spare);
            /* The spare record is in use if it was opened as a run. */
            if (done && spare && kiln_span_is_free(spare)) spare = NULL;
        }
    }
    if (spare) give_record(heap, spare);
    if (done) return span;
    if (span) give_record(heap, span);
    return NULL;
}

kiln_span_t *kiln_page_heap_small(kiln_page_heap_t *heap, uint32_t class_idx)
{
    kiln_page_heap_lock(heap);
    uint32_t pages = kiln_size_classes[class_idx].span_pages;
    kiln_span_t *span = take(heap, class_idx, pages, KILN_PAGE_BYTES);
    if (span && heap->opens_clean) kiln_span_clear(span, SIZE_MAX);
    kiln_page_heap_unlock(heap);
    return span;
}

kiln_span_t *kiln_page_heap_large(kiln_page_heap_t *heap, uint64_t pages, uint64_t align)
{
    if (align < KILN_PAGE_BYTES) align = KILN_PAGE_BYTES;
    kiln_page_heap_lock(heap);
    kiln_span_t *span = take(heap, KILN_CLASS_LARGE, pages, align);
    if (span) {
        heap->counts.large += pages;
        heap->counts.large_spans++;
    }
    kiln_page_heap_unlock(heap);
    return span;
}

bool kiln_page_heap_trim(kiln_page_heap_t *heap, uint64_t keep_bytes)
{
    kiln_page_heap_lock(heap);
    bool any = discard_down_to(heap, keep_bytes >> KILN_PAGE_SHIFT);
    kiln_page_heap_unlock(heap);
    return any;
}

/* ---- giving back and resizing ---- */

/* give_pages makes `run`, a record, a free run over pages that a span used until now. */
static void give_pages(kiln_page_heap_t *heap, kiln_span_t *run, uintptr_t base, uint32_t pages,
                       uint32_t dirty_pages)
{
    run->kind = KILN_SPAN_READY;
    heap->counts.in_use -= pages;
    add_run(heap, run, base, 0, pages, 0, dirty_pages);
    (void)join_neighbours(heap, run);
    heap->pages_back += dirty_pages;
    look_at_idle(heap);
}

static void give_span(kiln_page_heap_t *heap, kiln_span_t *span, uint32_t dirty_pages)
{
    kiln_page_heap_lock(heap);
    kiln_span_check(&heap->seal, span);
    if (span->kind == KILN_SPAN_LARGE) {
        heap->counts.large -= span->pages;
        heap->counts.large_spans--;
    }
    kiln_span_close(span);
    give_pages(heap, span, kiln_span_base(span), span->pages, dirty_pages);
    kiln_page_heap_unlock(heap);
}

void kiln_page_heap_give(kiln_page_heap_t *heap, kiln_span_t *span)
{
    give_span(heap, span, span->pages);
}

void kiln_page_heap_give_zeroed(kiln_page_heap_t *heap, kiln_span_t *span)
{
    give_span(heap, span, 0);
}

static void set_large_pages(kiln_page_heap_t *heap, kiln_span_t *span, uint32_t pages)
{
    heap->counts.large += pages;
    heap->counts.large -= span->pages;
    span->pages = pages;
    atomic_store_explicit(&span->slots_bytes, (size_t)bytes_of(pages), memory_order_relaxed);
    kiln_span_seal(&heap->seal, span);
}

static bool extend(kiln_page_heap_t *heap, kiln_span_t *span, uint32_t pages)
{
    uint32_t old = span->pages, more = pages - old;
    kiln_span_t *run = run_right_of(heap, kiln_span_end(span));
    if (!run || run->pages < more) {
        if (!grow_at(heap, kiln_span_end(span), more)) return false;
        run = run_right_of(heap, kiln_span_end(span));
    }
    kiln_span_t *part = take_record(heap, KILN_CLASS_LARGE);
    if (!part) return false;
    run = make_divisible(heap, run);
    bool done = run && cut(heap, run, 0, more, part, NULL);
    if (done) {
        if (heap->opens_clean) kiln_span_clear(part, SIZE_MAX);
        set_large_pages(heap, span, pages);
        kiln_page_map_set(&heap->map, span, old, more);
        kiln_span_close(part);
    }
    give_record(heap, part);
    return done;
}

static bool shrink(kiln_page_heap_t *heap, kiln_span_t *span, uint32_t pages)
{
    uint32_t less = span->pages - pages;
    kiln_span_t *run = take_record(heap, KILN_CLASS_LARGE);
    if (!run) return false;
    set_large_pages(heap, span, pages);
    give_pages(heap, run, kiln_span_end(span), less, less);
    return true;
}

bool kiln_page_heap_resize(kiln_page_heap_t *heap, kiln_span_t *span, uint64_t pages)
{
    bool done = true;
    if (pages > PAGES_MAX) return false;
    kiln_page_heap_lock(heap);
    kiln_span_check(&heap->seal, span);
    if (pages > span->pages) done = extend(heap, span, (uint32_t)pages);
    if (pages < span->pages) done = shrink(heap, span, (uint32_t)pages);
    kiln_page_heap_unlock(heap);
    return done;
}

/* ---- the rest ---- */

void *kiln_page_heap_record(kiln_page_heap_t *heap, size_t bytes)
{
    kiln_page_heap_lock(heap);
    void *record = kiln_meta_take(&heap->meta, bytes);
    kiln_page_heap_unlock(heap);
    return record;
}
