/* profile.h - which heap the process has: the plain one, or a hardened one (DESIGN.md).
 *
 *   fast      the heap of heap.h
 *   hardened  allocator/harden: blocks lie at random, and so do heap and records in the address
 *             space; freed bytes are zeroed
 *   fuzz      the same, repeatable: a seed decides; freed and fresh bytes have patterns of their
 *             own, the quarantine is long, stacks are kept, more blocks are guarded, and the heap
 *             is checked when the process ends
 *
 * Threads  kiln_profile_begin runs once, under the start lock; the rest: any. */
#ifndef KILN_ALLOCATOR_API_PROFILE_H
#define KILN_ALLOCATOR_API_PROFILE_H

#include "allocator/api/options.h"
#include "allocator/api/report.h"
#include "allocator/harden/harden.h"
#include "allocator/os/os.h"

/* kiln_profile_draw_seed sets the seed where the options name none: drawn, or 0 where all is to be
 * repeatable. Once, before the other functions. */
void kiln_profile_draw_seed(kiln_options_t *options);

/* kiln_profile_os gives the OS on which the heap is made: `os`, or with profile=hardened one above
 * it that gives memory at drawn addresses. A record of a run (kiln replay) has it as it is. */
const kiln_os_t *kiln_profile_os(const kiln_options_t *options, const kiln_os_t *os);

/* kiln_profile_config tells what a profile is made of, as the options say; `*out_check_at_end`,
 * whether the heap is to be checked when the process ends. A guard, if there is one, is made on
 * `os`, which counts no limit: its blocks have a bound of their own. The heap grows by
 * `block_bytes` of address space, as much as there is (start.h), and guarded blocks have as much.
 * False: the heap stays a plain one. */
bool kiln_profile_config(const kiln_options_t *options, const kiln_os_t *os, uint64_t block_bytes,
                         kiln_harden_config_t *out, bool *out_check_at_end);

/* kiln_profile_explain tells what a fault in the guard's pages was (segv.h). */
bool kiln_profile_explain(kiln_report_t *report);

/* kiln_profile_ruined reports that a record of the heap, at that address, is ruined. */
void kiln_profile_ruined(uintptr_t record);

/* kiln_profile_check_at_end has the heap checked when the process ends. */
void kiln_profile_check_at_end(void);

#endif
