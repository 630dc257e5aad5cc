/* The arguments of a case, and which deed they mean. */
#include "tests/death/case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct deed {
    const char *name;
    void (*act)(const case_args_t *args);
} deeds[] = {
    {"overflow-write", case_overflow},   {"underflow-write", case_overflow},
    {"overflow-read", case_overflow},    {"underflow-read", case_overflow},
    {"freed-write", case_freed},         {"freed-read", case_freed},
    {"double-free", case_double_free},   {"interior-free", case_wrong_free},
    {"foreign-free", case_wrong_free},   {"size-mismatch", case_mismatch},
    {"wrong-family", case_wrong_family}, {"leak", case_leak},
    {"request", case_request},           {"old-bytes", case_old_bytes},
    {"restored-write", case_restored},   {"restored-read", case_restored},
    {"restored-free", case_restored},
};

static const struct number {
    const char *name;
    size_t offset;
} numbers[] = {
#define AT(member) offsetof(case_args_t, member)
    {"bytes", AT(bytes)},     {"align", AT(align)},   {"neighbour", AT(neighbour)},
    {"slot", AT(slot)},       {"blocks", AT(blocks)}, {"distance", AT(distance)},
    {"width", AT(width)},     {"ops", AT(ops)},       {"later", AT(later)},
    {"claimed", AT(claimed)}, {"count", AT(count)},   {"claimed-align", AT(claimed_align)},
#undef AT
};

/* By write alone: stdio would allocate. */
static void say(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0) _exit(CASE_USAGE);
}

bool case_is(const char *word, const char *other)
{
    return word && strcmp(word, other) == 0;
}

_Noreturn void case_end(int status, const char *why)
{
    say(STDOUT_FILENO, "ended: ");
    say(STDOUT_FILENO, why);
    say(STDOUT_FILENO, "\n");
    _exit(status);
}

void case_fact(const char *name, const void *address, size_t bytes)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%s 0x%zx %zu\n", name, (size_t)address, bytes);
    if (length > 0) say(STDOUT_FILENO, line);
}

/* The value of "--name=value", or NULL where it is another argument. */
static const char *value_of(const char *argument, const char *name)
{
    size_t length = strlen(name);
    if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, name, length) != 0) return NULL;
    return argument[2 + length] == '=' ? argument + 3 + length : NULL;
}

static bool read_word(const char *argument, const char *name, const char **out)
{
    const char *value = value_of(argument, name);
    if (value) *out = value;
    return value != NULL;
}

static bool read_number(const char *argument, case_args_t *args)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const char *value = value_of(argument, numbers[i].name);
        if (!value) continue;
        size_t number = (size_t)strtoull(value, NULL, 0);
        memcpy((char *)args + numbers[i].offset, &number, sizeof number);
        return true;
    }
    return false;
}

static void read_one(const char *argument, case_args_t *args)
{
    if (strcmp(argument, "--right") == 0) {
        args->right = true;
        return;
    }
    if (read_word(argument, "deed", &args->deed) || read_word(argument, "take", &args->take) ||
        read_word(argument, "call", &args->call) || read_word(argument, "when", &args->when) ||
        read_word(argument, "how", &args->how) || read_word(argument, "place", &args->place) ||
        read_number(argument, args))
        return;
    say(STDOUT_FILENO, argument);
    case_end(CASE_USAGE, "no argument of a case");
}

int main(int argc, char **argv)
{
    case_args_t args = {.take = "malloc",
                        .call = "free",
                        .when = "free",
                        .how = "plain",
                        .place = "middle",
                        .width = 1};
    for (int i = 0; i < argc; i++) {
        say(STDOUT_FILENO, i == 0 ? "case" : argv[i]);
        say(STDOUT_FILENO, i + 1 < argc ? " " : "\n");
        if (i > 0) read_one(argv[i], &args);
    }
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        if (!case_is(args.deed, deeds[i].name)) continue;
        deeds[i].act(&args);
        return 0;
    }
    case_end(CASE_USAGE, "there is no such deed");
}
