#include "allocator/harden/reach.h"

enum {
    MARK_UNIT = KILN_HEAP_ALIGN_MIN,
    MARKS_PER_BYTE = 4,
    REACHED = 1,            /* or, before that is known, waiting to be searched */
    INDIRECT = 2,           /* lost, and a lost block has its address */
    IN_HANDS_MAX = 1 << 16, /* slots that threads are at work in: one a thread */
};

/* A block as the search sees it. */
typedef struct kiln_target {
    kiln_reach_marks_t *marks;
    uintptr_t block;
    size_t bytes; /* that may hold addresses; all of them may be read */
    bool is_live; /* the program's; else only in somebody's hands just now */
} target_t;

/* ---- memory ---- */

static bool take_room(const kiln_os_t *os, kiln_reach_room_t *room, uint64_t bytes)
{
    bool reserved;
    room->bytes = kiln_round_up(bytes == 0 ? 1 : bytes, os->phys_bytes);
    room->addr = os->reserve(os->ctx, 0, room->bytes, &reserved);
    if (room->addr == 0) return false;
    return os->commit(os->ctx, room->addr, room->bytes, reserved, KILN_OS_META) == KILN_OS_OK;
}

static void give_room(const kiln_os_t *os, kiln_reach_room_t *room)
{
    if (room->addr != 0) os->release(os->ctx, room->addr, room->bytes);
    room->addr = 0;
}

static bool take_marks(const kiln_os_t *os, kiln_reach_marks_t *marks, uintptr_t start,
                       uintptr_t end)
{
    marks->start = start;
    marks->end = end;
    return take_room(os, &marks->room, (end - start) / MARK_UNIT / MARKS_PER_BYTE + 1);
}

/* True when the block had the mark already. */
static bool mark(const target_t *target, unsigned bit)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)target->marks->room.addr;
    uintptr_t unit = (target->block - target->marks->start) / MARK_UNIT;
    unsigned shifted = bit << unit % MARKS_PER_BYTE * 2;
    bool had = (bytes[unit / MARKS_PER_BYTE] & shifted) != 0;
    bytes[unit / MARKS_PER_BYTE] |= (uint8_t)shifted;
    return had;
}

static bool has_mark(const target_t *target, unsigned bit)
{
    const uint8_t *bytes = (const uint8_t *)(uintptr_t)target->marks->room.addr;
    uintptr_t unit = (target->block - target->marks->start) / MARK_UNIT;
    return (bytes[unit / MARKS_PER_BYTE] >> unit % MARKS_PER_BYTE * 2 & bit) != 0;
}

/* ---- blocks ---- */

/* A slot that somebody is at work in has what its block had: a realloc, say, which is copying. The
 * pages of a hardened heap's large block may fault meanwhile, unless it is ready. */
static bool slot_is_there(const kiln_reach_t *reach, const kiln_span_t *span, uint32_t slot_idx,
                          bool *out_is_live)
{
    uint8_t state = atomic_load_explicit(&span->states[slot_idx], memory_order_relaxed);
    *out_is_live = state == KILN_SLOT_LIVE || state == KILN_SLOT_KEPT;
    if (!*out_is_live && state != KILN_SLOT_BUSY) return false;
    return !reach->harden || span->class_idx != KILN_CLASS_LARGE ||
           atomic_load_explicit(&kiln_note_large(span)->ready, memory_order_relaxed);
}

static bool slot_target(kiln_reach_t *reach, const kiln_span_t *span, uint32_t slot_idx,
                        target_t *out)
{
    out->marks = &reach->blocks;
    out->bytes = kiln_span_slot_bytes(span);
    out->block = kiln_span_base(span) + slot_idx * out->bytes;
    if (reach->harden && span->class_idx == KILN_CLASS_LARGE) {
        size_t open_bytes =
            atomic_load_explicit(&kiln_note_large(span)->open_bytes, memory_order_relaxed);
        if (open_bytes != 0) out->bytes = open_bytes;
    }
    return slot_is_there(reach, span, slot_idx, &out->is_live);
}

static bool guarded_target(kiln_reach_t *reach, const kiln_guard_about_t *about, target_t *out)
{
    *out = (target_t){&reach->guarded, about->block, about->bytes, about->live};
    return about->known && about->live;
}

/* One past the end of a guarded block lies no other: that address is its. */
static bool find_guarded(kiln_reach_t *reach, uintptr_t address, target_t *out)
{
    kiln_guard_about_t about;
    kiln_guard_t *guard = reach->harden->config.guard;
    return kiln_guard_about(guard, (const void *)address, &about) &&
           guarded_target(reach, &about, out) &&
           (about.where == KILN_GUARD_INSIDE || address == about.block + about.bytes);
}

static bool find(kiln_reach_t *reach, uintptr_t address, target_t *out)
{
    if (address - reach->guarded.start < reach->guarded.end - reach->guarded.start)
        return find_guarded(reach, address, out);
    if (address - reach->blocks.start >= reach->blocks.end - reach->blocks.start) return false;
    const kiln_span_t *span = kiln_page_map_find(&reach->heap->map, address);
    if (!span || (span->kind != KILN_SPAN_SMALL && span->kind != KILN_SPAN_LARGE)) return false;
    size_t offset = address - kiln_span_base(span), slot_bytes = kiln_span_slot_bytes(span);
    if (offset >= kiln_span_slots_bytes(span) || slot_bytes == 0) return false;
    return slot_target(reach, span, (uint32_t)(offset / slot_bytes), out);
}

typedef void block_visit_t(kiln_reach_t *reach, const target_t *target);

typedef struct kiln_reach_visitor {
    kiln_reach_t *reach;
    block_visit_t *visit;
} visitor_t;

static void visit_guarded(void *ctx, const kiln_guard_about_t *about,
                          const kiln_guard_damage_t *damage)
{
    const visitor_t *visitor = ctx;
    target_t target;
    (void)damage;
    if (guarded_target(visitor->reach, about, &target)) visitor->visit(visitor->reach, &target);
}

static void visit_span(kiln_reach_t *reach, const kiln_span_t *span, block_visit_t *visit)
{
    target_t target;
    if (span->kind != KILN_SPAN_SMALL && span->kind != KILN_SPAN_LARGE) return;
    for (uint32_t i = 0; i < kiln_span_slots(span); i++)
        if (slot_target(reach, span, i, &target) && target.is_live) visit(reach, &target);
}

static void for_each_live(kiln_reach_t *reach, block_visit_t *visit)
{
    const kiln_page_heap_t *pages = &reach->heap->pages;
    for (const kiln_region_t *region = pages->regions; region; region = region->next)
        for (uintptr_t addr = region->start; addr < region->end;) {
            const kiln_span_t *span = kiln_page_map_find(&pages->map, addr);
            visit_span(reach, span, visit);
            addr = kiln_span_end(span);
        }
    visitor_t visitor = {reach, visit};
    if (reach->guarded.start != 0)
        kiln_guard_for_each_live_locked(reach->harden->config.guard, visit_guarded, &visitor);
}

static void count(kiln_reach_t *reach, const target_t *target)
{
    (void)target;
    reach->live++;
}

/* ---- the search ---- */

/* The block that an address leads to, if it is the first that does. */
static void follow(kiln_reach_t *reach, uintptr_t address)
{
    target_t target, *waiting = (target_t *)(uintptr_t)reach->waiting.addr;
    if (!find(reach, address, &target) || mark(&target, REACHED)) return;
    /* There is room for all of them: see kiln_reach_begin. */
    if (reach->waiting_count < reach->waiting.bytes / sizeof *waiting)
        waiting[reach->waiting_count++] = target;
}

/* What is searched is the program's, which may be writing it with any type. */
typedef uintptr_t __attribute__((may_alias)) word_t;

typedef void word_visit_t(kiln_reach_t *reach, const target_t *from, uintptr_t address);

__attribute__((no_sanitize("address"))) static void visit_words(kiln_reach_t *reach,
                                                                const target_t *from,
                                                                uintptr_t start, uintptr_t end,
                                                                word_visit_t *visit)
{
    uintptr_t first = (uintptr_t)kiln_round_up(start, sizeof(word_t));
    for (uintptr_t at = first; at < end && end - at >= sizeof(word_t); at += sizeof(word_t))
        visit(reach, from, *(const word_t *)at);
}

/* Page by page where a block has whole ones, which the program may have protected. */
static void visit_block(kiln_reach_t *reach, const target_t *from, word_visit_t *visit)
{
    uintptr_t at = from->block, end = at + from->bytes,
              page_bytes = (uintptr_t)reach->os->phys_bytes;
    if (!reach->can_read || from->bytes < page_bytes) {
        visit_words(reach, from, at, end, visit);
        return;
    }
    while (at < end) {
        uintptr_t next = at - at % page_bytes + page_bytes;
        if (next > end || next < at) next = end;
        if (reach->can_read(at)) visit_words(reach, from, at, next, visit);
        at = next;
    }
}

static void follow_word(kiln_reach_t *reach, const target_t *from, uintptr_t address)
{
    (void)from;
    follow(reach, address);
}

void kiln_reach_search(kiln_reach_t *reach, uintptr_t start, uintptr_t end)
{
    const target_t *waiting = (const target_t *)(uintptr_t)reach->waiting.addr;
    visit_words(reach, NULL, start, end, follow_word);
    while (reach->waiting_count > 0) {
        target_t target = waiting[--reach->waiting_count];
        visit_block(reach, &target, follow_word);
    }
}

static void heap_bounds(const kiln_heap_t *heap, uintptr_t *out_start, uintptr_t *out_end)
{
    *out_start = UINTPTR_MAX;
    *out_end = 0;
    for (const kiln_region_t *region = heap->pages.regions; region; region = region->next) {
        if (region->start < *out_start) *out_start = region->start;
        if (region->end > *out_end) *out_end = region->end;
    }
    if (*out_start > *out_end) *out_start = *out_end = 0; /* nothing was allocated */
}

bool kiln_reach_begin(kiln_reach_t *reach, const kiln_os_t *os, const kiln_heap_t *heap,
                      const kiln_harden_t *harden, kiln_reach_can_read_t *can_read)
{
    uintptr_t start, end;
    *reach = (kiln_reach_t){.os = os, .can_read = can_read, .heap = heap, .harden = harden};
    heap_bounds(heap, &start, &end);
    if (!take_marks(os, &reach->blocks, start, end)) return false;
    const kiln_guard_space_t *space =
        harden && harden->config.guard ? &harden->config.guard->space : NULL;
    uintptr_t bytes = space ? atomic_load_explicit(&space->bytes, memory_order_acquire) : 0;
    if (bytes != 0) start = atomic_load_explicit(&space->start, memory_order_relaxed);
    if (bytes != 0 && !take_marks(os, &reach->guarded, start, start + bytes)) return false;
    for_each_live(reach, count);
    return take_room(os, &reach->waiting,
                     ((uint64_t)reach->live + IN_HANDS_MAX) * sizeof(target_t));
}

void kiln_reach_end(kiln_reach_t *reach)
{
    give_room(reach->os, &reach->blocks.room);
    give_room(reach->os, &reach->guarded.room);
    give_room(reach->os, &reach->waiting);
    give_room(reach->os, &reach->list);
}

/* ---- what is lost ---- */

static kiln_lost_t *lost_list(const kiln_reach_t *reach)
{
    return (kiln_lost_t *)(uintptr_t)reach->list.addr;
}

static void mark_word(kiln_reach_t *reach, const target_t *from, uintptr_t address)
{
    target_t target;
    if (find(reach, address, &target) && target.block != from->block) (void)mark(&target, INDIRECT);
}

static void mark_indirect(kiln_reach_t *reach, const target_t *from)
{
    if (has_mark(from, REACHED)) return;
    reach->lost_count++;
    visit_block(reach, from, mark_word);
}

static void list_lost(kiln_reach_t *reach, const target_t *target)
{
    if (has_mark(target, REACHED)) return;
    kiln_harden_about_t about = {.asked = target->bytes};
    if (reach->harden) about = kiln_harden_about(reach->harden, target->block);
    lost_list(reach)[reach->lost_count++] = (kiln_lost_t){
        .stack = about.alloc_stack,
        .thread = about.alloc_thread,
        .direct = !has_mark(target, INDIRECT),
        .blocks = 1,
        .bytes = about.asked,
        .first = target->block,
    };
}

typedef bool before_t(const kiln_lost_t *a, const kiln_lost_t *b);

static bool by_place(const kiln_lost_t *a, const kiln_lost_t *b)
{
    if (a->direct != b->direct) return a->direct;
    if (a->stack != b->stack) return a->stack < b->stack;
    if (a->stack == 0 && a->bytes != b->bytes) return a->bytes < b->bytes;
    return a->first < b->first;
}

static bool by_bytes(const kiln_lost_t *a, const kiln_lost_t *b)
{
    if (a->direct != b->direct) return a->direct;
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->first < b->first;
}

static void sift(kiln_lost_t *list, size_t root, size_t entries, before_t *before)
{
    for (size_t child; (child = 2 * root + 1) < entries; root = child) {
        if (child + 1 < entries && before(&list[child], &list[child + 1])) child++;
        if (!before(&list[root], &list[child])) return;
        kiln_lost_t moved = list[root];
        list[root] = list[child];
        list[child] = moved;
    }
}

/* Heapsort: in place, and never worse than n log n. */
static void sort(kiln_lost_t *list, size_t entries, before_t *before)
{
    for (size_t root = entries / 2; root-- > 0;) sift(list, root, entries, before);
    for (size_t end = entries; end-- > 1;) {
        kiln_lost_t last = list[end];
        list[end] = list[0];
        list[0] = last;
        sift(list, 0, end, before);
    }
}

static size_t join(kiln_lost_t *list, size_t entries)
{
    size_t joined = 0;
    for (size_t i = 0; i < entries; i++) {
        /* Without stacks the sum of the sizes would no longer be the size of one. */
        bool same = joined > 0 && list[joined - 1].stack == list[i].stack &&
                    list[joined - 1].direct == list[i].direct &&
                    (list[i].stack != 0 ||
                     list[joined - 1].bytes == list[joined - 1].blocks * list[i].bytes);
        if (same) {
            list[joined - 1].blocks++;
            list[joined - 1].bytes += list[i].bytes;
        } else {
            list[joined++] = list[i];
        }
    }
    return joined;
}

bool kiln_reach_lost(kiln_reach_t *reach, const kiln_lost_t **out, size_t *out_count)
{
    reach->lost_count = 0;
    for_each_live(reach, mark_indirect);
    if (!take_room(reach->os, &reach->list, (uint64_t)reach->lost_count * sizeof(kiln_lost_t)))
        return false;
    reach->lost_count = 0;
    for_each_live(reach, list_lost);
    kiln_lost_t *list = lost_list(reach);
    sort(list, reach->lost_count, by_place);
    reach->lost_count = join(list, reach->lost_count);
    sort(list, reach->lost_count, by_bytes);
    *out = list;
    *out_count = reach->lost_count;
    return true;
}
