#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"

static kiln_page_heap_t *open_pages(uint64_t phys_bytes)
{
    world_config_t config = {.kind = WORLD_FAKE, .phys_bytes = phys_bytes};
    config.follow = KILN_FOLLOW_KILN;
    return &world_open(config)->pages;
}

static void test_the_lowest_of_the_best_fits_is_taken(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *spans[9];
    static const uint64_t sizes[] = {4, 1, 6, 1, 4, 1, 8, 1, 100};
    for (unsigned i = 0; i < 9; i++) spans[i] = kiln_page_heap_large(pages, sizes[i], 1);
    uintptr_t first = kiln_span_base(spans[0]), third = kiln_span_base(spans[4]);
    for (unsigned i = 0; i < 8; i += 2) kiln_page_heap_give(pages, spans[i]);

    kiln_span_t *three = kiln_page_heap_large(pages, 3, 1);
    EXPECT_EQ(kiln_span_base(three), first); /* 4, 6, 4 and 8 are free: the lower 4 */
    kiln_span_t *four = kiln_page_heap_large(pages, 4, 1);
    EXPECT_EQ(kiln_span_base(four), third);
    kiln_span_t *one = kiln_page_heap_large(pages, 1, 1);
    EXPECT_EQ(kiln_span_base(one), first + (uintptr_t)3 * KILN_PAGE_BYTES);
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    kiln_page_heap_give(pages, three);
    kiln_page_heap_give(pages, four);
    kiln_page_heap_give(pages, one);
    for (unsigned i = 1; i < 9; i += 2) kiln_page_heap_give(pages, spans[i]);
    kiln_page_heap_give(pages, spans[8]);
    world_close();
}

static void test_a_ready_run_is_taken_before_a_discarded_one(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *spans[7];
    static const uint64_t sizes[] = {5, 1, 10, 1, 10, 1, 400};
    for (unsigned i = 0; i < 7; i++) spans[i] = kiln_page_heap_large(pages, sizes[i], 1);
    kiln_span_t *rest = kiln_page_heap_large(pages, pages->ready.pages, 1);
    uintptr_t five = kiln_span_base(spans[0]), ten = kiln_span_base(spans[4]);
    kiln_page_heap_give(pages, spans[0]);
    kiln_page_heap_give(pages, spans[2]);
    kiln_page_heap_trim(pages, 0);
    kiln_page_heap_give(pages, spans[4]);
    EXPECT_EQ(kiln_page_heap_counts(pages).discarded, 15);

    kiln_span_t *small = kiln_page_heap_large(pages, 7, 1); /* 10 Ready pages, not 10 discarded */
    EXPECT_EQ(kiln_span_base(small), ten);
    kiln_span_t *other = kiln_page_heap_large(pages, 4, 1); /* of both no Ready one fits */
    EXPECT_EQ(kiln_span_base(other), five);
    kiln_page_heap_give(pages, other);
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    kiln_page_heap_give(pages, small);
    for (unsigned i = 1; i < 6; i += 2) kiln_page_heap_give(pages, spans[i]);
    kiln_page_heap_give(pages, spans[6]);
    kiln_page_heap_give(pages, rest);
    world_close();
}

/* Small blocks, until the heap has `bytes` from the arena. */
static void grow_small(kiln_heap_t *heap, uint64_t bytes)
{
    while (kiln_page_heap_counts(&heap->pages).taken << KILN_PAGE_SHIFT < bytes)
        EXPECT(kiln_heap_malloc(heap, NULL, 512) != NULL);
}

static uint64_t huge_calls(void)
{
    return world.fake.stats.calls[KILN_OS_CALL_HUGE];
}

static void test_a_large_heap_asks_for_huge_pages_for_small_blocks(void)
{
    world_config_t config = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN};
    config.phys_bytes = KILN_KIB(64); /* so that the arena starts at a multiple of its units */
    config.huge_bytes = KILN_MIB(2);
    kiln_heap_t *heap = world_open(config);
    kiln_page_heap_use_huge(&heap->pages, KILN_MIB(4));
    grow_small(heap, KILN_MIB(4));
    EXPECT_EQ(huge_calls(), 0);
    grow_small(heap, KILN_MIB(20));
    EXPECT_EQ(heap->arena.arena_alloc % KILN_MIB(2), 0);
    uint64_t before = huge_calls();
    EXPECT(before >= 7 && before <= 9); /* for nearly all of the 16 MiB, one by one */
    /* What has larger slots may be touched in part: no huge pages for that. */
    for (unsigned i = 0; i < 1000; i++) EXPECT(kiln_heap_malloc(heap, NULL, 4097));
    EXPECT_EQ(huge_calls(), before);
    void *large = kiln_heap_malloc(heap, NULL, KILN_MIB(8));
    EXPECT(large != NULL);
    EXPECT_EQ(huge_calls(), before);
    /* Where memory goes back, what was asked for is taken back, once; then it is asked for anew. */
    memset(large, 1, KILN_MIB(8));
    EXPECT_EQ(kiln_heap_free(heap, NULL, large), KILN_MISUSE_NONE);
    EXPECT(heap->pages.discarded.pages > 0); /* more than may be idle */
    EXPECT_EQ(huge_calls(), before + 1);
    EXPECT(!heap->pages.asked_huge);
    grow_small(heap, KILN_MIB(48));
    EXPECT(huge_calls() > before + 1);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    world_close();
}

/* To the last page, with huge pages as without, whatever blocks the arena grows by. */
static void test_huge_pages_do_not_shorten_a_heap(void)
{
    for (world_kind_t kind = WORLD_FAKE; kind <= WORLD_BLOCKS; kind++) {
        uint64_t blocks[2] = {0, 0};
        for (unsigned huge = 0; huge < 2; huge++) {
            world_config_t config = {.kind = kind, .follow = KILN_FOLLOW_KILN};
            config.phys_bytes = KILN_KIB(64);
            config.huge_bytes = huge ? KILN_MIB(2) : 0;
            kiln_heap_t *heap = world_open(config);
            kiln_page_heap_use_huge(&heap->pages, KILN_MIB(4));
            while (kiln_heap_malloc(heap, NULL, 4096)) blocks[huge]++;
            EXPECT(huge_calls() > 0 || !huge || kind == WORLD_BLOCKS);
            EXPECT(huge_calls() == 0 || huge);
            EXPECT_RULE(kiln_heap_broken_rule(heap));
            world_close();
        }
        printf("%s: %llu blocks, with huge pages %llu\n", world_kind_name(kind),
               (unsigned long long)blocks[0], (unsigned long long)blocks[1]);
        EXPECT(blocks[0] >= 100 && blocks[1] >= 100);
        EXPECT(kind == WORLD_BLOCKS || blocks[0] == blocks[1]); /* else they lie elsewhere */
    }
}

static void test_neighbours_are_joined_whatever_the_order(void)
{
    static const unsigned orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (unsigned i = 0; i < 6; i++) {
        kiln_page_heap_t *pages = open_pages(4096);
        kiln_span_t *spans[3];
        for (unsigned j = 0; j < 3; j++) spans[j] = kiln_page_heap_large(pages, 5, 1);
        for (unsigned j = 0; j < 3; j++) {
            kiln_page_heap_give(pages, spans[orders[i][j]]);
            EXPECT_RULE(kiln_page_heap_broken_rule(pages));
        }
        EXPECT_EQ(kiln_page_heap_counts(pages).free_runs, 1);
        world_close();
    }
}

static void test_fresh_and_discarded_pages_are_known_to_be_zero(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *span = kiln_page_heap_large(pages, 50, 1);
    EXPECT_EQ(span->dirty_end - span->dirty_start, 0);
    kiln_page_heap_give(pages, span);
    span = kiln_page_heap_large(pages, 70, 1); /* 50 that were used, 20 that were not */
    EXPECT(span->dirty_start == 0 && span->dirty_end == 50);
    kiln_page_heap_give(pages, span);
    EXPECT(kiln_page_heap_trim(pages, 0));
    span = kiln_page_heap_large(pages, 70, 1);
    EXPECT_EQ(span->dirty_end - span->dirty_start, 0);
    kiln_page_heap_give(pages, span);
    world_close();
}

/* Ready and discarded neighbours are joined when there is no other way. */
static void test_the_last_resort_is_to_join_everything(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *low = kiln_page_heap_large(pages, 6000, 1);
    kiln_span_t *high = kiln_page_heap_large(pages, 6000, 1);
    kiln_page_heap_give(pages, high);
    kiln_page_heap_trim(pages, 0);
    pages->dirty_pages_max = 100000;
    kiln_page_heap_give(pages, low);
    EXPECT(kiln_page_heap_counts(pages).ready >= 6000);
    EXPECT(kiln_page_heap_counts(pages).discarded >= 6000);
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));

    kiln_span_t *all = kiln_page_heap_large(pages, 12000, 1);
    EXPECT(all != NULL);
    EXPECT(!kiln_page_heap_large(pages, 24000, 1)); /* the window has 32768 in all */
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    kiln_page_heap_give(pages, all);
    world_close();
}

/* What is free at the arena's end is used, and the arena asked for the rest alone. */
static void test_growth_is_by_the_difference(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *first = kiln_page_heap_large(pages, 300, 1);
    kiln_span_t *last = kiln_page_heap_large(pages, 1000, 1);
    uint64_t taken = kiln_page_heap_counts(pages).taken;
    kiln_page_heap_give(pages, last);
    last = kiln_page_heap_large(pages, 1200, 1);
    EXPECT(kiln_page_heap_counts(pages).taken <= taken + 200);
    /* And a block at the end grows where it is. */
    EXPECT(kiln_page_heap_resize(pages, last, 4000));
    EXPECT(kiln_page_heap_counts(pages).taken <= taken + 3000);
    EXPECT(!kiln_page_heap_resize(pages, first, 301));
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    kiln_page_heap_give(pages, first);
    kiln_page_heap_give(pages, last);
    world_close();
}

/* A block that grows by moving leaves holes behind that fit nothing. They are given back to the
 * OS while the heap grows: what it holds is not twice as much again as what is in use. */
static void test_growth_is_paid_with_idle_runs(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *walls[9], *block = kiln_page_heap_large(pages, 64, 1);
    pages->dirty_pages_max = 100000;
    for (unsigned i = 0; i < 9; i++) {
        walls[i] = kiln_page_heap_large(pages, 1, 1);
        kiln_span_t *next = kiln_page_heap_large(pages, block->pages + block->pages / 2, 1);
        EXPECT(next);
        kiln_page_heap_give(pages, block);
        block = next;
        EXPECT(pages->counts.dirty <= block->pages + block->pages / 2); /* without: twice */
        EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    }
    kiln_page_heap_give(pages, block);
    for (unsigned i = 0; i < 9; i++) kiln_page_heap_give(pages, walls[i]);
    world_close();
}

/* What is used again is kept, however often it comes back; what nobody needs goes. */
static void test_idle_memory_that_nobody_needs_goes_back(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    pages->dirty_pages_max = 100000;
    kiln_span_t *needed = kiln_page_heap_large(pages, 2000, 1);
    kiln_span_t *wall = kiln_page_heap_large(pages, 1, 1);
    kiln_span_t *once = kiln_page_heap_large(pages, 8000, 1);
    kiln_page_heap_give(pages, once);
    for (unsigned i = 0; i < 30; i++) {
        kiln_page_heap_give(pages, needed);
        needed = kiln_page_heap_large(pages, 2000, 1);
        EXPECT_EQ(kiln_page_heap_counts(pages).discarded, 0);
    }
    for (unsigned i = 0; i < 400; i++) {
        kiln_page_heap_give(pages, needed);
        needed = kiln_page_heap_large(pages, 2000, 1);
        EXPECT(needed->dirty_end == 2000); /* it was never discarded */
        EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    }
    EXPECT(kiln_page_heap_counts(pages).dirty <= 100000 / 16);
    EXPECT(kiln_page_heap_counts(pages).discarded >= 8000);
    kiln_page_heap_give(pages, needed);
    kiln_page_heap_give(pages, wall);
    world_close();
}

/* A run whose ends are parts of hardware pages takes two records to be given back but for them. */
static void test_nothing_goes_back_that_lacks_a_record(void)
{
    kiln_page_heap_t *pages = open_pages(65536);
    kiln_span_t *spans[3];
    static const uint64_t sizes[] = {1, 30, 1};
    for (unsigned i = 0; i < 3; i++) spans[i] = kiln_page_heap_large(pages, sizes[i], 1);
    uintptr_t first = kiln_span_base(spans[1]);
    EXPECT(first % 65536 != 0 && kiln_span_end(spans[1]) % 65536 != 0);
    kiln_page_heap_give(pages, spans[1]);
    EXPECT(pages->spares[KILN_CLASS_LARGE] == NULL);

    kiln_os_fault_t none;
    kiln_meta_t had = pages->meta;
    kiln_os_fault_init(&none, had.os, 1, true);
    size_t record_bytes = kiln_span_record_bytes(KILN_CLASS_LARGE, pages->note_bytes);
    for (unsigned records = 0; records < 2; records++) {
        pages->meta.os = &none.os;
        pages->meta.next = had.next;
        pages->meta.end =
            had.next + (uintptr_t)kiln_round_up(records * record_bytes, KILN_META_ALIGN);
        EXPECT(!kiln_page_heap_trim(pages, 0));
        EXPECT_EQ(kiln_page_heap_counts(pages).discarded, 0);
        EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    }
    EXPECT(none.faults >= 2);
    had.next = pages->meta.next; /* the one record is a spare now */
    pages->meta = had;
    EXPECT(kiln_page_heap_trim(pages, 0));
    EXPECT(kiln_page_heap_counts(pages).discarded > 0);
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    kiln_page_heap_give(pages, spans[0]);
    kiln_page_heap_give(pages, spans[2]);
    world_close();
}

static void test_resize_takes_and_gives_the_right_neighbour(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *span = kiln_page_heap_large(pages, 10, 1);
    kiln_span_t *wall = kiln_page_heap_large(pages, 1, 1);
    EXPECT(!kiln_page_heap_resize(pages, span, 11));
    EXPECT(kiln_page_heap_resize(pages, span, 4));
    EXPECT(span->pages == 4 && kiln_span_slot_bytes(span) == (size_t)4 * KILN_PAGE_BYTES);
    EXPECT(kiln_page_heap_resize(pages, span, 9));
    EXPECT(!kiln_page_heap_resize(pages, span, 11));
    EXPECT(kiln_page_heap_resize(pages, span, 10));
    EXPECT(!kiln_page_heap_resize(pages, span, UINT64_MAX));
    EXPECT_EQ(kiln_page_heap_counts(pages).large, 11);
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    kiln_page_heap_give(pages, wall);
    kiln_page_heap_give(pages, span);
    world_close();
}

/* Whether `pages` is refused as the size of a new span, at any alignment, and of one that is there;
 * and nothing changed. */
static void expect_no_such_size(kiln_page_heap_t *heap, kiln_span_t *span, uint64_t pages)
{
    kiln_page_counts_t before = kiln_page_heap_counts(heap);
    uint32_t has = span->pages;
    for (uint32_t shift = 0; shift < 64; shift += 7)
        EXPECT(!kiln_page_heap_large(heap, pages, UINT64_C(1) << shift));
    EXPECT(!kiln_page_heap_resize(heap, span, pages));
    EXPECT_EQ(span->pages, has);
    kiln_page_counts_t after = kiln_page_heap_counts(heap);
    EXPECT(after.taken == before.taken && after.in_use == before.in_use);
    EXPECT(after.large == before.large && after.large_spans == before.large_spans);
}

/* Pages are counted in 32 bits, requests in 64: one that would fit if its upper half were lost is
 * the one to be afraid of, a block that is gigabytes shorter than its owner believes. */
static void test_no_size_is_cut_to_32_bits(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *span = kiln_page_heap_large(pages, 13, 1);
    for (uint32_t shift = 31; shift < 64; shift++) {
        uint64_t most = UINT64_C(1) << shift;
        static const uint64_t more[] = {3, 14, 20, 1000, 13, 1, 0};
        for (unsigned i = 0; i < sizeof more / sizeof *more; i++) {
            expect_no_such_size(pages, span, most + more[i]);
            expect_no_such_size(pages, span, 0 - more[i] - 1);
            expect_no_such_size(pages, span, 0 - most + more[i]);
        }
    }
    /* And the pages to skip for an alignment count, too. */
    for (uint32_t shift = 44; shift < 64; shift++)
        EXPECT(!kiln_page_heap_large(pages, 3, UINT64_C(1) << shift));
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    kiln_page_heap_give(pages, span);
    world_close();
}

static void expect_zero(uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = start; at < end; at += sizeof(uint64_t))
        EXPECT_EQ(*(const uint64_t *)at, 0);
}

static void fill(const kiln_span_t *span)
{
    memset((void *)kiln_span_base(span), 0x55, (size_t)span->pages << KILN_PAGE_SHIFT);
}

/* A hardened heap takes what is not zero for a write to freed memory, and shows its program what it
 * reads: pages of somebody else's are cleared before they are a small span's, or what a large span
 * grows by. */
static void test_a_hardened_heaps_pages_are_opened_clean(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_page_heap_harden(pages, 0);
    kiln_span_t *span = kiln_page_heap_large(pages, 10, 1);
    kiln_span_t *next = kiln_page_heap_large(pages, 30, 1);
    uintptr_t dirty = kiln_span_base(next);
    fill(next);
    kiln_page_heap_give(pages, next);
    EXPECT(kiln_page_heap_resize(pages, span, 25));
    expect_zero(dirty, kiln_span_end(span));

    kiln_span_t *small = kiln_page_heap_small(pages, 1); /* the lowest of what is left */
    EXPECT_EQ(kiln_span_base(small), kiln_span_end(span));
    EXPECT_EQ(*(const char *)kiln_span_end(small), 0x55); /* for this was not zero before */
    expect_zero(kiln_span_base(small), kiln_span_end(small));
    kiln_page_heap_give(pages, small);
    kiln_page_heap_give(pages, span);
    world_close();
}

/* Seeded: takes of all kinds, gives, resizes, trims; every rule after every step. */
static void random_steps(uint64_t phys_bytes, uint64_t seed)
{
    enum { SPANS = 60, STEPS = 4000 };
    kiln_span_t *spans[SPANS] = {NULL};
    kiln_page_heap_t *pages = open_pages(phys_bytes);
    kiln_rng_t rng = {seed};
    pages->dirty_pages_max = 200;
    for (unsigned step = 0; step < STEPS; step++) {
        kiln_span_t **span = &spans[kiln_rng_below(&rng, SPANS)];
        uint64_t count = 1 + kiln_rng_below(&rng, UINT64_C(1) << kiln_rng_below(&rng, 9));
        if (*span && kiln_rng_below(&rng, 3) == 0) {
            if ((*span)->kind == KILN_SPAN_LARGE) (void)kiln_page_heap_resize(pages, *span, count);
        } else if (*span) {
            kiln_page_heap_give(pages, *span);
            *span = NULL;
        } else if (kiln_rng_below(&rng, 2)) {
            *span = kiln_page_heap_small(pages,
                                         1 + (uint32_t)kiln_rng_below(&rng, KILN_SIZE_CLASSES - 1));
            EXPECT(*span);
        } else {
            uint64_t align = UINT64_C(1) << kiln_rng_below(&rng, 20);
            *span = kiln_page_heap_large(pages, count, align);
            EXPECT(*span && kiln_is_aligned(kiln_span_base(*span), align));
        }
        if (kiln_rng_below(&rng, 50) == 0)
            kiln_page_heap_trim(pages, kiln_rng_below(&rng, 1 << 20));
        EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    }
    for (unsigned i = 0; i < SPANS; i++)
        if (spans[i]) kiln_page_heap_give(pages, spans[i]);
    world_close();
}

static void test_random_steps_keep_every_rule(void)
{
    for (uint64_t phys_bytes = 4096; phys_bytes <= 65536; phys_bytes *= 4)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            printf("phys_bytes %llu seed %llu\n", (unsigned long long)phys_bytes,
                   (unsigned long long)seed);
            random_steps(phys_bytes, seed);
        }
}

static void test_broken_rules_are_named(void)
{
    kiln_page_heap_t *pages = open_pages(4096);
    kiln_span_t *span = kiln_page_heap_large(pages, 10, 1);
    kiln_span_t *run = pages->ready.root;
    run->dirty_end = run->pages + 1;
    EXPECT_STR(kiln_page_heap_broken_rule(pages), "the dirty pages lie in the run");
    run->dirty_end = 0;
    kiln_page_map_set(&pages->map, run, 0, 1);
    kiln_page_map_set(&pages->map, span, 3, 1);
    EXPECT_RULE(kiln_page_heap_broken_rule(pages));
    atomic_store(
        &pages->map
             .entries[(kiln_span_base(span) - pages->arena->arena_start) / KILN_PAGE_BYTES + 3],
        run);
    EXPECT_STR(kiln_page_heap_broken_rule(pages),
               "the page map leads to every span in use and to both ends of a free run");
    kiln_page_map_set(&pages->map, span, 3, 1);
    pages->records++;
    EXPECT_STR(kiln_page_heap_broken_rule(pages), "no record is lost");
    pages->records--;
    pages->counts.taken++;
    EXPECT_STR(kiln_page_heap_broken_rule(pages), "the regions are all that was taken");
    pages->counts.taken--;
    kiln_page_heap_give(pages, span);
    world_close();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_the_lowest_of_the_best_fits_is_taken),
        KILN_TEST(test_a_ready_run_is_taken_before_a_discarded_one),
        KILN_TEST(test_a_large_heap_asks_for_huge_pages_for_small_blocks),
        KILN_TEST(test_huge_pages_do_not_shorten_a_heap),
        KILN_TEST(test_neighbours_are_joined_whatever_the_order),
        KILN_TEST(test_fresh_and_discarded_pages_are_known_to_be_zero),
        KILN_TEST(test_the_last_resort_is_to_join_everything),
        KILN_TEST(test_growth_is_by_the_difference),
        KILN_TEST(test_growth_is_paid_with_idle_runs),
        KILN_TEST(test_idle_memory_that_nobody_needs_goes_back),
        KILN_TEST(test_nothing_goes_back_that_lacks_a_record),
        KILN_TEST(test_resize_takes_and_gives_the_right_neighbour),
        KILN_TEST(test_no_size_is_cut_to_32_bits),
        KILN_TEST(test_a_hardened_heaps_pages_are_opened_clean),
        KILN_TEST(test_random_steps_keep_every_rule),
        KILN_TEST(test_broken_rules_are_named),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
