/* The slot at an offset by one multiplication and a shift: for every class and every offset in its
 * span the product is the quotient; and what kiln_span_slot_at answers, for every record and every
 * offset that a size_t holds. */
#include "allocator/heap/size_class.h"
#include "allocator/heap/span.h"
#include "tests/proof/proof.h"

static void prove_quotient(uint32_t class_idx)
{
    const kiln_size_class_t *class = &kiln_size_classes[class_idx];
    uint32_t offset = nondet_below((uint32_t)class->span_pages << KILN_PAGE_SHIFT);
    uint64_t product = (uint64_t)offset * class->magic;
    uint32_t slot_idx = (uint32_t)(product >> 32), rest = offset - slot_idx * class->slot_bytes;

    PROOF_ASSERT(rest < class->slot_bytes, "product >> 32 is offset / slot_bytes");
    PROOF_ASSERT(((uint32_t)product < class->magic) == (rest == 0),
                 "the low half is below magic where there is no rest");
}

/* A record as threads may find it: of a class for ever, and its slots there or not. */
static kiln_span_t span;

static void any_record(uint32_t class_idx)
{
    span.class_idx = (uint8_t)class_idx;
    span.magic = kiln_size_classes[class_idx].magic;
    size_t slots_bytes =
        (size_t)kiln_size_classes[class_idx].slots * kiln_size_classes[class_idx].slot_bytes;
    if (class_idx == KILN_CLASS_LARGE) slots_bytes = (size_t)nondet_uint64();
    atomic_store_explicit(&span.slots_bytes, nondet_bool() ? slots_bytes : 0, memory_order_relaxed);
}

static void prove_slot_at(uint32_t class_idx)
{
    any_record(class_idx);
    size_t offset = (size_t)nondet_uint64();
    uint32_t slot_bytes = kiln_size_classes[class_idx].slot_bytes;
    uint32_t slot_idx = kiln_span_slot_at(&span, offset);

    if (class_idx == KILN_CLASS_LARGE) {
        bool start = offset == 0 && kiln_span_slots_bytes(&span) != 0;
        PROOF_ASSERT(slot_idx == (start ? 0 : UINT32_MAX), "a large block starts at its span");
        PROOF_ASSERT(kiln_span_small_slot_at(&span, offset) == UINT32_MAX,
                     "no slot is in a large span");
        return;
    }
    PROOF_ASSERT(kiln_span_small_slot_at(&span, offset) == slot_idx, "both searches agree");
    if (slot_idx != UINT32_MAX) {
        PROOF_ASSERT(slot_idx < kiln_size_classes[class_idx].slots, "the index is one of a slot");
        PROOF_ASSERT(slot_idx * slot_bytes == offset, "the offset is the start of that slot");
    }
    uint32_t some = nondet_below(kiln_size_classes[class_idx].slots);
    if (kiln_span_slots_bytes(&span) != 0)
        PROOF_ASSERT(kiln_span_slot_at(&span, (size_t)some * slot_bytes) == some,
                     "every slot is found");
}

void harness(void)
{
    prove_slot_at(KILN_CLASS_LARGE);
    for (uint32_t class_idx = 1; class_idx < KILN_SIZE_CLASSES; class_idx++) {
        prove_quotient(class_idx);
        prove_slot_at(class_idx);
    }
}
