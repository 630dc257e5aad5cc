/* canary_fuzz.c - a bug that must be found in half a minute, or fuzzing is set up wrong: a wrong
 * read where AddressSanitizer looks on, a use of what was never written under MemorySanitizer, an
 * overflow under UndefinedBehaviorSanitizer, else a law that does not hold.
 *
 * The bug is where the text of an input says so, byte by byte, as a fuzzer finds things.
 *
 * Threads  one.   Memory  one small block. */
#include "fuzz/target.h"

#include <limits.h>
#include <stdlib.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

const kiln_fuzz_words_t kiln_fuzz_words = {.target = "canary"};

void kiln_fuzz_last_words(void)
{
}

static __attribute__((noinline)) int misbehave(int one)
{
#if __has_feature(address_sanitizer)
    volatile char *block = malloc((size_t)one);
    int read = block ? block[one] : 0;
    free((void *)(uintptr_t)block);
    return read;
#elif __has_feature(memory_sanitizer)
    volatile int *block = malloc(sizeof *block);
    if (block && *block == one) abort(); /* a branch: what is only copied is not told */
    free((void *)(uintptr_t)block);
    return one;
#elif __has_feature(undefined_behavior_sanitizer)
    return INT_MAX + one;
#else
    KILN_FUZZ_LAW("the canary sings", one == 0);
    return one;
#endif
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    static volatile int one = 1;
    if (size < KILN_FUZZ_CONFIG_BYTES + 3) return;
    const uint8_t *text = data + KILN_FUZZ_CONFIG_BYTES;
    if (text[0] != 'g') return;
    if (text[1] != 'a') return;
    if (text[2] == 's') one = misbehave(one) != INT_MIN;
}
