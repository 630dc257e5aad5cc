/* frame.h - what a code address is called: module and offset always, function and line where a
 * symbolizer runs. A function that was inlined is a frame of its own. */
#ifndef KILN_ALLOCATOR_API_FRAME_H
#define KILN_ALLOCATOR_API_FRAME_H

#include "allocator/api/module.h"
#include "allocator/api/symbolizer.h"

typedef struct kiln_frame {
    uintptr_t pc;
    uintptr_t offset;     /* of pc, as the file of the module states addresses */
    bool has_module;      /* else neither offset nor symbol */
    bool told;            /* at least once */
    kiln_module_t module; /* its path may be "" */
    kiln_symbol_t symbol; /* function "": unknown */
} kiln_frame_t;

/* kiln_frame_look begins with the instruction at `pc`. Then each kiln_frame_next that answers true
 * gives a frame: one at least, innermost first. */
void kiln_frame_look(kiln_frame_t *frame, uintptr_t pc);
bool kiln_frame_next(kiln_frame_t *frame);

#endif
