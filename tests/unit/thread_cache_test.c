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

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_refills_grow_with_use),
        KILN_TEST(test_a_refill_pops_upwards),
        KILN_TEST(test_a_full_bin_gives_its_older_half_away),
        KILN_TEST(test_large_blocks_have_no_room_in_a_cache),
        KILN_TEST(test_an_ended_cache_holds_nothing_and_is_used_again),
        KILN_TEST(test_abandoned_caches_are_given_back),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
