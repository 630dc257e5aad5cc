/* taken_back.h - the blocks that restores took back, for who uses one still: the newest that there
 * is room for. It lies outside of what goes back.
 *
 * Threads  one that adds; find: any, and a signal handler, while nobody adds. */
#ifndef KILN_ALLOCATOR_API_TAKEN_BACK_H
#define KILN_ALLOCATOR_API_TAKEN_BACK_H

#include "allocator/api/report.h"
#include "allocator/os/os.h"

enum { KILN_TAKEN_BACK_MAX = 1 << 14 };

/* kiln_taken_back_init takes room, once. False: there is no memory; then nothing is kept. */
bool kiln_taken_back_init(const kiln_os_t *os);

void kiln_taken_back_add(const kiln_report_block_t *block);

/* kiln_taken_back_find gives the newest of the blocks that had the address. */
bool kiln_taken_back_find(uintptr_t address, kiln_report_block_t *out);

bool kiln_taken_back_memory(const void **out_start, size_t *out_bytes);

#endif
