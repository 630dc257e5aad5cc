/* fault.h - makes calls of another backend fail: the n-th, all from the n-th on, or by a plan.
 *
 * Calls that can be refused (reserve, commit, protect, direct, guard) are counted from 1. A call
 * that is due to fail does not reach the inner backend. The loop that it is for:
 *
 *   for (uint64_t n = 1;; n++) {
 *       kiln_os_fault_init(&fault, &inner, n, false);
 *       run(&fault.os);
 *       if (kiln_os_fault_missed(&fault)) break;      the run made fewer than n calls
 *   }
 *
 * Lock, owner   those of the inner backend. */
#ifndef KILN_ALLOCATOR_OS_FAULT_H
#define KILN_ALLOCATOR_OS_FAULT_H

#include "allocator/os/model.h"
#include "allocator/os/os.h"

#include <stddef.h>

typedef struct kiln_os_fault {
    kiln_os_t os; /* what the arena or heap is given */
    const kiln_os_t *inner;
    unsigned calls_set;  /* bit set of 1u << kiln_os_call_t: calls that count and fail */
    uint64_t fail_call;  /* this call fails; 0: none */
    bool ever_after;     /* and all after it */
    const uint8_t *plan; /* bit i % 8 of byte i / 8 set: call i + 1 fails; NULL: no plan */
    size_t plan_bytes;
    uint64_t calls_seen;
    uint64_t faults; /* calls that were made to fail */
} kiln_os_fault_t;

/* kiln_os_fault_init counts all calls that can be refused and fails call `fail_call` (0: none),
 * once or from there on. `inner` outlives it. */
void kiln_os_fault_init(kiln_os_fault_t *fault, const kiln_os_t *inner, uint64_t fail_call,
                        bool ever_after);

/* kiln_os_fault_init_plan fails by a plan instead, which must outlive the fault. */
void kiln_os_fault_init_plan(kiln_os_fault_t *fault, const kiln_os_t *inner, const uint8_t *plan,
                             size_t plan_bytes);

/* kiln_os_fault_missed: a fault was due, and none was delivered. */
bool kiln_os_fault_missed(const kiln_os_fault_t *fault);

#endif
