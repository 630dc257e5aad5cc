/* symbolizer.h - function, file and line of a code address, from llvm-symbolizer.
 *
 * A child process that talks over a pair of sockets. It is started by a bare clone: no handlers of
 * fork run, no SIGCHLD comes, and the program's own wait() does not see it. The child gets an empty
 * environment, so that it is neither on Kiln nor steered by the program's variables. What does not
 * answer in time is killed, and everything after is unknown.
 *
 * Threads  one at a time (the report lock).   Memory  none is allocated: buffers are static. */
#ifndef KILN_ALLOCATOR_API_SYMBOLIZER_H
#define KILN_ALLOCATOR_API_SYMBOLIZER_H

#include <stdbool.h>
#include <stdint.h>

enum { KILN_SYMBOL_FUNCTION_MAX_BYTES = 512, KILN_SYMBOL_FILE_MAX_BYTES = 1024 };

typedef struct kiln_symbol {
    char function[KILN_SYMBOL_FUNCTION_MAX_BYTES]; /* "": unknown. Cut when it is longer */
    char file[KILN_SYMBOL_FILE_MAX_BYTES];         /* "": unknown */
    uint64_t line, column;                         /* 0: unknown */
} kiln_symbol_t;

/* kiln_symbolizer_start starts the program `path`, or where that is "", llvm-symbolizer of any
 * version in the folders of `folders`, which are separated by colons. Where there is none, nothing
 * is known of any address. */
void kiln_symbolizer_start(const char *path, const char *folders);

/* kiln_symbolizer_ask asks for the function at `offset` in `module`; the answers are read with
 * kiln_symbolizer_next, innermost first where functions are inlined, until that answers false. */
void kiln_symbolizer_ask(const char *module, uintptr_t offset);
bool kiln_symbolizer_next(kiln_symbol_t *out);

void kiln_symbolizer_stop(void);

#endif
