/* What free makes of a pointer: for every address, every record that the page map may lead to (of a
 * class of any geometry, with slots or without, anywhere), every slot state, with room in the
 * cache, without room, and without a cache. FOUND is 0 where it leads nowhere. CLASS is 0 for large
 * blocks, else any class: the table says of it what the harness wants, which is anything that
 * size_class_harness.c proved of all of them.
 *
 * With HARDEN it is the free of a hardened heap: 1 the whole, 2 the common path first. What happens
 * to the block's bytes is stubs, which assert whose bytes they are; of guarded blocks there is
 * none.
 *
 * The search for the record is its contract: NULL, or some record. The slot at an offset is what
 * slot_index_harness.c proved: the quotient, where there is no rest. */
#include "tests/proof/span.h"

#include "allocator/heap/page_map.h"
#include "tests/proof/proof.h"

enum { SLOTS_MAX = 16 };

/* The span that the page map leads to. */
static kiln_span_t record;
static _Atomic uint8_t slot_states[SLOTS_MAX];
static const bool found = FOUND; /* false: it leads nowhere */

/* The pointer: how far from the span's base it lies, in slots and a rest. */
static uintptr_t addr;
static uint32_t slot_idx, rest;

static kiln_span_t *find(const kiln_page_map_t *map, uintptr_t at)
{
    (void)map;
    PROOF_ASSERT(at == addr, "the pointer itself is looked up");
    return found ? &record : NULL;
}

static uint32_t slot_at(const kiln_span_t *span, size_t offset)
{
    PROOF_ASSERT(span == &record && offset == addr - kiln_span_base(span),
                 "the slot looked for is the pointer's");
    return offset < kiln_span_slots_bytes(span) && rest == 0 ? slot_idx : UINT32_MAX;
}

static uint32_t small_slot_at(const kiln_span_t *span, size_t offset)
{
    return span->class_idx == KILN_CLASS_LARGE ? UINT32_MAX : slot_at(span, offset);
}

static uint64_t span_index(const kiln_span_t *span, size_t offset)
{
    return small_slot_at(span, offset);
}

#define kiln_page_map_find find
#define kiln_page_map_find_fast find
#define kiln_span_slot_at slot_at
#define kiln_span_small_slot_at small_slot_at
#define kiln_span_index span_index
#include "allocator/heap/heap.c"

/* Where a slot can go. */
static unsigned given;

void kiln_page_heap_give(kiln_page_heap_t *heap, kiln_span_t *span)
{
    (void)heap;
    PROOF_ASSERT(span == &record, "the span of the block goes back");
    PROOF_ASSERT(span->class_idx == KILN_CLASS_LARGE, "only a large span goes back by a free");
    given++;
}

void kiln_central_give(kiln_central_t *central, const kiln_slot_t *slots, uint32_t count)
{
    (void)central;
    PROOF_ASSERT(count == 1 && (uintptr_t)slots->block == addr, "the block goes to its class");
    PROOF_ASSERT(slots->state == &record.states[slot_idx], "with its state");
    given++;
}

static kiln_heap_t heap;
static kiln_thread_cache_t cache;

/* A hardened heap does its own with a block's bytes. */
#ifdef HARDEN
#include "allocator/harden/fill.h"
#include "allocator/harden/note.h"
#include "allocator/harden/quarantine.h"

static bool canary_holds(const kiln_canary_t *canary, const char *end, size_t slack);
static size_t note_slack(const kiln_note_shape_t *shape, const _Atomic uint8_t *state);
static void units_set(char *slot, const char *end, kiln_unit_t unit);
static void fill(char *slot, size_t slot_bytes, uint8_t byte);
static bool fill_holds(const char *slot, size_t slot_bytes, uint8_t byte);
static kiln_slot_t quarantine_push(kiln_quarantine_ring_t *ring, kiln_slot_t slot);

#define kiln_canary_holds canary_holds
#define kiln_note_slack note_slack
#define kiln_units_set units_set
#define kiln_fill fill
#define kiln_fill_holds fill_holds
#define kiln_quarantine_push quarantine_push
#define take_small take_small_hardened
#define fits_here fits_here_hardened
#include "allocator/harden/harden.c"

static kiln_harden_t harden;
static kiln_harden_thread_t mine;

/* Addresses are compared as the sums that they are: of what is no object the model has no other. */
static void own_bytes_only(const char *start, const char *end)
{
    PROOF_ASSERT((uintptr_t)start == addr && record.states[slot_idx] == KILN_SLOT_BUSY &&
                     end == start + kiln_size_classes[CLASS].slot_bytes,
                 "the bytes that are overwritten are the freed block's");
}

static bool canary_holds(const kiln_canary_t *canary, const char *end, size_t slack)
{
    PROOF_ASSERT((canary == &harden.canary || canary == &mine.bins[CLASS].canary) &&
                     slack <= kiln_size_classes[CLASS].slot_bytes &&
                     end == (const char *)addr + kiln_size_classes[CLASS].slot_bytes,
                 "the canary that is looked at is behind the block");
    return nondet_bool();
}

static size_t note_slack(const kiln_note_shape_t *shape, const _Atomic uint8_t *state)
{
    PROOF_ASSERT((shape == &harden.shapes[CLASS] || shape == &mine.bins[CLASS].shape) &&
                     state == &record.states[slot_idx],
                 "the note is the block's");
    return nondet_below(shape->slot_bytes);
}

static void units_set(char *slot, const char *end, kiln_unit_t unit)
{
    (void)unit;
    own_bytes_only(slot, end);
}

static void fill(char *slot, size_t slot_bytes, uint8_t byte)
{
    (void)byte;
    own_bytes_only(slot, slot + slot_bytes);
}

static bool fill_holds(const char *slot, size_t slot_bytes, uint8_t byte)
{
    (void)slot, (void)slot_bytes, (void)byte;
    return nondet_bool();
}

static kiln_slot_t quarantine_push(kiln_quarantine_ring_t *ring, kiln_slot_t slot)
{
    PROOF_ASSERT(ring == &mine.bins[CLASS].ring && (uintptr_t)slot.block == addr &&
                     slot.state == &record.states[slot_idx],
                 "the block waits among those of its class");
    given++;
    return (kiln_slot_t){NULL, NULL};
}

void kiln_harden_large_retire(kiln_harden_t *of, kiln_span_t *span, kiln_site_t site)
{
    (void)site;
    PROOF_ASSERT(of == &harden && span == &record && CLASS == KILN_CLASS_LARGE &&
                     record.states[0] == KILN_SLOT_BUSY,
                 "a large block was taken from the program before it goes");
    record.states[0] = KILN_SLOT_QUARANTINED;

    given++;
}

kiln_damage_t kiln_harden_look(const kiln_harden_t *of, const kiln_span_t *span, uint32_t slot,
                               uint8_t state)
{
    (void)of, (void)state;
    PROOF_ASSERT(span == &record && slot == slot_idx, "damage is told of the block's slot");
    return (kiln_damage_t){.kind = KILN_DAMAGE_NONE};
}

/* What the callers do: where the common path did nothing, the other one follows. */
static kiln_misuse_t hardened_free(bool has_thread, void *block)
{
    static const kiln_site_t site = {"proof", 0};
    harden.heap = &heap;
    harden.freed_byte = (uint8_t)nondet_uint64();
    mine.harden = &harden;
    mine.cache = &cache;
    mine.few_classes = nondet_below(KILN_FEW_CLASSES + 1);
    harden.shapes[CLASS].slot_bytes = kiln_size_classes[CLASS].slot_bytes;
    mine.bins[CLASS].shape = harden.shapes[CLASS];
    if (HARDEN == 2 && has_thread && harden.freed_byte == 0 &&
        kiln_harden_free_fast(&heap, &mine, block, site))
        return KILN_MISUSE_NONE;
    return kiln_harden_free(&harden, has_thread ? &mine : NULL, block, site);
}
#endif

static kiln_slot_t places[4]; /* of the bin of the record's class */

void kiln_thread_cache_put(kiln_thread_cache_list_t *list, kiln_thread_cache_t *to,
                           const kiln_span_t *span, kiln_slot_t slot)
{
    (void)list;
    PROOF_ASSERT(span == &record, "a slot is put with its span");
    PROOF_ASSERT(kiln_cache_bin_is_full(to, CLASS, kiln_cache_bin_top(to, CLASS)),
                 "only a full bin, or one at its mark, is looked at");
    atomic_store_explicit(&to->tops[CLASS], places + 2, memory_order_relaxed);
    kiln_cache_bin_push(to, CLASS, slot);
}

/* Where a claimed slot waits is not the matter here: see unreached.txt. */
void kiln_thread_cache_flush(kiln_thread_cache_list_t *list, kiln_thread_cache_t *flushed,
                             uint32_t class_idx)
{
    (void)list, (void)flushed, (void)class_idx;
}

void kiln_page_map_widen(kiln_page_map_t *map)
{
    PROOF_ASSERT(map == &heap.map, "the heap's map is widened");
}

const kiln_size_class_t kiln_size_classes[KILN_SIZE_CLASSES];

/* Any geometry: slots of any size, as many as the harness has states for. */
static void any_class(void)
{
    kiln_size_class_t *class = (kiln_size_class_t *)&kiln_size_classes[CLASS];
    if (CLASS == KILN_CLASS_LARGE) return;
    class->slot_bytes = nondet_below(KILN_SMALL_MAX + 1);
    class->slots = (uint16_t)(nondet_below(SLOTS_MAX) + 1);
    class->span_pages = (uint8_t)nondet_uint64();
    PROOF_ASSUME(class->slot_bytes > 0 && kiln_is_aligned(class->slot_bytes, KILN_HEAP_ALIGN_MIN));
    PROOF_ASSUME(class->slots * class->slot_bytes <= (uint32_t)class->span_pages
                                                         << KILN_PAGE_SHIFT);
}

/* Any record: its base, and whether it has slots. */
static void any_record(void)
{
    kiln_span_t *span = &record;
    uintptr_t base = (uintptr_t)nondet_uint64();
    PROOF_ASSUME(kiln_is_aligned(base, KILN_PAGE_BYTES) && base != 0);

    span->class_idx = CLASS;
    span->states = slot_states;
    kiln_span_set_base(span, base);
    size_t slots_bytes =
        (size_t)kiln_size_classes[CLASS].slots * kiln_size_classes[CLASS].slot_bytes;
    size_t pages_bytes = (size_t)kiln_size_classes[CLASS].span_pages << KILN_PAGE_SHIFT;
    if (CLASS == KILN_CLASS_LARGE) {
        pages_bytes = slots_bytes = (size_t)nondet_uint64();
        PROOF_ASSUME(kiln_is_aligned(pages_bytes, KILN_PAGE_BYTES) && pages_bytes > 0);
    }
    PROOF_ASSUME(base + (pages_bytes - 1) >= base);
    if (nondet_bool()) slots_bytes = 0; /* a free run, or spare */
    atomic_store_explicit(&span->slots_bytes, slots_bytes, memory_order_relaxed);
    uint32_t slots = slots_bytes != 0 ? kiln_size_classes[CLASS].slots : 0;
    atomic_store_explicit(&span->slots, slots, memory_order_relaxed);
}

/* Any pointer, and where it lies in the record. */
static void any_pointer(void)
{
    addr = (uintptr_t)nondet_uint64();
    PROOF_ASSUME(addr != 0);
    uintptr_t offset = addr - kiln_span_base(&record);
    if (CLASS == KILN_CLASS_LARGE) {
        slot_idx = 0;
        rest = offset != 0;
        return;
    }
    slot_idx = nondet_below(SLOTS_MAX);
    rest = nondet_below(kiln_size_classes[CLASS].slot_bytes);
    /* Beyond the slots their values do not matter. */
    PROOF_ASSUME(offset >= kiln_span_slots_bytes(&record) ||
                 offset == slot_idx * kiln_size_classes[CLASS].slot_bytes + rest);
}

#ifdef HARDEN
#define IS_HARDENED 1
#else
#define IS_HARDENED 0
#define hardened_free(has_thread, block) KILN_MISUSE_NONE
#endif

/* What free has to say, from the geometry alone. */
static kiln_misuse_t right_answer(uint8_t state)
{
    if (!found) return KILN_MISUSE_FOREIGN;
    const kiln_span_t *span = &record;
    uintptr_t offset = addr - kiln_span_base(span);
    bool in_use = kiln_span_slots_bytes(span) != 0;
    size_t bytes = CLASS == KILN_CLASS_LARGE
                       ? kiln_span_slots_bytes(span)
                       : (size_t)kiln_size_classes[CLASS].span_pages << KILN_PAGE_SHIFT;
    if (in_use && offset < kiln_span_slots_bytes(span) && rest == 0)
        return state == KILN_SLOT_LIVE || (state == KILN_SLOT_KEPT && !IS_HARDENED)
                   ? KILN_MISUSE_NONE
                   : KILN_MISUSE_DOUBLE_FREE;
    if (in_use && offset < bytes) return KILN_MISUSE_INTERIOR;
    return addr % 16 == 0 ? KILN_MISUSE_DOUBLE_FREE : KILN_MISUSE_INTERIOR;
}

void harness(void)
{
    any_class();
    any_record();
    any_pointer();
    _Atomic uint8_t *state = &record.states[slot_idx];
    uint8_t before = (uint8_t)nondet_uint64();
    *state = before;
    kiln_misuse_t right = right_answer(before);

    const char single_threaded = nondet_bool();
    heap.single_threaded = &single_threaded;
    bool full = CLASS == KILN_CLASS_LARGE || nondet_bool();
    cache.stops[CLASS] = cache.ends[CLASS] = places + 3;
    cache.tops[CLASS] = full ? cache.ends[CLASS] : places + 1;
    bool has_cache = nondet_bool();

    kiln_misuse_t misuse = IS_HARDENED
                               ? hardened_free(has_cache, (void *)addr)
                               : kiln_heap_free(&heap, has_cache ? &cache : NULL, (void *)addr);

    PROOF_ASSERT((misuse == KILN_MISUSE_NONE) == (right == KILN_MISUSE_NONE),
                 "the start of a live block is freed, every other pointer refused");
    PROOF_ASSERT(misuse == right, "a pointer is refused with its kind");
    bool cached = !IS_HARDENED && has_cache && CLASS != KILN_CLASS_LARGE;
    kiln_slot_t *top = cache.tops[CLASS];
    if (misuse == KILN_MISUSE_NONE) {
        bool waits = IS_HARDENED && (has_cache || CLASS == KILN_CLASS_LARGE);
        PROOF_ASSERT(*state == (waits ? KILN_SLOT_QUARANTINED : KILN_SLOT_FREE),
                     "a freed slot is FREE, or waits");
        PROOF_ASSERT(given == (cached ? 0 : 1), "a freed slot goes to one place");
        PROOF_ASSERT(!cached || (top[-1].block == (void *)addr && top[-1].state == state),
                     "a cached slot is what is popped next");
    } else {
        PROOF_ASSERT(*state == before && given == 0, "a refused pointer changes nothing");
        PROOF_ASSERT(top == (full ? cache.ends[CLASS] : places + 1), "nor does it reach a cache");
    }
}
