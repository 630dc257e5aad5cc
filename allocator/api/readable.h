/* readable.h - reads of memory that may not be there.
 *
 * A report walks stacks that the program may have ruined. A word is read directly where it lies in
 * a range that is known to be mapped; elsewhere the kernel is asked first, by a call of sigprocmask
 * that changes nothing: it looks at the address before it looks at what it is to do.
 *
 * Threads  any.   Another thread that unmaps the memory meanwhile can still make a read fault. */
#ifndef KILN_ALLOCATOR_API_READABLE_H
#define KILN_ALLOCATOR_API_READABLE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct kiln_readable {
    uintptr_t start, end; /* known to be mapped; both 0: nothing is known */
    bool may_ask;         /* about the rest; else it is not read */
} kiln_readable_t;

/* kiln_readable_word gives the word at `address`, or false: it cannot be read, or is not aligned.
 */
bool kiln_readable_word(const kiln_readable_t *known, uintptr_t address, uintptr_t *out);

#endif
