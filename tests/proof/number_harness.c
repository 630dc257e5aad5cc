/* Reading numbers. READER 0 proves what all readers share: digits, and one more digit behind a
 * number. READER 1 (KILN_OPTIONS) and 2 (traces) prove, for every text of up to TEXT_MAX
 * characters, which is enough for 2^64 in every base, that a text that is a C literal is read digit
 * by digit, in its base, from the left to the right, to its end and not beyond; that any other is
 * refused; and that one that does not fit is. What a digit adds is any number here: READER 0 proves
 * what it is. */
#define _GNU_SOURCE
#include "allocator/base/text.h"

#include "tests/proof/proof.h"

#ifndef TEXT_MAX
#define TEXT_MAX 26
#endif /* 2^64 has 17 digits in base 16, 20 in base 10, 22 in base 8 */

__extension__ typedef unsigned __int128 wide_t;

static unsigned value_of(char digit)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    for (unsigned i = 0; i < 16; i++)
        if (digit == lower[i] || digit == upper[i]) return i;
    return 16;
}

#if READER == 0

static void prove_append(unsigned base)
{
    uint64_t before = nondet_uint64(), number = before;
    unsigned digit = nondet_below(base);
    wide_t right = (wide_t)before * base + digit;
    bool fits = kiln_text_append(&number, base, digit);
    PROOF_ASSERT(fits == (right <= UINT64_MAX), "a digit is refused where 64 bits are too few");
    PROOF_ASSERT(number == (fits ? right : before), "a digit makes number * base + digit");
}

void harness(void)
{
    char digit = (char)nondet_uint64();
    PROOF_ASSERT(kiln_text_digit(digit) == value_of(digit), "a digit is what it stands for");
    prove_append(8);
    prove_append(10);
    prove_append(16);
}

#else

/* The text under proof, and what it says. */
static const char *digits; /* without prefix */
static size_t digits_count;
static unsigned base;
static bool valid; /* a number at all, of any size */

/* What was read so far. */
static size_t appended;
static uint64_t sum;
static bool too_long;

static bool append(uint64_t *number, unsigned with_base, unsigned digit)
{
    if (!valid) return nondet_bool(); /* no matter how far it gets */
    PROOF_ASSERT(!too_long && appended < digits_count, "nothing is read after the end");
    PROOF_ASSERT(with_base == base, "the base is the prefix's");
    PROOF_ASSERT(*number == sum, "each digit comes behind those before it");
    PROOF_ASSERT(digit == value_of(digits[appended]), "the digits are read in order");
    appended++;
    too_long = nondet_bool();
    if (!too_long) *number = sum = nondet_uint64();
    return !too_long;
}

/* take_text says what a text is: 0x and digits, 0 and digits of base 8, or decimal digits. A reader
 * may leave the 0 in front out. */
static void take_text(const char *text, size_t count, bool leaves_out_zero)
{
    base = 10;
    size_t prefix = 0;
    if (count > 1 && text[0] == '0') {
        base = text[1] == 'x' || text[1] == 'X' ? 16 : 8;
        prefix = base == 16 ? 2 : leaves_out_zero;
    }
    digits = text + prefix;
    digits_count = count - prefix;
    valid = digits_count > 0;
    for (size_t i = 0; i < digits_count; i++) valid = valid && value_of(digits[i]) < base;
}

#define kiln_text_append append

#if READER == 1
#include "allocator/api/options.c"

void harness(void)
{
    char text[TEXT_MAX];
    for (size_t i = 0; i < TEXT_MAX; i++) text[i] = (char)nondet_uint64();
    size_t count = nondet_below(TEXT_MAX + 1);
    const char *start = text + TEXT_MAX - count; /* so that what follows is out of bounds */
    take_text(start, count, false);
    uint64_t untouched = nondet_uint64(), number = untouched;

    bool read = kiln_options_number(start, count, &number);
    PROOF_ASSERT(read == (valid && !too_long), "a number is read, anything else refused");
    PROOF_ASSERT(!read || appended == digits_count, "all of the text is read");
    PROOF_ASSERT(number == (read ? sum : untouched), "the number is what was read; else untouched");
}

#else
#include <stdio.h>
#define vsnprintf(...) 0 /* what a message says is no matter here */
#include "tools/replay/trace.c"

void harness(void)
{
    static kiln_trace_t trace;
    char text[TEXT_MAX + 1];
    size_t count = nondet_below(TEXT_MAX + 1);
    for (size_t i = 0; i < TEXT_MAX; i++) text[i] = (char)nondet_uint64();
    text[TEXT_MAX] = '\0';
    const char *start = text + TEXT_MAX - count;
    for (size_t i = 0; i < TEXT_MAX; i++) PROOF_ASSUME(i < TEXT_MAX - count || text[i] != '\0');
    take_text(start, count, true);
    trace.addr_bits = nondet_below(65);
    trace.line = nondet_uint64();

    uint64_t read = number(&trace, start);
    bool narrow = trace.addr_bits == 0 || sum <= kiln_width_mask(trace.addr_bits);
    bool accepted = trace.error_line == 0;
    PROOF_ASSERT(accepted == (valid && !too_long && narrow),
                 "a number is read, anything else refused");
    PROOF_ASSERT(!accepted || appended == digits_count, "all of the text is read");
    PROOF_ASSERT(!accepted || read == sum, "the number is what was read");
}

#endif
#endif
