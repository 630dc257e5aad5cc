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

static void test_the_product_is_the_quotient_at_every_offset(void)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_size_class_t *class = &kiln_size_classes[i];
        uint32_t span_bytes = (uint32_t)class->span_pages * KILN_PAGE_BYTES;
        for (uint32_t offset = 0; offset < span_bytes; offset++)
            if ((uint64_t)offset * class->magic >> 32 != offset / class->slot_bytes)
                EXPECT_EQ(offset, UINT32_MAX);
    }
}

/* The low half of the product tells whether there is a remainder. */
static void test_the_product_tells_the_starts_of_slots(void)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_size_class_t *class = &kiln_size_classes[i];
        for (uint32_t offset = 0; offset < class->slots * class->slot_bytes; offset++) {
            bool start = (uint32_t)((uint64_t)offset * class->magic) < class->magic;
            if (start != (offset % class->slot_bytes == 0)) EXPECT_EQ(offset, UINT32_MAX);
        }
    }
}

/* The control: one less and some offset comes out wrong, so the numbers are not there by luck. */
static void test_a_smaller_magic_number_is_wrong(void)
{
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_size_class_t *class = &kiln_size_classes[i];
        uint32_t span_bytes = (uint32_t)class->span_pages * KILN_PAGE_BYTES, wrong = 0;
        for (uint32_t offset = 0; offset < span_bytes; offset++)
            wrong += (uint64_t)offset * (class->magic - 1) >> 32 != offset / class->slot_bytes;
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
        KILN_TEST(test_the_product_is_the_quotient_at_every_offset),
        KILN_TEST(test_the_product_tells_the_starts_of_slots),
        KILN_TEST(test_a_smaller_magic_number_is_wrong),
        KILN_TEST(test_aligned_requests_get_the_least_class_of_multiples),
    };
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
