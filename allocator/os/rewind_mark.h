/* rewind_mark.h - the marks of a backend that goes back (rewind.h), for its own files. All of it
 * under the backend's lock. */
#ifndef KILN_ALLOCATOR_OS_REWIND_MARK_H
#define KILN_ALLOCATOR_OS_REWIND_MARK_H

#include "allocator/os/rewind.h"

/* In one piece of memory: this, the ranges, where the copies of each begin, and from the next page
 * on the copies: of each Ready range, then of the pieces. */
struct kiln_os_mark {
    kiln_os_mark_t *older;
    uint64_t bytes; /* of this record's memory */
    kiln_ranges_t ranges;
    char **copies; /* of ranges.items[i]; NULL: it had no bytes */
    char *pieces;
    bool is_stale; /* a newer mark came: what was written before that is forgotten */
};

/* The tag of `addr` in ranges, and in *io_last, if that is higher, the last address that has it. */
static inline kiln_os_tag_t kiln_os_tag_at(const kiln_ranges_t *ranges, kiln_addr_t addr,
                                           kiln_addr_t *io_last)
{
    unsigned i = kiln_ranges_find(ranges, addr);
    if (i == ranges->count) return (kiln_os_tag_t){.state = KILN_OS_NONE};
    const kiln_os_range_t *range = &ranges->items[i];
    bool inside = range->first <= addr;
    kiln_addr_t last = inside ? range->last : range->first - 1;
    if (last < *io_last) *io_last = last;
    return inside ? range->tag : (kiln_os_tag_t){.state = KILN_OS_NONE};
}

/* Without a mark nothing was there. */
static inline kiln_os_tag_t kiln_os_marked_at(const kiln_os_mark_t *mark, kiln_addr_t addr,
                                              kiln_addr_t *io_last)
{
    return mark ? kiln_os_tag_at(&mark->ranges, addr, io_last)
                : (kiln_os_tag_t){.state = KILN_OS_NONE};
}

static inline bool kiln_os_has_memory(kiln_os_tag_t tag)
{
    return tag.state == KILN_OS_READY || tag.state == KILN_OS_PREPARED ||
           tag.state == KILN_OS_GUARDED;
}

/* kiln_os_mark_make makes the newest, kiln_os_mark_put_back goes back to it, kiln_os_mark_forget
 * gives its memory back. */
bool kiln_os_mark_make(kiln_os_rewind_t *rewind);
bool kiln_os_mark_put_back(kiln_os_rewind_t *rewind, const kiln_os_rewind_visit_t *visit);
void kiln_os_mark_forget(kiln_os_rewind_t *rewind);

#endif
