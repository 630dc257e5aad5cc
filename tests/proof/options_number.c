/* Reading a number of KILN_OPTIONS: for every text of up to TEXT_MAX characters, long enough for
 * 2^64 in every base, the number is what the text says as a C literal, or the text is refused. */
#include "allocator/api/options.c"

#include "tests/proof/prove.h"

enum { TEXT_MAX = 25 }; /* 2^64 has 20 digits, 22 in base 8; with prefix and two more */

__extension__ typedef unsigned __int128 wide_t;

/* What the text says: the definition, in numbers that cannot wrap. A text of 25 hexadecimal digits
 * is below 2^100. */
static bool says(const char *text, size_t count, wide_t *out)
{
    size_t first = 0;
    unsigned base = 10;
    if (count >= 1 && text[0] == '0') base = 8;
    if (count >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        first = 2;
    }
    *out = 0;
    for (size_t i = first; i < count; i++) {
        unsigned digit = 99;
        if (text[i] >= '0' && text[i] <= '9') digit = (unsigned)(text[i] - '0');
        if (text[i] >= 'a' && text[i] <= 'f') digit = (unsigned)(text[i] - 'a') + 10;
        if (text[i] >= 'A' && text[i] <= 'F') digit = (unsigned)(text[i] - 'A') + 10;
        if (digit >= base) return false;
        *out = *out * base + digit;
    }
    return count > first;
}

int main(void)
{
    size_t count = nondet_below(TEXT_MAX + 1);
    char text[TEXT_MAX];
    for (size_t i = 0; i < TEXT_MAX; i++) text[i] = (char)nondet_u8();
    const char *end = text + TEXT_MAX; /* the text ends where the array does: no byte may be read
                                          beyond */
    uint64_t untouched = nondet_u64(), number = untouched;
    wide_t right;

    bool read = kiln_options_number(end - count, count, &number);
    bool valid = says(end - count, count, &right);
    PROVE(!read || valid, "what is read is a number");
    PROVE(!read || number == right, "the number is what the text says");
    PROVE(read || !valid || right > UINT64_MAX, "a number of 64 bits is read");
    PROVE(read || number == untouched, "a refusal writes nothing");
    return 0;
}
