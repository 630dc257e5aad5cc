#define _GNU_SOURCE
#include "allocator/api/stack.h"

#include "allocator/api/lone.h"
#include "allocator/api/module.h"
#include "allocator/os/linux_syscall.h"

#include <pthread.h>
#include <string.h>

enum {
    OWN_FRAMES_MAX = 16, /* Kiln's, between the program and a capture */
    SEEN_PLACES = 1 << 12,
    CACHE_LINE_BYTES = 64,
    PREFETCHED_LINES = 3,             /* a record of the default length */
    FIRST_STACK_BYTES_MAX = 64 << 20, /* nothing else lies that close below the first stack's end */
};

kiln_stack_depot_t kiln_stack_depot;
static kiln_lone_t lone;

static _Thread_local struct {
    uintptr_t start, end; /* of the thread's stack; 0, 0: unknown */
    uint32_t number;      /* of the thread, plus 1; 0: none yet */
} here __attribute__((tls_model("initial-exec")));

_Thread_local uintptr_t kiln_stack_entry;

static _Atomic uint32_t threads;

/* Set by ld.so, or by a static program's own start, before anything else runs. */
extern void *__libc_stack_end __attribute__((weak));

static uintptr_t first_stack_end(void)
{
    return &__libc_stack_end ? (uintptr_t)__libc_stack_end : 0;
}

static bool is_first_stack(uintptr_t address)
{
    return first_stack_end() - address < FIRST_STACK_BYTES_MAX;
}

void kiln_stack_thread_begin(void)
{
    uintptr_t address = (uintptr_t)__builtin_frame_address(0);
    if (is_first_stack(address)) {
        here.start = first_stack_end() - FIRST_STACK_BYTES_MAX;
        here.end = first_stack_end();
        return;
    }
    pthread_attr_t attributes;
    void *start;
    size_t bytes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    if (pthread_attr_getstack(&attributes, &start, &bytes) == 0 &&
        address - (uintptr_t)start < bytes) {
        here.start = (uintptr_t)start;
        here.end = (uintptr_t)start + bytes;
    }
    (void)pthread_attr_destroy(&attributes);
}

bool kiln_stack_bounds(uintptr_t *out_start, uintptr_t *out_end)
{
    uintptr_t address = (uintptr_t)__builtin_frame_address(0);
    if (here.end == 0) kiln_stack_thread_begin();
    *out_start = here.start;
    *out_end = here.end;
    return address - here.start < here.end - here.start;
}

uint32_t kiln_thread_number(void)
{
    if (here.number == 0)
        here.number = kiln_linux_call(__NR_gettid, 0, 0, 0, 0, 0) ==
                              kiln_linux_call(__NR_getpid, 0, 0, 0, 0, 0)
                          ? 1
                          : 2 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
    return here.number - 1;
}

/* A frame is two words: the caller's frame, and where the function returns to. From one frame to
 * the next the addresses grow, so that a walk ends; all of them lie between this function's and
 * `last`, the last place in the stack for one, all of which is mapped. 0: there is no next one. */
static inline bool is_next(uintptr_t frame, uintptr_t next, uintptr_t last)
{
    return next > frame && next <= last && next % sizeof(uintptr_t) == 0;
}

static inline uintptr_t next_frame(uintptr_t frame, uintptr_t last)
{
    uintptr_t next = *(const uintptr_t *)frame;
    return is_next(frame, next, last) ? next : 0;
}

static inline uintptr_t returns_to(uintptr_t frame)
{
    return ((const uintptr_t *)frame)[1];
}

/* The first frame that returns to `caller`; 0: there is none. */
static inline uintptr_t find_caller(uintptr_t frame, uintptr_t last, uintptr_t caller)
{
    for (unsigned own = 0; own < OWN_FRAMES_MAX && frame != 0; own++) {
        if (returns_to(frame) == caller) return frame;
        frame = next_frame(frame, last);
    }
    return 0;
}

static __attribute__((noinline)) kiln_stack_id_t capture_lone(uintptr_t caller)
{
    kiln_stack_id_t id = kiln_lone_id(&lone, caller);
    if (id == 0 && kiln_lone_learn(&lone, caller)) id = kiln_lone_id(&lone, caller);
    return id != 0 ? id : kiln_stack_depot_put(&kiln_stack_depot, &caller, 1);
}

/* Does code lie there, as far as is known? Where functions have no frame pointers, what looks like
 * a frame may be anything; a stack that went on there told nothing, and hardly ever came again.
 * Code that is in no module, as it was made while the program runs, or the dynamic linker does not
 * tell of modules, is known when something near it called. */
static inline bool is_code(uintptr_t pc)
{
    return kiln_lone_knows(&lone, pc);
}

static bool learn_code(uintptr_t pc)
{
    if (is_code(pc)) return true;
    return pc >= KILN_LONE_CODE_MIN && kiln_module_has(pc) && kiln_lone_learn(&lone, pc);
}

static __attribute__((noinline)) kiln_stack_id_t keep(uintptr_t frame, uintptr_t last,
                                                      unsigned frames_max)
{
    uintptr_t pcs[KILN_STACK_FRAMES_MAX];
    unsigned count = 0;
    do {
        pcs[count++] = returns_to(frame);
        frame = next_frame(frame, last);
    } while (count < frames_max && frame != 0 && learn_code(returns_to(frame)));
    return count == 1 ? capture_lone(pcs[0]) : kiln_stack_depot_put(&kiln_stack_depot, pcs, count);
}

/* Is the stack from `frame` on the kept one, to its last frame and not beyond? */
static inline bool is_stack(const kiln_stack_record_t *record, uintptr_t frame, uintptr_t last,
                            unsigned frames_max)
{
    unsigned count = record->count;
    if (count - 1 >= frames_max) return false;
    const uintptr_t *pc = record->frames, *end = pc + count;
    while (returns_to(frame) == *pc) {
        uintptr_t next = *(const uintptr_t *)frame;
        bool leads_on = is_next(frame, next, last);
        if (++pc == end) return count == frames_max || !leads_on || !is_code(returns_to(next));
        if (__builtin_expect(!leads_on, 0)) return false;
        frame = next;
    }
    return false;
}

/* What was kept last for a frame at that place that returns there. A program comes again and again
 * to the same place by the same way: to compare frame by frame costs a third of looking it up. */
static kiln_stack_record_t *_Atomic seen[SEEN_PLACES];

static inline kiln_stack_record_t *_Atomic *seen_at(uintptr_t frame, uintptr_t caller)
{
    uint32_t mixed =
        (uint32_t)(caller * UINT32_C(0x9e3779b1) + (frame >> 4) * UINT32_C(0x85ebca77));
    return &seen[mixed / (UINT32_MAX / SEEN_PLACES + 1)];
}

static inline void prefetch(const kiln_stack_record_t *record)
{
    for (size_t i = 0; record && i < PREFETCHED_LINES; i++)
        __builtin_prefetch((const char *)record + i * CACHE_LINE_BYTES);
}

/* Another stack than the last one at its place, which is `before` (or NULL). Where a program does
 * again what it did, as a loop does, or a walk over a tree by recursion, stacks come to a place in
 * the same order: so the one that came after that the last time is looked at first, and the next is
 * fetched. Else it would be looked for among all others, in memory that is in no cache. */
static __attribute__((noinline)) kiln_stack_id_t capture_other(uintptr_t frame, uintptr_t caller,
                                                               unsigned frames_max)
{
    kiln_stack_depot_t *depot = &kiln_stack_depot;
    uintptr_t last = here.end - 2 * sizeof(uintptr_t);
    kiln_stack_record_t *_Atomic *place = seen_at(frame, caller);
    kiln_stack_record_t *before = atomic_load_explicit(place, memory_order_acquire);
    kiln_stack_record_t *found = before ? kiln_stack_depot_follower(depot, before) : NULL;
    if (frames_max > KILN_STACK_FRAMES_MAX) frames_max = KILN_STACK_FRAMES_MAX;
    if (!found || !is_stack(found, frame, last, frames_max)) {
        kiln_stack_id_t id = keep(frame, last, frames_max);
        found = kiln_stack_depot_record(depot, id);
        if (!found) return id; /* the caller's alone, or not kept */
        if (before) kiln_stack_depot_follow(before, found);
    }
    prefetch(kiln_stack_depot_follower(depot, found));
    atomic_store_explicit(place, found, memory_order_release);
    return found->id;
}

/* The common path calls nothing but in the end; `frame` returns to `caller`. */
static __attribute__((noinline)) kiln_stack_id_t capture(uintptr_t frame, uintptr_t caller,
                                                         unsigned frames_max)
{
    uintptr_t last = here.end - 2 * sizeof(uintptr_t);
    kiln_stack_record_t *found = atomic_load_explicit(seen_at(frame, caller), memory_order_acquire);
    if (__builtin_expect(found && is_stack(found, frame, last, frames_max), 1)) return found->id;
    uintptr_t next = next_frame(frame, last);
    bool leads_on = next != 0 && frames_max > 1 && learn_code(returns_to(next));
    return leads_on ? capture_other(frame, caller, frames_max) : capture_lone(caller);
}

static __attribute__((noinline)) kiln_stack_id_t search(uintptr_t frame, uintptr_t caller,
                                                        unsigned frames_max)
{
    uintptr_t last = here.end - 2 * sizeof(uintptr_t);
    bool known = frame - here.start < here.end - here.start; /* else it is another stack */
    frame = known ? find_caller(frame, last, caller) : 0;
    return frame != 0 ? capture(frame, caller, frames_max) : capture_lone(caller);
}

/* Most stacks of code without frame pointers are told by what is looked at here. */
kiln_stack_id_t kiln_stack_capture_from(uintptr_t frame, uintptr_t caller, unsigned frames_max)
{
    uintptr_t last = here.end - 2 * sizeof(uintptr_t);
    bool known = frame - here.start < here.end - here.start;
    if (__builtin_expect(!known || returns_to(frame) != caller, 0))
        return search(frame, caller, frames_max);
    kiln_stack_id_t id = next_frame(frame, last) == 0 ? kiln_lone_quick_id(&lone, caller) : 0;
    return id != 0 ? id : capture(frame, caller, frames_max);
}

__attribute__((noinline)) kiln_stack_id_t kiln_stack_capture(uintptr_t caller, unsigned frames_max)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0), entry = kiln_stack_entry;
    uintptr_t last = here.end - 2 * sizeof(uintptr_t);
    bool known = frame - here.start < here.end - here.start;
    if (known && entry - frame <= last - frame && entry % sizeof(uintptr_t) == 0 &&
        returns_to(entry) == caller)
        frame = entry;
    return kiln_stack_capture_from(frame, caller, frames_max);
}

bool kiln_stack_walk(const kiln_unwind_t *from, uintptr_t caller, kiln_stack_t *out)
{
    kiln_unwind_t frame = *from;
    uintptr_t mine = (uintptr_t)__builtin_frame_address(0);
    kiln_readable_t known = {mine, here.end, true}; /* what has called this function is mapped */
    if (mine < here.start || mine >= here.end) known.start = known.end = 0;
    unsigned own = 0;
    bool found = caller == 0;
    out->count = 0;
    do {
        if (!found && frame.registers[KILN_UNWIND_PC] == caller) found = true;
        if (!found) {
            own++;
            continue;
        }
        if (out->count == 0) {
            out->exact = frame.exact;
            out->bp = frame.registers[KILN_UNWIND_BP];
            out->sp = frame.registers[KILN_UNWIND_SP];
        }
        out->pcs[out->count++] = frame.registers[KILN_UNWIND_PC];
    } while (out->count < KILN_STACK_FRAMES_MAX && own < OWN_FRAMES_MAX &&
             kiln_unwind_step(&frame, &known));
    if (out->count > 0) return true;
    out->pcs[out->count++] = caller;
    out->exact = false;
    out->bp = out->sp = 0;
    return false;
}

unsigned kiln_stack_frames(kiln_stack_id_t id, uintptr_t frames[KILN_STACK_FRAMES_MAX])
{
    const uintptr_t *kept;
    unsigned count = kiln_stack_depot_get(&kiln_stack_depot, id, &kept);
    if (count > 0) memcpy(frames, kept, count * sizeof *frames);
    return count > 0 ? count : kiln_lone_pc(&lone, id, frames);
}
