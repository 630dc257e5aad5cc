/* watch.h - the tool that this program is linked with.
 *
 * There is one library a tool, //allocator:kiln_TOOL, and each defines these functions: no
 * weak symbols, and nothing at the calls in the heap that says which it is. A heap is watched when
 * its configuration names the watcher:
 *
 *   kiln_heap_config_t config = kiln_start_config(kiln_watch_os(&os));
 *   config.watcher = kiln_watch();
 *
 *   asan      what is not a live block's bytes is poisoned, to the byte, and so are the records
 *             of a heap; when the process ends, blocks that nothing points to are told as leaks
 *             (asan_leak.h)
 *   msan      a block is uninitialised until it is written, whoever had it before
 *   tsan      accesses of an earlier owner count no more; the heap's own locks synchronise nobody
 *   hwasan    a block and the address by which the program has it have a tag, which what is no live
 *             block's has not; a stale address frees nothing
 *   valgrind  what is not a live block's bytes, or not written, as memcheck sees it; a heap is
 *             watched where valgrind runs, and else costs nothing
 *   none      nobody
 *
 * No tool's shadow goes back to a checkpoint, so these libraries have none: a program that calls
 * kiln_checkpoint() or kiln_os_rewind_init() with them does not link (undefined reference).
 *
 * Threads  any. */
#ifndef KILN_SANITIZER_WATCH_H
#define KILN_SANITIZER_WATCH_H

#include "allocator/os/os.h"
#include "sanitizer/publish.h"

/* kiln_watch gives the watcher for a heap's configuration, or NULL: no tool looks on. */
const kiln_watcher_t *kiln_watch(void);

/* kiln_watch_os gives the backend on which a watched heap is made: `os`, or one above it that keeps
 * the heap to what the tool can follow, and asan's poison on the heap's records. No other heap is
 * made on it. It is one for the process: that of the first call's `os`, which then lives as long as
 * the process. */
const kiln_os_t *kiln_watch_os(const kiln_os_t *os);

#endif
