#include "allocator/heap/span_seal.h"

#include "allocator/base/check.h"
#include "allocator/base/mix.h"

static uint16_t seal_of(const kiln_seal_t *seal, const kiln_span_t *span)
{
    uint64_t shape = (uint64_t)span->pages << 32 | (uint64_t)span->kind << 24 |
                     (uint64_t)span->class_idx << 16 | kiln_span_index_end(span);
    uint64_t mixed = kiln_mix(seal->secret ^ (uintptr_t)span ^ span->inverse);
    mixed = kiln_mix(mixed ^ kiln_span_base(span));
    mixed = kiln_mix(mixed ^ kiln_span_slots_bytes(span));
    return (uint16_t)kiln_mix(mixed ^ shape);
}

void kiln_span_seal(const kiln_seal_t *seal, kiln_span_t *span)
{
    span->seal = seal_of(seal, span);
}

bool kiln_span_is_sealed(const kiln_seal_t *seal, const kiln_span_t *span)
{
    return span->seal == seal_of(seal, span);
}

__attribute__((noinline, cold)) void kiln_seal_broken(const kiln_seal_t *seal, const void *record)
{
    if (seal->ruined) seal->ruined((uintptr_t)record);
    kiln_check_failed("the heap's records are as the heap left them", __FILE__, __LINE__);
}
