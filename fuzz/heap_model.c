/* heap_model.c - the laws of the heap, as a program sees them (heap_model.h). */
#include "fuzz/heap_model.h"

#include "fuzz/contents.h"
#include "fuzz/target.h"

#include <stdio.h>

static void check_holds(const kiln_heap_model_block_t *block)
{
    KILN_FUZZ_LAW("L1: a block holds what was written",
                  kiln_contents_hold(block->at, block->usable, block->usable, block->seed));
}

/* --- the model ------------------------------------------------------------------------------- */

void kiln_heap_model_init(kiln_heap_model_t *model, kiln_subject_t *subject,
                          kiln_harden_model_t *harden, const kiln_os_fake_t *fake)
{
    *model = (kiln_heap_model_t){
        .subject = subject, .heap = &subject->heap, .harden = harden, .fake = fake};
}

static void note(kiln_heap_model_t *model, const char *call, unsigned slot, const void *answer,
                 size_t bytes)
{
    uint64_t at = (uintptr_t)answer;
    const kiln_os_fake_config_t *space = &model->fake->config;
    /* What is not of the window, as a misuse may name, is elsewhere in each process. */
    at = at < space->space_first || at > space->space_last ? 0 : at - space->space_first;
    model->event_hash =
        (model->event_hash ^ at ^ (uint64_t)bytes << 40) * UINT64_C(0x9E3779B97F4A7C15);
    model->freed_last = false;
    if (kiln_fuzz_tracing)
        fprintf(stderr, "  %s(b%u, %#zx) -> %s%#llx\n", call, slot, bytes, at ? "window+" : "",
                (unsigned long long)at);
}

static bool is_ready(const kiln_heap_model_t *model, kiln_addr_t first, kiln_addr_t last)
{
    const kiln_ranges_t *ranges = &model->fake->model.ranges;
    for (unsigned i = kiln_ranges_find(ranges, first); i < ranges->count; i++) {
        const kiln_os_range_t *range = &ranges->items[i];
        if (range->first > first || range->tag.state != KILN_OS_READY ||
            range->tag.use != KILN_OS_HEAP)
            return false;
        if (range->last >= last) return true;
        first = range->last + 1;
    }
    return false;
}

static void check_alone(const kiln_heap_model_t *model, const kiln_heap_model_block_t *block)
{
    const unsigned char *end = block->at + block->room;
    for (unsigned i = 0; i < model->live_count; i++) {
        const kiln_heap_model_block_t *other = &model->blocks[model->live[i]];
        KILN_FUZZ_LAW("L1: blocks do not overlap",
                      end <= other->at || other->at + other->room <= block->at);
    }
}

/* What is true of every block that a heap has in its arena. */
static void check_in_arena(const kiln_heap_model_t *model, const kiln_heap_model_block_t *block)
{
    kiln_addr_t first = (uintptr_t)block->at;
    KILN_FUZZ_LAW("L1: a block lies in the arena",
                  first >= model->heap->arena.arena_start &&
                      first + block->room <= kiln_arena_used(&model->heap->arena));
    /* Behind a hardened heap's large block pages may fault. */
    size_t ready_bytes = block->hard.large ? block->usable + 1 : block->room;
    KILN_FUZZ_LAW("L1: a block is Ready heap", is_ready(model, first, first + ready_bytes - 1));
    kiln_heap_about_t about = kiln_heap_about(model->heap, block->at + block->usable / 2);
    KILN_FUZZ_LAW("L5: the heap knows its blocks", about.heap && about.live &&
                                                       about.block == first &&
                                                       about.slot_bytes == block->room);
}

/* check_record: the slot of a block is live, or after its free is not. What else is in the record
 * of its span no call of this block may have changed: kiln_heap_model_check looks at that. */
static void check_record(const kiln_heap_model_t *model, const void *at, bool live)
{
    const kiln_page_map_t *map = &model->heap->map;
    uintptr_t addr = (uintptr_t)at;
    const kiln_span_t *span = kiln_page_map_find(map, addr);
    bool in_use = span && (span->kind == KILN_SPAN_SMALL || span->kind == KILN_SPAN_LARGE) &&
                  addr >= kiln_span_base(span) && addr < kiln_span_end(span);
    if (!in_use) { /* guarded; or it went with its span, and the page map leads to another */
        KILN_FUZZ_LAW("a live block has a span", !live || !span);
        return;
    }
    KILN_FUZZ_LAW("the seal of a record fits", kiln_span_is_sealed(&model->heap->pages.seal, span));
    KILN_FUZZ_LAW("the page map leads to a span from its first and its last page",
                  kiln_page_map_find(map, kiln_span_base(span)) == span &&
                      kiln_page_map_find(map, kiln_span_end(span) - KILN_PAGE_BYTES) == span);
    uint32_t slot_idx = kiln_span_slot_at(span, addr - kiln_span_base(span));
    if (slot_idx == UINT32_MAX) { /* a span of another class, by now */
        KILN_FUZZ_LAW("a block starts with its slot", !live);
        return;
    }
    uint8_t state = span->states[slot_idx];
    bool out = span->kind == KILN_SPAN_LARGE || kiln_span_is_out(span, slot_idx);
    bool is_live = state == KILN_SLOT_LIVE || state == KILN_SLOT_KEPT;
    KILN_FUZZ_LAW("the state of a slot is that of its block",
                  live == is_live && (out || kiln_slot_is_free(state)));
}

/* adopt checks a block that the heap just gave. It is to be filled then. */
static kiln_heap_model_block_t *adopt(kiln_heap_model_t *model, unsigned slot, unsigned char *at,
                                      size_t align, size_t bytes)
{
    kiln_heap_model_block_t *block = &model->blocks[slot];
    kiln_misuse_t misuse = KILN_MISUSE_NONE;
    size_t usable = kiln_subject_usable(model->subject, at, &misuse);
    kiln_addr_t first = (uintptr_t)at, unit = align > 16 ? align : 16;

    KILN_FUZZ_LAW("L5: a live block is no misuse", misuse == KILN_MISUSE_NONE);
    KILN_FUZZ_LAW("L1: a block is as large as asked for",
                  model->harden ? usable == bytes : usable >= bytes && usable != 0);
    KILN_FUZZ_LAW("L1: a block is aligned", first % unit == 0);
    *block = (kiln_heap_model_block_t){
        .at = at, .bytes = bytes, .usable = usable, .align = align, .room = usable};
    if (model->harden) {
        block->hard = kiln_harden_model_look(model->harden, (uintptr_t)at, bytes);
        block->room = block->hard.room;
    }
    if (!block->hard.guarded)
        check_in_arena(model, block);
    else if (bytes > 0)
        KILN_FUZZ_LAW("L1: a guarded block is Ready", is_ready(model, first, first + bytes - 1));
    check_alone(model, block);
    check_record(model, at, true);
    if (!block->hard.guarded) model->live_bytes += block->room;
    block->live_idx = (uint8_t)model->live_count;
    model->live[model->live_count++] = (uint8_t)slot;
    return block;
}

static void refill(kiln_heap_model_t *model, kiln_heap_model_block_t *block)
{
    block->seed = ++model->seed * UINT32_C(2654435761) >> 8;
    kiln_contents_fill(block->at, block->usable, block->seed); /* all of it is the program's */
}

static void disown(kiln_heap_model_t *model, kiln_heap_model_block_t *block)
{
    uint8_t last = model->live[--model->live_count];
    if (!block->hard.guarded) model->live_bytes -= block->room;
    model->live[block->live_idx] = last;
    model->blocks[last].live_idx = block->live_idx;
    block->at = NULL;
}

void kiln_heap_model_alloc(kiln_heap_model_t *model, const kiln_subject_by_t *by, unsigned slot,
                           size_t align, size_t count, size_t bytes)
{
    size_t product = bytes;
    bool wraps = count != 0 && __builtin_mul_overflow(count, bytes, &product);
    bool odd = align != 0 && (align & (align - 1)) != 0;
    unsigned char *at;

    if (model->blocks[slot].at) kiln_heap_model_free(model, by, slot, false);
    at = kiln_subject_alloc(model->subject, by, align, count, bytes);
    note(model, align ? "aligned" : count ? "calloc" : "malloc", slot, at, product);
    if (!at) {
        if (model->harden) kiln_harden_model_settle(model->harden);
        return;
    }
    KILN_FUZZ_LAW("L7: a size above PTRDIFF_MAX is refused", !wraps && product <= PTRDIFF_MAX);
    KILN_FUZZ_LAW("L7: an alignment is a power of two", !odd);
    if (count) KILN_FUZZ_LAW("L1: calloc's bytes are zero", kiln_contents_are(at, product, 0));
    kiln_heap_model_block_t *block = adopt(model, slot, at, align, product);
    if (model->harden) kiln_harden_model_taken(model->harden, &block->hard, count != 0);
    block->family = align || !count ? by->family : KILN_FAMILY_MALLOC;
    refill(model, block);
}

/* is_mismatch: would this be told, of a block from another family of functions? */
static bool is_mismatch(const kiln_heap_model_t *model, const kiln_heap_model_block_t *block,
                        kiln_family_t family)
{
    return model->harden && model->subject->harden.config.families && block->family != family;
}

/* The old block is as it was, told of damage or not. */
static void check_kept(kiln_heap_model_t *model, const kiln_heap_model_block_t *block)
{
    kiln_misuse_t misuse;
    if (model->harden) kiln_harden_model_settle(model->harden);
    KILN_FUZZ_LAW("L4: a failed realloc keeps the block",
                  kiln_subject_usable(model->subject, block->at, &misuse) == block->usable);
    check_holds(block);
}

void kiln_heap_model_realloc(kiln_heap_model_t *model, const kiln_subject_by_t *by, unsigned slot,
                             size_t bytes)
{
    kiln_heap_model_block_t *block = &model->blocks[slot];
    kiln_heap_model_block_t old = *block;
    kiln_misuse_t misuse = KILN_MISUSE_NONE;
    if (!block->at) return;
    if (bytes == 0) bytes = 1;
    check_holds(block);
    bool wrong = is_mismatch(model, block, KILN_FAMILY_MALLOC);
    unsigned char *at = kiln_subject_realloc(model->subject, by, block->at, bytes, &misuse);
    note(model, "realloc", slot, at, bytes);
    KILN_FUZZ_LAW("L5: a live block is no misuse, but of its family's functions",
                  misuse == (wrong ? KILN_MISUSE_FAMILY : KILN_MISUSE_NONE));
    if (!at) {
        check_kept(model, block);
        return;
    }
    KILN_FUZZ_LAW("L7: a size above PTRDIFF_MAX is refused", bytes <= PTRDIFF_MAX);
    KILN_FUZZ_LAW(
        "L1: realloc keeps the prefix",
        kiln_contents_hold(at, bytes < old.bytes ? bytes : old.bytes, old.usable, old.seed));
    disown(model, block);
    if (at != old.at) check_record(model, old.at, false);
    (void)adopt(model, slot, at, 0, bytes);
    if (model->harden) kiln_harden_model_resized(model->harden, by, &old.hard, &block->hard);
    refill(model, block);
}

void kiln_heap_model_free(kiln_heap_model_t *model, const kiln_subject_by_t *by, unsigned slot,
                          bool sized)
{
    kiln_heap_model_block_t *block = &model->blocks[slot];
    kiln_misuse_t misuse;
    if (!block->at) return;
    check_holds(block);
    kiln_subject_by_t owner = *by;
    owner.family = block->family;
    if (sized)
        misuse =
            kiln_subject_free_sized(model->subject, &owner, block->at, block->align, block->bytes);
    else
        misuse = kiln_subject_free(model->subject, &owner, block->at);
    note(model, sized ? "free_sized" : "free", slot, block->at, block->bytes);
    KILN_FUZZ_LAW("L5: a correct free is not reported", misuse == KILN_MISUSE_NONE);
    check_record(model, block->at, false);
    if (model->harden) kiln_harden_model_freed(model->harden, by, &block->hard);
    model->freed[model->freed_at] = block->at;
    model->freed_at = (model->freed_at + 1) % KILN_HEAP_MODEL_FREED;
    model->freed_last = true;
    disown(model, block);
}

/* --- misuse ---------------------------------------------------------------------------------- */

static const kiln_heap_model_block_t *block_at(const kiln_heap_model_t *model, const void *at)
{
    for (unsigned i = 0; i < model->live_count; i++)
        if (model->blocks[model->live[i]].at == at) return &model->blocks[model->live[i]];
    return NULL;
}

/* foreign gives an address that never was memory of this heap. */
static void *foreign(const kiln_heap_model_t *model, uint32_t arg)
{
    static unsigned char somewhere[64];
    const kiln_arena_t *arena = &model->heap->arena;
    uint64_t offset = arg >> 8;
    kiln_addr_t at = 16;
    switch (arg % 8) {
    case 0:
        return &somewhere[offset % sizeof somewhere];
    case 1:
        return (void *)(uintptr_t)((offset & 0xfff) | 1);
    case 2:
        at = kiln_arena_used(arena) + offset;
        break;
    case 3:
        at = UINTPTR_MAX - offset;
        break;
    case 4:
        at = arena->tables[KILN_ARENA_SPANS].base + offset % 64;
        break;
    case 5:
        at = (uintptr_t)model->heap->present;
        break;
    case 6:
        at = arena->arena_start == 0 ? offset + 1 : arena->arena_start - 1 - offset;
        break;
    default:
        at = (uintptr_t)model->heap;
        break;
    }
    if (at == 0 || (at >= arena->arena_start && at < kiln_arena_used(arena) && arg % 8 == 3))
        at = 16;
    void *address = (void *)(uintptr_t)at;
    bool guarded = model->harden && kiln_harden_guards(&model->subject->harden, address);
    return guarded ? (void *)16 : address;
}

/* victim picks the address and says which answers are right: a bit set of 1u << kiln_misuse_t. */
static void *victim(const kiln_heap_model_t *model, kiln_heap_model_wrong_t wrong, unsigned slot,
                    uint32_t arg, unsigned *out_right)
{
    const kiln_heap_model_block_t *block = &model->blocks[slot];
    unsigned latest = (model->freed_at + KILN_HEAP_MODEL_FREED - 1) % KILN_HEAP_MODEL_FREED;
    switch (wrong) {
    case KILN_WRONG_DOUBLE: {
        bool just = model->freed_last;
        void *at = model->freed[just ? latest : slot % KILN_HEAP_MODEL_FREED];
        /* Long after, its place may be inside of another block. */
        *out_right = 1u << KILN_MISUSE_DOUBLE_FREE | (just ? 0 : 1u << KILN_MISUSE_INTERIOR);
        return at && !block_at(model, at) ? at : NULL;
    }
    case KILN_WRONG_INTERIOR: {
        *out_right = 1u << KILN_MISUSE_INTERIOR;
        if (!block->at || block->usable <= 1) return NULL;
        unsigned char *at = block->at + 1 + arg % (block->usable - 1);
        /* Of the last byte that a heap can have, page_map.h knows nothing. */
        bool last = (uintptr_t)at - model->heap->map.start == model->heap->map.heap_last;
        if (last) *out_right |= 1u << KILN_MISUSE_FOREIGN;
        return at;
    }
    case KILN_WRONG_FOREIGN:
        *out_right = 1u << KILN_MISUSE_FOREIGN;
        return foreign(model, arg);
    case KILN_WRONG_SIZE:
        *out_right = 1u << KILN_MISUSE_SIZE;
        return block->at;
    case KILN_WRONG_FAMILY:
        *out_right = 1u << KILN_MISUSE_FAMILY;
        return model->harden && model->subject->harden.config.families ? block->at : NULL;
    default:
        *out_right = 1u << KILN_MISUSE_ALIGNMENT;
        return block->at;
    }
}

static kiln_misuse_t make_call(kiln_heap_model_t *model, const kiln_subject_by_t *by,
                               kiln_heap_model_wrong_t wrong, unsigned through, void *at,
                               size_t usable)
{
    kiln_subject_t *subject = model->subject;
    kiln_misuse_t misuse = KILN_MISUSE_NONE;
    size_t align = (size_t)((uintptr_t)at & (0 - (uintptr_t)at)) << 1; /* not one of `at` */
    bool less = model->harden && through & 1 && usable > 0;
    if (wrong == KILN_WRONG_SIZE)
        return kiln_subject_free_sized(subject, by, at, 0, less ? usable - 1 : usable + 1);
    if (wrong == KILN_WRONG_ALIGNMENT) return kiln_subject_free_sized(subject, by, at, align, 1);
    if (wrong == KILN_WRONG_FAMILY) through %= 2; /* the others name no family */
    switch (through % 4) {
    case 0:
        return kiln_subject_free(subject, by, at);
    case 1:
        return kiln_subject_free_sized(subject, by, at, 0, usable ? usable : 16);
    case 2:
        KILN_FUZZ_LAW("L5: realloc of a wrong pointer gives none",
                      !kiln_subject_realloc(subject, by, at, 64, &misuse));
        return misuse;
    default:
        KILN_FUZZ_LAW("L5: a wrong pointer has no usable bytes",
                      kiln_subject_usable(subject, at, &misuse) == 0);
        return misuse;
    }
}

static void plant(kiln_heap_model_t *model, kiln_heap_model_wrong_t wrong, bool stays,
                  unsigned slot, uint32_t arg)
{
    const kiln_heap_model_block_t *block = &model->blocks[slot];
    uintptr_t at = (uintptr_t)model->freed[slot % KILN_HEAP_MODEL_FREED];
    if (!model->harden) return;
    note(model, "plant", slot, block->at, wrong);
    if (wrong == KILN_WRONG_AFTER_FREE) {
        kiln_harden_model_plant_free(model->harden, at, stays, arg);
    } else if (block->at && wrong == KILN_WRONG_BESIDE) {
        bool behind = block_at(model, block->at + block->room);
        kiln_harden_model_plant_beside(model->harden, &block->hard, behind, stays, arg);
    } else if (block->at) {
        at = kiln_harden_model_slot_near(model->harden, &block->hard, arg >> 16);
        kiln_harden_model_plant_free(model->harden, at, stays, arg);
    }
}

void kiln_heap_model_misuse(kiln_heap_model_t *model, const kiln_subject_by_t *by,
                            kiln_heap_model_wrong_t wrong, unsigned through, unsigned slot,
                            uint32_t arg)
{
    const kiln_heap_model_block_t *block = &model->blocks[slot];
    unsigned right = 0;
    if (wrong > KILN_WRONG_FAMILY) {
        plant(model, wrong, through & 1, slot, arg);
        return;
    }
    void *at = victim(model, wrong, slot, arg, &right);
    if (!at) return;
    kiln_subject_by_t caller = *by;
    caller.family = block->family;
    if (wrong == KILN_WRONG_FAMILY) caller.family = (block->family + 1 + arg % 2) % 3;
    bool was_last = model->freed_last;
    kiln_misuse_t misuse =
        make_call(model, &caller, wrong, through, at, block->at ? block->usable : 0);
    note(model, "misuse", slot, at, (size_t)misuse);
    model->freed_last = was_last;
    KILN_FUZZ_LAW("L5: a misuse is reported", misuse != KILN_MISUSE_NONE);
    KILN_FUZZ_LAW("L5: a misuse is reported with its kind", right >> misuse & 1);
    if (!block->at) return;
    KILN_FUZZ_LAW("L5: a misuse changes nothing",
                  kiln_subject_usable(model->subject, block->at, &misuse) == block->usable);
    check_holds(block);
}

static void check_ledger(const kiln_heap_model_t *model)
{
    kiln_heap_stats_t stats = kiln_heap_stats(model->heap);
    uint64_t live_bytes = stats.live_bytes - stats.cached_bytes;
    if (model->harden) live_bytes -= kiln_harden_model_kept_bytes(model->harden);
    /* Where a large block's pages cannot be had back, it stays for ever. */
    bool stuck = model->harden && model->fake->stats.refused[KILN_OS_CALL_COMMIT] > 0;
    KILN_FUZZ_LAW("the heap's ledger is the program's",
                  live_bytes == model->live_bytes || (stuck && live_bytes > model->live_bytes));
}

void kiln_heap_model_check(kiln_heap_model_t *model)
{
    KILN_CHECK_RULE(kiln_heap_broken_rule(model->heap));
    KILN_CHECK_RULE(kiln_os_fake_broken_rule(model->fake));
    check_ledger(model);
    if (model->harden) {
        KILN_CHECK_RULE(kiln_harden_broken_rule(&model->subject->harden));
        kiln_harden_model_check(model->harden);
    }
    for (unsigned i = 0; i < model->live_count; i++) check_holds(&model->blocks[model->live[i]]);
}
