/* lone.h - stacks of one frame, which are not kept: the number of one tells its caller.
 *
 *   31     30..28   27..0
 *   1      window   the caller's lower bits
 *
 * A window is 256 MiB of addresses in which code lies that called: the program is in one, its
 * libraries are in one or two. They are learned as callers come, and never forgotten. Numbers of
 * the depot (stack_depot.h) are below 2^24.
 *
 * Most stacks of real programs, whose code has no frame pointers, are such. A table of callers
 * would take a line of the cache for each, of which the program has need; the windows take one.
 *
 * Threads  any, also in signal handlers. */
#ifndef KILN_ALLOCATOR_API_LONE_H
#define KILN_ALLOCATOR_API_LONE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    KILN_LONE_WINDOWS = 8,
    KILN_LONE_PC_BITS = 28,
    KILN_LONE_CODE_MIN = 4096, /* no code lies in the first page */
};

/* A window's upper address bits plus 1; 0: none yet. Of addresses from 2^60 on there is none. */
typedef struct kiln_lone {
    _Alignas(32) _Atomic uint32_t windows[KILN_LONE_WINDOWS];
} kiln_lone_t;

static inline uint64_t kiln_lone_window(uintptr_t pc)
{
    return ((uint64_t)pc >> KILN_LONE_PC_BITS) + 1;
}

static inline bool kiln_lone_is_at(const kiln_lone_t *lone, uint64_t place, uint64_t window)
{
    return atomic_load_explicit(&lone->windows[place % KILN_LONE_WINDOWS], memory_order_relaxed) ==
           window;
}

/* The place of a window that is known; else KILN_LONE_WINDOWS. A window's first place is its own
 * number's, so that one look finds it but where two have the same. */
static inline unsigned kiln_lone_place(const kiln_lone_t *lone, uint64_t window)
{
    if (__builtin_expect(kiln_lone_is_at(lone, window, window), 1))
        return (unsigned)(window % KILN_LONE_WINDOWS);
    unsigned place = 0;
    while (place < KILN_LONE_WINDOWS && !kiln_lone_is_at(lone, place, window)) place++;
    return place;
}

/* kiln_lone_knows: did code that lies there, or within 256 MiB, call? */
static inline bool kiln_lone_knows(const kiln_lone_t *lone, uintptr_t pc)
{
    return pc >= KILN_LONE_CODE_MIN &&
           kiln_lone_place(lone, kiln_lone_window(pc)) < KILN_LONE_WINDOWS;
}

static inline uint32_t kiln_lone_number(unsigned place, uintptr_t pc)
{
    uint32_t lower = (uint32_t)pc & ((UINT32_C(1) << KILN_LONE_PC_BITS) - 1);
    return UINT32_C(1) << 31 | (uint32_t)place << KILN_LONE_PC_BITS | lower;
}

/* kiln_lone_id gives the number of the stack that is `pc` alone; 0: its window is not known. */
static inline uint32_t kiln_lone_id(const kiln_lone_t *lone, uintptr_t pc)
{
    unsigned place = kiln_lone_place(lone, kiln_lone_window(pc));
    return place == KILN_LONE_WINDOWS ? 0 : kiln_lone_number(place, pc);
}

/* kiln_lone_quick_id is the same, but may be 0 though the window is known, for it looks once. */
static inline uint32_t kiln_lone_quick_id(const kiln_lone_t *lone, uintptr_t pc)
{
    uint64_t window = kiln_lone_window(pc);
    return kiln_lone_is_at(lone, window, window)
               ? kiln_lone_number((unsigned)(window % KILN_LONE_WINDOWS), pc)
               : 0;
}

/* kiln_lone_learn makes the window of `pc` known. false: there are too many, or `pc` is in none. */
bool kiln_lone_learn(kiln_lone_t *lone, uintptr_t pc);

/* kiln_lone_pc gives the address in a number; false for one that is no such stack's, whatever it
 * is: reports ask with what they find in records. */
bool kiln_lone_pc(const kiln_lone_t *lone, uint32_t id, uintptr_t *out);

#endif
