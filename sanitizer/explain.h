/* explain.h - words about blocks (blocks.h), for watchers whose tool has none: symbols come from
 * the runtime of the sanitizer.
 *
 * Threads  any.   Nothing of Kiln's is allocated or waited for: a report may come from anywhere. */
#ifndef KILN_SANITIZER_EXPLAIN_H
#define KILN_SANITIZER_EXPLAIN_H

#include "sanitizer/blocks.h"

/* kiln_watch_explain writes to file descriptor `fd` what is known of the block at `address`, or
 * next before it: its bounds, and who allocated and freed it; or that records lie there. False:
 * nothing is known. It is part of every report, by an error callback that is set when the first
 * heap is made; a program that sets one of its own does so after that, and calls this in it, with
 * __asan_get_report_address().
 *
 * Of kiln_asan alone: msan and memcheck give the stacks of what they know by themselves, and tsan
 * names the block. */
bool kiln_watch_explain(int fd, const void *address);

/* kiln_explain_block writes where `address` lies in the block around it, or next before it, and the
 * stacks of who allocated and freed that. False, with nothing written: nothing is known. */
bool kiln_explain_block(int fd, const void *address);

/* kiln_explain_stack writes the frames of an event, from the program's call on. */
void kiln_explain_stack(int fd, const kiln_blocks_event_t *event);

#endif
