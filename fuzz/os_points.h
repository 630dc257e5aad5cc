/* os_points.h - a backend above another, with a point before and after each call at which a logical
 * thread may be left, and a parker that tells of who waits for a lock. It has no huge pages.
 *
 * Lock, owner   those of the inner backend. */
#ifndef KILN_FUZZ_OS_POINTS_H
#define KILN_FUZZ_OS_POINTS_H

#include "allocator/os/os.h"

typedef struct kiln_os_points {
    kiln_os_t os; /* what the heap is given */
    const kiln_os_t *inner;
    void (*point)(void);
} kiln_os_points_t;

void kiln_os_points_init(kiln_os_points_t *points, const kiln_os_t *inner, void (*point)(void),
                         void (*park)(_Atomic uint32_t *word, uint32_t value));

#endif
