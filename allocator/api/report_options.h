/* report_options.h - what the user wants done with reports. The names are those of ASAN_OPTIONS,
 * where there is one; options.c reads them and says what each means. */
#ifndef KILN_ALLOCATOR_API_REPORT_OPTIONS_H
#define KILN_ALLOCATOR_API_REPORT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum kiln_report_form { KILN_REPORT_TEXT = 1, KILN_REPORT_JSON = 2 } kiln_report_form_t;

enum { KILN_REPORT_PATH_MAX_BYTES = 4096 };

typedef struct kiln_report_options {
    uint64_t forms;   /* kiln_report_form_t, or-ed */
    uint64_t as_asan; /* 1: the text says AddressSanitizer, and names kinds as that does */
    bool symbolize;
    bool abort_on_error;             /* by SIGABRT; else by exitcode */
    bool halt_on_error;              /* else the program goes on where it can */
    bool handle_segv, handle_sigbus; /* see segv.h */
    bool may_return_null;            /* no memory, and absurd sizes: an answer, else a report */
    uint64_t exitcode;
    uint64_t dedup_token_length;                 /* functions; 0: no token */
    uint64_t malloc_context_size;                /* frames of a kept stack */
    char log_path[KILN_REPORT_PATH_MAX_BYTES];   /* ".PID" is added; "": standard error */
    char symbolizer[KILN_REPORT_PATH_MAX_BYTES]; /* "": llvm-symbolizer from `folders` */
    char folders[KILN_REPORT_PATH_MAX_BYTES];    /* the environment's PATH */
} kiln_report_options_t;

/* Start-up writes them, once; until then, and where nothing else was asked for, the defaults. */
extern kiln_report_options_t kiln_report_options;

#endif
