#include <stddef.h>
#include <stdint.h>

/* Not own_memory.h: that would make these call themselves. */
void *kiln_own_memset(void *to, int byte, size_t bytes);
void *kiln_own_memmove(void *to, const void *from, size_t bytes);

/* Volatile, or compilers would make calls of memset and memmove of the loops. */
typedef volatile uintptr_t __attribute__((may_alias, aligned(1))) word_t;
typedef volatile unsigned char byte_t;

void *kiln_own_memset(void *to, int byte, size_t bytes)
{
    byte_t *at = to;
    uintptr_t word = (unsigned char)byte * (UINTPTR_MAX / UINT8_MAX);
    for (; bytes >= sizeof word; at += sizeof word, bytes -= sizeof word) *(word_t *)at = word;
    for (; bytes > 0; bytes--) *at++ = (unsigned char)byte;
    return to;
}

void *kiln_own_memmove(void *to, const void *from, size_t bytes)
{
    byte_t *out = to;
    const byte_t *in = from;
    if ((uintptr_t)to - (uintptr_t)from >= bytes) {
        for (; bytes >= sizeof(uintptr_t); bytes -= sizeof(uintptr_t)) {
            *(word_t *)out = *(const word_t *)in;
            out += sizeof(uintptr_t);
            in += sizeof(uintptr_t);
        }
        for (; bytes > 0; bytes--) *out++ = *in++;
    } else {
        while (bytes-- > 0) out[bytes] = in[bytes];
    }
    return to;
}
