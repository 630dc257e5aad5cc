/* Runs of pages, cut and joined: for any addresses and sizes up to 2^31 pages, one operation of the
 * page heap loses and doubles no page, forgets no dirty one, leaves no two free neighbours of one
 * kind, keeps trees, page map and counts in agreement, and where it fails changes nothing; but for
 * want of a record none fails here: there are records enough.
 *
 * The world is one record in the middle and any neighbours to its left and right, free, in use or
 * missing; what lies beyond them is in use. Trees are stubs that keep what is in which (what they
 * find is free_tree_harness.c's), the page map is its contract. One page, any, is watched: what
 * holds for it holds for each. OP is what is done to the middle, of KIND, between LEFT_KIND
 * and RIGHT_KIND; PHYS is the hardware page. GROW is for the arena's answers: new pages behind the
 * right one, before the left one, or apart. TAKE and the resizes ask for any number of pages of 64
 * bits where the arena has nothing left: what it gives is GROW's. EXTEND and SHRINK are RESIZE
 * where the block can grow, one by one, since both in one formula take minutes. */
#include "tests/proof/span.h"

#include "allocator/heap/page_map.h"
#include "tests/proof/proof.h"

static kiln_span_t *find(const kiln_page_map_t *map, uintptr_t addr);
static void clear(const kiln_span_t *span, size_t bytes);
#define kiln_page_map_find find
#define kiln_span_clear clear
#include "allocator/heap/page_heap.c"
#undef kiln_span_clear
#include "allocator/heap/huge.c"
#include "allocator/heap/region.c"
#include "allocator/heap/span.c"

enum { GIVE, CUT, DISCARD, TO_READY, JOIN_ALL, GROW, RESIZE, EXTEND, SHRINK, TAKE };
enum { LEFT, MIDDLE, RIGHT, SPARE, SPARE_TOO, RECORDS };

/* A proof may say which records look-ups lead to, which is asserted, and spares the solver the
 * others; how many records wait, else any. */
enum { SEE_MIDDLE = 1 << MIDDLE, SEE_RIGHT = 1 << RIGHT, SEE_BOTH = SEE_MIDDLE | SEE_RIGHT };
#ifndef SEE
#define SEE ~0
#endif
#ifndef WAITING
#define WAITING (OP == CUT ? 2 : -1)
#endif
#ifndef HUGE
#define HUGE 0 /* of GROW: the heap is large enough for huge pages */
#endif
#define ARENA (OP == GROW) /* it may be asked, else it was in vain */

/* Each an object of its own: cbmc is slow where a pointer may lead anywhere into an array. */
static kiln_span_t left_record, middle_record, right_record, spare_record, spare_too_record;
static kiln_span_t *const records[RECORDS] = {&left_record, &middle_record, &right_record,
                                              &spare_record, &spare_too_record};
static _Atomic uint8_t slot_states[RECORDS];
static kiln_page_heap_t heap;
static kiln_arena_t arena;

static uintptr_t page;              /* the page that is watched */
static const kiln_span_t *map_says; /* where the page map leads from it */
static bool page_is_ready;          /* as the OS has it */
static bool page_is_cleared;
static bool refused; /* a commit, or the arena */

/* ---- what is where ---- */

static bool in_tree[RECORDS]; /* that of its kind */

static uint32_t number_of(const kiln_span_t *span)
{
    for (uint32_t i = 0; i < RECORDS; i++)
        if (span == records[i]) return i;
    PROOF_ASSERT(0, "a record of the heap");
    return 0;
}

static bool in_use(const kiln_span_t *span)
{
    return span->kind == KILN_SPAN_LARGE;
}

static bool is_there(const kiln_span_t *span)
{
    return in_use(span) || in_tree[number_of(span)];
}

static bool is_free(const kiln_span_t *span)
{
    return in_tree[number_of(span)];
}

/* No run wraps: the world does not, and one that a bug made so holds nothing, which is refuted. So
 * comparisons stand where differences could: solvers take them in far less time. */
static bool holds(const kiln_span_t *span, uintptr_t addr)
{
    return is_there(span) && addr >= kiln_span_base(span) && addr < kiln_span_end(span);
}

/* Of an address that the span holds. */
static bool is_edge(const kiln_span_t *span, uintptr_t addr)
{
    return addr < kiln_span_base(span) + KILN_PAGE_BYTES ||
           addr >= kiln_span_end(span) - KILN_PAGE_BYTES;
}

static bool is_dirty(const kiln_span_t *span, uintptr_t addr)
{
    uintptr_t page_idx = addr >> KILN_PAGE_SHIFT, first = kiln_span_base(span) >> KILN_PAGE_SHIFT;
    return page_idx >= first + span->dirty_start && page_idx < first + span->dirty_end;
}

static bool has_page(uint64_t addr, uint64_t bytes)
{
    return addr <= page && page < addr + bytes;
}

#include "tests/proof/page_runs_trees.h"

#include "tests/proof/page_runs_seals.h"

/* ---- the page map, the arena, the OS ---- */

/* The contract of the map: a span in use from all of its pages, a free run from both ends. */
static kiln_span_t *find(const kiln_page_map_t *map, uintptr_t addr)
{
    (void)map;
    for (uint32_t i = 0; i < RECORDS; i++) {
        if (!holds(records[i], addr) || (!in_use(records[i]) && !is_edge(records[i], addr)))
            continue;
        if (SEE >> i & 1) return records[i];
        PROOF_ASSERT(0, "no other record is looked up");
    }
    return NULL;
}

void kiln_page_map_set(const kiln_page_map_t *map, kiln_span_t *span, uint32_t first,
                       uint32_t pages)
{
    (void)map;
    uintptr_t start = kiln_span_base(span) + ((uintptr_t)first << KILN_PAGE_SHIFT);
    PROOF_ASSERT(first < span->pages && pages <= span->pages - first,
                 "a span's own pages are mapped");
    if (has_page(start, bytes_of(pages))) map_says = span;
}

void *kiln_meta_take(kiln_meta_t *meta, size_t bytes)
{
    (void)meta, (void)bytes;
    return NULL;
}

/* What the arena gives if it is asked, chosen before all: clean, and Ready. */
static kiln_region_t grown;
static uint64_t grown_for;

static bool is_grown(uintptr_t addr)
{
    return grown.start <= addr && addr < grown.end;
}

kiln_arena_result_t kiln_arena_grow(kiln_arena_t *asked, uint64_t pages, uint64_t *out_bytes)
{
    PROOF_ASSERT(ARENA && asked == &arena && pages == grown_for,
                 "the arena is asked for what is missing");
    refused = grown.start == grown.end;
    if (refused) return (kiln_arena_result_t){.addr = 0};
    PROOF_ASSUME(grown.end - grown.start >= bytes_of((uint32_t)pages));
    if (HUGE && nondet_bool()) asked->arena_alloc = grown.end; /* else from elsewhere */
    *out_bytes = grown.end - grown.start;
    return (kiln_arena_result_t){.addr = grown.start};
}

/* Pages are cleared as far as they are dirty. */
static void clear(const kiln_span_t *span, size_t bytes)
{
    PROOF_ASSERT(in_use(span) && bytes == SIZE_MAX, "all of an open span is cleared");
    if (holds(span, page) && is_dirty(span, page)) page_is_cleared = true;
}

static const kiln_span_t *holder(void)
{
    const kiln_span_t *found = NULL;
    unsigned holders = 0;
    for (uint32_t i = 0; i < RECORDS; i++)
        if (holds(records[i], page)) {
            found = records[i];
            holders++;
        }
    PROOF_ASSERT(holders == 1, "no page is lost or doubled");
    return found;
}

static kiln_os_answer_t os_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                  kiln_os_use_t use)
{
    (void)ctx, (void)reserved, (void)use;
    PROOF_ASSERT(kiln_is_aligned(addr | bytes, PHYS) || PHYS < KILN_PAGE_BYTES,
                 "whole hardware pages are committed");
    if (nondet_bool()) {
        refused = true;
        return KILN_OS_FAIL;
    }
    if (has_page(addr, bytes)) {
        PROOF_ASSERT(!page_is_ready, "what is Ready is not committed again");
        page_is_ready = true;
    }
    return KILN_OS_OK;
}

static void os_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    PROOF_ASSERT(bytes > 0 && kiln_is_aligned(addr | bytes, PHYS),
                 "whole hardware pages are discarded");
    if (has_page(addr, bytes)) {
        PROOF_ASSERT(page_is_ready, "what is Ready is discarded");
        page_is_ready = false;
    }
}

enum { HUGE_BYTES = 1 << 21 };

/* What is said to be for huge pages is new, and ends where one does; what is taken back is a region
 * of which it was said. */
static kiln_region_t advised;

static void advise(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    (void)ctx;
    if (OP == DISCARD) {
        PROOF_ASSERT(!on && addr == advised.start && bytes == advised.end - advised.start,
                     "what was asked for is taken back");
        return;
    }
    PROOF_ASSERT(on && bytes > 0 && addr >= grown.start && addr + bytes == grown.end &&
                     kiln_is_aligned(addr + bytes, HUGE_BYTES),
                 "huge pages are asked for where the heap grew");
#if HUGE
    PROOF_REACHED(!refused, "huge pages are asked for");
#endif
}

static const kiln_os_t os = {.phys_bytes = PHYS,
                             .huge_bytes = HUGE ? HUGE_BYTES : 0,
                             .commit = os_commit,
                             .discard = os_discard,
                             .huge = advise};

/* ---- any world ---- */

/* A number of pages below `end`, no more than an address space has: the solver is spared the bits
 * above. */
static uint32_t any_pages(uint32_t end)
{
    uint32_t pages = nondet_unsigned() & (uint32_t)(UINTPTR_MAX >> KILN_PAGE_SHIFT);
    PROOF_ASSUME(pages < end);
    return pages;
}

static void any_record(uint32_t number, uint8_t kind, uintptr_t base, uint32_t pages)
{
    kiln_span_t *span = records[number];
    span->kind = kind;
    kiln_span_set_base(span, base);
    span->pages = pages;
    if (kind == KILN_SPAN_SPARE) return;
    if (kind == KILN_SPAN_LARGE) {
        span->used = 1;
        span->slots_bytes = (size_t)pages << KILN_PAGE_SHIFT;
        heap.counts.in_use += pages;
        heap.counts.large += pages;
        heap.counts.large_spans++;
    } else {
        if (kind == KILN_SPAN_READY) {
            span->dirty_start = any_pages(pages + 1);
            span->dirty_end = any_pages(pages + 1);
            PROOF_ASSUME(span->dirty_start <= span->dirty_end);
        } else {
            PROOF_ASSUME(PHYS <= KILN_PAGE_BYTES ||
                         kiln_is_aligned(base | (uintptr_t)pages << KILN_PAGE_SHIFT, PHYS));
        }
        heap.counts.dirty += span->dirty_end - span->dirty_start;
        kiln_free_tree_add(tree_of_kind(span), span);
    }
    heap.counts.taken += pages;
}

/* The arena gives nothing, or pages that touch [start, end) on either side or lie apart. */
static void any_growth(uintptr_t start, uintptr_t end)
{
    if (!ARENA) return;
    grown.start = (uintptr_t)any_multiple(KILN_PAGE_BYTES);
    grown.end = (uintptr_t)any_multiple(KILN_PAGE_BYTES);
    PROOF_ASSUME(grown.start <= grown.end && grown.end < UINTPTR_MAX - PHYS);
    PROOF_ASSUME(grown.start == grown.end || grown.start > 0);
    PROOF_ASSUME(grown.end <= start || grown.start >= end);
    PROOF_ASSUME((grown.end - grown.start + end - start) >> KILN_PAGE_SHIFT <= PAGES_MAX);
}

static void any_world(void)
{
    heap.os = &os;
    heap.huge_after_pages = HUGE;
    if (OP == DISCARD) {
        advised.start = (uintptr_t)any_multiple(KILN_PAGE_BYTES);
        advised.end = (uintptr_t)any_multiple(KILN_PAGE_BYTES);
        advised.is_huge = nondet_bool();
        heap.regions = &advised;
        heap.asked_huge = nondet_bool();
    }
    heap.arena = &arena;
    arena.arena_alloc = nondet_uint64();
    heap.dirty_pages_max = UINT64_MAX; /* DISCARD is what the idle policy does, run by run */
    heap.pages_back = nondet_uint64();
    heap.opens_clean = nondet_bool();
    if (!ARENA) heap.arena_failed = "it was asked before";
    for (uint32_t i = 0; i < RECORDS; i++) records[i]->states = &slot_states[i];
    for (uint32_t i = SPARE; i < RECORDS; i++)
        if (i < SPARE + WAITING || (WAITING < 0 && nondet_bool())) give_record(&heap, records[i]);

    uint32_t left = any_pages(PAGES_MAX), middle = any_pages(PAGES_MAX),
             right = any_pages(PAGES_MAX);
    PROOF_ASSUME(left > 0 && middle > 0 && right > 0 &&
                 (uint64_t)left + middle + right <= PAGES_MAX);
    uintptr_t base = (uintptr_t)any_multiple(KILN_PAGE_BYTES);
    /* The arena never takes the last hardware page of the address space. */
    uint64_t all_bytes = bytes_of(left) + bytes_of(middle) + bytes_of(right);
    PROOF_ASSUME(base > 0 && base < UINTPTR_MAX - PHYS && all_bytes <= UINTPTR_MAX - base - PHYS);
    any_record(LEFT, LEFT_KIND, base, left);
    any_record(MIDDLE, KIND, base + (uintptr_t)bytes_of(left), middle);
    any_record(RIGHT, RIGHT_KIND, base + (uintptr_t)bytes_of(left + middle), right);
    for (uint32_t i = 0; i < RECORDS; i++) kiln_span_seal(&heap.seal, records[i]);
    heap.counts.peak = heap.counts.taken;

    any_growth(base, base + (uintptr_t)all_bytes);
    page = (uintptr_t)any_multiple(KILN_PAGE_BYTES);
    PROOF_ASSUME(holds(records[LEFT], page) || holds(records[MIDDLE], page) ||
                 holds(records[RIGHT], page) || is_grown(page));
    if (is_grown(page)) {
        page_is_ready = true;
        return;
    }
    const kiln_span_t *now = holder();
    map_says = in_use(now) || is_edge(now, page) ? now : NULL;
    page_is_ready = now->kind != KILN_SPAN_DISCARDED;
}

/* ---- what must hold after it ---- */

static void prove_counts(void)
{
    kiln_page_counts_t found = {0};
    uint64_t ready = 0, gone = 0, spares = 0, listed = 0;
    for (uint32_t i = 0; i < RECORDS; i++) {
        const kiln_span_t *span = records[i];
        if (in_use(span)) found.in_use += span->pages;
        if (in_use(span)) found.large += span->pages;
        if (is_in(i, &heap.ready)) ready += span->pages;
        if (is_in(i, &heap.discarded)) gone += span->pages;
        if (in_tree[i]) found.dirty += span->dirty_end - span->dirty_start;
        if (span->kind == KILN_SPAN_SPARE) spares++;
    }
    for (const kiln_span_t *span = heap.spares[0]; span; span = span->left) {
        PROOF_ASSERT(span->kind == KILN_SPAN_SPARE && listed < spares, "a spare record waits once");
        listed++;
    }
    PROOF_ASSERT(heap.counts.in_use == found.in_use, "in_use counts the pages of spans");
    PROOF_ASSERT(heap.counts.large == found.large, "large counts the pages of large spans");
    PROOF_ASSERT(heap.counts.dirty == found.dirty, "dirty counts the dirty pages");
    PROOF_ASSERT(heap.counts.taken == found.in_use + ready + gone,
                 "in use, ready and discarded are all");
}

static void prove_neighbours(void)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        const kiln_span_t *low = records[i];
        if (!in_tree[i]) continue;
        PROOF_ASSERT(low->kind != KILN_SPAN_DISCARDED || PHYS <= KILN_PAGE_BYTES ||
                         kiln_is_aligned(kiln_span_base(low) | kiln_span_end(low), PHYS),
                     "a discarded run is whole hardware pages");
        PROOF_ASSERT(low->dirty_start <= low->dirty_end && low->dirty_end <= low->pages &&
                         (low->kind == KILN_SPAN_READY || low->dirty_start == low->dirty_end),
                     "dirty pages lie in a Ready run");
        for (uint32_t j = 0; j < RECORDS; j++)
            PROOF_ASSERT(!in_tree[j] || records[j]->kind != low->kind ||
                             kiln_span_end(low) != kiln_span_base(records[j]),
                         "free neighbours of one kind are joined");
    }
}

static void prove_page(bool was_dirty, const kiln_span_t *taken)
{
    const kiln_span_t *now = holder();
    PROOF_ASSERT((now->kind != KILN_SPAN_DISCARDED) == page_is_ready,
                 "the OS has the page as the heap does");
    if (in_use(now) || is_edge(now, page))
        PROOF_ASSERT(map_says == now, "the page map leads to spans and to the ends of free runs");
    if (was_dirty && page_is_ready && (!in_use(now) || now == taken))
        PROOF_ASSERT(is_dirty(now, page), "a dirty page is not forgotten");
}

/* Any piece of the middle one; the record of what is right of it is there where it is needed. */
static const kiln_span_t *cut_middle(void)
{
    kiln_span_t *run = records[MIDDLE];
    uint32_t skip = any_pages(run->pages), pages = any_pages(run->pages) + 1;
    PROOF_ASSUME(pages <= run->pages - skip);
    uintptr_t start = kiln_span_base(run) + (uintptr_t)bytes_of(skip);
    kiln_span_t *span = take_record(&heap, KILN_CLASS_LARGE);
    kiln_span_t *spare = take_record(&heap, KILN_CLASS_LARGE);
    bool needed = skip > 0 && pages < run->pages - skip;
    bool done = cut(&heap, run, skip, pages, span, needed || nondet_bool() ? spare : NULL);

    PROOF_ASSERT(done || run->kind == KILN_SPAN_DISCARDED, "Ready memory can always be cut");
    if (!done || !needed) give_record(&heap, spare);
    if (!done) give_record(&heap, span);
    if (!done) return NULL;
    heap.counts.large += pages; /* as the callers do */
    PROOF_ASSERT(kiln_span_base(span) == start && span->pages == pages, "the span is that piece");
    PROOF_ASSERT(kiln_span_slots_bytes(span) == bytes_of(pages), "the block is all of its pages");
    return span;
}

static bool ready_middle(void)
{
    const kiln_span_t *run = to_ready(&heap, records[MIDDLE]);
    PROOF_ASSERT((run == NULL) == refused, "NULL says that the OS refused");
    if (run) PROOF_ASSERT(is_in(number_of(run), &heap.ready), "the answer is a Ready run");
    return run != NULL;
}

static bool join_all(void)
{
    uint32_t pages = nondet_below(PAGES_MAX);
    bool enough = heap.ready.pages + heap.discarded.pages >= pages;
    const kiln_span_t *run = join_everything(&heap, pages);
    PROOF_ASSERT(refused || !enough || !heap.discarded.root, "nothing stays discarded unasked");
    if (run)
        PROOF_ASSERT(run->kind == KILN_SPAN_READY && run->pages >= pages,
                     "the answer is a Ready run that is large enough");
    else
        for (uint32_t i = 0; i < RECORDS; i++)
            PROOF_ASSERT(!enough || !is_in(i, &heap.ready) || records[i]->pages < pages,
                         "what is large enough is found");
    return run != NULL;
}

/* By a sixteenth of the heap or more, as far as a huge page's end that is half of one away at
 * least. */
static bool grow_to_huge(void)
{
    uint64_t start = arena.arena_alloc, pages = nondet_below(PAGES_MAX / 4) + 1;
    PROOF_ASSUME(start < UINT64_MAX / 2 && kiln_is_aligned(start, KILN_PAGE_BYTES));
    uint64_t share = (heap.counts.taken - heap.discarded.pages) / 16;
    uint64_t least = pages < share ? share : pages;
    uint64_t end = kiln_round_up(start + bytes_of((uint32_t)least), HUGE_BYTES);
    if (end - start < HUGE_BYTES / 2) end += HUGE_BYTES;
    grown_for = (end - start) >> KILN_PAGE_SHIFT;
    PROOF_ASSUME(grown_for <= PAGES_MAX);
    return grow_huge(&heap, pages);
}

static bool grow_any(void)
{
    static kiln_region_t region;
    uint64_t taken = heap.counts.taken;
    grown_for = nondet_below(PAGES_MAX) + 1;
    heap.spare_regions = nondet_bool() ? &region : NULL;
    bool can = heap.spare_regions && heap.spares[0];
    bool done = HUGE ? grow_to_huge() : grow_by(&heap, grown_for);
    PROOF_ASSERT(done == (can && !refused), "false says that there was no memory");
    uint64_t more = done ? (grown.end - grown.start) >> KILN_PAGE_SHIFT : 0;
    PROOF_ASSERT(heap.counts.taken == taken + more, "taken counts what the arena gave");
    if (done)
        PROOF_ASSERT(heap.regions == &region && region.start == grown.start &&
                         region.end == grown.end && !heap.spare_regions,
                     "what the arena gave is remembered");
    else if (is_grown(page))
        PROOF_ASSUME(false); /* it is nobody's */
    return done;
}

/* To any size in numbers of 64 bits. */
static bool resize_any(void)
{
    kiln_span_t *span = records[MIDDLE];
    uint64_t pages = nondet_uint64();
    uintptr_t base = kiln_span_base(span);
    uint32_t had = span->pages;
    const kiln_span_t *before = holder();
    bool was_dirty = is_free(before) && is_dirty(before, page);
    PROOF_ASSUME(OP == RESIZE || (OP == EXTEND ? had < pages && pages <= PAGES_MAX : pages < had));
    bool done = OP == RESIZE   ? kiln_page_heap_resize(&heap, span, pages)
                : OP == EXTEND ? extend(&heap, span, (uint32_t)pages)
                               : shrink(&heap, span, (uint32_t)pages);
    PROOF_ASSERT(in_use(span) && kiln_span_base(span) == base, "a block stays where it is");
    PROOF_ASSERT(span->pages == (done ? pages : had),
                 "it has the pages asked for, or those it had");
    PROOF_ASSERT(kiln_span_slots_bytes(span) == bytes_of(span->pages),
                 "the block is all of its pages");
    if (holds(span, page) && was_dirty && heap.opens_clean && page_is_ready)
        PROOF_ASSERT(page_is_cleared, "what a hardened block grows by is cleared");
    return done;
}

/* Any number of pages of 64 bits, any power of two as the alignment; the arena gives nothing. */
static const kiln_span_t *take_any(void)
{
    uint64_t pages = nondet_uint64(), align = UINT64_C(1) << nondet_below(64);
    PROOF_ASSUME(pages > 0);
    kiln_page_counts_t before = heap.counts;
    const kiln_span_t *span = kiln_page_heap_large(&heap, pages, align);
    if (!span) {
        PROOF_ASSERT(heap.counts.in_use == before.in_use && heap.counts.large == before.large &&
                         heap.counts.large_spans == before.large_spans,
                     "what is refused is not counted");
        return NULL;
    }
    PROOF_ASSERT(span->kind == KILN_SPAN_LARGE && span->pages == pages,
                 "a span has the pages asked for");
    PROOF_ASSERT(kiln_is_aligned(kiln_span_base(span), align), "and the alignment");
    PROOF_ASSERT(kiln_span_slots_bytes(span) == pages << KILN_PAGE_SHIFT,
                 "the block is all of its pages");
    PROOF_ASSERT(heap.counts.large_spans == before.large_spans + 1, "a span is counted once");
    return span;
}

void harness(void)
{
    any_world();
    const kiln_span_t *before = is_grown(page) ? NULL : holder(), *taken = NULL;
    bool was_dirty =
        before && (before->kind == KILN_SPAN_READY ? is_dirty(before, page) : in_use(before));

    bool done = true;
    if (OP == GIVE) kiln_page_heap_give(&heap, records[MIDDLE]);
    if (OP == CUT) done = (taken = cut_middle()) != NULL;
    if (OP == DISCARD) done = discard(&heap, records[MIDDLE]);
    if (OP == DISCARD)
        PROOF_ASSERT(!done || !heap.asked_huge, "where memory goes back, so does the wish");
    if (OP == TO_READY) done = ready_middle();
    if (OP == JOIN_ALL) done = join_all();
    if (OP == GROW) done = grow_any();
    if (OP == TAKE) done = (taken = take_any()) != NULL;
    if (OP == RESIZE || OP == EXTEND || OP == SHRINK) done = resize_any();
    PROOF_REACHED(done, "the operation is done");
    PROOF_REACHED(!done || (OP != RESIZE && OP != EXTEND && OP != TAKE), "or is refused");
    PROOF_REACHED(OP != TAKE || heap.ready.runs == 2, "a span leaves a run on both sides");
    prove_page(was_dirty, taken);
    prove_neighbours();
    prove_counts();
    prove_seals();
    PROOF_ASSERT(heap.lock.word == 0, "the lock is free again");
}
