#include "allocator/heap/size_class.h"

#include "tests/kiln_test.h"

static void test_every_size_gets_the_least_class_that_holds_it(void)
{
    for (size_t bytes = 1; bytes <= KILN_SMALL_MAX; bytes++) {
        uint32_t class_idx = kiln_size_class_of(bytes);
        EXPECT(class_idx >= 1 && class_idx < KILN_SIZE_CLASSES);
        EXPECT(kiln_size_classes[class_idx].slot_bytes >= bytes);
        EXPECT(kiln_size_classes[class_idx - 1].slot_bytes < bytes);
    }
    EXPECT_EQ(kiln_size_class_of(0), 1);
    EXPECT_EQ(kiln_size_classes[KILN_SIZE_CLASSES - 1].slot_bytes, KILN_SMALL_MAX);
}

static void test_classes_are_at_most_an_eighth_apart(void)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        uint32_t step = kiln_size_classes[i].slot_bytes - kiln_size_classes[i - 1].slot_bytes;
        EXPECT_EQ(kiln_size_classes[i].slot_bytes % 16, 0);
        EXPECT(step == 16 || step * 8 <= kiln_size_classes[i - 1].slot_bytes);
    }
}

static void test_spans_have_enough_slots_and_short_tails(void)
{
    uint32_t entries = 0;
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_size_class_t *class = &kiln_size_classes[i];
        uint32_t span_bytes = (uint32_t)class->span_pages * KILN_PAGE_BYTES;
        EXPECT_EQ(class->slots, span_bytes / class->slot_bytes);
        EXPECT(class->slots >= 4 && class->slots <= KILN_SPAN_SLOTS_MAX);
        EXPECT((span_bytes - class->slots * class->slot_bytes) * 50 < span_bytes);
        EXPECT(class->cache_max >= 2 && class->cache_max <= KILN_CACHE_ENTRIES_MAX);
        EXPECT(class->cache_max == 2 || class->cache_max * class->slot_bytes <= 32 * 1024);
        entries += class->cache_max;
    }
    EXPECT_EQ(entries, KILN_CACHE_ENTRIES_SUM);
    EXPECT_EQ(kiln_size_classes[KILN_CLASS_LARGE].cache_max, 0);
}

static bool is_slot(const kiln_size_class_t *class, uint64_t offset)
{
    return offset < (uint64_t)class->slots * class->slot_bytes && offset % class->slot_bytes == 0;
}

/* Every start of a slot has its index, and every other offset more than any. */
static bool index_is_right(const kiln_size_class_t *class, uint64_t inverse, uint64_t offset)
{
    uint64_t slot_idx = kiln_slot_index(offset, inverse);
    return is_slot(class, offset) ? slot_idx == offset / class->slot_bytes
                                  : slot_idx >= class->slots;
}

static void test_the_index_is_right_at_every_offset(void)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_size_class_t *class = &kiln_size_classes[i];
        uint64_t inverse = kiln_slot_inverse(class->slot_bytes);
        uint32_t span_bytes = (uint32_t)class->span_pages * KILN_PAGE_BYTES;
        for (uint64_t offset = 0; offset < 2 * span_bytes; offset++) {
            if (!index_is_right(class, inverse, offset)) EXPECT_EQ(offset, UINT64_MAX);
            if (!index_is_right(class, inverse, 0 - offset)) EXPECT_EQ(0 - offset, UINT64_MAX);
        }
        for (unsigned bit = 20; bit < 51; bit++) { /* what stale entries lead to */
            uint64_t far = UINT64_C(1) << bit;
            for (uint64_t offset = 0; offset < 4096; offset += 16)
                EXPECT(index_is_right(class, inverse, far + offset) &&
                       index_is_right(class, inverse, offset - far));
        }
    }
}

/* The control: another number and some offset comes out wrong, so the inverses are not there by
 * luck. */
static void test_another_inverse_is_wrong(void)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_size_class_t *class = &kiln_size_classes[i];
        uint64_t inverse = kiln_slot_inverse(class->slot_bytes) + (1 << KILN_SLOT_INDEX_SHIFT);
        uint32_t span_bytes = (uint32_t)class->span_pages * KILN_PAGE_BYTES, wrong = 0;
        for (uint32_t offset = 0; offset < span_bytes; offset++)
            wrong += !index_is_right(class, inverse, offset);
        EXPECT(wrong > 0);
    }
}

static void test_aligned_requests_get_the_least_class_of_multiples(void)
{
    for (size_t align = 1; align <= KILN_PAGE_BYTES; align *= 2)
        for (size_t bytes = 1; bytes <= KILN_SMALL_MAX; bytes += 1 + bytes / 64) {
            uint32_t class_idx = kiln_size_class_aligned(align, bytes);
            EXPECT(class_idx < KILN_SIZE_CLASSES);
            uint32_t slot_bytes = kiln_size_classes[class_idx].slot_bytes;
            EXPECT(slot_bytes >= bytes && slot_bytes % align == 0);
            while (--class_idx > 0) {
                slot_bytes = kiln_size_classes[class_idx].slot_bytes;
                EXPECT(slot_bytes < bytes || slot_bytes % align != 0);
            }
        }
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {
        KILN_TEST(test_every_size_gets_the_least_class_that_holds_it),
        KILN_TEST(test_classes_are_at_most_an_eighth_apart),
        KILN_TEST(test_spans_have_enough_slots_and_short_tails),
        KILN_TEST(test_the_index_is_right_at_every_offset),
        KILN_TEST(test_another_inverse_is_wrong),
        KILN_TEST(test_aligned_requests_get_the_least_class_of_multiples),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
