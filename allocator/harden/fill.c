#include "allocator/harden/fill.h"

#include "allocator/base/rng.h"

void kiln_canary_init(kiln_canary_t *canary, uint64_t seed)
{
    kiln_rng_t rng = {seed};
    uint8_t bytes[KILN_FILL_UNIT];
    for (unsigned i = 0; i < KILN_FILL_UNIT; i++)
        bytes[i] = (uint8_t)(1 + kiln_rng_below(&rng, UINT8_MAX));
    canary->unit = kiln_unit_load(bytes);
}

uintptr_t kiln_canary_first_bad(const kiln_canary_t *canary, uintptr_t start, uintptr_t end)
{
    while (start < end && *(const uint8_t *)start == kiln_canary_byte(canary, start)) start++;
    return start;
}

uintptr_t kiln_fill_first_bad(uintptr_t start, uintptr_t end, uint8_t byte)
{
    while (start < end && *(const uint8_t *)start == byte) start++;
    return start;
}
