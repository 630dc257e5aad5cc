#include "tests/unit/heap_world.h"

static kiln_heap_t *open_heap(void)
{
    world_config_t config = {.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN};
    return world_open(config);
}

static uint32_t count_of(const kiln_thread_cache_t *cache, uint32_t class_idx)
{
    return kiln_cache_bin_count(cache, class_idx);
}

static bool has_room(const kiln_thread_cache_t *cache, uint32_t class_idx)
{
    return !kiln_cache_bin_is_full(cache, class_idx, kiln_cache_bin_top(cache, class_idx));
}

/* A few slots at first, then twice as many each time, up to a half; and a cache that another thread
 * had starts again. */
static void test_refills_grow_with_use(void)
{
    kiln_heap_t *heap = open_heap();
    for (unsigned thread = 0; thread < 2; thread++) {
        kiln_thread_cache_t *cache = kiln_heap_attach(heap);
        for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
            uint32_t half = kiln_size_classes[i].cache_max / 2;
            for (uint32_t wanted = KILN_CACHE_FIRST; wanted <= 256; wanted *= 2) {
                kiln_slot_t slot;
                EXPECT(kiln_thread_cache_refill(&heap->caches, cache, i));
                EXPECT_EQ(count_of(cache, i), wanted < half ? wanted : half);
                while (kiln_cache_bin_pop(cache, i, &slot))
                    kiln_central_give(&heap->central[i], &slot, 1);
            }
        }
        kiln_heap_detach(heap, cache);
    }
    world_close();
}

static void test_a_refill_pops_upwards(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        EXPECT_EQ(count_of(cache, i), 0);
        EXPECT(kiln_thread_cache_refill(&heap->caches, cache, i));
        kiln_slot_t slot;
        uintptr_t last = 0;
        while (kiln_cache_bin_pop(cache, i, &slot)) {
            EXPECT((uintptr_t)slot.block > last);
            last = (uintptr_t)slot.block;
            kiln_central_give(&heap->central[i], &slot, 1);
        }
    }
    kiln_heap_detach(heap, cache);
    world_close();
}

static void test_a_full_bin_gives_its_older_half_away(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        uint32_t max = kiln_size_classes[i].cache_max;
        kiln_slot_t slots[KILN_CACHE_ENTRIES_MAX + 1], slot;
        EXPECT_EQ(kiln_central_take(&heap->central[i], slots, max + 1), max + 1);
        kiln_cache_bin_open(cache, i);
        for (uint32_t j = 0; j < max; j++) {
            EXPECT(has_room(cache, i));
            kiln_cache_bin_push(cache, i, slots[j]);
        }
        EXPECT(!has_room(cache, i));
        kiln_thread_cache_flush(&heap->caches, cache, i);
        EXPECT_EQ(count_of(cache, i), max / 2);
        kiln_cache_bin_push(cache, i, slots[max]);
        EXPECT_RULE(kiln_heap_broken_rule(heap));
        for (uint32_t j = max; kiln_cache_bin_pop(cache, i, &slot); j--) {
            EXPECT(slot.block == slots[j].block);
            kiln_central_give(&heap->central[i], &slot, 1);
        }
    }
    kiln_heap_detach(heap, cache);
    world_close();
}

static void test_large_blocks_have_no_room_in_a_cache(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *cache = kiln_heap_attach(heap);
    kiln_slot_t slot;
    EXPECT(!has_room(cache, KILN_CLASS_LARGE));
    EXPECT(!kiln_cache_bin_pop(cache, KILN_CLASS_LARGE, &slot));
    kiln_heap_detach(heap, cache);
    world_close();
}

static void test_an_ended_cache_holds_nothing_and_is_used_again(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *one = kiln_heap_attach(heap), *two = kiln_heap_attach(heap);
    EXPECT(one && two && one != two);
    EXPECT_EQ(heap->caches.count, 2);
    for (size_t bytes = 1; bytes < 30000; bytes += bytes)
        EXPECT_EQ(kiln_heap_free(heap, one, kiln_heap_malloc(heap, one, bytes)), KILN_MISUSE_NONE);
    EXPECT(kiln_thread_cache_bytes(&heap->caches) > 30000);
    kiln_heap_flush(heap, one);
    EXPECT_EQ(kiln_thread_cache_bytes(&heap->caches), 0);
    EXPECT_EQ(kiln_heap_free(heap, one, kiln_heap_malloc(heap, one, 9)), KILN_MISUSE_NONE);
    EXPECT(kiln_thread_cache_bytes(&heap->caches) > 0);
    kiln_heap_detach(heap, one);
    EXPECT_EQ(kiln_thread_cache_bytes(&heap->caches), 0);
    EXPECT_EQ(kiln_heap_stats(heap).live_bytes, 0);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    EXPECT(kiln_heap_attach(heap) == one);
    kiln_heap_detach(heap, two);
    kiln_heap_detach(heap, one);
    world_close();
}

/* As in the child of a fork: the other threads are gone, one of them in the middle of a push. */
static void test_abandoned_caches_are_given_back(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *mine = kiln_heap_attach(heap), *other = kiln_heap_attach(heap);
    void *kept = kiln_heap_malloc(heap, mine, 100);
    void *of_other = kiln_heap_malloc(heap, other, 100);
    uint32_t class_idx = kiln_size_class_of(100);
    kiln_slot_t *torn = kiln_cache_bin_first(other, class_idx);
    torn[2] = *kiln_cache_bin_first(mine, class_idx); /* stale: it is in `mine` */
    torn[1].block = (char *)torn[1].block + 8;

    kiln_heap_fork_prepare(heap);
    kiln_heap_fork_child(heap, mine);
    EXPECT_EQ(heap->caches.count, 1);
    EXPECT_EQ(kiln_thread_cache_bytes(&heap->caches), 0);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    /* Two blocks are live; the two entries that were spoilt are lost, no more. */
    EXPECT_EQ(heap->central[class_idx].slots_out, 4);
    EXPECT_EQ(kiln_heap_free(heap, mine, kept), KILN_MISUSE_NONE);
    EXPECT_EQ(kiln_heap_free(heap, mine, of_other), KILN_MISUSE_NONE);
    kiln_heap_detach(heap, mine);
    world_close();
}

/* ---- slots of spans that another thread takes from ---- */

enum { SMALL_BYTES = 8, SMALL = 1 };

static void free_block(kiln_heap_t *heap, kiln_thread_cache_t *cache, void *block)
{
    EXPECT_EQ(kiln_heap_free(heap, cache, block), KILN_MISUSE_NONE);
}

/* A thread's first block is one of another's span: it gets slots of its own before that one, whose
 * line is the other's, and no state of these lies in a line with the other's. */
static void test_others_slots_are_handed_out_last(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *maker = kiln_heap_attach(heap), *ender = kiln_heap_attach(heap);
    char *made = kiln_heap_malloc(heap, maker, SMALL_BYTES), *kept[KILN_CACHE_FIRST];
    const kiln_span_t *span = kiln_heap_find(heap, made).span;
    uintptr_t line = (uintptr_t)kiln_heap_find(heap, made).state / 64;
    free_block(heap, ender, made);
    EXPECT_EQ(count_of(ender, SMALL), KILN_CACHE_FIRST + 1);
    for (unsigned i = 0; i < KILN_CACHE_FIRST; i++) {
        kept[i] = kiln_heap_malloc(heap, ender, SMALL_BYTES);
        kiln_heap_found_t found = kiln_heap_find(heap, kept[i]);
        EXPECT((uintptr_t)kept[i] / 64 != (uintptr_t)made / 64);
        EXPECT(found.span == span && (uintptr_t)found.state / 64 != line);
    }
    EXPECT(kiln_heap_malloc(heap, ender, SMALL_BYTES) == made);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    for (unsigned i = 0; i < KILN_CACHE_FIRST; i++) free_block(heap, ender, kept[i]);
    free_block(heap, maker, made);
    kiln_heap_detach(heap, ender);
    kiln_heap_detach(heap, maker);
    world_close();
}

/* So it is where the thread has allocated before; and what is its own comes back at once. */
static void test_others_slots_go_below_a_threads_own(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *maker = kiln_heap_attach(heap), *ender = kiln_heap_attach(heap);
    void *own = kiln_heap_malloc(heap, ender, SMALL_BYTES);
    void *made = kiln_heap_malloc(heap, maker, SMALL_BYTES);
    free_block(heap, ender, made);
    EXPECT(kiln_cache_bin_first(ender, SMALL)->block == made);
    void *next = kiln_heap_malloc(heap, ender, SMALL_BYTES);
    EXPECT(next != made);
    free_block(heap, ender, next);
    EXPECT(kiln_heap_malloc(heap, ender, SMALL_BYTES) == next);
    free_block(heap, ender, next);
    free_block(heap, ender, own);
    kiln_heap_detach(heap, ender);
    kiln_heap_detach(heap, maker);
    world_close();
}

/* Who only frees is asked a few times, and what lies in its bin goes back as ever; who is alone is
 * not asked at all once a bin was filled. */
static void test_marks_double(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *maker = kiln_heap_attach(heap);
    static void *blocks[1000];
    blocks[0] = kiln_heap_malloc(heap, maker, SMALL_BYTES);
    EXPECT(maker->stops[SMALL] == maker->ends[SMALL]);
    kiln_thread_cache_t *ender = kiln_heap_attach(heap);
    for (unsigned i = 1; i < 1000; i++) blocks[i] = kiln_heap_malloc(heap, maker, SMALL_BYTES);
    unsigned looks = 0;
    for (unsigned i = 0; i < 1000; i++) {
        kiln_slot_t *stop = ender->stops[SMALL];
        free_block(heap, ender, blocks[i]);
        looks += ender->stops[SMALL] != stop;
        EXPECT_RULE(kiln_heap_broken_rule(heap));
    }
    EXPECT(looks >= 3 && looks <= 7); /* 128 slots */
    kiln_heap_detach(heap, ender);
    kiln_heap_detach(heap, maker);
    EXPECT_EQ(heap->central[SMALL].slots_out, 0);
    world_close();
}

/* No memory for slots of its own: the block is freed all the same. */
static void test_others_slots_without_memory(void)
{
    kiln_heap_t *heap = open_heap();
    kiln_thread_cache_t *maker = kiln_heap_attach(heap), *ender = kiln_heap_attach(heap);
    void *made = kiln_heap_malloc(heap, maker, SMALL_BYTES);
    world.fault.fail_call = world.fault.calls_seen + 1;
    world.fault.ever_after = true;
    while (kiln_heap_malloc(heap, maker, KILN_PAGE_BYTES)) continue;
    while (kiln_heap_malloc(heap, maker, SMALL_BYTES)) continue;
    free_block(heap, ender, made);
    EXPECT_EQ(count_of(ender, SMALL), 1);
    EXPECT(kiln_heap_malloc(heap, ender, SMALL_BYTES) == made);
    EXPECT_RULE(kiln_heap_broken_rule(heap));
    kiln_heap_detach(heap, ender);
    kiln_heap_detach(heap, maker);
    world_close();
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_refills_grow_with_use),
        KILN_TEST(test_a_refill_pops_upwards),
        KILN_TEST(test_a_full_bin_gives_its_older_half_away),
        KILN_TEST(test_large_blocks_have_no_room_in_a_cache),
        KILN_TEST(test_an_ended_cache_holds_nothing_and_is_used_again),
        KILN_TEST(test_abandoned_caches_are_given_back),
        KILN_TEST(test_others_slots_are_handed_out_last),
        KILN_TEST(test_others_slots_go_below_a_threads_own),
        KILN_TEST(test_marks_double),
        KILN_TEST(test_others_slots_without_memory),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
