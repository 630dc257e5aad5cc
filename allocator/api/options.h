/* options.h - KILN_OPTIONS="key=value:key=value".
 *
 * A program never runs with options that were misread: the first thing wrong is an error that names
 * it, and start-up ends the process with exit code 2.
 *
 * Threads  kiln_options_read runs once, at start-up, under the start lock.
 * Memory   none is allocated; values are copied out of the environment, which may change. */
#ifndef KILN_ALLOCATOR_API_OPTIONS_H
#define KILN_ALLOCATOR_API_OPTIONS_H

#include "allocator/api/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KILN_OPTIONS_PATH_MAX_BYTES = 4096 };

typedef struct kiln_options {
    char record[KILN_OPTIONS_PATH_MAX_BYTES]; /* NUL-terminated; empty: no recording */
    uint64_t idle_bytes;                      /* see kiln_heap_config_t */
    bool has_idle_bytes;                      /* else the default stays */
    bool stats;                               /* print the heap's figures when the program ends */
    bool help;                                /* list the options, then go on */
} kiln_options_t;

/* kiln_options_parse reads `list` into `*out` (zeroed by the caller). On the first mistake it
 * returns false and puts one line, without "kiln: " in front, into `*error`. */
bool kiln_options_parse(const char *list, kiln_options_t *out, kiln_message_t *error);

/* kiln_options_number reads all of `count` bytes as a C literal: 16, 0x10, 020. False, with `*out`
 * untouched, when there is anything else in them, nothing at all, or more than 64 bits. */
bool kiln_options_number(const char *digits, size_t count, uint64_t *out);

/* kiln_options_help puts one line an option into `*text`. */
void kiln_options_help(kiln_message_t *message);

/* kiln_options_read parses the environment's KILN_OPTIONS, prints help where asked, and ends the
 * process with exit code 2 on a mistake. It works before the C library has set up `environ`. A
 * program that runs with raised privileges has no options: they could name files to write. */
void kiln_options_read(kiln_options_t *out);

#endif
