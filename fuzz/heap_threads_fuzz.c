/* heap_threads_fuzz.c - a heap that two to four logical threads use, in an order that the input
 * says: each call may be left in the middle, where the OS is called or a stack is kept, and gone on
 * with when others have done theirs, or are in the middle of it too.
 *
 * A thread that comes to a lock which another one holds waits, as on a real machine, until that one
 * goes on. Blocks are freed and resized by any thread; threads come, and go with blocks of theirs
 * live and others' in their caches.
 *
 * Each call is judged when it is through: what overlaps it may have changed is not believed, what
 * it promises is. When all threads are at rest the whole heap is. At the end, when all blocks are
 * freed and all threads are gone, nothing may be left in the heap.
 *
 *   size  bits 0-3: the class of sizes, as in heap_fuzz; bits 4-7: at which point the call is left,
 *         0: at none
 *
 * Threads  one, by fiber.h.   Memory  that of heap_machine.h. */
#include "fuzz/contents.h"
#include "fuzz/fiber.h"
#include "fuzz/harden_model.h"
#include "fuzz/heap_machine.h"
#include "fuzz/os_points.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

enum { STEPS_MAX = 400, CHECK_STEPS = 32, SLOTS = 64, THREADS_MAX = 4 };

enum {
    OP_MALLOC,
    OP_FREE,
    OP_REALLOC,
    OP_CALLOC,
    OP_ALIGNED,
    OP_FREE_SIZED,
    OP_BURST,
    OP_RELEASE,
    OP_GO,
    OP_RACE,
    OP_CACHE,
    OP_TRIM,
    OP_REFUSE,
    OP_BUDGET,
    OPS
};

static const char *const op_names[OPS] = {
    "malloc",  "free", "realloc", "calloc", "aligned", "free_sized", "burst",
    "release", "go",   "race",    "cache",  "trim",    "refuse",     "budget",
};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "heap_threads",
    .config = {"phys", "start", "policy", "threads", "flags", "seed", "idle", "block", "refuse",
               "answer", "profile", "harden", "guard", "every", "quarantine", "room"},
    .ops = op_names,
    .op_count = OPS,
};

typedef struct {
    unsigned char *at; /* NULL: no block, or a call has it */
    size_t bytes, usable, align;
    uint32_t seed;
    size_t room; /* of its slot */
    bool guarded;
} block_t;

typedef enum { CALL_ALLOC, CALL_REALLOC, CALL_FREE, CALL_ATTACH, CALL_DETACH, CALL_TRIM } call_t;

/* A logical thread, and the call that it is in or made last. */
typedef struct {
    kiln_fiber_t fiber; /* the first member: the fiber leads to its thread */
    kiln_subject_by_t by;
    unsigned points_left; /* of the call, until it is left; 0: it is not */
    const _Atomic uint32_t *waits_for;
    call_t call;
    unsigned slot, how;
    size_t align, count, bytes;
    bool sized, judged, races; /* races: another one frees the same block */
    block_t block;             /* that the call has */
    unsigned char *at;
    kiln_misuse_t misuse;
} thread_t;

static struct {
    kiln_heap_machine_t machine;
    kiln_harden_model_t harden;
    kiln_os_points_t os;
    block_t blocks[SLOTS];
    unsigned threads_count;
    uint32_t seed;
    uint64_t event_hash;
    uint64_t pauses, waits; /* of this input */
} run;

/* What stopped a program is run once more on the stack of the thread that stopped it, so that that
 * one's must not be used again. */
static thread_t thread_sets[2][THREADS_MAX];
static thread_t *threads;

void kiln_fuzz_last_words(void)
{
    fprintf(stderr, "%llu times a call was left, %llu times a thread waited for a lock\n",
            (unsigned long long)run.pauses, (unsigned long long)run.waits);
}

/* --- the points at which a call may be left -------------------------------------------------- */

KILN_FIBER_UNSEEN static void point(void)
{
    thread_t *thread = (thread_t *)kiln_fiber_running();
    if (!thread || thread->points_left == 0) return;
    thread->points_left--;
    if (thread->points_left > 0) return;
    run.pauses++;
    kiln_fiber_pause();
}

KILN_FIBER_UNSEEN static void park(_Atomic uint32_t *word, uint32_t value)
{
    thread_t *thread = (thread_t *)kiln_fiber_running();
    (void)value;
    KILN_FUZZ_LAW("no lock is held by a thread that is at rest", thread);
    run.waits++;
    thread->waits_for = word;
    kiln_fiber_pause();
    thread->waits_for = NULL;
}

static void found(const kiln_damage_t *damage, kiln_site_t site)
{
    (void)damage;
    (void)site;
    KILN_FUZZ_LAW("L5: a correct program is never reported", false);
}

static uint32_t stack_of(uintptr_t caller)
{
    point();
    return (uint32_t)caller;
}

static uint32_t thread_number(void)
{
    thread_t *thread = (thread_t *)kiln_fiber_running();
    return thread ? 1 + thread->by.thread_idx : 1;
}

/* --- calls ----------------------------------------------------------------------------------- */

/* On the thread's own stack. */
static void act(kiln_fiber_t *fiber)
{
    thread_t *thread = (thread_t *)fiber;
    kiln_subject_t *subject = &run.machine.subject;
    const block_t *block = &thread->block;
    switch (thread->call) {
    case CALL_ALLOC:
        thread->at =
            kiln_subject_alloc(subject, &thread->by, thread->align, thread->count, thread->bytes);
        break;
    case CALL_REALLOC:
        thread->at =
            kiln_subject_realloc(subject, &thread->by, block->at, thread->bytes, &thread->misuse);
        break;
    case CALL_FREE:
        thread->misuse = thread->sized ? kiln_subject_free_sized(subject, &thread->by, block->at,
                                                                 block->align, block->bytes)
                                       : kiln_subject_free(subject, &thread->by, block->at);
        break;
    case CALL_ATTACH:
        kiln_heap_machine_attach(&run.machine, &thread->by);
        break;
    case CALL_DETACH:
        kiln_heap_machine_detach(&run.machine, &thread->by);
        break;
    case CALL_TRIM:
        if (thread->how % 4 == 1 && subject->hardens)
            (void)kiln_harden_check(&subject->harden, kiln_subject_site(subject, "check"));
        else if (thread->how % 4 == 2 && thread->by.hardened)
            kiln_harden_flush(&subject->harden, thread->by.hardened,
                              kiln_subject_site(subject, "malloc_trim"));
        else if (thread->how % 4 == 2 && thread->by.cache)
            kiln_heap_flush(&subject->heap, thread->by.cache);
        else if (thread->how % 4 == 3 && subject->hardens)
            (void)kiln_harden_large_flush(&subject->harden);
        else
            (void)kiln_heap_trim(&subject->heap, KILN_KIB(8) * thread->bytes);
        break;
    }
}

static void note(const thread_t *thread, const char *call, const void *answer)
{
    uint64_t at = (uintptr_t)answer;
    if (at) at -= run.machine.fake.config.space_first;
    run.event_hash = (run.event_hash ^ at ^ (uint64_t)thread->bytes << 40 ^
                      (uint64_t)thread->by.thread_idx << 60) *
                     UINT64_C(0x9E3779B97F4A7C15);
    if (kiln_fuzz_tracing)
        fprintf(stderr, "  T%u: %s(b%u, %#zx) is through: window+%#llx\n", thread->by.thread_idx,
                call, thread->slot, thread->bytes, (unsigned long long)at);
}

static bool is_ready(const unsigned char *at, size_t bytes)
{
    const kiln_os_fake_t *fake = &run.machine.fake;
    uintptr_t first = (uintptr_t)at, last = first + (bytes ? bytes - 1 : 0);
    return kiln_os_fake_state(fake, first) == KILN_OS_READY &&
           kiln_os_fake_state(fake, last) == KILN_OS_READY;
}

static void look_hardened(const thread_t *thread, block_t *block)
{
    const kiln_harden_t *harden = &run.machine.subject.harden;
    kiln_harden_about_t about = kiln_harden_about(harden, (uintptr_t)block->at);
    KILN_FUZZ_LAW("L5: a hardened heap knows its blocks", about.known && about.live &&
                                                              about.block == (uintptr_t)block->at &&
                                                              about.asked == block->bytes);
    KILN_FUZZ_LAW("L5: a block has the thread that allocated it",
                  !harden->keeps_stacks || about.alloc_thread == 1 + thread->by.thread_idx);
    block->guarded = kiln_harden_guards(harden, block->at);
    block->room = about.slot_bytes;
}

static void adopt(const thread_t *thread, size_t align, size_t bytes)
{
    block_t *block = &run.blocks[thread->slot];
    kiln_misuse_t misuse = KILN_MISUSE_NONE;
    unsigned char *at = thread->at;
    bool hardens = run.machine.subject.hardens;
    size_t usable = kiln_subject_usable(&run.machine.subject, at, &misuse);
    KILN_FUZZ_LAW("L5: a live block is no misuse", misuse == KILN_MISUSE_NONE);
    KILN_FUZZ_LAW("L1: a block is as large as asked for",
                  hardens ? usable == bytes : usable >= bytes && usable != 0);
    KILN_FUZZ_LAW("L1: a block is aligned", (uintptr_t)at % (align > 16 ? align : 16) == 0);
    KILN_FUZZ_LAW("L1: a block is Ready", usable == 0 || is_ready(at, usable));
    for (unsigned i = 0; i < SLOTS; i++)
        KILN_FUZZ_LAW("L1: blocks do not overlap",
                      !run.blocks[i].at || at + usable <= run.blocks[i].at ||
                          run.blocks[i].at + run.blocks[i].usable <= at);
    *block = (block_t){.at = at, .bytes = bytes, .usable = usable, .align = align};
    block->seed = ++run.seed * UINT32_C(2654435761) >> 8;
    block->room = usable;
    if (hardens) look_hardened(thread, block);
    kiln_contents_fill(at, usable, block->seed);
}

static bool holds(const block_t *block)
{
    return kiln_contents_hold(block->at, block->usable, block->usable, block->seed);
}

static void judge_alloc(thread_t *thread)
{
    size_t product = thread->bytes;
    bool wraps = thread->count && __builtin_mul_overflow(thread->count, thread->bytes, &product);
    note(thread, thread->align ? "aligned" : thread->count ? "calloc" : "malloc", thread->at);
    if (!thread->at) return;
    KILN_FUZZ_LAW("L7: a size above PTRDIFF_MAX is refused", !wraps && product <= PTRDIFF_MAX);
    if (thread->count)
        KILN_FUZZ_LAW("L1: calloc's bytes are zero", kiln_contents_are(thread->at, product, 0));
    adopt(thread, thread->align, product);
}

static void judge_realloc(thread_t *thread)
{
    const block_t *old = &thread->block;
    size_t kept = thread->bytes < old->bytes ? thread->bytes : old->bytes;
    note(thread, "realloc", thread->at);
    KILN_FUZZ_LAW("L5: a live block is no misuse", thread->misuse == KILN_MISUSE_NONE);
    if (!thread->at) {
        KILN_FUZZ_LAW("L4: a failed realloc keeps the block", holds(old));
        run.blocks[thread->slot] = *old;
        return;
    }
    KILN_FUZZ_LAW("L1: realloc keeps the prefix",
                  kiln_contents_hold(thread->at, kept, old->usable, old->seed));
    adopt(thread, 0, thread->bytes);
}

/* A call that is through is judged once. */
static void judge(thread_t *thread)
{
    if (thread->fiber.is_busy || thread->judged) return;
    thread->judged = true;
    switch (thread->call) {
    case CALL_ALLOC:
        judge_alloc(thread);
        break;
    case CALL_REALLOC:
        judge_realloc(thread);
        break;
    case CALL_FREE:
        note(thread, "free", thread->block.at);
        KILN_FUZZ_LAW("L5: a correct free is not reported",
                      thread->races || thread->misuse == KILN_MISUSE_NONE);
        break;
    default:
        note(thread, "another call", NULL);
        break;
    }
}

/* --- the order ------------------------------------------------------------------------------- */

KILN_FIBER_UNSEEN static bool is_stuck(const thread_t *thread)
{
    return thread->waits_for && atomic_load_explicit(thread->waits_for, memory_order_relaxed) != 0;
}

KILN_FIBER_UNSEEN static void go_on(thread_t *thread, unsigned points)
{
    thread->points_left = points;
    kiln_fiber_resume(&thread->fiber);
    judge(thread);
}

/* finish lets a thread come through. Who waits for a lock waits until others have gone on. */
static void finish(thread_t *thread)
{
    while (thread->fiber.is_busy) {
        thread_t *next = thread;
        for (unsigned i = 0; is_stuck(next) && i < run.threads_count; i++)
            if (threads[i].fiber.is_busy && !is_stuck(&threads[i])) next = &threads[i];
        KILN_FUZZ_LAW("no thread waits for ever", !is_stuck(next));
        go_on(next, 0);
    }
}

static void finish_all(void)
{
    for (unsigned i = 0; i < run.threads_count; i++) finish(&threads[i]);
}

static void start(thread_t *thread, call_t call, const kiln_fuzz_record_t *r)
{
    thread->call = call;
    thread->judged = false;
    thread->misuse = KILN_MISUSE_NONE;
    thread->at = NULL;
    thread->how = r->how;
    thread->points_left = r->size >> 4;
    if (kiln_fuzz_tracing)
        fprintf(stderr, "  T%u begins a call, and is left at point %u\n", thread->by.thread_idx,
                thread->points_left);
    kiln_fiber_start(&thread->fiber, act);
    judge(thread);
}

static void start_free(thread_t *thread, const kiln_fuzz_record_t *r, unsigned slot, bool sized)
{
    block_t *block = &run.blocks[slot];
    if (!block->at) return;
    KILN_FUZZ_LAW("L1: a block holds what was written", holds(block));
    thread->slot = slot;
    thread->block = *block;
    thread->bytes = block->bytes;
    thread->sized = sized;
    block->at = NULL; /* from here on it is the heap's: anybody may be given its place */
    start(thread, CALL_FREE, r);
}

/* What is in the slot is freed first; one that a call has is waited for. */
static void empty_slot(thread_t *thread, unsigned slot)
{
    for (unsigned i = 0; i < run.threads_count; i++)
        if (threads[i].fiber.is_busy && threads[i].slot == slot) finish(&threads[i]);
    start_free(thread, &(kiln_fuzz_record_t){0}, slot, false);
    finish(thread);
}

static void start_alloc(thread_t *thread, const kiln_fuzz_record_t *r, unsigned slot)
{
    size_t bytes = kiln_heap_machine_size(r);
    empty_slot(thread, slot);
    thread->slot = slot;
    thread->align = r->op % OPS == OP_ALIGNED ? (size_t)1 << r->how % 18 : 0;
    thread->count = r->op % OPS == OP_CALLOC ? 1 + r->how % 16 : 0;
    thread->bytes = bytes;
    size_t product = thread->count ? thread->count : 1;
    if (__builtin_mul_overflow(product, bytes, &product)) product = SIZE_MAX;
    if (kiln_heap_machine_allows(&run.machine, product, thread->align))
        start(thread, CALL_ALLOC, r);
}

static void start_realloc(thread_t *thread, const kiln_fuzz_record_t *r, unsigned slot)
{
    block_t *block = &run.blocks[slot];
    size_t bytes = kiln_heap_machine_size(r);
    if (!block->at || !kiln_heap_machine_allows(&run.machine, bytes, block->bytes)) return;
    KILN_FUZZ_LAW("L1: a block holds what was written", holds(block));
    thread->slot = slot;
    thread->block = *block;
    thread->bytes = bytes ? bytes : 1;
    block->at = NULL;
    start(thread, CALL_REALLOC, r);
}

/* Two threads free one block: exactly one of them is told. Nobody is given its place meanwhile. */
static void race(thread_t *thread, const kiln_fuzz_record_t *r, unsigned slot)
{
    thread_t *both[2] = {thread, &threads[(thread->by.thread_idx + 1) % run.threads_count]};
    block_t *block = &run.blocks[slot];
    finish_all();
    if (!block->at) return;
    KILN_FUZZ_LAW("L1: a block holds what was written", holds(block));
    for (unsigned i = 0; i < 2; i++) {
        both[i]->slot = slot;
        both[i]->block = *block;
        both[i]->bytes = block->bytes;
        both[i]->sized = r->how & 1;
        both[i]->races = true;
    }
    block->at = NULL;
    start(both[0], CALL_FREE, r);
    start(both[1], CALL_FREE, &(kiln_fuzz_record_t){.size = (uint8_t)(r->how & 0xf0)});
    finish_all();
    both[0]->races = both[1]->races = false;
    kiln_misuse_t first = both[0]->misuse, second = both[1]->misuse;
    KILN_FUZZ_LAW("L5: of two frees of a block one is told of as a double free",
                  (first == KILN_MISUSE_NONE && second == KILN_MISUSE_DOUBLE_FREE) ||
                      (second == KILN_MISUSE_NONE && first == KILN_MISUSE_DOUBLE_FREE));
}

static void check(void)
{
    kiln_heap_machine_t *machine = &run.machine;
    uint64_t program_bytes = 0;
    finish_all();
    KILN_CHECK_RULE(kiln_heap_broken_rule(&machine->subject.heap));
    KILN_CHECK_RULE(kiln_os_fake_broken_rule(&machine->fake));
    for (unsigned i = 0; i < SLOTS; i++) {
        const block_t *block = &run.blocks[i];
        if (!block->at) continue;
        KILN_FUZZ_LAW("L1: a block holds what was written", holds(block));
        if (!block->guarded) program_bytes += block->room;
    }
    kiln_heap_stats_t stats = kiln_heap_stats(&machine->subject.heap);
    uint64_t live_bytes = stats.live_bytes - stats.cached_bytes;
    if (machine->subject.hardens) {
        KILN_CHECK_RULE(kiln_harden_broken_rule(&machine->subject.harden));
        (void)kiln_harden_check(&machine->subject.harden,
                                kiln_subject_site(&machine->subject, "check"));
        live_bytes -= kiln_harden_model_kept_bytes(&run.harden);
    }
    /* Where a large block's pages cannot be had back, it stays for ever. */
    bool stuck = machine->subject.hardens && machine->fake.stats.refused[KILN_OS_CALL_COMMIT] > 0;
    KILN_FUZZ_LAW("the heap's ledger is the program's",
                  live_bytes == program_bytes || (stuck && live_bytes > program_bytes));
}

/* --- an input -------------------------------------------------------------------------------- */

static bool begin(const uint8_t *config)
{
    kiln_heap_machine_hooks_t hooks = {
        .os = &run.os.os, .found = found, .stack = stack_of, .thread = thread_number};
    kiln_heap_machine_t *machine = &run.machine;
    threads = thread_sets[kiln_fuzz_tracing];
    run.threads_count = 2 + config[3] % (THREADS_MAX - 1);
    run.seed = 0;
    run.event_hash = run.pauses = run.waits = 0;
    memset(run.blocks, 0, sizeof run.blocks);
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        kiln_fiber_reset(&threads[i].fiber);
        threads[i].by = (kiln_subject_by_t){.thread_idx = i};
        threads[i].points_left = 0;
        threads[i].waits_for = NULL;
        threads[i].judged = true;
        threads[i].slot = SLOTS; /* none */
        threads[i].bytes = 0;
        threads[i].races = false;
    }
    uint8_t several[KILN_FUZZ_CONFIG_BYTES];
    memcpy(several, config, sizeof several);
    several[4] &= (uint8_t)~KILN_FLAG_SINGLE;
    kiln_heap_machine_open(machine, several);
    kiln_os_points_init(&run.os, &machine->fake.os, point, park);
    kiln_harden_model_init(&run.harden, &machine->subject, &machine->fake);
    if (!kiln_heap_machine_start(machine, several, &hooks)) return false;
    for (unsigned i = 0; i < run.threads_count; i++)
        start(&threads[i], CALL_ATTACH, &(kiln_fuzz_record_t){0});
    return true;
}

static void end(void)
{
    kiln_heap_machine_t *machine = &run.machine;
    check();
    for (unsigned i = 0; i < SLOTS; i++) empty_slot(&threads[i % run.threads_count], i);
    for (unsigned i = 0; i < run.threads_count; i++)
        kiln_heap_machine_detach(machine, &threads[i].by);
    if (machine->subject.hardens) (void)kiln_harden_large_flush(&machine->subject.harden);
    check();
    kiln_heap_stats_t stats = kiln_heap_stats(&machine->subject.heap);
    bool stuck = machine->subject.hardens && machine->fake.stats.refused[KILN_OS_CALL_COMMIT] > 0;
    KILN_FUZZ_LAW("when all threads are gone nothing is left in the heap",
                  stats.cached_bytes == 0 && (stuck || stats.live_bytes == 0));
    kiln_heap_machine_end(machine);
}

static void step(thread_t *thread, const kiln_fuzz_record_t *r)
{
    unsigned slot = r->slot % SLOTS, step = 1 + r->arg % 4;
    kiln_fuzz_record_t one = *r;
    switch (r->op % OPS) {
    case OP_MALLOC:
    case OP_CALLOC:
    case OP_ALIGNED:
        start_alloc(thread, r, slot);
        break;
    case OP_FREE:
    case OP_FREE_SIZED:
        start_free(thread, r, slot, r->op % OPS == OP_FREE_SIZED);
        break;
    case OP_REALLOC:
        start_realloc(thread, r, slot);
        break;
    case OP_BURST: /* the last one is left where the input says */
        for (unsigned i = 0, count = 1 + r->how % 40; i < count; i++) {
            one.size = i + 1 < count ? r->size & 15 : r->size;
            finish(thread);
            start_alloc(thread, &one, (slot + i) % SLOTS);
        }
        break;
    case OP_RELEASE:
        for (unsigned i = 0; i <= r->how % SLOTS; i += step) {
            finish(thread);
            start_free(thread, &one, (slot + i) % SLOTS, false);
        }
        break;
    case OP_RACE:
        race(thread, r, slot);
        break;
    case OP_CACHE:
        start(thread, kiln_heap_machine_attached(&thread->by) ? CALL_DETACH : CALL_ATTACH, r);
        break;
    case OP_TRIM:
        thread->bytes = r->arg & 0xff;
        start(thread, CALL_TRIM, r);
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
        thread_t *thread = &threads[r.op / OPS % run.threads_count];
        if (kiln_fuzz_tracing)
            fprintf(stderr, "T%u %s\n", thread->by.thread_idx, op_names[r.op % OPS]);
        kiln_heap_machine_answer(&run.machine, &r);
        if (r.op % OPS == OP_GO) {
            if (thread->fiber.is_busy && !is_stuck(thread)) go_on(thread, r.size >> 4);
        } else {
            finish(thread);
            step(thread, &r);
        }
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
