/* rewind.h - another backend, whose memory can be put back as it was: bytes, states and all. A heap
 * on it goes back in time, with everything that it keeps in memory of the backend's.
 *
 *   kiln_os_rewind_init(&rewind, &linux_os, ranges, ranges_max);
 *   config.os = config.arena_os = &rewind.os;
 *   kiln_heap_init(&heap, &config);
 *   kiln_os_rewind_add(&rewind, &heap, sizeof heap);
 *   kiln_os_rewind_mark(&rewind);
 *   ... blocks are made, freed, written ...
 *   kiln_os_rewind_restore(&rewind);       the heap, and each block, is as it was at the mark
 *
 * Marks nest: restore goes back to the newest, which stays; drop forgets it, and then the one
 * before it is the newest. What is given back while a mark stands is kept for it, as address space.
 *
 * What is elsewhere does not go back: a watcher's shadow, the pointers that a program kept, and
 * what `add` was not told of. Advice about huge pages stays.
 *
 * Units    bytes. Only for backends whose addresses are pointers.
 * Cost     a mark copies what is Ready (pages of zeros cost no memory); a restore compares all of
 * it and writes what differs. Errors   mark: false, nothing changed. restore: false where the inner
 * backend refuses memory that it had given before; then nothing on this backend may be used any
 * more. A call that the array of ranges has no room for is refused. Threads  the backend's calls:
 * any. Nobody uses its memory while it is marked or put back. Owner    `inner`, the ranges and what
 * `add` names outlive it. */
#ifndef KILN_ALLOCATOR_OS_REWIND_H
#define KILN_ALLOCATOR_OS_REWIND_H

#include "allocator/os/model.h"

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
} kiln_os_rewind_t;

void kiln_os_rewind_init(kiln_os_rewind_t *rewind, const kiln_os_t *inner, kiln_os_range_t *ranges,
                         unsigned ranges_max);

/* kiln_os_rewind_add has [start, start + bytes) put back, too, from the next mark on. False: there
 * is a mark, or there are too many pieces. */
bool kiln_os_rewind_add(kiln_os_rewind_t *rewind, void *start, size_t bytes);

bool kiln_os_rewind_mark(kiln_os_rewind_t *rewind);

/* kiln_os_rewind_restore and kiln_os_rewind_drop want a mark. */
bool kiln_os_rewind_restore(kiln_os_rewind_t *rewind);
void kiln_os_rewind_drop(kiln_os_rewind_t *rewind);

#endif
