/* page_heap.h - whole pages: from the arena, to spans, and back.
 *
 * Free runs are kept by size and address: the best fit is taken, of equals the lowest. A free run
 * is Ready, or discarded: then its bytes were given back to the OS (os.h: Prepared), and it is
 * taken only where no Ready one fits. A span that comes back is joined with its free neighbours of
 * the same kind, which the page map finds. Ready and discarded neighbours stay apart, or every
 * small span beside a large discarded run would cost a system call; they are joined when the arena
 * has nothing more to give.
 *
 * Every free run knows which of its pages may hold anything but zero: the dirty ones. The idle
 * policy counts them, because the others cost no memory. It looks when a span comes back, and
 * discards the largest Ready runs:
 *   - when there are more dirty bytes than `dirty_bytes_max`, until 7/8 of that remain;
 *   - when eight times as many pages as the heap has came back since it last looked: half of the
 *     dirty pages that nobody needed meanwhile, unless they are few (1/16 of dirty_bytes_max).
 * So memory that is used again is kept, at most one page in sixteen of the traffic is given up in
 * vain, and what a program will not need again goes within a few of its rounds. There is no clock:
 * a heap that is not used keeps what it has until kiln_page_heap_trim.
 *
 * Lock     one, taken by the functions themselves; it covers arena and records as well.
 * Errors   NULL or false: no memory; nothing changed. */
#ifndef KILN_ALLOCATOR_HEAP_PAGE_HEAP_H
#define KILN_ALLOCATOR_HEAP_PAGE_HEAP_H

#include "allocator/arena/arena.h"
#include "allocator/heap/free_tree.h"
#include "allocator/heap/meta.h"
#include "allocator/heap/page_map.h"
#include "allocator/heap/region.h"
#include "allocator/heap/span_seal.h"

/* All in pages. in_use + ready + discarded == taken. */
typedef struct kiln_page_counts {
    uint64_t taken;     /* from the arena */
    uint64_t in_use;    /* in spans */
    uint64_t ready;     /* free and Ready */
    uint64_t dirty;     /* of these, those that may not be zero */
    uint64_t discarded; /* free, given back to the OS */
    uint64_t peak;      /* highest taken - discarded */
    uint64_t large;     /* of in_use: in large spans */
    uint64_t large_spans;
    uint64_t free_runs;
    uint64_t meta_bytes; /* not pages */
} kiln_page_counts_t;

typedef struct kiln_page_heap {
    kiln_lock_t lock;
    const kiln_os_t *os;
    kiln_arena_t *arena;
    kiln_page_map_t map;
    kiln_meta_t meta;
    kiln_meta_t lent; /* idle pages that hold span records, since the OS had no memory for them */
    kiln_seal_t seal; /* of spans and free runs; lent pages have none */
    kiln_free_tree_t ready, discarded;
    kiln_span_t *spares[KILN_SIZE_CLASSES]; /* records that wait, by class */
    uint64_t records;                       /* all: waiting, of spans, of free runs */
    kiln_region_t *regions;                 /* joined where they touch */
    kiln_region_t *spare_regions;           /* records that wait, of regions that were joined */
    uint32_t note_bytes;                    /* a slot, in span records: see span.h */
    bool opens_clean;          /* the pages of a small span are all zero when it is opened */
    uint64_t huge_after_pages; /* see kiln_page_heap_use_huge; 0: never */
    bool asked_huge;           /* in some region, since it was last taken back */
    uint64_t dirty_pages_max;
    uint64_t dirty_low;  /* fewest dirty pages since the idle policy last looked */
    uint64_t pages_back; /* how many pages came back since then */
    kiln_page_counts_t counts;
    const char *arena_failed; /* what the arena stopped for, under seed or go19; then it is not
                                 asked again */
} kiln_page_heap_t;

/* kiln_page_heap_init: `arena` has started. Nothing is asked of the OS. */
void kiln_page_heap_init(kiln_page_heap_t *heap, kiln_arena_t *arena, const kiln_os_t *os,
                         uint64_t dirty_bytes_max);

/* kiln_page_heap_harden, before the first span: records have `note_bytes` a slot for the layer
 * above; the slots of a small span are all zero when it is opened, and so are the pages that a
 * large one grows by. */
static inline void kiln_page_heap_harden(kiln_page_heap_t *heap, uint32_t note_bytes)
{
    heap->note_bytes = note_bytes;
    heap->opens_clean = true;
}

/* kiln_page_heap_use_huge: once the heap holds `after_bytes` (not 0), growth for blocks of up to 4
 * KiB lies in huge pages (huge.h) where the OS has any and the arena's memory lies at a multiple of
 * 64 KiB. It saves a fault for every hardware page; up to a sixteenth of the heap is committed
 * ahead, of which a huge page at a time gets memory as it is touched. */
static inline void kiln_page_heap_use_huge(kiln_page_heap_t *heap, uint64_t after_bytes)
{
    heap->huge_after_pages = 1 + ((after_bytes - 1) >> KILN_PAGE_SHIFT);
}

/* kiln_page_heap_destroy gives the records back to the OS; the arena is the caller's. */
void kiln_page_heap_destroy(kiln_page_heap_t *heap);

/* kiln_page_heap_small gives an open and published span of a size class. */
kiln_span_t *kiln_page_heap_small(kiln_page_heap_t *heap, uint32_t class_idx);

/* kiln_page_heap_large gives an open and published large span, its base a multiple of `align`, a
 * power of two. */
kiln_span_t *kiln_page_heap_large(kiln_page_heap_t *heap, uint64_t pages, uint64_t align);

/* kiln_page_heap_give takes a span, all of whose slots are FREE, back; give_zeroed one whose pages
 * are all zero and have no memory behind them. */
void kiln_page_heap_give(kiln_page_heap_t *heap, kiln_span_t *span);
void kiln_page_heap_give_zeroed(kiln_page_heap_t *heap, kiln_span_t *span);

/* kiln_page_heap_resize makes a large span end earlier or later, where it is. False when what
 * follows is not free, or no memory. */
bool kiln_page_heap_resize(kiln_page_heap_t *heap, kiln_span_t *span, uint64_t pages);

/* kiln_page_heap_trim discards the largest Ready runs until at most `keep_bytes` of dirty pages
 * remain. True when any was. */
bool kiln_page_heap_trim(kiln_page_heap_t *heap, uint64_t keep_bytes);

/* kiln_page_heap_record gives `bytes` zeroed bytes for a record that is never given back. */
void *kiln_page_heap_record(kiln_page_heap_t *heap, size_t bytes);

kiln_page_counts_t kiln_page_heap_counts(kiln_page_heap_t *heap);

/* kiln_page_heap_broken_rule walks every region, page by page, and both trees. */
const char *kiln_page_heap_broken_rule(kiln_page_heap_t *heap);

/* Around fork. */
static inline void kiln_page_heap_lock(kiln_page_heap_t *heap)
{
    kiln_lock_acquire(&heap->lock, &heap->os->parker);
}

static inline void kiln_page_heap_unlock(kiln_page_heap_t *heap)
{
    kiln_lock_release(&heap->lock, &heap->os->parker);
}

#endif
