/* world.h - the other threads of the process, stopped for a while.
 *
 * A child that shares the process's memory, and is no thread of it, stops every other thread with
 * ptrace, looks, and lets them go, as LeakSanitizer does it. The caller waits. A process of one
 * thread needs no ptrace. Neither fork handlers, SIGCHLD nor wait() of the program see the child.
 *
 * Signals  the caller has blocked them all, so that no handler of the program runs in the child.
 * Threads  one caller at a time. It holds whatever locks `look` relies on.
 * Memory   none is allocated; the child's stack is in [kiln_world_stack, .. + BYTES). */
#ifndef KILN_ALLOCATOR_API_WORLD_H
#define KILN_ALLOCATOR_API_WORLD_H

#include <stddef.h>
#include <stdint.h>

enum { KILN_WORLD_STACK_BYTES = 256 << 10 };

extern unsigned char kiln_world_stack[KILN_WORLD_STACK_BYTES];

/* What the child is told, in this order, once all are stopped: `begin`; `registers` with those of
 * each stopped thread; `look`. They run on the child's stack, with the caller's thread-local
 * variables, so that the caller's own stack stays as it was. */
typedef struct kiln_world_visit {
    void *ctx;
    const char *(*begin)(void *ctx); /* NULL, or why not to go on */
    void (*registers)(void *ctx, const void *registers, size_t bytes);
    void (*look)(void *ctx);
} kiln_world_visit_t;

/* kiln_world_stop gives NULL when it was done, or why not; then nothing was looked at. */
const char *kiln_world_stop(const kiln_world_visit_t *visit);

#endif
