#include "allocator/os/rewind_mark.h"

#include "allocator/base/check.h"

#include <string.h>

enum {
    STRETCHES_MAX = 4096, /* that a list may have, and ranges that had calls */
    IN_VAIN_PER_PAGE = 6, /* see forget_written */
    IN_VAIN_PER_LISTING = 128,
};

/* ---- bytes ---- */

/* By words, all of them: loops that compilers make wide, and no call. */
static bool is_same(const char *left, const char *right, size_t bytes)
{
    uint64_t other = 0, a, b;
    size_t at = 0;
    for (; at + sizeof a <= bytes; at += sizeof a) {
        memcpy(&a, left + at, sizeof a);
        memcpy(&b, right + at, sizeof b);
        other |= a ^ b;
    }
    for (; at < bytes; at++) other |= (uint64_t)(left[at] ^ right[at]);
    return other == 0;
}

static bool is_zero(const char *start, size_t bytes)
{
    uint64_t other = 0, word;
    size_t at = 0;
    for (; at + sizeof word <= bytes; at += sizeof word) {
        memcpy(&word, start + at, sizeof word);
        other |= word;
    }
    for (; at < bytes; at++) other |= (uint64_t)start[at];
    return other == 0;
}

/* To where all is zero. */
static void copy_out(char *to, const char *from, uint64_t bytes, uint64_t page_bytes)
{
    for (uint64_t at = 0; at < bytes; at += page_bytes) {
        size_t part = (size_t)(bytes - at < page_bytes ? bytes - at : page_bytes);
        if (!is_zero(from + at, part)) memcpy(to + at, from + at, part);
    }
}

/* How many pages were not the same. */
static uint64_t copy_back(char *to, const char *from, uint64_t bytes, uint64_t page_bytes)
{
    uint64_t pages = 0;
    for (uint64_t at = 0; at < bytes; at += page_bytes) {
        size_t part = (size_t)(bytes - at < page_bytes ? bytes - at : page_bytes);
        if (is_same(to + at, from + at, part)) continue;
        memcpy(to + at, from + at, part);
        pages++;
    }
    return pages;
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

/* ---- what was written ---- */

static bool is_open(kiln_os_tag_t tag)
{
    return tag.state == KILN_OS_READY && tag.access == KILN_OS_READ_WRITE;
}

/* Guarded pages are of the mapping of their Ready neighbours: to follow these alone would cut it
 * into as many as there are. They are listed, and are as they were. */
static bool is_followed_too(kiln_os_tag_t tag)
{
    return is_open(tag) || tag.state == KILN_OS_GUARDED;
}

/* A mark and its copies are no memory of the backend's, so they are in the way of nothing. */
static bool follow_all(kiln_os_rewind_t *rewind)
{
    const kiln_os_written_t *written = rewind->written;
    const kiln_ranges_t *ranges = &rewind->newest->ranges;
    for (unsigned i = 0, end; written && i < ranges->count; i = end) {
        end = i + 1;
        if (!is_followed_too(ranges->items[i].tag)) continue;
        while (end < ranges->count && is_followed_too(ranges->items[end].tag) &&
               ranges->items[end].first == ranges->items[end - 1].last + 1)
            end++;
        kiln_addr_t first = ranges->items[i].first, last = ranges->items[end - 1].last;
        if (!written->follow(written->ctx, first, last - first + 1)) return false;
    }
    return written != NULL;
}

/* What had a call may have been given other memory meanwhile. */
static bool follow_restless(kiln_os_rewind_t *rewind)
{
    const kiln_os_written_t *written = rewind->written;
    const kiln_ranges_t *ranges = &rewind->newest->ranges;
    for (unsigned i = 0; i < rewind->restless.count; i++) {
        kiln_os_range_t call = rewind->restless.items[i];
        for (kiln_addr_t from = call.first, to; from <= call.last && from != 0; from = to + 1) {
            to = call.last;
            if (is_open(kiln_os_tag_at(ranges, from, &to)) &&
                !written->follow(written->ctx, from, to - from + 1))
                return false;
        }
    }
    return true;
}

/* Lists what was written since the newest mark, or the last restore. */
static void look(kiln_os_rewind_t *rewind)
{
    const kiln_ranges_t *ranges = &rewind->newest->ranges;
    kiln_addr_t first = 0;
    rewind->stretches_count = 0;
    rewind->listed_end = 0;
    if (!rewind->is_followed || rewind->newest->is_stale || ranges->count == 0) return;
    first = ranges->items[0].first;
    long count =
        rewind->written->list(rewind->written->ctx, &first, ranges->items[ranges->count - 1].last,
                              rewind->stretches, STRETCHES_MAX);
    rewind->is_followed = count >= 0;
    if (count < 0) return;
    rewind->stretches_count = (unsigned)count;
    rewind->listed_end = first;
}

/* The first stretch in [*io_first, *io_last] that may have been written to. False: there is none.
 */
static bool next_written(const kiln_os_rewind_t *rewind, kiln_addr_t *io_first,
                         kiln_addr_t *io_last)
{
    unsigned low = 0, high = rewind->stretches_count;
    if (*io_first >= rewind->listed_end) return true;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (rewind->stretches[middle].last < *io_first)
            low = middle + 1;
        else
            high = middle;
    }
    kiln_os_stretch_t found = {rewind->listed_end, *io_last};
    if (low < rewind->stretches_count) found = rewind->stretches[low];
    if (found.first > *io_last) return false;
    if (found.first > *io_first) *io_first = found.first;
    if (found.last < *io_last) *io_last = found.last;
    return true;
}

/* A page that is written to after it was forgotten costs a fault, some six times what it costs to
 * look at one in vain: so what was written once stays on the list until that has been paid. */
static void forget_written(kiln_os_rewind_t *rewind)
{
    const kiln_os_written_t *written = rewind->written;
    const kiln_ranges_t *ranges = &rewind->newest->ranges;
    if (!rewind->is_followed || ranges->count == 0) return;
    if (rewind->pages_in_vain < IN_VAIN_PER_LISTING + IN_VAIN_PER_PAGE * rewind->pages_seen) return;
    rewind->pages_in_vain = 0;
    rewind->is_followed = written->forget(written->ctx, ranges->items[0].first,
                                          ranges->items[ranges->count - 1].last);
}

/* ---- the way there ---- */

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

static void fill_mark(const kiln_os_rewind_t *rewind, kiln_os_mark_t *mark, char *to)
{
    for (unsigned i = 0; i < mark->ranges.count; i++) {
        const kiln_os_range_t *range = &mark->ranges.items[i];
        mark->copies[i] = NULL;
        if (range->tag.state != KILN_OS_READY) continue;
        mark->copies[i] = to;
        copy_range_out(rewind, range, to);
        to += range_bytes(range);
    }
    mark->pieces = to;
    for (unsigned i = 0; i < rewind->pieces_count; i++) {
        copy_out(to, rewind->pieces[i].start, rewind->pieces[i].bytes, rewind->inner->phys_bytes);
        to += rewind->pieces[i].bytes;
    }
}

/* The arrays that all marks share. */
static uint64_t shared_bytes(void)
{
    return STRETCHES_MAX * (sizeof(kiln_os_stretch_t) + sizeof(kiln_os_range_t));
}

static bool take_shared(kiln_os_rewind_t *rewind)
{
    const kiln_os_t *inner = rewind->inner;
    if (rewind->stretches) return true;
    kiln_addr_t addr = inner->direct(inner->ctx, shared_bytes(), KILN_OS_META);
    if (addr == 0) return false;
    rewind->stretches = (kiln_os_stretch_t *)(uintptr_t)addr;
    rewind->restless.items = (kiln_os_range_t *)(rewind->stretches + STRETCHES_MAX);
    rewind->restless.max = STRETCHES_MAX;
    return true;
}

static void give_shared(kiln_os_rewind_t *rewind)
{
    const kiln_os_t *inner = rewind->inner;
    inner->release(inner->ctx, (uintptr_t)rewind->stretches, shared_bytes());
    rewind->stretches = NULL;
    rewind->restless = (kiln_ranges_t){.items = NULL};
}

/* From now on, or after all was put back. */
static void begin_anew(kiln_os_rewind_t *rewind)
{
    bool is_known = rewind->is_followed && !rewind->all_restless && !rewind->newest->is_stale;
    rewind->is_followed = is_known ? follow_restless(rewind) : follow_all(rewind);
    if (!is_known) rewind->pages_in_vain = 0;
    rewind->restless.count = 0;
    rewind->all_restless = false;
    rewind->newest->is_stale = false;
}

bool kiln_os_mark_make(kiln_os_rewind_t *rewind)
{
    const kiln_os_t *inner = rewind->inner;
    const kiln_ranges_t *now = &rewind->model.ranges;
    uint64_t ranges_at = sizeof(kiln_os_mark_t);
    uint64_t copies_at = ranges_at + now->count * sizeof(kiln_os_range_t);
    uint64_t bytes_at = kiln_round_up(copies_at + now->count * sizeof(char *), inner->phys_bytes);
    uint64_t bytes = bytes_at + rewind->model.state_bytes[KILN_OS_READY] + pieces_bytes(rewind);
    if (!take_shared(rewind)) return false;
    kiln_addr_t addr = inner->direct(inner->ctx, bytes, KILN_OS_META);
    if (addr == 0) {
        if (!rewind->newest) give_shared(rewind);
        return false;
    }
    rewind->is_followed = false; /* an older one's are */
    kiln_os_mark_t *mark = (kiln_os_mark_t *)(uintptr_t)addr;
    *mark = (kiln_os_mark_t){.older = rewind->newest, .bytes = bytes, .ranges.count = now->count};
    mark->ranges.items = (kiln_os_range_t *)(uintptr_t)(addr + ranges_at);
    mark->copies = (char **)(uintptr_t)(addr + copies_at);
    memcpy(mark->ranges.items, now->items, now->count * sizeof *now->items);
    fill_mark(rewind, mark, (char *)(uintptr_t)(addr + bytes_at));
    if (mark->older) mark->older->is_stale = true;
    rewind->newest = mark;
    begin_anew(rewind);
    return true;
}

void kiln_os_mark_forget(kiln_os_rewind_t *rewind)
{
    kiln_os_mark_t *mark = rewind->newest;
    rewind->newest = mark->older;
    rewind->inner->release(rewind->inner->ctx, (uintptr_t)mark, mark->bytes);
    if (!rewind->newest) give_shared(rewind);
}

/* ---- the way back ---- */

/* One round over all addresses. */
typedef enum round {
    KEEP_NOW,    /* while records tell of blocks: what no block is in, where some may stay */
    TAKE_AWAY,   /* what is too much goes, so that there is memory for what is missing */
    PUT_BACK,    /* then all the rest, */
    KEEP_MARKED, /* and what no block was in */
} round_t;

/* A stretch of one tag now and one at the mark. `is_restless`: it had a call. */
typedef struct step {
    kiln_addr_t first;
    uint64_t bytes;
    kiln_os_tag_t now, marked;
    const char *copy; /* of its first byte, where `marked` is Ready */
    bool is_restless;
} step_t;

static void take_away(const kiln_os_rewind_t *rewind, const step_t *step)
{
    const kiln_os_t *inner = rewind->inner;
    if (step->marked.state < KILN_OS_RESERVED) {
        if (step->now.state >= KILN_OS_RESERVED)
            inner->release(inner->ctx, step->first, step->bytes);
    } else if (step->marked.state == KILN_OS_RESERVED && kiln_os_has_memory(step->now)) {
        inner->decommit(inner->ctx, step->first, step->bytes);
    }
}

/* make_ready makes memory that is ours Ready and writable. */
static bool make_ready(const kiln_os_rewind_t *rewind, const step_t *step)
{
    const kiln_os_t *inner = rewind->inner;
    kiln_os_use_t use = (kiln_os_use_t)step->marked.use;
    if (step->now.state == KILN_OS_GUARDED)
        return kiln_os_guard(inner, step->first, step->bytes, false);
    if (step->now.state != KILN_OS_READY)
        return inner->commit(inner->ctx, step->first, step->bytes, true, use) == KILN_OS_OK;
    return step->now.access == KILN_OS_READ_WRITE ||
           inner->protect(inner->ctx, step->first, step->bytes, KILN_OS_READ_WRITE);
}

/* What had memory at the mark, and is in another state, or was. */
static bool put_back(const kiln_os_rewind_t *rewind, const step_t *step)
{
    const kiln_os_t *inner = rewind->inner;
    kiln_os_tag_t marked = step->marked;
    bool is_same_state = marked.state == step->now.state;
    if (marked.state != KILN_OS_READY && is_same_state) return true;
    /* Nor can what was closed all the while have been written to. */
    if (is_same_state && marked.access == step->now.access && !step->is_restless) return true;
    if (!make_ready(rewind, step)) return false;
    if (marked.state == KILN_OS_GUARDED)
        return kiln_os_guard(inner, step->first, step->bytes, true);
    if (marked.state == KILN_OS_PREPARED) {
        inner->discard(inner->ctx, step->first, step->bytes);
        return true;
    }
    (void)copy_back((char *)(uintptr_t)step->first, step->copy, step->bytes, inner->phys_bytes);
    return marked.access == KILN_OS_READ_WRITE ||
           inner->protect(inner->ctx, step->first, step->bytes, (kiln_os_access_t)marked.access);
}

/* What is as it was but for its bytes. */
static void put_bytes_back(kiln_os_rewind_t *rewind, const step_t *step)
{
    uint64_t page_bytes = rewind->inner->phys_bytes, pages = step->bytes / page_bytes;
    rewind->pages_seen += pages;
    rewind->pages_in_vain +=
        pages - copy_back((char *)(uintptr_t)step->first, step->copy, step->bytes, page_bytes);
}

/* The same, but for what stays. */
static void copy_around(const kiln_os_rewind_t *rewind, const kiln_os_rewind_visit_t *visit,
                        const step_t *step)
{
    kiln_addr_t last = step->first + (step->bytes - 1);
    for (kiln_addr_t from = step->first; from <= last;) {
        kiln_addr_t to = last + 1, next = last + 1;
        if (!visit->keeps(visit->ctx, from, last + 1, &to, &next)) to = next = last + 1;
        (void)copy_back((char *)(uintptr_t)from, step->copy + (from - step->first), to - from,
                        rewind->inner->phys_bytes);
        from = next;
    }
}

static bool do_step(kiln_os_rewind_t *rewind, const kiln_os_rewind_visit_t *visit, round_t round,
                    const step_t *step)
{
    bool is_as_it_was = is_open(step->now) && is_open(step->marked);
    bool is_kept = is_as_it_was && visit->keeps && step->marked.use == KILN_OS_HEAP;
    if (round == TAKE_AWAY)
        take_away(rewind, step);
    else if (is_kept && round != PUT_BACK)
        copy_around(rewind, visit, step);
    else if (is_as_it_was && !is_kept && round == PUT_BACK)
        put_bytes_back(rewind, step);
    else if (!is_as_it_was && round == PUT_BACK && kiln_os_has_memory(step->marked))
        return put_back(rewind, step);
    return true;
}

/* All of [first, last]; without what had calls, unless it `is_restless`. None has memory at 0,
 * which stands for no address. */
static bool go_through(kiln_os_rewind_t *rewind, const kiln_os_rewind_visit_t *visit, round_t round,
                       kiln_os_stretch_t part, bool is_restless)
{
    const kiln_os_mark_t *mark = rewind->newest;
    for (kiln_addr_t from = part.first, to; from <= part.last && from >= part.first;
         from = to + 1) {
        to = part.last;
        step_t step = {.first = from, .is_restless = is_restless};
        step.now = kiln_os_tag_at(&rewind->model.ranges, from, &to);
        step.marked = kiln_os_tag_at(&mark->ranges, from, &to);
        bool had_calls = kiln_os_tag_at(&rewind->restless, from, &to).state != KILN_OS_NONE;
        step.bytes = to - from + 1;
        if (step.marked.state == KILN_OS_READY) {
            unsigned i = kiln_ranges_find(&mark->ranges, from);
            step.copy = mark->copies[i] + (from - mark->ranges.items[i].first);
        }
        bool is_mine = from != 0 && (is_restless || !had_calls);
        if (is_mine && !do_step(rewind, visit, round, &step)) return false;
        if (to == rewind->model.mask) return true;
    }
    return true;
}

/* States changed only where there were calls, bytes there and where they were written to. */
static bool go_over(kiln_os_rewind_t *rewind, const kiln_os_rewind_visit_t *visit, round_t round)
{
    const kiln_ranges_t *marked = &rewind->newest->ranges;
    kiln_os_stretch_t part = {0, rewind->model.mask};
    if (rewind->all_restless || rewind->newest->is_stale)
        return go_through(rewind, visit, round, part, true);
    for (unsigned i = 0; i < rewind->restless.count; i++) {
        const kiln_os_range_t *range = &rewind->restless.items[i];
        part = (kiln_os_stretch_t){range->first, range->last};
        if (!go_through(rewind, visit, round, part, true)) return false;
    }
    if (round == TAKE_AWAY || marked->count == 0) return true;
    kiln_addr_t last = marked->items[marked->count - 1].last;
    for (kiln_addr_t from = marked->items[0].first; from <= last && from != 0;
         from = part.last + 1) {
        part = (kiln_os_stretch_t){from, last};
        if (!next_written(rewind, &part.first, &part.last)) return true;
        if (!go_through(rewind, visit, round, part, false)) return false;
    }
    return true;
}

static void restore_pieces(const kiln_os_rewind_t *rewind)
{
    const char *copy = rewind->newest->pieces;
    for (unsigned i = 0; i < rewind->pieces_count; i++) {
        (void)copy_back(rewind->pieces[i].start, copy, rewind->pieces[i].bytes,
                        rewind->inner->phys_bytes);
        copy += rewind->pieces[i].bytes;
    }
}

static void restore_model(kiln_os_rewind_t *rewind)
{
    const kiln_ranges_t *ranges = &rewind->newest->ranges;
    kiln_os_model_t *model = &rewind->model;
    for (unsigned i = 0; i < KILN_OS_STATES; i++) model->state_bytes[i] = 0;
    model->ranges.count = ranges->count;
    for (unsigned i = 0; i < ranges->count; i++) {
        model->ranges.items[i] = ranges->items[i];
        model->state_bytes[ranges->items[i].tag.state] += range_bytes(&ranges->items[i]);
    }
}

bool kiln_os_mark_put_back(kiln_os_rewind_t *rewind, const kiln_os_rewind_visit_t *visit)
{
    rewind->pages_seen = 0;
    look(rewind);
    if (visit->before) visit->before(visit->ctx);
    if (visit->keeps) (void)go_over(rewind, visit, KEEP_NOW);
    (void)go_over(rewind, visit, TAKE_AWAY);
    if (!go_over(rewind, visit, PUT_BACK)) return false;
    restore_pieces(rewind);
    if (visit->keeps) (void)go_over(rewind, visit, KEEP_MARKED);
    restore_model(rewind);
    begin_anew(rewind);
    forget_written(rewind);
    return true;
}

const void *kiln_os_rewind_was(const kiln_os_rewind_t *rewind, const void *address)
{
    const kiln_os_mark_t *mark = rewind->newest;
    kiln_addr_t addr = (uintptr_t)address;
    unsigned i = kiln_ranges_find(&mark->ranges, addr);
    if (i == mark->ranges.count || mark->ranges.items[i].first > addr || !mark->copies[i])
        return NULL;
    return mark->copies[i] + (addr - mark->ranges.items[i].first);
}

/* What came since had a call; what was closed or only Reserved all the while cannot be written to.
 */
bool kiln_os_rewind_touched(const kiln_os_rewind_t *rewind, const void *start, size_t bytes)
{
    kiln_addr_t first = (uintptr_t)start, last = first + (bytes - 1), calls_last = last;
    if (rewind->all_restless || next_written(rewind, &first, &last)) return true;
    first = (uintptr_t)start;
    unsigned i = kiln_ranges_find(&rewind->restless, first);
    return i < rewind->restless.count && rewind->restless.items[i].first <= calls_last;
}

bool kiln_os_rewind_has(const kiln_os_rewind_t *rewind, const void *start, size_t bytes)
{
    return !kiln_ranges_free(&rewind->model.ranges, (uintptr_t)start,
                             (uintptr_t)start + (bytes - 1));
}

bool kiln_os_rewind_memory(const kiln_os_rewind_t *rewind, unsigned idx, const void **out_start,
                           size_t *out_bytes)
{
    const kiln_os_mark_t *mark = rewind->newest;
    if (!rewind->stretches) return false;
    *out_start = rewind->stretches;
    *out_bytes = (size_t)shared_bytes();
    if (idx == 0) return true;
    while (mark && --idx != 0) mark = mark->older;
    *out_start = mark;
    *out_bytes = mark ? (size_t)mark->bytes : 0;
    return mark != NULL;
}
