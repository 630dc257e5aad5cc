/* report_fuzz.c - reports about a heap, stacks and code whose records are ruined.
 *
 * The records of an input make a small heap, write over what it keeps, over the stack, the tables
 * of the code and the report itself, and print it: as text and as JSON, with every lock held. What
 * is not here of a report is what ends the process and what asks a child (allocator/api/report.c,
 * symbolizer.c); tests/report has those.
 *
 * A report must come back, and be well-formed (report_judge.h). It may fault only where an address
 * was overwritten (report_heap.h), and then what was written before must stand: the real one's
 * handler of faults ends it there. Under ASan and MSan any other fault is theirs to tell, and what
 * is allocated is counted: nothing is.
 *
 * Threads  one.   Memory  static, or mapped once. */
#define _GNU_SOURCE /* memfd_create */
#include "allocator/api/report_block.h"
#include "allocator/api/report_json.h"
#include "allocator/api/report_text.h"
#include "fuzz/report_code.h"
#include "fuzz/report_heap.h"
#include "fuzz/report_judge.h"
#include "fuzz/target.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(memory_sanitizer) || __has_feature(address_sanitizer)
#define HAS_TOOL 1
int __sanitizer_install_malloc_and_free_hooks(void (*took)(const volatile void *, size_t),
                                              void (*gave)(const volatile void *));
#endif
#endif

enum { STEPS_MAX = 500, LOST_MAX = 3, TEXT_BYTES = 4 << 20, PRINTS_MAX = 3 };

enum {
    OP_ALLOC,
    OP_FREE,
    OP_KEEP,
    OP_STACK,
    OP_REGISTER,
    OP_TABLE,
    OP_RULE,
    OP_NAME,
    OP_RUIN,
    OP_FIELD,
    OP_PC,
    OP_LOST,
    OP_PRINT,
    OPS
};

static const char *const op_names[OPS] = {"alloc", "free", "keep", "stack", "register",
                                          "table", "rule", "name", "ruin",  "field",
                                          "pc",    "lost", "print"};

const kiln_fuzz_words_t kiln_fuzz_words = {
    .target = "report",
    .config = {"profile", "flags", "tokens", "room", "symbols", "cut", "header"},
    .ops = op_names,
    .op_count = OPS,
};

/* The bits of the setting `flags`. */
enum {
    FLAG_ASAN = 1,     /* report_as=AddressSanitizer */
    FLAG_ASK = 2,      /* a walk asks the kernel about what is not the stack */
    FLAG_REPORT = 4,   /* a walk is a report's */
    FLAG_CALLER = 8,   /* which is cut at its caller */
    FLAG_LOOK_UP = 16, /* the block is what the heap says of the address */
};

static struct {
    unsigned flags;
    size_t room; /* of what is written to a descriptor, 0: that is not done */
    kiln_report_t report;
    kiln_lost_t lost[LOST_MAX];
    bool has_stack; /* given by the input, not by a walk */
    unsigned prints;
} run;

static char text[TEXT_BYTES], again[TEXT_BYTES];
static volatile unsigned allocations;
static _Thread_local volatile bool
    reporting; /* an engine has a thread of its own, which allocates */

/* --- faults ----------------------------------------------------------------------------------- */

static sigjmp_buf faulted;

static void on_fault(int number)
{
    if (!kiln_report_heap_may_fault())
        kiln_check_failed("a report faults only where an address was ruined", __FILE__, __LINE__);
    siglongjmp(faulted, number);
}

/* outlives does `act` and answers true, or false when it met a fault that it may meet. */
static bool outlives(void (*act)(void))
{
    struct sigaction ours = {.sa_handler = on_fault, .sa_flags = SA_NODEFER}, segv, bus;
#ifdef HAS_TOOL
    if (!kiln_report_heap_may_fault()) {
        act();
        return true;
    }
#endif
    sigaction(SIGSEGV, &ours, &segv);
    sigaction(SIGBUS, &ours, &bus);
    volatile bool lived = false;
    if (sigsetjmp(faulted, 1) == 0) {
        act();
        lived = true;
    }
    sigaction(SIGSEGV, &segv, NULL);
    sigaction(SIGBUS, &bus, NULL);
    return lived;
}

#ifdef HAS_TOOL
static void count_took(const volatile void *block, size_t bytes)
{
    (void)block;
    (void)bytes;
    if (reporting) allocations++;
}

static void count_gave(const volatile void *block)
{
    count_took(block, 0);
}
#endif

/* --- printing --------------------------------------------------------------------------------- */

static kiln_out_t out;
static kiln_report_t before; /* the look-up, which comes after the head */

void kiln_fuzz_last_words(void)
{
    fprintf(stderr, "# what was written, its end:\n");
    size_t shown = out.length < 4096 ? out.length : 4096;
    fwrite(out.text + out.length - shown, 1, shown, stderr);
    fprintf(stderr, "\n# there it ends\n");
}

static void look_up(void)
{
    run.report.block = kiln_report_block_of(&kiln_report_heap.heap, kiln_report_heap_hardened(),
                                            run.report.address);
}

static void print_head(void)
{
    kiln_report_text_head(&before, &out);
}

static void print_body(void)
{
    kiln_report_text_body(&run.report, &out);
}

static void print_json(void)
{
    kiln_report_json(&run.report, &out);
}

static void must(const char *wrong)
{
    if (wrong) kiln_check_failed(wrong, __FILE__, __LINE__);
}

/* What is written a little at a time is the same. */
static void check_written(void (*first)(void), void (*then)(void), size_t bytes)
{
    static char little[256];
    static int fd = -1;
    if (fd < 0) fd = memfd_create("report", MFD_CLOEXEC);
    KILN_CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    out = (kiln_out_t){little, run.room, 0, fd};
    if (first) first();
    then();
    kiln_out_flush(&out);
    size_t wrote = (size_t)lseek(fd, 0, SEEK_CUR);
    KILN_FUZZ_LAW("a report is written whole", wrote == bytes &&
                                                   pread(fd, again, bytes, 0) == (ssize_t)bytes &&
                                                   memcmp(again, text, bytes) == 0);
}

static void print_all(void)
{
    out = (kiln_out_t){text, sizeof text, 0, -1};
    before = run.report;
    print_head(); /* nothing that it reads is the heap's */
    size_t head = out.length;
    must(kiln_judge_head(text, head, &run.report));
    if (run.flags & FLAG_LOOK_UP && !outlives(look_up)) return;
    bool whole = outlives(print_body);
    KILN_FUZZ_LAW("a report is not longer than its frames make it", out.length < sizeof text);
    must(whole ? kiln_judge_text(text, out.length, &run.report)
               : kiln_judge_head(text, head, &run.report));
    if (!whole) return;
    if (run.room) check_written(print_head, print_body, out.length);

    out = (kiln_out_t){text, sizeof text, 0, -1};
    if (!outlives(print_json)) return;
    KILN_FUZZ_LAW("a report is not longer than its frames make it", out.length < sizeof text);
    must(kiln_judge_json(text, out.length));
    if (run.room) check_written(NULL, print_json, out.length);
}

static void print(void)
{
    if (run.prints++ == PRINTS_MAX) return; /* an input stays fast */
    kiln_report_heap_hold();
    uint64_t calls = kiln_report_heap_calls();
    allocations = 0;
    reporting = true;
    if (!run.has_stack)
        kiln_code_walk(run.flags & FLAG_REPORT, run.flags & FLAG_ASK,
                       run.flags & FLAG_CALLER ? run.report.caller : 0, &run.report.stack);
    print_all();
    reporting = false;
    KILN_FUZZ_LAW("a report allocates nothing",
                  allocations == 0 && kiln_report_heap_calls() == calls);
}

/* --- what the records mean -------------------------------------------------------------------- */

/* A word as wild writes leave it: anything, or an address that means something. */
static uintptr_t word_of(const kiln_fuzz_record_t *r)
{
    uintptr_t stack = (uintptr_t)kiln_code.stack, code = (uintptr_t)kiln_code.bytes;
    switch (r->how % 8) {
    case 1:
        return (uintptr_t)(r->arg * UINT64_C(0x9e3779b97f4a7c15));
    case 2:
        return stack + r->arg % (KILN_CODE_STACK_WORDS * sizeof(uintptr_t) + 16) - 8;
    case 3:
        return code + r->arg % (kiln_code.count + 16) - 8;
    case 4:
        return (uintptr_t)kiln_report_heap.blocks[r->arg % KILN_REPORT_BLOCKS] + (r->arg >> 8) -
               4096;
    case 5:
        return UINTPTR_MAX - r->arg % 4096;
    case 6:
        return KILN_CODE_PLAIN_START + r->arg % KILN_CODE_PLAIN_BYTES;
    case 7: /* a number of a kept stack */
        return kiln_report_heap.stacks[r->arg % KILN_REPORT_STACKS];
    default:
        return r->arg;
    }
}

static void set_block_field(unsigned which, uintptr_t word)
{
    kiln_report_block_t *block = &run.report.block;
    static const char *const families[] = {NULL, "malloc", "operator new", "operator new []"};
    switch (which) {
    case 0:
        block->known = word % 2 != 0;
        break;
    case 1:
        block->live = word % 2 != 0;
        break;
    case 2:
        block->start = word;
        break;
    case 3:
        block->bytes = word;
        break;
    case 4:
        block->slot_bytes = word;
        break;
    case 5:
        block->alloc_stack = (kiln_stack_id_t)word;
        break;
    case 6:
        block->free_stack = (kiln_stack_id_t)word;
        break;
    case 7:
        block->alloc_thread = (uint32_t)word;
        break;
    case 8:
        block->free_thread = (uint32_t)word;
        break;
    default:
        block->from = families[word % 4];
        break;
    }
}

enum { FIELDS = 14, BLOCK_FIELDS = 10 };

static void set_field(unsigned which, uintptr_t word)
{
    kiln_report_t *report = &run.report;
    static const char *const calls[] = {"free", NULL, "operator delete[]", "realloc"};
    static const char *const notes[] = {NULL, "a note of one sentence."};
    switch (which % (FIELDS + BLOCK_FIELDS)) {
    case 0:
        report->kind = (kiln_report_kind_t)(word % (KILN_REPORT_KINDS + 4));
        break;
    case 1:
        report->access = (kiln_access_t)(word % 5);
        break;
    case 2:
        report->access_bytes = word;
        break;
    case 3:
        report->address = word;
        break;
    case 4:
        report->call = calls[word % 4];
        break;
    case 5:
        report->caller = word;
        break;
    case 6:
        report->claimed_bytes = word;
        break;
    case 7:
        report->claimed_align = word;
        break;
    case 8:
        report->note = notes[word % 2];
        break;
    case 9:
        report->has_seed = true;
        report->seed = word;
        break;
    case 10:
        report->has_input = true;
        report->input = word;
        break;
    case 11:
        report->replay = word % 2 ? kiln_code.names[KILN_CODE_REPLAY] : NULL;
        break;
    case 12:
        report->pid = word;
        report->thread = (uint32_t)word;
        break;
    case 13:
        report->halts = word % 2 != 0;
        break;
    default:
        set_block_field(which % (FIELDS + BLOCK_FIELDS) - FIELDS, word);
        break;
    }
}

static void do_keep(const kiln_fuzz_record_t *r)
{
    uintptr_t pcs[KILN_STACK_FRAMES_MAX], first = word_of(r);
    unsigned count = 1 + r->size % KILN_STACK_FRAMES_MAX;
    for (unsigned i = 0; i < count; i++) pcs[i] = first + 4 * (uintptr_t)i;
    kiln_report_heap_keep(r->slot % KILN_REPORT_STACKS, pcs, count);
}

static void do_pc(const kiln_fuzz_record_t *r)
{
    kiln_stack_t *stack = &run.report.stack;
    if (!run.has_stack) memset(stack, 0, sizeof *stack);
    run.has_stack = true;
    stack->exact = r->size % 2 != 0;
    stack->bp = r->size / 2 % 2 ? word_of(r) : 0;
    if (stack->count < KILN_STACK_FRAMES_MAX) stack->pcs[stack->count++] = word_of(r);
}

static void do_lost(const kiln_fuzz_record_t *r)
{
    kiln_report_t *report = &run.report;
    kiln_lost_t *lost = &run.lost[r->slot % LOST_MAX];
    *lost = (kiln_lost_t){.stack = (uint32_t)word_of(r),
                          .thread = r->size % 4 ? r->size : KILN_THREAD_UNKNOWN,
                          .direct = r->size % 2 != 0,
                          .blocks = r->arg,
                          .bytes = r->arg * UINT64_C(0x100000001),
                          .first = word_of(r)};
    report->lost = run.lost;
    if (report->lost_count <= r->slot % LOST_MAX) report->lost_count = r->slot % LOST_MAX + 1;
}

static void do_ruin(const kiln_fuzz_record_t *r)
{
    kiln_ruin_t ruin = (kiln_ruin_t)(r->slot / KILN_REPORT_BLOCKS % KILN_RUINS);
    bool is_watched =
        r->how % 8 == 2 || r->how % 8 == 3; /* of malloc: ASan would stop a read there */
    if (ruin >= KILN_RUIN_ENTRY && is_watched) return;
    kiln_report_heap_ruin(ruin, r->slot % KILN_REPORT_BLOCKS, r->size + (size_t)(r->how / 8) * 256,
                          word_of(r));
}

static void step(const kiln_fuzz_record_t *r)
{
    uint8_t bytes[4];
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(r->arg >> 8 * i);
    unsigned place = r->slot % KILN_REPORT_BLOCKS;
    switch (r->op % OPS) {
    case OP_ALLOC:
        kiln_report_heap_alloc(place, r->arg % (r->how % 4 ? 4096 : 1 << 20));
        break;
    case OP_FREE:
        kiln_report_heap_free(place);
        break;
    case OP_KEEP:
        do_keep(r);
        break;
    case OP_STACK:
        kiln_code.stack[r->slot % KILN_CODE_STACK_WORDS] = word_of(r);
        break;
    case OP_REGISTER:
        kiln_code.frame.registers[r->slot % KILN_UNWIND_REGISTERS] = word_of(r);
        kiln_code.frame.exact = r->size % 2 == 0;
        break;
    case OP_TABLE:
        kiln_code_put((size_t)r->size + 256 * (size_t)r->how, bytes, 1 + r->slot % 4);
        break;
    case OP_RULE: /* the walk begins in function 0 */
        kiln_code_put(kiln_code.rules_at[r->slot % KILN_CODE_FUNCTIONS] + r->size, bytes,
                      1 + r->how % 4);
        break;
    case OP_NAME:
        kiln_code_spell((kiln_code_name_t)(r->slot % KILN_CODE_NAMES), 4 * (size_t)r->size, bytes,
                        1u + r->how);
        break;
    case OP_RUIN:
        do_ruin(r);
        break;
    case OP_FIELD:
        set_field(r->slot, word_of(r));
        break;
    case OP_PC:
        do_pc(r);
        break;
    case OP_LOST:
        do_lost(r);
        break;
    default:
        print();
        break;
    }
}

static void begin(const uint8_t *config)
{
    memset(&run, 0, sizeof run);
    run.flags = config[1];
    run.room = config[3];
    kiln_report_options.as_asan = run.flags & FLAG_ASAN ? 1 : 0;
    kiln_report_options.dedup_token_length = config[2] % 65;
    kiln_report_heap_begin((kiln_report_profile_t)(config[0] % KILN_REPORT_PROFILES));
    kiln_code_begin(config[5], (int8_t)config[6], config[4] % 3);
    kiln_report_heap_alloc(0, 100);
    run.report.pid = 4711;
    run.report.call = "free";
    run.report.halts = true;
    run.report.address = (uintptr_t)kiln_report_heap.blocks[0];
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    kiln_fuzz_input_t input;
    kiln_fuzz_record_t r;
#ifdef HAS_TOOL
    static bool counts;
    if (!counts) KILN_CHECK(__sanitizer_install_malloc_and_free_hooks(count_took, count_gave) > 0);
    counts = true;
#endif
    kiln_fuzz_open(&input, data, size);
    begin(input.config);
    for (unsigned steps = 0; steps < STEPS_MAX && kiln_fuzz_next(&input, &r); steps++) {
        if (kiln_fuzz_tracing) fprintf(stderr, "%s\n", op_names[r.op % OPS]);
        step(&r);
    }
    print();
}
