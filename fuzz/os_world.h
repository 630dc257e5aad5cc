/* os_world.h - the backends that os_fuzz drives: one at the bottom, and what stands above it.
 *
 *   check      judges both sides (allocator/os/check.h)
 *   fault      refuses calls by a plan (allocator/os/fault.h)
 *   spy        counts what still arrives, and tells a lie when it is asked to
 *   Linux, or a fake: numbers of 32 or 64 bits, bytes, or bytes that fault unless Ready
 *
 * Threads  one.   Memory  static; windows are opened once a process and kept. */
#ifndef KILN_FUZZ_OS_WORLD_H
#define KILN_FUZZ_OS_WORLD_H

#include "allocator/os/check.h"
#include "allocator/os/fake.h"
#include "allocator/os/fake_window_linux.h"
#include "allocator/os/fault.h"

enum { KILN_OS_WORLD_RANGES_MAX = 1024 };

typedef enum kiln_os_form {
    KILN_OS_FORM_LINUX,
    KILN_OS_FORM_NUMBERS_32,
    KILN_OS_FORM_NUMBERS_64,
    KILN_OS_FORM_BYTES,
    KILN_OS_FORM_ENFORCED,
    KILN_OS_FORMS, /* how many */
} kiln_os_form_t;

/* What the OS says against its contract, once: the next call to which it fits. */
typedef enum kiln_os_lie {
    KILN_OS_LIE_NONE,
    KILN_OS_LIE_OURS,      /* reserve or direct: lie_addr, which is ours */
    KILN_OS_LIE_ALIGN,     /* an address within a page */
    KILN_OS_LIE_SPACE,     /* the answer ends beyond the address space */
    KILN_OS_LIE_EMPTY,     /* memory for a request of no bytes */
    KILN_OS_LIE_ELSEWHERE, /* commit of reserved memory */
    KILN_OS_LIE_ZERO,      /* what became Ready has a byte in it */
    KILN_OS_LIES,          /* how many */
} kiln_os_lie_t;

typedef struct kiln_os_world {
    const kiln_os_t *os; /* what the target calls */
    kiln_os_form_t form;
    bool bytes;    /* addresses are pointers */
    bool enforced; /* what is not Ready faults */
    bool guards;   /* guard is granted */

    kiln_os_t bottom, spy;
    kiln_os_fake_t fake;
    kiln_os_fault_t fault;
    kiln_os_check_t check;
    uint64_t reached; /* calls that came to the spy */
    kiln_os_lie_t lie;
    kiln_addr_t lie_addr;
    kiln_addr_t orphan; /* what a lie hid: the fake's, and nobody's; 0: none */
    uint64_t orphan_bytes;
    kiln_os_range_t fake_ranges[KILN_OS_WORLD_RANGES_MAX], check_ranges[KILN_OS_WORLD_RANGES_MAX];
} kiln_os_world_t;

/* kiln_os_world_init makes a machine with nothing mapped. Page, policy, seed and from which size on
 * a reserve is unreserved (0: never) are the fake's. */
void kiln_os_world_init(kiln_os_world_t *world, kiln_os_form_t form, uint64_t phys_bytes,
                        kiln_os_fake_place_t policy, uint64_t seed, uint64_t unreserved_bytes);

/* kiln_os_world_sandbox gives addresses of this process at which nothing is mapped, as long as
 * nobody asks for them: the same ones until the process ends. */
kiln_addr_t kiln_os_world_sandbox(void);

/* Memory of somebody else, which keeps its bytes. False: the fake has no room for it. */
bool kiln_os_world_occupy(kiln_os_world_t *world, kiln_addr_t addr);
void kiln_os_world_vacate(kiln_os_world_t *world, kiln_addr_t addr);
bool kiln_os_world_untouched(const kiln_os_world_t *world, kiln_addr_t addr);

#endif
