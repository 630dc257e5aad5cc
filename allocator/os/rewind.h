/* rewind.h - another backend, whose memory can be put back as it was: bytes, states and all. A heap
 * on it goes back in time, with everything that it keeps in memory of the backend's.
 *
 *   kiln_os_rewind_init(&rewind, &linux_os, ranges, ranges_max);
 *   config.os = config.arena_os = &rewind.os;
 *   kiln_heap_init(&heap, &config);
 *   kiln_os_rewind_add(&rewind, &heap, sizeof heap);
 *   kiln_os_rewind_mark(&rewind);
 *   ... blocks are made, freed, written ...
 *   kiln_os_rewind_restore(&rewind, NULL);       the heap, and each block, is as it was at the mark
 *
 * Marks nest: restore goes back to the newest, which stays; drop forgets it, and then the one
 * before it is the newest. What is given back while a mark stands is kept for it, as address space.
 *
 * What is elsewhere does not go back: a watcher's shadow (the libraries of sanitizer/watch.h have
 * no such backend, and a heap on one has no watcher), the pointers that a program kept, and what
 * `add` was not told of. Advice about huge pages stays.
 *
 * Units    bytes. Only for backends whose addresses are pointers.
 * Cost     a mark copies what is Ready (pages of zeros cost no memory). Who puts it back looks at
 * the pages that were written since, where `written` can tell, and else at all; at other memory
 * (`add`) as a whole, and so the first time after a newer mark was dropped.
 * Errors   mark: false, nothing changed. restore: false where the inner backend refuses memory that
 * it had given before; then nothing on this backend may be used any more. A call that the array of
 * ranges has no room for is refused.
 * Threads  the backend's calls: any. Nobody uses its memory while it is marked or put back.
 * Owner    `inner`, `written`, the ranges and what `add` names outlive it. */
#ifndef KILN_ALLOCATOR_OS_REWIND_H
#define KILN_ALLOCATOR_OS_REWIND_H

#include "allocator/os/model.h"
#include "allocator/os/written.h"

#include <stddef.h>

enum { KILN_OS_REWIND_PIECES_MAX = 64 };

typedef struct kiln_os_mark kiln_os_mark_t;

typedef struct kiln_os_rewind {
    kiln_os_t os; /* what the heap is given */
    const kiln_os_t *inner;
    kiln_lock_t lock;       /* of the model */
    kiln_os_model_t model;  /* what is what now; FOREIGN: given back, and kept for a mark */
    kiln_os_mark_t *newest; /* NULL: there is no mark */
    struct {
        void *start;
        size_t bytes;
    } pieces[KILN_OS_REWIND_PIECES_MAX]; /* of other memory */
    unsigned pieces_count;

    const kiln_os_written_t *written; /* NULL: nobody can tell */
    bool is_followed;                 /* by it: all of the newest mark's that can be written */
    kiln_ranges_t restless;           /* what had a call since the newest mark, or restore */
    bool all_restless;                /* that has no room for more */
    kiln_os_stretch_t *stretches;     /* what `written` listed */
    unsigned stretches_count;
    kiln_addr_t listed_end; /* as far as it looked: all from here on counts as written */
    uint64_t pages_seen;    /* by the last restore, of what was as at the mark but for its bytes */
    uint64_t pages_in_vain; /* seen and found the same, since what was written was last forgotten */
} kiln_os_rewind_t;

/* What a restore asks and tells. */
typedef struct kiln_os_rewind_visit {
    void *ctx;

    /* before is called when it is known what was touched, and nothing has been put back yet. May be
     * NULL. */
    void (*before)(void *ctx);

    /* keeps names the first bytes in [first, end), memory for programs, that are to stay as they
     * are: [*out_first, *out_end), or false: there are none. It is asked before records go back and
     * after it, and what it names both times stays, if it had memory all the while. NULL: nothing
     * stays. */
    bool (*keeps)(void *ctx, kiln_addr_t first, kiln_addr_t end, kiln_addr_t *out_first,
                  kiln_addr_t *out_end);
} kiln_os_rewind_visit_t;

/* `written` may be NULL. */
void kiln_os_rewind_init(kiln_os_rewind_t *rewind, const kiln_os_t *inner,
                         const kiln_os_written_t *written, kiln_os_range_t *ranges,
                         unsigned ranges_max);

/* kiln_os_rewind_add has [start, start + bytes) put back, too, from the next mark on. False: there
 * is a mark, or there are too many pieces. */
bool kiln_os_rewind_add(kiln_os_rewind_t *rewind, void *start, size_t bytes);

bool kiln_os_rewind_mark(kiln_os_rewind_t *rewind);

/* kiln_os_rewind_restore and kiln_os_rewind_drop want a mark. `visit` may be NULL. */
bool kiln_os_rewind_restore(kiln_os_rewind_t *rewind, const kiln_os_rewind_visit_t *visit);
void kiln_os_rewind_drop(kiln_os_rewind_t *rewind);

/* For `before`: kiln_os_rewind_was gives what lay at `address` at the newest mark, up to the end of
 * its page at least, or NULL: nothing. kiln_os_rewind_touched: may any of the bytes, memory
 * of the backend's, differ from then? */
const void *kiln_os_rewind_was(const kiln_os_rewind_t *rewind, const void *address);
bool kiln_os_rewind_touched(const kiln_os_rewind_t *rewind, const void *start, size_t bytes);

/* kiln_os_rewind_has: is any of the bytes memory of the backend's? */
bool kiln_os_rewind_has(const kiln_os_rewind_t *rewind, const void *start, size_t bytes);

/* kiln_os_rewind_memory gives, for idx from 0 on, the memory that marks take. False: there is no
 * such piece. */
bool kiln_os_rewind_memory(const kiln_os_rewind_t *rewind, unsigned idx, const void **out_start,
                           size_t *out_bytes);

#endif
