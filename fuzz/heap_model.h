/* heap_model.h - what a heap must do, kept beside it and compared at every call.
 *
 * The model remembers every live block: where it is, what was asked for, and a seed from which
 * every byte of its contents follows, so that a block whose bytes moved, were overwritten or were
 * given out twice is found at the latest when it is freed. Each function below makes one call of
 * heap.h and stops the program when a law of DESIGN.md does not hold:
 *
 *   L1  blocks do not overlap, lie in Ready heap, are aligned, are as large as asked for, and hold
 *       what was written; calloc's are zero; realloc keeps the prefix
 *   L4  a call that fails leaves every block as it was, and the heap's own count of live bytes
 *   L5  a misuse is reported with its kind and changes nothing; a correct call is never reported
 *
 * Of a hardened heap it keeps what harden_model.h says besides.
 *
 * Each call is followed by a look at what it can have changed, and some by one at everything
 * (kiln_heap_model_check).
 *
 * What blocks hold is contents.h.
 *
 * Threads  one.   Memory  none is allocated. */
#ifndef KILN_FUZZ_HEAP_MODEL_H
#define KILN_FUZZ_HEAP_MODEL_H

#include "allocator/os/fake.h"
#include "fuzz/harden_model.h"
#include "fuzz/heap_subject.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KILN_HEAP_MODEL_SLOTS = 256,
    KILN_HEAP_MODEL_FREED = 32, /* freed blocks that are remembered, for double frees */
};

typedef struct kiln_heap_model_block {
    unsigned char *at; /* NULL: no block in this slot */
    size_t bytes;      /* asked for */
    size_t usable;
    size_t align; /* asked for; 0: malloc's */
    uint32_t seed;
    size_t room; /* what no other block may use; but for a hardened heap it is `usable` */
    kiln_family_t family;
    uint8_t live_idx;         /* of the slot in the model's `live` */
    kiln_harden_block_t hard; /* of a hardened heap */
} kiln_heap_model_block_t;

typedef struct kiln_heap_model {
    kiln_subject_t *subject;
    kiln_heap_t *heap;           /* the subject's */
    kiln_harden_model_t *harden; /* NULL: the heap is a plain one */
    const kiln_os_fake_t *fake;
    kiln_heap_model_block_t blocks[KILN_HEAP_MODEL_SLOTS];
    uint8_t live[KILN_HEAP_MODEL_SLOTS]; /* the slots that have a block, in any order */
    unsigned live_count;
    void *freed[KILN_HEAP_MODEL_FREED]; /* a ring; freed[freed_at] is the next to be forgotten */
    unsigned freed_at;
    bool freed_last; /* the latest call freed the latest of `freed` */
    uint32_t seed;
    uint64_t live_bytes; /* sum of room, but for guarded blocks */
    uint64_t event_hash; /* of all answers, as distances from the window's start */
} kiln_heap_model_t;

/* `harden`: NULL, or the model of what hardens the heap, made before. */
void kiln_heap_model_init(kiln_heap_model_t *model, kiln_subject_t *subject,
                          kiln_harden_model_t *harden, const kiln_os_fake_t *fake);

/* The calls. `slot` is below KILN_HEAP_MODEL_SLOTS; what is in it is freed first where a new block
 * goes there. `count` 0: malloc or aligned; else calloc of count * bytes. */
void kiln_heap_model_alloc(kiln_heap_model_t *model, const kiln_subject_by_t *by, unsigned slot,
                           size_t align, size_t count, size_t bytes);
void kiln_heap_model_realloc(kiln_heap_model_t *model, const kiln_subject_by_t *by, unsigned slot,
                             size_t bytes);
void kiln_heap_model_free(kiln_heap_model_t *model, const kiln_subject_by_t *by, unsigned slot,
                          bool sized);

/* What a program may do wrong, and through which call. */
typedef enum kiln_heap_model_wrong {
    KILN_WRONG_DOUBLE,
    KILN_WRONG_INTERIOR,
    KILN_WRONG_FOREIGN,
    KILN_WRONG_SIZE,
    KILN_WRONG_ALIGNMENT,
    KILN_WRONG_FAMILY,     /* from here on: of a hardened heap */
    KILN_WRONG_BESIDE,     /* a write beside a live block */
    KILN_WRONG_AFTER_FREE, /* to a block that was freed */
    KILN_WRONG_WILD,       /* to a slot that is no block's, or no more */
    KILN_WRONGS_HARDENED,
} kiln_heap_model_wrong_t;

enum { KILN_WRONGS_PLAIN = KILN_WRONG_FAMILY };

void kiln_heap_model_misuse(kiln_heap_model_t *model, const kiln_subject_by_t *by,
                            kiln_heap_model_wrong_t wrong, unsigned through, unsigned slot,
                            uint32_t arg);

/* kiln_heap_model_check compares the heap's books with the model and walks the whole heap. */
void kiln_heap_model_check(kiln_heap_model_t *model);

#endif
