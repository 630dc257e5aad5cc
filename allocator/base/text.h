/* text.h - numbers and words to text, where there is no printf.
 *
 * Every function writes from `at` on and gives the place after its last character; no end mark is
 * written. The caller provides room: KILN_TEXT_NUMBER_MAX characters for a number. */
#ifndef KILN_ALLOCATOR_BASE_TEXT_H
#define KILN_ALLOCATOR_BASE_TEXT_H

#include <stdint.h>

enum { KILN_TEXT_NUMBER_MAX = 20 }; /* 2^64-1 in decimal; 0x and 16 digits are fewer */

static inline char *kiln_text_word(char *at, const char *word)
{
    while (*word) *at++ = *word++;
    return at;
}

/* kiln_text_hex writes 0x and the digits; zero is 0x0. */
static inline char *kiln_text_hex(char *at, uint64_t number)
{
    unsigned digits = (67u - (unsigned)__builtin_clzll(number | 1)) / 4;
    *at++ = '0';
    *at++ = 'x';
    for (unsigned i = digits; i-- > 0; number >>= 4) at[i] = "0123456789abcdef"[number & 15];
    return at + digits;
}

static inline char *kiln_text_dec(char *at, uint64_t number)
{
    char digits[KILN_TEXT_NUMBER_MAX];
    unsigned first = sizeof digits;
    do digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (first < sizeof digits) *at++ = digits[first++];
    return at;
}

#endif
