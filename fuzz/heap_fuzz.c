/* heap_fuzz.c - malloc, free, realloc, calloc and aligned_alloc on the fake OS with bytes.
 *
 * One heap, up to three caches as if there were threads, an OS that places blocks as the input
 * wants and refuses when it wants. Every call goes through heap_model.h, which knows what every
 * block must hold. Misuses are calls like others: each must be reported, and change nothing.
 *
 * Threads  one.   Memory  the window of the fake OS, mapped once. */
#include "allocator/os/fake_window_linux.h"
#include "fuzz/heap_model.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

enum {
    STEPS_MAX = 500,
    CHECK_STEPS = 16, /* the whole heap is walked after so many */
    CACHES_MAX = 3,
    SCRIPT_BYTES = 8,
    RANGES_MAX = 2048,
    TOUCHED_BYTES_MAX = 8 << 20, /* what one input may ask to be zeroed or copied */
};
#define WINDOW_BYTES KILN_MIB(192)
#define ARENA_BYTES KILN_MIB(64)
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
               "answer"},
    .ops = op_names,
    .op_count = OPS,
};

enum { FLAG_SINGLE = 1, FLAG_TWICE = 2 };

/* Everything that one input changes. */
static struct {
    kiln_heap_t heap;
    kiln_os_fake_t fake;
    kiln_heap_model_t model;
    kiln_thread_cache_t *caches[CACHES_MAX];
    uint8_t script[SCRIPT_BYTES];
    uint64_t touched_bytes;
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

/* begin makes the heap. False: there is none, and nothing is left of it. */
static bool begin(const uint8_t *config)
{
    uint64_t phys = KILN_KIB(4) << 2 * (config[0] % 3);
    memset(run.script, 0, sizeof run.script);
    run.script[0] = config[9];
    open_fake(config, phys);
    kiln_heap_config_t heap = {
        .os = &run.fake.os,
        .arena_os = &run.fake.os,
        .arena = kiln_arena_config_default((unsigned)sizeof(void *) * 8, phys),
        .image_end = window.memory.first,
        .idle_bytes_max = KILN_KIB(64) << config[6] % 8,
        .single_threaded = config[4] & FLAG_SINGLE ? &single_threaded : NULL,
    };
    heap.arena.tables = 1u << KILN_ARENA_SPANS;
    heap.arena.block_bytes = KILN_MIB(1) << config[7] % 4;
    if (sizeof(void *) == 8) heap.arena.addr_max = ARENA_BYTES - 1;
    memset(&run.heap, 0, sizeof run.heap);
    memset(run.caches, 0, sizeof run.caches);
    run.touched_bytes = 0;
    kiln_heap_model_init(&run.model, &run.heap, &run.fake);
    const char *reason = kiln_heap_init(&run.heap, &heap);
    if (reason) {
        KILN_FUZZ_LAW("L4: a heap that cannot be holds nothing", run.fake.stats.space_bytes == 0);
        return false;
    }
    run.fake.config.refuse_call = 0;
    for (unsigned i = 0; i < config[3] % (CACHES_MAX + 1); i++)
        run.caches[i] = kiln_heap_attach(&run.heap);
    return true;
}

static void end(void)
{
    kiln_heap_model_check(&run.model);
    for (unsigned i = 0; i < KILN_HEAP_MODEL_SLOTS; i++)
        kiln_heap_model_free(&run.model, run.caches[i % CACHES_MAX], i, false);
    for (unsigned i = 0; i < CACHES_MAX; i++)
        if (run.caches[i]) kiln_heap_detach(&run.heap, run.caches[i]);
    kiln_heap_model_check(&run.model);
    /* The arena's small fallback, at 32 bits, loses up to a page around what it hands out (W13). */
    uint64_t lost_max = run.heap.arena.config.addr_bits <= 32
                            ? run.fake.stats.calls[KILN_OS_CALL_DIRECT] * KILN_PAGE_BYTES
                            : 0;
    kiln_heap_destroy(&run.heap);
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
    default:
        return arg % 512;
    }
}

/* allowed says whether the input may still touch so many bytes: what is slow finds little. */
static bool allowed(size_t bytes)
{
    if (bytes > ARENA_BYTES) return true; /* refused */
    if (run.touched_bytes > TOUCHED_BYTES_MAX) return false;
    run.touched_bytes += bytes / 4;
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

static void do_burst(kiln_thread_cache_t *cache, const kiln_fuzz_record_t *r)
{
    size_t bytes = size_of(r);
    for (unsigned i = 0; i <= r->how % 48u && allowed(bytes); i++)
        kiln_heap_model_alloc(&run.model, cache, (r->slot + i) % KILN_HEAP_MODEL_SLOTS, 0, 0,
                              bytes);
}

/* Every n-th block from a slot on is freed: holes of all shapes. */
static void do_release(kiln_thread_cache_t *cache, const kiln_fuzz_record_t *r)
{
    unsigned step = 1 + r->size % 4;
    for (unsigned i = 0; i <= r->how; i += step)
        kiln_heap_model_free(&run.model, cache, (r->slot + i) % KILN_HEAP_MODEL_SLOTS, false);
}

static void do_calloc(kiln_thread_cache_t *cache, const kiln_fuzz_record_t *r)
{
    size_t bytes = size_of(r), count = 1 + r->how % 16;
    if (r->how >= 240) count = SIZE_MAX / (bytes ? bytes : 1) + (r->how & 1); /* at the edge */
    if (count == 0) count = SIZE_MAX;
    if (bytes > ARENA_BYTES / count || allowed(bytes * count))
        kiln_heap_model_alloc(&run.model, cache, r->slot, 0, count, bytes);
}

static void do_aligned(kiln_thread_cache_t *cache, const kiln_fuzz_record_t *r)
{
    size_t align = (size_t)1 << r->how % 28;
    size_t bytes = size_of(r);
    if (r->how >= 224) align = align * 3; /* not a power of two: refused */
    if (allowed(bytes)) kiln_heap_model_alloc(&run.model, cache, r->slot, align, 0, bytes);
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
    kiln_thread_cache_t **cache = &run.caches[r->slot % CACHES_MAX];
    if (*cache) {
        kiln_heap_detach(&run.heap, *cache);
        *cache = NULL;
    } else {
        *cache = kiln_heap_attach(&run.heap);
    }
}

/* Which cache a call goes through: by the upper bits of the operation's number, which nothing else
 * uses; none where that one is not attached. */
static kiln_thread_cache_t *cache_of(const kiln_fuzz_record_t *r)
{
    return run.caches[r->op / OPS % CACHES_MAX];
}

static void step(const kiln_fuzz_record_t *r)
{
    kiln_thread_cache_t *cache = cache_of(r);
    kiln_heap_model_t *model = &run.model;
    size_t bytes = size_of(r);
    set_script(r);
    switch (r->op % OPS) {
    case OP_MALLOC:
        if (allowed(bytes)) kiln_heap_model_alloc(model, cache, r->slot, 0, 0, bytes);
        break;
    case OP_FREE:
        kiln_heap_model_free(model, cache, r->slot, false);
        break;
    case OP_REALLOC:
        if (allowed(bytes)) kiln_heap_model_realloc(model, cache, r->slot, bytes);
        break;
    case OP_CALLOC:
        do_calloc(cache, r);
        break;
    case OP_ALIGNED:
        do_aligned(cache, r);
        break;
    case OP_FREE_SIZED:
        kiln_heap_model_free(model, cache, r->slot, true);
        break;
    case OP_BURST:
        do_burst(cache, r);
        break;
    case OP_RELEASE:
        do_release(cache, r);
        break;
    case OP_MISUSE:
        kiln_heap_model_misuse(model, cache, (kiln_heap_model_wrong_t)(r->how % KILN_WRONGS),
                               r->size, r->slot, r->arg);
        break;
    case OP_REFUSE:
        do_refuse(r);
        break;
    case OP_BUDGET:
        do_budget(r);
        break;
    case OP_TRIM:
        (void)kiln_heap_trim(&run.heap, KILN_KIB(8) * (r->arg & 0xff));
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
    for (unsigned steps = 1; steps <= STEPS_MAX && kiln_fuzz_next(&input, &r); steps++) {
        if (kiln_fuzz_tracing) fprintf(stderr, "%s\n", op_names[r.op % OPS]);
        step(&r);
        if (steps % CHECK_STEPS == 0) kiln_heap_model_check(&run.model);
    }
    end();
    return run.model.event_hash ^ run.fake.answers_hash;
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    uint64_t hash = run_once(data, size);
    bool twice = size > 4 && (data[4] & FLAG_TWICE);
    if (twice && !kiln_fuzz_tracing)
        KILN_FUZZ_LAW("L6: the same input does the same", run_once(data, size) == hash);
}
