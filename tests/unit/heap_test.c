#define _GNU_SOURCE
#include "tests/unit/heap_world.h"

#include "allocator/base/rng.h"

#include <sys/mman.h>

static const world_config_t on_linux = {.kind = WORLD_LINUX, .follow = KILN_FOLLOW_KILN};
static const world_config_t on_fake = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN};

static void free_ok(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block)
{
    EXPECT_EQ(kiln_heap_free(heap, cache, block), KILN_MISUSE_NONE);
}

static size_t usable(kiln_heap_t *heap, void *block)
{
    kiln_misuse_t misuse;
    size_t bytes = kiln_heap_usable(heap, block, &misuse);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    return bytes;
}

static void *resize(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block, size_t bytes)
{
    kiln_misuse_t misuse;
    void *moved = kiln_heap_realloc(heap, cache, block, bytes, &misuse);
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    EXPECT(moved);
    return moved;
}

static void test_every_small_size_is_aligned_and_at_most_an_eighth_larger(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    for (size_t bytes = 0; bytes <= KILN_SMALL_MAX; bytes++) {
        void *block = kiln_heap_malloc(heap, cache, bytes);
        EXPECT(block && (uintptr_t)block % KILN_HEAP_ALIGN_MIN == 0);
        size_t has = usable(heap, block);
        EXPECT(has >= bytes && has >= 1);
        EXPECT(bytes <= 128 ? has < bytes + 16 || bytes == 0 : has - bytes < bytes / 8 + 16);
        free_ok(heap, cache, block);
    }
    kiln_heap_detach(heap, cache);
    world_close();
}

static void test_large_blocks_are_whole_pages(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    for (size_t bytes = KILN_SMALL_MAX + 1; bytes < KILN_MIB(8); bytes += bytes / 3) {
        char *block = kiln_heap_malloc(heap, NULL, bytes);
        EXPECT_EQ(usable(heap, block), kiln_round_up(bytes, KILN_PAGE_BYTES));
        EXPECT_EQ((uintptr_t)block % KILN_PAGE_BYTES, 0);
        memset(block, 0x5a, bytes);
        EXPECT_EQ(kiln_heap_stats(heap).large_count, 1);
        free_ok(heap, NULL, block);
    }
    world_close();
}

static void test_impossible_sizes_give_null_and_change_nothing(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    kiln_heap_stats_t before = kiln_heap_stats(heap);
    static const size_t sizes[] = {SIZE_MAX,
                                   SIZE_MAX - 1,
                                   SIZE_MAX - KILN_PAGE_BYTES,
                                   PTRDIFF_MAX,
                                   (size_t)PTRDIFF_MAX + 1,
                                   SIZE_MAX / 2 - 4096,
                                   SIZE_MAX / 2 + 2};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        EXPECT(!kiln_heap_malloc(heap, NULL, sizes[i]));
        EXPECT(!kiln_heap_calloc(heap, NULL, 1, sizes[i]));
        EXPECT(!kiln_heap_calloc(heap, NULL, sizes[i], 2));
        EXPECT(!kiln_heap_aligned(heap, NULL, 4096, sizes[i]));
        EXPECT(!kiln_heap_aligned(heap, NULL, 1 << 20, sizes[i]));
    }
    EXPECT_EQ(kiln_heap_stats(heap).arena_bytes, before.arena_bytes);
    /* Sizes whose pages are few if counted in 32 bits, while there are a few to be had. */
    free_ok(heap, NULL, kiln_heap_malloc(heap, NULL, KILN_MIB(1)));
    before = kiln_heap_stats(heap);
    for (unsigned shift = 44; shift < sizeof(size_t) * 8; shift++) {
        size_t bytes = ((size_t)1 << shift) + KILN_KIB(24);
        EXPECT(!kiln_heap_malloc(heap, NULL, bytes));
        EXPECT(!kiln_heap_aligned(heap, NULL, 1 << 20, bytes));
        EXPECT(!kiln_heap_calloc(heap, NULL, bytes / 8, 8));
    }
    volatile size_t too_many = SIZE_MAX / 16 + 1, too_much = (size_t)PTRDIFF_MAX + 1;
    EXPECT(!kiln_heap_calloc(heap, NULL, too_many, 16));
    volatile size_t wrong[] = {(size_t)1 << (sizeof(size_t) * 8 - 1), 0, 24}; /* compilers object */
    for (unsigned i = 0; i < 3; i++) EXPECT(!kiln_heap_aligned(heap, NULL, wrong[i], 8));
    kiln_heap_stats_t after = kiln_heap_stats(heap);
    EXPECT_EQ(before.arena_bytes, after.arena_bytes);

    void *block = kiln_heap_malloc(heap, NULL, 100);
    kiln_misuse_t misuse = KILN_MISUSE_SIZE;
    EXPECT(!kiln_heap_realloc(heap, NULL, block, too_much, &misuse));
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    free_ok(heap, NULL, block);
    world_close();
}

static void test_every_alignment_is_honoured(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    static const size_t sizes[] = {0, 1, 17, 100, 1000, 4097, 32768, 65536, 65537, 100000};
    for (size_t align = 1; align <= KILN_MIB(16); align *= 2)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char *one = kiln_heap_aligned(heap, cache, align, sizes[i]);
            char *two = kiln_heap_aligned(heap, cache, align, sizes[i]);
            EXPECT(one && two && one != two);
            EXPECT((uintptr_t)one % align == 0 && (uintptr_t)two % align == 0);
            memset(one, 1, sizes[i]);
            memset(two, 2, sizes[i]);
            EXPECT(sizes[i] == 0 || (one[0] == 1 && one[sizes[i] - 1] == 1));
            EXPECT_RULE(kiln_heap_broken_rule(heap));
            EXPECT_EQ(kiln_heap_free_sized(heap, cache, one, align, sizes[i]), KILN_MISUSE_NONE);
            EXPECT_EQ(kiln_heap_free_sized(heap, cache, two, align, sizes[i]), KILN_MISUSE_NONE);
        }
    kiln_heap_detach(heap, cache);
    world_close();
}

/* What was nobody's yet is not written: here the program writes there before it owns it. */
static void test_calloc_writes_only_where_blocks_were(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    static const size_t sizes[] = {257, 1000, 5000, 20000, 40000, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *first = kiln_heap_calloc(heap, NULL, 1, sizes[i]);
        unsigned char *second = first + usable(heap, first);
        second[sizes[i] - 1] = 7;
        EXPECT(kiln_heap_calloc(heap, NULL, sizes[i], 1) == second);
        EXPECT_EQ(second[sizes[i] - 1], 7);
        free_ok(heap, NULL, second);
        EXPECT(kiln_heap_calloc(heap, NULL, 1, sizes[i]) == second);
        EXPECT_EQ(second[sizes[i] - 1], 0);
        EXPECT_RULE(kiln_heap_broken_rule(heap));
    }
    world_close();
}

static void test_calloc_gives_zeros_also_where_blocks_were(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    static const size_t sizes[] = {1, 16, 100, 5000, 32768, 65536, 70000, 1 << 20, 3 << 20};
    for (unsigned round = 0; round < 4; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            unsigned char *block = kiln_heap_calloc(heap, cache, 1, sizes[i]);
            EXPECT(block);
            for (size_t j = 0; j < sizes[i]; j++)
                if (block[j] != 0) EXPECT_EQ(j, SIZE_MAX);
            memset(block, 0xff, usable(heap, block));
            free_ok(heap, cache, block);
            if (round == 2) kiln_heap_trim(heap, 0);
        }
    kiln_heap_detach(heap, cache);
    world_close();
}

/* First-touch zeroing is not paid twice. */
static void test_calloc_of_fresh_pages_touches_none(void)
{
    enum { PAGES = 16 << 20 >> 12 };
    static unsigned char resident[PAGES];
    world_config_t bare = on_linux;
    bare.bare = true;
    kiln_heap_t *heap = world_open(bare);
    char *block = kiln_heap_calloc(heap, NULL, PAGES, 4096);
    EXPECT(block && mincore(block, (size_t)PAGES * 4096, resident) == 0);
    unsigned touched = 0;
    for (unsigned i = 0; i < PAGES; i++) touched += resident[i] & 1;
    EXPECT_EQ(touched, 0);

    /* The control: a dirty block is written, and the same look sees it. */
    memset(block, 1, (size_t)PAGES * 4096);
    EXPECT(mincore(block, (size_t)PAGES * 4096, resident) == 0);
    for (unsigned i = touched = 0; i < PAGES; i++) touched += resident[i] & 1;
    EXPECT_EQ(touched, PAGES);
    free_ok(heap, NULL, block);
    world_close();
}

static void test_pointers_that_never_were_ours_are_foreign(void)
{
    static int global;
    int local;
    kiln_heap_t *heap = world_open(on_linux);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    void *block = kiln_heap_malloc(heap, cache, 10);
    kiln_addr_t used = kiln_arena_used(&heap->arena);
    const uintptr_t addresses[] = {
        0,
        1,
        16,
        4096,
        UINTPTR_MAX,
        UINTPTR_MAX - 15,
        (uintptr_t)UINT64_C(0x8000000000000000),
        (uintptr_t)UINT64_C(0xffff800000000000),
        (uintptr_t)UINT64_C(0x00007ffffffff000),
        (uintptr_t)&global,
        (uintptr_t)&local,
        (uintptr_t)heap,
        (uintptr_t)cache,
        (uintptr_t)used,
        (uintptr_t)used + 8192,
        (uintptr_t)heap->arena.arena_start - 16,
        (uintptr_t)heap->arena.tables[KILN_ARENA_SPANS].base,
        (uintptr_t)heap->present,
    };
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        void *pointer = (void *)addresses[i];
        kiln_misuse_t misuse = KILN_MISUSE_NONE;
        EXPECT_EQ(kiln_heap_free(heap, cache, pointer), KILN_MISUSE_FOREIGN);
        EXPECT_EQ(kiln_heap_free_sized(heap, cache, pointer, 0, 1), KILN_MISUSE_FOREIGN);
        EXPECT(!kiln_heap_realloc(heap, cache, pointer, 10, &misuse));
        EXPECT_EQ(misuse, KILN_MISUSE_FOREIGN);
        EXPECT_EQ(kiln_heap_usable(heap, pointer, &misuse), 0);
        EXPECT_EQ(misuse, KILN_MISUSE_FOREIGN);
        EXPECT(!kiln_heap_about(heap, pointer).heap && !kiln_heap_about(heap, pointer).live);
    }
    free_ok(heap, cache, block);
    kiln_heap_detach(heap, cache);
    world_close();
}

static void test_interior_and_freed_pointers_are_told_apart(void)
{
    static const size_t sizes[] = {1, 16, 48, 1000, 20000, 65536, 65537, 1 << 20};
    for (int with_cache = 0; with_cache < 2; with_cache++) {
        kiln_heap_t *heap = world_open(on_fake);
        kiln_thread_cache_t *cache = with_cache ? kiln_heap_attach(heap) : NULL;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            /* Held: or the span of a single block goes back to the page heap with it. */
            void *held = kiln_heap_malloc(heap, cache, sizes[i]);
            char *block = kiln_heap_malloc(heap, cache, sizes[i]);
            size_t has = usable(heap, block);
            for (size_t at = 1; at < has; at += 1 + at / 2) {
                EXPECT_EQ(kiln_heap_free(heap, cache, block + at), KILN_MISUSE_INTERIOR);
                kiln_heap_about_t about = kiln_heap_about(heap, block + at);
                EXPECT(about.heap && about.live && about.slot_bytes == has);
                EXPECT_EQ(about.block, (uintptr_t)block);
            }
            free_ok(heap, cache, block);
            EXPECT_EQ(kiln_heap_free(heap, cache, block), KILN_MISUSE_DOUBLE_FREE);
            EXPECT_EQ(kiln_heap_free(heap, cache, block + 1), KILN_MISUSE_INTERIOR);
            EXPECT(!kiln_heap_about(heap, block).live);
            kiln_misuse_t misuse;
            EXPECT(!kiln_heap_realloc(heap, cache, block, 1, &misuse));
            EXPECT_EQ(misuse, KILN_MISUSE_DOUBLE_FREE);
            EXPECT_RULE(kiln_heap_broken_rule(heap));
            free_ok(heap, cache, held);
        }
        if (cache) kiln_heap_detach(heap, cache);
        world_close();
    }
}

static void test_the_tail_of_a_span_is_no_block(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    char *block = kiln_heap_malloc(heap, NULL, 48);
    const kiln_size_class_t *class = &kiln_size_classes[kiln_size_class_of(48)];
    char *tail = block + (size_t)class->slots * class->slot_bytes;
    EXPECT(class->slots * class->slot_bytes < (unsigned)class->span_pages * KILN_PAGE_BYTES);
    EXPECT_EQ(kiln_heap_free(heap, NULL, tail), KILN_MISUSE_INTERIOR);
    EXPECT(kiln_heap_about(heap, tail).heap && kiln_heap_about(heap, tail).block == 0);
    /* A slot that was never given out is not live either. */
    EXPECT_EQ(kiln_heap_free(heap, NULL, tail - class->slot_bytes), KILN_MISUSE_DOUBLE_FREE);
    free_ok(heap, NULL, block);
    world_close();
}

static void test_sized_free_checks_size_and_alignment(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    struct {
        size_t align, bytes, free_align, free_bytes;
        kiln_misuse_t misuse;
    } cases[] = {
        {0, 100, 0, 100, KILN_MISUSE_NONE},
        {0, 100, 0, 97, KILN_MISUSE_NONE},
        {0, 100, 0, 96, KILN_MISUSE_SIZE},
        {0, 100, 0, 113, KILN_MISUSE_SIZE},
        {0, 0, 0, 0, KILN_MISUSE_NONE},
        {0, 0, 0, 17, KILN_MISUSE_SIZE},
        {0, 40000, 0, 40000, KILN_MISUSE_NONE},
        {0, 40000, 0, 30000, KILN_MISUSE_SIZE},
        {0, 40000, 0, 50000, KILN_MISUSE_SIZE},
        {64, 100, 64, 100, KILN_MISUSE_NONE},
        {64, 100, 0, 100, KILN_MISUSE_SIZE},
        {0, 100, 48, 100, KILN_MISUSE_ALIGNMENT},
        {65536, 10, 65536, 10, KILN_MISUSE_NONE},
        {65536, 10, 0, 10, KILN_MISUSE_SIZE},
        {65536, 10, 65536, 9000, KILN_MISUSE_SIZE},
        {16, 100, 16, 100, KILN_MISUSE_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *block = cases[i].align
                          ? kiln_heap_aligned(heap, cache, cases[i].align, cases[i].bytes)
                          : kiln_heap_malloc(heap, cache, cases[i].bytes);
        EXPECT_EQ(
            kiln_heap_free_sized(heap, cache, block, cases[i].free_align, cases[i].free_bytes),
            cases[i].misuse);
        if (cases[i].misuse != KILN_MISUSE_NONE) free_ok(heap, cache, block);
        EXPECT_EQ(kiln_heap_free_sized(heap, cache, block, cases[i].align, cases[i].bytes),
                  KILN_MISUSE_DOUBLE_FREE);
    }
    char *block = kiln_heap_malloc(heap, cache, 112);
    char *next = kiln_heap_malloc(heap, cache, 112);
    char *odd = (uintptr_t)block % 32 == 0 ? next : block;
    EXPECT_EQ(kiln_heap_free_sized(heap, cache, odd, 32, 112), KILN_MISUSE_ALIGNMENT);
    free_ok(heap, cache, block);
    free_ok(heap, cache, next);
    kiln_heap_detach(heap, cache);
    world_close();
}

static void test_sized_free_believes_a_realloc_that_stayed(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    static const size_t steps[][2] = {{1000, 600}, {100000, 90000}, {40000, 10000}, {600, 1000}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        void *block = kiln_heap_malloc(heap, cache, steps[i][0]);
        block = resize(heap, cache, block, steps[i][1]);
        EXPECT_EQ(kiln_heap_free_sized(heap, cache, block, 0, usable(heap, block) + 1),
                  KILN_MISUSE_SIZE);
        EXPECT_EQ(kiln_heap_free_sized(heap, cache, block, 0, steps[i][1]), KILN_MISUSE_NONE);
        EXPECT_EQ(kiln_heap_free(heap, cache, block), KILN_MISUSE_DOUBLE_FREE);
    }
    /* A realloc that is refused changes nothing: exact as before. */
    void *block = kiln_heap_malloc(heap, cache, 1000);
    kiln_misuse_t misuse;
    EXPECT(!kiln_heap_realloc(heap, cache, block, PTRDIFF_MAX, &misuse));
    EXPECT_EQ(misuse, KILN_MISUSE_NONE);
    EXPECT_EQ(kiln_heap_free_sized(heap, cache, block, 0, 600), KILN_MISUSE_SIZE);
    free_ok(heap, cache, block);
    /* Back to the size that it was made for: exact again. */
    block = kiln_heap_malloc(heap, cache, 1000);
    EXPECT(resize(heap, cache, block, 600) == block && resize(heap, cache, block, 1000) == block);
    EXPECT_EQ(kiln_heap_free_sized(heap, cache, block, 0, 600), KILN_MISUSE_SIZE);
    free_ok(heap, cache, block);
    kiln_heap_detach(heap, cache);
    world_close();
}

static void test_realloc_of_large_blocks_stays_where_it_can(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    char *block = kiln_heap_malloc(heap, NULL, KILN_KIB(96));
    memset(block, 7, KILN_KIB(96));
    EXPECT(resize(heap, NULL, block, 1 << 19) == block);
    EXPECT_EQ(usable(heap, block), KILN_KIB(512));
    EXPECT_EQ(kiln_heap_free(heap, NULL, block + KILN_KIB(504)), KILN_MISUSE_INTERIOR);
    EXPECT(resize(heap, NULL, block, KILN_KIB(80)) == block);
    EXPECT_EQ(usable(heap, block), KILN_KIB(80));
    char *wall = kiln_heap_malloc(heap, NULL, KILN_KIB(80));
    EXPECT_EQ((uintptr_t)wall, (uintptr_t)block + KILN_KIB(80));
    char *moved = resize(heap, NULL, block, KILN_KIB(200));
    EXPECT(moved != block && moved[0] == 7 && moved[KILN_KIB(80) - 1] == 7);
    EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_DOUBLE_FREE);
    free_ok(heap, NULL, moved);
    free_ok(heap, NULL, wall);
    world_close();
}

/* A block that grows in small steps, with another that is in its way: copied now and then only. */
static void test_realloc_in_small_steps_does_not_move_at_each(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    char *a = kiln_heap_malloc(heap, NULL, 80000), *b = kiln_heap_malloc(heap, NULL, 80000);
    unsigned moves = 0;
    for (size_t bytes = 80000; bytes < KILN_MIB(4); bytes += KILN_PAGE_BYTES) {
        char *was = a;
        a = resize(heap, NULL, a, bytes);
        b = resize(heap, NULL, b, bytes);
        moves += was != a;
    }
    EXPECT(moves < 40);
    free_ok(heap, NULL, a);
    free_ok(heap, NULL, b);
    world_close();
}

static void expect_sum(kiln_heap_t *heap)
{
    kiln_heap_stats_t stats = kiln_heap_stats(heap);
    EXPECT_EQ(stats.arena_bytes,
              stats.live_bytes + stats.free_bytes + stats.idle_bytes + stats.discarded_bytes);
    EXPECT(stats.cached_bytes + stats.large_bytes <= stats.live_bytes);
    EXPECT(stats.peak_bytes >= stats.arena_bytes - stats.discarded_bytes);
}

static void test_statistics_add_up(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    void *blocks[200];
    expect_sum(heap);
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = kiln_heap_malloc(heap, cache, i * i * 3);
        expect_sum(heap);
    }
    kiln_heap_stats_t full = kiln_heap_stats(heap);
    EXPECT(full.live_bytes >= full.large_bytes + full.cached_bytes);
    EXPECT_EQ(full.large_count, 200 - 148); /* 3 * 148^2 is above 64 KiB */
    for (size_t i = 0; i < 200; i++) {
        free_ok(heap, cache, blocks[i]);
        expect_sum(heap);
    }
    kiln_heap_stats_t cached = kiln_heap_stats(heap);
    EXPECT_EQ(cached.live_bytes, cached.cached_bytes);
    EXPECT_EQ(cached.large_count, 0);
    kiln_heap_detach(heap, cache);
    kiln_heap_trim(heap, 0);
    kiln_heap_stats_t empty = kiln_heap_stats(heap);
    EXPECT_EQ(empty.live_bytes, 0);
    EXPECT_EQ(empty.free_bytes, 0);
    EXPECT_EQ(empty.peak_bytes, full.peak_bytes);
    EXPECT(empty.discarded_bytes > 0);
    expect_sum(heap);
    world_close();
}

static void test_idle_memory_is_bounded_and_trim_takes_the_rest(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    void *blocks[64];
    for (unsigned i = 0; i < 64; i++) {
        blocks[i] = kiln_heap_malloc(heap, NULL, KILN_KIB(256));
        memset(blocks[i], 1, KILN_KIB(256));
    }
    uint64_t ready = world.fake.stats.ready_bytes;
    for (unsigned i = 0; i < 64; i++) free_ok(heap, NULL, blocks[i]);
    EXPECT(world.fake.stats.ready_bytes < ready - KILN_MIB(14));
    EXPECT(kiln_heap_stats(heap).idle_bytes <= WORLD_IDLE_BYTES + KILN_KIB(256));
    EXPECT(kiln_heap_trim(heap, 0));
    EXPECT(!kiln_heap_trim(heap, 0));
    EXPECT_EQ(heap->pages.counts.dirty, 0);
    /* What was discarded is used again, and is zero. */
    uint64_t arena = kiln_heap_stats(heap).arena_bytes;
    char *block = kiln_heap_calloc(heap, NULL, 1, KILN_MIB(8));
    for (size_t i = 0; i < KILN_MIB(8); i += 64) EXPECT(block[i] == 0);
    EXPECT_EQ(kiln_heap_stats(heap).arena_bytes, arena);
    free_ok(heap, NULL, block);
    world_close();
}

static void test_a_thousand_caches_leak_nothing(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    uint64_t meta = 0;
    for (unsigned i = 0; i < 1000; i++) {
        kiln_thread_cache_t *cache = kiln_heap_attach(heap);
        EXPECT(cache);
        void *blocks[40];
        for (size_t j = 0; j < 40; j++) blocks[j] = kiln_heap_malloc(heap, cache, j * 50);
        for (size_t j = 0; j < 40; j++) free_ok(heap, cache, blocks[j]);
        kiln_heap_detach(heap, cache);
        EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
        if (i == 0) meta = kiln_heap_stats(heap).meta_bytes;
    }
    EXPECT_EQ(kiln_heap_stats(heap).meta_bytes, meta);
    world_close();
}

static uint64_t addresses_hash(uint64_t seed)
{
    enum { BLOCKS = 300 };
    kiln_heap_t *heap = world_open(on_fake);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    void *blocks[BLOCKS] = {NULL};
    uint64_t hash = 0;
    kiln_rng_t rng = {seed};
    for (unsigned i = 0; i < 20000; i++) {
        void **block = &blocks[kiln_rng_below(&rng, BLOCKS)];
        if (*block) {
            free_ok(heap, cache, *block);
            *block = NULL;
        } else {
            *block = kiln_heap_malloc(heap, cache,
                                      (size_t)kiln_rng_below(&rng, 1u << kiln_rng_below(&rng, 18)));
            hash = (hash ^ (uintptr_t)*block) * 0x9e3779b97f4a7c15;
        }
    }
    kiln_heap_destroy(heap);
    return hash;
}

static void test_equal_calls_give_equal_addresses(void)
{
    EXPECT_EQ(addresses_hash(5), addresses_hash(5));
    EXPECT(addresses_hash(5) != addresses_hash(6));
}

static void test_wrong_configurations_are_refused(void)
{
    world_open(on_fake);
    kiln_heap_config_t good = world.heap.config;
    world_close();
    for (int i = 0; i < 5; i++) {
        kiln_heap_config_t bad = good;
        if (i == 0) bad.os = NULL;
        if (i == 1) bad.arena.page_bytes = 4096;
        if (i == 2) bad.arena.word_bytes = sizeof(void *) == 8 ? 4 : 8;
        if (i == 3) bad.arena.tables = 1u << KILN_ARENA_BITS;
        if (i == 4) bad.arena.phys_bytes = 65536;
        memset(&world.heap, 0, sizeof world.heap);
        EXPECT(kiln_heap_init(&world.heap, &bad) != NULL);
        EXPECT_EQ(world_held_bytes(), 0);
    }
}

/* The rule finds what it is there to find. */
static void test_broken_rules_are_named(void)
{
    kiln_heap_t *heap = world_open(on_fake);
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    char *block = kiln_heap_malloc(heap, cache, 100), *large = kiln_heap_malloc(heap, cache, 50000);
    kiln_span_t *span = kiln_page_map_find(&heap->pages.map, (uintptr_t)block);
    uint32_t class_idx = kiln_size_class_of(100);
    kiln_slot_t *slots = kiln_cache_bin_first(cache, class_idx);

    span->used++;
    EXPECT_STR(kiln_heap_broken_rule(heap), "used == slots that are out");
    span->used--;
    span->states[0] = KILN_SLOT_FREE;
    EXPECT_STR(kiln_heap_broken_rule(heap), "every slot that is FREE and out is in one cache");
    span->states[0] = KILN_SLOT_LIVE;
    *slots[0].state = KILN_SLOT_LIVE;
    EXPECT_STR(kiln_heap_broken_rule(heap), "a slot in a cache is FREE and out");
    *slots[0].state = KILN_SLOT_FREE;
    kiln_slot_t slot = slots[0];
    slots[0] = slots[1];
    EXPECT_STR(kiln_heap_broken_rule(heap), "a slot is cached once");
    slots[0] = slot;
    heap->central[span->class_idx].slots_out++;
    EXPECT_STR(kiln_heap_broken_rule(heap), "slots_out counts the slots that are out");
    heap->central[span->class_idx].slots_out--;
    heap->pages.counts.in_use++;
    EXPECT_STR(kiln_heap_broken_rule(heap), "in_use counts the pages of spans");
    heap->pages.counts.in_use--;
    kiln_span_t *large_span = kiln_page_map_find(&heap->pages.map, (uintptr_t)large);
    kiln_page_map_set(&heap->pages.map, span, 2, 1); /* a page of its right neighbour */
    EXPECT(kiln_heap_broken_rule(heap) != NULL);
    kiln_page_map_set(&heap->pages.map, large_span, 0, 1);
    EXPECT_RULE(kiln_heap_broken_rule(heap));

    free_ok(heap, cache, block);
    free_ok(heap, cache, large);
    kiln_heap_detach(heap, cache);
    world_close();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_every_small_size_is_aligned_and_at_most_an_eighth_larger),
        KILN_TEST(test_large_blocks_are_whole_pages),
        KILN_TEST(test_impossible_sizes_give_null_and_change_nothing),
        KILN_TEST(test_every_alignment_is_honoured),
        KILN_TEST(test_calloc_writes_only_where_blocks_were),
        KILN_TEST(test_calloc_gives_zeros_also_where_blocks_were),
        KILN_TEST(test_calloc_of_fresh_pages_touches_none),
        KILN_TEST(test_pointers_that_never_were_ours_are_foreign),
        KILN_TEST(test_interior_and_freed_pointers_are_told_apart),
        KILN_TEST(test_the_tail_of_a_span_is_no_block),
        KILN_TEST(test_sized_free_checks_size_and_alignment),
        KILN_TEST(test_sized_free_believes_a_realloc_that_stayed),
        KILN_TEST(test_realloc_of_large_blocks_stays_where_it_can),
        KILN_TEST(test_realloc_in_small_steps_does_not_move_at_each),
        KILN_TEST(test_statistics_add_up),
        KILN_TEST(test_idle_memory_is_bounded_and_trim_takes_the_rest),
        KILN_TEST(test_a_thousand_caches_leak_nothing),
        KILN_TEST(test_equal_calls_give_equal_addresses),
        KILN_TEST(test_wrong_configurations_are_refused),
        KILN_TEST(test_broken_rules_are_named),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
