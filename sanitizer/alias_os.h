/* alias_os.h - a backend whose heap memory is there once for each tag of an address (tag.h): what
 * is written by one of its addresses is read by all others that differ in the tag alone.
 *
 * The memory lies in one range of address space, by tag 0; the range and its aliases must be free,
 * or mapped without access. Memory for records has no aliases, and what `direct` gives lies
 * anywhere. A kernel keeps a mapping an alias of each commit: what goes back to it and is committed
 * again in small pieces costs many.
 *
 * Memory is shared with the child of a fork: to give it a copy is not possible.
 *
 * Threads  any.   Owner  `inner` outlives it. It is one for the process. */
#ifndef KILN_SANITIZER_ALIAS_OS_H
#define KILN_SANITIZER_ALIAS_OS_H

#include "allocator/base/tag.h"
#include "allocator/os/os.h"

/* kiln_alias_os gives the backend above `inner`, with heap in the `bytes` from `start` on, of which
 * each reservation takes half at most. The first call makes it; later ones give the same. */
const kiln_os_t *kiln_alias_os(const kiln_os_t *inner, kiln_tags_t tags, kiln_addr_t start,
                               uint64_t bytes);

#endif
