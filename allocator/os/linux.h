/* linux.h - the backend that is Linux.
 *
 * It runs inside malloc: before constructors, in threads that are about to end, in programs without
 * libc, and where a seccomp filter allows nothing but mmap, munmap, mremap, mprotect, madvise,
 * getrandom and futex. So it makes raw system calls, only those, keeps no state and never touches
 * errno. /proc need not be there.
 *
 * Reserved memory is a PROT_NONE mapping that counts for `ulimit -v` but not as memory. Commit
 * opens it with mprotect: neighbours merge, so a heap that grows stays a handful of mappings. At
 * the limit of mappings (vm.max_map_count) commit, protect and reserve are refused; what cannot be
 * refused gives its memory back in any case, and at worst keeps the address space. Guarded pages
 * are those of MADV_GUARD_INSTALL, from Linux 6.13 on; an older kernel refuses them.
 *
 * Threads  any, at any time. */
#ifndef KILN_ALLOCATOR_OS_LINUX_H
#define KILN_ALLOCATOR_OS_LINUX_H

#include "allocator/os/os.h"

/* kiln_os_linux_init fills `*os`. `phys_bytes` is the machine's hardware page: 0 means 4096, which
 * is right on x86; elsewhere the caller knows it (getauxval(AT_PAGESZ)). */
void kiln_os_linux_init(kiln_os_t *os, uint64_t phys_bytes);

#endif
