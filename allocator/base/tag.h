/* tag.h - addresses that carry a tag: some of their bits say nothing about where they lead, because
 * the processor ignores them (the top byte, on AArch64), or because memory is mapped once for each
 * value of them (aliases). A tool gives a block and its memory the same tag, and sees by their
 * tags that a pointer and what it points to do not belong together.
 *
 * Tag 0 is no block's: an address that never was given one is not one of a block. */
#ifndef KILN_ALLOCATOR_BASE_TAG_H
#define KILN_ALLOCATOR_BASE_TAG_H

#include "allocator/base/units.h"

#include <limits.h>

/* Where the tags of the heap are that is compiled; of all but //allocator:kiln_hwasan's: nowhere.
 */
#ifndef KILN_TAG_BITS
#define KILN_TAG_BITS 0
#define KILN_TAG_SHIFT 0
#endif

typedef struct kiln_tags {
    unsigned shift, bits; /* where the tag is; 0 bits: there is none */
} kiln_tags_t;

static inline kiln_addr_t kiln_tag_mask(kiln_tags_t tags)
{
    return ((UINT64_C(1) << tags.bits) - 1) << tags.shift;
}

static inline kiln_addr_t kiln_tag_strip(kiln_tags_t tags, kiln_addr_t addr)
{
    return addr & ~kiln_tag_mask(tags);
}

static inline unsigned kiln_tag_of(kiln_tags_t tags, kiln_addr_t addr)
{
    return (unsigned)((addr & kiln_tag_mask(tags)) >> tags.shift);
}

static inline kiln_addr_t kiln_tag_put(kiln_tags_t tags, kiln_addr_t addr, unsigned tag)
{
    return kiln_tag_strip(tags, addr) | ((kiln_addr_t)tag << tags.shift & kiln_tag_mask(tags));
}

/* kiln_tag_next gives the tag of the next block at a place whose last one had `last` (0: none had):
 * another than that, so that all of them take turns, and none of `others`, 5 at most where there
 * are 3 bits. */
static inline unsigned kiln_tag_next(kiln_tags_t tags, unsigned last, const unsigned *others,
                                     unsigned count)
{
    unsigned most = (1u << tags.bits) - 1;
    if (most == 0) return 0;
    unsigned tag = last % most + 1;
    for (unsigned i = 0; i < count; i++)
        if (tag == others[i]) {
            tag = tag % most + 1;
            i = UINT_MAX; /* from the first one again */
        }
    return tag;
}

#endif
