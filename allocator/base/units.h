/* units.h - addresses, sizes and their rounding.
 *
 * An address is a number, not a pointer: the arena runs on machines of any address width, and the
 * fake OS hands out addresses that have no memory behind them. Only the heap, which touches the
 * bytes, turns addresses into pointers.
 *
 * Units  `_bytes`, `_pages`, `_slots` count; `_idx` points; `_max` and `_last` are inclusive,
 *        `_end` is exclusive. All arithmetic is unsigned; "wraps" always means at the width that
 *        the caller names. */
#ifndef KILN_ALLOCATOR_BASE_UNITS_H
#define KILN_ALLOCATOR_BASE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t kiln_addr_t; /* an address of a machine of at most 64 bits */

#define KILN_KIB(n) ((uint64_t)(n) << 10)
#define KILN_MIB(n) ((uint64_t)(n) << 20)
#define KILN_GIB(n) ((uint64_t)(n) << 30)

static inline bool kiln_is_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* kiln_round_up gives the least multiple of `unit`, a power of two, that is not below `n`. It
 * wraps to 0 at 64 bits; a caller on a narrower machine masks the answer to its own width. */
static inline uint64_t kiln_round_up(uint64_t n, uint64_t unit)
{
    return (n + (unit - 1)) & ~(unit - 1);
}

static inline uint64_t kiln_round_down(uint64_t n, uint64_t unit)
{
    return n & ~(unit - 1);
}

static inline bool kiln_is_aligned(uint64_t n, uint64_t unit)
{
    return (n & (unit - 1)) == 0;
}

/* kiln_width_mask gives the highest address of a machine with `addr_bits` (1 to 64) bits. */
static inline uint64_t kiln_width_mask(unsigned addr_bits)
{
    return addr_bits >= 64 ? UINT64_MAX : (UINT64_C(1) << addr_bits) - 1;
}

#endif
