#define _GNU_SOURCE
#include "allocator/api/leak.h"

#include "allocator/api/checkpoint.h"
#include "allocator/api/kiln.h"
#include "allocator/api/out.h"
#include "allocator/api/process.h"
#include "allocator/api/readable.h"
#include "allocator/api/report.h"
#include "allocator/api/roots.h"
#include "allocator/api/world.h"
#include "allocator/harden/reach.h"
#include "allocator/os/linux_syscall.h"

#include <signal.h>

enum { STDERR = 2 };

/* What one check carries. It is in no range that is searched: it holds addresses of blocks. */
typedef struct kiln_leak_check {
    kiln_reach_t reach;
    uintptr_t stack, stack_start; /* of the caller: its frames are from `stack` on */
    bool knows_stack;
    const char *wrong;
    const kiln_lost_t *lost;
    size_t lost_count;
} check_t;

static check_t check;

typedef struct kiln_leak_range {
    uintptr_t start, end;
} range_t;

/* The lowest part of `*found` and [start, end) that is at `from` or behind it. */
static void take_lowest(uintptr_t from, uintptr_t start, uintptr_t end, range_t *found)
{
    if (end <= from || start >= found->start) return;
    *found = (range_t){start < from ? from : start, end};
}

static void take_object(uintptr_t from, const void *object, size_t bytes, range_t *found)
{
    take_lowest(from, (uintptr_t)object, (uintptr_t)object + bytes, found);
}

static void take_guard(uintptr_t from, const kiln_guard_t *guard, range_t *found)
{
    const kiln_guard_space_t *space = &guard->space;
    take_object(from, guard, sizeof *guard, found);
    take_lowest(from, (uintptr_t)space->region,
                (uintptr_t)(space->region + space->region_reserved_bytes), found);
    take_lowest(from, (uintptr_t)space->meta, (uintptr_t)(space->meta + space->meta_reserved_bytes),
                found);
}

static void take_room(uintptr_t from, const kiln_reach_room_t *room, range_t *found)
{
    take_lowest(from, (uintptr_t)room->addr, (uintptr_t)(room->addr + room->bytes), found);
}

/* The first range from `from` on that is Kiln's own: blocks, which are searched when they are
 * reached, and records, which hold addresses of blocks that nobody else may have. */
static range_t next_own(uintptr_t from)
{
    range_t found = {UINTPTR_MAX, UINTPTR_MAX};
    uintptr_t start, end;
    const kiln_page_heap_t *pages = &kiln_process_heap.pages;
    for (const kiln_region_t *region = pages->regions; region; region = region->next)
        take_lowest(from, region->start, region->end, &found);
    for (const kiln_meta_chunk_t *chunk = NULL;
         (chunk = kiln_meta_older(&pages->meta, chunk, &start, &end)) != NULL;)
        take_lowest(from, start, end, &found);
    take_object(from, &kiln_process_heap, sizeof kiln_process_heap, &found);
    take_object(from, &check, sizeof check, &found);
    take_object(from, kiln_world_stack, sizeof kiln_world_stack, &found);
    const void *memory;
    size_t bytes;
    for (unsigned i = 0; kiln_checkpoint_memory(i, &memory, &bytes); i++)
        take_object(from, memory, bytes, &found);
    take_room(from, &check.reach.blocks.room, &found);
    take_room(from, &check.reach.guarded.room, &found);
    take_room(from, &check.reach.waiting, &found);
    if (!kiln_process_hardened) return found;
    take_object(from, kiln_process_hardened, sizeof *kiln_process_hardened, &found);
    if (kiln_process_hardened->config.guard)
        take_guard(from, kiln_process_hardened->config.guard, &found);
    return found;
}

static void search_range(void *unused, uintptr_t start, uintptr_t end)
{
    (void)unused;
    while (start < end) {
        range_t own = next_own(start);
        uintptr_t until = own.start < end ? own.start : end;
        if (start < until) kiln_reach_search(&check.reach, start, until);
        start = own.start < end ? own.end : end;
    }
}

static bool can_read(uintptr_t address)
{
    static const kiln_readable_t nothing = {.may_ask = true};
    uintptr_t ignored;
    return kiln_readable_word(&nothing, address, &ignored);
}

static const char *begin(void *unused)
{
    (void)unused;
    bool done = kiln_reach_begin(&check.reach, &kiln_process_os, &kiln_process_heap,
                                 kiln_process_hardened, can_read);
    return done ? NULL : "there is no memory for marks";
}

static void search_registers(void *unused, const void *registers, size_t bytes)
{
    (void)unused;
    kiln_reach_search(&check.reach, (uintptr_t)registers, (uintptr_t)registers + bytes);
}

static void look(void *unused)
{
    (void)unused;
    kiln_roots_visit_t roots = {
        .dead_start = check.stack_start,
        .dead_end = check.knows_stack ? check.stack : check.stack_start,
        .page_bytes = (size_t)kiln_process_os.phys_bytes,
        .range = search_range,
    };
    /* A stack that is a block is reached by who is on it. */
    kiln_reach_search(&check.reach, (uintptr_t)&check.stack, (uintptr_t)(&check.stack + 1));
    check.wrong = kiln_roots_each(&roots);
    if (check.wrong) return;
    if (!kiln_reach_lost(&check.reach, &check.lost, &check.lost_count))
        check.wrong = "there is no memory for what was found";
}

/* Below the frame of its caller. */
static __attribute__((noinline)) void note_stack(void)
{
    check.stack = (uintptr_t)__builtin_frame_address(0);
}

/* What registers hold for this function's callers lies in its frame, which is searched. */
static __attribute__((noinline)) void stop_and_look(void)
{
    static const kiln_world_visit_t visit = {NULL, begin, search_registers, look};
    __builtin_unwind_init();
    note_stack();
    const char *wrong = kiln_world_stop(&visit);
    if (wrong) check.wrong = wrong;
}

static __attribute__((noinline)) void say_why_not(const char *why)
{
    char text[256];
    kiln_out_t out = {text, sizeof text, 0, STDERR};
    kiln_out_put(&out, "kiln: leaks were not looked for: ");
    kiln_out_put(&out, why);
    kiln_out_put(&out, "\n");
    kiln_out_flush(&out);
}

/* Not a part of its caller's frame, where words that it has not written yet would be searched. */
static __attribute__((noinline)) uint64_t tell(kiln_site_t site)
{
    uint64_t blocks = 0;
    for (size_t i = 0; i < check.lost_count; i++) blocks += check.lost[i].blocks;
    kiln_report_t report = {
        .kind = KILN_REPORT_LEAK,
        .call = site.call,
        .caller = site.caller,
        .lost = check.lost,
        .lost_count = check.lost_count,
    };
    if (kiln_process_hardened) {
        report.has_seed = true;
        report.seed = kiln_process_hardened->config.seed;
    }
    if (blocks > 0) kiln_report(&report);
    return blocks;
}

static kiln_lock_t one_check;

static void set_signals(uint64_t blocked, uint64_t *out_before)
{
    (void)kiln_linux_call(__NR_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&blocked,
                          (uintptr_t)out_before, sizeof blocked, 0);
}

/* False: there is nothing to be looked at. */
static bool look_for_leaks(uintptr_t stack_start, bool knows_stack)
{
    uint64_t before = 0;
    set_signals(UINT64_MAX, &before);
    bool holds = kiln_process_hold();
    if (holds) {
        check = (check_t){
            .reach.os = &kiln_process_os, .stack_start = stack_start, .knows_stack = knows_stack};
        stop_and_look();
        kiln_process_let_go();
    }
    set_signals(before, NULL);
    return holds;
}

static size_t check_leaks(kiln_site_t site)
{
    uint64_t blocks = 0;
    uintptr_t stack_start, stack_end;
    if (kiln_thread.state == KILN_THREAD_FORKING) return 0; /* who holds the lock may wait for it */
    bool knows_stack = kiln_stack_bounds(&stack_start, &stack_end);
    kiln_lock_acquire(&one_check, &kiln_process_os.parker);
    if (look_for_leaks(stack_start, knows_stack)) {
        if (check.wrong)
            say_why_not(check.wrong);
        else
            blocks = tell(site);
        kiln_reach_end(&check.reach);
    }
    kiln_lock_release(&one_check, &kiln_process_os.parker);
    return (size_t)blocks;
}

KILN_EXPORT size_t kiln_check_leaks(void)
{
    return check_leaks(KILN_SITE("kiln_check_leaks"));
}

/* Another thread's check is not going on in the child. */
void kiln_leak_fork_child(void)
{
    if (check.reach.os) kiln_reach_end(&check.reach);
    one_check = (kiln_lock_t){0};
}

static bool at_end;

void kiln_leak_check_at_end(void)
{
    at_end = true;
}

/* After those of the default priority, of which one looks for damage. */
__attribute__((destructor(1000))) static void leaks_at_end(void)
{
    if (at_end) (void)check_leaks(KILN_SITE("exit"));
}
