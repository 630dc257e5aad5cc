/* plans.h - which machines are searched, from which starts, with which requests. */
#ifndef KILN_TESTS_SEARCH_PLANS_H
#define KILN_TESTS_SEARCH_PLANS_H

#include "tests/search/machine.h"

enum { SEARCH_REQUESTS_MAX = 192, SEARCH_STARTS_MAX = 8192 };

/* search_plan gives the nth plan for one behaviour of the arena; false: there are no more. */
bool search_plan(unsigned n, kiln_follow_t follow, search_plan_t *out_plan);

/* An arena that is placed by hand, as a trace does. */
typedef struct search_start {
    kiln_addr_t tables; /* lowest address of the side tables */
    kiln_addr_t start, used, alloc, end;
    bool reserved;
} search_start_t;

/* search_starts writes every start of the open plan and gives their number; one, that of
 * kiln_arena_start, where the plan says so. `all`: not only the typical places. */
unsigned search_starts(search_start_t starts[SEARCH_STARTS_MAX], bool all);

/* search_do_start opens the plan and places the arena, or calls kiln_arena_start: a step like any
 * other. */
void search_do_start(const search_plan_t *plan, const search_start_t *start);

/* search_requests writes every size that is worth asking for. */
unsigned search_requests(uint64_t bytes[SEARCH_REQUESTS_MAX]);

#endif
