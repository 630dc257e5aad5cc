#include "allocator/heap/span_seal.h"

#include "allocator/base/check.h"

#define FACTOR UINT64_C(0xff51afd7ed558ccd) /* odd */

/* A multiplication carries each bit upwards, a shift down again: as kiln_mix does, with half of the
 * steps. */
static uint64_t fold(uint64_t mixed, uint64_t more)
{
    return (mixed ^ mixed >> 32 ^ more) * FACTOR;
}

/* The last factor is secret: of what changes in the last field, too, nobody can tell what follows
 * for the seal. */
static uint16_t seal_of(const kiln_seal_t *seal, const kiln_span_t *span)
{
    uint64_t shape = (uint64_t)span->pages << 32 | (uint64_t)span->kind << 24 |
                     (uint64_t)span->class_idx << 16 | kiln_span_index_end(span);
    uint64_t mixed = fold(seal->secret ^ (uintptr_t)span, kiln_span_base(span));
    mixed = fold(mixed, kiln_span_slots_bytes(span) ^ span->inverse);
    mixed = fold(mixed, shape);
    return (uint16_t)((mixed ^ mixed >> 32) * (seal->secret << 1 ^ FACTOR) >> 48);
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
