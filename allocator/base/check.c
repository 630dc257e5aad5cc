#include "allocator/base/check.h"

enum { KILN_CHECK_TEXT_MAX = 512 };

typedef struct {
    char text[KILN_CHECK_TEXT_MAX];
    size_t length;
} line_t;

static void put(line_t *line, const char *text)
{
    for (; *text && line->length < sizeof line->text; text++) line->text[line->length++] = *text;
}

_Noreturn void kiln_check_failed(const char *rule, const char *file, int line_number)
{
    line_t line = {.length = 0};
    char digits[12];
    size_t at = sizeof digits;
    unsigned left = line_number < 0 ? 0u : (unsigned)line_number;

    digits[--at] = '\0';
    do digits[--at] = (char)('0' + left % 10u);
    while ((left /= 10u) != 0);

    put(&line, "kiln: ");
    put(&line, file);
    put(&line, ":");
    put(&line, &digits[at]);
    put(&line, ": broken rule: ");
    put(&line, rule);
    put(&line, "\n");
    kiln_stop(line.text, line.length);
}
