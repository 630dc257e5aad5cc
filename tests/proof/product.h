/* product.h - count * bytes as any number: what the compiler's __builtin_mul_overflow gives is the
 * product, or that it is too large, by its definition; multiplying all pairs of numbers again would
 * only prove the model's multiplier, for hours. */
#ifndef KILN_TESTS_PROOF_PRODUCT_H
#define KILN_TESTS_PROOF_PRODUCT_H

#include "tests/proof/proof.h"

#include <stddef.h>

static size_t count, item_bytes, product;
static bool product_overflows;

static void any_product(void)
{
    count = (size_t)nondet_uint64();
    item_bytes = (size_t)nondet_uint64();
    product = (size_t)nondet_uint64();
    product_overflows = nondet_bool();
}

static bool multiply(size_t a, size_t b, size_t *out)
{
    PROOF_ASSERT((a == count && b == item_bytes) || (a == item_bytes && b == count),
                 "the factors are the request's");
    *out = product; /* when it overflows, the low bits: they may be anything */
    return product_overflows;
}

#define __builtin_mul_overflow multiply

#endif
