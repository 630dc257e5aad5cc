/* child.h - runs an input in a child process and tells what it broke.
 *
 * The kind of a finding is what two inputs have in common that show the same bug: the name of the
 * rule that a check says is broken, or the tool and the kind of a line SUMMARY (no place in the
 * sources, no stack), or else how the process ended.
 *
 * Threads  one.   Memory  none is allocated here; the input is copied for the child, so that a
 *          sanitizer sees a read beyond it. */
#ifndef KILN_FUZZ_CHILD_H
#define KILN_FUZZ_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KILN_FUZZ_KIND_BYTES = 256, KILN_FUZZ_CHILD_SECONDS = 25 };

/* kiln_fuzz_child_open prepares for children; false: there is no temporary file. */
bool kiln_fuzz_child_open(void);

/* kiln_fuzz_child_run runs one input, for KILN_FUZZ_CHILD_SECONDS at most, and writes the kind of
 * what it broke; an empty one when it broke nothing. False: there is no process, or no memory. */
bool kiln_fuzz_child_run(const uint8_t *data, size_t size, char kind[KILN_FUZZ_KIND_BYTES]);

/* kiln_fuzz_child_kind reads the kind from what a process wrote to standard error, and from its
 * status as waitpid gives it. */
void kiln_fuzz_child_kind(const char *said, int status, char kind[KILN_FUZZ_KIND_BYTES]);

/* kiln_fuzz_child_begin makes this process the child, whose standard error goes to the temporary
 * file; kiln_fuzz_child_ended waits for it, at whatever time it ends, and writes its kind. */
void kiln_fuzz_child_begin(void);
bool kiln_fuzz_child_ended(int child, char kind[KILN_FUZZ_KIND_BYTES]);

#endif
