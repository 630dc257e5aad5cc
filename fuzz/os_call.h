/* os_call.h - one call of os_fuzz: made, refused by the fault backend, or stopped at a lie.
 *
 * Threads  one.   Memory  none is allocated. */
#ifndef KILN_FUZZ_OS_CALL_H
#define KILN_FUZZ_OS_CALL_H

#include "fuzz/os_world.h"

enum { KILN_OS_PLAN_BYTES = 8 };

/* What the fault backend is told, and what is expected of it: fault.h, counted once more. */
typedef enum kiln_os_fault_mode {
    KILN_OS_FAULT_NONE,
    KILN_OS_FAULT_BY_PLAN,
    KILN_OS_FAULT_ONCE,
    KILN_OS_FAULT_EVER_AFTER,
    KILN_OS_FAULT_MODES, /* how many */
} kiln_os_fault_mode_t;

typedef struct kiln_os_faults {
    unsigned mode; /* kiln_os_fault_mode_t */
    uint64_t nth;  /* of ONCE and EVER_AFTER, from 1 */
    uint8_t plan[KILN_OS_PLAN_BYTES];
    uint64_t calls; /* that could be refused, so far */
} kiln_os_faults_t;

/* A call, its arguments and its answers. */
typedef struct kiln_os_step {
    kiln_os_call_t call;
    kiln_addr_t addr; /* reserve: the hint */
    uint64_t bytes;
    bool reserved, on;
    kiln_os_use_t use;
    kiln_os_access_t access;
    kiln_addr_t got;
    bool done, got_reserved;
    kiln_os_answer_t answer;
} kiln_os_step_t;

typedef enum kiln_os_outcome {
    KILN_OS_OUTCOME_MADE,    /* whatever the answer */
    KILN_OS_OUTCOME_REFUSED, /* by the fault backend */
    KILN_OS_OUTCOME_LIE,     /* the check backend stopped at it, as it should */
} kiln_os_outcome_t;

/* kiln_os_faults_set tells the fault backend; `faults` outlives it. */
void kiln_os_faults_set(const kiln_os_faults_t *faults, kiln_os_fault_t *fault);

bool kiln_os_call_is_refusable(kiln_os_call_t call);

/* kiln_os_step_make makes the call, and judges what the backends above the bottom made of it. */
kiln_os_outcome_t kiln_os_step_make(kiln_os_step_t *step, kiln_os_world_t *world,
                                    kiln_os_faults_t *faults);

#endif
