/* kept.h - the common paths of a process whose heap keeps who allocated and freed a block: the
 * stack is kept, then the block is made or ended (harden_kept.h).
 *
 * Both are to be compiled into their callers; `frame` is a caller's that returns to where the
 * program called, or one in front of that. They do the whole work or nothing, as those of
 * process.h. */
#ifndef KILN_ALLOCATOR_API_KEPT_H
#define KILN_ALLOCATOR_API_KEPT_H

#include "allocator/api/process.h"
#include "allocator/api/report.h"
#include "allocator/api/stack.h"
#include "allocator/harden/harden_kept.h"

static inline __attribute__((always_inline)) kiln_by_t kiln_kept_by(kiln_site_t site,
                                                                    uintptr_t frame)
{
    unsigned frames_max = (unsigned)kiln_report_options.malloc_context_size;
    uint32_t stack = frames_max == 0 ? 0 : kiln_stack_capture_from(frame, site.caller, frames_max);
    return (kiln_by_t){site, stack};
}

/* kiln_keeps_who: is this a thread for which the common paths below were made? Others should not go
 * the way to them. */
static inline bool kiln_keeps_who(void)
{
    const kiln_harden_thread_t *mine = kiln_thread.hardened;
    return mine && mine->kept_bytes != 0;
}

/* kiln_kept_malloc gives NULL when another must be called. */
static inline __attribute__((always_inline)) void *
kiln_kept_malloc(size_t bytes, bool zero, kiln_site_t site, uintptr_t frame)
{
    kiln_harden_thread_t *mine = kiln_thread.hardened;
    if (!mine || !kiln_harden_keeps(mine, bytes)) return NULL;
    kiln_by_t by = kiln_kept_by(site, frame);
    return kiln_harden_malloc_kept(&kiln_process_heap, mine, bytes, zero, by);
}

/* kiln_kept_free and kiln_kept_free_sized give false when another must be called. */
static inline bool kiln_kept_free(void *block, kiln_site_t site, uintptr_t frame)
{
    kiln_harden_thread_t *mine = kiln_thread.hardened;
    if (!mine || mine->kept_bytes == 0) return false;
    return kiln_harden_free_kept(&kiln_process_heap, mine, block, kiln_kept_by(site, frame));
}

static inline bool kiln_kept_free_sized(void *block, size_t bytes, kiln_site_t site,
                                        uintptr_t frame)
{
    kiln_harden_thread_t *mine = kiln_thread.hardened;
    if (!mine || mine->kept_bytes == 0) return false;
    kiln_by_t by = kiln_kept_by(site, frame);
    return kiln_harden_free_sized_kept(&kiln_process_heap, mine, block, bytes, by);
}

#endif
