/* leak.h - blocks that the program has lost: see kiln_check_leaks in kiln.h.
 *
 * Roots are all memory that the process can write and that Kiln did not map for itself (roots.h),
 * and the registers of all threads (world.h); harden/reach.h marks from them. The report is made
 * after the other threads go on.
 *
 * Threads  one check at a time; others wait. */
#ifndef KILN_ALLOCATOR_API_LEAK_H
#define KILN_ALLOCATOR_API_LEAK_H

/* kiln_leak_check_at_end has it done when the process ends, after the program's destructors. */
void kiln_leak_check_at_end(void);

void kiln_leak_fork_child(void);

#endif
