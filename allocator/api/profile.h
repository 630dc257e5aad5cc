/* profile.h - which heap the process has: the plain one, or a hardened one (DESIGN.md).
 *
 *   fast      the heap of heap.h
 *   hardened  allocator/harden: blocks lie at random, freed bytes are zeroed
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

/* kiln_profile_config tells what a profile is made of, as the options say; `*out_check_at_end`,
 * whether the heap is to be checked when the process ends. A guard, if there is one, is made on
 * `os`, which counts no limit: its blocks have a bound of their own. False: the heap stays a plain
 * one. */
bool kiln_profile_config(const kiln_options_t *options, const kiln_os_t *os,
                         kiln_harden_config_t *out, bool *out_check_at_end);

/* kiln_profile_explain tells what a fault in the guard's pages was (segv.h). */
bool kiln_profile_explain(kiln_report_t *report);

/* kiln_profile_check_at_end has the heap checked when the process ends. */
void kiln_profile_check_at_end(void);

#endif
