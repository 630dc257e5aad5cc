/* recording.h - KILN_OPTIONS=record=FILE: a trace of what the OS answers this process.
 *
 * One process writes one file: a file that is there already is left alone and nothing is recorded,
 * because a program that the recorded one starts has the same options. The child of a fork stops.
 *
 * Threads  begin and started are called while the heap is made; stop with the heap's locks held. */
#ifndef KILN_ALLOCATOR_API_RECORDING_H
#define KILN_ALLOCATOR_API_RECORDING_H

#include "allocator/heap/heap.h"

/* kiln_recording_begin creates the file and puts the recorder into `*config`. An empty path does
 * nothing; a file that cannot be created ends the process with exit code 2. */
void kiln_recording_begin(const char *path, kiln_heap_config_t *config);

/* kiln_recording_started writes the head of the trace, from the heap that was made of that config.
 */
void kiln_recording_started(const kiln_heap_t *heap);

void kiln_recording_stop(void);

#endif
