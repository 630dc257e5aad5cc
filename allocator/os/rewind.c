#include "allocator/os/rewind.h"

#include "allocator/base/check.h"

#include <string.h>

enum { SPARE_RANGES = 64 }; /* for calls that cannot be refused */

/* Behind the ranges, from the next page on, lie the bytes: of each Ready range, then the pieces. */
struct kiln_os_mark {
    kiln_os_mark_t *older;
    uint64_t bytes; /* of this record's memory */
    uint64_t copies_at;
    unsigned ranges_count;
    kiln_os_range_t ranges[];
};

static const kiln_os_tag_t nothing = {.state = KILN_OS_NONE};
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

static void note(kiln_os_rewind_t *rewind, kiln_os_call_t call, kiln_addr_t addr, uint64_t bytes,
                 kiln_os_use_t use, kiln_os_access_t access)
{
    if (!kiln_os_model_do(&rewind->model, call, addr, bytes, use, access))
        kiln_check_failed(KILN_OS_RULE_FULL, __FILE__, __LINE__);
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
        (void)kiln_os_model_grant(&rewind->model, addr, kiln_round_up(bytes, inner->phys_bytes),
                                  *out_reserved ? KILN_OS_RESERVED : KILN_OS_UNRESERVED, 0);
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

static void rewind_discard(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_rewind_t *rewind = ctx;
    enter(rewind);
    rewind->inner->discard(rewind->inner->ctx, addr, bytes);
    note(rewind, KILN_OS_CALL_DISCARD, addr, bytes, 0, KILN_OS_NO_ACCESS);
    leave(rewind);
}

static void rewind_decommit(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_rewind_t *rewind = ctx;
    enter(rewind);
    rewind->inner->decommit(rewind->inner->ctx, addr, bytes);
    note(rewind, KILN_OS_CALL_DECOMMIT, addr, bytes, 0, KILN_OS_NO_ACCESS);
    leave(rewind);
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
    bool done = has_room(rewind) && kiln_os_guard(rewind->inner, addr, bytes, on);
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
    if (addr != 0)
        (void)kiln_os_model_grant(&rewind->model, addr, kiln_round_up(bytes, inner->phys_bytes),
                                  KILN_OS_READY, use);
    leave(rewind);
    return addr;
}

/* ---- what is given back ---- */

/* The tag of `addr` in ranges, and in *io_last, if that is higher, the last address that has it. */
static kiln_os_tag_t tag_at(const kiln_os_range_t *items, unsigned count, kiln_addr_t addr,
                            kiln_addr_t *io_last)
{
    kiln_ranges_t ranges = {.items = (kiln_os_range_t *)(uintptr_t)items, .count = count};
    unsigned i = kiln_ranges_find(&ranges, addr);
    if (i == count) return nothing;
    bool inside = items[i].first <= addr;
    kiln_addr_t last = inside ? items[i].last : items[i].first - 1;
    if (last < *io_last) *io_last = last;
    return inside ? items[i].tag : nothing;
}

static bool has_memory(kiln_os_tag_t tag)
{
    return tag.state == KILN_OS_READY || tag.state == KILN_OS_PREPARED ||
           tag.state == KILN_OS_GUARDED;
}

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
    if (has_memory(now)) inner->decommit(inner->ctx, addr, bytes);
    set_tag(rewind, addr, bytes, held);
}

static void rewind_release(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    kiln_os_rewind_t *rewind = ctx;
    enter(rewind);
    kiln_addr_t last = addr + (kiln_round_up(bytes, rewind->inner->phys_bytes) - 1);
    for (kiln_addr_t from = addr, to; from <= last && from >= addr; from = to + 1) {
        const kiln_ranges_t *ranges = &rewind->model.ranges;
        const kiln_os_mark_t *mark = rewind->newest;
        to = last;
        kiln_os_tag_t now = tag_at(ranges->items, ranges->count, from, &to), marked = nothing;
        if (mark) marked = tag_at(mark->ranges, mark->ranges_count, from, &to);
        give_back(rewind, from, to - from + 1, now, marked);
    }
    leave(rewind);
}

/* ---- marks ---- */

/* Is what lies at both the same? Of NULL, that is zeros, too. By words, all of them: a loop that
 * compilers make wide, and no call. */
static bool is_same(const char *left, const char *right, size_t bytes)
{
    uint64_t other = 0, a, b = 0;
    size_t at = 0;
    for (; bytes - at >= sizeof a; at += sizeof a) {
        memcpy(&a, left + at, sizeof a);
        if (right) memcpy(&b, right + at, sizeof b);
        other |= a ^ b;
    }
    for (; at < bytes; at++) other |= (uint64_t)(left[at] ^ (right ? right[at] : 0));
    return other == 0;
}

/* To where all is zero. */
static void copy_out(char *to, const char *from, uint64_t bytes, uint64_t page_bytes)
{
    for (uint64_t at = 0; at < bytes; at += page_bytes) {
        size_t part = (size_t)(bytes - at < page_bytes ? bytes - at : page_bytes);
        if (!is_same(from + at, NULL, part)) memcpy(to + at, from + at, part);
    }
}

static void copy_back(char *to, const char *from, uint64_t bytes, uint64_t page_bytes)
{
    for (uint64_t at = 0; at < bytes; at += page_bytes) {
        size_t part = (size_t)(bytes - at < page_bytes ? bytes - at : page_bytes);
        if (!is_same(to + at, from + at, part)) memcpy(to + at, from + at, part);
    }
}

static uint64_t range_bytes(const kiln_os_range_t *range)
{
    return range->last - range->first + 1;
}

static uint64_t pieces_bytes(const kiln_os_rewind_t *rewind)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < rewind->pieces_count; i++) bytes += rewind->pieces[i].bytes;
    return bytes;
}

/* A range that cannot be read is made so for the moment. */
static void copy_range_out(const kiln_os_rewind_t *rewind, const kiln_os_range_t *range, char *to)
{
    const kiln_os_t *inner = rewind->inner;
    bool is_closed = range->tag.access == KILN_OS_NO_ACCESS;
    if (is_closed &&
        !inner->protect(inner->ctx, range->first, range_bytes(range), KILN_OS_READ_ONLY))
        kiln_check_failed("os: what was opened and closed can be opened again", __FILE__, __LINE__);
    copy_out(to, (const char *)(uintptr_t)range->first, range_bytes(range), inner->phys_bytes);
    if (is_closed)
        (void)inner->protect(inner->ctx, range->first, range_bytes(range), KILN_OS_NO_ACCESS);
}

static void fill_mark(const kiln_os_rewind_t *rewind, kiln_os_mark_t *mark)
{
    const kiln_ranges_t *ranges = &rewind->model.ranges;
    char *to = (char *)mark + mark->copies_at;
    mark->ranges_count = ranges->count;
    for (unsigned i = 0; i < ranges->count; i++) {
        const kiln_os_range_t *range = &ranges->items[i];
        mark->ranges[i] = *range;
        if (range->tag.state != KILN_OS_READY) continue;
        copy_range_out(rewind, range, to);
        to += range_bytes(range);
    }
    for (unsigned i = 0; i < rewind->pieces_count; i++) {
        copy_out(to, rewind->pieces[i].start, rewind->pieces[i].bytes, rewind->inner->phys_bytes);
        to += rewind->pieces[i].bytes;
    }
}

bool kiln_os_rewind_mark(kiln_os_rewind_t *rewind)
{
    const kiln_os_t *inner = rewind->inner;
    enter(rewind);
    uint64_t head =
        sizeof(kiln_os_mark_t) + (uint64_t)rewind->model.ranges.count * sizeof(kiln_os_range_t);
    uint64_t copies_at = kiln_round_up(head, inner->phys_bytes);
    uint64_t bytes = copies_at + rewind->model.state_bytes[KILN_OS_READY] + pieces_bytes(rewind);
    kiln_addr_t addr = inner->direct(inner->ctx, bytes, KILN_OS_META);
    if (addr != 0) {
        kiln_os_mark_t *mark = (kiln_os_mark_t *)(uintptr_t)addr;
        mark->older = rewind->newest;
        mark->bytes = bytes;
        mark->copies_at = copies_at;
        fill_mark(rewind, mark);
        rewind->newest = mark;
    }
    leave(rewind);
    return addr != 0;
}

/* ---- the way back ---- */

/* First what is too much goes, so that there is memory for what is missing. */
static void take_away(const kiln_os_rewind_t *rewind, kiln_addr_t addr, uint64_t bytes,
                      kiln_os_tag_t now, kiln_os_tag_t marked)
{
    const kiln_os_t *inner = rewind->inner;
    if (marked.state < KILN_OS_RESERVED) {
        if (now.state >= KILN_OS_RESERVED) inner->release(inner->ctx, addr, bytes);
    } else if (marked.state == KILN_OS_RESERVED && has_memory(now)) {
        inner->decommit(inner->ctx, addr, bytes);
    }
}

/* make_ready makes memory that is ours Ready and writable. */
static bool make_ready(const kiln_os_rewind_t *rewind, kiln_addr_t addr, uint64_t bytes,
                       kiln_os_tag_t now, kiln_os_use_t use)
{
    const kiln_os_t *inner = rewind->inner;
    if (now.state == KILN_OS_GUARDED) return kiln_os_guard(inner, addr, bytes, false);
    if (now.state != KILN_OS_READY)
        return inner->commit(inner->ctx, addr, bytes, true, use) == KILN_OS_OK;
    return now.access == KILN_OS_READ_WRITE ||
           inner->protect(inner->ctx, addr, bytes, KILN_OS_READ_WRITE);
}

/* What had memory at the mark. */
static bool put_back(const kiln_os_rewind_t *rewind, kiln_addr_t addr, uint64_t bytes,
                     kiln_os_tag_t now, kiln_os_tag_t marked, const char *copy)
{
    const kiln_os_t *inner = rewind->inner;
    if (marked.state != KILN_OS_READY && marked.state == now.state) return true;
    if (!make_ready(rewind, addr, bytes, now, (kiln_os_use_t)marked.use)) return false;
    if (marked.state == KILN_OS_GUARDED) return kiln_os_guard(inner, addr, bytes, true);
    if (marked.state == KILN_OS_PREPARED) {
        inner->discard(inner->ctx, addr, bytes);
        return true;
    }
    copy_back((char *)(uintptr_t)addr, copy, bytes, inner->phys_bytes);
    return marked.access == KILN_OS_READ_WRITE ||
           inner->protect(inner->ctx, addr, bytes, (kiln_os_access_t)marked.access);
}

/* Goes over all addresses, stretch by stretch of one tag now and one at the mark. None has memory
 * at 0, which stands for no address. */
static bool go_over(const kiln_os_rewind_t *rewind, bool takes_away)
{
    const kiln_ranges_t *ranges = &rewind->model.ranges;
    const kiln_os_mark_t *mark = rewind->newest;
    const char *copy = (const char *)mark + mark->copies_at; /* of the mark's range i */
    unsigned i = 0;
    for (kiln_addr_t from = 0, to;; from = to + 1) {
        to = rewind->model.mask;
        kiln_os_tag_t now = tag_at(ranges->items, ranges->count, from, &to);
        kiln_os_tag_t marked = tag_at(mark->ranges, mark->ranges_count, from, &to);
        for (; i < mark->ranges_count && mark->ranges[i].last < from; i++)
            if (mark->ranges[i].tag.state == KILN_OS_READY) copy += range_bytes(&mark->ranges[i]);
        if (takes_away)
            take_away(rewind, from, to - from + 1, now, marked);
        else if (from != 0 && has_memory(marked) &&
                 !put_back(rewind, from, to - from + 1, now, marked,
                           copy + (from - mark->ranges[i].first)))
            return false;
        if (to == rewind->model.mask) return true;
    }
}

static void restore_pieces(const kiln_os_rewind_t *rewind)
{
    const kiln_os_mark_t *mark = rewind->newest;
    const char *copy = (const char *)mark + mark->bytes - pieces_bytes(rewind);
    for (unsigned i = 0; i < rewind->pieces_count; i++) {
        copy_back(rewind->pieces[i].start, copy, rewind->pieces[i].bytes,
                  rewind->inner->phys_bytes);
        copy += rewind->pieces[i].bytes;
    }
}

static void restore_model(kiln_os_rewind_t *rewind)
{
    const kiln_os_mark_t *mark = rewind->newest;
    kiln_os_model_t *model = &rewind->model;
    for (unsigned i = 0; i < KILN_OS_STATES; i++) model->state_bytes[i] = 0;
    model->ranges.count = mark->ranges_count;
    for (unsigned i = 0; i < mark->ranges_count; i++) {
        model->ranges.items[i] = mark->ranges[i];
        model->state_bytes[mark->ranges[i].tag.state] += range_bytes(&mark->ranges[i]);
    }
}

bool kiln_os_rewind_restore(kiln_os_rewind_t *rewind)
{
    KILN_CHECK(rewind->newest);
    enter(rewind);
    (void)go_over(rewind, true);
    bool done = go_over(rewind, false);
    if (done) {
        restore_pieces(rewind);
        restore_model(rewind);
    }
    leave(rewind);
    return done;
}

/* What was kept for the mark goes, unless an older one has it, too. */
static void let_held_go(kiln_os_rewind_t *rewind)
{
    const kiln_os_t *inner = rewind->inner;
    const kiln_os_mark_t *mark = rewind->newest;
    for (kiln_addr_t from = 0, to;; from = to + 1) {
        const kiln_ranges_t *ranges = &rewind->model.ranges;
        kiln_os_tag_t marked = nothing;
        to = rewind->model.mask;
        kiln_os_tag_t now = tag_at(ranges->items, ranges->count, from, &to);
        if (mark) marked = tag_at(mark->ranges, mark->ranges_count, from, &to);
        if (now.state == KILN_OS_FOREIGN && marked.state < KILN_OS_RESERVED) {
            inner->release(inner->ctx, from, to - from + 1);
            set_tag(rewind, from, to - from + 1, nothing);
        }
        if (to == rewind->model.mask) return;
    }
}

void kiln_os_rewind_drop(kiln_os_rewind_t *rewind)
{
    KILN_CHECK(rewind->newest);
    enter(rewind);
    kiln_os_mark_t *mark = rewind->newest;
    rewind->newest = mark->older;
    rewind->inner->release(rewind->inner->ctx, (uintptr_t)mark, mark->bytes);
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

void kiln_os_rewind_init(kiln_os_rewind_t *rewind, const kiln_os_t *inner, kiln_os_range_t *ranges,
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
    };
    kiln_os_model_init(&rewind->model, ranges, ranges_max, inner->phys_bytes, inner->addr_bits);
}
