#include "tests/report/stack_deep.h"

static volatile int after;

static __attribute__((noinline)) kiln_stack_id_t capture(kiln_stack_t *out_walked)
{
    kiln_unwind_t here = {.exact = true};
    kiln_unwind_here(&here);
    kiln_stack_walk(&here, KILN_CALLER(), out_walked);
    kiln_stack_id_t id = kiln_stack_capture(KILN_CALLER(), 12);
    after++;
    return id;
}

__attribute__((noinline)) kiln_stack_id_t kiln_deep_capture(int depth, kiln_stack_t *out_walked)
{
    kiln_stack_id_t id =
        depth == 0 ? capture(out_walked) : kiln_deep_capture(depth - 1, out_walked);
    after++;
    return id;
}

/* Two places that call, and frames of one size. */
__attribute__((noinline)) kiln_stack_id_t kiln_deep_path(unsigned path, int depth,
                                                         kiln_stack_t *out_walked)
{
    kiln_stack_id_t id;
    if (depth == 0) {
        id = capture(out_walked);
    } else if (path & 1) { /* what differs on either side of the calls keeps them two */
        __asm__ volatile("# to the one" : "+r"(depth));
        id = kiln_deep_path(path >> 1, depth - 1, out_walked);
        __asm__ volatile("# from the one" : "+r"(id));
    } else {
        __asm__ volatile("# to the other" : "+r"(depth));
        id = kiln_deep_path(path >> 1, depth - 1, out_walked);
        __asm__ volatile("# from the other" : "+r"(id));
    }
    after++;
    return id;
}

__attribute__((noinline)) void kiln_deep_spin(int depth)
{
    for (int i = 0; i < 3; i++) {
        if (depth > 0) kiln_deep_spin(depth - 1);
        after++;
    }
}
