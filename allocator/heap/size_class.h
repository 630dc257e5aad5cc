/* size_class.h - which sizes blocks come in.
 *
 * Class 1 to 8 are 16, 32, ... 128 bytes; then there are 8 classes for every doubling, so that a
 * block is at most 12.5 % bigger than asked for (above 128 bytes), up to 32 KiB. Class 0 is not a
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
    KILN_SMALL_MAX = 32 * 1024, /* more bytes than this are a large block */
    KILN_CLASS_LARGE = 0,
    KILN_SIZE_CLASSES = 73,       /* class 0 included */
    KILN_SPAN_SLOTS_MAX = 1024,   /* of any class */
    KILN_CACHE_ENTRIES_MAX = 128, /* of any class */
    KILN_CACHE_ENTRIES_SUM = 3217 /* of all classes */
};

typedef struct kiln_size_class {
    uint32_t slot_bytes;
    uint32_t magic;     /* offset * magic >> 32 == offset / slot_bytes, for offsets in the span */
    uint16_t slots;     /* in a span */
    uint8_t span_pages; /* the tail that fits no slot is below 2 % */
    uint8_t cache_max; /* blocks that a thread cache keeps: at most 128 (64 above 256 bytes), and 32
                          KiB unless that is less than 2 */
} kiln_size_class_t;

extern const kiln_size_class_t kiln_size_classes[KILN_SIZE_CLASSES];

/* kiln_size_class_of gives the class of a request of 1 to KILN_SMALL_MAX bytes.
 * Below 256 bytes the step is 16; above, the top four bits of bytes - 1 choose. */
static inline uint32_t kiln_size_class_of(size_t bytes)
{
    uint32_t last = (uint32_t)bytes - 1;
    uint32_t log2 = 31u - (uint32_t)__builtin_clz(last | 128u);
    return (log2 - 7) * 8 + (last >> (log2 - 3)) + 1;
}

/* kiln_size_class_aligned gives the least class whose slots are all multiples of `align` (a power
 * of two, at most KILN_PAGE_BYTES) and hold `bytes` (at most KILN_SMALL_MAX) bytes. */
uint32_t kiln_size_class_aligned(size_t align, size_t bytes);

#endif
