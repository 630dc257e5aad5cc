/* os_sleeper.h - a thread that sleeps on a lock until it is woken.
 *
 * Threads  the caller, and one that is gone when the call returns.   Memory  a thread's. */
#ifndef KILN_FUZZ_OS_SLEEPER_H
#define KILN_FUZZ_OS_SLEEPER_H

#include "allocator/base/lock.h"

#include <stdbool.h>

/* kiln_os_sleeper_wakes: a thread that sleeps on a held lock is woken when the lock is released.
 * True also where no thread can be had. False is said after 20 s, and the thread is left behind. */
bool kiln_os_sleeper_wakes(const kiln_parker_t *parker);

#endif
