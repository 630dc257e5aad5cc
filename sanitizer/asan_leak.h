/* asan_leak.h - blocks of watched heaps that the program has lost, said in LeakSanitizer's words.
 *
 * LeakSanitizer knows the blocks of its own allocator alone, and has no interface for another's. So
 * this looks for Kiln's when the process ends, after the program's handlers of exit and before
 * LeakSanitizer does, with its options detect_leaks and exitcode, and its exit status. What it
 * reports LeakSanitizer's own report follows, if there are leaks of the system's malloc as well.
 *
 * A block is reached by a word in a private page, a register or a block that is reached, if that
 * word is not poisoned: so not by one in a freed block of either malloc, nor by the heaps' records.
 *
 * Limits   A live block of the system's malloc reaches, even where it is itself lost, and then
 *          reported. Suppressions, __lsan_disable, __lsan_ignore_object and __lsan_is_turned_off
 *          are not known here; nor is what __lsan_do_leak_check asks for in between: call
 *          kiln_watch_leaks then. A block that nobody has a record of (blocks.h) is not looked at.
 *
 * Threads  one check at a time; all others are stopped meanwhile. */
#ifndef KILN_SANITIZER_ASAN_LEAK_H
#define KILN_SANITIZER_ASAN_LEAK_H

#include <stddef.h>

/* kiln_watch_leaks looks now, reports on standard error, and gives how many blocks are lost. 0 as
 * well, with a line that says why, where it cannot look: without /proc, or without ptrace where
 * there are other threads. */
size_t kiln_watch_leaks(void);

/* kiln_asan_leaks_at_end has it done when the process ends. Called once, by a constructor of the
 * watcher's. */
void kiln_asan_leaks_at_end(void);

#endif
