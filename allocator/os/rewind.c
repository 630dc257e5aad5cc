/* The backend: what it hands on, and what it notes of that. */
#include "allocator/os/rewind.h"
#include "allocator/os/rewind_mark.h"

#include "allocator/base/check.h"

enum { SPARE_RANGES = 64 }; /* for calls that cannot be refused */

static const kiln_os_tag_t held = {.state = KILN_OS_FOREIGN};

static void enter(kiln_os_rewind_t *rewind)
{
    kiln_lock_acquire(&rewind->lock, &rewind->inner->parker);
}

static void leave(kiln_os_rewind_t *rewind)
{
    kiln_lock_release(&rewind->lock, &rewind->inner->parker);
}

/* ---- the backend ---- */

static bool has_room(const kiln_os_rewind_t *rewind)
{
    return rewind->model.ranges.count + SPARE_RANGES < rewind->model.ranges.max;
}

/* Guarded pages lie between others: who can do without any more of them leaves the rest to memory.
 */
static bool has_room_for_guards(const kiln_os_rewind_t *rewind)
{
    return rewind->model.ranges.count < rewind->model.ranges.max - rewind->model.ranges.max / 8;
}

/* What has a call is put back as a whole, whatever was written. */
static void note_restless(kiln_os_rewind_t *rewind, kiln_addr_t addr, uint64_t bytes)
{
    if (!rewind->newest || rewind->all_restless) return;
    if (!kiln_ranges_set(&rewind->restless, addr, addr + (bytes - 1), held))
        rewind->all_restless = true;
}

static void note(kiln_os_rewind_t *rewind, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                 kiln_os_use_t use, kiln_os_access_t access)
{
    note_restless(rewind, addr, kiln_round_up(bytes, rewind->inner->phys_bytes));
    if (!kiln_os_model_do(&rewind->model, call, addr, bytes, use, access))
        kiln_check_failed(KILN_OS_RULE_FULL, __FILE__, __LINE__);
}

static void grant(kiln_os_rewind_t *rewind, kiln_addr_t addr, uint64_t bytes, kiln_os_state_t state,
                  kiln_os_use_t use)
{
    uint64_t whole = kiln_round_up(bytes, rewind->inner->phys_bytes);
    note_restless(rewind, addr, whole);
    (void)kiln_os_model_grant(&rewind->model, addr, whole, state, use); /* it has room */
}

static void set_tag(kiln_os_rewind_t *rewind, kiln_addr_t addr, uint64_t bytes, kiln_os_tag_t tag)
{
    if (!kiln_os_model_set(&rewind->model, addr, bytes, tag))
        kiln_check_failed(KILN_OS_RULE_FULL, __FILE__, __LINE__);
}

static kiln_addr_t rewind_reserve(void *ctx, kiln_addr_t hint, uint64_t bytes, bool *out_reserved)
{
    kiln_os_rewind_t *rewind = ctx;
    const kiln_os_t *inner = rewind->inner;
    kiln_addr_t addr = 0;
    *out_reserved = false;
    enter(rewind);
    if (has_room(rewind)) addr = inner->reserve(inner->ctx, hint, bytes, out_reserved);
    if (addr != 0)
        grant(rewind, addr, bytes, *out_reserved ? KILN_OS_RESERVED : KILN_OS_UNRESERVED, 0);
    leave(rewind);
    return addr;
}

static kiln_os_answer_t rewind_commit(void *ctx, kiln_addr_t addr, uint64_t bytes, bool reserved,
                                      kiln_os_use_t use)
{
    kiln_os_rewind_t *rewind = ctx;
    const kiln_os_t *inner = rewind->inner;
    kiln_os_answer_t answer = KILN_OS_FAIL;
    enter(rewind);
    if (has_room(rewind)) answer = inner->commit(inner->ctx, addr, bytes, reserved, use);
    if (answer == KILN_OS_OK)
        note(rewind, KILN_OS_CALL_COMMIT, addr, bytes, use, KILN_OS_READ_WRITE);
    leave(rewind);
    return answer;
}

/* Of the two calls that give memory up. */
static void give_up(kiln_os_rewind_t *rewind, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes)
{
    const kiln_os_t *inner = rewind->inner;
    enter(rewind);
    if (call == KILN_OS_CALL_DISCARD)
        inner->discard(inner->ctx, addr, bytes);
    else
        inner->decommit(inner->ctx, addr, bytes);
    note(rewind, call, addr, bytes, 0, KILN_OS_NO_ACCESS);
    leave(rewind);
}

static void rewind_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    give_up(ctx, KILN_OS_CALL_DISCARD, addr, bytes);
}

static void rewind_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    give_up(ctx, KILN_OS_CALL_DECOMMIT, addr, bytes);
}

static bool rewind_protect(void *ctx, kiln_addr_t addr, uint64_t bytes, kiln_os_access_t access)
{
    kiln_os_rewind_t *rewind = ctx;
    enter(rewind);
    bool done = has_room(rewind) && rewind->inner->protect(rewind->inner->ctx, addr, bytes, access);
    if (done) note(rewind, KILN_OS_CALL_PROTECT, addr, bytes, 0, access);
    leave(rewind);
    return done;
}

static bool rewind_guard(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_rewind_t *rewind = ctx;
    enter(rewind);
    bool done = has_room_for_guards(rewind) && kiln_os_guard(rewind->inner, addr, bytes, on);
    if (done)
        note(rewind, KILN_OS_CALL_GUARD, addr, bytes, 0,
             on ? KILN_OS_NO_ACCESS : KILN_OS_READ_WRITE);
    leave(rewind);
    return done;
}

static void rewind_huge(void *ctx, kiln_addr_t addr, uint64_t bytes, bool on)
{
    kiln_os_huge(((const kiln_os_rewind_t *)ctx)->inner, addr, bytes, on);
}

static kiln_addr_t rewind_direct(void *ctx, uint64_t bytes, kiln_os_use_t use)
{
    kiln_os_rewind_t *rewind = ctx;
    const kiln_os_t *inner = rewind->inner;
    enter(rewind);
    kiln_addr_t addr = has_room(rewind) ? inner->direct(inner->ctx, bytes, use) : 0;
    if (addr != 0) grant(rewind, addr, bytes, KILN_OS_READY, use);
    leave(rewind);
    return addr;
}

/* ---- what is given back ---- */

/* One stretch, of one tag, that the mark had or had not. */
static void give_back(kiln_os_rewind_t *rewind, kiln_addr_t addr, uint64_t bytes, kiln_os_tag_t now,
                      kiln_os_tag_t marked)
{
    const kiln_os_t *inner = rewind->inner;
    if (marked.state < KILN_OS_RESERVED) {
        inner->release(inner->ctx, addr, bytes);
        note(rewind, KILN_OS_CALL_RELEASE, addr, bytes, 0, KILN_OS_NO_ACCESS);
        return;
    }
    if (kiln_os_has_memory(now)) inner->decommit(inner->ctx, addr, bytes);
    note_restless(rewind, addr, bytes);
    set_tag(rewind, addr, bytes, held);
}

static void rewind_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_rewind_t *rewind = ctx;
    enter(rewind);
    kiln_addr_t last = addr + (kiln_round_up(bytes, rewind->inner->phys_bytes) - 1);
    for (kiln_addr_t from = addr, to; from <= last && from >= addr; from = to + 1) {
        to = last;
        kiln_os_tag_t now = kiln_os_tag_at(&rewind->model.ranges, from, &to);
        kiln_os_tag_t marked = kiln_os_marked_at(rewind->newest, from, &to);
        give_back(rewind, from, to - from + 1, now, marked);
    }
    leave(rewind);
}

/* ---- marks ---- */

bool kiln_os_rewind_mark(kiln_os_rewind_t *rewind)
{
    enter(rewind);
    bool done = kiln_os_mark_make(rewind);
    leave(rewind);
    return done;
}

bool kiln_os_rewind_restore(kiln_os_rewind_t *rewind, const kiln_os_rewind_visit_t *visit)
{
    static const kiln_os_rewind_visit_t nobody = {.ctx = NULL};
    KILN_CHECK(rewind->newest);
    enter(rewind);
    bool done = kiln_os_mark_put_back(rewind, visit ? visit : &nobody);
    leave(rewind);
    return done;
}

/* What was kept for the mark goes, unless an older one has it, too. */
static void let_held_go(kiln_os_rewind_t *rewind)
{
    const kiln_os_t *inner = rewind->inner;
    for (kiln_addr_t from = 0, to;; from = to + 1) {
        to = rewind->model.mask;
        kiln_os_tag_t now = kiln_os_tag_at(&rewind->model.ranges, from, &to);
        kiln_os_tag_t marked = kiln_os_marked_at(rewind->newest, from, &to);
        if (now.state == KILN_OS_FOREIGN && marked.state < KILN_OS_RESERVED) {
            inner->release(inner->ctx, from, to - from + 1);
            set_tag(rewind, from, to - from + 1, (kiln_os_tag_t){.state = KILN_OS_NONE});
        }
        if (to == rewind->model.mask) return;
    }
}

void kiln_os_rewind_drop(kiln_os_rewind_t *rewind)
{
    KILN_CHECK(rewind->newest);
    enter(rewind);
    kiln_os_mark_forget(rewind);
    let_held_go(rewind);
    leave(rewind);
}

bool kiln_os_rewind_add(kiln_os_rewind_t *rewind, void *start, size_t bytes)
{
    if (rewind->newest || rewind->pieces_count == KILN_OS_REWIND_PIECES_MAX) return false;
    rewind->pieces[rewind->pieces_count].start = start;
    rewind->pieces[rewind->pieces_count++].bytes = bytes;
    return true;
}

void kiln_os_rewind_init(kiln_os_rewind_t *rewind, const kiln_os_t *inner,
                         const kiln_os_written_t *written, kiln_os_range_t *ranges,
                         unsigned ranges_max)
{
    *rewind = (kiln_os_rewind_t){
        .os =
            {
                .ctx = rewind,
                .phys_bytes = inner->phys_bytes,
                .huge_bytes = inner->huge_bytes,
                .addr_bits = inner->addr_bits,
                .reserve = rewind_reserve,
                .commit = rewind_commit,
                .discard = rewind_discard,
                .decommit = rewind_decommit,
                .protect = rewind_protect,
                .guard = rewind_guard,
                .huge = rewind_huge,
                .release = rewind_release,
                .direct = rewind_direct,
                .parker = inner->parker,
            },
        .inner = inner,
        .written = written,
    };
    kiln_os_model_init(&rewind->model, ranges, ranges_max, inner->phys_bytes, inner->addr_bits);
}
