/* written_linux.h - Linux follows writes to private anonymous memory: userfaultfd's write
 * protection, which the kernel lifts itself at the first write to a page, and the scan of page
 * tables that tells where it did (both together from Linux 6.7 on; else, and where a program may
 * not do that, `follow` answers false).
 *
 * It takes two file descriptors. A program that closes or forks loses them: then `list` says so,
 * and the next `follow` opens others. */
#ifndef KILN_ALLOCATOR_OS_WRITTEN_LINUX_H
#define KILN_ALLOCATOR_OS_WRITTEN_LINUX_H

#include "allocator/os/written.h"

typedef struct kiln_os_written_linux {
    kiln_os_written_t written;
    long process; /* whose memory the two tell of; 0: there are none */
    int faults, pagemap;
} kiln_os_written_linux_t;

void kiln_os_written_linux_init(kiln_os_written_linux_t *written);

/* kiln_os_written_linux_fork_child says that this is another process now: one that may have the
 * same id, in a name space of its own, has to. */
void kiln_os_written_linux_fork_child(kiln_os_written_linux_t *written);

#endif
