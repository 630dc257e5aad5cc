/* own_memory.h - memset, memcpy and memmove of a heap that a tool watches.
 *
 * The runtimes of ASan, TSan and HWASan put functions of their own in the place of these three,
 * which judge what they are given. What the heap does to its own records is not theirs to judge:
 * for ASan they are poisoned, and TSan does not see the locks that order it. So the heap's files,
 * which are compiled without the tool, are compiled with this header in front: what they call, and
 * what the compiler calls for an assignment or a clearing loop, are the functions below. (LLVM's
 * own runtimes do the same to themselves.)
 *
 * Where a tool is to see what the heap does to a block, the watcher says so: publish.h. */
#ifndef KILN_SANITIZER_OWN_MEMORY_H
#define KILN_SANITIZER_OWN_MEMORY_H

#include <stddef.h>

__asm__(".set memset, kiln_own_memset\n"
        ".set memcpy, kiln_own_memmove\n"
        ".set memmove, kiln_own_memmove\n");

/* As in C. Any thread. */
void *kiln_own_memset(void *to, int byte, size_t bytes);
void *kiln_own_memmove(void *to, const void *from, size_t bytes);

#endif
