/* report_judge.c - a checker of texts, and a strict reader of JSON (report_judge.h). */
#include "fuzz/report_judge.h"

#include <stdio.h>
#include <string.h>

enum { RULER_LETTERS = 65, DEPTH_MAX = 6 };

/* A text that is being read. */
typedef struct reader {
    const char *at, *end;
} reader_t;

static bool take(reader_t *r, const char *words)
{
    size_t bytes = strlen(words);
    if ((size_t)(r->end - r->at) < bytes || memcmp(r->at, words, bytes) != 0) return false;
    r->at += bytes;
    return true;
}

static int next(const reader_t *r)
{
    return r->at < r->end ? (unsigned char)*r->at : -1;
}

/* --- text ------------------------------------------------------------------------------------- */

static const char *tool_of(const kiln_report_t *report, bool is_summary)
{
    bool leaks = kiln_report_words(report->kind)->shape == KILN_REPORT_LOST;
    if (!kiln_report_options.as_asan) return "Kiln";
    return leaks && !is_summary ? "LeakSanitizer" : "AddressSanitizer";
}

static const char *take_head(reader_t *r, const kiln_report_t *report)
{
    char line[128];
    for (unsigned i = 0; i < RULER_LETTERS; i++)
        if (!take(r, "=")) return "a text begins with a ruler";
    snprintf(line, sizeof line, "\n==%llu==ERROR: %s: ", (unsigned long long)report->pid,
             tool_of(report, false));
    if (!take(r, line)) return "a text says which process and which tool";
    return next(r) > ' ' ? NULL : "a text says what happened";
}

const char *kiln_judge_head(const char *text, size_t bytes, const kiln_report_t *report)
{
    reader_t r = {text, text + bytes};
    return take_head(&r, report);
}

/* "    #12 0x": the number, or -1. */
static long frame_number(const char *line, const char *end)
{
    reader_t r = {line, end};
    long number = 0;
    if (!take(&r, "    #") || next(&r) < '0' || next(&r) > '9') return -1;
    while (next(&r) >= '0' && next(&r) <= '9' && number < 100000)
        number = number * 10 + (*r.at++ - '0');
    return take(&r, " 0x") ? number : -1;
}

const char *kiln_judge_text(const char *text, size_t bytes, const kiln_report_t *report)
{
    char summary[64], last[64];
    reader_t r = {text, text + bytes};
    const char *wrong = take_head(&r, report), *summary_at = NULL;
    long frame = -1;
    if (wrong) return wrong;
    snprintf(summary, sizeof summary, "SUMMARY: %s: ", tool_of(report, true));
    snprintf(last, sizeof last, "==%llu==ABORTING\n", (unsigned long long)report->pid);
    while (r.at < r.end) {
        const char *line = r.at, *line_end = memchr(line, '\n', (size_t)(r.end - line));
        if (!line_end) return "a text ends with its line";
        for (const char *at = line; at < line_end; at++)
            if ((unsigned char)*at < ' ' || *at == 0x7f) return "a text has no control bytes";
        r.at = line_end + 1;
        long number = frame_number(line, line_end);
        if (number > 0 && number != frame + 1) return "frames are counted";
        if (number >= KILN_JUDGE_FRAMES_MAX) return "a stack ends";
        frame = number;
        reader_t words = {line, line_end};
        if (!take(&words, summary)) continue;
        if (summary_at) return "a text has one summary";
        summary_at = r.at;
    }
    if (!summary_at) return "a text has a summary";
    size_t behind = (size_t)(r.end - summary_at), wanted = report->halts ? strlen(last) : 0;
    bool ends = behind == wanted && memcmp(summary_at, last, wanted) == 0;
    return ends ? NULL : "a text ends with its summary, and how it goes on";
}

/* --- JSON ------------------------------------------------------------------------------------- */

static const char *const top_members[] = {
    "schema", "version",       "kind",          "asan_kind", "message", "pid",   "thread", "call",
    "access", "access_bytes",  "address",       "pc",        "bp",      "sp",    "stack",  "block",
    "leaks",  "claimed_bytes", "claimed_align", "note",      "seed",    "input", "replay", "halts",
    NULL};
static const char *const block_members[] = {
    "state",       "start",       "bytes",      "slot_bytes", "offset", "alloc_thread",
    "alloc_stack", "free_thread", "free_stack", "from",       NULL};
static const char *const leak_members[] = {"direct",       "blocks",      "bytes", "first",
                                           "alloc_thread", "alloc_stack", NULL};
static const char *const frame_members[] = {"pc",   "module", "offset",  "function", "file",
                                            "line", "column", "inlined", NULL};

/* What an object that is the value of this member, or in its array, has. */
static const char *const *members_of(const char *name)
{
    if (strcmp(name, "block") == 0) return block_members;
    if (strcmp(name, "leaks") == 0) return leak_members;
    return strstr(name, "stack") ? frame_members : NULL;
}

static const char *read_value(reader_t *r, const char *name, unsigned depth);

static bool is_hex(int byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
           (byte >= 'A' && byte <= 'F');
}

static const char *read_escape(reader_t *r)
{
    if (!take(r, "u")) {
        if (next(r) < 0 || !strchr("\"\\/bfnrt", next(r))) return "an escape is one of JSON's";
        r->at++;
        return NULL;
    }
    for (unsigned i = 0; i < 4; i++, r->at++)
        if (!is_hex(next(r))) return "\\u is followed by four digits";
    return NULL;
}

/* A character of more bytes than one, by its number: as short as it can be, no half of a pair. */
static const char *read_utf8(reader_t *r)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned first = (unsigned)next(r);
    unsigned bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    uint32_t number = first & (0xffu >> (bytes + 1));
    if (first < 0xc0 || first > 0xf7) return "a string is UTF-8";
    r->at++;
    for (unsigned i = 1; i < bytes; i++, r->at++) {
        if (next(r) < 0 || (next(r) & 0xc0) != 0x80) return "a string is UTF-8";
        number = number << 6 | ((unsigned)next(r) & 0x3f);
    }
    bool is_one = number >= least[bytes] && number <= 0x10ffff && !(number >> 11 == 0x1b);
    return is_one ? NULL : "a string is UTF-8";
}

static const char *read_string(reader_t *r)
{
    const char *wrong = NULL;
    if (!take(r, "\"")) return "a string begins with a quote";
    while (!wrong && next(r) != '"') {
        if (next(r) < ' ') return "a string has no control bytes, and ends";
        if (take(r, "\\"))
            wrong = read_escape(r);
        else if (next(r) >= 0x80)
            wrong = read_utf8(r);
        else
            r->at++;
    }
    r->at += wrong == NULL;
    return wrong;
}

static const char *read_number(reader_t *r)
{
    (void)take(r, "-");
    if (next(r) < '0' || next(r) > '9') return "a number has digits";
    bool is_zero = take(r, "0");
    if (is_zero && next(r) >= '0' && next(r) <= '9') return "a number begins with no 0";
    while (next(r) >= '0' && next(r) <= '9') r->at++;
    return NULL;
}

static const char *read_object(reader_t *r, const char *const *members, unsigned depth)
{
    char name[40];
    if (!members) return "an object is where one can be";
    for (const char *const *member = members; *member; member++) {
        snprintf(name, sizeof name, "%c\"%s\":", member == members ? '{' : ',', *member);
        if (!take(r, name)) return "an object has its members, in order";
        const char *wrong = read_value(r, *member, depth + 1);
        if (wrong) return wrong;
    }
    return take(r, "}") ? NULL : "an object has no other members";
}

static const char *read_array(reader_t *r, const char *name, unsigned depth)
{
    if (take(r, "[]")) return NULL;
    while (take(r, "[") || take(r, ",")) {
        const char *wrong = read_value(r, name, depth + 1);
        if (wrong) return wrong;
        if (take(r, "]")) return NULL;
        if (next(r) != ',') break;
    }
    return "an array has commas and an end";
}

static const char *read_value(reader_t *r, const char *name, unsigned depth)
{
    if (depth > DEPTH_MAX) return "no value lies that deep";
    if (take(r, "null") || take(r, "true") || take(r, "false")) return NULL;
    if (next(r) == '"') return read_string(r);
    if (next(r) == '{') return read_object(r, members_of(name), depth);
    if (next(r) == '[') return read_array(r, name, depth);
    return read_number(r);
}

const char *kiln_judge_json(const char *text, size_t bytes)
{
    reader_t r = {text, text + bytes};
    const char *wrong = read_object(&r, top_members, 0);
    if (wrong) return wrong;
    return take(&r, "\n") && r.at == r.end ? NULL : "JSON is one line";
}
