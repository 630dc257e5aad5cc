/* kiln_stops.h - a kiln_stop that a test can catch, to show that something stops the program, and
 * by which rule. Include it in one file of a test program that does not link a kiln_stop of its
 * own.
 *
 * The act is a function, so that no local variable of the test lives across the jump. */
#ifndef KILN_TESTS_KILN_STOPS_H
#define KILN_TESTS_KILN_STOPS_H

#include "allocator/base/check.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf kiln_stops_caught;
static bool kiln_stops_armed;
static char kiln_stops_text[512];

_Noreturn void kiln_stop(const char *text, size_t bytes)
{
    if (!kiln_stops_armed) {
        fwrite(text, 1, bytes, stderr);
        abort();
    }
    size_t kept = bytes < sizeof kiln_stops_text ? bytes : sizeof kiln_stops_text - 1;
    memcpy(kiln_stops_text, text, kept);
    kiln_stops_text[kept] = '\0';
    longjmp(kiln_stops_caught, 1);
}

/* kiln_stops_rule does the act and gives the rule by which it stopped the program, or NULL. */
static inline const char *kiln_stops_rule(void (*act)(void))
{
    static const char mark[] = ": broken rule: ";
    kiln_stops_armed = true;
    if (setjmp(kiln_stops_caught) == 0) {
        act();
        kiln_stops_armed = false;
        return NULL;
    }
    kiln_stops_armed = false;
    char *end = strchr(kiln_stops_text, '\n');
    if (end) *end = '\0';
    const char *rule = strstr(kiln_stops_text, mark);
    return rule ? rule + sizeof mark - 1 : kiln_stops_text;
}

#endif
