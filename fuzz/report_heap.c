/* report_heap.c - making a heap, and writing over its records (report_heap.h). */
#include "fuzz/report_heap.h"

#include "allocator/api/stack.h"
#include "allocator/os/fake_window_linux.h"
#include "fuzz/target.h"

#include <string.h>

enum { RANGES_MAX = 512, PHYS_BYTES = 4096, KEPT_BYTES = 8192 };
#define WINDOW_BYTES KILN_MIB(64)
#define ARENA_BYTES KILN_MIB(16)
#define WINDOW_HINT ((kiln_addr_t)(sizeof(void *) == 8 ? UINT64_C(0x520000000000) : 0x60000000))

kiln_report_heap_t kiln_report_heap;

static kiln_os_window_t window;
static kiln_os_range_t ranges[RANGES_MAX];
static kiln_os_fake_t fake;
static bool is_held;
static bool live[KILN_REPORT_BLOCKS];

/* Nothing but a report asks for a lock that is held. */
static void wait_for_ever(_Atomic uint32_t *word, uint32_t value)
{
    (void)word;
    (void)value;
    kiln_check_failed("a report takes no lock", __FILE__, __LINE__);
}

static void wake_nobody(_Atomic uint32_t *word)
{
    (void)word;
}

static void no_damage(const kiln_damage_t *damage, kiln_site_t site)
{
    (void)damage;
    (void)site;
    kiln_check_failed("L5: only what was done is told", __FILE__, __LINE__);
}

static uint32_t keep_stack(uintptr_t caller)
{
    uintptr_t pcs[] = {caller, caller + 16, caller + 32};
    return kiln_stack_depot_put(&kiln_stack_depot, pcs, 3);
}

static uint32_t thread_number(void)
{
    return 3;
}

static void open_fake(void)
{
    if (!window.memory.zero)
        KILN_CHECK(kiln_os_window_open(&window, WINDOW_HINT, WINDOW_BYTES, KILN_MIB(1), false));
    kiln_os_fake_config_t config =
        kiln_os_fake_config_default((unsigned)sizeof(void *) * 8, PHYS_BYTES, ranges, RANGES_MAX);
    kiln_os_fake_config_use_memory(&config, &window.memory);
    kiln_os_fake_init(&fake, &config);
    fake.os.parker = (kiln_parker_t){wait_for_ever, wake_nobody};
}

/* As allocator/api/profile.c has them, in a window. */
static void harden(kiln_report_profile_t profile, const kiln_harden_config_t *config)
{
    kiln_report_heap_t *h = &kiln_report_heap;
    kiln_guard_config_t guard = kiln_guard_config_default(&fake.os);
    guard.space.region_bytes = (uint64_t)4 * KILN_GUARD_CHUNK_PAGES * PHYS_BYTES;
    guard.block_bytes_max = (size_t)KILN_MIB(1);
    if (profile == KILN_REPORT_GUARDED)
        KILN_CHECK_RULE(kiln_guard_init(&h->guard, &fake.os, &guard));
    KILN_CHECK_RULE(kiln_harden_init(&h->hardened, &h->heap, config));
    h->is_hardened = true;
    h->thread = kiln_harden_attach(&h->hardened);
    KILN_CHECK(h->thread);
}

void kiln_report_heap_begin(kiln_report_profile_t profile)
{
    kiln_report_heap_t *h = &kiln_report_heap;
    bool keeps = profile == KILN_REPORT_FUZZ || profile == KILN_REPORT_GUARDED;
    memset(h, 0, sizeof *h);
    memset(live, 0, sizeof live);
    memset(&kiln_stack_depot, 0, sizeof kiln_stack_depot);
    is_held = false;
    open_fake();
    kiln_stack_depot_init(&kiln_stack_depot, &fake.os);
    kiln_harden_config_t hardening = {
        .random = true,
        .quarantine = {.blocks_max = 32, .bytes_max = KILN_KIB(8)},
        .guard = profile == KILN_REPORT_GUARDED ? &h->guard : NULL,
        .guard_every = profile == KILN_REPORT_GUARDED,
        .found = no_damage,
        .stack = keeps ? keep_stack : NULL,
        .thread = keeps ? thread_number : NULL,
    };
    kiln_heap_config_t config = {
        .os = &fake.os,
        .arena_os = &fake.os,
        .arena = kiln_arena_config_default((unsigned)sizeof(void *) * 8, PHYS_BYTES),
        .image_end = window.memory.first,
        .idle_bytes_max = KILN_MIB(1),
        .note_bytes = profile == KILN_REPORT_PLAIN ? 0 : kiln_harden_note_bytes(&hardening),
    };
    config.arena.tables = 1u << KILN_ARENA_SPANS;
    config.arena.block_bytes = KILN_MIB(1);
    if (sizeof(void *) == 8) config.arena.addr_max = ARENA_BYTES - 1;
    KILN_CHECK_RULE(kiln_heap_init(&h->heap, &config));
    if (profile != KILN_REPORT_PLAIN) harden(profile, &hardening);
}

uint64_t kiln_report_heap_calls(void)
{
    uint64_t calls = 0;
    for (unsigned i = 0; i < KILN_OS_CALLS; i++) calls += fake.stats.calls[i];
    return calls;
}

const kiln_harden_t *kiln_report_heap_hardened(void)
{
    return kiln_report_heap.is_hardened ? &kiln_report_heap.hardened : NULL;
}

void kiln_report_heap_alloc(unsigned place, size_t bytes)
{
    static const char *const takes[] = {"malloc", "operator new", "operator new[]"};
    kiln_report_heap_t *h = &kiln_report_heap;
    kiln_site_t site = {takes[bytes % 3], 0x40000000 + bytes % 4096};
    if (h->ruined || is_held || live[place]) return;
    char *block = h->is_hardened ? kiln_harden_malloc(&h->hardened, h->thread, bytes, false, site)
                                 : kiln_heap_malloc(&h->heap, NULL, bytes);
    if (!block) return;
    h->blocks[place] = block;
    live[place] = true;
}

void kiln_report_heap_free(unsigned place)
{
    kiln_report_heap_t *h = &kiln_report_heap;
    kiln_site_t site = {"free", 0x40000800};
    if (h->ruined || is_held || !live[place]) return;
    live[place] = false;
    kiln_misuse_t misuse = h->is_hardened
                               ? kiln_harden_free(&h->hardened, h->thread, h->blocks[place], site)
                               : kiln_heap_free(&h->heap, NULL, h->blocks[place]);
    KILN_FUZZ_LAW("L5: only what was done is told", misuse == KILN_MISUSE_NONE);
}

void kiln_report_heap_keep(unsigned place, const uintptr_t *pcs, unsigned count)
{
    if (kiln_report_heap.ruined || is_held) return;
    /* No frame is at 0, so that the stack is the caller alone: those are kept in another way. */
    uint32_t id = count == 1 ? kiln_stack_capture_from(0, pcs[0], 1)
                             : kiln_stack_depot_put(&kiln_stack_depot, pcs, count);
    uintptr_t kept[KILN_STACK_FRAMES_MAX];
    KILN_FUZZ_LAW("a stack is kept as it is",
                  id == 0 || (kiln_stack_frames(id, kept) == count &&
                              memcmp(kept, pcs, count * sizeof *pcs) == 0));
    kiln_report_heap.stacks[place] = id;
}

/* --- ruins ------------------------------------------------------------------------------------ */

static bool ruin_span(kiln_span_t *span, size_t at, uintptr_t word)
{
    switch (at % 7) {
    case 0:
        atomic_store(&span->minus_base, word);
        break;
    case 1:
        atomic_store(&span->slots_bytes, word);
        break;
    case 2:
        atomic_store(&span->slots, (uint16_t)word);
        break;
    case 3:
        span->inverse = (uint64_t)word << at / 7 % 32; /* wider than an index */
        break;
    case 4:
        span->pages = (uint32_t)word;
        break;
    case 5:
        span->kind = (uint8_t)word;
        break;
    default:
        span->used = (uint16_t)word;
        break;
    }
    return true;
}

static bool ruin_slots(kiln_span_t *span, size_t at, uintptr_t word)
{
    uint32_t note_bytes = kiln_report_heap.heap.config.note_bytes;
    size_t bytes =
        kiln_span_record_bytes(span->class_idx, note_bytes) - offsetof(kiln_span_t, states);
    for (unsigned i = 0; i < 4; i++)
        atomic_store(&span->states[(at + i) % bytes], (uint8_t)(word >> 8 * i));
    return true;
}

/* The chunk of the block, or NULL: no guard has it. */
static kiln_guard_chunk_t *chunk_of(const char *block)
{
    kiln_guard_space_t *space = &kiln_report_heap.guard.space;
    if (!kiln_report_heap.hardened.config.guard || !kiln_guard_space_has(space, (uintptr_t)block))
        return NULL;
    uintptr_t idx = ((uintptr_t)block - space->start) / (uintptr_t)kiln_guard_chunk_bytes(space);
    return &space->chunks[idx];
}

static bool ruin_chunk(kiln_guard_chunk_t *chunk, size_t at, uintptr_t word)
{
    if (!chunk) return false;
    if (at % 3 == 0) atomic_store(&chunk->back, (uint32_t)word);
    if (at % 3 == 1) atomic_store(&chunk->run_chunks, (uint32_t)word);
    if (at % 3 == 2) atomic_store(&chunk->had_blocks, word % 2 != 0);
    return true;
}

static bool ruin_book(kiln_guard_chunk_t *chunk, size_t at, uintptr_t word)
{
    kiln_guard_book_t *book = chunk ? atomic_load(&chunk->book) : NULL;
    if (!book) return false;
    size_t first = offsetof(kiln_guard_book_t, slots_count);
    size_t words = (sizeof *book - first) / sizeof(uint32_t);
    uint32_t half = (uint32_t)word;
    memcpy((char *)book + first + at % words * sizeof half, &half, sizeof half);
    return true;
}

static bool ruin_kept(size_t at, uintptr_t word)
{
    uintptr_t chunk = atomic_load(&kiln_stack_depot.chunks[0]);
    uint32_t half = (uint32_t)word;
    if (chunk == 0) return false;
    memcpy((char *)chunk + at % (KEPT_BYTES / sizeof half) * sizeof half, &half, sizeof half);
    return true;
}

static bool ruin_entry(const char *block, uintptr_t word)
{
    kiln_page_map_t *map = &kiln_report_heap.heap.map;
    uintptr_t idx = ((uintptr_t)block - map->start) >> KILN_PAGE_SHIFT;
    atomic_store(&map->entries[idx], (kiln_span_t *)word);
    return true;
}

static kiln_span_t *span_of(const char *block)
{
    kiln_span_t *span = kiln_page_map_find(&kiln_report_heap.heap.map, (uintptr_t)block);
    bool is_record = span && (kiln_addr_t)(uintptr_t)span >= window.memory.first &&
                     (kiln_addr_t)(uintptr_t)span < window.memory.last;
    return is_record && span->class_idx < KILN_SIZE_CLASSES ? span : NULL;
}

void kiln_report_heap_ruin(kiln_ruin_t ruin, unsigned place, size_t at, uintptr_t word)
{
    kiln_report_heap_t *h = &kiln_report_heap;
    const char *block = h->blocks[place];
    bool done = false;
    if (kiln_report_heap_may_fault() || !block)
        return; /* where records are is not known any more */
    kiln_span_t *span = span_of(block);
    kiln_guard_chunk_t *chunk = chunk_of(block);
    /* x86 reads what is not aligned, and UBSan would stop at it. */
    uintptr_t addr = word & ~(uintptr_t)15;
    if (ruin == KILN_RUIN_SPAN && span) done = ruin_span(span, at, word);
    if (ruin == KILN_RUIN_SLOTS && span) done = ruin_slots(span, at, word);
    if (ruin == KILN_RUIN_CHUNK) done = ruin_chunk(chunk, at, word);
    if (ruin == KILN_RUIN_BOOK) done = ruin_book(chunk, at, word);
    if (ruin == KILN_RUIN_KEPT) done = ruin_kept(at, word);
    if (ruin == KILN_RUIN_ENTRY && span) done = ruin_entry(block, addr);
    if (ruin == KILN_RUIN_CLASS && span) {
        span->class_idx = (uint8_t)word;
        done = true;
    }
    if (ruin == KILN_RUIN_BOOK_AT && chunk) {
        atomic_store(&chunk->book, (kiln_guard_book_t *)addr);
        done = true;
    }
    if (ruin == KILN_RUIN_KEPT_AT) {
        atomic_store(&kiln_stack_depot.chunks[at % KILN_DEPOT_CHUNKS_MAX], addr);
        done = true;
    }
    if (done) h->ruined |= 1u << ruin;
}

bool kiln_report_heap_may_fault(void)
{
    return kiln_report_heap.ruined >> KILN_RUIN_ENTRY != 0;
}

void kiln_report_heap_hold(void)
{
    if (is_held) return;
    is_held = true;
    if (kiln_report_heap.is_hardened) kiln_harden_fork_prepare(&kiln_report_heap.hardened);
    kiln_heap_fork_prepare(&kiln_report_heap.heap);
}
