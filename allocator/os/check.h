/* check.h - stands above any backend and stops the program when either side breaks os.h.
 *
 * The caller's side by the rules of model.h; the backend's answers by those below. It keeps its own
 * record of every range, so the two sides are judged by a third.
 *
 * Lock    the caller's.   Memory  the array of ranges is the caller's. */
#ifndef KILN_ALLOCATOR_OS_CHECK_H
#define KILN_ALLOCATOR_OS_CHECK_H

#include "allocator/os/model.h"
#include "allocator/os/os.h"

#define KILN_OS_RULE_ANSWER_ALIGN "os: an answer is a multiple of phys_bytes"
#define KILN_OS_RULE_ANSWER_SPACE "os: an answer lies in the address space"
#define KILN_OS_RULE_ANSWER_OURS "os: an answer is not memory that is ours already"
#define KILN_OS_RULE_ANSWER_EMPTY "os: an empty request is refused"
#define KILN_OS_RULE_ANSWER_ELSEWHERE "os: commit of reserved memory does not land elsewhere"
#define KILN_OS_RULE_ANSWER_TAKEN "os: commit as unreserved does not replace memory that is ours"
#define KILN_OS_RULE_ANSWER_ZERO "os: memory that becomes Ready reads as zero"

typedef struct kiln_os_check {
    kiln_os_t os; /* what the arena or heap is given */
    const kiln_os_t *inner;
    kiln_os_model_t model;
    bool look; /* addresses are pointers: look whether what becomes Ready is zero */
} kiln_os_check_t;

/* kiln_os_check_init makes a checker of `inner`, which outlives it, as `ranges` does. `look`: see
 * above. */
void kiln_os_check_init(kiln_os_check_t *check, const kiln_os_t *inner, kiln_os_range_t *ranges,
                        unsigned ranges_max, bool look);

/* kiln_os_check_next: as kiln_os_fake_next, for a check of leaks. */
const kiln_os_range_t *kiln_os_check_next(const kiln_os_check_t *check, unsigned *io_idx);

#endif
