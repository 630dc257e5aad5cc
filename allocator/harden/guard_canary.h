/* guard_canary.h - the slack of a guarded block: the bytes of its pages that are not its own.
 *
 *     data           start             end            data_end
 *      | 0000 .. 0000 #### block bytes  ####### .. #### |
 *        still zero   near: canary      all canary
 *
 * Behind the block all of the slack is canary. In front of it only the nearest
 * KILN_GUARD_NEAR_BYTES are: the bytes before those came from the system as zeros, must still be
 * zero, and need not be written. No canary byte is 0, or a character that texts are made of.
 *
 * Threads  a block's slack belongs to whoever holds the guard's lock. */
#ifndef KILN_ALLOCATOR_HARDEN_GUARD_CANARY_H
#define KILN_ALLOCATOR_HARDEN_GUARD_CANARY_H

#include <stdbool.h>
#include <stdint.h>

enum { KILN_GUARD_NEAR_BYTES = 64 };

typedef struct kiln_guard_slack {
    uintptr_t data, data_end; /* whole pages, Ready */
    uintptr_t start, end;     /* the block */
    uint64_t key;             /* what its canary bytes are made from */
} kiln_guard_slack_t;

void kiln_guard_slack_fill(const kiln_guard_slack_t *slack);

/* kiln_guard_slack_above gives the first address behind the block that is not as it was filled, and
 * kiln_guard_slack_below the last one in front of it. False: there is none. */
bool kiln_guard_slack_above(const kiln_guard_slack_t *slack, uintptr_t *out_address);
bool kiln_guard_slack_below(const kiln_guard_slack_t *slack, uintptr_t *out_address);

#endif
