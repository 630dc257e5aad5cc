#include "allocator/api/report_json.h"

#include "allocator/api/frame.h"

/* A member begins with its name; the first one of an object is not preceded by a comma. */
static void put_name(kiln_out_t *out, const char *name)
{
    kiln_out_put(out, ",\"");
    kiln_out_put(out, name);
    kiln_out_put(out, "\":");
}

static void put_words(kiln_out_t *out, const char *name, const char *words)
{
    put_name(out, name);
    if (words)
        kiln_out_json(out, words);
    else
        kiln_out_put(out, "null");
}

static void put_number(kiln_out_t *out, const char *name, bool known, uint64_t number)
{
    put_name(out, name);
    if (known)
        kiln_out_number(out, number);
    else
        kiln_out_put(out, "null");
}

static void put_hex(kiln_out_t *out, const char *name, bool known, uint64_t number)
{
    put_name(out, name);
    if (!known) {
        kiln_out_put(out, "null");
        return;
    }
    kiln_out_put(out, "\"");
    kiln_out_hex(out, number);
    kiln_out_put(out, "\"");
}

static void put_truth(kiln_out_t *out, const char *name, bool is_so)
{
    put_name(out, name);
    kiln_out_put(out, is_so ? "true" : "false");
}

static const char *or_null(const char *words)
{
    return words[0] == '\0' ? NULL : words;
}

static void put_frame(kiln_out_t *out, const kiln_frame_t *frame)
{
    bool has_line = frame->symbol.file[0] != '\0' && frame->symbol.line != 0;
    put_words(out, "module", frame->has_module ? or_null(frame->module.path) : NULL);
    put_hex(out, "offset", frame->has_module, frame->offset);
    put_words(out, "function", or_null(frame->symbol.function));
    put_words(out, "file", or_null(frame->symbol.file));
    put_number(out, "line", has_line, frame->symbol.line);
    put_number(out, "column", has_line && frame->symbol.column != 0, frame->symbol.column);
}

static void put_frames(kiln_out_t *out, const char *name, const uintptr_t *pcs, unsigned count,
                       bool exact)
{
    static kiln_frame_t frame, inner; /* one report at a time */
    put_name(out, name);
    if (count == 0) {
        kiln_out_put(out, "null");
        return;
    }
    kiln_out_put(out, "[");
    for (unsigned i = 0; i < count; i++) {
        kiln_frame_look(&frame, pcs[i] - (i == 0 && exact ? 0 : 1));
        bool more = kiln_frame_next(&frame);
        for (bool is_first = i == 0; more; is_first = false) {
            inner = frame;
            more = kiln_frame_next(&frame);
            kiln_out_put(out, is_first ? "{\"pc\":\"" : ",{\"pc\":\"");
            kiln_out_hex(out, inner.pc);
            kiln_out_put(out, "\"");
            put_frame(out, &inner);
            put_truth(out, "inlined", more);
            kiln_out_put(out, "}");
        }
    }
    kiln_out_put(out, "]");
}

static void put_kept_stack(kiln_out_t *out, const char *name, kiln_stack_id_t id)
{
    uintptr_t frames[KILN_STACK_FRAMES_MAX];
    unsigned count = kiln_stack_frames(id, frames);
    put_frames(out, name, frames, count, false);
}

static void put_thread(kiln_out_t *out, const char *name, uint32_t thread)
{
    put_number(out, name, thread != KILN_THREAD_UNKNOWN, thread);
}

static void put_block(const kiln_report_t *report, kiln_out_t *out)
{
    const kiln_report_block_t *block = &report->block;
    put_name(out, "block");
    if (!block->known) {
        kiln_out_put(out, "null");
        return;
    }
    kiln_out_put(out, block->live ? "{\"state\":\"live\"" : "{\"state\":\"freed\"");
    put_hex(out, "start", true, block->start);
    put_number(out, "bytes", block->bytes > 0, block->bytes);
    put_number(out, "slot_bytes", block->slot_bytes > 0, block->slot_bytes);
    put_name(out, "offset");
    if (report->address < block->start) kiln_out_put(out, "-");
    kiln_out_number(out, report->address < block->start ? block->start - report->address
                                                        : report->address - block->start);
    put_thread(out, "alloc_thread", block->alloc_thread);
    put_kept_stack(out, "alloc_stack", block->alloc_stack);
    put_thread(out, "free_thread", block->live ? KILN_THREAD_UNKNOWN : block->free_thread);
    put_kept_stack(out, "free_stack", block->live ? 0 : block->free_stack);
    put_words(out, "from", block->from);
    kiln_out_put(out, "}");
}

static void put_leaks(const kiln_report_t *report, kiln_out_t *out)
{
    put_name(out, "leaks");
    if (!report->lost) {
        kiln_out_put(out, "null");
        return;
    }
    kiln_out_put(out, "[");
    for (size_t i = 0; i < report->lost_count; i++) {
        const kiln_lost_t *lost = &report->lost[i];
        kiln_out_put(out, i == 0 ? "{\"direct\":" : ",{\"direct\":");
        kiln_out_put(out, lost->direct ? "true" : "false");
        put_number(out, "blocks", true, lost->blocks);
        put_number(out, "bytes", true, lost->bytes);
        put_hex(out, "first", true, lost->first);
        put_thread(out, "alloc_thread", lost->stack != 0 ? lost->thread : KILN_THREAD_UNKNOWN);
        put_kept_stack(out, "alloc_stack", lost->stack);
        kiln_out_put(out, "}");
    }
    kiln_out_put(out, "]");
}

static const char *access_word(kiln_access_t access)
{
    if (access == KILN_ACCESS_NONE) return NULL;
    return access == KILN_ACCESS_READ ? "read" : "write";
}

void kiln_report_json(const kiln_report_t *report, kiln_out_t *out)
{
    const kiln_report_words_t *words = kiln_report_words(report->kind);
    static char message[512];
    kiln_out_t sentence = {message, sizeof message - 1, 0, -1};
    kiln_out_put(&sentence, report->call ? report->call : "the program");
    kiln_out_put(&sentence, words->remedy);
    message[sentence.length] = '\0';

    kiln_out_put(out, "{\"schema\":\"kiln-report\"");
    put_number(out, "version", true, KILN_REPORT_JSON_VERSION);
    put_words(out, "kind", words->name);
    put_words(out, "asan_kind", words->asan_name);
    put_words(out, "message", message);
    put_number(out, "pid", true, report->pid);
    put_thread(out, "thread", report->thread);
    put_words(out, "call", report->call);
    put_words(out, "access", access_word(report->access));
    put_number(out, "access_bytes", report->access_bytes > 0, report->access_bytes);
    put_hex(out, "address", true, report->address);
    put_hex(out, "pc", true, report->stack.pcs[0]);
    put_hex(out, "bp", report->stack.bp != 0, report->stack.bp);
    put_hex(out, "sp", report->stack.sp != 0, report->stack.sp);
    put_frames(out, "stack", report->stack.pcs, report->stack.count, report->stack.exact);
    put_block(report, out);
    put_leaks(report, out);
    put_number(out, "claimed_bytes", report->claimed_bytes > 0, report->claimed_bytes);
    put_number(out, "claimed_align", report->claimed_align > 0, report->claimed_align);
    put_words(out, "note", report->note);
    put_hex(out, "seed", report->has_seed, report->seed);
    put_number(out, "input", report->has_input, report->input);
    put_words(out, "replay", report->replay);
    put_truth(out, "halts", report->halts);
    kiln_out_put(out, "}\n");
}
