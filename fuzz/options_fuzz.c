/* options_fuzz.c - what KILN_OPTIONS and its like are taken for, against options_model.h.
 *
 * The text of an input is what a process finds at its start, one after another, each ended by a
 * byte 0: where the settings say so the list of kiln_default_options() and the value of
 * AFL_LD_LIMIT_MB; then that of KILN_OPTIONS. What is left is ignored. All of them go into the same
 * kiln_options_t, as in kiln_options_read. The first byte 1 stands for `fill` letters: what is too
 * long for an input.
 *
 * Threads  one.   Memory  each list is a copy of exactly its size, so that a sanitizer sees a read
 * beyond it. */
#include "fuzz/options_model.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bits of the setting `calls`. */
enum { CALL_PRESET = 1, CALL_LIMIT = 2, CALL_HARD_FAIL = 4, CALL_VERBOSE = 8 };

enum { LIST_BYTES_MAX = 1 << 16, FILL_BYTES_MAX = 5000 };

const kiln_fuzz_words_t kiln_fuzz_words = {.target = "options",
                                           .config = {"calls", "base", "fill", "fill_high"}};

static kiln_options_t options, wanted, alone, again;
static kiln_message_t message;

void kiln_fuzz_last_words(void)
{
    fprintf(stderr, "# the message: %.*s\n", (int)message.length_bytes, message.text);
}

static char *copy_of(const uint8_t *bytes, size_t count)
{
    char *copy = malloc(count + 1);
    KILN_CHECK(copy);
    if (count > 0) memcpy(copy, bytes, count);
    copy[count] = '\0';
    return copy;
}

/* The text with what the byte 1 stands for. */
static char *fill(char *text, unsigned count)
{
    char *mark = strchr(text, 1), *whole;
    if (!mark || count == 0 || count > FILL_BYTES_MAX) return text;
    size_t before = (size_t)(mark - text), after = strlen(mark + 1);
    whole = malloc(before + count + after + 1);
    KILN_CHECK(whole);
    memcpy(whole, text, before);
    memset(whole + before, 'x', count);
    memcpy(whole + before + count, mark + 1, after + 1);
    free(text);
    return whole;
}

/* The next text of the input, for the caller to free; "" when it is over. */
static char *next_text(kiln_fuzz_input_t *input)
{
    unsigned letters = input->config[2] + 256u * input->config[3];
    size_t left = input->size - input->at;
    if (left == 0) return copy_of(NULL, 0);
    const uint8_t *text = input->data + input->at;
    const uint8_t *end = memchr(text, '\0', left);
    size_t bytes = end ? (size_t)(end - text) : left;
    input->at += bytes + (end != NULL);
    return fill(copy_of(text, bytes), letters);
}

static void clear(kiln_options_t *out)
{
    memset(out, 0, sizeof *out);
    memcpy(&out->report, &kiln_report_options, sizeof out->report);
}

/* --- what is said ---------------------------------------------------------------------------- */

/* take: the message goes on with this; then it is what follows. */
static bool take(const char **at, const char *words)
{
    size_t bytes = strlen(words);
    if (strncmp(*at, words, bytes) != 0) return false;
    *at += bytes;
    return true;
}

/* The message, as text: one line. */
static const char *line_of_message(void)
{
    static char line[KILN_MESSAGE_BYTES_MAX + 1];
    size_t bytes = message.length_bytes;
    KILN_FUZZ_LAW("L7: a message fits", bytes < KILN_MESSAGE_BYTES_MAX - strlen("kiln: "));
    memcpy(line, message.text, bytes);
    line[bytes] = '\0';
    KILN_FUZZ_LAW("L7: a message is a line", bytes > 1 && line[bytes - 1] == '\n');
    for (size_t i = 0; i + 1 < bytes; i++)
        KILN_FUZZ_LAW("L7: a message is one line",
                      (unsigned char)line[i] >= ' ' && line[i] != 0x7f);
    return line;
}

static void judge_message(const char *source, const kiln_options_verdict_t *verdict)
{
    static char quote[KILN_OPTIONS_MODEL_QUOTE_BYTES], shown[KILN_OPTIONS_MODEL_QUOTE_BYTES + 8];
    const char *at = line_of_message();
    kiln_options_model_quote(verdict->wrong, verdict->wrong_bytes, quote);
    snprintf(shown, sizeof shown, "\"%s\"", quote);
    KILN_FUZZ_LAW("L7: a message names where the list is from", take(&at, source));
    if (verdict->mistake == KILN_OPTIONS_UNKNOWN) {
        KILN_FUZZ_LAW("L7: a message says what is unknown",
                      take(&at, " has no option ") && take(&at, shown));
        KILN_FUZZ_LAW("L7: a message says what is near", take(&at, "; the nearest is "));
        KILN_FUZZ_LAW("L7: what is said to be nearest is an option, and is nearest",
                      kiln_options_model_is_nearest(at, strcspn(at, ","), verdict->wrong,
                                                    verdict->wrong_bytes));
        return;
    }
    KILN_FUZZ_LAW("L7: a message names where the list is from", take(&at, ": "));
    if (verdict->mistake == KILN_OPTIONS_NO_VALUE) {
        KILN_FUZZ_LAW("L7: a message says what has no value",
                      take(&at, shown) && take(&at, " has no value"));
        return;
    }
    KILN_FUZZ_LAW("L7: a message names the option", take(&at, verdict->name) && *at == ' ');
    const char *rest = strstr(at, ", not \"");
    if (verdict->is_path) return;
    KILN_FUZZ_LAW("L7: a message says which value is wrong", rest);
    rest += strlen(", not ");
    KILN_FUZZ_LAW("L7: a message says which value is wrong", take(&rest, shown) && *rest == '\n');
}

/* --- the calls ------------------------------------------------------------------------------- */

static void same(kiln_options_t *left, kiln_options_t *right)
{
    const char *what = kiln_options_model_differs(left, right);
    if (kiln_fuzz_tracing && what) fprintf(stderr, "# not the same: %s\n", what);
    KILN_FUZZ_LAW("L7: a list means what it says", !what);
}

/* Only the bytes that were given are looked at, and nothing is written where there is no number. */
static void check_number(const char *digits, size_t count)
{
    char *exact = malloc(count ? count : 1);
    uint64_t number = 99, right = 99;
    KILN_CHECK(exact);
    memcpy(exact, digits, count);
    bool is_one = kiln_options_number(exact, count, &number);
    KILN_FUZZ_LAW("L7: a number is a C literal of 64 bits",
                  is_one == kiln_options_model_number(digits, count, &right) && number == right);
    free(exact);
}

static void check_numbers(const char *list)
{
    check_number(list, strlen(list));
    for (const char *at = strchr(list, '='); at; at = strchr(at + 1, '='))
        check_number(at + 1, strcspn(at + 1, ":"));
}

/* A list that is right, written anew, means the same. */
static void check_round_trip(const char *list, unsigned base)
{
    static char printed[LIST_BYTES_MAX];
    bool given[KILN_OPTIONS_MODEL_MAX];
    clear(&alone);
    clear(&again);
    KILN_FUZZ_LAW("L7: a list that is right is so alone",
                  kiln_options_parse("alone", list, &alone, &message));
    kiln_options_model_given(list, given);
    size_t bytes = kiln_options_model_print(&alone, given, base, printed, sizeof printed);
    if (kiln_fuzz_tracing) fprintf(stderr, "again \"%s\"\n", printed);
    char *exact = copy_of((const uint8_t *)printed, bytes);
    KILN_FUZZ_LAW("L7: what was read and is written is right",
                  kiln_options_parse("again", exact, &again, &message));
    free(exact);
    same(&alone, &again);
}

/* False: the list is wrong, and the process would have ended. */
static bool parse(const char *source, const char *list, unsigned base)
{
    if (kiln_fuzz_tracing) fprintf(stderr, "%s \"%s\"\n", source, list);
    message.length_bytes = 0;
    kiln_options_verdict_t verdict = kiln_options_model_parse(list, &wanted);
    bool right = kiln_options_parse(source, list, &options, &message);
    const char *odd = kiln_options_model_out_of_range(&options);
    KILN_FUZZ_LAW("L7: no value is out of its range", !odd);
    KILN_FUZZ_LAW("L7: a list is taken that is right, and no other",
                  right == (verdict.mistake == KILN_OPTIONS_RIGHT));
    check_numbers(list);
    if (!right) {
        judge_message(source, &verdict);
        return false;
    }
    KILN_FUZZ_LAW("L7: of what is right nothing is said", message.length_bytes == 0);
    same(&options, &wanted);
    check_round_trip(list, base);
    return true;
}

static bool take_afl(const char *limit, bool hard_fail, bool verbose)
{
    static char quote[KILN_OPTIONS_MODEL_QUOTE_BYTES], shown[KILN_OPTIONS_MODEL_QUOTE_BYTES + 8];
    uint64_t megabytes = 1;
    if (kiln_fuzz_tracing) fprintf(stderr, "limit \"%s\"\n", limit ? limit : "(none)");
    message.length_bytes = 0;
    bool known = !limit || (kiln_options_model_number(limit, strlen(limit), &megabytes) &&
                            megabytes >= 1 && megabytes <= SIZE_MAX / 1048576);
    bool right = kiln_options_afl(limit, hard_fail, verbose, &options, &message);
    KILN_FUZZ_LAW("L7: a limit is taken that is right, and no other", right == known);
    if (!right) {
        const char *at = line_of_message();
        snprintf(shown, sizeof shown, "not \"%s\"\n",
                 kiln_options_model_quote(limit, strlen(limit), quote));
        KILN_FUZZ_LAW("L7: a message names the variable and its value",
                      take(&at, "AFL_LD_LIMIT_MB ") && strlen(at) > strlen(shown) &&
                          strcmp(at + strlen(at) - strlen(shown), shown) == 0);
        return false;
    }
    if (hard_fail) wanted.report.may_return_null = false;
    if (verbose) wanted.stats = true;
    if (limit) wanted.limit_bytes = megabytes * 1048576;
    same(&options, &wanted);
    return true;
}

void kiln_fuzz_one(const uint8_t *data, size_t size)
{
    static const unsigned bases[] = {10, 16, 8};
    static bool checked;
    kiln_fuzz_input_t input;
    if (!checked) kiln_options_model_check();
    checked = true;
    kiln_fuzz_open(&input, data, size);
    unsigned calls = input.config[0], base = bases[input.config[1] % 3];
    clear(&options);
    clear(&wanted);

    char *preset = calls & CALL_PRESET ? next_text(&input) : NULL;
    char *limit = calls & CALL_LIMIT ? next_text(&input) : NULL;
    char *list = next_text(&input);
    if ((!preset || parse("kiln_default_options()", preset, base)) &&
        take_afl(limit, calls & CALL_HARD_FAIL, calls & CALL_VERBOSE))
        (void)parse("KILN_OPTIONS", list, base);
    free(preset);
    free(limit);
    free(list);
}
