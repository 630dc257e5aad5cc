/* fill.h - what the bytes of a slot hold that no program may have written.
 *
 *   |<------------- slot_bytes ------------->|
 *   | the program's `asked` bytes | canary   |   live: the slack holds the canary, to the byte
 *   | zero, or the freed byte                |   freed: all of it
 *
 * The canary is a secret of the heap: sixteen bytes, none of them zero, repeated from every
 * multiple of sixteen on. A slot starts and ends at such a multiple, so that all of this goes by
 * whole units.
 *
 * Units    bytes; `slot_bytes` is a multiple of KILN_FILL_UNIT, and a slot is aligned to it.
 * Threads  the caller owns the slot. */
#ifndef KILN_ALLOCATOR_HARDEN_FILL_H
#define KILN_ALLOCATOR_HARDEN_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { KILN_FILL_UNIT = 16, KILN_FILL_FEW_BYTES = 1024 };

typedef uint64_t kiln_unit_t __attribute__((vector_size(KILN_FILL_UNIT), may_alias));

typedef struct kiln_canary {
    kiln_unit_t unit;
} kiln_canary_t;

/* kiln_canary_init draws a canary from a seed. */
void kiln_canary_init(kiln_canary_t *canary, uint64_t seed);

/* What a byte at `addr` holds where the canary is. */
static inline uint8_t kiln_canary_byte(const kiln_canary_t *canary, uintptr_t addr)
{
    return ((const uint8_t *)&canary->unit)[addr % KILN_FILL_UNIT];
}

/* kiln_canary_first_bad gives the first of the bytes [start, end) that is not the canary's, or
 * `end`; kiln_fill_first_bad the same for bytes that are all to hold `byte`. Slow. */
uintptr_t kiln_canary_first_bad(const kiln_canary_t *canary, uintptr_t start, uintptr_t end);
uintptr_t kiln_fill_first_bad(uintptr_t start, uintptr_t end, uint8_t byte);

static inline kiln_unit_t kiln_unit_load(const void *from)
{
    kiln_unit_t unit;
    __builtin_memcpy(&unit, from, sizeof unit); /* a load, also where memcpy is a call */
    return unit;
}

static inline void kiln_unit_store(void *to, kiln_unit_t unit)
{
    __builtin_memcpy(to, &unit, sizeof unit);
}

static inline bool kiln_unit_is_zero(kiln_unit_t unit)
{
    return (unit[0] | unit[1]) == 0;
}

/* The last `count` (0 to 16) bytes of a unit: all ones there. */
static inline kiln_unit_t kiln_unit_tail(size_t count)
{
    static const uint8_t ones[2 * KILN_FILL_UNIT] = {
        0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };
    return kiln_unit_load(ones + count);
}

/* In front of a loop that has a few rounds: one that is made for many has a longer way in. */
#if defined(__clang__)
#define KILN_FEW_ROUNDS _Pragma("clang loop unroll(disable) vectorize(disable)")
#else
#define KILN_FEW_ROUNDS
#endif

/* kiln_canary_write puts the canary into the `slack` bytes that end at `end`, a slot's. What lies
 * in front of them stays. */
static inline void kiln_canary_write(const kiln_canary_t *canary, char *end, size_t slack)
{
    kiln_unit_t pattern = canary->unit;
    for (; slack >= KILN_FILL_UNIT; slack -= KILN_FILL_UNIT)
        kiln_unit_store(end -= KILN_FILL_UNIT, pattern);
    if (slack == 0) return;
    kiln_unit_t tail = kiln_unit_tail(slack);
    end -= KILN_FILL_UNIT;
    kiln_unit_store(end, (kiln_unit_load(end) & ~tail) | (pattern & tail));
}

/* The two below are for slack that is seldom more than a unit, and never 0: the last unit is done
 * before it is asked whether there are more.
 *
 * kiln_canary_begin is kiln_canary_write where the slot is all zero. kiln_canary_holds: are the
 * bytes as they were written? */
static inline size_t kiln_unit_part(size_t slack)
{
    return slack < KILN_FILL_UNIT ? slack : KILN_FILL_UNIT;
}

static inline void kiln_canary_begin(const kiln_canary_t *canary, char *end, size_t slack)
{
    kiln_unit_t pattern = canary->unit;
    end -= KILN_FILL_UNIT;
    kiln_unit_store(end, pattern & kiln_unit_tail(kiln_unit_part(slack)));
    KILN_FEW_ROUNDS
    while (__builtin_expect(slack > KILN_FILL_UNIT, 0)) {
        slack -= KILN_FILL_UNIT;
        end -= KILN_FILL_UNIT;
        kiln_unit_store(end, pattern & kiln_unit_tail(kiln_unit_part(slack)));
    }
}

static inline bool kiln_canary_holds(const kiln_canary_t *canary, const char *end, size_t slack)
{
    kiln_unit_t pattern = canary->unit;
    end -= KILN_FILL_UNIT;
    kiln_unit_t wrong = (kiln_unit_load(end) ^ pattern) & kiln_unit_tail(kiln_unit_part(slack));
    KILN_FEW_ROUNDS
    while (__builtin_expect(slack > KILN_FILL_UNIT, 0)) {
        slack -= KILN_FILL_UNIT;
        end -= KILN_FILL_UNIT;
        wrong |= (kiln_unit_load(end) ^ pattern) & kiln_unit_tail(kiln_unit_part(slack));
    }
    return kiln_unit_is_zero(wrong);
}

/* kiln_units_or gives what in the units of a slot is not `wanted`, or-ed; kiln_units_set sets them.
 * Two units a round. */
static inline kiln_unit_t kiln_units_or(const char *slot, const char *end, kiln_unit_t wanted)
{
    const kiln_unit_t *unit = (const kiln_unit_t *)slot;
    kiln_unit_t wrong = {0, 0}, other = {0, 0};
    if ((size_t)(end - slot) & KILN_FILL_UNIT) wrong = *unit++ ^ wanted;
    KILN_FEW_ROUNDS
    for (; (const char *)unit != end; unit += 2) {
        wrong |= unit[0] ^ wanted;
        other |= unit[1] ^ wanted;
    }
    return wrong | other;
}

static inline void kiln_units_set(char *slot, const char *end, kiln_unit_t value)
{
    kiln_unit_t *unit = (kiln_unit_t *)slot;
    if ((size_t)(end - slot) & KILN_FILL_UNIT) *unit++ = value;
    KILN_FEW_ROUNDS
    for (; (char *)unit != end; unit += 2) {
        unit[0] = unit[1] = value;
        __asm__("" : "+r"(unit)); /* else the compiler calls memset: it takes longer for so few */
    }
}

static inline kiln_unit_t kiln_unit_of(uint8_t byte)
{
    uint64_t word = byte * UINT64_C(0x0101010101010101);
    return (kiln_unit_t){word, word};
}

/* kiln_fill writes `byte` to a whole slot, kiln_fill_holds asks whether it still is there. */
static inline void kiln_fill(char *slot, size_t slot_bytes, uint8_t byte)
{
    if (slot_bytes > KILN_FILL_FEW_BYTES)
        memset(slot, byte, slot_bytes);
    else
        kiln_units_set(slot, slot + slot_bytes, kiln_unit_of(byte));
}

static inline bool kiln_fill_holds(const char *slot, size_t slot_bytes, uint8_t byte)
{
    return kiln_unit_is_zero(kiln_units_or(slot, slot + slot_bytes, kiln_unit_of(byte)));
}

#endif
