/* What a heap says of its addresses and of its memory. */
#include "allocator/heap/heap_text.h"
#include "tests/unit/heap_world.h"

#include <stdio.h>

static kiln_heap_t *heap;

static void open_heap(const kiln_watcher_t *watcher)
{
    heap = world_open(
        (world_config_t){.kind = WORLD_FAKE, .follow = KILN_FOLLOW_KILN, .watcher = watcher});
}

static void expect_text(const void *address, const char *format, size_t offset, size_t slot_bytes,
                        const void *block)
{
    char wanted[KILN_HEAP_TEXT_MAX], whole[KILN_HEAP_TEXT_MAX + 32];
    snprintf(wanted, sizeof wanted, format, offset, slot_bytes, (size_t)(uintptr_t)block);
    snprintf(whole, sizeof whole, "0x%zx %s", (size_t)(uintptr_t)address, wanted);
    EXPECT_STR(kiln_heap_describe(heap, address).text, whole);
}

static void test_every_kind_of_address_is_described(void)
{
    open_heap(NULL);
    const size_t sizes[] = {64, 30000, 3 << 20};
    for (unsigned i = 0; i < 3; i++) {
        char *block = kiln_heap_malloc(heap, NULL, sizes[i]);
        kiln_misuse_t misuse;
        size_t slot_bytes = kiln_heap_usable(heap, block, &misuse);
        expect_text(block, "is %zu bytes inside of a live block of %zu bytes at 0x%zx", 0,
                    slot_bytes, block);
        expect_text(block + 5, "is %zu bytes inside of a live block of %zu bytes at 0x%zx", 5,
                    slot_bytes, block);
        EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
        if (i < 2)
            expect_text(block + 5, "is %zu bytes inside of a free block of %zu bytes at 0x%zx", 5,
                        slot_bytes, block);
    }
    expect_text(&heap, "is no address of this heap", 0, 0, NULL);
    expect_text(NULL, "is no address of this heap", 0, 0, NULL);
    expect_text((void *)UINTPTR_MAX, "is no address of this heap", 0, 0, NULL);
    world_close();
}

static void ignore_free(void *ctx, kiln_addr_t block, uint64_t slot_bytes)
{
    (void)ctx, (void)block, (void)slot_bytes;
}

static void test_a_block_that_waits_is_said_to(void)
{
    const kiln_watcher_t waits = {.free = ignore_free, .quarantine_bytes = 1 << 20};
    open_heap(&waits);
    char *block = kiln_heap_malloc(heap, NULL, 100);
    kiln_misuse_t misuse;
    size_t slot_bytes = kiln_heap_usable(heap, block, &misuse);
    EXPECT_EQ(kiln_heap_free(heap, NULL, block), KILN_MISUSE_NONE);
    expect_text(block + 99,
                "is %zu bytes inside of a freed block, which waits, of %zu bytes at 0x%zx", 99,
                slot_bytes, block);
    world_close();
}

static void test_statistics_are_json(void)
{
    const kiln_heap_stats_t stats = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, UINT64_MAX};
    EXPECT_STR(kiln_heap_stats_json(&stats).text,
               "{\"version\":1,\"arena_bytes\":1,\"live_bytes\":2,\"cached_bytes\":3,"
               "\"waiting_bytes\":4,\"free_bytes\":5,\"idle_bytes\":6,\"discarded_bytes\":7,"
               "\"large_bytes\":8,\"large_count\":9,\"idle_count\":10,\"meta_bytes\":11,"
               "\"peak_bytes\":18446744073709551615}");
    EXPECT_EQ(sizeof stats, 12 * sizeof(uint64_t)); /* a new member is written, too */
}

static void test_the_longest_text_fits(void)
{
    kiln_heap_stats_t stats;
    memset(&stats, 0xff, sizeof stats);
    EXPECT(strlen(kiln_heap_stats_json(&stats).text) < KILN_HEAP_TEXT_MAX);
}

int main(int argc, char **argv)
{
    const kiln_test_t tests[] = {
        KILN_TEST(test_every_kind_of_address_is_described),
        KILN_TEST(test_a_block_that_waits_is_said_to),
        KILN_TEST(test_statistics_are_json),
        KILN_TEST(test_the_longest_text_fits),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
