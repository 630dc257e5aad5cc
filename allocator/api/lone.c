#include "allocator/api/lone.h"

bool kiln_lone_learn(kiln_lone_t *lone, uintptr_t pc)
{
    uint64_t window = kiln_lone_window(pc);
    if (window > UINT32_MAX) return false;
    for (unsigned i = 0; i < KILN_LONE_WINDOWS; i++) {
        _Atomic uint32_t *place = &lone->windows[(window + i) % KILN_LONE_WINDOWS];
        uint32_t there = 0;
        if (atomic_compare_exchange_strong_explicit(place, &there, (uint32_t)window,
                                                    memory_order_relaxed, memory_order_relaxed) ||
            there == window)
            return true;
    }
    return false;
}

bool kiln_lone_pc(const kiln_lone_t *lone, uint32_t id, uintptr_t *out)
{
    if (id >> 31 == 0) return false;
    uint32_t place = id >> KILN_LONE_PC_BITS & (KILN_LONE_WINDOWS - 1);
    uint32_t lower = id & ((UINT32_C(1) << KILN_LONE_PC_BITS) - 1);
    uint32_t window = atomic_load_explicit(&lone->windows[place], memory_order_relaxed);
    if (window == 0) return false;
    *out = (uintptr_t)((uint64_t)(window - 1) << KILN_LONE_PC_BITS | lower);
    return true;
}
