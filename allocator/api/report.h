/* report.h - tells what a program did wrong, then ends it.
 *
 *   ==4711==ERROR: Kiln: double-free on 0xc000100040 (a block of 64 bytes)
 *       free was given a block that had been freed before: free every block once.
 *   SUMMARY: Kiln: double-free
 *
 * The shape is AddressSanitizer's, so that tools which sort crashes find their way.
 *
 * Threads  any.   Memory  none is allocated; no lock is taken that the caller may hold. */
#ifndef KILN_ALLOCATOR_API_REPORT_H
#define KILN_ALLOCATOR_API_REPORT_H

#include "allocator/heap/heap.h"

#include <stddef.h>

/* `call` names the function that got `block`. `align` and `bytes` are what a sized free was told
 * (0, 0 for others). */
_Noreturn void kiln_report_misuse(kiln_misuse_t misuse, const char *call, const void *block,
                                  size_t align, size_t bytes);

/* kiln_report_no_memory ends the program: a throwing operator new has nobody to throw to. */
_Noreturn void kiln_report_no_memory(size_t bytes);

#endif
