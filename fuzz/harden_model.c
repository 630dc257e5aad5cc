/* harden_model.c - the promises of a hardened heap (harden_model.h). */
#include "fuzz/harden_model.h"

#include "fuzz/contents.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

/* Whom kiln_harden_model_found tells: a heap has no context for it. */
static kiln_harden_model_t *listener;

void kiln_harden_model_init(kiln_harden_model_t *model, kiln_subject_t *subject,
                            const kiln_os_fake_t *fake)
{
    memset(model, 0, offsetof(kiln_harden_model_t, run));
    model->run++;
    model->subject = subject;
    model->fake = fake;
    listener = model;
}

uint32_t kiln_harden_model_stack(uintptr_t caller)
{
    return (uint32_t)caller;
}

uint32_t kiln_harden_model_thread(void)
{
    return 1;
}

/* --- bytes ----------------------------------------------------------------------------------- */

static bool holds_byte(uintptr_t first, uintptr_t end, uint8_t byte)
{
    return kiln_contents_are((const unsigned char *)first, end > first ? end - first : 0, byte);
}

/* Whether any byte of [first, end) is one that a program may touch. */
static bool any_ready(const kiln_harden_model_t *model, uintptr_t first, uintptr_t end)
{
    const kiln_ranges_t *ranges = &model->fake->model.ranges;
    for (unsigned i = kiln_ranges_find(ranges, first);
         i < ranges->count && ranges->items[i].first < end; i++)
        if (ranges->items[i].last >= first && ranges->items[i].tag.state == KILN_OS_READY)
            return true;
    return false;
}

/* --- what is told ---------------------------------------------------------------------------- */

static kiln_harden_planted_t *planted_at(kiln_harden_model_t *model, uintptr_t first)
{
    for (unsigned i = 0; i < KILN_HARDEN_MODEL_PLANTED; i++)
        if (model->planted[i].kind != KILN_DAMAGE_NONE && model->planted[i].first == first)
            return &model->planted[i];
    return NULL;
}

static bool is_kind(const kiln_harden_planted_t *planted, kiln_damage_kind_t kind)
{
    return kind == planted->kind || (planted->either && kind == KILN_DAMAGE_UNDERFLOW);
}

static bool is_block(const kiln_harden_planted_t *planted, const kiln_harden_about_t *about)
{
    bool known = planted->kind != KILN_DAMAGE_WILD_WRITE;
    return about->known == known && about->live == planted->live &&
           about->block == planted->block.at && (!known || about->asked == planted->block.bytes);
}

void kiln_harden_model_found(const kiln_damage_t *damage, kiln_site_t site)
{
    kiln_harden_planted_t *planted = planted_at(listener, damage->first);
    bool at_end = site.caller == 0 && strcmp(site.call, "the thread's end") == 0;
    if (kiln_fuzz_tracing)
        fprintf(stderr, "  %s tells of damage of the kind %d, %#zx bytes\n", site.call,
                (int)damage->kind, (size_t)(damage->end - damage->first));
    KILN_FUZZ_LAW("L5: only what was done is told", planted);
    KILN_FUZZ_LAW("L5: damage is told once by a call", !planted->told);
    KILN_FUZZ_LAW("L5: damage is told with its kind", is_kind(planted, damage->kind));
    KILN_FUZZ_LAW("L5: damage is told to the byte", damage->end == planted->end);
    KILN_FUZZ_LAW("L5: damage is told with its block", is_block(planted, &damage->block));
    KILN_FUZZ_LAW("L5: damage is told by the call that found it",
                  at_end || site.caller == listener->subject->calls);
    planted->told = true;
}

/* After a call: `more`, 0 or 1, large blocks were freed by it and wait. Where no address space is
 * left, which only a call that takes some can find, and on demand, all that waited are let go. */
static void settle(kiln_harden_model_t *model, unsigned more, bool may_let_go)
{
    const kiln_harden_t *harden = &model->subject->harden;
    unsigned waits = 0, wanted = model->waits + more;
    if (wanted > KILN_HARDEN_LARGE_PLACES) wanted = KILN_HARDEN_LARGE_PLACES;
    for (unsigned i = 0; i < KILN_HARDEN_LARGE_PLACES; i++) waits += harden->large[i].block != NULL;
    KILN_FUZZ_LAW("L8: as many large blocks wait as there are places",
                  waits == wanted || (may_let_go && waits == more));
    if (waits < wanted) memset(model->large_end, 0, sizeof model->large_end);
    model->waits = waits;
    for (unsigned i = 0; i < KILN_HARDEN_MODEL_PLANTED; i++)
        if (model->planted[i].told) model->planted[i].kind = KILN_DAMAGE_NONE;
    for (unsigned i = 0; i < KILN_HARDEN_MODEL_PLANTED; i++) model->planted[i].told = false;
}

void kiln_harden_model_settle(kiln_harden_model_t *model)
{
    settle(model, 0, true);
}

/* is_told: nothing is planted in these bytes any more. */
static bool is_told(const kiln_harden_model_t *model, uintptr_t first, uintptr_t end)
{
    for (unsigned i = 0; i < KILN_HARDEN_MODEL_PLANTED; i++) {
        const kiln_harden_planted_t *planted = &model->planted[i];
        if (planted->kind != KILN_DAMAGE_NONE && planted->first < end && planted->end > first)
            return false;
    }
    return true;
}

/* --- blocks ---------------------------------------------------------------------------------- */

static void check_guarded(const kiln_harden_model_t *model, uintptr_t at, size_t bytes)
{
    uintptr_t page = (uintptr_t)model->fake->config.phys_bytes;
    uintptr_t first = at / page * page, end = first + (uintptr_t)kiln_round_up(bytes, page);
    KILN_FUZZ_LAW("L8: in front of a guarded block is what faults",
                  !any_ready(model, first - page, first));
    KILN_FUZZ_LAW("L8: behind a guarded block is what faults", !any_ready(model, end, end + page));
    if (model->subject->guard.config.policy == KILN_GUARD_LOW)
        KILN_FUZZ_LAW("L8: a block under LOW starts at a page", at == first);
    else
        KILN_FUZZ_LAW("L8: a block under HIGH ends at its page, or as close as it is aligned",
                      bytes == 0 || end - (at + bytes) < page);
}

/* Where the OS never refused to. */
static void check_large(const kiln_harden_model_t *model, const kiln_harden_block_t *block)
{
    const kiln_os_fake_t *fake = model->fake;
    uintptr_t page = (uintptr_t)fake->config.phys_bytes;
    uintptr_t edge = (uintptr_t)kiln_round_up(block->at + block->bytes + 1, page);
    if (page > KILN_PAGE_BYTES || fake->config.no_guard) return;
    if (fake->stats.refused[KILN_OS_CALL_GUARD] > 0) return;
    KILN_FUZZ_LAW("L8: behind a large block is what faults",
                  edge + page <= block->at + block->room &&
                      !any_ready(model, edge, block->at + block->room));
}

kiln_harden_block_t kiln_harden_model_look(const kiln_harden_model_t *model, uintptr_t at,
                                           size_t bytes)
{
    const kiln_harden_t *harden = &model->subject->harden;
    kiln_harden_block_t block = {.at = at, .bytes = bytes};
    kiln_harden_about_t about = kiln_harden_about(harden, at);
    KILN_FUZZ_LAW("L5: a hardened heap knows its blocks",
                  about.known && about.live && about.block == at && about.asked == bytes);
    if (harden->keeps_stacks)
        KILN_FUZZ_LAW("L5: a block has the stack of the call that gave it",
                      about.alloc_stack == kiln_harden_model_stack(model->subject->calls) &&
                          about.alloc_thread == 1 && about.free_stack == 0);
    block.guarded = kiln_harden_guards(harden, (const void *)at);
    block.room = about.slot_bytes;
    if (block.guarded) {
        check_guarded(model, at, bytes);
        if (bytes == 0) block.room = 1;
        return block;
    }
    KILN_FUZZ_LAW("L1: a byte behind a block is watched", about.slot_bytes > bytes);
    const kiln_span_t *span = kiln_page_map_find(&model->subject->heap.map, at);
    block.large = span && span->class_idx == KILN_CLASS_LARGE;
    if (block.large) check_large(model, &block);
    return block;
}

static kiln_harden_freed_t *freed_at(kiln_harden_model_t *model, uintptr_t at)
{
    return &model->freed[(at / KILN_HEAP_ALIGN_MIN) % KILN_HARDEN_MODEL_FREED];
}

/* A block waits for as many frees of its class, by its thread, as the quarantine has places. */
static bool may_be_used(kiln_harden_model_t *model, const kiln_harden_block_t *block)
{
    const kiln_harden_freed_t *freed = freed_at(model, block->at);
    for (unsigned i = 0; i < KILN_HARDEN_LARGE_PLACES; i++)
        if (model->large_first[i] < block->at + block->room && block->at < model->large_end[i])
            return false;
    if (freed->at != block->at || freed->run != model->run) return true;
    if (freed->epoch != model->epochs[freed->thread_idx]) return true;
    const kiln_quarantine_bounds_t *bounds = &model->subject->harden.config.quarantine;
    uint32_t since = model->frees[freed->thread_idx][freed->class_idx] - freed->frees;
    return since >= kiln_quarantine_places(bounds, freed->class_idx);
}

/* A block that is new to the program, whatever it holds. */
static void begin(kiln_harden_model_t *model, const kiln_harden_block_t *block)
{
    KILN_FUZZ_LAW("L8: a freed block waits", may_be_used(model, block));
    KILN_FUZZ_LAW("L5: a write to a free slot is told when it is handed out",
                  is_told(model, block->at, block->at + block->room));
    freed_at(model, block->at)->at = 0;
    if (!block->guarded) return;
    model->guarded_blocks++;
    model->guarded_bytes += block->bytes;
}

/* What is fresh of a block from `first` on. */
static bool is_fresh(const kiln_harden_model_t *model, const kiln_harden_block_t *block,
                     uintptr_t first, bool zero)
{
    uintptr_t end = block->at + block->bytes, filled = block->at + KILN_HARDEN_FRESH_BYTES_MAX;
    if (zero) return holds_byte(first, end, 0);
    if (filled > end) filled = end;
    return holds_byte(first, filled, model->subject->harden.config.fresh_byte) &&
           holds_byte(first > filled ? first : filled, end, 0);
}

void kiln_harden_model_taken(kiln_harden_model_t *model, const kiln_harden_block_t *block,
                             bool zero)
{
    settle(model, 0, true);
    begin(model, block);
    KILN_FUZZ_LAW("L1: a fresh block holds what it should",
                  is_fresh(model, block, block->at, zero));
}

/* What waits faults: that is so where a block is whole hardware pages. */
static bool will_wait(const kiln_harden_model_t *model, const kiln_harden_block_t *block)
{
    return block->large && kiln_is_aligned(block->at | block->room, model->fake->config.phys_bytes);
}

static void end_large(kiln_harden_model_t *model, const kiln_harden_block_t *block)
{
    if (!will_wait(model, block)) return;
    KILN_FUZZ_LAW("L8: a freed large block faults",
                  !any_ready(model, block->at, block->at + block->room));
    model->large_first[model->large_next] = block->at;
    model->large_end[model->large_next] = block->at + block->room;
    model->large_next = (model->large_next + 1) % KILN_HARDEN_LARGE_PLACES;
}

static void end_small(kiln_harden_model_t *model, const kiln_subject_by_t *by,
                      const kiln_harden_block_t *block)
{
    const kiln_harden_config_t *config = &model->subject->harden.config;
    uint32_t class_idx = kiln_size_class_of(block->room);
    if (!by->hardened) return; /* its slot may be anybody's */
    bool waits = kiln_quarantine_places(&config->quarantine, class_idx) > 0;
    KILN_FUZZ_LAW("L1: a freed block holds nothing of its owner",
                  holds_byte(block->at, block->at + block->room, waits ? config->freed_byte : 0));
    if (!waits) return;
    *freed_at(model, block->at) = (kiln_harden_freed_t){
        .at = block->at,
        .class_idx = class_idx,
        .frees = ++model->frees[by->thread_idx][class_idx],
        .thread_idx = by->thread_idx,
        .epoch = model->epochs[by->thread_idx],
        .run = model->run,
    };
}

static void end_guarded(kiln_harden_model_t *model, const kiln_harden_block_t *block)
{
    uintptr_t page = (uintptr_t)model->fake->config.phys_bytes, first = block->at / page * page;
    KILN_FUZZ_LAW("L8: a freed guarded block faults",
                  !any_ready(model, first, block->at + block->bytes));
    model->guarded_blocks--;
    model->guarded_bytes -= block->bytes;
}

static void ended(kiln_harden_model_t *model, const kiln_subject_by_t *by,
                  const kiln_harden_block_t *block)
{
    for (unsigned i = 0; i < KILN_HARDEN_MODEL_PLANTED; i++)
        KILN_FUZZ_LAW("L5: a write beside a block is told when it is freed",
                      model->planted[i].kind == KILN_DAMAGE_NONE || !model->planted[i].live ||
                          model->planted[i].block.at != block->at);
    if (block->guarded)
        end_guarded(model, block);
    else if (block->large)
        end_large(model, block);
    else
        end_small(model, by, block);
}

void kiln_harden_model_freed(kiln_harden_model_t *model, const kiln_subject_by_t *by,
                             const kiln_harden_block_t *block)
{
    settle(model, will_wait(model, block) ? 1 : 0, false);
    ended(model, by, block);
}

void kiln_harden_model_resized(kiln_harden_model_t *model, const kiln_subject_by_t *by,
                               const kiln_harden_block_t *was, const kiln_harden_block_t *is)
{
    const kiln_harden_config_t *config = &model->subject->harden.config;
    uintptr_t grown = is->at + was->bytes;
    settle(model, is->at != was->at && will_wait(model, was) ? 1 : 0, true);
    if (is->at != was->at) {
        begin(model, is);
        if (grown < is->at + is->bytes)
            KILN_FUZZ_LAW("L1: what a moved block grew by is fresh",
                          is_fresh(model, is, grown, false));
        ended(model, by, was);
        return;
    }
    KILN_FUZZ_LAW("L5: a write beside a block is told when it is resized",
                  is_told(model, is->at, is->at + is->room));
    KILN_FUZZ_LAW("L1: what a block grew by where it is holds what it should",
                  holds_byte(grown, is->at + is->bytes, is->large ? 0 : config->fresh_byte));
}

void kiln_harden_model_flushed(kiln_harden_model_t *model, unsigned thread_idx)
{
    model->epochs[thread_idx]++;
    settle(model, 0, false);
}

/* --- the whole heap -------------------------------------------------------------------------- */

void kiln_harden_model_check(kiln_harden_model_t *model)
{
    uint64_t wanted = 0;
    const kiln_guard_t *guard = model->subject->harden.config.guard;
    uint64_t told =
        kiln_harden_check(&model->subject->harden, kiln_subject_site(model->subject, "a check"));
    for (unsigned i = 0; i < KILN_HARDEN_MODEL_PLANTED; i++) {
        if (model->planted[i].kind == KILN_DAMAGE_NONE) continue;
        wanted++;
        KILN_FUZZ_LAW("L5: a check tells of all damage", model->planted[i].told);
        model->planted[i].told = false;
    }
    KILN_FUZZ_LAW("L5: a check counts what it tells", told == wanted);
    if (!guard) return;
    KILN_FUZZ_LAW("the guard's ledger is the program's",
                  guard->live_blocks == model->guarded_blocks &&
                      guard->live_bytes == model->guarded_bytes);
}

bool kiln_harden_model_all_told(const kiln_harden_model_t *model)
{
    return is_told(model, 0, UINTPTR_MAX);
}

uint64_t kiln_harden_model_kept_bytes(const kiln_harden_model_t *model)
{
    const kiln_harden_t *harden = &model->subject->harden;
    uint64_t bytes = 0;
    for (const kiln_harden_thread_t *thread = harden->first; thread; thread = thread->next)
        for (uint32_t i = 1; i < KILN_SIZE_CLASSES; i++) {
            const kiln_quarantine_ring_t *ring = &thread->bins[i].ring;
            for (const kiln_slot_t *at = ring->places; at < ring->end && at->block; at++)
                bytes += kiln_size_classes[i].slot_bytes; /* it is filled from its first place on */
        }
    for (unsigned i = 0; i < KILN_HARDEN_LARGE_PLACES; i++) {
        uintptr_t at = (uintptr_t)harden->large[i].block;
        const kiln_span_t *span = at ? kiln_page_map_find(&model->subject->heap.map, at) : NULL;
        if (span) bytes += kiln_span_slot_bytes(span);
    }
    return bytes;
}
