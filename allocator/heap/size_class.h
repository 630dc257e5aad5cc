/* size_class.h - which sizes blocks come in.
 *
 * Class 1 to 8 are 16, 32, ... 128 bytes; then there are 8 classes for every doubling, so that a
 * block is at most 12.5 % bigger than asked for (above 128 bytes), up to 64 KiB. Class 0 is not a
 * size: it stands for large blocks, which are whole pages.
 *
 * Units    bytes; a span's pages are KILN_PAGE_BYTES each.
 * Memory   constant tables only; any thread. */
#ifndef KILN_ALLOCATOR_HEAP_SIZE_CLASS_H
#define KILN_ALLOCATOR_HEAP_SIZE_CLASS_H

#include "allocator/base/units.h"

#include <stddef.h>
#include <stdint.h>

enum {
    KILN_PAGE_SHIFT = 13,
    KILN_PAGE_BYTES = 1 << KILN_PAGE_SHIFT,
    KILN_SMALL_MAX = 64 * 1024, /* more bytes than this are a large block */
    KILN_CLASS_LARGE = 0,
    KILN_SIZE_CLASSES = 81,        /* class 0 included */
    KILN_SPAN_SLOTS_MAX = 1024,    /* of any class */
    KILN_CACHE_ENTRIES_MAX = 128,  /* of any class */
    KILN_CACHE_ENTRIES_SUM = 3233, /* of all classes */
    KILN_TABLE_BYTES_MAX = 1024    /* up to here a table knows the class of a size */
};

typedef struct kiln_size_class {
    uint32_t slot_bytes;
    uint16_t slots;     /* in a span */
    uint8_t span_pages; /* the tail that fits no slot is below 2 % */
    uint8_t cache_max; /* blocks that a thread cache keeps: at most 128 (64 above 256 bytes), and 32
                          KiB unless that is less than 2 */
} kiln_size_class_t;

extern const kiln_size_class_t kiln_size_classes[KILN_SIZE_CLASSES];

/* The class of 16 * i bytes; of 0 the first, as of 1. */
extern const uint8_t kiln_classes_of_16[KILN_TABLE_BYTES_MAX / 16 + 1];

/* kiln_size_class_of gives the class of a request of at most KILN_SMALL_MAX bytes; 0 bytes count as
 * 1. Above the table the top four bits of bytes - 1 choose. */
static inline uint32_t kiln_size_class_of(size_t bytes)
{
    if (__builtin_expect(bytes <= KILN_TABLE_BYTES_MAX, 1))
        return kiln_classes_of_16[(bytes + 15) / 16];
    uint32_t last = (uint32_t)bytes - 1, log2 = 31u - (uint32_t)__builtin_clz(last);
    return (log2 - 7) * 8 + (last >> (log2 - 3)) + 1;
}

/* The index of the slot that starts at `offset` from its span's base, by one multiplication.
 * slot_bytes is an odd number times a power of two. Modulo 2^64 the odd part has an inverse, so
 * that a multiple of it becomes the quotient, and every other number one that is far larger; the
 * inverse is shifted so that the quotient by the power of two as well begins at bit
 * KILN_SLOT_INDEX_SHIFT. What is no start of a slot has a bit below: kiln_slot_index moves those to
 * the top. So it is the index, or more than any number of slots, for offsets of less than 2^51
 * either way (far more than any arena spans; the difference wraps at 64 bits). */
enum { KILN_SLOT_INDEX_SHIFT = 16 };

static inline uint64_t kiln_slot_index(uint64_t offset, uint64_t inverse)
{
    uint64_t product = offset * inverse;
    return product >> KILN_SLOT_INDEX_SHIFT | product << (64 - KILN_SLOT_INDEX_SHIFT);
}

/* kiln_slot_inverse gives that inverse; `slot_bytes` has at most KILN_SLOT_INDEX_SHIFT twos. */
uint64_t kiln_slot_inverse(uint32_t slot_bytes);

/* kiln_size_class_aligned gives the least class whose slots are all multiples of `align` (a power
 * of two, at most KILN_PAGE_BYTES) and hold `bytes` (at most KILN_SMALL_MAX) bytes. */
uint32_t kiln_size_class_aligned(size_t align, size_t bytes);

#endif
