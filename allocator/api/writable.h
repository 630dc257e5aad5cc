/* writable.h - may memory be written, and is it the process's alone? As /proc/self/maps says.
 *
 * Memory  none is allocated.   Threads  any; nobody maps or unmaps there meanwhile. */
#ifndef KILN_ALLOCATOR_API_WRITABLE_H
#define KILN_ALLOCATOR_API_WRITABLE_H

#include <stdbool.h>
#include <stddef.h>

/* kiln_writable: false, too, where there is no /proc. */
bool kiln_writable(const void *start, size_t bytes);

#endif
