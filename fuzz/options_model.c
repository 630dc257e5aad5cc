/* options_model.c - the facts about options, and what follows from them (options_model.h). */
#include "fuzz/options_model.h"

#include "allocator/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 40, WORD_BYTES_MAX = 10000, QUOTED_BYTES = 256 };

/* `form` is what help writes behind the =: 0|1, N, FILE, or words, whose values follow from where
 * they stand. */
typedef struct fact {
    const char *name, *form;
    uint64_t max; /* of a number */
    size_t at;    /* in kiln_options_t */
    size_t given; /* where it is kept that the option was given; 0: nowhere */
} fact_t;

#define AT(member) offsetof(kiln_options_t, member)
static const fact_t facts[] = {
    {"abort_on_error", "0|1", 1, AT(report.abort_on_error), AT(has_abort_on_error)},
    {"alloc_dealloc_mismatch", "0|1", 1, AT(alloc_dealloc_mismatch),
     AT(has_alloc_dealloc_mismatch)},
    {"allocator_may_return_null", "0|1", 1, AT(report.may_return_null), 0},
    {"check_at_exit", "0|1", 1, AT(check_at_exit), AT(has_check_at_exit)},
    {"checkpoints", "0|1", 1, AT(checkpoints), 0},
    {"dedup_token_length", "N", 64, AT(report.dedup_token_length), 0},
    {"detect_leaks", "0|1", 1, AT(detect_leaks), 0},
    {"exitcode", "N", 255, AT(report.exitcode), AT(has_exitcode)},
    {"external_symbolizer_path", "FILE", 0, AT(report.symbolizer), 0},
    {"guard", "none|some|all|low", 3, AT(guard), AT(has_guard)},
    {"guard_every", "N", 4294967295, AT(guard_every), AT(has_guard_every)},
    {"halt_on_error", "0|1", 1, AT(report.halt_on_error), 0},
    {"handle_segv", "0|1", 1, AT(report.handle_segv), AT(has_handle_segv)},
    {"handle_sigbus", "0|1", 1, AT(report.handle_sigbus), AT(has_handle_sigbus)},
    {"help", "0|1", 1, AT(help), 0},
    {"huge_pages", "0|1", 1, AT(huge_pages), AT(has_huge_pages)},
    {"idle_bytes", "N", UINT64_MAX, AT(idle_bytes), AT(has_idle_bytes)},
    {"log_path", "FILE", 0, AT(report.log_path), 0},
    {"malloc_context_size", "N", 64, AT(report.malloc_context_size), 0},
    {"profile", "hardened|fast|fuzz", 2, AT(profile), AT(has_profile)},
    {"quarantine_blocks", "N", 1024, AT(quarantine_blocks), AT(has_quarantine_blocks)},
    {"quarantine_bytes", "N", 4294967295, AT(quarantine_bytes), AT(has_quarantine_bytes)},
    {"record", "FILE", 0, AT(record), 0},
    {"report", "text|json|both", 3, AT(report.forms), 0},
    {"report_as", "Kiln|AddressSanitizer", 1, AT(report.as_asan), 0},
    {"seed", "N", UINT64_MAX, AT(seed), AT(has_seed)},
    {"stats", "0|1", 1, AT(stats), 0},
    {"symbolize", "0|1", 1, AT(report.symbolize), 0},
};
#undef AT

enum { FACTS = sizeof facts / sizeof *facts };
_Static_assert(FACTS <= (int)KILN_OPTIONS_MODEL_MAX, "each has a place");

static bool is_switch(const fact_t *fact)
{
    return strcmp(fact->form, "0|1") == 0;
}

static bool is_number(const fact_t *fact)
{
    return strcmp(fact->form, "N") == 0;
}

static bool is_path(const fact_t *fact)
{
    return strcmp(fact->form, "FILE") == 0;
}

/* Of a choice the first word stands for 0; but reports are bits, of which none is no choice. */
static uint64_t first_choice(const fact_t *fact)
{
    return strcmp(fact->name, "report") == 0 ? 1 : 0;
}

static const fact_t *fact_of(const char *name, size_t bytes)
{
    for (size_t i = 0; i < FACTS; i++)
        if (strncmp(facts[i].name, name, bytes) == 0 && facts[i].name[bytes] == '\0')
            return &facts[i];
    return NULL;
}

void kiln_options_model_check(void)
{
    static char text[1 << 15];
    kiln_out_t help = {text, sizeof text - 1, 0, -1};
    kiln_options_help(&help);
    text[help.length] = '\0';
    const char *line = strchr(text, '\n');
    for (size_t i = 0; i < FACTS; i++) {
        char wanted[128];
        int bytes = snprintf(wanted, sizeof wanted, "\n  %s=%s", facts[i].name, facts[i].form);
        bool same = strncmp(line, wanted, (size_t)bytes) == 0 && strchr(" \n", line[bytes]);
        if (!same) kiln_check_failed("help lists what the model knows", __FILE__, __LINE__);
        line = strchr(line + 1, '\n'); /* what it is for */
        line = line ? strchr(line + 1, '\n') : NULL;
        KILN_CHECK(line);
    }
    KILN_CHECK(line[1] == '\0');
}

/* --- values ---------------------------------------------------------------------------------- */

bool kiln_options_model_number(const char *digits, size_t count, uint64_t *out)
{
    char copy[WORD_BYTES_MAX + 1];
    if (count == 0 || count > WORD_BYTES_MAX) return false;
    memcpy(copy, digits, count);
    copy[count] = '\0';
    bool hex = strncmp(copy, "0x", 2) == 0 || strncmp(copy, "0X", 2) == 0;
    const char *allowed = hex              ? "0123456789abcdefABCDEF"
                          : copy[0] == '0' ? "01234567"
                                           : "0123456789";
    const char *first = copy + (hex ? 2 : 0);
    if (*first == '\0' || first + strspn(first, allowed) != copy + count) return false;
    errno = 0;
    unsigned long long number = strtoull(copy, NULL, 0);
    if (errno == ERANGE) return false;
    *out = number;
    return true;
}

/* The number of the word in "a|b|c", from 0 on, or -1. */
static int choice_of(const char *form, const char *word, size_t bytes)
{
    for (int number = 0;; number++) {
        size_t length = strcspn(form, "|");
        if (length == bytes && memcmp(form, word, bytes) == 0) return number;
        if (form[length] == '\0') return -1;
        form += length + 1;
    }
}

static void store(const fact_t *fact, kiln_options_t *out, uint64_t number)
{
    char *place = (char *)out + fact->at;
    bool truth = number != 0;
    if (is_switch(fact))
        memcpy(place, &truth, sizeof truth);
    else
        memcpy(place, &number, sizeof number);
}

static uint64_t value_of(const fact_t *fact, const kiln_options_t *options)
{
    const char *place = (const char *)options + fact->at;
    uint64_t number;
    if (is_switch(fact)) return *(const unsigned char *)place;
    memcpy(&number, place, sizeof number);
    return number;
}

static bool read_value(const fact_t *fact, const char *value, size_t bytes, kiln_options_t *out)
{
    static const bool yes = true;
    uint64_t number = 0;
    if (is_path(fact)) {
        char *place = (char *)out + fact->at;
        if (bytes == 0 || bytes > KILN_OPTIONS_PATH_MAX_BYTES - 1) return false;
        memset(place, 0, KILN_OPTIONS_PATH_MAX_BYTES);
        memcpy(place, value, bytes);
        return true;
    }
    if (is_switch(fact) || is_number(fact)) {
        if (!kiln_options_model_number(value, bytes, &number) || number > fact->max) return false;
    } else {
        int choice = choice_of(fact->form, value, bytes);
        if (choice < 0) return false;
        number = (uint64_t)choice + first_choice(fact);
    }
    store(fact, out, number);
    if (fact->given) memcpy((char *)out + fact->given, &yes, sizeof yes);
    return true;
}

/* --- lists ----------------------------------------------------------------------------------- */

static kiln_options_verdict_t judge(const char *piece, size_t bytes, kiln_options_t *out)
{
    size_t name_bytes = 0;
    while (name_bytes < bytes && piece[name_bytes] != '=') name_bytes++;
    if (name_bytes == bytes)
        return (kiln_options_verdict_t){KILN_OPTIONS_NO_VALUE, piece, bytes, NULL, false};
    const fact_t *fact = fact_of(piece, name_bytes);
    if (!fact) return (kiln_options_verdict_t){KILN_OPTIONS_UNKNOWN, piece, name_bytes, "", false};
    const char *value = piece + name_bytes + 1;
    size_t value_bytes = bytes - name_bytes - 1;
    if (!read_value(fact, value, value_bytes, out))
        return (kiln_options_verdict_t){KILN_OPTIONS_BAD_VALUE, value, value_bytes, fact->name,
                                        is_path(fact)};
    return (kiln_options_verdict_t){.mistake = KILN_OPTIONS_RIGHT};
}

kiln_options_verdict_t kiln_options_model_parse(const char *list, kiln_options_t *out)
{
    for (const char *piece = list; *piece != '\0';) {
        size_t bytes = 0;
        while (piece[bytes] != '\0' && piece[bytes] != ':') bytes++;
        if (bytes > 0) {
            kiln_options_verdict_t verdict = judge(piece, bytes, out);
            if (verdict.mistake != KILN_OPTIONS_RIGHT) return verdict;
        }
        piece += bytes + (piece[bytes] == ':');
    }
    if (out->has_handle_segv && !out->has_handle_sigbus)
        out->report.handle_sigbus = out->report.handle_segv;
    if (out->has_exitcode && !out->has_abort_on_error) out->report.abort_on_error = false;
    return (kiln_options_verdict_t){.mistake = KILN_OPTIONS_RIGHT};
}

void kiln_options_model_given(const char *list, bool given[KILN_OPTIONS_MODEL_MAX])
{
    memset(given, 0, KILN_OPTIONS_MODEL_MAX * sizeof *given);
    for (const char *piece = list; *piece != '\0'; piece++) {
        size_t name_bytes = strcspn(piece, "=:");
        if (name_bytes > 0) given[fact_of(piece, name_bytes) - facts] = true;
        piece += strcspn(piece, ":");
        if (*piece == '\0') break;
    }
}

size_t kiln_options_model_print(const kiln_options_t *options, const bool *given, unsigned base,
                                char *out, size_t room)
{
    size_t length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < FACTS; i++) {
        if (!given[i]) continue;
        const fact_t *fact = &facts[i];
        unsigned long long number = is_path(fact) ? 0 : value_of(fact, options);
        char value[64];
        const char *shown = value, *form = fact->form;
        if (is_path(fact)) {
            shown = (const char *)options + fact->at;
        } else if (is_switch(fact) || is_number(fact)) {
            snprintf(value, sizeof value,
                     base == 8    ? "0%llo"
                     : base == 16 ? "0x%llx"
                                  : "%llu",
                     number);
        } else {
            for (uint64_t at = first_choice(fact); at < number; at++)
                form += strcspn(form, "|") + 1;
            snprintf(value, sizeof value, "%.*s", (int)strcspn(form, "|"), form);
        }
        length += (size_t)snprintf(out + length, room - length, "%s%s=%s", length ? ":" : "",
                                   fact->name, shown);
        KILN_CHECK(length < room);
    }
    return length;
}

/* --- what is said and what is not ---------------------------------------------------------- */

static char small(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter + 32) : letter;
}

/* Levenshtein's distance, by its definition: the whole table. */
static unsigned edits(const char *word, size_t word_bytes, const char *name)
{
    static unsigned table[WORD_BYTES_MAX + 1][NAME_BYTES_MAX + 1];
    size_t name_bytes = strlen(name);
    KILN_CHECK(name_bytes <= NAME_BYTES_MAX && word_bytes <= WORD_BYTES_MAX);
    for (size_t i = 0; i <= word_bytes; i++)
        for (size_t j = 0; j <= name_bytes; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = (unsigned)(i + j);
                continue;
            }
            unsigned put = table[i][j - 1] + 1, drop = table[i - 1][j] + 1;
            unsigned change = table[i - 1][j - 1] + (small(word[i - 1]) == name[j - 1] ? 0 : 1);
            unsigned least = put < drop ? put : drop;
            table[i][j] = change < least ? change : least;
        }
    return table[word_bytes][name_bytes];
}

bool kiln_options_model_is_nearest(const char *name, size_t bytes, const char *word,
                                   size_t word_bytes)
{
    const fact_t *said = fact_of(name, bytes);
    if (!said) return false;
    unsigned distance = edits(word, word_bytes, said->name);
    for (size_t i = 0; i < FACTS; i++)
        if (edits(word, word_bytes, facts[i].name) < distance) return false;
    return true;
}

const char *kiln_options_model_quote(const char *word, size_t bytes,
                                     char out[KILN_OPTIONS_MODEL_QUOTE_BYTES])
{
    size_t length = 0, room = KILN_OPTIONS_MODEL_QUOTE_BYTES;
    size_t shown = bytes < QUOTED_BYTES ? bytes : QUOTED_BYTES;
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)word[i];
        bool control = byte < 32 || byte == 127;
        length += (size_t)snprintf(out + length, room - length, control ? "\\x%02x" : "%c", byte);
    }
    snprintf(out + length, room - length, "%s", bytes > shown ? "..." : "");
    return out;
}

static void blank_tails(kiln_options_t *options)
{
    for (size_t i = 0; i < FACTS; i++) {
        if (!is_path(&facts[i])) continue;
        char *path = (char *)options + facts[i].at;
        const char *end = memchr(path, '\0', KILN_OPTIONS_PATH_MAX_BYTES);
        size_t bytes = end ? (size_t)(end - path) : KILN_OPTIONS_PATH_MAX_BYTES;
        memset(path + bytes, 0, KILN_OPTIONS_PATH_MAX_BYTES - bytes);
    }
}

/* All of it, what lies between members included: neither side has a reason to touch that. */
static bool same_bytes(const void *left, const void *right, size_t bytes)
{
    return memcmp(left, right, bytes) == 0;
}

const char *kiln_options_model_differs(kiln_options_t *left, kiln_options_t *right)
{
    for (size_t i = 0; i < FACTS; i++) {
        const fact_t *fact = &facts[i];
        const char *l = (const char *)left + fact->at, *r = (const char *)right + fact->at;
        bool same = is_path(fact) ? strncmp(l, r, KILN_OPTIONS_PATH_MAX_BYTES) == 0
                                  : value_of(fact, left) == value_of(fact, right);
        if (!same) return fact->name;
    }
    blank_tails(left);
    blank_tails(right);
    return same_bytes(left, right, sizeof *left) ? NULL : "what is no option's value";
}

const char *kiln_options_model_out_of_range(const kiln_options_t *options)
{
    for (size_t i = 0; i < FACTS; i++) {
        const fact_t *fact = &facts[i];
        bool right = is_path(fact) ? memchr((const char *)options + fact->at, '\0',
                                            KILN_OPTIONS_PATH_MAX_BYTES) != NULL
                                   : value_of(fact, options) <= fact->max;
        if (!right) return fact->name;
    }
    return NULL;
}
