/* unwind.h - from a function's registers to its caller's, by the tables that compilers leave for
 * exceptions (.eh_frame), and by the frame pointer where there is no table.
 *
 * libgcc has such a walker, but it reads a ruined stack as if it were whole, and faults; this one
 * reads through kiln_readable_word, gives up where something does not fit, and neither allocates
 * nor locks. It knows what compilers emit for x86: every rule and the operators of expressions that
 * signal frames, lazy binding and realigned stacks use.
 *
 * Threads  one walk at a time: the report lock. (Static memory: a handler's stack is small.) */
#ifndef KILN_ALLOCATOR_API_UNWIND_H
#define KILN_ALLOCATOR_API_UNWIND_H

#include "allocator/api/readable.h"

#include <stdbool.h>
#include <stdint.h>

/* Numbers of registers, as the ABI's tables have them. */
enum {
#if defined(__x86_64__)
    KILN_UNWIND_BP = 6,
    KILN_UNWIND_SP = 7,
    KILN_UNWIND_PC = 16,
    KILN_UNWIND_REGISTERS = 17,
#else
    KILN_UNWIND_SP = 4,
    KILN_UNWIND_BP = 5,
    KILN_UNWIND_PC = 8,
    KILN_UNWIND_REGISTERS = 9,
#endif
};

typedef struct kiln_unwind {
    uintptr_t registers[KILN_UNWIND_REGISTERS];
    bool exact; /* the pc is of an instruction that is being executed, not a return address */
} kiln_unwind_t;

/* kiln_unwind_here fills `*out` with the registers of the function that calls it. */
#if defined(__x86_64__)
static inline __attribute__((always_inline)) void kiln_unwind_here(kiln_unwind_t *out)
{
    uintptr_t *to = out->registers;
    __asm__ volatile("movq %%rbx, 24(%0)\n\tmovq %%rbp, 48(%0)\n\tmovq %%rsp, 56(%0)\n\t"
                     "movq %%r12, 96(%0)\n\tmovq %%r13, 104(%0)\n\tmovq %%r14, 112(%0)\n\t"
                     "movq %%r15, 120(%0)\n\tleaq (%%rip), %%rax\n\tmovq %%rax, 128(%0)"
                     :
                     : "r"(to)
                     : "rax", "memory");
    out->exact = true;
}
#elif defined(__i386__)
static inline __attribute__((always_inline)) void kiln_unwind_here(kiln_unwind_t *out)
{
    uintptr_t *to = out->registers;
    __asm__ volatile("movl %%ebx, 12(%0)\n\tmovl %%esp, 16(%0)\n\tmovl %%ebp, 20(%0)\n\t"
                     "movl %%esi, 24(%0)\n\tmovl %%edi, 28(%0)\n\tcall 1f\n1:\tpopl %%eax\n\t"
                     "movl %%eax, 32(%0)"
                     :
                     : "r"(to)
                     : "eax", "memory");
    out->exact = true;
}
#endif

/* kiln_unwind_step goes to the caller. False: there is none, or it cannot be told; then `*frame` is
 * as it was. */
bool kiln_unwind_step(kiln_unwind_t *frame, const kiln_readable_t *stack);

#endif
