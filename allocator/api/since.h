/* since.h - the blocks that a heap has and had not at a mark (os/rewind.h): what going back takes.
 *
 * Cost     a look at each span; at the slots of those whose records were written to.
 * Threads  none uses the heap meanwhile.   Memory  none. */
#ifndef KILN_ALLOCATOR_API_SINCE_H
#define KILN_ALLOCATOR_API_SINCE_H

#include "allocator/heap/heap.h"
#include "allocator/os/rewind.h"

/* kiln_heap_walk_since shows every live block that was not live at the newest mark of the backend
 * that the heap's records lie on; to be called from a restore's `before`. One that was freed since,
 * and whose slot another block has, is not told from that. */
void kiln_heap_walk_since(const kiln_heap_t *heap, const kiln_os_rewind_t *rewind,
                          void (*visit)(void *ctx, void *block, size_t slot_bytes), void *ctx);

#endif
