/* explain.h - words about blocks (blocks.h), for watchers whose tool has none: symbols come from
 * the runtime of the sanitizer.
 *
 * Threads  any.   Nothing of Kiln's is allocated or waited for: a report may come from anywhere. */
#ifndef KILN_SANITIZER_EXPLAIN_H
#define KILN_SANITIZER_EXPLAIN_H

#include "sanitizer/blocks.h"

/* kiln_explain_block writes where `address` lies in the block around it, or next before it, and the
 * stacks of who allocated and freed that. False, with nothing written: nothing is known. */
bool kiln_explain_block(int fd, const void *address);

/* kiln_explain_stack writes the frames of an event, from the program's call on. */
void kiln_explain_stack(int fd, const kiln_blocks_event_t *event);

#endif
