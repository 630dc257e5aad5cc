/* harden_model.h - what a hardened heap promises beyond a heap, kept beside it (heap_model.h).
 *
 *   L1  a fresh block holds what its profile says, and what a block grows by does; a freed one
 *       holds nothing of its owner
 *   L5  what a program did to bytes that are not its own is told when it must be, once, to the
 *       byte, with its kind and its block; nothing else is ever told
 *   L8  a freed block is not handed out before the quarantine lets it go; a freed large block, and
 *       what lies behind a live one and beside a guarded one, faults
 *
 * Damage is planted: bytes are changed behind the heap's back, and remembered, so that whatever the
 * heap tells is compared with a list. What stays planted must be told by the call that frees or
 * moves the block, or hands the slot out, at the latest; a check of the heap tells all that there
 * is. Addresses of slots are remembered in a table that forgets: then less is checked.
 *
 * Threads  one.   Memory  none is allocated. The latest model that was made is the one that is told
 *          of damage. */
#ifndef KILN_FUZZ_HARDEN_MODEL_H
#define KILN_FUZZ_HARDEN_MODEL_H

#include "allocator/os/fake.h"
#include "fuzz/heap_subject.h"

enum {
    KILN_HARDEN_MODEL_THREADS = 3,
    KILN_HARDEN_MODEL_PLANTED = 16,
    KILN_HARDEN_MODEL_FREED = 4096, /* a power of two */
};

/* A live block, as the model of a hardened heap sees it. */
typedef struct kiln_harden_block {
    uintptr_t at;
    size_t bytes; /* asked for */
    size_t room;  /* no other block may use: its slot */
    bool guarded, large;
} kiln_harden_block_t;

typedef struct kiln_harden_planted {
    kiln_damage_kind_t kind; /* NONE: this place is free */
    bool either;             /* an underflow of the block behind would look the same */
    bool live, told;         /* told: by the call that runs */
    uintptr_t first, end;    /* as it will be told */
    uintptr_t wrote;         /* the bytes that were changed, */
    size_t wrote_bytes;
    uint8_t flip; /* by exclusive or */
    kiln_harden_block_t block;
} kiln_harden_planted_t;

/* A small block that was freed into a quarantine. */
typedef struct kiln_harden_freed {
    uintptr_t at; /* 0: none */
    uint32_t class_idx, frees, thread_idx, epoch;
    uint32_t run; /* of the model, without which `at` means nothing */
} kiln_harden_freed_t;

typedef struct kiln_harden_model {
    kiln_subject_t *subject;
    const kiln_os_fake_t *fake;
    kiln_harden_planted_t planted[KILN_HARDEN_MODEL_PLANTED];
    uint32_t frees[KILN_HARDEN_MODEL_THREADS][KILN_SIZE_CLASSES]; /* into each ring */
    uint32_t epochs[KILN_HARDEN_MODEL_THREADS]; /* how often each quarantine was emptied */
    uintptr_t large_first[KILN_HARDEN_LARGE_PLACES], large_end[KILN_HARDEN_LARGE_PLACES];
    unsigned large_next; /* of these, what has waited longest; an end of 0: none */
    unsigned waits;      /* large blocks that wait, as the heap says */
    uint64_t guarded_blocks, guarded_bytes;
    uint32_t
        run; /* how often this model was made: what was freed before is not cleared each time */
    kiln_harden_freed_t freed[KILN_HARDEN_MODEL_FREED];
} kiln_harden_model_t;

/* The struct was zero before it was first made. */
void kiln_harden_model_init(kiln_harden_model_t *model, kiln_subject_t *subject,
                            const kiln_os_fake_t *fake);

/* What the config of the heap must say: whom to tell of damage, and what a stack is. */
void kiln_harden_model_found(const kiln_damage_t *damage, kiln_site_t site);
uint32_t kiln_harden_model_stack(uintptr_t caller);
uint32_t kiln_harden_model_thread(void);

/* kiln_harden_model_look gives what the heap knows of a live block, and checks it. */
kiln_harden_block_t kiln_harden_model_look(const kiln_harden_model_t *model, uintptr_t at,
                                           size_t bytes);

/* After a call: it gave this block, zeroed or not; it made `was` the block `is`; it freed it, or
 * moved what was in it elsewhere; it did none of that. */
void kiln_harden_model_taken(kiln_harden_model_t *model, const kiln_harden_block_t *block,
                             bool zero);
void kiln_harden_model_resized(kiln_harden_model_t *model, const kiln_subject_by_t *by,
                               const kiln_harden_block_t *was, const kiln_harden_block_t *is);
void kiln_harden_model_freed(kiln_harden_model_t *model, const kiln_subject_by_t *by,
                             const kiln_harden_block_t *block);
void kiln_harden_model_settle(kiln_harden_model_t *model);

/* kiln_harden_model_flushed: what this thread kept was given back. */
void kiln_harden_model_flushed(kiln_harden_model_t *model, unsigned thread_idx);

/* kiln_harden_model_check has the heap check itself: it tells of all that is planted. */
void kiln_harden_model_check(kiln_harden_model_t *model);

/* kiln_harden_model_all_told: is nothing planted any more? */
bool kiln_harden_model_all_told(const kiln_harden_model_t *model);

/* kiln_harden_model_kept_bytes gives what the heap's ledger counts as live, and no program has. */
uint64_t kiln_harden_model_kept_bytes(const kiln_harden_model_t *model);

/* Damage, which a check must tell of at once: beside a live block, where `behind_live` says that
 * another one starts at its slot's end; and in the free slot that has the address, if one has: of a
 * block that was freed, or of none. `stays`: it is not undone, and must be told again in time. */
void kiln_harden_model_plant_beside(kiln_harden_model_t *model, const kiln_harden_block_t *block,
                                    bool behind_live, bool stays, uint32_t arg);
void kiln_harden_model_plant_free(kiln_harden_model_t *model, uintptr_t at, bool stays,
                                  uint32_t arg);

/* kiln_harden_model_slot_near gives the `nth` slot, modulo, of the span that the block is in; 0:
 * it has none. */
uintptr_t kiln_harden_model_slot_near(const kiln_harden_model_t *model,
                                      const kiln_harden_block_t *block, uint32_t nth);

#endif
