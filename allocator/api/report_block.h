/* report_block.h - what is known of a block, as a report says it.
 *
 * The heap's records may be ruined: what they say is kept within what they are, but where a
 * record's address was overwritten, or what says of which size its slots are, reading it may fault.
 * A report sees to that (report.h).
 *
 * Threads  any. No lock is taken.   Memory  none is allocated. */
#ifndef KILN_ALLOCATOR_API_REPORT_BLOCK_H
#define KILN_ALLOCATOR_API_REPORT_BLOCK_H

#include "allocator/api/report.h"
#include "allocator/harden/harden.h"

/* kiln_report_block_of tells what a heap, and the hardened one on it where `hardened` is not NULL,
 * knows of the block at or around `address`, whatever that is. */
kiln_report_block_t kiln_report_block_of(kiln_heap_t *heap, const kiln_harden_t *hardened,
                                         uintptr_t address);

/* kiln_report_block_fill takes over what a hardened heap knows of a block. `keeps_who`: it keeps
 * who allocated it. */
void kiln_report_block_fill(kiln_report_block_t *block, const kiln_harden_about_t *about,
                            bool keeps_who);

#endif
