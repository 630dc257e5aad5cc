/* Size classes: the least class that fits, for every size; the bound of the waste; order; aligned
 * requests; and the slot at an offset by one multiplication, for every class and every offset. */
#include "allocator/heap/size_class.h"
#include "allocator/heap/span.h"
#include "tests/proof/proof.h"

static void prove_sizes(void)
{
    uint32_t bytes = nondet_below(KILN_SMALL_MAX) + 1;
    uint32_t class_idx = kiln_size_class_of(bytes);
    PROOF_ASSERT(class_idx >= 1 && class_idx < KILN_SIZE_CLASSES, "every small size has a class");
    uint32_t slot_bytes = kiln_size_classes[class_idx].slot_bytes;
    PROOF_ASSERT(slot_bytes >= bytes, "the size fits its class");
    PROOF_ASSERT(kiln_size_classes[class_idx - 1].slot_bytes < bytes, "it fits no smaller class");
    PROOF_ASSERT(slot_bytes - bytes < 16 || (bytes > 128 && (slot_bytes - bytes) * 8 <= bytes),
                 "the waste is below 16 bytes, or at most an eighth of what was asked for");

    uint32_t more = nondet_below(KILN_SMALL_MAX) + 1;
    PROOF_ASSUME(more >= bytes);
    PROOF_ASSERT(kiln_size_class_of(more) >= class_idx, "more bytes get no smaller class");
}

static void prove_aligned(void)
{
    uint32_t align = 1u << nondet_below(KILN_PAGE_SHIFT + 1);
    uint32_t bytes = nondet_below(KILN_SMALL_MAX) + 1;
    uint32_t class_idx = kiln_size_class_aligned(align, bytes);
    PROOF_ASSERT(class_idx >= 1 && class_idx < KILN_SIZE_CLASSES, "every aligned size has a class");
    uint32_t slot_bytes = kiln_size_classes[class_idx].slot_bytes;
    PROOF_ASSERT(slot_bytes >= bytes, "the size fits its aligned class");

    /* The first page of a span is aligned to a page, so a multiple there is one in memory. */
    uint32_t slot_idx = nondet_below(kiln_size_classes[class_idx].slots);
    PROOF_ASSERT(kiln_is_aligned((uint64_t)slot_idx * slot_bytes, align), "every slot is aligned");

    uint32_t other = nondet_below(KILN_SIZE_CLASSES);
    PROOF_ASSUME(other >= 1 && other < class_idx);
    uint32_t other_bytes = kiln_size_classes[other].slot_bytes;
    PROOF_ASSERT(other_bytes < bytes || !kiln_is_aligned(other_bytes, align),
                 "it is the least such class");
}

static void prove_table(void)
{
    uint32_t entries = 0;
    for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
        const kiln_size_class_t *class = &kiln_size_classes[i];
        uint32_t span_bytes = (uint32_t)class->span_pages << KILN_PAGE_SHIFT;
        uint32_t slots_bytes = class->slots * class->slot_bytes;
        PROOF_ASSERT(class->slots >= 1 && class->slots <= KILN_SPAN_SLOTS_MAX, "a span has slots");
        PROOF_ASSERT(slots_bytes <= span_bytes && span_bytes - slots_bytes < class->slot_bytes,
                     "the slots lie in the span, as many as fit");
        PROOF_ASSERT((span_bytes - slots_bytes) * 50 < span_bytes, "the tail is below 2 %");
        PROOF_ASSERT(class->slot_bytes % 16 == 0, "slots are aligned to 16 bytes");
        PROOF_ASSERT(class->cache_max >= 2 && class->cache_max <= KILN_CACHE_ENTRIES_MAX,
                     "a cache keeps 2 to 128 slots");
        entries += class->cache_max;
    }
    PROOF_ASSERT(entries == KILN_CACHE_ENTRIES_SUM,
                 "the sum of cache entries is what is written down");
    PROOF_ASSERT(kiln_size_classes[KILN_CLASS_LARGE].cache_max == 0, "no cache keeps large blocks");
}

void harness(void)
{
    prove_sizes();
    prove_aligned();
    prove_table();
}
