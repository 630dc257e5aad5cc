#include "allocator/api/report.h"

#include "allocator/api/checkpoint.h"
#include "allocator/api/kiln.h"
#include "allocator/api/process.h"
#include "allocator/api/report_block.h"
#include "allocator/api/report_json.h"
#include "allocator/api/report_text.h"
#include "allocator/api/segv.h"
#include "allocator/api/symbolizer.h"
#include "allocator/base/check.h"
#include "allocator/os/linux_syscall.h"

#include <linux/fcntl.h>
#include <linux/futex.h>

#include <string.h>

enum {
    STDOUT = 1,
    STDERR = 2,
    LOG_MODE = 0644,
    TEXT_BYTES = 16 << 10, /* most reports are one write */
};

/* ---- one report at a time ---- */

static _Atomic uint32_t reporter; /* the thread that reports; 0: none */

static uint32_t this_thread(void)
{
    return (uint32_t)kiln_linux_call(__NR_gettid, 0, 0, 0, 0, 0);
}

_Noreturn static void end(void)
{
    if (kiln_report_options.abort_on_error) kiln_stop("", 0);
    for (;;)
        (void)kiln_linux_call(__NR_exit_group, (uintptr_t)kiln_report_options.exitcode, 0, 0, 0, 0);
}

/* What the report has put together, and not written yet. */
static kiln_out_t out;

_Noreturn static void break_off(void)
{
    kiln_symbolizer_stop();
    kiln_out_put(&out, "\nkiln: the report met a second error, and ends here\n");
    kiln_out_flush(&out);
    end();
}

static void take_turn(void)
{
    uint32_t me = this_thread(), other = 0;
    while (!atomic_compare_exchange_strong(&reporter, &other, me)) {
        if (other == me) break_off();
        (void)kiln_linux_call(KILN_LINUX_FUTEX, (uintptr_t)&reporter, FUTEX_WAIT_PRIVATE, other, 0,
                              0);
        other = 0;
    }
}

static void end_turn(void)
{
    atomic_store(&reporter, 0);
    (void)kiln_linux_call(KILN_LINUX_FUTEX, (uintptr_t)&reporter, FUTEX_WAKE_PRIVATE, INT32_MAX, 0,
                          0);
}

void kiln_report_fork_child(void)
{
    atomic_store(&reporter, 0);
}

/* A fault while a thread reports and the process is to end: if it is another's, that thread just
 * waits. A third error ends all. */
static void fault_during_report(int number)
{
    static _Atomic bool again;
    (void)number;
    while (atomic_load(&reporter) != this_thread())
        (void)kiln_linux_call(KILN_LINUX_FUTEX, (uintptr_t)&reporter, FUTEX_WAIT_PRIVATE,
                              atomic_load(&reporter), 0, 0);
    if (atomic_exchange(&again, true)) end();
    break_off();
}

/* ---- where it goes ---- */

static int open_log(uint64_t pid, const char *ending)
{
    static char path[KILN_REPORT_PATH_MAX_BYTES + 64];
    kiln_out_t name = {path, sizeof path - 1, 0, -1};
    const char *log = kiln_report_options.log_path;
    if (log[0] == '\0' || strcmp(log, "stderr") == 0) return STDERR;
    if (strcmp(log, "stdout") == 0) return STDOUT;
    kiln_out_put(&name, log);
    kiln_out_put(&name, ".");
    kiln_out_number(&name, pid);
    kiln_out_put(&name, ending);
    path[name.length] = '\0';
    long fd = kiln_linux_call(__NR_openat, (uintptr_t)AT_FDCWD, (uintptr_t)path,
                              O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, LOG_MODE, 0);
    return fd < 0 ? STDERR : (int)fd; /* better there than nowhere */
}

static void close_log(int fd)
{
    if (fd > STDERR) (void)kiln_linux_call(__NR_close, (uintptr_t)fd, 0, 0, 0, 0);
}

/* Of which call a ruined record was found in is known from the thread's latest visit. If that is
 * over, frames of Kiln's are better than a stack that is another's. */
static void walk(kiln_report_t *report, const kiln_unwind_t *at)
{
    uintptr_t caller = report->at ? 0 : report->caller;
    if (!kiln_stack_walk(at, caller, &report->stack) && report->kind == KILN_REPORT_CORRUPTION)
        (void)kiln_stack_walk(at, 0, &report->stack);
}

static void print(kiln_report_t *report, const kiln_unwind_t *at)
{
    static char text[TEXT_BYTES];
    const kiln_report_options_t *options = &kiln_report_options;
    out = (kiln_out_t){text, sizeof text, 0, STDERR};
    walk(report, at);
    if (options->forms & KILN_REPORT_TEXT) {
        out.fd = open_log(report->pid, "");
        kiln_report_text_head(report, &out);
        kiln_out_flush(&out); /* whatever comes: a system call that a filter kills for, say */
    }
    if (report->halts) kiln_segv_during_report(fault_during_report);
    if (report->look_up) report->block = kiln_report_about(report->address);
    if (options->symbolize) kiln_symbolizer_start(options->symbolizer, options->folders);
    if (options->forms & KILN_REPORT_TEXT) {
        kiln_report_text_body(report, &out);
        kiln_out_flush(&out);
        close_log(out.fd);
    }
    if (options->forms & KILN_REPORT_JSON) {
        out.fd = open_log(report->pid, ".json");
        kiln_report_json(report, &out);
        kiln_out_flush(&out);
        close_log(out.fd);
    }
    kiln_symbolizer_stop();
}

/* ---- the input that runs ---- */

static struct {
    _Atomic bool known;
    _Atomic uint64_t number;
    const char *_Atomic replay;
} input;

KILN_EXPORT void kiln_input(uint64_t number, const char *replay)
{
    atomic_store_explicit(&input.number, number, memory_order_relaxed);
    atomic_store_explicit(&input.replay, replay, memory_order_relaxed);
    atomic_store_explicit(&input.known, true, memory_order_relaxed);
    kiln_checkpoint_input(number);
}

static void add_input(kiln_report_t *report)
{
    if (report->has_input || !atomic_load_explicit(&input.known, memory_order_relaxed)) return;
    report->has_input = true;
    report->input = atomic_load_explicit(&input.number, memory_order_relaxed);
    report->replay = atomic_load_explicit(&input.replay, memory_order_relaxed);
}

static bool can_go_on(const kiln_report_t *report)
{
    return !report->at && report->kind != KILN_REPORT_CORRUPTION;
}

__attribute__((noinline)) void kiln_report(kiln_report_t *report)
{
    kiln_unwind_t here = {.exact = true};
    take_turn();
    report->pid = (uint64_t)kiln_linux_call(__NR_getpid, 0, 0, 0, 0, 0);
    report->thread = kiln_thread_number();
    add_input(report);
    report->halts = kiln_report_options.halt_on_error || !can_go_on(report);
    if (!report->at) kiln_unwind_here(&here);
    print(report, report->at ? report->at : &here);
    if (report->halts) end();
    end_turn();
}

/* ---- what the heap answered ---- */

kiln_report_block_t kiln_report_about(uintptr_t address)
{
    return kiln_report_block_of(&kiln_process_heap, kiln_process_hardened, address);
}

void kiln_report_misuse(kiln_misuse_t misuse, const char *call, uintptr_t caller, const void *block,
                        size_t align, size_t bytes)
{
    static const kiln_report_kind_t kind_of[] = {
        [KILN_MISUSE_NONE] = KILN_REPORT_CORRUPTION, /* nobody reports what was right */
        [KILN_MISUSE_DOUBLE_FREE] = KILN_REPORT_DOUBLE_FREE,
        [KILN_MISUSE_INTERIOR] = KILN_REPORT_INTERIOR_FREE,
        [KILN_MISUSE_FOREIGN] = KILN_REPORT_FOREIGN_FREE,
        [KILN_MISUSE_SIZE] = KILN_REPORT_SIZE_MISMATCH,
        [KILN_MISUSE_ALIGNMENT] = KILN_REPORT_ALIGNMENT_MISMATCH,
        [KILN_MISUSE_FAMILY] = KILN_REPORT_FUNCTION_MISMATCH,
    };
    kiln_report_t report = {
        .kind = kind_of[misuse],
        .address = (uintptr_t)block,
        .call = call,
        .caller = caller,
        .claimed_bytes = bytes,
        .claimed_align = align,
        .look_up = misuse != KILN_MISUSE_FOREIGN && misuse != KILN_MISUSE_FAMILY,
    };
    /* The first line names both functions; the block is live and whole. */
    if (misuse == KILN_MISUSE_FAMILY) report.block = kiln_report_about(report.address);
    bool may_be_taken = misuse == KILN_MISUSE_DOUBLE_FREE || misuse == KILN_MISUSE_FOREIGN;
    if (may_be_taken && kiln_checkpoint_took(report.address, &report.block)) {
        report.kind = KILN_REPORT_DOUBLE_FREE;
        report.look_up = false;
        report.note = "a restore took the block back before this call.";
    }
    kiln_report(&report);
}

void kiln_report_refused(kiln_report_kind_t kind, const char *call, uintptr_t caller, size_t align,
                         size_t bytes)
{
    kiln_report_t report = {
        .kind = kind,
        .call = call,
        .caller = caller,
        .claimed_bytes = bytes,
        .claimed_align = align,
    };
    kiln_report(&report);
}

_Noreturn void kiln_report_no_memory(size_t bytes, uintptr_t caller)
{
    kiln_report_t report = {
        .kind = KILN_REPORT_NO_MEMORY,
        .call = "operator new",
        .caller = caller,
        .claimed_bytes = bytes,
        .note = "std::bad_alloc could not be thrown: the program has no C++ library that Kiln can "
                "find.",
    };
    kiln_report(&report);
    end();
}
