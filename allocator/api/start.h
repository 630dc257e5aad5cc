/* start.h - how the process heap is laid out on the machine that it finds.
 *
 * How much address space there is, is found by asking for it: a limit may come from ulimit -v, from
 * a container or from a 32-bit machine, and a seccomp filter may forbid the calls that would tell.
 * Let P be the largest power of two that the OS grants:
 *
 *   64 bits, P > 2^39   one reservation of 2^39 bytes; it never has to grow
 *   64 bits, else       blocks of P/16 (1 to 256 MiB); 2^39 or 32 P possible, so that the span
 *                       table's address space stays below P/32
 *   32 bits             blocks of P/16, everything possible
 *
 * Units  bytes. */
#ifndef KILN_ALLOCATOR_API_START_H
#define KILN_ALLOCATOR_API_START_H

#include "allocator/heap/heap.h"

/* kiln_start_config chooses for `os`; it reserves and releases, and leaves nothing behind. The
 * caller may put a recorder, a log and a watcher into what it gets. */
kiln_heap_config_t kiln_start_config(const kiln_os_t *os);

#endif
