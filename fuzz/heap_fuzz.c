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
#include "fuzz/heap_machine.h"
#include "fuzz/heap_model.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

enum {
    STEPS_MAX = 500,
    CHECK_STEPS = 24,      /* the whole heap is looked at after so many, then after four times */
    CHECK_OFTEN_STEPS = 3, /* as many, and so on; often: after so many, then twice as many */
    CACHES_MAX = 3,
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

/* Everything that one input changes. */
static struct {
    kiln_heap_machine_t machine;
    kiln_heap_model_t model;
    kiln_harden_model_t harden;
    kiln_subject_by_t threads[CACHES_MAX];
} run;

void kiln_fuzz_last_words(void)
{
}

/* --- the machine ----------------------------------------------------------------------------- */

static void detach(kiln_subject_by_t *thread)
{
    bool hardened = thread->hardened != NULL;
    kiln_heap_machine_detach(&run.machine, thread);
    if (hardened) kiln_harden_model_flushed(&run.harden, thread->thread_idx);
}

/* begin makes the heap. False: there is none, and nothing is left of it. */
static bool begin(const uint8_t *config)
{
    kiln_heap_machine_hooks_t hooks = {.found = kiln_harden_model_found,
                                       .stack = kiln_harden_model_stack,
                                       .thread = kiln_harden_model_thread};
    kiln_heap_machine_t *machine = &run.machine;
    bool hardens = kiln_heap_machine_hardens(config);
    kiln_heap_machine_open(machine, config);
    memset(run.threads, 0, sizeof run.threads);
    kiln_heap_model_init(&run.model, &machine->subject, hardens ? &run.harden : NULL,
                         &machine->fake);
    if (hardens) kiln_harden_model_init(&run.harden, &machine->subject, &machine->fake);
    if (!kiln_heap_machine_start(machine, config, &hooks)) return false;
    for (unsigned i = 0; i < CACHES_MAX; i++) {
        run.threads[i].thread_idx = i;
        if (i < config[3] % (CACHES_MAX + 1)) kiln_heap_machine_attach(machine, &run.threads[i]);
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
    if (run.machine.subject.hardens)
        KILN_FUZZ_LAW("L5: all damage was told in time", kiln_harden_model_all_told(&run.harden));
    kiln_heap_machine_end(&run.machine);
}

/* --- the operations -------------------------------------------------------------------------- */

static void do_burst(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    size_t bytes = kiln_heap_machine_size(r);
    for (unsigned i = 0; i <= r->how % 48u && kiln_heap_machine_allows(&run.machine, bytes, 0); i++)
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
    size_t bytes = kiln_heap_machine_size(r), had = run.model.blocks[r->slot].bytes;
    if (run.model.blocks[r->slot].at &&
        kiln_heap_machine_allows(&run.machine, bytes, bytes < had ? bytes : had))
        kiln_heap_model_realloc(&run.model, by, r->slot, bytes);
}

static void do_calloc(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    size_t bytes = kiln_heap_machine_size(r), count = 1 + r->how % 16;
    if (r->how >= 240) count = SIZE_MAX / (bytes ? bytes : 1) + (r->how & 1); /* at the edge */
    if (count == 0) count = SIZE_MAX;
    if (bytes > KILN_HEAP_MACHINE_ARENA_BYTES / count ||
        kiln_heap_machine_allows(&run.machine, bytes * count, 0))
        kiln_heap_model_alloc(&run.model, by, r->slot, 0, count, bytes);
}

static void do_aligned(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    size_t align = (size_t)1 << r->how % 28;
    size_t bytes = kiln_heap_machine_size(r);
    if (r->how >= 224) align = align * 3; /* not a power of two: refused */
    if (kiln_heap_machine_allows(&run.machine, bytes, align))
        kiln_heap_model_alloc(&run.model, by, r->slot, align, 0, bytes);
}

static void do_cache(const kiln_fuzz_record_t *r)
{
    kiln_subject_by_t *thread = &run.threads[r->slot % CACHES_MAX];
    if (kiln_heap_machine_attached(thread))
        detach(thread);
    else
        kiln_heap_machine_attach(&run.machine, thread);
}

static void do_trim(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    kiln_harden_t *harden = &run.machine.subject.harden;
    switch (run.machine.subject.hardens ? r->how % 4 : 0) {
    case 1:
        kiln_harden_model_check(&run.harden);
        break;
    case 2: /* as malloc_trim */
        if (!by->hardened) break;
        kiln_harden_flush(harden, by->hardened,
                          kiln_subject_site(&run.machine.subject, "malloc_trim"));
        kiln_harden_model_flushed(&run.harden, by->thread_idx);
        break;
    case 3:
        (void)kiln_harden_large_flush(harden);
        kiln_harden_model_settle(&run.harden);
        break;
    default:
        (void)kiln_heap_trim(&run.machine.subject.heap, KILN_KIB(8) * (r->arg & 0xff));
        break;
    }
}

static void do_misuse(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    unsigned kinds = run.machine.subject.hardens ? KILN_WRONGS_HARDENED : KILN_WRONGS_PLAIN;
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
    size_t bytes = kiln_heap_machine_size(r);
    kiln_heap_machine_answer(&run.machine, r);
    switch (r->op % OPS) {
    case OP_MALLOC:
        if (kiln_heap_machine_allows(&run.machine, bytes, 0))
            kiln_heap_model_alloc(model, by, r->slot, 0, 0, bytes);
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
        kiln_heap_machine_refuse(&run.machine, r);
        break;
    case OP_BUDGET:
        kiln_heap_machine_budget(&run.machine, r);
        break;
    case OP_TRIM:
        do_trim(by, r);
        break;
    case OP_CACHE:
        do_cache(r);
        break;
    default:
        kiln_heap_machine_place(&run.machine, r);
        break;
    }
}

static uint64_t run_once(const uint8_t *data, size_t size)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
    kiln_fuzz_open(&input, data, size);
    if (!begin(input.config)) return 0;
    bool often = run.machine.subject.hardens && input.config[11] & KILN_HARDEN_OFTEN;
    unsigned check_at = often ? CHECK_OFTEN_STEPS : CHECK_STEPS, steps = 1;
    for (; steps <= STEPS_MAX && kiln_fuzz_next(&input, &r); steps++) {
        if (kiln_fuzz_tracing) fprintf(stderr, "%s\n", op_names[r.op % OPS]);
        step(&r);
        if (steps < check_at) continue;
        kiln_heap_model_check(&run.model);
        check_at *= often ? 2 : 4;
    }
    end();
    return kiln_fuzz_ran(steps - 1, run.model.event_hash ^ run.machine.fake.answers_hash);
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    uint64_t hash = run_once(data, size);
    bool twice = size > 4 && (data[4] & KILN_FLAG_TWICE);
    if (twice && !kiln_fuzz_tracing)
        KILN_FUZZ_LAW("L6: the same input does the same", run_once(data, size) == hash);
}
