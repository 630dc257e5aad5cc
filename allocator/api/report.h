/* report.h - tells what a program did wrong, then ends it.
 *
 * A detector fills a kiln_report_t and calls kiln_report. One record, two printers: report_text.h
 * in the shape of AddressSanitizer's reports, so that the tools which sort those find their way,
 * and report_json.h. Where they go and what follows is the user's choice (kiln_report_options_t).
 *
 *   reporter                                        another thread, meanwhile
 *   1 takes the report lock                         waits: for the end of the process, or, where it
 *   2 walks stacks, prints                            goes on, for its turn
 *   3 ends the process, or lets the lock go
 *
 * A second report of the same thread before the first is over, or a fault inside it, ends the
 * process at once, with what was put together so far.
 *
 * Threads  any, with locks of the heap held, also in signal handlers.
 * Memory   none is allocated, and no lock but the report's is taken. What the record names may be
 *          ruined: nothing it says is followed without being checked. */
#ifndef KILN_ALLOCATOR_API_REPORT_H
#define KILN_ALLOCATOR_API_REPORT_H

#include "allocator/api/report_options.h"
#include "allocator/api/stack.h"
#include "allocator/harden/reach.h"
#include "allocator/heap/heap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum kiln_report_kind {
    KILN_REPORT_DOUBLE_FREE,
    KILN_REPORT_INTERIOR_FREE,
    KILN_REPORT_FOREIGN_FREE,
    KILN_REPORT_SIZE_MISMATCH,
    KILN_REPORT_ALIGNMENT_MISMATCH,
    KILN_REPORT_FUNCTION_MISMATCH, /* malloc, then delete, and so on */
    KILN_REPORT_OVERFLOW,
    KILN_REPORT_UNDERFLOW,
    KILN_REPORT_USE_AFTER_FREE,
    KILN_REPORT_USE_AFTER_RESTORE,
    KILN_REPORT_WILD_ACCESS, /* of heap addresses that hold no block */
    KILN_REPORT_LEAK,
    KILN_REPORT_TOO_BIG,
    KILN_REPORT_CALLOC_OVERFLOW,
    KILN_REPORT_BAD_ALIGNMENT,
    KILN_REPORT_NO_MEMORY,
    KILN_REPORT_CORRUPTION, /* of the heap's own records */
    KILN_REPORT_KINDS,
} kiln_report_kind_t;

typedef enum kiln_access { KILN_ACCESS_NONE, KILN_ACCESS_READ, KILN_ACCESS_WRITE } kiln_access_t;

#define KILN_THREAD_UNKNOWN UINT32_MAX

/* The block that the report is about. */
typedef struct kiln_report_block {
    bool known;
    bool live;
    uintptr_t start;
    size_t bytes;      /* as the program asked for; 0: unknown, the slot's then */
    size_t slot_bytes; /* 0: unknown */
    kiln_stack_id_t alloc_stack, free_stack;
    uint32_t alloc_thread, free_thread; /* kiln_thread_number, or KILN_THREAD_UNKNOWN */
    const char *from; /* the family that it came from, as AddressSanitizer says it; or NULL */
} kiln_report_block_t;

/* Zeroed by its maker but for what is known. */
typedef struct kiln_report {
    kiln_report_kind_t kind;
    kiln_access_t access;
    size_t access_bytes;     /* 0: unknown */
    uintptr_t address;       /* that was passed, read or written */
    const char *call;        /* "free"; NULL: no call, an access */
    uintptr_t caller;        /* where that call returns to; 0: a fault, see `at` */
    const kiln_unwind_t *at; /* where it happened; NULL: here */
    kiln_report_block_t block;
    bool look_up; /* `block` is what kiln_report_about says, asked once the first lines are out */
    size_t claimed_bytes, claimed_align; /* what a sized free was told; 0: nothing */
    const kiln_lost_t *lost;             /* of a leak: what was lost; else NULL */
    size_t lost_count;
    const char *note; /* one more sentence, or NULL */
    bool has_seed, has_input;
    uint64_t seed;      /* of the heap */
    uint64_t input;     /* number of the input that ran, in a fuzzing loop */
    const char *replay; /* a command that shows it again, or NULL */

    /* Filled by kiln_report. */
    uint64_t pid;
    bool halts; /* the process ends after it */
    uint32_t thread;
    kiln_stack_t stack;
} kiln_report_t;

/* What the first line of a report looks like. */
typedef enum kiln_report_shape {
    KILN_REPORT_AT_CALL,  /* KIND on ADDRESS in thread T0: */
    KILN_REPORT_BAD_FREE, /* a free of what is no block */
    KILN_REPORT_ACCESS,   /* KIND on address ADDRESS at pc PC, then READ of size N */
    KILN_REPORT_FAULT,    /* SEGV on unknown address ADDRESS */
    KILN_REPORT_REQUEST,  /* KIND: without an address */
    KILN_REPORT_LOST,     /* blocks, none of which is the one */
} kiln_report_shape_t;

/* The words of a kind. `name` is Kiln's; `asan_name` the one that AddressSanitizer uses, for tools
 * that know only those. `remedy` follows the name of the call, or where there is none "the
 * program". */
typedef struct kiln_report_words {
    const char *name, *asan_name;
    kiln_report_shape_t shape;
    const char *remedy;
} kiln_report_words_t;

const kiln_report_words_t *kiln_report_words(kiln_report_kind_t kind);

/* kiln_report tells of `*report`. It comes back only where halt_on_error is off and the program can
 * go on: not after a fault, and not when a record is corrupt. */
void kiln_report(kiln_report_t *report);

/* kiln_report_misuse tells what kiln_heap_* answered. `call` names the function that got `block`
 * and `caller` is where it returns to; `align` and `bytes` are what a sized free was told (0, 0 for
 * others). */
void kiln_report_misuse(kiln_misuse_t misuse, const char *call, uintptr_t caller, const void *block,
                        size_t align, size_t bytes);

/* kiln_report_refused tells of a request that got no memory: KILN_REPORT_NO_MEMORY, _TOO_BIG,
 * _CALLOC_OVERFLOW or _BAD_ALIGNMENT. */
void kiln_report_refused(kiln_report_kind_t kind, const char *call, uintptr_t caller, size_t align,
                         size_t bytes);

/* kiln_report_no_memory ends the program: a throwing operator new has nobody to throw to. */
_Noreturn void kiln_report_no_memory(size_t bytes, uintptr_t caller);

/* kiln_report_about tells what the process's heap knows of the block at or around `address`
 * (report_block.h). */
kiln_report_block_t kiln_report_about(uintptr_t address);

/* kiln_report_fork_child: a report that another thread was in is not going on here. */
void kiln_report_fork_child(void);

#endif
