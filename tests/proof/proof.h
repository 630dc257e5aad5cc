/* proof.h - what the harnesses share. A harness is a function harness() whose inputs are free: cbmc
 * gives a function without a body named nondet_* every value at once. */
#ifndef KILN_TESTS_PROOF_PROOF_H
#define KILN_TESTS_PROOF_PROOF_H

#include "allocator/base/check.h"

#include <stdbool.h>
#include <stdint.h>

uint64_t nondet_uint64(void);
unsigned nondet_unsigned(void);
_Bool nondet_bool(void);

#ifndef __CPROVER__ /* who only reads the harnesses, as the lint check does */
void __CPROVER_assume(_Bool holds);
void __CPROVER_assert(_Bool holds, const char *law);
#endif

#define PROOF_ASSUME(x) __CPROVER_assume(x)
#define PROOF_ASSERT(x, law) __CPROVER_assert(x, law)

/* That an input comes here with x: `kiln prove --reach` asks for one in each proof, so that none is
 * true because its assumptions leave nothing. */
#ifdef REACH
#define PROOF_REACHED(x, what) __CPROVER_assert(!(x), "reached: " what)
#else
#define PROOF_REACHED(x, what) (void)(x)
#endif

/* A number below `end`. */
static inline uint32_t nondet_below(uint32_t end)
{
    uint32_t number = (uint32_t)nondet_uint64();
    PROOF_ASSUME(number < end);
    return number;
}

/* A multiple of `unit`, a power of two: the solver is spared its low bits. */
static inline uint64_t any_multiple(uint64_t unit)
{
    return nondet_uint64() & ~(unit - 1);
}

/* The allocator's own checks are assertions of every proof. */
_Noreturn void kiln_check_failed(const char *rule, const char *file, int line)
{
    (void)rule, (void)file, (void)line;
    __CPROVER_assert(0, "a check of the allocator");
    for (;;) __CPROVER_assume(0);
}

#endif
