/* page_heap_fuzz.c - whole pages (allocator/heap/page_heap.h) on the fake OS, by themselves: spans
 * of any number of pages and alignment, and of size classes, given back, resized, trimmed, while
 * the OS refuses what the input says.
 *
 * The model has each span's pages: no two overlap, all are Ready, aligned and in the arena. What a
 * span held stays while it grows; where the heap says that pages are zero (outside of
 * [dirty_start, dirty_end) of a fresh span), they are. Of all free Ready runs, the smallest that
 * fits must be taken, of equals the lowest, and no discarded one and no growth where one fits: the
 * model looks at all free runs before each call. Size classes' laws are asked at the same time: the
 * least class, and the slot's index of any offset.
 *
 * Threads  one.   Memory  that of heap_machine.h. */
#include "fuzz/contents.h"
#include "fuzz/heap_machine.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

enum { STEPS_MAX = 300, CHECK_STEPS = 8, SPANS = 64 };

enum {
    OP_LARGE,
    OP_SMALL,
    OP_GIVE,
    OP_RESIZE,
    OP_TRIM,
    OP_CLASS,
    OP_INDEX,
    OP_REFUSE,
    OP_BUDGET,
    OPS
};

static const char *const op_names[OPS] = {
    "large", "small", "give", "resize", "trim", "class", "index", "refuse", "budget",
};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "page_heap",
    .config = {"phys", "start", "policy", NULL, "flags", "seed", "idle", "block", "refuse",
               "answer", NULL, NULL, NULL, NULL, NULL, "room"},
    .ops = op_names,
    .op_count = OPS,
};

typedef struct {
    kiln_span_t *span; /* NULL: none */
    uintptr_t base;
    uint64_t pages;
    uint32_t seed;
} owned_t;

static struct {
    kiln_heap_machine_t machine;
    owned_t spans[SPANS];
    uint64_t pages; /* of all */
    uint32_t seed;
    uint64_t event_hash;
} run;

void kiln_fuzz_last_words(void)
{
}

static kiln_page_heap_t *pages_of_heap(void)
{
    return &run.machine.subject.heap.pages;
}

/* --- what is promised of a span -------------------------------------------------------------- */

static unsigned char *page_at(const owned_t *owned, uint64_t page)
{
    return (unsigned char *)owned->base + page * KILN_PAGE_BYTES;
}

/* A word at the start of each page, and at its end. */
static void write_pages(const owned_t *owned, uint64_t first)
{
    for (uint64_t i = first; i < owned->pages; i++) {
        uint32_t word = owned->seed + (uint32_t)i;
        memcpy(page_at(owned, i), &word, sizeof word);
        memcpy(page_at(owned, i) + KILN_PAGE_BYTES - sizeof word, &word, sizeof word);
    }
}

static bool holds(const owned_t *owned, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        uint32_t word = owned->seed + (uint32_t)i, first, last;
        memcpy(&first, page_at(owned, i), sizeof first);
        memcpy(&last, page_at(owned, i) + KILN_PAGE_BYTES - sizeof last, sizeof last);
        if (first != word || last != word) return false;
    }
    return true;
}

static void check_pages(const owned_t *owned)
{
    const kiln_arena_t *arena = &run.machine.subject.heap.arena;
    uintptr_t end = (uintptr_t)page_at(owned, owned->pages);
    KILN_FUZZ_LAW("L1: a span lies in the arena",
                  owned->base >= arena->arena_start && end <= kiln_arena_used(arena));
    for (uint64_t i = 0; i < owned->pages; i++)
        KILN_FUZZ_LAW("L1: a span's pages are Ready",
                      kiln_os_fake_state(&run.machine.fake, (uintptr_t)page_at(owned, i)) ==
                          KILN_OS_READY);
    for (unsigned i = 0; i < SPANS; i++) {
        const owned_t *other = &run.spans[i];
        if (!other->span || other == owned) continue;
        KILN_FUZZ_LAW("L1: spans do not overlap",
                      end <= other->base ||
                          other->base + other->pages * KILN_PAGE_BYTES <= owned->base);
    }
}

/* The run that must be taken for so many pages: NULL where no Ready one will do. */
static const kiln_span_t *best_fit(uint64_t pages)
{
    const kiln_page_heap_t *heap = pages_of_heap();
    const kiln_span_t *best = NULL;
    for (const kiln_region_t *region = heap->regions; region; region = region->next)
        for (uintptr_t addr = region->start; addr < region->end;) {
            const kiln_span_t *span = kiln_page_map_find(&heap->map, addr);
            bool fits = span->kind == KILN_SPAN_READY && span->pages >= pages;
            if (fits &&
                (!best || span->pages < best->pages ||
                 (span->pages == best->pages && kiln_span_base(span) < kiln_span_base(best))))
                best = span;
            addr = kiln_span_end(span);
        }
    return best;
}

static void own(unsigned slot, kiln_span_t *span, uint64_t pages)
{
    owned_t *owned = &run.spans[slot];
    *owned = (owned_t){.span = span, .base = kiln_span_base(span), .pages = pages};
    KILN_FUZZ_LAW("L1: a span has as many pages as were asked for", span->pages == pages);
    check_pages(owned);
    for (uint64_t i = 0; i < pages; i++)
        if (i < span->dirty_start || i >= span->dirty_end)
            KILN_FUZZ_LAW("what is said to be zero is",
                          kiln_contents_are(page_at(owned, i), KILN_PAGE_BYTES, 0));
    owned->seed = ++run.seed * UINT32_C(2654435761) >> 8;
    write_pages(owned, 0);
    run.pages += pages;
    run.event_hash = (run.event_hash ^ owned->base ^ pages << 44) * UINT64_C(0x9E3779B97F4A7C15);
    if (kiln_fuzz_tracing)
        fprintf(stderr, "  span %u: %#zx, %llu pages\n", slot, (size_t)owned->base,
                (unsigned long long)pages);
}

/* --- the operations -------------------------------------------------------------------------- */

static void do_give(unsigned slot)
{
    owned_t *owned = &run.spans[slot];
    if (!owned->span) return;
    KILN_FUZZ_LAW("L1: a span holds what was written", holds(owned, owned->pages));
    run.pages -= owned->pages;
    kiln_page_heap_give(pages_of_heap(), owned->span);
    owned->span = NULL;
}

static void do_take(const kiln_fuzz_record_t *r, unsigned slot)
{
    bool is_large = r->op % OPS == OP_LARGE;
    uint32_t class_idx = 1 + r->arg % (KILN_SIZE_CLASSES - 1);
    uint64_t pages = is_large ? 1 + r->arg % (r->how & 128 ? 1024 : 48)
                              : kiln_size_classes[class_idx].span_pages;
    uint64_t align = is_large && (r->size & 1) ? (uint64_t)KILN_PAGE_BYTES << r->how % 6 : 1;
    do_give(slot);
    if (!kiln_heap_machine_allows(&run.machine, (size_t)(pages * KILN_PAGE_BYTES), 0)) return;
    const kiln_span_t *best = align == 1 ? best_fit(pages) : NULL;
    uintptr_t best_base = best ? kiln_span_base(best) : 0;
    uint64_t records = run.machine.fake.stats.refused[KILN_OS_CALL_DIRECT];
    kiln_span_t *span = is_large ? kiln_page_heap_large(pages_of_heap(), pages, align)
                                 : kiln_page_heap_small(pages_of_heap(), class_idx);
    if (!span) {
        KILN_FUZZ_LAW("L4: where a Ready run fits, only a record can be missing",
                      !best || run.machine.fake.stats.refused[KILN_OS_CALL_DIRECT] > records);
        return;
    }
    KILN_FUZZ_LAW("the best fit is taken, of equals the lowest, and Ready before discarded",
                  !best || kiln_span_base(span) == best_base);
    KILN_FUZZ_LAW("L1: a span is aligned", kiln_span_base(span) % align == 0);
    own(slot, span, pages);
}

static void do_resize(const kiln_fuzz_record_t *r, unsigned slot)
{
    owned_t *owned = &run.spans[slot];
    uint64_t pages = 1 + r->arg % 96, had = owned->pages;
    if (!owned->span || owned->span->kind != KILN_SPAN_LARGE) return;
    if (!kiln_heap_machine_allows(&run.machine, (size_t)(pages * KILN_PAGE_BYTES), 0)) return;
    bool done = kiln_page_heap_resize(pages_of_heap(), owned->span, pages);
    KILN_FUZZ_LAW("a span can be made smaller, but where records are missing",
                  done || pages > had || run.machine.fake.stats.refused[KILN_OS_CALL_DIRECT] > 0);
    KILN_FUZZ_LAW("L1: a resized span stays where it is",
                  kiln_span_base(owned->span) == owned->base &&
                      owned->span->pages == (done ? pages : had));
    if (done) {
        run.pages = run.pages - had + pages;
        owned->pages = pages;
        check_pages(owned);
    }
    KILN_FUZZ_LAW("L1: a resized span keeps what it holds",
                  holds(owned, had < owned->pages ? had : owned->pages));
    if (owned->pages > had) write_pages(owned, had);
}

/* size_class.h: the least class that holds it, and the index of a slot. */
static void do_class(const kiln_fuzz_record_t *r)
{
    size_t bytes = r->arg % (KILN_SMALL_MAX + 1), align = (size_t)16 << r->how % 10;
    uint32_t class_idx = kiln_size_class_of(bytes), aligned = kiln_size_class_aligned(align, bytes);
    KILN_FUZZ_LAW("a size has the least class that holds it",
                  class_idx >= 1 && class_idx < KILN_SIZE_CLASSES &&
                      kiln_size_classes[class_idx].slot_bytes >= bytes &&
                      (class_idx == 1 || kiln_size_classes[class_idx - 1].slot_bytes < bytes));
    uint32_t least = class_idx;
    while (least < KILN_SIZE_CLASSES && kiln_size_classes[least].slot_bytes % align != 0) least++;
    KILN_FUZZ_LAW("an alignment has the least class whose slots are multiples of it",
                  aligned == least);
}

static void do_index(const kiln_fuzz_record_t *r)
{
    const kiln_size_class_t *class = &kiln_size_classes[1 + r->slot % (KILN_SIZE_CLASSES - 1)];
    uint64_t offset = (uint64_t)r->arg << r->how % 20;
    uint64_t slot_idx = kiln_slot_index(offset, kiln_slot_inverse(class->slot_bytes));
    bool is_slot = offset % class->slot_bytes == 0 && offset / class->slot_bytes < class->slots;
    KILN_FUZZ_LAW("the start of a slot has its index, and nothing else has one",
                  is_slot ? slot_idx == offset / class->slot_bytes : slot_idx >= class->slots);
}

static void check(void)
{
    KILN_CHECK_RULE(kiln_page_heap_broken_rule(pages_of_heap()));
    KILN_CHECK_RULE(kiln_os_fake_broken_rule(&run.machine.fake));
    kiln_page_counts_t counts = kiln_page_heap_counts(pages_of_heap());
    KILN_FUZZ_LAW("as many pages are in use as are owned", counts.in_use == run.pages);
    KILN_FUZZ_LAW("all pages are in use, Ready or discarded",
                  counts.in_use + counts.ready + counts.discarded == counts.taken &&
                      counts.dirty <= counts.ready &&
                      counts.peak >= counts.taken - counts.discarded);
}

static void step(const kiln_fuzz_record_t *r)
{
    unsigned slot = r->slot % SPANS;
    uint64_t keep_bytes = (uint64_t)(r->arg & 0xff) * KILN_KIB(8);
    switch (r->op % OPS) {
    case OP_LARGE:
    case OP_SMALL:
        do_take(r, slot);
        break;
    case OP_GIVE:
        do_give(slot);
        break;
    case OP_RESIZE:
        do_resize(r, slot);
        break;
    case OP_TRIM:
        (void)kiln_page_heap_trim(pages_of_heap(), keep_bytes);
        KILN_FUZZ_LAW("a trim leaves no more than it was told, where whole hardware pages are",
                      run.machine.fake.os.phys_bytes > KILN_PAGE_BYTES ||
                          pages_of_heap()->counts.dirty * KILN_PAGE_BYTES <= keep_bytes);
        break;
    case OP_CLASS:
        do_class(r);
        break;
    case OP_INDEX:
        do_index(r);
        break;
    case OP_REFUSE:
        kiln_heap_machine_refuse(&run.machine, r);
        break;
    default:
        kiln_heap_machine_budget(&run.machine, r);
        break;
    }
}

static uint64_t run_once(const uint8_t *data, size_t size)
{
    const kiln_heap_machine_hooks_t none = {0};
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
    kiln_fuzz_open(&input, data, size);
    input.config[10] = 0; /* a plain heap, of which the pages alone are used */
    memset(run.spans, 0, sizeof run.spans);
    run.pages = run.event_hash = 0;
    run.seed = 0;
    kiln_heap_machine_open(&run.machine, input.config);
    if (!kiln_heap_machine_start(&run.machine, input.config, &none)) return 0;
    for (unsigned steps = 1; steps <= STEPS_MAX && kiln_fuzz_next(&input, &r); steps++) {
        if (kiln_fuzz_tracing) fprintf(stderr, "%s\n", op_names[r.op % OPS]);
        kiln_heap_machine_answer(&run.machine, &r);
        step(&r);
        if (steps % CHECK_STEPS == 0) check();
    }
    check();
    for (unsigned i = 0; i < SPANS; i++) do_give(i);
    check();
    kiln_heap_machine_end(&run.machine);
    return run.event_hash ^ run.machine.fake.answers_hash;
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    uint64_t hash = run_once(data, size);
    bool twice = size > 4 && (data[4] & KILN_FLAG_TWICE);
    if (twice && !kiln_fuzz_tracing)
        KILN_FUZZ_LAW("L6: the same input does the same", run_once(data, size) == hash);
}
