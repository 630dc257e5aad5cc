/* model.h - the contract of os.h as a state machine: what every page is, and which call may come.
 *
 * The fake OS answers from it and the check backend compares with it, so both stop the program by
 * the same names. A rule function looks at one call and names the rule that its caller breaks, or
 * returns NULL; it changes nothing.
 *
 * Lock    the caller's.   Memory  the array of ranges is the caller's. */
#ifndef KILN_ALLOCATOR_OS_MODEL_H
#define KILN_ALLOCATOR_OS_MODEL_H

#include "allocator/os/os.h"
#include "allocator/os/ranges.h"

/* The calls of os.h, for counters and plans. */
typedef enum kiln_os_call {
    KILN_OS_CALL_RESERVE,
    KILN_OS_CALL_COMMIT,
    KILN_OS_CALL_PROTECT,
    KILN_OS_CALL_DIRECT,
    KILN_OS_CALL_GUARD, /* the calls up to here can be refused */
    KILN_OS_CALL_DISCARD,
    KILN_OS_CALL_DECOMMIT,
    KILN_OS_CALL_RELEASE,
    KILN_OS_CALL_HUGE,
    KILN_OS_CALLS, /* how many */
} kiln_os_call_t;

enum { KILN_OS_CALLS_REFUSABLE = (1u << (KILN_OS_CALL_GUARD + 1)) - 1 }; /* as a bit set */

#define KILN_OS_RULE_EMPTY "os: the size of a call is not zero"
#define KILN_OS_RULE_ALIGN "os: addresses and sizes are multiples of phys_bytes"
#define KILN_OS_RULE_SPACE "os: a range lies in the address space"
#define KILN_OS_RULE_COMMIT "os: commit takes Reserved or Prepared memory"
#define KILN_OS_RULE_RECOMMIT "os: commit does not take Ready memory"
#define KILN_OS_RULE_CLOBBER "os: commit does not replace somebody else's memory"
#define KILN_OS_RULE_FLAG "os: commit as unreserved does not take memory that is ours"
#define KILN_OS_RULE_DISCARD "os: discard takes Ready memory"
#define KILN_OS_RULE_DECOMMIT "os: decommit takes Ready, Prepared or Guarded memory"
#define KILN_OS_RULE_PROTECT "os: protect takes Ready memory"
#define KILN_OS_RULE_GUARD "os: guard takes memory that is Guarded, or Ready and writable"
#define KILN_OS_RULE_HUGE "os: huge takes Ready memory; what takes it back, memory that is ours"
#define KILN_OS_RULE_RELEASE "os: release takes what reserve or direct gave"
#define KILN_OS_RULE_FULL "os model: the array of ranges is large enough"

typedef struct kiln_os_model {
    kiln_ranges_t ranges;
    uint64_t phys_bytes;
    uint64_t mask;                        /* highest address */
    uint64_t state_bytes[KILN_OS_STATES]; /* how much is in each state; NONE is not counted */
} kiln_os_model_t;

void kiln_os_model_init(kiln_os_model_t *model, kiln_os_range_t *items, unsigned items_max,
                        uint64_t phys_bytes, unsigned addr_bits);

/* kiln_os_model_rule names the rule that a call on [addr, addr+bytes) breaks, or returns NULL.
 * `reserved` is commit's argument, or what huge calls `on`. Not for reserve and direct, which name
 * no range. */
const char *kiln_os_model_rule(const kiln_os_model_t *model, kiln_os_call_t call, kiln_addr_t addr,
                               uint64_t bytes, bool reserved);

/* kiln_os_model_range_rule is the part of it that looks at the arguments alone. A release may have
 * any size: it is rounded up to whole pages. */
const char *kiln_os_model_range_rule(const kiln_os_model_t *model, kiln_os_call_t call,
                                     kiln_addr_t addr, uint64_t bytes);

/* kiln_os_model_set records that [addr, addr+bytes), which is not empty and does not pass the mask,
 * has the tag from now on. False, with nothing changed: the array is full. */
bool kiln_os_model_set(kiln_os_model_t *model, kiln_addr_t addr, uint64_t bytes, kiln_os_tag_t tag);

/* kiln_os_model_place records what the world did there by itself, without a call: somebody else
 * maps (KILN_OS_FOREIGN), or it is free (KILN_OS_NONE). What had been answered as unreserved is so
 * again when he who mapped it unmaps it. False: the array is full, and a part may be recorded. */
bool kiln_os_model_place(kiln_os_model_t *model, kiln_addr_t addr, uint64_t bytes,
                         kiln_os_state_t state);

/* kiln_os_model_grant records the answer of a reserve or direct. */
bool kiln_os_model_grant(kiln_os_model_t *model, kiln_addr_t addr, uint64_t bytes,
                         kiln_os_state_t state, kiln_os_use_t use);

/* kiln_os_model_do records a call that was granted: commit, discard, decommit, protect, guard,
 * release. `access` is protect's argument, and what a guard leaves: NO_ACCESS for on; `use` is
 * commit's. */
bool kiln_os_model_do(kiln_os_model_t *model, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                      kiln_os_use_t use, kiln_os_access_t access);

/* kiln_os_model_tag gives what the page of `addr` is. */
kiln_os_tag_t kiln_os_model_tag(const kiln_os_model_t *model, kiln_addr_t addr);

/* kiln_os_model_next gives the next range that is ours, or NULL; `*io_idx` starts at 0. */
const kiln_os_range_t *kiln_os_model_next(const kiln_os_model_t *model, unsigned *io_idx);

const char *kiln_os_model_broken_rule(const kiln_os_model_t *model);

#endif
