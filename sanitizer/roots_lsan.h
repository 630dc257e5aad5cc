/* roots_lsan.h - the ranges of watched heaps, as LeakSanitizer's root regions: blocks of the
 * system's malloc that only Kiln's blocks point to are no leaks then.
 *
 * Threads  any; a lock is taken, which a fork in another thread does not leave behind. */
#ifndef KILN_SANITIZER_ROOTS_LSAN_H
#define KILN_SANITIZER_ROOTS_LSAN_H

#include "allocator/base/units.h"

/* kiln_lsan_add: the range has grown. kiln_lsan_drop: all growths that begin in the range retire.
 */
void kiln_lsan_add(kiln_addr_t addr, uint64_t bytes);
void kiln_lsan_drop(kiln_addr_t addr, uint64_t bytes);

#endif
