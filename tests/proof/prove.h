/* prove.h - the words in which harnesses talk to CBMC.
 *
 * A harness is a main() that runs once for every value of what ANY_* gives: ASSUME cuts runs away,
 * PROVE fails when a single run breaks it. */
#ifndef KILN_TESTS_PROOF_PROVE_H
#define KILN_TESTS_PROOF_PROVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __CPROVER__ /* compilers and linters read harnesses, too */
void __CPROVER_assume(bool condition);
void __CPROVER_assert(bool condition, const char *description);
#endif

#define ASSUME(x) __CPROVER_assume(x)
#define PROVE(x, what) __CPROVER_assert((x), what)

bool nondet_bool(void);
uint8_t nondet_u8(void);
uint16_t nondet_u16(void);
uint32_t nondet_u32(void);
uint64_t nondet_u64(void);
size_t nondet_size(void);
uintptr_t nondet_addr(void);

/* A value below `end`. */
static inline uint32_t nondet_below(uint32_t end)
{
    uint32_t value = nondet_u32();
    ASSUME(value < end);
    return value;
}

#endif
