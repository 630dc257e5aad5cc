#include "allocator/api/checkpoint.h"

#include "allocator/api/kiln.h"
#include "allocator/api/process.h"
#include "allocator/api/since.h"
#include "allocator/api/taken_back.h"
#include "allocator/api/writable.h"
#include "allocator/os/written_linux.h"

#include <errno.h>
#include <string.h>

/* Two a guarded block that is live, on 64-bit machines of a million; memory is what is used. */
enum { RANGES_MAX = sizeof(void *) == 8 ? 1 << 20 : 1 << 16 };

static struct {
    bool is_on;
    _Atomic bool is_inside; /* a call, which a signal handler may have interrupted */
    kiln_os_rewind_t rewind;
    kiln_os_written_linux_t written;
    kiln_os_range_t *ranges;
} points;

/* ---- start-up ---- */

const kiln_os_t *kiln_checkpoint_os(const kiln_options_t *options, const kiln_os_t *os)
{
    if (!options->checkpoints) return os;
    kiln_addr_t ranges = os->direct(os->ctx, RANGES_MAX * sizeof *points.ranges, KILN_OS_META);
    if (ranges == 0 || !kiln_taken_back_init(os)) return os;
    points.is_on = true;
    points.ranges = (kiln_os_range_t *)(uintptr_t)ranges;
    kiln_os_written_linux_init(&points.written);
    kiln_os_rewind_init(&points.rewind, os, &points.written.written, points.ranges, RANGES_MAX);
    return &points.rewind.os;
}

void kiln_checkpoint_own(void *start, size_t bytes)
{
    if (points.is_on) (void)kiln_os_rewind_add(&points.rewind, start, bytes);
}

bool kiln_checkpoint_memory(unsigned idx, const void **out_start, size_t *out_bytes)
{
    enum { OWN = 3 };
    if (!points.is_on) return false;
    if (idx == 0) {
        *out_start = points.ranges;
        *out_bytes = RANGES_MAX * sizeof *points.ranges;
        return true;
    }
    if (idx == 1) return kiln_taken_back_memory(out_start, out_bytes);
    if (idx == 2) {
        *out_start = &points;
        *out_bytes = sizeof points;
        return true;
    }
    return kiln_os_rewind_memory(&points.rewind, idx - OWN, out_start, out_bytes);
}

/* ---- what goes, and what stays ---- */

static bool was_touched(const void *unused, const void *start, size_t bytes)
{
    (void)unused;
    return kiln_os_rewind_touched(&points.rewind, start, bytes);
}

static void take_back(void *unused, void *block, size_t slot_bytes)
{
    (void)unused;
    (void)slot_bytes;
    kiln_report_block_t about = kiln_report_about((uintptr_t)block);
    about.live = false;
    kiln_taken_back_add(&about);
}

static void take_guarded_back(void *ctx, const kiln_guard_about_t *block,
                              const kiln_guard_damage_t *unused)
{
    const kiln_guard_t *guard = ctx;
    kiln_guard_place_t place;
    (void)unused;
    if (!kiln_guard_space_find(&guard->space, block->block, &place)) return;
    if (!kiln_os_rewind_touched(&points.rewind, place.slot, sizeof *place.slot)) return;
    const kiln_guard_slot_t *was = kiln_os_rewind_was(&points.rewind, place.slot);
    if (was && atomic_load_explicit(&was->state, memory_order_relaxed) == KILN_GUARD_SLOT_LIVE &&
        atomic_load_explicit(&was->start, memory_order_relaxed) == block->block)
        return;
    take_back(NULL, (void *)block->block, block->bytes);
}

static void before(void *ctx)
{
    const kiln_site_t *site = ctx;
    kiln_harden_t *hardened = kiln_process_hardened;
    if (hardened) (void)kiln_harden_check_some(hardened, was_touched, NULL, *site);
    kiln_heap_walk_since(&kiln_process_heap, &points.rewind, take_back, NULL);
    if (hardened && hardened->config.guard)
        kiln_guard_for_each_changed(hardened->config.guard, was_touched, NULL, take_guarded_back,
                                    hardened->config.guard);
}

/* A free run's inner pages may lead to a record that was theirs once. */
static bool is_in(const kiln_span_t *span, uintptr_t address)
{
    bool in_use = span->kind == KILN_SPAN_SMALL || span->kind == KILN_SPAN_LARGE;
    return in_use && address >= kiln_span_base(span) && address < kiln_span_end(span);
}

static uintptr_t next_page(uintptr_t address)
{
    return (address | (uintptr_t)(points.rewind.inner->phys_bytes - 1)) + 1;
}

/* A stretch around an address, or behind it: of a live block, or where none is. */
typedef struct stretch {
    bool is_live;
    uintptr_t first, end;
} stretch_t;

static stretch_t guarded_at(uintptr_t address)
{
    kiln_guard_about_t about = {.known = false};
    (void)kiln_guard_about(kiln_process_hardened->config.guard, (const void *)address, &about);
    uintptr_t end = about.block + about.bytes;
    if (!about.known || !about.live || about.where == KILN_GUARD_ABOVE)
        return (stretch_t){false, address, next_page(address)};
    return (stretch_t){true, about.block, end};
}

/* The first live block of a span that is at `address`, or begins behind it. */
static stretch_t block_in(const kiln_span_t *span, uintptr_t address)
{
    const kiln_harden_t *hardened = kiln_process_hardened;
    size_t slot_bytes = kiln_span_slot_bytes(span);
    uintptr_t base = kiln_span_base(span);
    for (size_t i = (address - base) / slot_bytes; i < kiln_span_slots(span); i++) {
        uint8_t state = atomic_load_explicit(&span->states[i], memory_order_relaxed);
        if (state != KILN_SLOT_LIVE) continue;
        uintptr_t first = base + i * slot_bytes;
        size_t asked = hardened ? kiln_harden_about(hardened, first).asked : slot_bytes;
        if (first + asked > address) return (stretch_t){true, first, first + asked};
    }
    return (stretch_t){false, address, kiln_span_end(span)};
}

static stretch_t block_at(uintptr_t address)
{
    const kiln_harden_t *hardened = kiln_process_hardened;
    if (hardened && hardened->config.guard &&
        kiln_guard_owns(hardened->config.guard, (const void *)address))
        return guarded_at(address);
    const kiln_span_t *span = kiln_page_map_find(&kiln_process_heap.map, address);
    if (!span || !is_in(span, address)) return (stretch_t){false, address, next_page(address)};
    return block_in(span, address);
}

static bool keeps_block(void *unused, kiln_addr_t first, kiln_addr_t end, kiln_addr_t *out_first,
                        kiln_addr_t *out_end)
{
    (void)unused;
    for (uintptr_t at = (uintptr_t)first; at < end;) {
        stretch_t found = block_at(at);
        if (found.is_live && found.first < end) {
            *out_first = found.first > at ? found.first : at;
            *out_end = found.end < end ? found.end : end;
            return *out_first < *out_end;
        }
        at = found.end > at ? found.end : next_page(at);
    }
    return false;
}

/* ---- the calls ---- */

static int refuse(const char *call, int number, const char *why)
{
    kiln_message_t message = {.length_bytes = 0};
    kiln_message_put(&message, "kiln: ");
    kiln_message_put(&message, call);
    kiln_message_put(&message, ": ");
    kiln_message_put(&message, why);
    kiln_message_put(&message, "\n");
    kiln_message_write(&message);
    errno = number;
    return -1;
}

/* What stands against a call, or NULL. The calling thread has its own part of the heap from now
 * on. */
static const char *why_not(bool wants_mark, int *out_number)
{
    kiln_visit_t visit = kiln_process_enter();
    kiln_process_leave(visit);
    *out_number = ENOMEM;
    if (!visit.heap) return "there is no memory for a heap";
    *out_number = ENOTSUP;
    if (!points.is_on)
        return "this heap keeps no checkpoints; set KILN_OPTIONS=checkpoints=1, or have "
               "kiln_default_options return that (it takes some memory, which there may not be)";
    *out_number = EBUSY;
    uint32_t others = atomic_load_explicit(&kiln_process_heap.caches.count, memory_order_relaxed);
    if (kiln_thread.cache || kiln_thread.hardened) others--;
    if (others != 0) return "other threads use the heap; end them first";
    *out_number = EINVAL;
    if (wants_mark && !points.rewind.newest)
        return "there is no checkpoint; call kiln_checkpoint first";
    return NULL;
}

/* 0: the call may go on, and ends with end. */
static int begin(const char *call, bool wants_mark)
{
    int number;
    if (atomic_exchange_explicit(&points.is_inside, true, memory_order_acquire))
        return refuse(call, EBUSY, "a signal handler is no place for it: it interrupted another");
    const char *why = why_not(wants_mark, &number);
    if (!why) return 0;
    atomic_store_explicit(&points.is_inside, false, memory_order_release);
    return refuse(call, number, why);
}

static int end(const char *call, int number, const char *why)
{
    atomic_store_explicit(&points.is_inside, false, memory_order_release);
    return why ? refuse(call, number, why) : 0;
}

KILN_EXPORT int kiln_checkpoint(void)
{
    static const char call[] = "kiln_checkpoint";
    if (begin(call, false) != 0) return -1;
    bool done = kiln_os_rewind_mark(&points.rewind);
    return end(call, ENOMEM, done ? NULL : "there is no memory for a copy of the heap");
}

KILN_EXPORT int kiln_restore(kiln_restored_t what)
{
    static const char call[] = "kiln_restore";
    kiln_site_t site = {call, KILN_CALLER()};
    kiln_os_rewind_visit_t visit = {
        .ctx = &site,
        .before = before,
        .keeps = what == KILN_BLOCKS ? keeps_block : NULL,
    };
    if (what != KILN_BLOCKS && what != KILN_BYTES)
        return refuse(call, EINVAL, "it takes KILN_BLOCKS or KILN_BYTES");
    if (begin(call, true) != 0) return -1;
    bool done = kiln_os_rewind_restore(&points.rewind, &visit);
    if (done) return end(call, 0, NULL);
    (void)refuse(call, ENOMEM, "the system took memory back for good: the heap is lost");
    __builtin_trap(); /* some of it is as it was, some is not */
}

KILN_EXPORT int kiln_checkpoint_drop(void)
{
    static const char call[] = "kiln_checkpoint_drop";
    if (begin(call, true) != 0) return -1;
    kiln_os_rewind_drop(&points.rewind);
    return end(call, 0, NULL);
}

/* What stands against bytes that are to go back, or NULL. */
static const char *why_not_added(const void *start, size_t bytes, int *out_number)
{
    *out_number = EINVAL;
    if ((uintptr_t)start + (bytes - 1) < (uintptr_t)start)
        return "the bytes go beyond the last address";
    if (kiln_os_rewind_has(&points.rewind, start, bytes))
        return "the bytes are memory of the heap, which goes back anyhow";
    *out_number = EFAULT;
    if (!kiln_writable(start, bytes))
        return "not all of the bytes are private memory that can be written";
    *out_number = EBUSY;
    if (points.rewind.newest) return "there is a checkpoint; add what is to go back before it";
    return NULL;
}

KILN_EXPORT int kiln_checkpoint_add(void *start, size_t bytes)
{
    static const char call[] = "kiln_checkpoint_add";
    int number;
    if (begin(call, false) != 0) return -1;
    if (bytes == 0) return end(call, 0, NULL);
    const char *why = why_not_added(start, bytes, &number);
    if (why) return end(call, number, why);
    bool done = kiln_os_rewind_add(&points.rewind, start, bytes);
    return end(call, ENOSPC, done ? NULL : "there are as many pieces of memory as there may be");
}

void kiln_checkpoint_input(uint64_t number)
{
    if (points.is_on && kiln_thread.hardened) kiln_harden_turn(kiln_thread.hardened, number);
}

void kiln_checkpoint_fork_child(void)
{
    kiln_os_written_linux_fork_child(&points.written);
    atomic_store_explicit(&points.is_inside, false, memory_order_relaxed);
}

/* ---- reports ---- */

/* Is what a record says of a slot another thing than at the checkpoint? */
static bool is_changed(const void *now, size_t bytes)
{
    static const char nothing[sizeof(kiln_guard_slot_t)];
    const void *was = kiln_os_rewind_was(&points.rewind, now);
    return memcmp(now, was ? was : nothing, bytes) != 0;
}

/* A plain heap keeps nothing that would tell. */
static bool had_block_since(uintptr_t address)
{
    const kiln_harden_t *hardened = kiln_process_hardened;
    const kiln_guard_t *guard = hardened ? hardened->config.guard : NULL;
    kiln_guard_place_t place;
    if (guard && kiln_guard_owns(guard, (const void *)address))
        return kiln_guard_space_find(&guard->space, address, &place) &&
               is_changed(place.slot, sizeof *place.slot);
    const kiln_span_t *span = kiln_page_map_find(&kiln_process_heap.map, address);
    if (!hardened || !span || !is_in(span, address)) return false;
    if (span->class_idx == KILN_CLASS_LARGE) return true;
    const kiln_note_shape_t *shape = &hardened->shapes[span->class_idx];
    size_t slot_idx = (address - kiln_span_base(span)) / shape->slot_bytes;
    return slot_idx < shape->slots &&
           is_changed((const void *)(span->states + slot_idx + shape->slack_at), 1);
}

bool kiln_checkpoint_took(uintptr_t address, kiln_report_block_t *out)
{
    kiln_report_block_t block;
    if (!points.is_on || !points.rewind.newest || had_block_since(address) ||
        !kiln_taken_back_find(address, &block))
        return false;
    *out = block;
    return true;
}

bool kiln_checkpoint_explain(kiln_report_t *report)
{
    if (!kiln_checkpoint_took(report->address, &report->block)) return false;
    report->kind = KILN_REPORT_USE_AFTER_RESTORE;
    return true;
}
