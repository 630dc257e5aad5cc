/* What the arena gave, as the page heap remembers it: for any three regions that neither overlap
 * nor touch, in any order, and one more, anywhere apart from them, kiln_region_add keeps every byte
 * that they held, adds those of the new one and no other, and leaves no two that touch. With PLAIN,
 * and two regions: where huge pages were taken back may be forgotten, but not be said of another
 * place. One byte, any, is watched. */
#include "allocator/heap/region.c"
#include "tests/proof/proof.h"

#ifndef PLAIN
#define PLAIN 0
#endif

enum { REGIONS = PLAIN ? 2 : 3 };

static kiln_region_t regions[REGIONS], spare;
static kiln_region_t *list, *spares_list;
static uintptr_t g;

static bool has_g(uintptr_t start, uintptr_t end)
{
    return start <= g && g < end;
}

static bool is_apart(const kiln_region_t *region, uintptr_t start, uintptr_t end)
{
    return region->end <= start || end <= region->start;
}

static bool touch(const kiln_region_t *a, const kiln_region_t *b)
{
    return a->start <= b->end && b->start <= a->end;
}

static unsigned any_regions(void)
{
    unsigned count = nondet_below(REGIONS + 1);
    for (unsigned i = 0; i < count; i++) {
        regions[i].start = (uintptr_t)nondet_uint64();
        regions[i].end = (uintptr_t)nondet_uint64();
        regions[i].next = i + 1 < count ? &regions[i + 1] : NULL;
        if (PLAIN) regions[i].plain_start = nondet_bool() ? regions[i].end : regions[i].start;
        PROOF_ASSUME(regions[i].start < regions[i].end);
        for (unsigned j = 0; j < i; j++) PROOF_ASSUME(!touch(&regions[i], &regions[j]));
    }
    list = count ? &regions[0] : NULL;
    spares_list = &spare;
    return count;
}

void harness(void)
{
    unsigned count = any_regions(), after = 0, spares = 0, holders = 0;
    uintptr_t start = (uintptr_t)nondet_uint64(), end = (uintptr_t)nondet_uint64();
    g = (uintptr_t)nondet_uint64();
    PROOF_ASSUME(start < end);
    bool held = has_g(start, end), taken_back = false;
    for (unsigned i = 0; i < count; i++) {
        PROOF_ASSUME(is_apart(&regions[i], start, end));
        held |= has_g(regions[i].start, regions[i].end);
        taken_back |= has_g(regions[i].start, regions[i].plain_start);
    }

    kiln_region_add(&list, &spares_list, start, end);
    for (const kiln_region_t *region = list; region; region = region->next, after++) {
        holders += has_g(region->start, region->end);
        PROOF_ASSERT(region->start < region->end, "a region holds bytes");
        PROOF_ASSERT(!PLAIN || taken_back || !has_g(region->start, region->plain_start),
                     "where they are said to be taken back, they were");
        for (const kiln_region_t *other = region->next; other; other = other->next)
            PROOF_ASSERT(!touch(region, other), "regions that touch are joined");
    }
    PROOF_ASSERT(holders == held, "a byte is in one region, or was in none");
    PROOF_ASSERT(after > 0 && after <= count + 1, "there is one region more at most");
    for (const kiln_region_t *waits = spares_list; waits; waits = waits->next) spares++;
    PROOF_ASSERT(after + spares == count + 1, "no record is lost");
    PROOF_REACHED(after < count, "two regions are joined by a third");
}
