#define _GNU_SOURCE
#include "allocator/api/options.h"

#include "allocator/api/kiln.h"
#include "allocator/base/text.h"

#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Weak: a program need not have one. */
extern const char *kiln_default_options(void) __attribute__((weak, visibility("default")));

typedef enum option_kind {
    OPTION_SWITCH, /* bool: 0 or 1 */
    OPTION_NUMBER, /* uint64_t, at most `max` */
    OPTION_PATH,   /* an array of KILN_OPTIONS_PATH_MAX_BYTES */
    OPTION_WORD,   /* uint64_t, one of `words` */
} option_kind_t;

typedef struct choice {
    const char *word;
    uint64_t value;
} choice_t;

static const choice_t form_words[] = {
    {"text", KILN_REPORT_TEXT},
    {"json", KILN_REPORT_JSON},
    {"both", KILN_REPORT_TEXT | KILN_REPORT_JSON},
    {NULL, 0},
};

static const choice_t profile_words[] = {
    {"hardened", KILN_PROFILE_HARDENED},
    {"fast", KILN_PROFILE_FAST},
    {"fuzz", KILN_PROFILE_FUZZ},
    {NULL, 0},
};

static const choice_t guard_words[] = {
    {"none", KILN_GUARDED_NONE},
    {"some", KILN_GUARDED_SOME},
    {"all", KILN_GUARDED_ALL},
    {"low", KILN_GUARDED_LOW},
    {NULL, 0},
};

static const choice_t tool_words[] = {{"Kiln", 0}, {"AddressSanitizer", 1}, {NULL, 0}};

/* In the order of the alphabet. `given` is a bool that says that the option was set, or 0. */
static const struct option {
    const char *name;
    option_kind_t kind;
    size_t offset; /* in kiln_options_t */
    size_t given;
    uint64_t max;
    const choice_t *words;
    const char *value, *normal, *help;
} known_options[] = {
#define AT(member) offsetof(kiln_options_t, member)
    {"abort_on_error", OPTION_SWITCH, AT(report.abort_on_error), AT(has_abort_on_error), 1, NULL,
     "0|1", "1", "a report ends the process by SIGABRT; else by exitcode"},
    {"alloc_dealloc_mismatch", OPTION_SWITCH, AT(alloc_dealloc_mismatch),
     AT(has_alloc_dealloc_mismatch), 1, NULL, "0|1", "1 with profile=fuzz, else 0",
     "a hardened heap reports malloc paired with delete, new with free, new with delete[]"},
    {"allocator_may_return_null", OPTION_SWITCH, AT(report.may_return_null), 0, 1, NULL, "0|1", "1",
     "malloc answers NULL where there is no memory, or the size is absurd; else a report"},
    {"check_at_exit", OPTION_SWITCH, AT(check_at_exit), AT(has_check_at_exit), 1, NULL, "0|1",
     "1 with profile=fuzz, else 0",
     "a hardened heap looks at all of its blocks when the program ends"},
    {"checkpoints", OPTION_SWITCH, AT(checkpoints), 0, 1, NULL, "0|1", "0",
     "the program may put its heap back: kiln_checkpoint, kiln_restore; without huge pages, and "
     "not "
     "together with record"},
    {"dedup_token_length", OPTION_NUMBER, AT(report.dedup_token_length), 0, 64, NULL, "N", "0",
     "each stack is followed by a line DEDUP_TOKEN of N functions"},
    {"detect_leaks", OPTION_SWITCH, AT(detect_leaks), 0, 1, NULL, "0|1", "0",
     "looks for blocks that the program has lost, when it ends; profile=fuzz tells where they came "
     "from"},
    {"exitcode", OPTION_NUMBER, AT(report.exitcode), AT(has_exitcode), 255, NULL, "N", "1",
     "a report ends the process with this exit code, unless abort_on_error=1 is set as well"},
    {"external_symbolizer_path", OPTION_PATH, AT(report.symbolizer), 0, 0, NULL, "FILE", "",
     "the program that names functions; without it, llvm-symbolizer from PATH"},
    {"guard", OPTION_WORD, AT(guard), AT(has_guard), 0, guard_words, "none|some|all|low",
     "some, with profile=fast none",
     "blocks that end at a page that faults, so that a read or write beyond them, or after they "
     "were freed, is seen at once; low: that begin at one"},
    {"guard_every", OPTION_NUMBER, AT(guard_every), AT(has_guard_every), UINT32_MAX, NULL, "N",
     "5000, with profile=fuzz 10",
     "guard=some takes one block in N, later more seldom; with profile=fuzz other ones under "
     "another seed"},
    {"halt_on_error", OPTION_SWITCH, AT(report.halt_on_error), 0, 1, NULL, "0|1", "1",
     "a report ends the process; else the program goes on where it can"},
    {"handle_segv", OPTION_SWITCH, AT(report.handle_segv), AT(has_handle_segv), 1, NULL, "0|1",
     "1; with profile=fast 0; in a static program once it handles a signal, or names a profile or "
     "guard",
     "SIGSEGV at an address of the heap becomes a report"},
    {"handle_sigbus", OPTION_SWITCH, AT(report.handle_sigbus), AT(has_handle_sigbus), 1, NULL,
     "0|1", "as handle_segv", "the same for SIGBUS"},
    {"help", OPTION_SWITCH, AT(help), 0, 1, NULL, "0|1", "0", "lists the options"},
    {"huge_pages", OPTION_SWITCH, AT(huge_pages), AT(has_huge_pages), 1, NULL, "0|1", "1",
     "once it holds 64 MiB, the heap asks for huge pages for blocks of up to 4 KiB"},
    {"idle_bytes", OPTION_NUMBER, AT(idle_bytes), AT(has_idle_bytes), UINT64_MAX, NULL, "N",
     "as the machine has",
     "lets at most N bytes of free memory wait to be used again; more go "
     "back to the system"},
    {"log_path", OPTION_PATH, AT(report.log_path), 0, 0, NULL, "FILE", "stderr",
     "reports go to FILE.PID, and JSON to FILE.PID.json; stdout and stderr are those"},
    {"malloc_context_size", OPTION_NUMBER, AT(report.malloc_context_size), 0, 64, NULL, "N", "16",
     "frames kept of where a block was allocated and freed"},
    {"profile", OPTION_WORD, AT(profile), AT(has_profile), 0, profile_words, "hardened|fast|fuzz",
     "hardened",
     "what the heap sees: wrong frees, damaged and freed blocks; only wrong frees; all, "
     "repeatable, with stacks"},
    {"quarantine_blocks", OPTION_NUMBER, AT(quarantine_blocks), AT(has_quarantine_blocks), 1024,
     NULL, "N", "32, with profile=fuzz 1024",
     "freed blocks of a size that a thread keeps from being used again, at most"},
    {"quarantine_bytes", OPTION_NUMBER, AT(quarantine_bytes), AT(has_quarantine_bytes), UINT32_MAX,
     NULL, "N", "8192, with profile=fuzz 32768", "the same in bytes; 0 keeps none"},
    {"record", OPTION_PATH, AT(record), 0, 0, NULL, "FILE", "",
     "writes what the OS answers the heap into FILE, for `kiln replay`; an existing FILE is left "
     "alone and nothing is recorded"},
    {"report", OPTION_WORD, AT(report.forms), 0, 0, form_words, "text|json|both", "text",
     "how a report is written; JSON is one object on one line"},
    {"report_as", OPTION_WORD, AT(report.as_asan), 0, 0, tool_words, "Kiln|AddressSanitizer",
     "Kiln", "the name that tools look for in the text, and whose words it uses for kinds"},
    {"seed", OPTION_NUMBER, AT(seed), AT(has_seed), UINT64_MAX, NULL, "N",
     "drawn, with profile=fuzz 0", "decides where blocks of a hardened heap lie"},
    {"stats", OPTION_SWITCH, AT(stats), 0, 1, NULL, "0|1", "0",
     "prints the heap's figures when the program ends"},
    {"symbolize", OPTION_SWITCH, AT(report.symbolize), 0, 1, NULL, "0|1", "1",
     "functions and lines in reports, from llvm-symbolizer; else module and offset"},
#undef AT
};

enum {
    KNOWN_OPTIONS = sizeof known_options / sizeof *known_options,
    NAME_MAX_BYTES = 32,    /* longer than any name */
    QUOTED_MAX_BYTES = 256, /* of what was given, in a message */
};

/* A piece of the list: not NUL-terminated. */
typedef struct word {
    const char *bytes;
    size_t count;
} word_t;

static bool word_is(word_t word, const char *name)
{
    return strlen(name) == word.count && memcmp(word.bytes, name, word.count) == 0;
}

/* A message is one line, and has room for what follows: control bytes are written \xNN, and of a
 * long word its beginning. */
static void put_quoted(kiln_message_t *message, word_t word)
{
    kiln_message_put(message, "\"");
    for (size_t i = 0; i < word.count && i < QUOTED_MAX_BYTES; i++) {
        unsigned char byte = (unsigned char)word.bytes[i];
        char escape[] = "\\x00";
        escape[2] = "0123456789abcdef"[byte >> 4];
        escape[3] = "0123456789abcdef"[byte & 15];
        if (byte < ' ' || byte == 0x7f)
            kiln_message_put(message, escape);
        else
            kiln_message_put_bytes(message, word.bytes + i, 1);
    }
    kiln_message_put(message, word.count > QUOTED_MAX_BYTES ? "...\"" : "\"");
}

bool kiln_options_number(const char *digits, size_t count, uint64_t *out)
{
    unsigned base = 10;
    if (count > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
        base = 16;
        digits += 2;
        count -= 2;
    } else if (count > 1 && digits[0] == '0') {
        base = 8;
    }
    if (count == 0) return false;
    uint64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned digit = kiln_text_digit(digits[i]);
        if (digit >= base || !kiln_text_append(&number, base, digit)) return false;
    }
    *out = number;
    return true;
}

static char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

/* Single-byte edits that turn `word` into `name`, whatever their case: Levenshtein's table, of
 * which one row at a time is kept. */
static size_t edit_distance(word_t word, const char *name)
{
    size_t row[NAME_MAX_BYTES + 1];
    size_t name_count = strlen(name);
    for (size_t j = 0; j <= name_count; j++) row[j] = j;
    for (size_t i = 1; i <= word.count; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= name_count; j++) {
            size_t above = row[j];
            size_t best = diagonal + (lower(word.bytes[i - 1]) != name[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[name_count];
}

static bool fail_unknown(const char *source, word_t key, kiln_message_t *error)
{
    size_t nearest = 0, nearest_edits = SIZE_MAX;
    for (size_t i = 0; i < KNOWN_OPTIONS; i++) {
        size_t edits = edit_distance(key, known_options[i].name);
        if (edits < nearest_edits) {
            nearest_edits = edits;
            nearest = i;
        }
    }
    kiln_message_put(error, source);
    kiln_message_put(error, " has no option ");
    put_quoted(error, key);
    kiln_message_put(error, "; the nearest is ");
    kiln_message_put(error, known_options[nearest].name);
    kiln_message_put(error, ", and KILN_OPTIONS=help=1 lists them all\n");
    return false;
}

/* What every mistake in a value begins with: "KILN_OPTIONS: stats". False, so that it can be
 * returned. */
static bool fail_value(const char *source, const struct option *option, const char *what,
                       word_t value, kiln_message_t *error)
{
    kiln_message_put(error, source);
    kiln_message_put(error, ": ");
    kiln_message_put(error, option->name);
    kiln_message_put(error, what);
    if (option->kind != OPTION_PATH) {
        kiln_message_put(error, ", not ");
        put_quoted(error, value);
    }
    kiln_message_put(error, "\n");
    return false;
}

static bool read_number(const char *source, const struct option *option, word_t value,
                        uint64_t *out, kiln_message_t *error)
{
    uint64_t number;
    if (kiln_options_number(value.bytes, value.count, &number) && number <= option->max) {
        *out = number;
        return true;
    }
    if (option->max == UINT64_MAX)
        return fail_value(source, option, " is a number of bytes", value, error);
    char what[32 + KILN_TEXT_NUMBER_MAX];
    *kiln_text_dec(kiln_text_word(what, option->kind == OPTION_SWITCH ? " is 0 or "
                                                                      : " is a number from 0 to "),
                   option->max) = '\0';
    return fail_value(source, option, what, value, error);
}

static bool read_path(const char *source, const struct option *option, word_t value, char *out,
                      kiln_message_t *error)
{
    if (value.count == 0)
        return fail_value(source, option, " wants the name of a file after the =", value, error);
    if (value.count >= KILN_OPTIONS_PATH_MAX_BYTES)
        return fail_value(source, option, " wants a file name of less than 4096 bytes", value,
                          error);
    memcpy(out, value.bytes, value.count);
    out[value.count] = '\0';
    return true;
}

static bool read_choice(const char *source, const struct option *option, word_t value,
                        uint64_t *out, kiln_message_t *error)
{
    for (const choice_t *choice = option->words; choice->word; choice++) {
        if (!word_is(value, choice->word)) continue;
        *out = choice->value;
        return true;
    }
    kiln_message_t what = {.length_bytes = 0};
    kiln_message_put(&what, " is one of ");
    kiln_message_put(&what, option->value);
    kiln_message_put_bytes(&what, "", 1);
    return fail_value(source, option, what.text, value, error);
}

static bool read_value(const char *source, const struct option *option, word_t value,
                       kiln_options_t *out, kiln_message_t *error)
{
    char *to = (char *)out + option->offset;
    uint64_t number = 0;
    if (option->kind == OPTION_PATH) return read_path(source, option, value, to, error);
    if (option->kind == OPTION_WORD) {
        if (!read_choice(source, option, value, &number, error)) return false;
        memcpy(to, &number, sizeof number);
    } else {
        if (!read_number(source, option, value, &number, error)) return false;
        if (option->kind == OPTION_SWITCH)
            *(bool *)to = number == 1;
        else
            memcpy(to, &number, sizeof number);
    }
    if (option->given != 0) *((bool *)((char *)out + option->given)) = true;
    return true;
}

static bool read_one(const char *source, word_t entry, kiln_options_t *out, kiln_message_t *error)
{
    const char *equals = memchr(entry.bytes, '=', entry.count);
    if (!equals) {
        kiln_message_put(error, source);
        kiln_message_put(error, ": ");
        put_quoted(error, entry);
        kiln_message_put(error, " has no value; write it as key=value\n");
        return false;
    }
    word_t key = {entry.bytes, (size_t)(equals - entry.bytes)};
    word_t value = {equals + 1, entry.count - key.count - 1};
    for (size_t i = 0; i < KNOWN_OPTIONS; i++)
        if (word_is(key, known_options[i].name))
            return read_value(source, &known_options[i], value, out, error);
    return fail_unknown(source, key, error);
}

bool kiln_options_parse(const char *source, const char *list, kiln_options_t *out,
                        kiln_message_t *error)
{
    while (*list != '\0') {
        word_t entry = {list, strcspn(list, ":")};
        if (entry.count > 0 && !read_one(source, entry, out, error)) return false;
        list += entry.count;
        if (*list == ':') list++;
    }
    if (out->has_handle_segv && !out->has_handle_sigbus)
        out->report.handle_sigbus = out->report.handle_segv;
    /* Who names an exit code wants it. */
    if (out->has_exitcode && !out->has_abort_on_error) out->report.abort_on_error = false;
    return true;
}

void kiln_options_help(kiln_out_t *out)
{
    kiln_out_put(out, "kiln: KILN_OPTIONS=\"key=value:key=value\"\n");
    for (size_t i = 0; i < KNOWN_OPTIONS; i++) {
        kiln_out_put(out, "  ");
        kiln_out_put(out, known_options[i].name);
        kiln_out_put(out, "=");
        kiln_out_put(out, known_options[i].value);
        if (known_options[i].normal[0] != '\0') {
            kiln_out_put(out, " (default: ");
            kiln_out_put(out, known_options[i].normal);
            kiln_out_put(out, ")");
        }
        kiln_out_put(out, "\n      ");
        kiln_out_put(out, known_options[i].help);
        kiln_out_put(out, "\n");
    }
}

bool kiln_options_afl(const char *limit_mb, bool hard_fail, bool verbose, kiln_options_t *out,
                      kiln_message_t *error)
{
    if (hard_fail) out->report.may_return_null = false;
    if (verbose) out->stats = true;
    if (!limit_mb) return true;
    uint64_t megabytes;
    if (kiln_options_number(limit_mb, strlen(limit_mb), &megabytes) && megabytes > 0 &&
        megabytes <= SIZE_MAX >> 20) {
        out->limit_bytes = megabytes << 20;
        return true;
    }
    kiln_message_put(error, "AFL_LD_LIMIT_MB is a number of megabytes above 0, not ");
    put_quoted(error, (word_t){limit_mb, strlen(limit_mb)});
    kiln_message_put(error, "\n");
    return false;
}

bool kiln_options_agree(const kiln_options_t *options, kiln_message_t *error)
{
    if (options->record[0] == '\0' || !options->checkpoints) return true;
    kiln_message_put(error, "record and checkpoints=1 do not go together: a recording tells of no "
                            "way back; leave one of the two out\n");
    return false;
}

/* The start of the stack as the kernel made it: argc, argv, NULL, environment, NULL. ld.so sets it
 * before anything else runs. Weak, so that libkiln.so does not list ld.so as a dependency. */
extern void *__libc_stack_end __attribute__((weak));

/* ld.so calls malloc before the C library has set `environ`; the stack has it then. */
static char **find_environment(void)
{
    if (environ) return environ;
    if (!&__libc_stack_end || !__libc_stack_end) return NULL;
    long argc = *(long *)__libc_stack_end;
    return (char **)__libc_stack_end + 1 + argc + 1;
}

static const char *find_variable(const char *name)
{
    size_t bytes = strlen(name);
    char **entry = find_environment();
    for (; entry && *entry; entry++)
        if (strncmp(*entry, name, bytes) == 0 && (*entry)[bytes] == '=') return *entry + bytes + 1;
    return NULL;
}

static void set_defaults(kiln_options_t *out)
{
    const char *folders = find_variable("PATH");
    size_t bytes = folders ? strnlen(folders, KILN_REPORT_PATH_MAX_BYTES - 1) : 0;
    out->report = kiln_report_options;
    if (bytes > 0) memcpy(out->report.folders, folders, bytes);
    out->report.folders[bytes] = '\0';
}

static bool read_all(kiln_options_t *out, kiln_message_t *error)
{
    const char *preset = kiln_default_options ? kiln_default_options() : NULL;
    const char *list = find_variable("KILN_OPTIONS");
    if (preset && !kiln_options_parse("kiln_default_options()", preset, out, error)) return false;
    return kiln_options_afl(find_variable("AFL_LD_LIMIT_MB"),
                            find_variable("AFL_LD_HARD_FAIL") != NULL,
                            find_variable("AFL_LD_VERBOSE") != NULL, out, error) &&
           (!list || kiln_options_parse("KILN_OPTIONS", list, out, error)) &&
           kiln_options_agree(out, error);
}

static void print_help(void)
{
    char text[512];
    kiln_out_t out = {text, sizeof text, 0, STDERR_FILENO};
    kiln_options_help(&out);
    kiln_out_flush(&out);
}

void kiln_options_read(kiln_options_t *out)
{
    kiln_message_t message;
    if (getauxval(AT_SECURE) != 0) { /* nor may it start a program that PATH names */
        out->report = kiln_report_options;
        out->report.symbolize = false;
        return;
    }
    set_defaults(out);
    message.length_bytes = 0;
    kiln_message_put(&message, "kiln: ");
    if (!read_all(out, &message)) {
        kiln_message_write(&message);
        _exit(2);
    }
    if (out->help) print_help();
}
