#include "allocator/os/ranges.h"

#include <stddef.h>

static bool same_tag(kiln_os_tag_t left, kiln_os_tag_t right)
{
    return left.state == right.state && left.access == right.access && left.use == right.use &&
           left.over_promise == right.over_promise && left.promise == right.promise;
}

static bool in_the_way(kiln_os_tag_t tag)
{
    return tag.state >= KILN_OS_RESERVED;
}

unsigned kiln_ranges_find(const kiln_ranges_t *ranges, kiln_addr_t addr)
{
    unsigned low = 0, high = ranges->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (ranges->items[middle].last < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Replaces the items [from, to) by the `count` items of `put`. */
static bool splice(kiln_ranges_t *ranges, unsigned from, unsigned to, const kiln_os_range_t *put,
                   unsigned count)
{
    unsigned gone = to - from;
    if (count > gone && count - gone > ranges->max - ranges->count) return false;
    if (count > gone) {
        unsigned up = count - gone;
        for (unsigned i = ranges->count; i > to; i--)
            ranges->items[i - 1 + up] = ranges->items[i - 1];
    } else if (count < gone) {
        unsigned down = gone - count;
        for (unsigned i = to; i < ranges->count; i++) ranges->items[i - down] = ranges->items[i];
    }
    for (unsigned i = 0; i < count; i++) ranges->items[from + i] = put[i];
    ranges->count = ranges->count - gone + count;
    return true;
}

bool kiln_ranges_set(kiln_ranges_t *ranges, kiln_addr_t first, kiln_addr_t last, kiln_os_tag_t tag)
{
    kiln_os_range_t put[3]; /* what is left below, the new range, what is left above */
    unsigned count = 0;
    kiln_os_range_t *items = ranges->items;
    unsigned from = kiln_ranges_find(ranges, first), to = from;
    bool nothing = tag.state == KILN_OS_NONE;

    while (to < ranges->count && items[to].first <= last) to++;
    kiln_os_range_t below = {.first = 1}, above = {.first = 1}; /* empty: first > last */
    if (from < to && items[from].first < first)
        below = (kiln_os_range_t){items[from].first, first - 1, items[from].tag};
    if (from < to && items[to - 1].last > last)
        above = (kiln_os_range_t){last + 1, items[to - 1].last, items[to - 1].tag};

    /* Neighbours that touch take part, so that equal ones become one. */
    if (below.first > below.last && from > 0 && items[from - 1].last == first - 1)
        below = items[--from];
    if (above.first > above.last && to < ranges->count && items[to].first == last + 1)
        above = items[to++];
    if (below.first <= below.last && !nothing && same_tag(below.tag, tag)) {
        first = below.first;
        below = (kiln_os_range_t){.first = 1};
    }
    if (above.first <= above.last && !nothing && same_tag(above.tag, tag)) {
        last = above.last;
        above = (kiln_os_range_t){.first = 1};
    }
    if (below.first <= below.last) put[count++] = below;
    if (!nothing) put[count++] = (kiln_os_range_t){first, last, tag};
    if (above.first <= above.last) put[count++] = above;
    return splice(ranges, from, to, put, count);
}

bool kiln_ranges_free(const kiln_ranges_t *ranges, kiln_addr_t first, kiln_addr_t last)
{
    for (unsigned i = kiln_ranges_find(ranges, first);
         i < ranges->count && ranges->items[i].first <= last; i++)
        if (in_the_way(ranges->items[i].tag)) return false;
    return true;
}

bool kiln_ranges_gap_up(const kiln_ranges_t *ranges, kiln_addr_t first, kiln_addr_t last,
                        uint64_t bytes, kiln_addr_t *out_addr)
{
    if (bytes == 0) return false;
    for (unsigned i = kiln_ranges_find(ranges, first); i < ranges->count; i++) {
        const kiln_os_range_t *item = &ranges->items[i];
        if (!in_the_way(item->tag)) continue;
        if (item->first > last) break;
        if (item->first > first && item->first - first >= bytes) break;
        if (item->last >= last) return false;
        first = item->last + 1;
    }
    if (first > last || last - first < bytes - 1) return false;
    *out_addr = first;
    return true;
}

bool kiln_ranges_gap_down(const kiln_ranges_t *ranges, kiln_addr_t first, kiln_addr_t last,
                          uint64_t bytes, kiln_addr_t *out_addr)
{
    if (bytes == 0) return false;
    unsigned i = kiln_ranges_find(ranges, last);
    if (i < ranges->count && ranges->items[i].first <= last) i++;
    for (; i > 0; i--) {
        const kiln_os_range_t *item = &ranges->items[i - 1];
        if (!in_the_way(item->tag)) continue;
        if (item->last < first) break;
        if (item->last < last && last - item->last >= bytes) break;
        if (item->first <= first) return false;
        last = item->first - 1;
    }
    if (first > last || last - first < bytes - 1) return false;
    *out_addr = last - (bytes - 1);
    return true;
}

const char *kiln_ranges_broken_rule(const kiln_ranges_t *ranges)
{
    if (ranges->count > ranges->max) return "ranges: no more than fit";
    for (unsigned i = 0; i < ranges->count; i++) {
        const kiln_os_range_t *item = &ranges->items[i];
        if (item->first > item->last) return "ranges: none is empty";
        if (item->tag.state == KILN_OS_NONE || item->tag.state >= KILN_OS_STATES)
            return "ranges: each has a state";
        if (i == 0) continue;
        if (item->first <= item[-1].last) return "ranges: ascending and disjoint";
        if (item->first == item[-1].last + 1 && same_tag(item->tag, item[-1].tag))
            return "ranges: equal neighbours are one";
    }
    return NULL;
}
