/* blocks.h - who allocated a block, and who freed it: for watchers whose tool cannot say.
 *
 * One record a block address, which the next block there takes over, so that a freed block is known
 * until its place is used again. Records lie in a table of their own that grows, in pages of the
 * kernel's, which are zeroed and gone when it has moved: who searches memory for addresses of
 * blocks finds none there. Where there is no memory, a block is not recorded.
 *
 * Stacks follow frame pointers, as far as they lead on inside the thread's stack.
 *
 * Threads  any; a lock is taken, which a fork in another thread does not leave behind. */
#ifndef KILN_SANITIZER_BLOCKS_H
#define KILN_SANITIZER_BLOCKS_H

#include "allocator/base/units.h"

#include <stdbool.h>
#include <stddef.h>

enum { KILN_BLOCKS_FRAMES_MAX = 16 };

typedef struct kiln_blocks_event {
    uint32_t thread; /* as the system numbers it; 0: it did not happen */
    uint32_t count;
    uintptr_t pcs[KILN_BLOCKS_FRAMES_MAX]; /* return addresses, the innermost first */
} kiln_blocks_event_t;

typedef struct kiln_blocks_record {
    kiln_addr_t block; /* 0: an empty place of the table */
    uint64_t bytes, slot_bytes;
    uint64_t number; /* of the alloc, among all */
    kiln_blocks_event_t alloc, free;
} kiln_blocks_record_t;

void kiln_blocks_alloc(kiln_addr_t block, uint64_t bytes, uint64_t slot_bytes);
void kiln_blocks_free(kiln_addr_t block);

/* kiln_blocks_bytes gives how many bytes the live block at `block` was asked for with; 0 where that
 * is not known. */
uint64_t kiln_blocks_bytes(kiln_addr_t block);

/* kiln_blocks_at copies the record of the last block in whose slot `address` lies. False: there is
 * none, or the table is locked: a report may come from anywhere. */
bool kiln_blocks_at(kiln_addr_t address, kiln_blocks_record_t *out);

/* kiln_blocks_hold gives the table itself, `*out_max` places, which nobody changes before
 * kiln_blocks_let_go. NULL: it is empty, and not held. */
const kiln_blocks_record_t *kiln_blocks_hold(size_t *out_max);
void kiln_blocks_let_go(void);

/* kiln_blocks_drop forgets what lies in a range. */
void kiln_blocks_drop(kiln_addr_t addr, uint64_t bytes);

#endif
