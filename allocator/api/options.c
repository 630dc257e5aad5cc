#define _GNU_SOURCE
#include "allocator/api/options.h"

#include "allocator/base/text.h"

#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static const struct {
    const char *name;
    const char *help;
} known_options[] = {
    {"help", "help=1 lists the options"},
    {"idle_bytes",
     "idle_bytes=N lets at most N bytes of free memory wait to be used again; more go "
     "back to the system"},
    {"record", "record=FILE writes what the OS answers the heap into FILE, for `kiln replay`; "
               "an existing FILE is left alone and nothing is recorded"},
    {"stats", "stats=1 prints the heap's figures when the program ends"},
};

enum {
    KNOWN_OPTIONS = sizeof known_options / sizeof *known_options,
    NAME_MAX_BYTES = 32, /* longer than any name: more bytes do not help to guess */
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

static void put_quoted(kiln_message_t *message, word_t word)
{
    kiln_message_put(message, "\"");
    kiln_message_put_bytes(message, word.bytes, word.count);
    kiln_message_put(message, "\"");
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
    size_t word_count = word.count < NAME_MAX_BYTES ? word.count : NAME_MAX_BYTES;
    for (size_t j = 0; j <= name_count; j++) row[j] = j;
    for (size_t i = 1; i <= word_count; i++) {
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

static bool fail_unknown(word_t key, kiln_message_t *error)
{
    size_t nearest = 0, nearest_edits = SIZE_MAX;
    for (size_t i = 0; i < KNOWN_OPTIONS; i++) {
        size_t edits = edit_distance(key, known_options[i].name);
        if (edits < nearest_edits) {
            nearest_edits = edits;
            nearest = i;
        }
    }
    kiln_message_put(error, "KILN_OPTIONS has no option ");
    put_quoted(error, key);
    kiln_message_put(error, "; the nearest is ");
    kiln_message_put(error, known_options[nearest].name);
    kiln_message_put(error, ", and KILN_OPTIONS=help=1 lists them all\n");
    return false;
}

static bool read_switch(word_t key, word_t value, bool *out, kiln_message_t *error)
{
    uint64_t number;
    if (kiln_options_number(value.bytes, value.count, &number) && number <= 1) {
        *out = number == 1;
        return true;
    }
    kiln_message_put(error, "KILN_OPTIONS: ");
    kiln_message_put_bytes(error, key.bytes, key.count);
    kiln_message_put(error, " is 0 or 1, not ");
    put_quoted(error, value);
    kiln_message_put(error, "\n");
    return false;
}

static bool read_bytes(word_t key, word_t value, uint64_t *out, kiln_message_t *error)
{
    if (kiln_options_number(value.bytes, value.count, out)) return true;
    kiln_message_put(error, "KILN_OPTIONS: ");
    kiln_message_put_bytes(error, key.bytes, key.count);
    kiln_message_put(error, " is a number of bytes, not ");
    put_quoted(error, value);
    kiln_message_put(error, "\n");
    return false;
}

static bool read_path(word_t key, word_t value, char *out, kiln_message_t *error)
{
    if (value.count > 0 && value.count < KILN_OPTIONS_PATH_MAX_BYTES) {
        memcpy(out, value.bytes, value.count);
        out[value.count] = '\0';
        return true;
    }
    kiln_message_put(error, "KILN_OPTIONS: ");
    kiln_message_put_bytes(error, key.bytes, key.count);
    kiln_message_put(error, value.count == 0 ? " wants the name of a file after the =\n"
                                             : " wants a file name of less than 4096 bytes\n");
    return false;
}

static bool read_one(word_t entry, kiln_options_t *out, kiln_message_t *error)
{
    const char *equals = memchr(entry.bytes, '=', entry.count);
    if (!equals) {
        kiln_message_put(error, "KILN_OPTIONS: ");
        put_quoted(error, entry);
        kiln_message_put(error, " has no value; write it as key=value\n");
        return false;
    }
    word_t key = {entry.bytes, (size_t)(equals - entry.bytes)};
    word_t value = {equals + 1, entry.count - key.count - 1};
    if (word_is(key, "help")) return read_switch(key, value, &out->help, error);
    if (word_is(key, "idle_bytes")) {
        out->has_idle_bytes = true;
        return read_bytes(key, value, &out->idle_bytes, error);
    }
    if (word_is(key, "record")) return read_path(key, value, out->record, error);
    if (word_is(key, "stats")) return read_switch(key, value, &out->stats, error);
    return fail_unknown(key, error);
}

bool kiln_options_parse(const char *list, kiln_options_t *out, kiln_message_t *error)
{
    while (*list != '\0') {
        word_t entry = {list, strcspn(list, ":")};
        if (entry.count > 0 && !read_one(entry, out, error)) return false;
        list += entry.count;
        if (*list == ':') list++;
    }
    return true;
}

void kiln_options_help(kiln_message_t *message)
{
    kiln_message_put(message, "kiln: KILN_OPTIONS=\"key=value:key=value\"\n");
    for (size_t i = 0; i < KNOWN_OPTIONS; i++) {
        kiln_message_put(message, "  ");
        kiln_message_put(message, known_options[i].help);
        kiln_message_put(message, "\n");
    }
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

static const char *find_list(void)
{
    static const char name[] = "KILN_OPTIONS=";
    char **entry = find_environment();
    for (; entry && *entry; entry++)
        if (strncmp(*entry, name, sizeof name - 1) == 0) return *entry + sizeof name - 1;
    return NULL;
}

void kiln_options_read(kiln_options_t *out)
{
    const char *list = find_list();
    if (!list || getauxval(AT_SECURE) != 0) return;
    kiln_message_t message;
    message.length_bytes = 0;
    kiln_message_put(&message, "kiln: ");
    if (!kiln_options_parse(list, out, &message)) {
        kiln_message_write(&message);
        _exit(2);
    }
    if (!out->help) return;
    message.length_bytes = 0;
    kiln_options_help(&message);
    kiln_message_write(&message);
}
