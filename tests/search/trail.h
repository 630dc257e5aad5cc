/* trail.h - the way to a state: as a path, which the program can go again, and as a trace.
 *
 *   START:PICKS/REQUEST:PICKS/...   START and REQUEST are indices, PICKS the choices of the OS,
 *                                   joined by dots */
#ifndef KILN_TESTS_SEARCH_TRAIL_H
#define KILN_TESTS_SEARCH_TRAIL_H

#include "tests/search/plans.h"

#include <stddef.h>

enum { SEARCH_PATH_MAX = 8192 };

/* search_path_add writes one step behind what is in `path` already. */
void search_path_add(char path[SEARCH_PATH_MAX], unsigned idx, const search_choices_t *choices);

/* search_path_next reads one step into search_machine.choices; false: the end, or `*io_at` is NULL
 * because it is no path. */
bool search_path_next(const char **io_at, unsigned *out_idx);

/* search_trace_head and search_trace_step print a trace on standard output: the machine with its
 * start, and the step that ran last, with the answers to it. `name` is NULL for the start. */
void search_trace_head(const search_start_t *start);
void search_trace_step(const char *name, uint64_t bytes);

/* search_state_print prints where the arena is, as a comment of the trace. */
void search_state_print(void);

#endif
