/* text.h - numbers and words to text, and digits to numbers, where there is no C library.
 *
 * A function that writes does so from `at` on and gives the place after its last character; no end
 * mark is written. The caller provides room: KILN_TEXT_NUMBER_MAX characters for a number. */
#ifndef KILN_ALLOCATOR_BASE_TEXT_H
#define KILN_ALLOCATOR_BASE_TEXT_H

#include <stdbool.h>
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

/* kiln_text_digit gives what a digit of base 16 or less stands for; 16: it is none. */
static inline unsigned kiln_text_digit(char digit)
{
    if (digit >= '0' && digit <= '9') return (unsigned)(digit - '0');
    if (digit >= 'a' && digit <= 'f') return (unsigned)(digit - 'a') + 10;
    if (digit >= 'A' && digit <= 'F') return (unsigned)(digit - 'A') + 10;
    return 16;
}

/* kiln_text_append makes `*number` what it is with one more digit behind it. False, and `*number`
 * as it was, when that is more than 64 bits. */
static inline bool kiln_text_append(uint64_t *number, unsigned base, unsigned digit)
{
    uint64_t longer;
    if (__builtin_mul_overflow(*number, base, &longer)) return false;
    if (__builtin_add_overflow(longer, digit, &longer)) return false;
    *number = longer;
    return true;
}

#endif
