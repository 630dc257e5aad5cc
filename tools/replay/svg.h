/* svg.h - a view that draws the address space over the steps of a trace.
 *
 * Steps go from left to right, addresses upwards. The view collects areas - what a stretch of
 * addresses was, from which step to which - and the state after each step; svg_write.c turns them
 * into a picture.
 *
 * Memory   grows with the steps. Steps beyond KILN_SVG_STEPS_MAX are not drawn, and the picture
 *          says so. `failed` tells that there was no memory for a picture. */
#ifndef KILN_TOOLS_REPLAY_SVG_H
#define KILN_TOOLS_REPLAY_SVG_H

#include "tools/replay/player.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { KILN_SVG_STEPS_MAX = 2000 };

/* In the order in which they are painted. */
typedef enum kiln_svg_kind {
    KILN_SVG_HELD,     /* ours, from the OS; where nothing covers it: stranded */
    KILN_SVG_LAYOUT,   /* where start-up put the tables */
    KILN_SVG_CURRENT,  /* [arena_alloc, arena_end) */
    KILN_SVG_KEPT,     /* a remainder that `kiln` keeps */
    KILN_SVG_HEAP,     /* handed out */
    KILN_SVG_REJECTED, /* came from the OS and went back in the same step */
    KILN_SVG_TABLES,   /* heap that table pages mapped in this step stand for */
    KILN_SVG_RACE,     /* told to the watcher in this step */
    KILN_SVG_KINDS,
} kiln_svg_kind_t;

typedef struct kiln_svg_area {
    kiln_svg_kind_t kind;
    uint64_t start, end;        /* addresses; the top of 64 bits is one byte short */
    size_t first_step;          /* 0: before the first step */
    size_t end_step;            /* first step without it; SIZE_MAX: to the end */
    bool small;                 /* heap from the small fallback */
    kiln_arena_branch_t branch; /* heap: how it was got */
} kiln_svg_area_t;

typedef struct kiln_svg_step {
    kiln_trace_kind_t kind;
    uint64_t number; /* as in the trace */
    uint64_t used, bits_bytes, spans_bytes;
    bool raised;           /* arena_used was published */
    bool returned, failed; /* at least one request ended; the last one in vain */
    kiln_arena_branch_t branch;
    kiln_arena_service_t service;
    const char *throw_reason;
} kiln_svg_step_t;

typedef struct kiln_svg {
    kiln_svg_area_t *areas;
    size_t areas_count, areas_room;
    kiln_svg_step_t *steps; /* [0] is the state before the first step */
    size_t steps_count, steps_room;
    kiln_arena_config_t config;
    bool race, failed, cut; /* cut: there were more steps */
    uint64_t arena_start, heap_sys_bytes;
} kiln_svg_t;

void kiln_svg_init(kiln_svg_t *svg);
void kiln_svg_free(kiln_svg_t *svg);
kiln_view_t kiln_svg_view(kiln_svg_t *svg);

/* kiln_svg_write writes a complete picture of what was seen; `name` is the trace's. False: no
 * memory for it. */
bool kiln_svg_write(const kiln_svg_t *svg, const char *name, FILE *out);

#endif
