#include "allocator/api/frame.h"

void kiln_frame_look(kiln_frame_t *frame, uintptr_t pc)
{
    frame->pc = pc;
    frame->told = false;
    frame->has_module = kiln_module_find_named(pc, &frame->module);
    frame->offset = pc - frame->module.bias;
    if (frame->has_module) kiln_symbolizer_ask(frame->module.path, frame->offset);
}

bool kiln_frame_next(kiln_frame_t *frame)
{
    if (frame->has_module && kiln_symbolizer_next(&frame->symbol)) {
        frame->told = true;
        return true;
    }
    if (frame->told) return false;
    frame->told = true;
    frame->symbol.function[0] = frame->symbol.file[0] = '\0';
    return true;
}
