/* segv.h - SIGSEGV and SIGBUS at an address of the heap become reports.
 *
 * Everything else is the program's, as if Kiln were not there: sigaction and signal are Kiln's
 * names, so that a program which asks finds its own handler, or the default, and one that sets a
 * handler sets it behind Kiln's. (A program that makes the system call itself replaces Kiln's.)
 *
 *   fault --> of the heap: a report, and the end
 *         --> else: the program's handler, with the same arguments, mask, flags and stack; or the
 *             default action, on the instruction that faulted
 *
 * A live block's own bytes are the program's: who protects such pages wants the fault.
 *
 * Kiln's handler runs on the program's alternate stack where there is one, and needs 6 KiB of it.
 *
 * Threads  any. */
#ifndef KILN_ALLOCATOR_API_SEGV_H
#define KILN_ALLOCATOR_API_SEGV_H

#include "allocator/api/report.h"

#include <stdbool.h>

/* kiln_segv_begin sets the handlers that the options allow. Again is allowed. Where nobody asked
 * for that there is kiln_segv_begin_later: a seccomp filter may kill for rt_sigaction, and no call
 * tells whether it would. So the same is done when sigaction or signal has succeeded for the
 * program. The options must stay. */
void kiln_segv_begin(const kiln_report_options_t *options);
void kiln_segv_begin_later(const kiln_report_options_t *options);

/* kiln_segv_fork_child goes first in the child of a fork. */
void kiln_segv_fork_child(void);

/* A detector that protects memory sets this before it does: it fills in kind and block of
 * `*report`, whose address and access are there, or answers false: the fault is not of its making.
 * It takes no lock and does not fault. */
typedef bool kiln_segv_explain_t(kiln_report_t *report);
extern kiln_segv_explain_t *kiln_segv_explain;

/* kiln_segv_during_report makes every fault from now on call `*handler`: the process is about to
 * end. */
void kiln_segv_during_report(void (*handler)(int number));

#endif
