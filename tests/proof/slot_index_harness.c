/* The slot at an offset by one multiplication and a rotation: for the classes from FIRST to END,
 * what kiln_span_slot_at answers, for every record and for the offset of every address in the
 * arena, be it one of the record's or, by a stale entry of the page map, far from it on either
 * side. */
#include "allocator/heap/size_class.h"
#include "allocator/heap/span.h"
#include "tests/proof/proof.h"

/* Further apart no two addresses of an arena are. */
static const uint64_t far = UINT64_C(1) << 51;

static kiln_span_t span;

/* A record as threads may find it: of a class for ever, and its slots there or not. */
static void any_record(uint32_t class_idx)
{
    bool in_use = nondet_bool();
    size_t slots_bytes =
        (size_t)kiln_size_classes[class_idx].slots * kiln_size_classes[class_idx].slot_bytes;
    if (class_idx == KILN_CLASS_LARGE) slots_bytes = (size_t)nondet_uint64();
    span.inverse = 0;
    kiln_span_shape(&span, class_idx);
    atomic_store_explicit(&span.slots_bytes, in_use ? slots_bytes : 0, memory_order_relaxed);
    atomic_store_explicit(&span.slots, in_use ? kiln_size_classes[class_idx].slots : 0,
                          memory_order_relaxed);
}

static void prove_large(void)
{
    any_record(KILN_CLASS_LARGE);
    size_t offset = (size_t)nondet_uint64();
    bool start = offset == 0 && kiln_span_slots_bytes(&span) != 0;
    PROOF_ASSERT(kiln_span_slot_at(&span, offset) == (start ? 0 : UINT32_MAX),
                 "a large block starts at its span");
    PROOF_ASSERT(kiln_span_small_slot_at(&span, offset) == UINT32_MAX,
                 "no slot is in a large span");
}

static void prove_small(uint32_t class_idx)
{
    any_record(class_idx);
    uint32_t slot_bytes = kiln_size_classes[class_idx].slot_bytes;
    uint64_t offset = nondet_uint64();
    PROOF_ASSUME(offset < far || offset >= 0 - far);
    uint32_t slot_idx = kiln_span_slot_at(&span, (size_t)offset);

    PROOF_ASSERT(kiln_span_small_slot_at(&span, (size_t)offset) == slot_idx, "both searches agree");
    if (slot_idx != UINT32_MAX) {
        PROOF_ASSERT(slot_idx < kiln_size_classes[class_idx].slots, "the index is one of a slot");
        PROOF_ASSERT((uint64_t)slot_idx * slot_bytes == (size_t)offset,
                     "the offset is the start of that slot");
    }
    if (kiln_span_slots_bytes(&span) == 0)
        PROOF_ASSERT(slot_idx == UINT32_MAX, "a closed span has no slots");
    uint32_t some = nondet_below(kiln_size_classes[class_idx].slots);
    if (kiln_span_slots_bytes(&span) != 0)
        PROOF_ASSERT(kiln_span_slot_at(&span, (size_t)some * slot_bytes) == some,
                     "every slot is found");
}

void harness(void)
{
    prove_large();
    for (uint32_t class_idx = FIRST; class_idx < END; class_idx++) prove_small(class_idx);
}
