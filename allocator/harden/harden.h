/* harden.h - a heap that sees what a program does wrong with its blocks, without instrumentation.
 *
 * It is the heap below with another idea of what a block is. Of every slot it knows how many bytes
 * were asked for; at least one byte behind them holds a canary. A block that is freed is
 * overwritten and waits in a quarantine; a slot that is handed out must still be all zero.
 *
 *                 malloc: zero? canary             free: canary? overwritten
 *    FREE, FRESH -----------------------> LIVE -----------------------------> QUARANTINED
 *       ^ all zero                                                                 |
 *       +------------- pushed out by later frees of its class ---------------------+
 *
 * What is seen, and when:
 *   a write to slack, before or behind a block     when that block is freed or resized, or at a check
 *   a write to a freed block, or a free slot       when the slot is handed out, or at a check
 *   a second free, a free of what is no block      at the call; the heap's misuse, as ever
 *   another size than was asked for                at the sized free
 * What was in a block is never seen by the next owner: freed bytes are overwritten, and large
 * blocks, whose pages go back to the page heap, are cleared when they are given out.
 *
 * Units    bytes.
 * Threads  every function may be called by any thread at any time, unless it says otherwise; a
 *          kiln_harden_thread_t belongs to one thread at a time. Locks: the list of threads, then
 *          those of the heap.
 * Errors   as those of heap.h. Damage is told to `found`, where it is met; then the heap goes on.
 * Owner    heap and what the config names outlive it. */
#ifndef KILN_ALLOCATOR_HARDEN_HARDEN_H
#define KILN_ALLOCATOR_HARDEN_HARDEN_H

#include "allocator/harden/fill.h"
#include "allocator/harden/note.h"
#include "allocator/harden/quarantine.h"

#include <stdbool.h>
#include <stddef.h>

/* The function of the malloc family that the program called, and where that returns to. */
typedef struct kiln_site {
    const char *call;
    uintptr_t caller;
} kiln_site_t;

typedef enum kiln_damage_kind {
    KILN_DAMAGE_NONE,
    KILN_DAMAGE_OVERFLOW,       /* behind a live block */
    KILN_DAMAGE_UNDERFLOW,      /* the same bytes, but they end where the next block starts */
    KILN_DAMAGE_USE_AFTER_FREE, /* in a block that was freed */
    KILN_DAMAGE_WILD_WRITE,     /* in a slot that no block ever was in */
} kiln_damage_kind_t;

/* What is known of a block besides what heap.h says. Numbers of 0: not kept. */
typedef struct kiln_harden_about {
    bool known; /* a slot that is, or was, a block's */
    bool live;
    uintptr_t block;
    size_t asked, slot_bytes;
    uint32_t alloc_stack, free_stack;
    uint16_t alloc_thread, free_thread;
} kiln_harden_about_t;

typedef struct kiln_damage {
    kiln_damage_kind_t kind;
    uintptr_t first, end; /* the first byte that is wrong, and behind the last one */
    kiln_harden_about_t block;
} kiln_damage_t;

typedef void kiln_damage_found_t(const kiln_damage_t *damage, kiln_site_t site);

typedef struct kiln_harden_config {
    uint64_t seed;      /* of the canary, and of where blocks are placed */
    bool random;        /* which of the free slots at hand is given out is drawn */
    uint8_t fresh_byte; /* what malloc's blocks hold; 0: zero */
    uint8_t freed_byte; /* what blocks in quarantine hold; 0: zero */
    kiln_quarantine_bounds_t quarantine;
    kiln_damage_found_t *found;           /* told with no lock but, from a check, the page heap's */
    uint32_t (*stack)(uintptr_t caller);  /* keeps a stack; NULL: none are kept, nor threads */
    uint32_t (*thread)(void);             /* the number of the calling thread; with `stack` */
} kiln_harden_config_t;

typedef struct kiln_harden_thread kiln_harden_thread_t;
struct kiln_harden_thread {
    kiln_thread_cache_t *cache;
    uint64_t random; /* state of a generator */
    kiln_harden_thread_t *prev, *next; /* of the list; a spare one: next */
    kiln_quarantine_t quarantine;
    kiln_slot_t places[]; /* of the quarantine */
};

typedef struct kiln_harden {
    kiln_heap_t *heap;
    kiln_canary_t canary;
    uint8_t fresh_byte, freed_byte;
    bool random, keeps_stacks;
    kiln_note_shape_t shapes[KILN_SIZE_CLASSES];
    kiln_harden_config_t config;
    kiln_lock_t lock; /* covers the list */
    kiln_harden_thread_t *first, *spares;
    uint64_t threads; /* that ever came: each has another seed */
} kiln_harden_t;

/* kiln_harden_note_bytes is what the heap's config must ask for. */
uint32_t kiln_harden_note_bytes(const kiln_harden_config_t *config);

/* kiln_harden_init hardens `heap`, on which nothing was allocated yet. NULL, or why it cannot be. */
const char *kiln_harden_init(kiln_harden_t *harden, kiln_heap_t *heap,
                             const kiln_harden_config_t *config);

/* What a thread has of it: NULL when there is no memory. Every function below takes NULL and then
 * works without quarantine. kiln_harden_flush gives back all that it holds, detach ends it. */
kiln_harden_thread_t *kiln_harden_attach(kiln_harden_t *harden);
void kiln_harden_flush(kiln_harden_t *harden, kiln_harden_thread_t *mine);
void kiln_harden_detach(kiln_harden_t *harden, kiln_harden_thread_t *mine);

/* kiln_harden_malloc gives `bytes` bytes, aligned to `align` (a power of two, else NULL), zeroed
 * when `zero`. */
void *kiln_harden_malloc(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t bytes,
                         bool zero, kiln_site_t site);
void *kiln_harden_aligned(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t align,
                          size_t bytes, kiln_site_t site);

/* kiln_harden_free and the next ones are as kiln_heap_free, _free_sized, _realloc and _usable; a
 * sized free must name exactly what was asked for, and usable is what was asked for. */
kiln_misuse_t kiln_harden_free(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                               kiln_site_t site);
kiln_misuse_t kiln_harden_free_sized(kiln_harden_t *harden, kiln_harden_thread_t *mine,
                                     void *block, size_t align, size_t bytes, kiln_site_t site);
void *kiln_harden_realloc(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                          size_t bytes, kiln_site_t site, kiln_misuse_t *out_misuse);
size_t kiln_harden_usable(kiln_harden_t *harden, const void *block, kiln_misuse_t *out_misuse);

/* kiln_harden_about never faults, whatever `address` is, and takes no lock. */
kiln_harden_about_t kiln_harden_about(const kiln_harden_t *harden, uintptr_t address);

/* kiln_harden_check looks at every slot of the heap, tells of each that is damaged and gives how
 * many were. Other threads may go on: what they are just changing is looked at again. */
uint64_t kiln_harden_check(kiln_harden_t *harden, kiln_site_t site);

/* Around fork, outside of the heap's own. */
void kiln_harden_fork_prepare(kiln_harden_t *harden);
void kiln_harden_fork_parent(kiln_harden_t *harden);
void kiln_harden_fork_child(kiln_harden_t *harden, kiln_harden_thread_t *mine);

/* kiln_harden_broken_rule checks every thread's quarantine; no thread is inside. */
const char *kiln_harden_broken_rule(const kiln_harden_t *harden);

/* ---- shared by the files of this noun ---- */

/* kiln_harden_look judges one slot in the state `state`; NONE: nothing is wrong with it. */
kiln_damage_t kiln_harden_look(const kiln_harden_t *harden, const kiln_span_t *span,
                               uint32_t slot_idx, uint8_t state);

/* kiln_harden_release takes a slot that leaves a quarantine. */
void kiln_harden_release(kiln_harden_t *harden, kiln_harden_thread_t *mine, uint32_t class_idx,
                         kiln_slot_t slot, kiln_site_t site);

/* kiln_harden_canary_end gives where the canary behind a large block ends. */
uintptr_t kiln_harden_canary_end(const kiln_span_t *span, size_t asked);

#endif
