#include "allocator/api/report_text.h"

#include "allocator/api/frame.h"

enum { RULER_LETTERS = 65 };

/* Leaks are LeakSanitizer's, also inside AddressSanitizer, but for the summary. */
static const char *tool(bool leaks)
{
    if (!kiln_report_options.as_asan) return "Kiln";
    return leaks ? "LeakSanitizer" : "AddressSanitizer";
}

static const char *name(const kiln_report_t *report)
{
    const kiln_report_words_t *words = kiln_report_words(report->kind);
    return kiln_report_options.as_asan ? words->asan_name : words->name;
}

static void put_process(const kiln_report_t *report, kiln_out_t *out)
{
    kiln_out_put(out, "==");
    kiln_out_number(out, report->pid);
    kiln_out_put(out, "==");
}

static void put_thread(kiln_out_t *out, uint32_t thread)
{
    kiln_out_put(out, "T");
    if (thread == KILN_THREAD_UNKNOWN)
        kiln_out_put(out, "?");
    else
        kiln_out_number(out, thread);
}

static void put_bytes_count(kiln_out_t *out, uint64_t bytes)
{
    kiln_out_number(out, bytes);
    kiln_out_put(out, bytes == 1 ? " byte" : " bytes");
}

static void put_place(const kiln_report_t *report, kiln_out_t *out)
{
    kiln_out_put(out, "pc ");
    kiln_out_address(out, report->stack.pcs[0]);
    kiln_out_put(out, " bp ");
    kiln_out_address(out, report->stack.bp);
    kiln_out_put(out, " sp ");
    kiln_out_address(out, report->stack.sp);
}

static const char *access_word(kiln_access_t access)
{
    if (access == KILN_ACCESS_READ) return "READ";
    return access == KILN_ACCESS_WRITE ? "WRITE" : "ACCESS";
}

/* "READ of size 4 at 0x... thread T0": tools take the words apart by their order. */
static void put_access(const kiln_report_t *report, kiln_out_t *out)
{
    kiln_out_put(out, access_word(report->access));
    kiln_out_put(out, " of size ");
    kiln_out_number(out, report->access_bytes > 0 ? report->access_bytes : 1);
    kiln_out_put(out, " at ");
    kiln_out_address(out, report->address);
    kiln_out_put(out, " thread ");
    put_thread(out, report->thread);
    kiln_out_put(out, "\n");
}

/* " (operator new vs free)" */
static void put_families(const kiln_report_t *report, kiln_out_t *out)
{
    kiln_out_put(out, " (");
    kiln_out_put(out, report->block.from ? report->block.from : "another family");
    kiln_out_put(out, " vs ");
    kiln_out_put(out, report->call ? report->call : "an access");
    kiln_out_put(out, ")");
}

static void put_first_line(const kiln_report_t *report, kiln_out_t *out)
{
    switch (kiln_report_words(report->kind)->shape) {
    case KILN_REPORT_AT_CALL:
        kiln_out_put(out, report->kind == KILN_REPORT_DOUBLE_FREE ? "attempting " : "");
        kiln_out_put(out, name(report));
        if (report->kind == KILN_REPORT_FUNCTION_MISMATCH) put_families(report, out);
        kiln_out_put(out, " on ");
        kiln_out_address(out, report->address);
        kiln_out_put(out, " in thread ");
        break;
    case KILN_REPORT_BAD_FREE:
        kiln_out_put(out, "attempting free on address which was not malloc()-ed: ");
        kiln_out_address(out, report->address);
        kiln_out_put(out, " in thread ");
        break;
    case KILN_REPORT_ACCESS:
        kiln_out_put(out, name(report));
        kiln_out_put(out, " on address ");
        kiln_out_address(out, report->address);
        kiln_out_put(out, " at ");
        put_place(report, out);
        kiln_out_put(out, "\n");
        put_access(report, out);
        return;
    case KILN_REPORT_FAULT:
        kiln_out_put(out, "SEGV on unknown address ");
        kiln_out_address(out, report->address);
        kiln_out_put(out, " (");
        put_place(report, out);
        kiln_out_put(out, " ");
        put_thread(out, report->thread);
        kiln_out_put(out, ")\n");
        put_process(report, out);
        kiln_out_put(out, "The signal is caused by a ");
        kiln_out_put(out,
                     report->access == KILN_ACCESS_NONE ? "UNKNOWN" : access_word(report->access));
        kiln_out_put(out, " memory access.\n");
        return;
    case KILN_REPORT_LOST:
        kiln_out_put(out, "detected memory leaks\n");
        return;
    case KILN_REPORT_REQUEST:
        kiln_out_put(out, name(report));
        kiln_out_put(out, ": ");
        kiln_out_put(out, report->call ? report->call : "the program");
        kiln_out_put(out, " asked for ");
        put_bytes_count(out, report->claimed_bytes);
        kiln_out_put(out, ", in thread ");
        break;
    }
    put_thread(out, report->thread);
    kiln_out_put(out, ":\n");
}

void kiln_report_text_head(const kiln_report_t *report, kiln_out_t *out)
{
    const char *remedy = kiln_report_words(report->kind)->remedy;
    /* An access is the program's, though a call may have found it; so is a loss. */
    kiln_report_shape_t shape = kiln_report_words(report->kind)->shape;
    bool is_call = report->call && shape != KILN_REPORT_ACCESS && shape != KILN_REPORT_LOST;
    for (unsigned i = 0; i < RULER_LETTERS; i++) kiln_out_put(out, "=");
    kiln_out_put(out, "\n");
    put_process(report, out);
    kiln_out_put(out, "ERROR: ");
    kiln_out_put(out, tool(shape == KILN_REPORT_LOST));
    kiln_out_put(out, ": ");
    put_first_line(report, out);
    kiln_out_put(out, "    ");
    kiln_out_put(out, is_call ? report->call : "the program");
    kiln_out_put(out, remedy);
    kiln_out_put(out, "\n");
}

static void put_location(kiln_out_t *out, const kiln_frame_t *frame)
{
    if (frame->symbol.file[0] != '\0') {
        kiln_out_plain(out, frame->symbol.file);
        if (frame->symbol.line != 0) {
            kiln_out_put(out, ":");
            kiln_out_number(out, frame->symbol.line);
        }
        if (frame->symbol.line != 0 && frame->symbol.column != 0) {
            kiln_out_put(out, ":");
            kiln_out_number(out, frame->symbol.column);
        }
        return;
    }
    kiln_out_put(out, "(");
    kiln_out_plain(out, !frame->has_module              ? "<unknown module>"
                        : frame->module.path[0] == '\0' ? "<program>"
                                                        : frame->module.path);
    if (frame->has_module) {
        kiln_out_put(out, "+");
        kiln_out_hex(out, frame->offset);
    }
    kiln_out_put(out, ")");
}

/* The token's names; where there is none, the place. */
static void put_token(kiln_out_t *out, const kiln_frame_t *frame)
{
    if (frame->symbol.function[0] == '\0')
        put_location(out, frame);
    else
        kiln_out_plain(out, frame->symbol.function);
}

/* The frames; and their names up to dedup_token_length into `*token`. The first one goes to
 * `*summary`. Either may be NULL. */
static void put_frames(kiln_out_t *out, const uintptr_t *pcs, unsigned count, bool exact,
                       kiln_out_t *summary)
{
    static kiln_frame_t frame; /* one report at a time */
    static char token_text[2048];
    kiln_out_t token = {token_text, sizeof token_text, 0, -1};
    unsigned number = 0;
    for (unsigned i = 0; i < count; i++) {
        kiln_frame_look(&frame, pcs[i] - (i == 0 && exact ? 0 : 1));
        while (kiln_frame_next(&frame)) {
            kiln_out_put(out, "    #");
            kiln_out_number(out, number);
            kiln_out_put(out, " ");
            kiln_out_address(out, frame.pc);
            if (frame.symbol.function[0] != '\0') {
                kiln_out_put(out, " in ");
                kiln_out_plain(out, frame.symbol.function);
            }
            kiln_out_put(out, " ");
            put_location(out, &frame);
            kiln_out_put(out, "\n");
            if (number == 0 && summary) {
                put_location(summary, &frame);
                if (frame.symbol.function[0] != '\0') {
                    kiln_out_put(summary, " in ");
                    kiln_out_plain(summary, frame.symbol.function);
                }
            }
            if (number < kiln_report_options.dedup_token_length) {
                if (number > 0) kiln_out_put(&token, "--");
                put_token(&token, &frame);
            }
            number++;
        }
    }
    kiln_out_put(out, "\n");
    if (token.length == 0) return;
    kiln_out_put(out, "DEDUP_TOKEN: ");
    kiln_out_bytes(out, token.text, token.length);
    kiln_out_put(out, "\n");
}

static void put_kept_stack(kiln_out_t *out, const char *what, uint32_t thread, kiln_stack_id_t id)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    unsigned count = kiln_stack_frames(id, frames);
    if (count == 0) return;
    kiln_out_put(out, what);
    kiln_out_put(out, " by thread ");
    put_thread(out, thread);
    kiln_out_put(out, " here:\n");
    put_frames(out, frames, count, false, NULL);
}

static void put_region(const kiln_report_t *report, kiln_out_t *out)
{
    const kiln_report_block_t *block = &report->block;
    size_t bytes = block->bytes > 0 ? block->bytes : block->slot_bytes;
    uintptr_t end = block->start + bytes;
    kiln_out_address(out, report->address);
    kiln_out_put(out, " is located ");
    if (report->address < block->start) {
        put_bytes_count(out, block->start - report->address);
        kiln_out_put(out, " before ");
    } else if (report->address >= end) {
        put_bytes_count(out, report->address - end);
        kiln_out_put(out, " after ");
    } else {
        put_bytes_count(out, report->address - block->start);
        kiln_out_put(out, " inside of ");
    }
    kiln_out_number(out, bytes);
    kiln_out_put(out, "-byte region [");
    kiln_out_address(out, block->start);
    kiln_out_put(out, ",");
    kiln_out_address(out, end);
    kiln_out_put(out, ")\n");
}

/* What a sized or aligned free was told. */
static void put_claim(const kiln_report_t *report, kiln_out_t *out)
{
    bool is_sized = report->claimed_bytes > 0 || report->kind == KILN_REPORT_SIZE_MISMATCH;
    if (!is_sized && report->claimed_align == 0) return;
    kiln_out_put(out, "the block was freed as one");
    if (is_sized) {
        kiln_out_put(out, " of ");
        put_bytes_count(out, report->claimed_bytes);
    }
    if (report->claimed_align > 0) {
        kiln_out_put(out, " aligned to ");
        kiln_out_number(out, report->claimed_align);
    }
    kiln_out_put(out, "\n");
}

static void put_block(const kiln_report_t *report, kiln_out_t *out)
{
    const kiln_report_block_t *block = &report->block;
    if (!block->known) {
        if (kiln_report_words(report->kind)->shape == KILN_REPORT_REQUEST) return;
        kiln_out_address(out, report->address);
        kiln_out_put(out, report->kind == KILN_REPORT_FOREIGN_FREE ? " is not memory of this heap\n"
                          : report->kind == KILN_REPORT_CORRUPTION
                              ? " is where the record lies\n"
                              : " is in pages of the heap that no block uses now\n");
        return;
    }
    put_region(report, out);
    put_claim(report, out);
    if (!block->live) put_kept_stack(out, "freed", block->free_thread, block->free_stack);
    put_kept_stack(out, block->live ? "allocated" : "previously allocated", block->alloc_thread,
                   block->alloc_stack);
}

/* As LeakSanitizer has it, word for word: tools take these lines apart. */
static void put_lost(const kiln_lost_t *lost, kiln_out_t *out)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    unsigned count = kiln_stack_frames(lost->stack, frames);
    kiln_out_put(out, lost->direct ? "Direct leak of " : "Indirect leak of ");
    kiln_out_number(out, lost->bytes);
    kiln_out_put(out, " byte(s) in ");
    kiln_out_number(out, lost->blocks);
    kiln_out_put(out, " object(s) allocated from:\n");
    if (count > 0) {
        put_frames(out, frames, count, false, NULL);
        return;
    }
    kiln_out_put(out, "    (no stack was kept, which profile=fuzz does; one of them is at ");
    kiln_out_address(out, lost->first);
    kiln_out_put(out, ")\n\n");
}

static void put_all_lost(const kiln_report_t *report, kiln_out_t *out, kiln_out_t *summary)
{
    uint64_t blocks = 0, bytes = 0;
    kiln_out_put(out, "\n");
    for (size_t i = 0; i < report->lost_count; i++) {
        put_lost(&report->lost[i], out);
        blocks += report->lost[i].blocks;
        bytes += report->lost[i].bytes;
    }
    kiln_out_number(summary, bytes);
    kiln_out_put(summary, " byte(s) leaked in ");
    kiln_out_number(summary, blocks);
    kiln_out_put(summary, " allocation(s).");
}

void kiln_report_text_body(const kiln_report_t *report, kiln_out_t *out)
{
    static char summary_text[2048];
    kiln_out_t summary = {summary_text, sizeof summary_text, 0, -1};
    bool leaks = kiln_report_words(report->kind)->shape == KILN_REPORT_LOST;
    if (leaks) {
        put_all_lost(report, out, &summary);
    } else {
        put_frames(out, report->stack.pcs, report->stack.count, report->stack.exact, &summary);
        put_block(report, out);
    }
    if (report->note) {
        kiln_out_put(out, "NOTE: ");
        if (report->call && kiln_report_words(report->kind)->shape == KILN_REPORT_ACCESS) {
            kiln_out_put(out, report->call);
            kiln_out_put(out, ": ");
        }
        kiln_out_put(out, report->note);
        kiln_out_put(out, "\n");
    }
    if (report->has_seed) {
        kiln_out_put(out, "SEED: ");
        kiln_out_hex(out, report->seed);
        kiln_out_put(out, "\n");
    }
    if (report->has_input) {
        kiln_out_put(out, "INPUT: ");
        kiln_out_number(out, report->input);
        kiln_out_put(out, "\n");
    }
    if (report->replay) {
        kiln_out_put(out, "REPLAY: ");
        kiln_out_plain(out, report->replay);
        kiln_out_put(out, "\n");
    }
    kiln_out_put(out, "SUMMARY: ");
    kiln_out_put(out, tool(false));
    kiln_out_put(out, ": ");
    if (!leaks) {
        kiln_out_put(out, name(report));
        kiln_out_put(out, " ");
    }
    kiln_out_bytes(out, summary.text, summary.length);
    kiln_out_put(out, "\n");
    if (!report->halts) return;
    put_process(report, out);
    kiln_out_put(out, "ABORTING\n");
}
