/* The numbers in the options of test programs. */
#ifndef KILN_TESTS_KILN_NUMBER_H
#define KILN_TESTS_KILN_NUMBER_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* kiln_number gives the number of an option NAME=N, or ends the program with status 2. */
static inline uint64_t kiln_number(const char *option, uint64_t min, uint64_t max)
{
    const char *text = strchr(option, '=') + 1;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 0);
    if (*text < '0' || *text > '9' || *end || errno != 0 || number < min || number > max) {
        fprintf(stderr, "%s: a number from %llu to %llu is wanted\n", option,
                (unsigned long long)min, (unsigned long long)max);
        exit(2);
    }
    return number;
}

#endif
