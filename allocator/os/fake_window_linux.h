/* fake_window_linux.h - real memory for the fake OS with bytes.
 *
 * A window is one stretch of address space that the test maps once. What the fake's model calls
 * Ready is readable and writable; with `enforce` everything else faults when touched, at the price
 * of a system call for every change of state. Without it, changes cost no system call: bytes that
 * were used before are set to zero when they become Ready again.
 *
 * Lock    the fake's.   Errors  kiln_os_window_open answers false. */
#ifndef KILN_ALLOCATOR_OS_FAKE_WINDOW_LINUX_H
#define KILN_ALLOCATOR_OS_FAKE_WINDOW_LINUX_H

#include "allocator/os/fake.h"

enum { KILN_OS_WINDOW_USED_MAX = 512 };

typedef struct kiln_os_window {
    kiln_os_fake_memory_t memory; /* for kiln_os_fake_config_use_memory */
    kiln_addr_t mapped;           /* what the kernel gave, a little larger than the window */
    uint64_t mapped_bytes;
    kiln_ranges_t used; /* bytes that may not be zero; survives resets of the fake */
    bool may_swap;
    uint64_t clean_pages; /* so many were looked at that were zero already */
    kiln_os_range_t used_items[KILN_OS_WINDOW_USED_MAX];
} kiln_os_window_t;

/* kiln_os_window_open maps `bytes` at a multiple of `align_bytes` (a power of two, at least the
 * real hardware page), at `hint` if that is free. The struct must not move afterwards. */
bool kiln_os_window_open(kiln_os_window_t *window, kiln_addr_t hint, uint64_t bytes,
                         uint64_t align_bytes, bool enforce);
void kiln_os_window_close(kiln_os_window_t *window);

#endif
