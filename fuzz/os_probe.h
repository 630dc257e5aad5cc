/* os_probe.h - asks the kernel about a byte, in place of a fault.
 *
 * Threads  one.   Memory  none is allocated; a pipe is opened at the first call, and kept. */
#ifndef KILN_FUZZ_OS_PROBE_H
#define KILN_FUZZ_OS_PROBE_H

#include "allocator/base/units.h"

#include <stdbool.h>

/* Can this byte be read or written? It keeps its value. */
bool kiln_os_probe_reads(kiln_addr_t addr);
bool kiln_os_probe_writes(kiln_addr_t addr);

/* kiln_os_probe_mapped: is anything mapped there, whatever may be done with it? `addr` is a
 * multiple of the hardware page. */
bool kiln_os_probe_mapped(kiln_addr_t addr);

#endif
