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
#include "allocator/api/out.h"
#include "allocator/api/report_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KILN_OPTIONS_PATH_MAX_BYTES = 4096 };

/* The first is what a program has that says nothing, or may not. */
typedef enum kiln_profile {
    KILN_PROFILE_HARDENED,
    KILN_PROFILE_FAST,
    KILN_PROFILE_FUZZ,
} kiln_profile_t;

typedef enum kiln_guarded {
    KILN_GUARDED_NONE,
    KILN_GUARDED_SOME,
    KILN_GUARDED_ALL, /* against overflows */
    KILN_GUARDED_LOW, /* all, against underflows */
} kiln_guarded_t;

typedef struct kiln_options {
    uint64_t profile;                             /* kiln_profile_t */
    uint64_t seed;                                /* of a hardened heap */
    uint64_t quarantine_blocks, quarantine_bytes; /* of a size, of one thread */
    uint64_t guard;                               /* kiln_guarded_t */
    uint64_t guard_every;
    bool has_profile, has_guard, has_guard_every;
    bool check_at_exit, detect_leaks;
    bool alloc_dealloc_mismatch, has_alloc_dealloc_mismatch;
    bool has_seed, has_quarantine_blocks, has_quarantine_bytes, has_check_at_exit;
    char record[KILN_OPTIONS_PATH_MAX_BYTES]; /* NUL-terminated; empty: no recording */
    bool huge_pages, has_huge_pages;
    uint64_t idle_bytes; /* see kiln_heap_config_t */
    bool has_idle_bytes; /* else the default stays */
    bool checkpoints;    /* see kiln.h */
    bool stats;          /* print the heap's figures when the program ends */
    bool help;           /* list the options, then go on */
    bool has_exitcode, has_abort_on_error, has_handle_segv, has_handle_sigbus;
    uint64_t limit_bytes; /* of heap taken from the system, at most; 0: no limit */
    kiln_report_options_t report;
} kiln_options_t;

/* kiln_options_parse reads `list` into `*out`, over what is there. On the first mistake it returns
 * false and puts one line into `*error`, which names `source`, where the list comes from, and what
 * is wrong: of a name that no option has, also the nearest one, by edits of a byte, whatever the
 * case. */
bool kiln_options_parse(const char *source, const char *list, kiln_options_t *out,
                        kiln_message_t *error);

/* kiln_options_afl takes over what libdislocator, AFL++'s heap, is told by variables of the
 * environment: AFL_LD_LIMIT_MB (NULL: not set), AFL_LD_HARD_FAIL and AFL_LD_VERBOSE. Its other two
 * ask for what is so here in any case: a calloc that overflows answers NULL
 * (AFL_LD_NO_CALLOC_OVER), blocks are aligned (AFL_ALIGNED_ALLOC). */
bool kiln_options_afl(const char *limit_mb, bool hard_fail, bool verbose, kiln_options_t *out,
                      kiln_message_t *error);

/* kiln_options_agree: can all of it be done at once? Else false, with a line as above. */
bool kiln_options_agree(const kiln_options_t *options, kiln_message_t *error);

/* kiln_options_number reads all of `count` bytes as a C literal: 16, 0x10, 020. False, with `*out`
 * untouched, when there is anything else in them, nothing at all, or more than 64 bits. */
bool kiln_options_number(const char *digits, size_t count, uint64_t *out);

/* kiln_options_help writes every option with its default and what it does. */
void kiln_options_help(kiln_out_t *out);

/* kiln_options_read fills `*out`, zeroed by the caller: defaults, then kiln_default_options()
 * (kiln.h), then AFL++'s variables, then KILN_OPTIONS. It prints help where asked, and ends the
 * process with exit code 2 on a mistake. It works before the C library has set up `environ`. A
 * program that runs with raised privileges has no options, which could name files to write or take
 * its checks away: its profile is the default. */
void kiln_options_read(kiln_options_t *out);

#endif
