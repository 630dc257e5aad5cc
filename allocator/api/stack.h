/* stack.h - how the program came here.
 *
 *   kiln_stack_capture   at malloc and free: frame pointers, a number for later
 *   kiln_stack_walk      in a report: the compiler's tables, else frame pointers, now
 *
 * Kiln's own frames are cut: a function that programs call says where it returns to
 * (KILN_CALLER), and a stack begins there. A captured stack follows frame pointers as far as they
 * lead on inside the thread's stack, and so never faults; code without them is skipped, at worst
 * all but the caller. Before kiln_stack_thread_begin, and on a stack that the program made itself,
 * it is the caller alone.
 *
 * Threads  any, also in signal handlers, but kiln_stack_walk: one at a time (the report lock). No
 * lock is taken, nothing allocated but by the depot. */
#ifndef KILN_ALLOCATOR_API_STACK_H
#define KILN_ALLOCATOR_API_STACK_H

#include "allocator/api/stack_depot.h"
#include "allocator/api/unwind.h"

#include <stdbool.h>
#include <stdint.h>

/* In a function that programs call: where it returns to. */
#define KILN_CALLER() ((uintptr_t)__builtin_return_address(0))

/* pcs[0] is the innermost; return addresses, but for pcs[0] of a fault. */
typedef struct kiln_stack {
    uintptr_t pcs[KILN_STACK_FRAMES_MAX];
    unsigned count;
    bool exact;       /* pcs[0] is an instruction, not a return address */
    uintptr_t bp, sp; /* of pcs[0]; 0 where unknown */
} kiln_stack_t;

extern kiln_stack_depot_t kiln_stack_depot; /* the process's */

/* kiln_stack_thread_begin learns where this thread's stack lies. It may allocate, for a thread
 * that is not the first one. */
void kiln_stack_thread_begin(void);

/* kiln_stack_bounds gives where this thread's stack lies, or false: it is not known, or the thread
 * is on another. It may allocate. */
bool kiln_stack_bounds(uintptr_t *out_start, uintptr_t *out_end);

/* kiln_stack_enter, in a function that returns to where the program called, spares a capture the
 * search for its frame: a hint, which is looked at before it is followed. */
extern _Thread_local uintptr_t kiln_stack_entry __attribute__((tls_model("initial-exec")));

static inline __attribute__((always_inline)) void kiln_stack_enter(void)
{
    kiln_stack_entry = (uintptr_t)__builtin_frame_address(0);
}

/* kiln_stack_capture keeps the stack of the function that returns to `caller`, of at most
 * `frames_max` frames. 0: it was not kept. */
kiln_stack_id_t kiln_stack_capture(uintptr_t caller, unsigned frames_max);

/* kiln_stack_capture_from is the same where `frame` is the calling function's: the search begins
 * there. */
kiln_stack_id_t kiln_stack_capture_from(uintptr_t frame, uintptr_t caller, unsigned frames_max);

/* kiln_stack_frames gives the frames of a number and their count; 0 for a number that is no
 * stack's, whatever it is: reports ask with what they find in records. */
unsigned kiln_stack_frames(kiln_stack_id_t id, uintptr_t frames[KILN_STACK_FRAMES_MAX]);

/* kiln_stack_walk fills `*out` from `from` on. When `caller` is not 0, frames before the one that
 * is at `caller` are cut; if none is, the stack is `caller` alone, and the answer false. */
bool kiln_stack_walk(const kiln_unwind_t *from, uintptr_t caller, kiln_stack_t *out);

/* kiln_thread_number is 0 for the process's first thread; others count from 1 as they come here. */
uint32_t kiln_thread_number(void);

#endif
