/* heap_fuzz.c - malloc, free, realloc, calloc and aligned_alloc on the fake OS with bytes.
 *
 * One heap, up to three caches as if there were threads, an OS that places blocks as the input
 * wants and refuses when it wants. Every call goes through heap_model.h, which knows what every
 * block must hold. Misuses are calls like others: each must be reported, and change nothing.
 *
 * The heap is a plain one, or hardened as the profile `hardened` or `fuzz` of
 * allocator/api/profile.c is, with smaller bounds where the window is small. Settings and choices
 * that a plain heap has no use for mean nothing to it, so that inputs from before there were any
 * mean what they did.
 *
 * Threads  one.   Memory  the window of the fake OS, mapped once. */
#include "allocator/os/fake_window_linux.h"
#include "fuzz/heap_model.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

enum {
    STEPS_MAX = 500,
    CHECK_STEPS = 24,      /* the whole heap is looked at after so many, then after four times */
    CHECK_OFTEN_STEPS = 3, /* as many, and so on; often: after so many, then twice as many */
    CACHES_MAX = 3,
    SCRIPT_BYTES = 8,
    RANGES_MAX = 2048,
    ROOMS = 32, /* see BLOCK_BYTES_MAX */
};
#define WINDOW_BYTES KILN_MIB(192)
#define ARENA_BYTES KILN_MIB(64)
/* What the blocks of one input may take together, whatever is freed meanwhile: much is slow, and
 * what is slow finds little. Of one in so many settings of `room` it is the whole arena. */
#define BLOCK_BYTES_MAX KILN_MIB(2)
/* Where no sanitizer has its shadow, so that the same input has the same addresses. */
#define WINDOW_HINT ((kiln_addr_t)(sizeof(void *) == 8 ? UINT64_C(0x520000000000) : 0x60000000))

enum {
    OP_MALLOC,
    OP_FREE,
    OP_REALLOC,
    OP_CALLOC,
    OP_ALIGNED,
    OP_FREE_SIZED,
    OP_BURST,
    OP_RELEASE,
    OP_MISUSE,
    OP_REFUSE,
    OP_BUDGET,
    OP_TRIM,
    OP_CACHE,
    OP_POLICY,
    OPS
};

static const char *const op_names[OPS] = {
    "malloc",  "free",   "realloc", "calloc", "aligned", "free_sized", "burst",
    "release", "misuse", "refuse",  "budget", "trim",    "cache",      "policy",
};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "heap",
    .config = {"phys", "start", "policy", "caches", "flags", "seed", "idle", "block", "refuse",
               "answer", "profile", "harden", "guard", "every", "quarantine", "room"},
    .ops = op_names,
    .op_count = OPS,
};

enum { FLAG_SINGLE = 1, FLAG_TWICE = 2 };

/* The setting `profile`, modulo 4; 0 and 3 are a plain heap. */
enum { PROFILE_HARDENED = 1, PROFILE_FUZZ = 2, PROFILES = 4 };

/* The bits of the setting `harden`, and the values of `guard`, modulo 4. */
enum {
    HARDEN_OFTEN = 1,          /* all is checked more often, see CHECK_OFTEN_STEPS */
    HARDEN_NO_GUARD_PAGES = 2, /* a guarded block is a mapping */
    HARDEN_SLOW = 4,           /* the common paths are not tried */
    HARDEN_FAMILIES = 8,       /* alloc_dealloc_mismatch is the other one of the profile's */
};
enum { GUARD_SOME, GUARD_NONE, GUARD_ALL, GUARD_LOW, GUARDS };

/* Everything that one input changes. */
static struct {
    kiln_subject_t subject;
    kiln_os_fake_t fake;
    kiln_heap_model_t model;
    kiln_harden_model_t harden;
    kiln_subject_by_t threads[CACHES_MAX];
    uint8_t script[SCRIPT_BYTES];
    uint64_t bytes_left; /* of BLOCK_BYTES_MAX */
} run;

static kiln_os_window_t window;
static kiln_os_range_t ranges[RANGES_MAX];
static const char single_threaded = 1;

void kiln_fuzz_last_words(void)
{
}

/* --- the machine ----------------------------------------------------------------------------- */

static kiln_os_fake_place_t policy_of(uint8_t byte)
{
    kiln_os_fake_place_t policy =
        (kiln_os_fake_place_t)((byte + (unsigned)KILN_PLACE_SCRIPT) % KILN_PLACES);
    bool script_only = policy == KILN_PLACE_AT_PAGE || policy == KILN_PLACE_LIE_WRAP ||
                       policy == KILN_PLACE_LIE_OCCUPIED;
    return script_only ? KILN_PLACE_SCRIPT : policy;
}

static void open_fake(const uint8_t *config, uint64_t phys)
{
    unsigned bits = (unsigned)sizeof(void *) * 8;
    if (!window.memory.zero)
        KILN_CHECK(kiln_os_window_open(&window, WINDOW_HINT, WINDOW_BYTES, KILN_MIB(1), false));
    kiln_os_fake_config_t fake = kiln_os_fake_config_default(bits, phys, ranges, RANGES_MAX);
    kiln_os_fake_config_use_memory(&fake, &window.memory);
    fake.policy = policy_of(config[2]);
    fake.seed = config[5];
    fake.straddle_addr = window.memory.first + WINDOW_BYTES / 2;
    fake.script = run.script;
    fake.script_bytes = sizeof run.script;
    fake.refuse_call = config[8] % 32;
    /* 1: no big reservation at the start, the heap grows by blocks. */
    if (config[1] % 2) fake.reserve_bytes_max = KILN_MIB(24);
    kiln_os_fake_init(&run.fake, &fake); /* not reset, whose way depends on the input before */
}

static bool attached(const kiln_subject_by_t *thread)
{
    return thread->cache || thread->hardened;
}

static void attach(kiln_subject_by_t *thread)
{
    if (run.subject.hardens)
        thread->hardened = kiln_harden_attach(&run.subject.harden);
    else
        thread->cache = kiln_heap_attach(&run.subject.heap);
}

static void detach(kiln_subject_by_t *thread)
{
    if (thread->hardened) {
        kiln_harden_detach(&run.subject.harden, thread->hardened);
        kiln_harden_model_flushed(&run.harden, thread->thread_idx);
    }
    if (thread->cache) kiln_heap_detach(&run.subject.heap, thread->cache);
    thread->hardened = NULL;
    thread->cache = NULL;
}

/* As allocator/api/profile.c, in a window: a few chunks of address space, and some of them dead. */
static kiln_guard_config_t guard_of(const uint8_t *config)
{
    kiln_guard_config_t guard = kiln_guard_config_default(&run.fake.os);
    uint64_t chunk_bytes = KILN_GUARD_CHUNK_PAGES * run.fake.os.phys_bytes;
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
static kiln_harden_config_t hardening_of(const uint8_t *config)
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
        .guard = guarded == GUARD_NONE ? NULL : &run.subject.guard,
        .guard_every = guarded == GUARD_NONE   ? 0
                       : guarded == GUARD_SOME ? every
                                               : 1,
        .guard_rotates = fuzz,
        .families = fuzz != ((config[11] & HARDEN_FAMILIES) != 0),
        .found = kiln_harden_model_found,
        .stack = fuzz ? kiln_harden_model_stack : NULL,
        .thread = fuzz ? kiln_harden_model_thread : NULL,
    };
}

/* `hardening` is NULL for a plain heap. */
static const char *make_heap(const uint8_t *config, const kiln_harden_config_t *hardening)
{
    uint64_t phys = run.fake.os.phys_bytes;
    kiln_heap_config_t heap = {
        .os = &run.fake.os,
        .arena_os = &run.fake.os,
        .arena = kiln_arena_config_default((unsigned)sizeof(void *) * 8, phys),
        .image_end = window.memory.first,
        .idle_bytes_max = KILN_KIB(64) << config[6] % 8,
        .note_bytes = hardening ? kiln_harden_note_bytes(hardening) : 0,
        .single_threaded = config[4] & FLAG_SINGLE ? &single_threaded : NULL,
    };
    heap.arena.tables = 1u << KILN_ARENA_SPANS;
    heap.arena.block_bytes = KILN_MIB(1) << config[7] % 4;
    if (sizeof(void *) == 8) heap.arena.addr_max = ARENA_BYTES - 1;
    return kiln_heap_init(&run.subject.heap, &heap);
}

static void harden_heap(const uint8_t *config, const kiln_harden_config_t *hardening)
{
    kiln_guard_config_t guard = guard_of(config);
    run.subject.hardens = true;
    run.subject.slow = config[11] & HARDEN_SLOW;
    kiln_harden_model_init(&run.harden, &run.subject, &run.fake);
    KILN_CHECK_RULE(kiln_guard_init(&run.subject.guard, &run.fake.os, &guard));
    KILN_CHECK_RULE(kiln_harden_init(&run.subject.harden, &run.subject.heap, hardening));
}

/* begin makes the heap. False: there is none, and nothing is left of it. */
static bool begin(const uint8_t *config)
{
    uint64_t phys = KILN_KIB(4) << 2 * (config[0] % 3);
    unsigned profile = config[10] % PROFILES;
    bool hardens = profile == PROFILE_HARDENED || profile == PROFILE_FUZZ;
    kiln_harden_config_t hardening = hardening_of(config);
    memset(run.script, 0, sizeof run.script);
    run.script[0] = config[9];
    open_fake(config, phys);
    memset(&run.subject.heap, 0, sizeof run.subject.heap);
    memset(run.threads, 0, sizeof run.threads);
    run.subject.hardens = false;
    run.subject.calls = 0;
    run.bytes_left = config[15] % ROOMS == ROOMS - 1 ? ARENA_BYTES : BLOCK_BYTES_MAX;
    kiln_heap_model_init(&run.model, &run.subject, hardens ? &run.harden : NULL, &run.fake);
    if (make_heap(config, hardens ? &hardening : NULL) != NULL) {
        KILN_FUZZ_LAW("L4: a heap that cannot be holds nothing", run.fake.stats.space_bytes == 0);
        return false;
    }
    if (hardens) harden_heap(config, &hardening);
    run.fake.config.refuse_call = 0;
    run.fake.config.no_guard = hardens && config[11] & HARDEN_NO_GUARD_PAGES;
    for (unsigned i = 0; i < CACHES_MAX; i++) {
        run.threads[i].thread_idx = i;
        if (i < config[3] % (CACHES_MAX + 1)) attach(&run.threads[i]);
    }
    return true;
}

static void end(void)
{
    kiln_heap_model_check(&run.model);
    for (unsigned i = 0; i < KILN_HEAP_MODEL_SLOTS; i++)
        kiln_heap_model_free(&run.model, &run.threads[i % CACHES_MAX], i, false);
    for (unsigned i = 0; i < CACHES_MAX; i++) detach(&run.threads[i]);
    kiln_heap_model_check(&run.model);
    if (run.subject.hardens) {
        KILN_FUZZ_LAW("L5: all damage was told in time", kiln_harden_model_all_told(&run.harden));
        kiln_guard_destroy(&run.subject.guard);
    }
    /* The arena's small fallback, at 32 bits, loses up to a page around what it hands out (W13): of
     * the hardware's where these are larger. */
    uint64_t page_bytes = run.fake.os.phys_bytes;
    if (page_bytes < KILN_PAGE_BYTES) page_bytes = KILN_PAGE_BYTES;
    uint64_t lost_max = run.subject.heap.arena.config.addr_bits <= 32
                            ? run.fake.stats.calls[KILN_OS_CALL_DIRECT] * page_bytes
                            : 0;
    kiln_heap_destroy(&run.subject.heap);
    KILN_FUZZ_LAW("L4: a heap that is gone holds nothing", run.fake.stats.space_bytes <= lost_max);
}

/* --- the operations -------------------------------------------------------------------------- */

static size_t size_of(const kiln_fuzz_record_t *r)
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

/* allowed says whether the input may still have a block of so many bytes, for which the heap takes,
 * or copies, so many more. */
static bool allowed(size_t bytes, size_t more)
{
    if (bytes > ARENA_BYTES || more > ARENA_BYTES) return true; /* refused */
    if (bytes + more > run.bytes_left) return false;
    run.bytes_left -= bytes + more;
    return true;
}

static void set_script(const kiln_fuzz_record_t *r)
{
    memset(run.script, 0, sizeof run.script);
    run.script[0] = r->how;
    run.script[1] = (uint8_t)(r->arg >> 24);
    run.script[2] = (uint8_t)(r->arg >> 16);
    /* A heap is on an OS that reserves: what is only believed free is for the arena alone. */
    for (unsigned i = 0; i < 3; i++) run.script[i] &= 0xef;
    run.fake.script_at = 0;
}

static void do_burst(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    size_t bytes = size_of(r);
    for (unsigned i = 0; i <= r->how % 48u && allowed(bytes, 0); i++)
        kiln_heap_model_alloc(&run.model, by, (r->slot + i) % KILN_HEAP_MODEL_SLOTS, 0, 0, bytes);
}

/* Every n-th block from a slot on is freed: holes of all shapes. */
static void do_release(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    unsigned step = 1 + r->size % 4;
    for (unsigned i = 0; i <= r->how; i += step)
        kiln_heap_model_free(&run.model, by, (r->slot + i) % KILN_HEAP_MODEL_SLOTS, false);
}

static void do_realloc(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    size_t bytes = size_of(r), had = run.model.blocks[r->slot].bytes;
    if (run.model.blocks[r->slot].at && allowed(bytes, bytes < had ? bytes : had))
        kiln_heap_model_realloc(&run.model, by, r->slot, bytes);
}

static void do_calloc(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    size_t bytes = size_of(r), count = 1 + r->how % 16;
    if (r->how >= 240) count = SIZE_MAX / (bytes ? bytes : 1) + (r->how & 1); /* at the edge */
    if (count == 0) count = SIZE_MAX;
    if (bytes > ARENA_BYTES / count || allowed(bytes * count, 0))
        kiln_heap_model_alloc(&run.model, by, r->slot, 0, count, bytes);
}

static void do_aligned(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    size_t align = (size_t)1 << r->how % 28;
    size_t bytes = size_of(r);
    if (r->how >= 224) align = align * 3; /* not a power of two: refused */
    if (allowed(bytes, align)) kiln_heap_model_alloc(&run.model, by, r->slot, align, 0, bytes);
}

static void do_refuse(const kiln_fuzz_record_t *r)
{
    kiln_os_fake_config_t *config = &run.fake.config;
    config->refuse_call = r->how & 64 ? 0 : run.fake.stats.refusable + 1 + r->slot % 16;
    config->refuse_ever_after = r->how & 128;
}

static void do_budget(const kiln_fuzz_record_t *r)
{
    kiln_os_fake_config_t *config = &run.fake.config;
    uint64_t bytes = KILN_KIB(8) * (1 + (r->arg & 0xfff));
    config->space_budget_bytes = config->ready_budget_bytes = config->commit_bytes_max = 0;
    if (r->how % 4 == 1) config->space_budget_bytes = run.fake.stats.space_bytes + bytes;
    if (r->how % 4 == 2) config->ready_budget_bytes = run.fake.stats.ready_bytes + bytes;
    if (r->how % 4 == 3) config->commit_bytes_max = bytes;
}

static void do_cache(const kiln_fuzz_record_t *r)
{
    kiln_subject_by_t *thread = &run.threads[r->slot % CACHES_MAX];
    if (attached(thread))
        detach(thread);
    else
        attach(thread);
}

static void do_trim(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    kiln_harden_t *harden = &run.subject.harden;
    switch (run.subject.hardens ? r->how % 4 : 0) {
    case 1:
        kiln_harden_model_check(&run.harden);
        break;
    case 2: /* as malloc_trim */
        if (!by->hardened) break;
        kiln_harden_flush(harden, by->hardened, kiln_subject_site(&run.subject, "malloc_trim"));
        kiln_harden_model_flushed(&run.harden, by->thread_idx);
        break;
    case 3:
        (void)kiln_harden_large_flush(harden);
        kiln_harden_model_settle(&run.harden);
        break;
    default:
        (void)kiln_heap_trim(&run.subject.heap, KILN_KIB(8) * (r->arg & 0xff));
        break;
    }
}

static void do_misuse(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    unsigned kinds = run.subject.hardens ? KILN_WRONGS_HARDENED : KILN_WRONGS_PLAIN;
    kiln_heap_model_misuse(&run.model, by, (kiln_heap_model_wrong_t)(r->how % kinds), r->size,
                           r->slot, r->arg);
}

/* Which thread calls, and through which family of functions: by the upper bits of the operation's
 * number, which nothing else uses. A thread without a cache calls without. */
static kiln_subject_by_t caller_of(const kiln_fuzz_record_t *r)
{
    unsigned turns = r->op / OPS;
    kiln_subject_by_t by = run.threads[turns % CACHES_MAX];
    by.family = (kiln_family_t)(turns / CACHES_MAX % (KILN_FAMILY_ARRAY + 1));
    return by;
}

static void step(const kiln_fuzz_record_t *r)
{
    kiln_subject_by_t caller = caller_of(r), *by = &caller;
    kiln_heap_model_t *model = &run.model;
    size_t bytes = size_of(r);
    set_script(r);
    switch (r->op % OPS) {
    case OP_MALLOC:
        if (allowed(bytes, 0)) kiln_heap_model_alloc(model, by, r->slot, 0, 0, bytes);
        break;
    case OP_FREE:
        kiln_heap_model_free(model, by, r->slot, false);
        break;
    case OP_REALLOC:
        do_realloc(by, r);
        break;
    case OP_CALLOC:
        do_calloc(by, r);
        break;
    case OP_ALIGNED:
        do_aligned(by, r);
        break;
    case OP_FREE_SIZED:
        kiln_heap_model_free(model, by, r->slot, true);
        break;
    case OP_BURST:
        do_burst(by, r);
        break;
    case OP_RELEASE:
        do_release(by, r);
        break;
    case OP_MISUSE:
        do_misuse(by, r);
        break;
    case OP_REFUSE:
        do_refuse(r);
        break;
    case OP_BUDGET:
        do_budget(r);
        break;
    case OP_TRIM:
        do_trim(by, r);
        break;
    case OP_CACHE:
        do_cache(r);
        break;
    default:
        run.fake.config.policy = policy_of(r->how);
        break;
    }
}

static uint64_t run_once(const uint8_t *data, size_t size)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
    kiln_fuzz_open(&input, data, size);
    if (!begin(input.config)) return 0;
    bool often = run.subject.hardens && input.config[11] & HARDEN_OFTEN;
    unsigned check_at = often ? CHECK_OFTEN_STEPS : CHECK_STEPS, steps = 1;
    for (; steps <= STEPS_MAX && kiln_fuzz_next(&input, &r); steps++) {
        if (kiln_fuzz_tracing) fprintf(stderr, "%s\n", op_names[r.op % OPS]);
        step(&r);
        if (steps < check_at) continue;
        kiln_heap_model_check(&run.model);
        check_at *= often ? 2 : 4;
    }
    end();
    return kiln_fuzz_ran(steps - 1, run.model.event_hash ^ run.fake.answers_hash);
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    uint64_t hash = run_once(data, size);
    bool twice = size > 4 && (data[4] & FLAG_TWICE);
    if (twice && !kiln_fuzz_tracing)
        KILN_FUZZ_LAW("L6: the same input does the same", run_once(data, size) == hash);
}
