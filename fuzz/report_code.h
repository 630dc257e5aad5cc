/* report_code.h - the code that a report's stack leads through: two modules, their tables and
 * names, a stack and registers, all as the input wants.
 *
 *   CODE    four functions and the tables for them, in memory that ends where they do: a read
 *           beyond faults, and ASan sees one before
 *   PLAIN   addresses without memory, of a module without tables
 *
 * It stands in for allocator/api/module.h and symbolizer.h, whose sources are not linked: for the
 * dynamic linker, whose tables are not ours to ruin, and for a child process.
 *
 * Threads  one.   Memory  mapped once, where it is the same for the same input. */
#ifndef KILN_FUZZ_REPORT_CODE_H
#define KILN_FUZZ_REPORT_CODE_H

#include "allocator/api/stack.h"

#include <stddef.h>
#include <stdint.h>

enum {
    KILN_CODE_STACK_WORDS = 96,
    KILN_CODE_NAME_BYTES = 1200, /* longer than any of a module, function or file */
    KILN_CODE_FUNCTION_BYTES = 16,
    KILN_CODE_FUNCTIONS = 4,
};

#define KILN_CODE_PLAIN_START ((uintptr_t)0x40000000)
#define KILN_CODE_PLAIN_BYTES ((uintptr_t)0x1000)

typedef enum kiln_code_name {
    KILN_CODE_PATH,
    KILN_CODE_PLAIN_PATH, /* "": the program itself, where there is no /proc */
    KILN_CODE_FUNCTION,
    KILN_CODE_FILE,
    KILN_CODE_REPLAY,
    KILN_CODE_NAMES,
} kiln_code_name_t;

typedef struct kiln_code {
    unsigned char *bytes; /* of CODE: functions, then the table of tables, then tables */
    size_t count;
    size_t rules_at[KILN_CODE_FUNCTIONS]; /* of each function's table, in CODE */
    ptrdiff_t header_at; /* where the linker says that the table of tables begins */
    uintptr_t *stack;    /* KILN_CODE_STACK_WORDS of them */
    kiln_unwind_t frame; /* the innermost */
    char names[KILN_CODE_NAMES][KILN_CODE_NAME_BYTES];
    unsigned symbols; /* functions at an address, inlined ones included; 0: no symbolizer */
} kiln_code_t;

/* kiln_code is the one that module.h's functions answer for. */
extern kiln_code_t kiln_code;

/* kiln_code_begin makes it whole: each function's table is right, and the registers are those of
 * one that called another, and that one a third. Of the end of the tables `cut_bytes` are missing.
 */
void kiln_code_begin(size_t cut_bytes, ptrdiff_t header_moved, unsigned symbols);
/* kiln_code_put writes into CODE; what lies beyond it is not written. */
void kiln_code_put(size_t at, const unsigned char *bytes, size_t count);

/* kiln_code_spell sets four bytes of a name at `at`, and behind them, `times` times. */
void kiln_code_spell(kiln_code_name_t name, size_t at, const unsigned char bytes[4],
                     unsigned times);

/* kiln_code_walk goes up the stack. `may_ask` is kiln_readable_t's. `as_report`: by
 * kiln_stack_walk, which cuts what is before `caller`; else a step at a time, on the stack alone.
 */
void kiln_code_walk(bool as_report, bool may_ask, uintptr_t caller, kiln_stack_t *out);

#endif
