#define _GNU_SOURCE
#include "allocator/api/stack.h"

#include "allocator/os/linux_syscall.h"

#include <pthread.h>

enum {
    OWN_FRAMES_MAX = 16, /* Kiln's, between the program and a capture */
    LEAST_PC = 4096,     /* no code lies in the first page */
    SEEN_PLACES = 1 << 12,
    LONE_PLACES = 1 << 12,
    LONE_PC_BITS = 40, /* that are kept beside a number of 24 bits */
    CACHE_LINE_BYTES = 64,
    PREFETCHED_LINES = 3,             /* a record of the default length */
    FIRST_STACK_BYTES_MAX = 64 << 20, /* nothing else lies that close below the first stack's end */
};

kiln_stack_depot_t kiln_stack_depot;

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

/* Are there no frames from this one on but the outermost, which have no caller? */
static inline bool ends(uintptr_t frame, uintptr_t last)
{
    return returns_to(frame) < LEAST_PC && next_frame(frame, last) == 0;
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

/* Stacks of one frame, of code without frame pointers: most that real programs have, and known by
 * their caller alone. A word is the stack's number and the caller's lower bits; its place tells the
 * upper ones (of addresses below 2^52; code lies below 2^47), so that what fits is no guess. */
static _Atomic uint64_t lone[LONE_PLACES];

static inline _Atomic uint64_t *lone_at(uintptr_t caller)
{
    uint64_t upper = (uint64_t)caller >> LONE_PC_BITS;
    return &lone[((uint32_t)caller * UINT32_C(0x9e3779b1) / (UINT32_MAX / LONE_PLACES + 1) +
                  (uint32_t)upper) %
                 LONE_PLACES];
}

static inline kiln_stack_id_t find_lone(uintptr_t caller)
{
    uint64_t word = atomic_load_explicit(lone_at(caller), memory_order_acquire);
    bool fits = (word ^ caller) << (64 - LONE_PC_BITS) == 0;
    return fits ? (kiln_stack_id_t)(word >> LONE_PC_BITS) : 0;
}

static __attribute__((noinline)) kiln_stack_id_t capture_lone(uintptr_t caller)
{
    kiln_stack_id_t id = find_lone(caller);
    if (id != 0) return id;
    id = kiln_stack_depot_put(&kiln_stack_depot, &caller, 1);
    uint64_t lower = (uint64_t)caller & ((UINT64_C(1) << LONE_PC_BITS) - 1);
    atomic_store_explicit(lone_at(caller), (uint64_t)id << LONE_PC_BITS | lower,
                          memory_order_release);
    return id;
}

static __attribute__((noinline)) kiln_stack_id_t keep(uintptr_t frame, uintptr_t last,
                                                      unsigned frames_max)
{
    uintptr_t pcs[KILN_STACK_FRAMES_MAX];
    unsigned count = 0;
    for (; count < frames_max && frame != 0; frame = next_frame(frame, last))
        pcs[count++] = returns_to(frame);
    while (count > 1 && pcs[count - 1] < LEAST_PC) count--; /* the outermost have no caller */
    return kiln_stack_depot_put(&kiln_stack_depot, pcs, count);
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
        if (++pc == end) return count == frames_max || !leads_on || ends(next, last);
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
static kiln_stack_record_t *find_or_keep(kiln_stack_record_t *before, uintptr_t frame,
                                         uintptr_t last, unsigned frames_max)
{
    kiln_stack_depot_t *depot = &kiln_stack_depot;
    kiln_stack_record_t *found = before ? kiln_stack_depot_follower(depot, before) : NULL;
    if (!found || !is_stack(found, frame, last, frames_max)) {
        found = kiln_stack_depot_record(depot, keep(frame, last, frames_max));
        if (before && found) kiln_stack_depot_follow(before, found);
    }
    if (found) prefetch(kiln_stack_depot_follower(depot, found));
    return found;
}

/* The stack from `frame` on is not the last one at its place. */
static __attribute__((noinline)) kiln_stack_id_t capture_other(uintptr_t frame, uintptr_t caller,
                                                               unsigned frames_max)
{
    uintptr_t last = here.end - 2 * sizeof(uintptr_t);
    if (frames_max > KILN_STACK_FRAMES_MAX) frames_max = KILN_STACK_FRAMES_MAX;
    kiln_stack_record_t *_Atomic *place = seen_at(frame, caller);
    kiln_stack_record_t *before = atomic_load_explicit(place, memory_order_acquire);
    kiln_stack_record_t *found = find_or_keep(before, frame, last, frames_max);
    atomic_store_explicit(place, found, memory_order_release);
    return found ? found->id : 0;
}

/* The common path calls nothing but in the end; `frame` returns to `caller`. */
static inline kiln_stack_id_t capture(uintptr_t frame, uintptr_t caller, unsigned frames_max)
{
    uintptr_t last = here.end - 2 * sizeof(uintptr_t);
    if (next_frame(frame, last) == 0) {
        kiln_stack_id_t id = find_lone(caller);
        return __builtin_expect(id != 0, 1) ? id : capture_lone(caller);
    }
    kiln_stack_record_t *found = atomic_load_explicit(seen_at(frame, caller), memory_order_acquire);
    if (__builtin_expect(found && is_stack(found, frame, last, frames_max), 1)) return found->id;
    return capture_other(frame, caller, frames_max);
}

static __attribute__((noinline)) kiln_stack_id_t search(uintptr_t frame, uintptr_t caller,
                                                        unsigned frames_max)
{
    uintptr_t last = here.end - 2 * sizeof(uintptr_t);
    bool known = frame - here.start < here.end - here.start; /* else it is another stack */
    frame = known ? find_caller(frame, last, caller) : 0;
    return frame != 0 ? capture(frame, caller, frames_max) : capture_lone(caller);
}

kiln_stack_id_t kiln_stack_capture_from(uintptr_t frame, uintptr_t caller, unsigned frames_max)
{
    bool known = frame - here.start < here.end - here.start;
    if (__builtin_expect(!known || returns_to(frame) != caller, 0))
        return search(frame, caller, frames_max);
    return capture(frame, caller, frames_max);
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
