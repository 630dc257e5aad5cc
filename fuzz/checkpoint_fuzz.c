/* checkpoint_fuzz.c - a heap on memory that goes back (allocator/os/rewind.h), on the fake OS with
 * bytes: marks that nest, restores and drops between calls of the malloc family.
 *
 * At a mark the model of the heap (heap_model.h) is copied, and every byte and state is summed up.
 * After a restore the heap must be what the copy says, and the sums what they were; the calls since
 * the mark, made once more, must give the same addresses. A restore may leave what blocks hold that
 * were there all the while, as KILN_BLOCKS does. What lay there at the mark, and what was touched,
 * is asked before it goes back.
 *
 * Threads  one.   Memory  that of heap_machine.h. */
#include "allocator/os/rewind.h"
#include "fuzz/contents.h"
#include "fuzz/heap_machine.h"
#include "fuzz/heap_model.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <string.h>

enum {
    STEPS_MAX = 200,
    MARKS_MAX = 3,
    RESTORES_MAX = 12, /* of an input: each looks at all that there is */
    CACHES_MAX = 2,
    RANGES_MAX = 4096,
    PIECE_BYTES = 200,
};

enum {
    OP_MALLOC,
    OP_FREE,
    OP_REALLOC,
    OP_CALLOC,
    OP_ALIGNED,
    OP_BURST,
    OP_RELEASE,
    OP_WRITE,
    OP_PIECE,
    OP_MARK,
    OP_RESTORE,
    OP_DROP,
    OP_CACHE,
    OP_TRIM,
    OP_REFUSE,
    OPS
};

static const char *const op_names[OPS] = {
    "malloc", "free", "realloc", "calloc", "aligned", "burst", "release", "write",
    "piece",  "mark", "restore", "drop",   "cache",   "trim",  "refuse",
};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "checkpoint",
    .config = {"phys", "start", "policy", "caches", "flags", "seed", "idle", "block", "refuse",
               "answer", "profile", "harden", "guard", "every", "quarantine", "room"},
    .ops = op_names,
    .op_count = OPS,
};

/* What the target knows of the heap, and what a mark must bring back. */
typedef struct {
    kiln_heap_model_t model;
    kiln_harden_model_t harden;
    kiln_subject_by_t threads[CACHES_MAX];
    uint32_t idents[KILN_HEAP_MODEL_SLOTS]; /* of the block in each slot: two have never the same */
    uint8_t piece[PIECE_BYTES];
    uint64_t bytes_left;
} known_t;

typedef struct {
    known_t known;
    uint64_t sum, space_bytes;
    size_t input_at; /* of the first record after the mark */
    uint64_t reserves, refused;
    bool is_newest; /* no other mark, restore or drop since */
} mark_t;

static struct {
    kiln_heap_machine_t machine;
    kiln_os_rewind_t rewind;
    known_t now;
    mark_t marks[MARKS_MAX];
    unsigned marks_count, restores;
    uint32_t ident;
    bool is_over; /* the OS refused a restore what it had given */
    const mark_t *keeping;
} run;

static kiln_os_range_t ranges[RANGES_MAX];

void kiln_fuzz_last_words(void)
{
    fprintf(stderr, "%u marks stand, %u restores\n", run.marks_count, run.restores);
}

/* --- sums ------------------------------------------------------------------------------------ */

static uint64_t add(uint64_t sum, uint64_t word)
{
    return (sum ^ word) * UINT64_C(0x9E3779B97F4A7C15) >> 1;
}

/* In four sums, which a processor works on at a time; `bytes` is whole pages. */
__attribute__((no_sanitize("address"))) static uint64_t
add_bytes(uint64_t sum, const unsigned char *at, uint64_t bytes)
{
    uint64_t sums[4] = {sum, 1, 2, 3}, words[4];
    for (uint64_t i = 0; i < bytes; i += sizeof words) {
        memcpy(words, at + i, sizeof words);
        for (unsigned j = 0; j < 4; j++)
            sums[j] = (sums[j] ^ words[j]) * UINT64_C(0xff51afd7ed558ccd) + (sums[j] >> 32);
    }
    return add(add(add(sums[0], sums[1]), sums[2]), sums[3]);
}

/* Who compares memory as a whole compares the padding of structs, which MSan would have known. */
static void know_all(void)
{
    unsigned idx = 0;
    for (const kiln_os_range_t *range;
         (range = kiln_os_model_next(&run.rewind.model, &idx)) != NULL;)
        if (range->tag.state == KILN_OS_READY)
            KILN_FUZZ_KNOWN((void *)(uintptr_t)range->first,
                            (size_t)(range->last - range->first + 1));
    KILN_FUZZ_KNOWN(&run.machine.subject, sizeof run.machine.subject);
}

/* Of every state and byte that the heap has: of what is only kept for a mark nothing. */
static uint64_t sum_up(void)
{
    uint64_t sum = 1, bytes[KILN_OS_STATES] = {0};
    unsigned idx = 0;
    know_all();
    for (const kiln_os_range_t *range;
         (range = kiln_os_model_next(&run.rewind.model, &idx)) != NULL;) {
        bytes[range->tag.state] += range->last - range->first + 1;
        if (range->tag.state == KILN_OS_FOREIGN) continue;
        KILN_FUZZ_LAW("the backend below has the same states",
                      kiln_os_fake_state(&run.machine.fake, range->first) == range->tag.state &&
                          kiln_os_fake_state(&run.machine.fake, range->last) == range->tag.state);
        sum = add(add(sum, range->first), range->last);
        sum = add(sum, (uint64_t)range->tag.state << 8 | (uint64_t)range->tag.access);
        if (range->tag.state == KILN_OS_READY && range->tag.access != KILN_OS_NO_ACCESS)
            sum = add_bytes(sum, (const unsigned char *)(uintptr_t)range->first,
                            range->last - range->first + 1);
    }
    KILN_FUZZ_LAW("the bytes of each state are counted",
                  bytes[KILN_OS_READY] == run.rewind.model.state_bytes[KILN_OS_READY] &&
                      bytes[KILN_OS_PREPARED] == run.rewind.model.state_bytes[KILN_OS_PREPARED]);
    return sum;
}

static uint64_t refused(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < KILN_OS_CALLS; i++) sum += run.machine.fake.stats.refused[i];
    return sum;
}

/* Calls by which the heap comes to addresses that the OS chooses: at 32 bits small memory, too. */
static uint64_t reserves(void)
{
    const uint64_t *calls = run.machine.fake.stats.calls;
    return calls[KILN_OS_CALL_RESERVE] + (sizeof(void *) == 4 ? calls[KILN_OS_CALL_DIRECT] : 0);
}

/* --- marks ----------------------------------------------------------------------------------- */

static void do_mark(const kiln_fuzz_input_t *input)
{
    uint64_t refused_before = refused();
    if (run.marks_count == MARKS_MAX) return;
    mark_t *mark = &run.marks[run.marks_count];
    mark->known = run.now;
    mark->known.bytes_left = run.machine.bytes_left;
    mark->sum = sum_up();
    bool done = kiln_os_rewind_mark(&run.rewind);
    KILN_FUZZ_LAW("L4: a mark changes nothing", sum_up() == mark->sum);
    KILN_FUZZ_LAW("a mark fails where the OS has no memory alone",
                  done || refused() != refused_before);
    if (kiln_fuzz_tracing) fprintf(stderr, "  mark %u: %d\n", run.marks_count, done);
    if (!done) return;
    for (unsigned i = 0; i < run.marks_count; i++) run.marks[i].is_newest = false;
    mark->space_bytes = run.machine.fake.stats.space_bytes;
    mark->input_at = input->at;
    mark->reserves = reserves();
    mark->refused = refused();
    mark->is_newest = true;
    run.marks_count++;
}

/* is_same_block: was the block in this slot there at the mark, and is there still? */
static bool is_same_block(const mark_t *mark, unsigned slot)
{
    const kiln_heap_model_block_t *block = &mark->known.model.blocks[slot];
    return block->at && run.now.model.blocks[slot].at == block->at && !block->hard.guarded &&
           mark->known.idents[slot] == run.now.idents[slot];
}

static bool keeps(void *ctx, kiln_addr_t first, kiln_addr_t end, kiln_addr_t *out_first,
                  kiln_addr_t *out_end)
{
    bool any = false;
    (void)ctx;
    KILN_FUZZ_LAW("what stays is memory for programs",
                  kiln_os_model_tag(&run.machine.fake.model, first).use == KILN_OS_HEAP);
    for (unsigned i = 0; i < KILN_HEAP_MODEL_SLOTS; i++) {
        if (!is_same_block(run.keeping, i)) continue;
        const kiln_heap_model_block_t *block = &run.keeping->known.model.blocks[i];
        kiln_addr_t from = (uintptr_t)block->at, to = from + block->usable;
        if (from < first) from = first;
        if (to > end) to = end;
        if (from >= to || (any && from >= *out_first)) continue;
        *out_first = from;
        *out_end = to;
        any = true;
    }
    return any;
}

/* Nothing has been put back: what lay at a block is what it held. */
static void before(void *ctx)
{
    const kiln_heap_model_t *then = &run.keeping->known.model, *now = &run.now.model;
    uint64_t page_bytes = run.machine.fake.config.phys_bytes;
    (void)ctx;
    for (unsigned i = 0; i < then->live_count; i++) {
        const kiln_heap_model_block_t *block = &then->blocks[then->live[i]];
        size_t bytes = (size_t)(page_bytes - (uintptr_t)block->at % page_bytes);
        if (block->usable == 0) continue;
        if (bytes > block->usable) bytes = block->usable;
        const unsigned char *was = kiln_os_rewind_was(&run.rewind, block->at);
        KILN_FUZZ_LAW("what lay at a block at the mark is known",
                      was && kiln_contents_hold(was, bytes, block->usable, block->seed));
    }
    for (unsigned i = 0; i < KILN_HEAP_MODEL_SLOTS; i++) {
        const kiln_heap_model_block_t *block = &now->blocks[i];
        bool is_changed = block->at && block->usable > 0 && is_same_block(run.keeping, i) &&
                          block->seed != then->blocks[i].seed;
        KILN_FUZZ_LAW("a block that was written to is known to be touched",
                      !is_changed || kiln_os_rewind_touched(&run.rewind, block->at, block->usable));
    }
}

/* The seeds of what stays are those of now. */
static void keep_seeds(known_t *known)
{
    for (unsigned i = 0; i < KILN_HEAP_MODEL_SLOTS; i++)
        if (is_same_block(run.keeping, i))
            known->model.blocks[i].seed = run.now.model.blocks[i].seed;
}

static void go_back(mark_t *mark, bool blocks_stay)
{
    static known_t was; /* too much for a stack */
    const kiln_os_rewind_visit_t visit = {.before = before, .keeps = blocks_stay ? keeps : NULL};
    uint64_t refused_before = refused();
    run.machine.fake.config.refuse_call = 0;
    run.keeping = mark;
    know_all();
    was = mark->known;
    if (blocks_stay) keep_seeds(&was);
    if (!kiln_os_rewind_restore(&run.rewind, &visit)) {
        KILN_FUZZ_LAW("a restore fails where the OS refuses what it had given alone",
                      refused() != refused_before);
        run.is_over = true;
        return;
    }
    KILN_FUZZ_LAW("after a restore other memory is as at the mark",
                  memcmp(run.now.piece, mark->known.piece, PIECE_BYTES) == 0);
    uint32_t seed = run.now.model.seed;
    run.now = was;
    if (blocks_stay) run.now.model.seed = seed; /* kept blocks have newer ones */
    run.machine.bytes_left = mark->known.bytes_left;
    run.restores++;
    KILN_FUZZ_LAW("L4: a restore gives back what came since",
                  run.machine.fake.stats.space_bytes == mark->space_bytes);
    KILN_FUZZ_LAW("after a restore all bytes and states are as at the mark",
                  blocks_stay || sum_up() == mark->sum);
    kiln_heap_model_check(&run.now.model);
}

static void call(const kiln_fuzz_record_t *r);

/* From the mark on once more, up to this record, which begins at `end_at`. */
static void go_again(mark_t *mark, const kiln_fuzz_input_t *input, size_t end_at)
{
    kiln_fuzz_input_t again = *input;
    kiln_fuzz_record_t r;
    uint64_t hash = run.now.model.event_hash;
    bool is_same = mark->is_newest && mark->refused == refused() && mark->reserves == reserves();
    uint64_t refused_before = refused();
    go_back(mark, false);
    if (run.is_over || !is_same) return;
    again.at = mark->input_at;
    while (again.at < end_at && kiln_fuzz_next(&again, &r)) call(&r);
    if (refused() != refused_before) return;
    KILN_FUZZ_LAW("L6: after a restore the same calls do the same",
                  run.now.model.event_hash == hash);
    go_back(mark, false);
}

static void do_restore(const kiln_fuzz_input_t *input, const kiln_fuzz_record_t *r)
{
    if (run.marks_count == 0 || run.restores >= RESTORES_MAX) return;
    mark_t *mark = &run.marks[run.marks_count - 1];
    if (r->how % 4 == 3) { /* from where there is no heap any more */
        if (run.machine.subject.hardens) kiln_guard_destroy(&run.machine.subject.guard);
        kiln_heap_destroy(&run.machine.subject.heap);
        go_back(mark, false);
    } else if (r->how % 4 == 1)
        go_back(mark, true);
    else if (r->how % 4 == 2)
        go_again(mark, input, input->at - KILN_FUZZ_RECORD_BYTES);
    else
        go_back(mark, false);
    mark->is_newest = false;
}

static void do_drop(void)
{
    if (run.marks_count == 0) return;
    uint64_t sum = sum_up(), space_bytes = run.machine.fake.stats.space_bytes;
    kiln_os_rewind_drop(&run.rewind);
    run.marks_count--;
    for (unsigned i = 0; i < run.marks_count; i++) run.marks[i].is_newest = false;
    KILN_FUZZ_LAW("a drop changes nothing", sum_up() == sum);
    KILN_FUZZ_LAW("L4: a mark that is dropped holds nothing",
                  run.machine.fake.stats.space_bytes < space_bytes);
}

/* --- the operations -------------------------------------------------------------------------- */

static void do_alloc(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r, unsigned slot)
{
    size_t bytes = kiln_heap_machine_size(r);
    bool is_calloc = r->op % OPS == OP_CALLOC, is_aligned = r->op % OPS == OP_ALIGNED;
    size_t align = is_aligned ? (size_t)1 << r->how % 18 : 0;
    size_t count = is_calloc ? 1 + r->how % 8 : 0;
    if (bytes > KILN_HEAP_MACHINE_ARENA_BYTES / 8 ||
        !kiln_heap_machine_allows(&run.machine, count ? bytes * count : bytes, align))
        return;
    run.now.idents[slot] = ++run.ident;
    kiln_heap_model_alloc(&run.now.model, by, slot, align, count, bytes);
}

static void do_realloc(const kiln_subject_by_t *by, const kiln_fuzz_record_t *r)
{
    const kiln_heap_model_block_t *block = &run.now.model.blocks[r->slot];
    size_t bytes = kiln_heap_machine_size(r);
    if (!block->at || !kiln_heap_machine_allows(&run.machine, bytes, block->bytes)) return;
    run.now.idents[r->slot] = ++run.ident;
    kiln_heap_model_realloc(&run.now.model, by, r->slot, bytes);
}

static void do_write(const kiln_fuzz_record_t *r)
{
    kiln_heap_model_t *model = &run.now.model;
    kiln_heap_model_block_t *block = &model->blocks[r->slot];
    if (!block->at) return;
    block->seed = ++model->seed * UINT32_C(2654435761) >> 8;
    kiln_contents_fill(block->at, block->usable, block->seed);
}

static void do_cache(const kiln_fuzz_record_t *r)
{
    kiln_subject_by_t *thread = &run.now.threads[r->slot % CACHES_MAX];
    if (!kiln_heap_machine_attached(thread)) {
        kiln_heap_machine_attach(&run.machine, thread);
        return;
    }
    kiln_heap_machine_detach(&run.machine, thread);
    if (run.machine.subject.hardens) kiln_harden_model_flushed(&run.now.harden, thread->thread_idx);
}

static void do_trim(const kiln_fuzz_record_t *r)
{
    if (run.machine.subject.hardens && r->how % 2) {
        (void)kiln_harden_large_flush(&run.machine.subject.harden);
        kiln_harden_model_settle(&run.now.harden);
    } else {
        (void)kiln_heap_trim(&run.machine.subject.heap, KILN_KIB(8) * (r->arg & 0xff));
    }
}

/* What is no mark, restore or drop. */
static void call(const kiln_fuzz_record_t *r)
{
    const kiln_subject_by_t *by = &run.now.threads[r->op / OPS % CACHES_MAX];
    kiln_heap_machine_answer(&run.machine, r);
    switch (r->op % OPS) {
    case OP_MALLOC:
    case OP_CALLOC:
    case OP_ALIGNED:
        do_alloc(by, r, r->slot);
        break;
    case OP_FREE:
        kiln_heap_model_free(&run.now.model, by, r->slot, r->how & 1);
        break;
    case OP_REALLOC:
        do_realloc(by, r);
        break;
    case OP_BURST:
        for (unsigned i = 0; i <= r->how % 48u; i++)
            do_alloc(by, r, (r->slot + i) % KILN_HEAP_MODEL_SLOTS);
        break;
    case OP_RELEASE:
        for (unsigned i = 0; i <= r->how; i += 1 + r->size % 4)
            kiln_heap_model_free(&run.now.model, by, (r->slot + i) % KILN_HEAP_MODEL_SLOTS, false);
        break;
    case OP_WRITE:
        do_write(r);
        break;
    case OP_PIECE:
        run.now.piece[r->slot % PIECE_BYTES] = r->how;
        break;
    case OP_CACHE:
        do_cache(r);
        break;
    case OP_TRIM:
        do_trim(r);
        break;
    default:
        kiln_heap_machine_refuse(&run.machine, r);
        break;
    }
}

static void step(const kiln_fuzz_input_t *input, const kiln_fuzz_record_t *r)
{
    switch (r->op % OPS) {
    case OP_MARK:
        do_mark(input);
        break;
    case OP_RESTORE:
        do_restore(input, r);
        break;
    case OP_DROP:
        do_drop();
        break;
    default:
        call(r);
        break;
    }
}

/* --- an input -------------------------------------------------------------------------------- */

static bool begin(const uint8_t *config)
{
    kiln_heap_machine_t *machine = &run.machine;
    kiln_heap_machine_hooks_t hooks = {.os = &run.rewind.os,
                                       .found = kiln_harden_model_found,
                                       .stack = kiln_harden_model_stack,
                                       .thread = kiln_harden_model_thread};
    bool hardens = kiln_heap_machine_hardens(config);
    kiln_heap_machine_open(machine, config);
    kiln_os_rewind_init(&run.rewind, &machine->fake.os, NULL, ranges, RANGES_MAX);
    run.marks_count = run.restores = run.ident = 0;
    run.is_over = false;
    memset(run.now.threads, 0, sizeof run.now.threads);
    memset(run.now.idents, 0, sizeof run.now.idents);
    memset(run.now.piece, 0, sizeof run.now.piece);
    kiln_heap_model_init(&run.now.model, &machine->subject, hardens ? &run.now.harden : NULL,
                         &machine->fake);
    kiln_harden_model_init(&run.now.harden, &machine->subject, &machine->fake);
    if (!kiln_heap_machine_start(machine, config, &hooks)) return false;
    KILN_CHECK(kiln_os_rewind_add(&run.rewind, run.now.piece, sizeof run.now.piece));
    KILN_CHECK(kiln_os_rewind_add(&run.rewind, &machine->subject, sizeof machine->subject));
    for (unsigned i = 0; i < CACHES_MAX; i++) {
        run.now.threads[i].thread_idx = i;
        if (i < config[3] % (CACHES_MAX + 1))
            kiln_heap_machine_attach(machine, &run.now.threads[i]);
    }
    return true;
}

static void end(void)
{
    run.machine.fake.config.refuse_call = 0;
    while (run.marks_count > 0) do_drop();
    kiln_heap_model_check(&run.now.model);
    for (unsigned i = 0; i < KILN_HEAP_MODEL_SLOTS; i++)
        kiln_heap_model_free(&run.now.model, &run.now.threads[i % CACHES_MAX], i, false);
    for (unsigned i = 0; i < CACHES_MAX; i++)
        if (kiln_heap_machine_attached(&run.now.threads[i]))
            do_cache(&(kiln_fuzz_record_t){.slot = (uint8_t)i});
    kiln_heap_model_check(&run.now.model);
    kiln_heap_machine_end(&run.machine);
}

static uint64_t run_once(const uint8_t *data, size_t size)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
    kiln_fuzz_open(&input, data, size);
    if (!begin(input.config)) return 0;
    for (unsigned steps = 0; steps < STEPS_MAX && kiln_fuzz_next(&input, &r); steps++) {
        if (kiln_fuzz_tracing) fprintf(stderr, "%s\n", op_names[r.op % OPS]);
        step(&input, &r);
        if (run.is_over) return 0;
    }
    end();
    return run.now.model.event_hash ^ run.machine.fake.answers_hash;
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    uint64_t hash = run_once(data, size);
    bool twice = size > 4 && (data[4] & KILN_FLAG_TWICE);
    if (twice && !kiln_fuzz_tracing)
        KILN_FUZZ_LAW("L6: the same input does the same", run_once(data, size) == hash);
}
