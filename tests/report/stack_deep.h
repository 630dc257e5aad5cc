/* stack_deep.h - calls in calls, compiled with frame pointers. */
#ifndef KILN_TESTS_REPORT_STACK_DEEP_H
#define KILN_TESTS_REPORT_STACK_DEEP_H

#include "allocator/api/stack.h"

/* kiln_deep_capture calls itself `depth` times, then keeps its stack of at most 16 frames, and
 * walks it by tables as well. */
kiln_stack_id_t kiln_deep_capture(int depth, kiln_stack_t *out_walked);

/* kiln_deep_path calls itself `depth` times, each time from one of two places by the bits of
 * `path`, and captures there. */
kiln_stack_id_t kiln_deep_path(unsigned path, int depth, kiln_stack_t *out_walked);

/* kiln_deep_spin spends its time in short calls, `depth` deep. */
void kiln_deep_spin(int depth);

#endif
