/* Rounding, alignment and width masks against their definitions in numbers of any size, for every
 * number and every power of two; then the arena's sums, differences and roundings at every width.
 */
#include "allocator/arena/arena_internal.h"
#include "allocator/base/units.h"
#include "tests/proof/proof.h"

__extension__ typedef unsigned __int128
    wide_t; /* holds every sum and product of two numbers here */

static void prove_powers_of_two(void)
{
    uint64_t n = nondet_uint64();
    bool found = false;
    for (unsigned i = 0; i < 64; i++) found |= n == UINT64_C(1) << i;
    PROOF_ASSERT(kiln_is_power_of_two(n) == found, "a power of two is 1 shifted by 0 to 63");
}

/* The quotient and the rest of a division by 2^shift; the sum is the definition, so nothing is
 * believed of shifts. */
typedef struct {
    wide_t quotient, rest;
} division_t;

static division_t divide(wide_t n, unsigned shift)
{
    division_t division = {n >> shift, 0};
    division.rest = n - (division.quotient << shift);
    PROOF_ASSERT(division.rest < (wide_t)1 << shift, "harness: the rest is less than the unit");
    return division;
}

static void prove_rounding(void)
{
    uint64_t n = nondet_uint64();
    unsigned shift = nondet_below(64);
    uint64_t unit = UINT64_C(1) << shift;
    division_t division = divide(n, shift);
    wide_t down = division.quotient << shift;
    wide_t up = division.rest == 0 ? down : down + unit;

    PROOF_ASSERT(up >= n && up - n < unit, "harness: the least multiple that is not below n");
    PROOF_ASSERT(kiln_round_down(n, unit) == down,
                 "round_down gives the greatest multiple up to n");
    PROOF_ASSERT(kiln_round_up(n, unit) == (uint64_t)up,
                 "round_up gives the least multiple from n on");
    PROOF_ASSERT((up >> 64 != 0) == (kiln_round_up(n, unit) < n),
                 "round_up wraps only where it is below n");
    PROOF_ASSERT(up >> 64 == 0 || kiln_round_up(n, unit) == 0, "where round_up wraps it gives 0");
    PROOF_ASSERT(kiln_is_aligned(n, unit) == (division.rest == 0), "aligned is: without a rest");
}

static void prove_masks(void)
{
    unsigned bits = nondet_below(65);
    PROOF_ASSUME(bits >= 1);
    PROOF_ASSERT(kiln_width_mask(bits) == ((wide_t)1 << bits) - 1, "the mask is 2^bits - 1");
}

/* At `bits` bits every answer is the number that is right modulo 2^bits, below 2^bits. */
static void prove_arena_arithmetic(void)
{
    static kiln_arena_t arena;
    unsigned bits = nondet_below(65);
    PROOF_ASSUME(bits >= 4);
    arena.mask = kiln_width_mask(bits);
    uint64_t a = nondet_uint64(), b = nondet_uint64();
    PROOF_ASSUME(a <= arena.mask && b <= arena.mask);
    wide_t size = (wide_t)1 << bits;

    wide_t sum = (wide_t)a + b;
    PROOF_ASSERT(kiln_arena_add(&arena, a, b) == (sum < size ? sum : sum - size),
                 "a sum wraps once");
    wide_t difference = a >= b ? a - b : a + size - b;
    PROOF_ASSERT(kiln_arena_sub(&arena, a, b) == difference, "a difference wraps once");

    unsigned shift = nondet_below(64);
    PROOF_ASSUME(shift < bits);
    division_t division = divide(a, shift);
    wide_t up = (division.quotient + (division.rest != 0)) << shift;
    PROOF_ASSERT(kiln_arena_up(&arena, a, UINT64_C(1) << shift) == (up < size ? up : 0),
                 "rounding up wraps to 0");

    arena.arena_end = a;
    arena.arena_alloc = b;
    PROOF_ASSERT(kiln_arena_left(&arena) == difference, "what is left is end - alloc");
    PROOF_ASSERT(b > a || kiln_arena_left(&arena) + b == a,
                 "what is left, from alloc on, is up to end");
}

void harness(void)
{
    prove_powers_of_two();
    prove_rounding();
    prove_masks();
    prove_arena_arithmetic();
}
