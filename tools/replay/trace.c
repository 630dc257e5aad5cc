#include "tools/replay/trace.h"

#include "allocator/base/text.h"
#include "allocator/base/units.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static const char *const kind_names[] = {
    [KILN_TRACE_WIDTH] = "width",
    [KILN_TRACE_SET] = "set",
    [KILN_TRACE_ALLOC] = "alloc",
    [KILN_TRACE_GROW] = "grow",
    [KILN_TRACE_MALLOCINIT] = "mallocinit",
    [KILN_TRACE_RESERVE] = "reserve",
    [KILN_TRACE_MAP] = "map",
    [KILN_TRACE_SYSALLOC] = "sysalloc",
};
enum { KINDS = sizeof kind_names / sizeof *kind_names };

static const char *const key_names[KILN_TRACE_KEYS] = {
    [KILN_TRACE_PAGE] = "page",
    [KILN_TRACE_PHYS] = "phys",
    [KILN_TRACE_BLOCK] = "block",
    [KILN_TRACE_STRAND] = "strand",
    [KILN_TRACE_MAXMEM] = "maxmem",
    [KILN_TRACE_ARENA_START] = "arena_start",
    [KILN_TRACE_ARENA_USED] = "arena_used",
    [KILN_TRACE_ARENA_ALLOC] = "arena_alloc",
    [KILN_TRACE_ARENA_END] = "arena_end",
    [KILN_TRACE_RESERVED] = "reserved",
    [KILN_TRACE_RACE] = "race",
    [KILN_TRACE_INIT_MAP] = "init_map",
    [KILN_TRACE_FOLLOW] = "follow",
    [KILN_TRACE_TABLE_SET] = "tables",
};

const char *kiln_trace_kind_name(kiln_trace_kind_t kind)
{
    return kind_names[kind];
}

const char *kiln_trace_key_name(kiln_trace_key_t key)
{
    return key_names[key];
}

void kiln_trace_open(kiln_trace_t *trace, FILE *file)
{
    memset(trace, 0, offsetof(kiln_trace_t, read));
    trace->file = file;
}

void kiln_trace_break(kiln_trace_t *trace, uint64_t line, const char *format, ...)
{
    va_list arguments;
    if (trace->error_line != 0) return;
    trace->error_line = line != 0 ? line : 1;
    va_start(arguments, format);
    vsnprintf(trace->error, sizeof trace->error, format, arguments);
    va_end(arguments);
}

/* --- lines and words ------------------------------------------------------------------------- */

static bool refill(kiln_trace_t *trace)
{
    trace->read_at = 0;
    trace->read_end = fread(trace->read, 1, sizeof trace->read, trace->file);
    if (trace->read_end > 0) return true;
    if (ferror(trace->file)) kiln_trace_break(trace, trace->line + 1, "%s", strerror(errno));
    return false;
}

/* read_line reads a line into `text`, without its comment and with single blanks; false: there is
 * none. What is wrong with its characters is said in passing. */
static bool read_line(kiln_trace_t *trace)
{
    size_t length = 0;
    bool comment = false, any = false, cr = false;
    uint64_t line = trace->line + 1;

    /* What is wrong ends it at once: a file such as /dev/zero has no end of its own. */
    while (trace->error_line == 0) {
        if (trace->read_at == trace->read_end && !refill(trace)) break;
        char c = trace->read[trace->read_at++];
        any = true;
        if (c == '\n') break;
        if (c == '\0') kiln_trace_break(trace, line, "a NUL byte; a trace is text");
        if (c == '#') comment = true;
        if (comment) continue;
        if (cr) kiln_trace_break(trace, line, "a carriage return that does not end the line");
        cr = c == '\r';
        if (cr) continue;
        if (c == '\t') c = ' ';
        if (c == ' ' && (length == 0 || trace->text[length - 1] == ' ')) continue;
        if (length == KILN_TRACE_LINE_MAX) {
            kiln_trace_break(trace, line, "more than %d characters in a directive",
                             KILN_TRACE_LINE_MAX);
            length--;
        }
        trace->text[length++] = c;
    }
    trace->text[length] = '\0';
    if (any) trace->line = line;
    return any && trace->error_line == 0;
}

static void cut_words(kiln_trace_t *trace)
{
    char *at = trace->text;
    trace->words_count = 0;
    while (*at && trace->words_count <= KILN_TRACE_WORDS_MAX) {
        trace->words[trace->words_count++] = at;
        while (*at && *at != ' ') at++;
        if (*at) *at++ = '\0';
    }
}

/* A word for a message: short, and only characters that a terminal shows. */
typedef struct quoted {
    char text[44];
} quoted_t;

static quoted_t quote(const char *word)
{
    quoted_t quoted;
    size_t length = 0;
    for (; word[length] && length < 40; length++)
        quoted.text[length] = word[length] > ' ' && word[length] < 0x7f ? word[length] : '?';
    for (unsigned dots = 0; word[length] && dots < 3; dots++) quoted.text[length + dots] = '.';
    quoted.text[word[length] ? length + 3 : length] = '\0';
    return quoted;
}

#define BREAK(trace, ...) kiln_trace_break((trace), (trace)->line, __VA_ARGS__)

/* --- numbers --------------------------------------------------------------------------------- */

/* read_number reads a number as C writes it; NULL, or what is wrong with the word. */
static const char *read_number(const char *word, uint64_t *out)
{
    const char *at = word;
    unsigned base = 10;

    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X')) {
        base = 16;
        at += 2;
    } else if (at[0] == '0' && at[1]) {
        base = 8;
        at++;
    }
    if (!*at) return "is not a number";
    for (*out = 0; *at; at++) {
        unsigned digit = kiln_text_digit(*at);
        if (digit >= base) return "is not a number";
        if (!kiln_text_append(out, base, digit)) return "does not fit 64 bits";
    }
    return NULL;
}

static uint64_t number(kiln_trace_t *trace, const char *word)
{
    uint64_t read = 0;
    const char *wrong = read_number(word, &read);
    if (wrong) {
        BREAK(trace, "`%s` %s", quote(word).text, wrong);
        return 0;
    }
    if (trace->addr_bits != 0 && read > kiln_width_mask(trace->addr_bits))
        BREAK(trace, "`%s` does not fit the width of %u bits", quote(word).text, trace->addr_bits);
    return read;
}

/* --- directives ------------------------------------------------------------------------------ */

static bool is(const char *word, const char *name)
{
    return strcmp(word, name) == 0;
}

/* count_is says whether the line has from `min` to `max` words, of the form `form`. */
static bool count_is(kiln_trace_t *trace, unsigned min, unsigned max, const char *form)
{
    if (trace->words_count > max)
        BREAK(trace, "`%s` is too much: %s", quote(trace->words[max]).text, form);
    if (trace->words_count < min) BREAK(trace, "something is missing: %s", form);
    return trace->error_line == 0;
}

static void parse_width(kiln_trace_t *trace, kiln_trace_directive_t *out)
{
    if (!count_is(trace, 2, 2, "width 32|64")) return;
    if (trace->width_line != 0) {
        BREAK(trace, "a second width; the first is in line %llu",
              (unsigned long long)trace->width_line);
        return;
    }
    out->number = number(trace, trace->words[1]);
    if (out->number != 32 && out->number != 64)
        BREAK(trace, "`%s` is no width: 32 or 64", quote(trace->words[1]).text);
    trace->addr_bits = (unsigned)out->number;
    trace->width_line = trace->line;
}

static uint64_t parse_follow(kiln_trace_t *trace, const char *word)
{
    for (int follow = KILN_FOLLOW_SEED; follow <= KILN_FOLLOW_KILN; follow++)
        if (is(word, kiln_follow_name((kiln_follow_t)follow))) return (uint64_t)follow;
    BREAK(trace, "`%s` cannot be followed: seed, go19 or kiln", quote(word).text);
    return 0;
}

static uint64_t parse_tables(kiln_trace_t *trace, const char *word)
{
    if (is(word, "spans")) return 1u << KILN_ARENA_SPANS;
    if (is(word, "bits+spans")) return 1u << KILN_ARENA_BITS | 1u << KILN_ARENA_SPANS;
    BREAK(trace, "`%s` are no tables: spans or bits+spans", quote(word).text);
    return 0;
}

static void parse_set(kiln_trace_t *trace, kiln_trace_directive_t *out)
{
    if (!count_is(trace, 3, 3, "set KEY VALUE")) return;
    if (trace->stepped) {
        BREAK(trace, "set comes before the first step and its answers");
        return;
    }
    unsigned key = 0;
    while (key < KILN_TRACE_KEYS && !is(trace->words[1], key_names[key])) key++;
    if (key == KILN_TRACE_KEYS) {
        BREAK(trace, "`%s` cannot be set", quote(trace->words[1]).text);
        return;
    }
    if (trace->key_lines[key] != 0) {
        BREAK(trace, "%s is set already, in line %llu", key_names[key],
              (unsigned long long)trace->key_lines[key]);
        return;
    }
    trace->key_lines[key] = trace->line;
    out->key = (kiln_trace_key_t)key;
    if (key == KILN_TRACE_FOLLOW)
        out->number = parse_follow(trace, trace->words[2]);
    else if (key == KILN_TRACE_TABLE_SET)
        out->number = parse_tables(trace, trace->words[2]);
    else
        out->number = number(trace, trace->words[2]);
    bool flag = key == KILN_TRACE_RESERVED || key == KILN_TRACE_RACE || key == KILN_TRACE_INIT_MAP;
    if (flag && out->number > 1)
        BREAK(trace, "%s is 0 or 1, not `%s`", key_names[key], quote(trace->words[2]).text);
}

static void parse_request(kiln_trace_t *trace, kiln_trace_directive_t *out)
{
    if (!count_is(trace, 2, 2, out->kind == KILN_TRACE_GROW ? "grow NPAGES" : "alloc N")) return;
    out->number = number(trace, trace->words[1]);
}

static kiln_arena_arch_t parse_arch(kiln_trace_t *trace, const char *word)
{
    static const char *const names[] = {[KILN_ARENA_AMD64] = "amd64",
                                        [KILN_ARENA_ARM64] = "arm64",
                                        [KILN_ARENA_DARWIN_ARM64] = "darwin-arm64"};
    for (unsigned arch = 0; arch < sizeof names / sizeof *names; arch++)
        if (is(word, names[arch])) return (kiln_arena_arch_t)arch;
    BREAK(trace, "`%s` is no arch: amd64, arm64 or darwin-arm64", quote(word).text);
    return KILN_ARENA_AMD64;
}

static void parse_mallocinit(kiln_trace_t *trace, kiln_trace_directive_t *out)
{
    static const char *const form =
        "mallocinit [end=ADDR] [brk=ADDR] [arch=amd64|arm64|darwin-arm64]";
    if (!count_is(trace, 1, 4, form)) return;
    if (trace->steps != 0) {
        BREAK(trace, "mallocinit can only be the first step");
        return;
    }
    for (unsigned i = 1; i < trace->words_count; i++) {
        const char *word = trace->words[i];
        unsigned which = 0;
        if (strncmp(word, "arch=", 5) == 0) {
            which = KILN_TRACE_HAS_ARCH;
            out->arch = parse_arch(trace, word + 5);
        } else if (strncmp(word, "brk=", 4) == 0) {
            which = KILN_TRACE_HAS_BRK;
            out->brk = number(trace, word + 4);
        } else if (strncmp(word, "end=", 4) == 0) {
            which = KILN_TRACE_HAS_END;
            out->end = number(trace, word + 4);
        } else {
            BREAK(trace, "`%s` is too much: %s", quote(word).text, form);
        }
        if (out->has & which) BREAK(trace, "`%s` comes twice", quote(word).text);
        out->has |= which;
    }
}

/* An address that the OS answers, or `fail`. */
static uint64_t parse_address(kiln_trace_t *trace, const char *word)
{
    if (is(word, "fail")) return 0;
    uint64_t addr = number(trace, word);
    if (addr == 0) BREAK(trace, "0 is no address; a refusal is written: fail");
    return addr;
}

static void parse_answer(kiln_trace_t *trace, kiln_trace_directive_t *out)
{
    static const char *const forms[] = {
        [KILN_TRACE_RESERVE] = "reserve[*K] -> ADDR [unreserved] | fail",
        [KILN_TRACE_MAP] = "map [heap|bits|spans] -> ok | fail | elsewhere",
        [KILN_TRACE_SYSALLOC] = "sysalloc -> ADDR | fail",
    };
    static const char *const uses[] = {
        [KILN_OS_HEAP] = "heap", [KILN_OS_BITS] = "bits", [KILN_OS_SPANS] = "spans"};
    static const char *const answers[] = {
        [KILN_OS_OK] = "ok", [KILN_OS_FAIL] = "fail", [KILN_OS_ELSEWHERE] = "elsewhere"};
    const char *form = forms[out->kind];
    unsigned at = 1;

    if (!count_is(trace, 3, out->kind == KILN_TRACE_SYSALLOC ? 3 : 4, form)) return;
    if (out->kind == KILN_TRACE_MAP) {
        for (unsigned use = 0; use < 3; use++)
            if (is(trace->words[1], uses[use])) {
                out->use = (kiln_os_use_t)use;
                at = 2;
            }
        out->any_use = at == 1;
    }
    if (!is(trace->words[at], "->")) {
        BREAK(trace, "`%s` stands where -> belongs: %s", quote(trace->words[at]).text, form);
        return;
    }
    if (out->kind == KILN_TRACE_MAP && !count_is(trace, at + 2, at + 2, form)) return;
    const char *word = trace->words[at + 1];
    if (out->kind == KILN_TRACE_MAP) {
        unsigned answer = 0;
        while (answer < 3 && !is(word, answers[answer])) answer++;
        if (answer < 3)
            out->answer = (kiln_os_answer_t)answer;
        else
            BREAK(trace, "`%s` is no answer: %s", quote(word).text, form);
        return;
    }
    out->number = parse_address(trace, word);
    if (trace->words_count == 4) {
        out->unreserved = is(trace->words[3], "unreserved") && !is(word, "fail");
        if (!out->unreserved)
            BREAK(trace, "`%s` is too much: %s", quote(trace->words[3]).text, form);
    }
}

/* parse_repeat takes the *K off the first word. */
static void parse_repeat(kiln_trace_t *trace, kiln_trace_directive_t *out)
{
    char *star = strchr(trace->words[0], '*');
    out->times = 1;
    if (!star) return;
    *star = '\0';
    if (!is(trace->words[0], "reserve")) {
        BREAK(trace, "only reserve can be repeated, not `%s`", quote(trace->words[0]).text);
        return;
    }
    out->times = number(trace, star + 1);
    if (out->times == 0) BREAK(trace, "an answer is repeated at least once");
}

static void parse_line(kiln_trace_t *trace, kiln_trace_directive_t *out)
{
    unsigned kind = 0;

    *out = (kiln_trace_directive_t){.line = trace->line};
    parse_repeat(trace, out);
    while (kind < KINDS && !is(trace->words[0], kind_names[kind])) kind++;
    if (kind == KINDS) {
        BREAK(trace, "`%s` is no directive", quote(trace->words[0]).text);
        return;
    }
    out->kind = (kiln_trace_kind_t)kind;
    if (kind != KILN_TRACE_WIDTH && trace->addr_bits == 0) {
        BREAK(trace, "a trace begins with its width: width 32|64");
        return;
    }
    switch (out->kind) {
    case KILN_TRACE_WIDTH:
        parse_width(trace, out);
        return;
    case KILN_TRACE_SET:
        parse_set(trace, out);
        return;
    case KILN_TRACE_ALLOC:
    case KILN_TRACE_GROW:
        parse_request(trace, out);
        break;
    case KILN_TRACE_MALLOCINIT:
        parse_mallocinit(trace, out);
        break;
    case KILN_TRACE_RESERVE:
    case KILN_TRACE_MAP:
    case KILN_TRACE_SYSALLOC:
        parse_answer(trace, out);
        break;
    }
    trace->stepped = true;
    if (!kiln_trace_is_answer(out->kind)) trace->steps++;
}

kiln_trace_status_t kiln_trace_next(kiln_trace_t *trace, kiln_trace_directive_t *out)
{
    while (trace->error_line == 0 && read_line(trace)) {
        cut_words(trace);
        if (trace->words_count == 0) continue;
        parse_line(trace, out);
        return trace->error_line == 0 ? KILN_TRACE_DIRECTIVE : KILN_TRACE_BROKEN;
    }
    if (trace->error_line == 0 && trace->addr_bits == 0)
        kiln_trace_break(trace, trace->line, "a trace begins with its width: width 32|64");
    return trace->error_line == 0 ? KILN_TRACE_END : KILN_TRACE_BROKEN;
}
