/* checkpoint.h - the process's heap as it was: what is below it for that, and who asks.
 *
 * Under the start lock, once: kiln_checkpoint_os gives the backend that the heap is to be made on;
 * kiln_checkpoint_own names what the heap keeps elsewhere. Without the option both do nothing. */
#ifndef KILN_ALLOCATOR_API_CHECKPOINT_H
#define KILN_ALLOCATOR_API_CHECKPOINT_H

#include "allocator/api/options.h"
#include "allocator/api/report.h"
#include "allocator/os/rewind.h"

const kiln_os_t *kiln_checkpoint_os(const kiln_options_t *options, const kiln_os_t *os);
void kiln_checkpoint_own(void *start, size_t bytes);

/* kiln_checkpoint_memory gives, for idx from 0 on, the memory that checkpoints take themselves, in
 * which addresses of blocks lie that nobody uses. False: there is no such piece. */
bool kiln_checkpoint_memory(unsigned idx, const void **out_start, size_t *out_bytes);

/* kiln_checkpoint_took gives the block that was at the address, if a restore took it, and none has
 * been there since. kiln_checkpoint_explain makes of `*report`, about an access to no live block,
 * one of a use after restore, if there was such a block. Any thread, and a signal handler; they
 * take no lock. */
bool kiln_checkpoint_took(uintptr_t address, kiln_report_block_t *out);
bool kiln_checkpoint_explain(kiln_report_t *report);

/* kiln_checkpoint_input: see kiln_input. kiln_checkpoint_fork_child: the process is another one. */
void kiln_checkpoint_input(uint64_t number);
void kiln_checkpoint_fork_child(void);

#endif
