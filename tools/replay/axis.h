/* axis.h - an address axis that stays readable.
 *
 * Address spaces are mostly empty, and blocks differ in size by a factor of a million. So the axis
 * is cut into bands at every address of interest: a band that something lies in gets a height that
 * grows with the logarithm of its size, and an empty band is a gap of one fixed, small height.
 *
 * Units    y is in pixels, 0 at the top; higher addresses are higher up. `end` is exclusive. */
#ifndef KILN_TOOLS_REPLAY_AXIS_H
#define KILN_TOOLS_REPLAY_AXIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kiln_axis_range {
    uint64_t start, end; /* start == end: an address that gets a place, with nothing in it */
} kiln_axis_range_t;

typedef struct kiln_axis_band {
    uint64_t start, end;
    double top, bottom; /* y of `end` and of `start` */
    bool gap;
} kiln_axis_band_t;

typedef struct kiln_axis {
    kiln_axis_band_t *bands; /* by ascending address, without holes between them */
    size_t count;
    double height;
} kiln_axis_t;

/* kiln_axis_make lays an axis through `ranges`. False: no memory. */
bool kiln_axis_make(kiln_axis_t *axis, const kiln_axis_range_t *ranges, size_t count);
void kiln_axis_free(kiln_axis_t *axis);

/* kiln_axis_y gives the place of an address; what lies beyond the axis is put at its end. */
double kiln_axis_y(const kiln_axis_t *axis, uint64_t addr);

#endif
