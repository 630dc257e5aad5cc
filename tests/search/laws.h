/* laws.h - judges every step of the arena by the bytes of machine.h.
 *
 *   L1  what is handed out lies in the possible range and below arena_used, is page aligned, Ready,
 *       was never handed out before and stays so
 *   L2  arena_used never decreases; the entries of every heap byte are mapped, and what a reader is
 *       allowed to look up is mapped; under kiln no table page is mapped without need
 *   L3  told is, under kiln, exactly what is handed out, once
 *   L4  a failed request changes no byte and no field; nothing that the OS gave is forgotten
 *   and: a request fails only for a reason, which the machine has seen itself
 *
 * What `seed` and `go19` break on purpose is given to search_break with its name, by a predicate
 * that looks at nothing but the machine; any other break is SEARCH_UNKNOWN. */
#ifndef KILN_TESTS_SEARCH_LAWS_H
#define KILN_TESTS_SEARCH_LAWS_H

#include "tests/search/machine.h"

/* search_judge_start looks at an arena that was placed or started (`reason`: that of
 * kiln_arena_start). `before` is the world before that. */
void search_judge_start(const search_world_t *before, const char *reason);

/* search_judge looks at one request. Marks what was handed out. */
void search_judge(const search_world_t *before, const kiln_arena_result_t *result);

/* search_judge_end destroys the arena: under kiln nothing may be left but what was handed out. */
void search_judge_end(void);

/* search_forget drops what no longer matters to any later step, so that equal worlds look equal. */
void search_forget(void);

/* search_hash is of everything that later steps may depend on. */
uint64_t search_hash(void);

#endif
