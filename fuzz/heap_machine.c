/* heap_machine.c - see heap_machine.h. */
#include "fuzz/heap_machine.h"

#include "allocator/os/fake_window_linux.h"
#include "fuzz/target.h"

#include <string.h>

enum { RANGES_MAX = 2048, ROOMS = 32 /* see BLOCK_BYTES_MAX */ };
#define WINDOW_BYTES KILN_MIB(192)
#define ARENA_BYTES KILN_HEAP_MACHINE_ARENA_BYTES
/* What the blocks of one input may take together, whatever is freed meanwhile: much is slow, and
 * what is slow finds little. Of one in so many settings of `room` it is the whole arena. */
#define BLOCK_BYTES_MAX KILN_MIB(2)
/* Where no sanitizer has its shadow, so that the same input has the same addresses. */
#define WINDOW_HINT ((kiln_addr_t)(sizeof(void *) == 8 ? UINT64_C(0x520000000000) : 0x60000000))

/* The setting `profile`, modulo 4; 0 and 3 are a plain heap. The values of `guard`, modulo 4. */
enum { PROFILE_HARDENED = 1, PROFILE_FUZZ = 2, PROFILES = 4 };
enum { GUARD_SOME, GUARD_NONE, GUARD_ALL, GUARD_LOW, GUARDS };

static kiln_os_window_t window;
static kiln_os_range_t ranges[RANGES_MAX];
static const char single_threaded = 1;

static kiln_os_fake_place_t policy_of(uint8_t byte)
{
    kiln_os_fake_place_t policy =
        (kiln_os_fake_place_t)((byte + (unsigned)KILN_PLACE_SCRIPT) % KILN_PLACES);
    bool script_only = policy == KILN_PLACE_AT_PAGE || policy == KILN_PLACE_LIE_WRAP ||
                       policy == KILN_PLACE_LIE_OCCUPIED;
    return script_only ? KILN_PLACE_SCRIPT : policy;
}

static void open_fake(kiln_heap_machine_t *machine, const uint8_t *config, uint64_t phys)
{
    unsigned bits = (unsigned)sizeof(void *) * 8;
    if (!window.memory.zero)
        KILN_CHECK(kiln_os_window_open(&window, WINDOW_HINT, WINDOW_BYTES, KILN_MIB(1), false));
    kiln_os_fake_config_t fake = kiln_os_fake_config_default(bits, phys, ranges, RANGES_MAX);
    kiln_os_fake_config_use_memory(&fake, &window.memory);
    fake.policy = policy_of(config[2]);
    fake.seed = config[5];
    fake.straddle_addr = window.memory.first + WINDOW_BYTES / 2;
    fake.script = machine->script;
    fake.script_bytes = sizeof machine->script;
    fake.refuse_call = config[8] % 32;
    memset(machine->faults, 0, sizeof machine->faults);
    kiln_fuzz_plan_faults(machine->faults);
    fake.refuse_plan = machine->faults;
    fake.refuse_plan_bytes = kiln_fuzz_faults.call != 0 ? sizeof machine->faults : 0;
    /* 1: no big reservation at the start, the heap grows by blocks. */
    if (config[1] % 2) fake.reserve_bytes_max = KILN_MIB(24);
    kiln_os_fake_init(&machine->fake, &fake); /* not reset, whose way depends on the input before */
}

/* As allocator/api/profile.c, in a window: a few chunks of address space, and some of them dead. */
static kiln_guard_config_t guard_of(const kiln_heap_machine_t *machine, const uint8_t *config)
{
    kiln_guard_config_t guard = kiln_guard_config_default(&machine->fake.os);
    uint64_t chunk_bytes = KILN_GUARD_CHUNK_PAGES * machine->fake.os.phys_bytes;
    guard.seed = config[5];
    unsigned guarded = config[12] % GUARDS;
    guard.policy = guarded == GUARD_LOW ? KILN_GUARD_LOW : KILN_GUARD_HIGH;
    guard.space.region_bytes = chunk_bytes < KILN_MIB(8) ? 4 * chunk_bytes : 2 * chunk_bytes;
    guard.space.freed_chunks_max = 1;
    guard.space.mappings_max = 64;
    guard.block_bytes_max = (size_t)guard.space.region_bytes / 2;
    if (guarded == GUARD_SOME) {
        guard.block_bytes_max = (size_t)KILN_MIB(1);
        guard.live_bytes_max = KILN_MIB(4);
    }
    return guard;
}

static kiln_quarantine_bounds_t quarantine_of(const uint8_t *config, bool fuzz)
{
    uint8_t word = config[14];
    if (word != 0)
        return (kiln_quarantine_bounds_t){.blocks_max = (word - 1u) % 64,
                                          .bytes_max = (uint32_t)KILN_KIB(1) << word / 64 * 3};
    if (fuzz)
        return (kiln_quarantine_bounds_t){.blocks_max = KILN_QUARANTINE_PLACES_MAX,
                                          .bytes_max = KILN_KIB(256)};
    return (kiln_quarantine_bounds_t){.blocks_max = 32, .bytes_max = KILN_KIB(8)};
}

/* As kiln_profile_config. */
static kiln_harden_config_t hardening_of(kiln_heap_machine_t *machine, const uint8_t *config,
                                         const kiln_heap_machine_hooks_t *hooks)
{
    bool fuzz = config[10] % PROFILES == PROFILE_FUZZ;
    unsigned guarded = config[12] % GUARDS;
    uint32_t every = config[13] ? config[13] : fuzz ? 10 : 5000;
    return (kiln_harden_config_t){
        .seed = config[5],
        .random = true,
        .fresh_byte = fuzz ? 0xbe : 0,
        .freed_byte = fuzz ? 0xfd : 0,
        .quarantine = quarantine_of(config, fuzz),
        .guard = guarded == GUARD_NONE ? NULL : &machine->subject.guard,
        .guard_every = guarded == GUARD_NONE   ? 0
                       : guarded == GUARD_SOME ? every
                                               : 1,
        .guard_rotates = fuzz,
        .families = fuzz != ((config[11] & KILN_HARDEN_FAMILIES) != 0),
        .found = hooks->found,
        .stack = fuzz ? hooks->stack : NULL,
        .thread = fuzz ? hooks->thread : NULL,
    };
}

/* `hardening` is NULL for a plain heap. */
static const char *make_heap(kiln_heap_machine_t *machine, const uint8_t *config,
                             const kiln_heap_machine_hooks_t *hooks,
                             const kiln_harden_config_t *hardening)
{
    uint64_t phys = machine->fake.os.phys_bytes;
    kiln_heap_config_t heap = {
        .os = hooks->os ? hooks->os : &machine->fake.os,
        .arena_os = hooks->os ? hooks->os : &machine->fake.os,
        .watcher = hooks->watcher,
        .arena = kiln_arena_config_default((unsigned)sizeof(void *) * 8, phys),
        .image_end = window.memory.first,
        .idle_bytes_max = KILN_KIB(64) << config[6] % 8,
        .note_bytes = hardening ? kiln_harden_note_bytes(hardening) : 0,
        .single_threaded = config[4] & KILN_FLAG_SINGLE ? &single_threaded : NULL,
    };
    heap.arena.tables = 1u << KILN_ARENA_SPANS;
    heap.arena.block_bytes = KILN_MIB(1) << config[7] % 4;
    if (sizeof(void *) == 8) heap.arena.addr_max = ARENA_BYTES - 1;
    return kiln_heap_init(&machine->subject.heap, &heap);
}

static void harden_heap(kiln_heap_machine_t *machine, const uint8_t *config,
                        const kiln_heap_machine_hooks_t *hooks,
                        const kiln_harden_config_t *hardening)
{
    kiln_guard_config_t guard = guard_of(machine, config);
    const kiln_os_t *os = hooks->os ? hooks->os : &machine->fake.os;
    machine->subject.hardens = true;
    machine->subject.slow = config[11] & KILN_HARDEN_SLOW;
    KILN_CHECK_RULE(kiln_guard_init(&machine->subject.guard, os, &guard));
    KILN_CHECK_RULE(kiln_harden_init(&machine->subject.harden, &machine->subject.heap, hardening));
}

bool kiln_heap_machine_hardens(const uint8_t *config)
{
    unsigned profile = config[10] % PROFILES;
    return profile == PROFILE_HARDENED || profile == PROFILE_FUZZ;
}

void kiln_heap_machine_open(kiln_heap_machine_t *machine, const uint8_t *config)
{
    memset(machine->script, 0, sizeof machine->script);
    machine->script[0] = config[9];
    open_fake(machine, config, KILN_KIB(4) << 2 * (config[0] % 3));
    memset(&machine->subject.heap, 0, sizeof machine->subject.heap);
    machine->subject.hardens = false;
    machine->subject.calls = 0;
    machine->bytes_left = config[15] % ROOMS == ROOMS - 1 ? ARENA_BYTES : BLOCK_BYTES_MAX;
}

bool kiln_heap_machine_start(kiln_heap_machine_t *machine, const uint8_t *config,
                             const kiln_heap_machine_hooks_t *hooks)
{
    bool hardens = kiln_heap_machine_hardens(config);
    kiln_harden_config_t hardening = hardening_of(machine, config, hooks);
    if (make_heap(machine, config, hooks, hardens ? &hardening : NULL) != NULL) {
        kiln_fuzz_faults.calls_seen = machine->fake.stats.refusable;
        KILN_FUZZ_LAW("L4: a heap that cannot be holds nothing",
                      machine->fake.stats.space_bytes == 0);
        return false;
    }
    if (hardens) harden_heap(machine, config, hooks, &hardening);
    machine->fake.config.refuse_call = 0;
    machine->fake.config.no_guard = hardens && config[11] & KILN_HARDEN_NO_GUARD_PAGES;
    return true;
}

void kiln_heap_machine_end(kiln_heap_machine_t *machine)
{
    kiln_fuzz_faults.calls_seen = machine->fake.stats.refusable;
    if (machine->subject.hardens) kiln_guard_destroy(&machine->subject.guard);
    /* The arena's small fallback, at 32 bits, loses up to a page around what it hands out (W13): of
     * the hardware's where these are larger. */
    uint64_t page_bytes = machine->fake.os.phys_bytes;
    if (page_bytes < KILN_PAGE_BYTES) page_bytes = KILN_PAGE_BYTES;
    uint64_t lost_max = machine->subject.heap.arena.config.addr_bits <= 32
                            ? machine->fake.stats.calls[KILN_OS_CALL_DIRECT] * page_bytes
                            : 0;
    kiln_heap_destroy(&machine->subject.heap);
    KILN_FUZZ_LAW("L4: a heap that is gone holds nothing",
                  machine->fake.stats.space_bytes <= lost_max);
}

void kiln_heap_machine_attach(kiln_heap_machine_t *machine, kiln_subject_by_t *thread)
{
    if (machine->subject.hardens)
        thread->hardened = kiln_harden_attach(&machine->subject.harden);
    else
        thread->cache = kiln_heap_attach(&machine->subject.heap);
}

void kiln_heap_machine_detach(kiln_heap_machine_t *machine, kiln_subject_by_t *thread)
{
    kiln_harden_thread_t *hardened = thread->hardened;
    kiln_thread_cache_t *cache = thread->cache;
    thread->hardened = NULL;
    thread->cache = NULL;
    if (hardened) kiln_harden_detach(&machine->subject.harden, hardened);
    if (cache) kiln_heap_detach(&machine->subject.heap, cache);
}

size_t kiln_heap_machine_size(const kiln_fuzz_record_t *r)
{
    uint32_t arg = r->arg;
    size_t around = arg >> 8 & 3; /* 0, 1 or 2: one below, at, one above an edge */
    switch (r->size % 16) {
    case 0:
        return arg % 64;
    case 1:
        return kiln_size_classes[1 + arg % (KILN_SIZE_CLASSES - 1)].slot_bytes + around - 1;
    case 2:
        return KILN_PAGE_BYTES * (1 + (size_t)(arg & 31)) + around - 1;
    case 3:
        return (size_t)KILN_SMALL_MAX + around - 1;
    case 4:
        return arg % KILN_MIB(1);
    case 5:
        return (size_t)KILN_MIB(1) * (1 + arg % 8) + around - 1;
    case 6:
        return (size_t)KILN_MIB(1) * (48 + arg % 32);
    case 7:
        return (size_t)PTRDIFF_MAX - 4 + arg % 8;
    case 8:
        return SIZE_MAX - arg % 8192;
    case 9:
        return ((size_t)1 << arg % 24) + around - 1;
    case 10:
        return arg % 1024;
    case 11:
        return arg % 40000;
    case 12:
        return (size_t)arg << 12;
    case 13: /* more pages than 32 bits count, on a machine that has them */
        return (size_t)(((UINT64_C(1) << 32) + arg % 64) * KILN_PAGE_BYTES);
    default:
        return arg % 512;
    }
}

bool kiln_heap_machine_allows(kiln_heap_machine_t *machine, size_t bytes, size_t more)
{
    if (bytes > ARENA_BYTES || more > ARENA_BYTES) return true; /* refused */
    if (bytes + more > machine->bytes_left) return false;
    machine->bytes_left -= bytes + more;
    return true;
}

void kiln_heap_machine_answer(kiln_heap_machine_t *machine, const kiln_fuzz_record_t *r)
{
    memset(machine->script, 0, sizeof machine->script);
    machine->script[0] = r->how;
    machine->script[1] = (uint8_t)(r->arg >> 24);
    machine->script[2] = (uint8_t)(r->arg >> 16);
    /* A heap is on an OS that reserves: what is only believed free is for the arena alone. */
    for (unsigned i = 0; i < 3; i++) machine->script[i] &= 0xef;
    machine->fake.script_at = 0;
}

void kiln_heap_machine_refuse(kiln_heap_machine_t *machine, const kiln_fuzz_record_t *r)
{
    kiln_os_fake_config_t *config = &machine->fake.config;
    config->refuse_call = r->how & 64 ? 0 : machine->fake.stats.refusable + 1 + r->slot % 16;
    config->refuse_ever_after = r->how & 128;
}

void kiln_heap_machine_budget(kiln_heap_machine_t *machine, const kiln_fuzz_record_t *r)
{
    kiln_os_fake_config_t *config = &machine->fake.config;
    uint64_t bytes = KILN_KIB(8) * (1 + (r->arg & 0xfff));
    config->space_budget_bytes = config->ready_budget_bytes = config->commit_bytes_max = 0;
    if (r->how % 4 == 1) config->space_budget_bytes = machine->fake.stats.space_bytes + bytes;
    if (r->how % 4 == 2) config->ready_budget_bytes = machine->fake.stats.ready_bytes + bytes;
    if (r->how % 4 == 3) config->commit_bytes_max = bytes;
}

void kiln_heap_machine_place(kiln_heap_machine_t *machine, const kiln_fuzz_record_t *r)
{
    machine->fake.config.policy = policy_of(r->how);
}
