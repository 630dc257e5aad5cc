/* publish_fuzz.c - what a heap tells its watcher (sanitizer/publish.h), against what the program
 * did and against the watcher's own map of the heap.
 *
 * Each event is judged when it comes: a growth is Ready memory that never was heap; a block's alloc
 * names a place in what has grown, that no live block has and that is the caller's by now; its free
 * comes once, with the slot that its alloc had, when it is no longer the caller's; a copy is from a
 * busy block to a live one; what retires has grown, and retires once. After each call the events
 * must be those of that call, in their order, and none where nothing was done.
 *
 * What is freed is filled with a pattern when its free is told. It must still be there when the
 * place is given out again: the heap writes to blocks that are live alone.
 *
 * The setting `watcher`: 1: no zeroed; 2: no copy; 4: no retire; 8: what is freed waits.
 *
 * Threads  one.   Memory  that of heap_machine.h. */
#include "fuzz/contents.h"
#include "fuzz/heap_machine.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

enum {
    STEPS_MAX = 400,
    CHECK_STEPS = 32,
    SLOTS = 64,
    EVENTS_MAX = 3 * SLOTS,
    PAGES_MAX = 32768, /* of the heap's, in the window */
    FREED_MAX = 64,
    FREED_SEED = 0x5eed,
};

enum {
    OP_MALLOC,
    OP_FREE,
    OP_REALLOC,
    OP_CALLOC,
    OP_ALIGNED,
    OP_FREE_SIZED,
    OP_BURST,
    OP_RELEASE,
    OP_WRONG,
    OP_RESET,
    OP_TRIM,
    OP_REFUSE,
    OP_BUDGET,
    OPS
};

static const char *const op_names[OPS] = {
    "malloc",  "free",  "realloc", "calloc", "aligned", "free_sized", "burst",
    "release", "wrong", "reset",   "trim",   "refuse",  "budget",
};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "publish",
    .config = {"phys", "start", "policy", NULL, "flags", "seed", "idle", "block", "refuse",
               "answer", "watcher", NULL, NULL, NULL, "quarantine", "room"},
    .ops = op_names,
    .op_count = OPS,
};

enum { NO_ZEROED = 1, NO_COPY = 2, NO_RETIRE = 4, WAITS = 8 };

typedef enum { EVENT_ALLOC, EVENT_FREE, EVENT_ZEROED, EVENT_COPY } event_kind_t;

typedef struct {
    event_kind_t kind;
    uintptr_t at, from;
    uint64_t bytes;
} event_t;

typedef struct {
    unsigned char *at; /* NULL: none */
    size_t bytes, slot_bytes, align;
    uint32_t seed;
} block_t;

typedef struct {
    uintptr_t at; /* 0: none */
    uint64_t slot_bytes, freed_bytes;
    uint64_t taken; /* calls that take bytes away, when it was freed */
} freed_t;

static struct {
    kiln_heap_machine_t machine;
    kiln_watcher_t watcher;
    block_t blocks[SLOTS];   /* the program's */
    block_t seen[SLOTS + 1]; /* the watcher's; a realloc has one more for a moment */
    freed_t freed[FREED_MAX];
    unsigned freed_at;
    event_t events[EVENTS_MAX]; /* of the call that runs */
    unsigned events_count;
    uint8_t grown[PAGES_MAX]; /* 1: has grown; 2: retired */
    uint64_t grown_bytes, freed_bytes, event_hash;
    kiln_addr_t owned;
    uint32_t seed;
    bool ends; /* the heap is being destroyed */
} run;

void kiln_fuzz_last_words(void)
{
}

/* --- the watcher ----------------------------------------------------------------------------- */

static uint8_t *page_of(kiln_addr_t addr)
{
    kiln_addr_t page = (addr - run.machine.fake.config.space_first) / KILN_PAGE_BYTES;
    KILN_FUZZ_LAW("L3: heap lies where the OS gave it",
                  addr >= run.machine.fake.config.space_first && page < PAGES_MAX);
    return &run.grown[page];
}

static void note(event_kind_t kind, kiln_addr_t at, kiln_addr_t from, uint64_t bytes)
{
    uint64_t word = (at - run.machine.fake.config.space_first) ^ bytes << 32 ^ (uint64_t)kind << 60;
    KILN_FUZZ_LAW("L3: no more events than a call has", run.events_count < EVENTS_MAX);
    run.events[run.events_count++] = (event_t){kind, (uintptr_t)at, (uintptr_t)from, bytes};
    run.event_hash = (run.event_hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    if (kiln_fuzz_tracing)
        fprintf(stderr, "  event %d: window+%#llx, %#llx\n", (int)kind,
                (unsigned long long)(at - run.machine.fake.config.space_first),
                (unsigned long long)bytes);
}

static void see_grow(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    KILN_FUZZ_LAW("L3: a growth has bytes, and is whole pages",
                  bytes != 0 && (addr | bytes) % KILN_PAGE_BYTES == 0);
    for (uint64_t i = 0; i < bytes; i += KILN_PAGE_BYTES) {
        uint8_t *page = page_of(addr + i);
        KILN_FUZZ_LAW("L3: what grows was no heap before", *page == 0);
        *page = 1;
    }
    KILN_FUZZ_LAW("L3: what grows is Ready",
                  kiln_os_fake_state(&run.machine.fake, addr) == KILN_OS_READY &&
                      kiln_os_fake_state(&run.machine.fake, addr + bytes - 1) == KILN_OS_READY);
    run.grown_bytes += bytes;
}

static block_t *seen_at(kiln_addr_t at)
{
    for (unsigned i = 0; i <= SLOTS; i++)
        if (run.seen[i].at && (uintptr_t)run.seen[i].at == at) return &run.seen[i];
    return NULL;
}

static bool is_live(kiln_addr_t at)
{
    return kiln_heap_about(&run.machine.subject.heap, (const void *)(uintptr_t)at).live;
}

static uint64_t calls_that_take(void)
{
    const uint64_t *calls = run.machine.fake.stats.calls;
    return calls[KILN_OS_CALL_DISCARD] + calls[KILN_OS_CALL_DECOMMIT] + calls[KILN_OS_CALL_RELEASE];
}

/* The place is given out again: it waited, and nobody wrote to it. */
static void look_at_freed(kiln_addr_t at, uint64_t slot_bytes)
{
    for (unsigned i = 0; i < FREED_MAX; i++) {
        freed_t *freed = &run.freed[i];
        if (freed->at == 0 || freed->at >= at + slot_bytes || at >= freed->at + freed->slot_bytes)
            continue;
        if (freed->at == at && freed->slot_bytes == slot_bytes && freed->taken == calls_that_take())
            KILN_FUZZ_LAW("L3: the heap writes to live blocks alone",
                          kiln_contents_hold((const unsigned char *)(uintptr_t)at,
                                             (size_t)slot_bytes, (size_t)slot_bytes, FREED_SEED));
        freed->at = 0;
    }
}

static void see_alloc(void *ctx, kiln_addr_t at, uint64_t bytes, uint64_t slot_bytes)
{
    (void)ctx;
    note(EVENT_ALLOC, at, 0, bytes);
    KILN_FUZZ_LAW("L3: a block has bytes, and a slot for them",
                  bytes != 0 && at % 16 == 0 && bytes + run.watcher.redzone_bytes <= slot_bytes);
    for (kiln_addr_t page = at; page < at + slot_bytes; page += KILN_PAGE_BYTES)
        KILN_FUZZ_LAW("L3: a block lies in what has grown", *page_of(page) == 1);
    KILN_FUZZ_LAW("L3: a block lies in what has grown", *page_of(at + slot_bytes - 1) == 1);
    KILN_FUZZ_LAW("L3: a block is the caller's when its alloc is told", is_live(at));
    for (unsigned i = 0; i <= SLOTS; i++)
        KILN_FUZZ_LAW("L3: a block is told of once, and overlaps none",
                      !run.seen[i].at || at + slot_bytes <= (uintptr_t)run.seen[i].at ||
                          (uintptr_t)run.seen[i].at + run.seen[i].slot_bytes <= at);
    look_at_freed(at, slot_bytes);
    block_t *place = NULL;
    for (unsigned i = 0; i <= SLOTS && !place; i++)
        if (!run.seen[i].at) place = &run.seen[i];
    KILN_FUZZ_LAW("L3: no more blocks are told of than there are", place);
    *place = (block_t){.at = (unsigned char *)(uintptr_t)at,
                       .bytes = (size_t)bytes,
                       .slot_bytes = (size_t)slot_bytes};
}

static void see_free(void *ctx, kiln_addr_t at, uint64_t slot_bytes)
{
    block_t *seen = seen_at(at);
    (void)ctx;
    if (run.ends) run.events_count = 0;
    note(EVENT_FREE, at, 0, slot_bytes);
    KILN_FUZZ_LAW("L3: what is freed was allocated", seen);
    KILN_FUZZ_LAW("L3: a slot is freed as it was allocated", seen->slot_bytes == slot_bytes);
    KILN_FUZZ_LAW("L3: a block was taken from the caller when its free is told", !is_live(at));
    kiln_contents_fill(seen->at, (size_t)slot_bytes, FREED_SEED);
    run.freed_bytes += slot_bytes;
    run.freed[run.freed_at] =
        (freed_t){(uintptr_t)at, slot_bytes, run.freed_bytes, calls_that_take()};
    run.freed_at = (run.freed_at + 1) % FREED_MAX;
    seen->at = NULL;
}

static void see_zeroed(void *ctx, kiln_addr_t at, uint64_t bytes)
{
    const block_t *seen = seen_at(at);
    (void)ctx;
    note(EVENT_ZEROED, at, 0, bytes);
    KILN_FUZZ_LAW("L3: what is zeroed was just allocated", seen && seen->bytes == bytes);
    KILN_FUZZ_LAW("L3: what is told to be zero is", kiln_contents_are(seen->at, (size_t)bytes, 0));
}

static void see_copy(void *ctx, kiln_addr_t to, kiln_addr_t from, uint64_t bytes)
{
    const block_t *target = seen_at(to), *source = seen_at(from);
    (void)ctx;
    note(EVENT_COPY, to, from, bytes);
    KILN_FUZZ_LAW("L3: a copy is from a block to a block", target && source && target != source);
    KILN_FUZZ_LAW("L3: a copy fits both", bytes <= target->bytes && bytes <= source->slot_bytes);
    KILN_FUZZ_LAW("L3: a block is busy, and not free, while it is copied",
                  *kiln_heap_find(&run.machine.subject.heap, source->at).state == KILN_SLOT_BUSY);
    memcpy(target->at, source->at, (size_t)bytes);
}

static void see_retire(void *ctx, kiln_addr_t addr, uint64_t bytes)
{
    (void)ctx;
    for (unsigned i = 0; i <= SLOTS; i++)
        KILN_FUZZ_LAW("L3: no block is live when its memory retires", !run.seen[i].at);
    for (uint64_t i = 0; i < bytes; i += KILN_PAGE_BYTES) {
        uint8_t *page = page_of(addr + i);
        KILN_FUZZ_LAW("L3: what retires has grown, and retires once", *page == 1);
        *page = 2;
    }
    run.grown_bytes -= bytes;
}

static void see_own(void *ctx, kiln_addr_t heap, uint64_t bytes, bool on)
{
    (void)ctx;
    KILN_FUZZ_LAW("L3: the struct of a heap is told whole",
                  heap == (uintptr_t)&run.machine.subject.heap && bytes == sizeof(kiln_heap_t));
    KILN_FUZZ_LAW("L3: a heap begins once and ends once", on ? run.owned == 0 : run.owned == heap);
    run.owned = on ? heap : 0;
}

/* --- the program ----------------------------------------------------------------------------- */

static bool is_event(unsigned idx, event_kind_t kind, const void *at)
{
    return idx < run.events_count && run.events[idx].kind == kind &&
           run.events[idx].at == (uintptr_t)at;
}

static void fill(block_t *block)
{
    block->seed = ++run.seed * UINT32_C(2654435761) >> 8;
    kiln_contents_fill(block->at, block->bytes, block->seed);
}

static bool holds(const block_t *block, size_t bytes)
{
    return kiln_contents_hold(block->at, bytes, block->bytes, block->seed);
}

static void own(unsigned slot, unsigned char *at, size_t align, size_t bytes)
{
    const block_t *seen = seen_at((uintptr_t)at);
    KILN_FUZZ_LAW("L3: the watcher has what the program has",
                  seen && seen->bytes == (bytes ? bytes : 1));
    run.blocks[slot] = (block_t){.at = at, .bytes = seen->bytes, .align = align};
    if (align || bytes == 0) run.blocks[slot].bytes = seen->bytes;
    fill(&run.blocks[slot]);
}

static void do_free(unsigned slot, bool sized)
{
    block_t *block = &run.blocks[slot];
    kiln_heap_t *heap = &run.machine.subject.heap;
    if (!block->at) return;
    KILN_FUZZ_LAW("L1: a block holds what was written", holds(block, block->bytes));
    run.events_count = 0;
    kiln_misuse_t misuse =
        sized ? kiln_heap_free_sized(heap, NULL, block->at, block->align, block->bytes)
              : kiln_heap_free(heap, NULL, block->at);
    KILN_FUZZ_LAW("L5: a correct free is not reported", misuse == KILN_MISUSE_NONE);
    KILN_FUZZ_LAW("L3: a free is told as a free",
                  run.events_count == 1 && is_event(0, EVENT_FREE, block->at));
    block->at = NULL;
}

static void do_alloc(const kiln_fuzz_record_t *r, unsigned slot)
{
    kiln_heap_t *heap = &run.machine.subject.heap;
    size_t bytes = kiln_heap_machine_size(r);
    unsigned op = r->op % OPS;
    size_t align = op == OP_ALIGNED ? (size_t)1 << r->how % 18 : 0;
    size_t count = op == OP_CALLOC ? 1 + r->how % 8 : 0, product = bytes;
    bool wraps = count && __builtin_mul_overflow(count, bytes, &product);
    do_free(slot, false);
    if (!kiln_heap_machine_allows(&run.machine, wraps ? SIZE_MAX : product, align)) return;
    run.events_count = 0;
    unsigned char *at = align   ? kiln_heap_aligned(heap, NULL, align, bytes)
                        : count ? kiln_heap_calloc(heap, NULL, count, bytes)
                                : kiln_heap_malloc(heap, NULL, bytes);
    if (!at) {
        KILN_FUZZ_LAW("L4: a call that fails tells nothing of blocks", run.events_count == 0);
        return;
    }
    bool zeroed = count && run.watcher.zeroed;
    KILN_FUZZ_LAW("L3: a block is told as an alloc", is_event(0, EVENT_ALLOC, at));
    KILN_FUZZ_LAW("L3: a calloc's zeros are told after it, and nothing else",
                  run.events_count == (zeroed ? 2 : 1) &&
                      (!zeroed || is_event(1, EVENT_ZEROED, at)));
    own(slot, at, align, product);
}

static void do_realloc(const kiln_fuzz_record_t *r, unsigned slot)
{
    block_t *block = &run.blocks[slot], old = *block;
    size_t bytes = kiln_heap_machine_size(r);
    kiln_misuse_t misuse;
    if (!block->at || !kiln_heap_machine_allows(&run.machine, bytes, block->bytes)) return;
    if (bytes == 0) bytes = 1;
    KILN_FUZZ_LAW("L1: a block holds what was written", holds(block, block->bytes));
    run.events_count = 0;
    unsigned char *at =
        kiln_heap_realloc(&run.machine.subject.heap, NULL, block->at, bytes, &misuse);
    KILN_FUZZ_LAW("L5: a live block is no misuse", misuse == KILN_MISUSE_NONE);
    if (!at) {
        KILN_FUZZ_LAW("L4: a call that fails tells nothing of blocks", run.events_count == 0);
        KILN_FUZZ_LAW("L4: a failed realloc keeps the block", holds(&old, old.bytes));
        return;
    }
    unsigned last = run.watcher.copy ? 2 : 1;
    KILN_FUZZ_LAW("L3: a realloc is told as alloc, copy, free, and moves",
                  at != old.at && run.events_count == last + 1 && is_event(0, EVENT_ALLOC, at) &&
                      (last == 1 || is_event(1, EVENT_COPY, at)) &&
                      is_event(last, EVENT_FREE, old.at));
    old.at = at; /* where its bytes are now */
    KILN_FUZZ_LAW("L1: realloc keeps the prefix",
                  holds(&old, bytes < old.bytes ? bytes : old.bytes));
    own(slot, at, 0, bytes);
}

/* What is wrong is reported, and told nobody. */
static void do_wrong(const kiln_fuzz_record_t *r, unsigned slot)
{
    kiln_heap_t *heap = &run.machine.subject.heap;
    const block_t *block = &run.blocks[slot];
    const freed_t *freed = &run.freed[r->slot % FREED_MAX];
    kiln_misuse_t misuse = KILN_MISUSE_FOREIGN;
    run.events_count = 0;
    if (r->how % 3 == 0 && freed->at != 0 && !is_live(freed->at))
        misuse = kiln_heap_free(heap, NULL, (void *)freed->at);
    else if (r->how % 3 == 1 && block->at && block->bytes > 1)
        misuse = kiln_heap_free(heap, NULL, block->at + 1 + r->arg % (block->bytes - 1));
    else if (r->how % 3 == 2 && block->at)
        KILN_FUZZ_LAW("L5: realloc of a wrong pointer gives none",
                      block->bytes < 2 ||
                          !kiln_heap_realloc(heap, NULL, block->at + 1, 20, &misuse));
    KILN_FUZZ_LAW("L5: a misuse is reported", misuse != KILN_MISUSE_NONE);
    KILN_FUZZ_LAW("L5: a misuse is told no watcher", run.events_count == 0);
}

static void do_reset(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < SLOTS; i++) count += run.blocks[i].at != NULL;
    run.events_count = 0;
    kiln_heap_reset(&run.machine.subject.heap);
    KILN_FUZZ_LAW("L3: a reset tells the end of each live block", run.events_count == count);
    for (unsigned i = 0; i < count; i++)
        KILN_FUZZ_LAW("L3: a reset tells of frees alone", run.events[i].kind == EVENT_FREE);
    memset(run.blocks, 0, sizeof run.blocks);
}

static void check(void)
{
    kiln_heap_t *heap = &run.machine.subject.heap;
    uint64_t slot_bytes = 0;
    KILN_CHECK_RULE(kiln_heap_broken_rule(heap));
    KILN_CHECK_RULE(kiln_os_fake_broken_rule(&run.machine.fake));
    for (unsigned i = 0; i < SLOTS; i++)
        KILN_FUZZ_LAW("L1: a block holds what was written",
                      !run.blocks[i].at || holds(&run.blocks[i], run.blocks[i].bytes));
    for (unsigned i = 0; i <= SLOTS; i++)
        if (run.seen[i].at) slot_bytes += run.seen[i].slot_bytes;
    kiln_heap_stats_t stats = kiln_heap_stats(heap);
    KILN_FUZZ_LAW("L3: the watcher has as much live as the heap",
                  stats.live_bytes - stats.waiting_bytes == slot_bytes);
    KILN_FUZZ_LAW("L3: every byte of heap was told of", stats.arena_bytes == run.grown_bytes);
    KILN_FUZZ_LAW("no more waits than may", stats.waiting_bytes <= run.watcher.quarantine_bytes);
}

/* --- an input -------------------------------------------------------------------------------- */

static void make_watcher(const uint8_t *config)
{
    uint8_t wants = config[10];
    run.watcher = (kiln_watcher_t){
        .grow = see_grow,
        .alloc = see_alloc,
        .free = see_free,
        .zeroed = wants & NO_ZEROED ? NULL : see_zeroed,
        .copy = wants & NO_COPY ? NULL : see_copy,
        .retire = wants & NO_RETIRE ? NULL : see_retire,
        .own = see_own,
        .quarantine_bytes = wants & WAITS ? (uint64_t)(1 + config[14]) * KILN_KIB(2) : 0,
        .redzone_bytes = config[14] % 4 * 16u,
    };
}

static bool begin(const uint8_t *config)
{
    kiln_heap_machine_hooks_t hooks = {.watcher = &run.watcher};
    uint8_t plain[KILN_FUZZ_CONFIG_BYTES];
    memcpy(plain, config, sizeof plain);
    plain[10] = 0;
    make_watcher(config);
    kiln_heap_machine_open(&run.machine, plain);
    memset(run.blocks, 0, sizeof run.blocks);
    memset(run.seen, 0, sizeof run.seen);
    memset(run.freed, 0, sizeof run.freed);
    memset(run.grown, 0, sizeof run.grown);
    run.freed_at = run.events_count = 0;
    run.grown_bytes = run.freed_bytes = run.event_hash = run.owned = 0;
    run.seed = 0;
    run.ends = false;
    if (!kiln_heap_machine_start(&run.machine, plain, &hooks)) {
        KILN_FUZZ_LAW("L4: of a heap that cannot be nothing was told",
                      run.owned == 0 && run.grown_bytes == 0);
        return false;
    }
    KILN_FUZZ_LAW("L3: a heap is told of when it begins", run.owned != 0);
    return true;
}

static void end(void)
{
    check();
    run.ends = true;
    kiln_heap_machine_end(&run.machine);
    KILN_FUZZ_LAW("L3: the end of a heap is the end of its blocks, and is told", run.owned == 0);
    for (unsigned i = 0; i <= SLOTS; i++)
        KILN_FUZZ_LAW("L3: the end of each live block is told", !run.seen[i].at);
    KILN_FUZZ_LAW("L3: all that has grown retires", !run.watcher.retire || run.grown_bytes == 0);
}

static void step(const kiln_fuzz_record_t *r)
{
    unsigned slot = r->slot % SLOTS;
    switch (r->op % OPS) {
    case OP_MALLOC:
    case OP_CALLOC:
    case OP_ALIGNED:
        do_alloc(r, slot);
        break;
    case OP_FREE:
    case OP_FREE_SIZED:
        do_free(slot, r->op % OPS == OP_FREE_SIZED);
        break;
    case OP_REALLOC:
        do_realloc(r, slot);
        break;
    case OP_BURST:
        for (unsigned i = 0; i <= r->how % 32u; i++) do_alloc(r, (slot + i) % SLOTS);
        break;
    case OP_RELEASE:
        for (unsigned i = 0; i <= r->how % SLOTS; i += 1 + r->size % 4)
            do_free((slot + i) % SLOTS, false);
        break;
    case OP_WRONG:
        do_wrong(r, slot);
        break;
    case OP_RESET:
        do_reset();
        break;
    case OP_TRIM:
        run.events_count = 0;
        (void)kiln_heap_trim(&run.machine.subject.heap, KILN_KIB(8) * (r->arg & 0xff));
        KILN_FUZZ_LAW("L3: a trim is told no watcher", run.events_count == 0);
        break;
    case OP_REFUSE:
        kiln_heap_machine_refuse(&run.machine, r);
        break;
    default:
        kiln_heap_machine_budget(&run.machine, r);
        break;
    }
}

static uint64_t run_once(const uint8_t *data, size_t size)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
    kiln_fuzz_open(&input, data, size);
    if (!begin(input.config)) return 0;
    unsigned check_at = CHECK_STEPS;
    for (unsigned steps = 1; steps <= STEPS_MAX && kiln_fuzz_next(&input, &r); steps++) {
        if (kiln_fuzz_tracing) fprintf(stderr, "%s\n", op_names[r.op % OPS]);
        kiln_heap_machine_answer(&run.machine, &r);
        step(&r);
        if (steps < check_at) continue;
        check();
        check_at *= 4;
    }
    end();
    return run.event_hash ^ run.machine.fake.answers_hash;
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    uint64_t hash = run_once(data, size);
    bool twice = size > 4 && (data[4] & KILN_FLAG_TWICE);
    if (twice && !kiln_fuzz_tracing)
        KILN_FUZZ_LAW("L6: the same input does the same", run_once(data, size) == hash);
}
