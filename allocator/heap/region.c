#include "allocator/heap/region.h"

void kiln_region_add(kiln_region_t **list, kiln_region_t **spares, uintptr_t start, uintptr_t end)
{
    bool is_huge = false;
    uintptr_t plain_start = start;
    for (kiln_region_t **link = list; *link;) {
        kiln_region_t *region = *link;
        if (region->end != start && region->start != end) {
            link = &region->next;
            continue;
        }
        if (region->end == start) {
            start = region->start;
            plain_start = region->plain_start;
        } else {
            end = region->end; /* where they were taken back in it is forgotten */
        }
        is_huge |= region->is_huge;
        *link = region->next;
        region->next = *spares;
        *spares = region;
    }
    kiln_region_t *region = *spares;
    *spares = region->next;
    *region = (kiln_region_t){*list, start, end, is_huge, plain_start};
    *list = region;
}
