/* report_judge.h - is what a report wrote well-formed? For any report, of whatever state.
 *
 *   text   ASCII's control bytes but line ends; begins with a ruler and "==PID==ERROR: TOOL: ",
 * ends with one summary, and "==PID==ABORTING" where the process ends; frames count from 0 JSON RFC
 * 8259, on one line, in UTF-8, and the members of report_json.h in their order
 *
 * Threads  one.   Memory  none. */
#ifndef KILN_FUZZ_REPORT_JUDGE_H
#define KILN_FUZZ_REPORT_JUDGE_H

#include "allocator/api/report.h"

#include <stddef.h>

/* Of one stack, inlined ones included: two functions at an address. */
enum { KILN_JUDGE_FRAMES_MAX = 2 * KILN_STACK_FRAMES_MAX };

/* Each names the first thing that is wrong, or gives NULL. A head is what stands before anything
 * that may fault is done. */
const char *kiln_judge_head(const char *text, size_t bytes, const kiln_report_t *report);
const char *kiln_judge_text(const char *text, size_t bytes, const kiln_report_t *report);
const char *kiln_judge_json(const char *text, size_t bytes);

#endif
