/* harden.h - a heap that sees what a program does wrong with its blocks, without instrumentation.
 *
 * It is the heap below with another idea of what a block is. Of every slot it knows how many bytes
 * were asked for; at least one byte behind them holds a canary. A block that is freed is
 * overwritten and waits in a quarantine; a slot that is handed out must still be all zero.
 *
 *                malloc: zero? canary              free: canary? overwritten
 *    FREE, FRESH ------- BUSY ----------> LIVE ------------ BUSY ------------> QUARANTINED
 *       ^ all zero                                                                 |
 *       +------------- pushed out by later frees of its class ---------------------+
 *
 * While a slot's bytes are changed it is BUSY: a check in another thread, or in the child of a fork
 * in another thread, leaves it alone.
 *
 * What is seen, and when:
 *   a write to slack, before or behind a block   when that block is freed or resized; at a check
 *   a write to a freed block, or a free slot     when the slot is handed out, or leaves the
 *                                                thread that freed it; at a check
 *   a second free, a free of what is no block    at the call; the heap's misuse, as ever
 *   another size than was asked for              at the sized free
 * Some blocks, or all, come from a guard instead (guard.h): an access beyond them, or after they
 * were freed, faults at once. Which ones is drawn, or goes round, so that other ones are guarded
 * under another seed.
 *
 * What was in a block is never seen by the next owner: freed bytes are overwritten, or given back
 * to the OS, or, of large blocks, cleared when their pages are used again.
 *
 * Units    bytes.
 * Threads  every function may be called by any thread at any time, unless it says otherwise; a
 *          kiln_harden_thread_t belongs to one thread at a time. Locks: the list of threads, then
 *          those of the heap.
 * Errors   as those of heap.h. Damage is told to `found`, where it is met; then the heap goes on.
 * Owner    heap, guard and what the config names outlive it. */
#ifndef KILN_ALLOCATOR_HARDEN_HARDEN_H
#define KILN_ALLOCATOR_HARDEN_HARDEN_H

#include "allocator/harden/fill.h"
#include "allocator/harden/guard.h"
#include "allocator/harden/note.h"
#include "allocator/harden/quarantine.h"

#include <stdbool.h>
#include <stddef.h>

/* The function of the malloc family that the program called, and where that returns to. */
typedef struct kiln_site {
    const char *call;
    uintptr_t caller;
} kiln_site_t;

/* A block is freed with the family that it came from. */
typedef enum kiln_family { KILN_FAMILY_MALLOC, KILN_FAMILY_NEW, KILN_FAMILY_ARRAY } kiln_family_t;

/* kiln_site_family goes by the name: "operator new[]", "operator delete"; all else is malloc's. */
static inline kiln_family_t kiln_site_family(kiln_site_t site)
{
    enum { VERB_AT = sizeof "operator " - 1 };
    static const char new_array[] = "operator new[", delete_array[] = "operator delete[";
    if (!site.call || site.call[0] != 'o') return KILN_FAMILY_MALLOC;
    size_t bracket_at =
        (site.call[VERB_AT] == 'n' ? sizeof new_array : sizeof delete_array) - sizeof "[";
    return site.call[bracket_at] == '[' ? KILN_FAMILY_ARRAY : KILN_FAMILY_NEW;
}

typedef enum kiln_damage_kind {
    KILN_DAMAGE_NONE,
    KILN_DAMAGE_OVERFLOW,       /* behind a live block */
    KILN_DAMAGE_UNDERFLOW,      /* the same bytes, but they end where the next block starts */
    KILN_DAMAGE_USE_AFTER_FREE, /* in a block that was freed */
    KILN_DAMAGE_WILD_WRITE,     /* in a slot that no block ever was in */
} kiln_damage_kind_t;

/* What is known of a block besides what heap.h says. Numbers of 0: not kept. */
typedef struct kiln_harden_about {
    bool known;      /* a slot that is, or was, a block's */
    bool live, busy; /* busy: neither live nor freed, a call is at work in it */
    uintptr_t block;
    size_t asked, slot_bytes;
    uint32_t alloc_stack, free_stack;
    uint16_t alloc_thread, free_thread;
    kiln_family_t family; /* MALLOC where it is not kept */
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
    uint8_t fresh_byte; /* what malloc's blocks begin with; 0: zero, as the rest */
    uint8_t freed_byte; /* what blocks in quarantine hold; 0: zero */
    kiln_quarantine_bounds_t quarantine;
    kiln_guard_t *guard;        /* NULL: no block is guarded */
    uint32_t guard_every;       /* one in so many is; 1: all are. See kiln_harden_next_guarded */
    bool guard_rotates;         /* more and more seldom; else ten times as seldom at most */
    bool families;              /* a free by another family's function is a misuse */
    kiln_damage_found_t *found; /* told with no lock but, from a check, the page heap's */
    uint32_t (*stack)(uintptr_t caller); /* keeps a stack; NULL: none are kept, nor threads */
    uint32_t (*thread)(void);            /* the number of the calling thread; with `stack` */
} kiln_harden_config_t;

enum {
    KILN_HARDEN_LARGE_PLACES = 8,
    KILN_HARDEN_FRESH_BYTES_MAX = 4096, /* that hold fresh_byte, as AddressSanitizer fills */
};

/* What a thread needs of a size class, side by side: one cache line at 64 bits. */
typedef struct kiln_harden_bin {
    kiln_quarantine_ring_t ring;
    const kiln_slot_t *first; /* where the class's stack in the thread's cache begins */
    kiln_note_shape_t shape;  /* a copy, as is the canary */
    kiln_canary_t canary;
} kiln_harden_bin_t;

typedef struct kiln_harden_thread kiln_harden_thread_t;
typedef struct kiln_harden kiln_harden_t;
struct kiln_harden_thread {
    kiln_thread_cache_t *cache;
    uint64_t random;       /* state of a generator: odd */
    uint64_t until_guard;  /* the block that makes it 0 is guarded */
    uint32_t few_bytes;    /* the common paths below are for fewer bytes, */
    uint32_t few_classes;  /* and for slots up to this class; 0: for none */
    uint32_t kept_bytes;   /* those of harden_kept.h are for fewer bytes; 0: for none */
    uint16_t number;       /* the thread's, where it is kept */
    uint16_t family_mask;  /* the bits of a note's family that a free must have, too */
    uint64_t blocks;       /* given when the next one is guarded, */
    uint64_t exact_blocks; /* which is exact up to so many, where guarded ones rotate */
    uint64_t before;       /* given to threads that had ended when this one came */
    kiln_harden_t *harden;
    kiln_harden_thread_t *prev, *next; /* of the list; a spare one: next */
    kiln_harden_bin_t bins[KILN_SIZE_CLASSES];
    kiln_slot_t places[]; /* of the quarantine */
};

struct kiln_harden {
    kiln_heap_t *heap;
    kiln_canary_t canary;
    kiln_unit_t fresh, freed; /* units of the next two */
    uint8_t fresh_byte, freed_byte;
    bool random, keeps_stacks, keeps_who; /* who: stacks, or families */
    kiln_note_shape_t shapes[KILN_SIZE_CLASSES];
    kiln_harden_config_t config;
    kiln_lock_t lock; /* covers what follows */
    kiln_harden_thread_t *first, *spares;
    uint64_t threads;                            /* that ever came: each has another seed */
    uint64_t blocks_before;                      /* given to those that have ended */
    kiln_slot_t large[KILN_HARDEN_LARGE_PLACES]; /* freed large blocks, whose pages fault */
    uint32_t large_next;                         /* of them, the one that has waited longest */
};

/* kiln_harden_note_bytes is what the heap's config must ask for. */
uint32_t kiln_harden_note_bytes(const kiln_harden_config_t *config);

/* kiln_harden_init hardens `heap`, on which nothing was allocated yet. It gives NULL, or why it
 * cannot be. */
const char *kiln_harden_init(kiln_harden_t *harden, kiln_heap_t *heap,
                             const kiln_harden_config_t *config);

/* What a thread has of it: NULL when there is no memory. Every function below takes NULL and then
 * works without quarantine. kiln_harden_flush gives back all that it holds, and looks at it; detach
 * ends it. */
kiln_harden_thread_t *kiln_harden_attach(kiln_harden_t *harden);
void kiln_harden_flush(kiln_harden_t *harden, kiln_harden_thread_t *mine, kiln_site_t site);
void kiln_harden_detach(kiln_harden_t *harden, kiln_harden_thread_t *mine);

/* kiln_harden_large_flush gives back the freed large blocks that wait; true: there were any. It is
 * called where there is no address space, too. */
bool kiln_harden_large_flush(kiln_harden_t *harden);

/* kiln_harden_malloc gives `bytes` bytes, aligned to `align` (a power of two, else NULL), zeroed
 * when `zero`. */
void *kiln_harden_malloc(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t bytes, bool zero,
                         kiln_site_t site);
void *kiln_harden_aligned(kiln_harden_t *harden, kiln_harden_thread_t *mine, size_t align,
                          size_t bytes, kiln_site_t site);

/* kiln_harden_free and the next ones are as kiln_heap_free, _free_sized, _realloc and _usable; a
 * sized free must name exactly what was asked for, and usable is what was asked for. Where
 * config.families, the call of `site` must be of the family that the block came from. */
kiln_misuse_t kiln_harden_free(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                               kiln_site_t site);
kiln_misuse_t kiln_harden_free_sized(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                                     size_t align, size_t bytes, kiln_site_t site);
void *kiln_harden_realloc(kiln_harden_t *harden, kiln_harden_thread_t *mine, void *block,
                          size_t bytes, kiln_site_t site, kiln_misuse_t *out_misuse);
size_t kiln_harden_usable(kiln_harden_t *harden, const void *block, kiln_misuse_t *out_misuse);

/* kiln_harden_about never faults, whatever `address` is, and whatever the numbers in its span's
 * record are but for the class; it takes no lock. */
kiln_harden_about_t kiln_harden_about(const kiln_harden_t *harden, uintptr_t address);

/* kiln_harden_turn: where guarded blocks go round, another one of the thread's next blocks is
 * guarded for each `number`, as under the seeds that follow. */
void kiln_harden_turn(kiln_harden_thread_t *mine, uint64_t number);

/* kiln_harden_check looks at every slot of the heap, tells of each that is damaged and gives how
 * many were. Other threads may go on: what they are just changing is looked at again. */
uint64_t kiln_harden_check(kiln_harden_t *harden, kiln_site_t site);

/* kiln_harden_check_some looks only at blocks of which `wants` says that bytes of theirs, or of
 * their records, may have changed. `wants` calls nothing of the heap. */
uint64_t kiln_harden_check_some(kiln_harden_t *harden, kiln_wants_t *wants, const void *ctx,
                                kiln_site_t site);

/* Around fork, outside of the heap's own. */
void kiln_harden_fork_prepare(kiln_harden_t *harden);
void kiln_harden_fork_parent(kiln_harden_t *harden);
void kiln_harden_fork_child(kiln_harden_t *harden, kiln_harden_thread_t *mine);

/* kiln_harden_broken_rule checks every thread's quarantine; no thread is inside. */
const char *kiln_harden_broken_rule(const kiln_harden_t *harden);

/* ---- shared by the files of this noun ---- */

/* kiln_harden_begin_fresh fills a block that is all zero with what malloc's hold. */
static inline void kiln_harden_begin_fresh(const kiln_harden_t *harden, void *block, size_t bytes,
                                           bool zero)
{
    if (harden->fresh_byte == 0 || zero) return;
    bool is_long = bytes > KILN_HARDEN_FRESH_BYTES_MAX;
    memset(block, harden->fresh_byte, is_long ? KILN_HARDEN_FRESH_BYTES_MAX : bytes);
}

/* The number of the calling thread, 0 where it is not kept; who allocated and freed a block. */
uint16_t kiln_harden_thread_number(const kiln_harden_t *harden);
void kiln_harden_note_alloc(kiln_harden_t *harden, const kiln_span_t *span, uint32_t slot_idx,
                            kiln_site_t site);
void kiln_harden_note_free(kiln_harden_t *harden, const kiln_span_t *span, uint32_t slot_idx,
                           kiln_site_t site);

/* Large blocks. A new one has room for `room_bytes`, at least `bytes`; to retire is to go on with a
 * free whose block was taken from the program; resize gives false where it cannot grow. */
void *kiln_harden_large_malloc(kiln_harden_t *harden, size_t align, size_t bytes, size_t room_bytes,
                               bool zero, kiln_site_t site);
void kiln_harden_large_retire(kiln_harden_t *harden, kiln_span_t *span, kiln_site_t site);
bool kiln_harden_large_resize(kiln_harden_t *harden, kiln_span_t *span, size_t asked, size_t bytes);

/* kiln_harden_tell looks at a slot that is in the state `state`, and tells of what is wrong. */
void kiln_harden_tell(kiln_harden_t *harden, const kiln_span_t *span, uint32_t slot_idx,
                      uint8_t state, kiln_site_t site);

/* kiln_harden_look judges one slot in the state `state`; NONE: nothing is wrong with it. */
kiln_damage_t kiln_harden_look(const kiln_harden_t *harden, const kiln_span_t *span,
                               uint32_t slot_idx, uint8_t state);

/* kiln_harden_release takes a slot that leaves a quarantine. */
void kiln_harden_release(kiln_harden_t *harden, kiln_harden_thread_t *mine, uint32_t class_idx,
                         kiln_slot_t slot, kiln_site_t site);

/* kiln_harden_look_at_bin tells of those of a bin's older slots that are not zero. */
void kiln_harden_look_at_bin(kiln_harden_thread_t *mine, uint32_t class_idx, uint32_t count,
                             kiln_site_t site);

/* kiln_harden_canary_end gives where the canary behind a large block ends. */
uintptr_t kiln_harden_canary_end(const kiln_span_t *span, size_t asked);

/* kiln_harden_next_guarded draws how many blocks later the next one is guarded: guard_every on
 * average at first; when a thread's blocks so far, and those of threads that have ended, are more
 * than fifty times that, a fiftieth of them, so that the guard costs a program little, whatever it
 * allocates: ten times guard_every at most.
 * Where guard_rotates: exactly guard_every at first, so that guard_every seeds one after another
 * guard each of a thread's first blocks, and then more and more. Not all of many threads begin so:
 * of the n-th, one in n / 16, another one after guard_every seeds more. */
uint64_t kiln_harden_next_guarded(const kiln_harden_t *harden, kiln_harden_thread_t *mine);

/* The blocks of the guard; see harden.c for what calls them. */
void *kiln_harden_guarded_malloc(kiln_harden_t *harden, size_t align, size_t bytes, bool zero,
                                 kiln_site_t site);
kiln_misuse_t kiln_harden_guarded_free(kiln_harden_t *harden, void *block, kiln_site_t site);
uint64_t kiln_harden_guarded_check(kiln_harden_t *harden, kiln_wants_t *wants,
                                   const void *wants_ctx, kiln_site_t site);
kiln_harden_about_t kiln_harden_guarded_about(const kiln_harden_t *harden, uintptr_t address);

static inline bool kiln_harden_guards(const kiln_harden_t *harden, const void *block)
{
    return harden->config.guard != NULL && kiln_guard_owns(harden->config.guard, block);
}

/* kiln_harden_retire_ruined goes on with a free whose block was taken from the program, and is
 * damaged. kiln_harden_push_full makes room for a slot first, and looks at
 * those that go. kiln_harden_hand_out_ruined hands a
 * slot out that is not zero, which it tells of. */
void kiln_harden_retire_ruined(kiln_harden_thread_t *mine, void *block, kiln_site_t site);
void kiln_harden_push_full(kiln_harden_thread_t *mine, uint32_t class_idx, kiln_slot_t slot,
                           kiln_site_t site);
__attribute__((returns_nonnull)) void *kiln_harden_hand_out_ruined(kiln_harden_thread_t *mine,
                                                                   kiln_slot_t slot, size_t bytes,
                                                                   kiln_site_t site);

/* ---- the common paths, to be compiled into their callers ----
 *
 * As in heap.h: a fast one does the whole work, or nothing, and then the other of that name must be
 * called; and none calls anything but in the end. They are for slots of up to KILN_FEW_CLASSES'
 * size, and for a heap that keeps no stacks and whose fresh and freed bytes are zero. */

enum { KILN_FEW_CLASSES = 32, KILN_FEW_BYTES = KILN_TABLE_BYTES_MAX };

/* kiln_harden_pop takes one of the free slots at hand, which one is drawn: by the upper half of a
 * multiplicative congruential generator modulo 2^64 (the multiplier: Steele and Vigna,
 * "Computationally easy, spectrally good multipliers for congruential pseudorandom number
 * generators", 2021). */
static inline bool kiln_harden_pop(kiln_harden_thread_t *mine, uint32_t class_idx, kiln_slot_t *out)
{
    kiln_thread_cache_t *cache = mine->cache;
    const char *first = (const char *)mine->bins[class_idx].first;
    kiln_slot_t *top = kiln_cache_bin_top(cache, class_idx);
    size_t has_bytes = (size_t)((const char *)top - first);
    if (__builtin_expect(has_bytes == 0, 0)) return false;
    mine->random *= UINT64_C(0xf1357aea2e62a9c5);
    uint64_t at = (mine->random >> 32) * has_bytes >> 32;
    kiln_slot_t *drawn = (kiln_slot_t *)(uintptr_t)(first + at / sizeof *top * sizeof *top);
    *out = *drawn;
    if (!out->block) __builtin_unreachable();
    /* Half by half: the youngest may just have been stored so, and a load of both would wait. */
    __atomic_store_n(&drawn->block, __atomic_load_n(&top[-1].block, __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&drawn->state, __atomic_load_n(&top[-1].state, __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
    atomic_signal_fence(memory_order_release);
    atomic_store_explicit(&cache->tops[class_idx], top - 1, memory_order_relaxed);
    return true;
}

/* kiln_harden_busy marks a slot that is in this thread's hands, before its bytes are changed. */
static inline void kiln_harden_busy(_Atomic uint8_t *state)
{
    atomic_store_explicit(state, KILN_SLOT_BUSY, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

/* kiln_harden_claim takes a live block from the program: false when it is not, or another thread
 * was sooner. */
static inline bool kiln_harden_claim(const kiln_heap_t *heap, _Atomic uint8_t *state)
{
    if (!kiln_heap_change(heap, state, KILN_SLOT_LIVE, KILN_SLOT_BUSY)) return false;
    atomic_thread_fence(memory_order_release);
    return true;
}

/* kiln_harden_push puts a slot that leaves the quarantine where it can be handed out again. */
static inline void kiln_harden_push(kiln_harden_thread_t *mine, uint32_t class_idx,
                                    kiln_slot_t slot, kiln_site_t site)
{
    kiln_thread_cache_t *cache = mine->cache;
    kiln_slot_t *top = kiln_cache_bin_top(cache, class_idx);
    if (__builtin_expect(kiln_cache_bin_is_full(cache, class_idx, top), 0)) {
        kiln_harden_push_full(mine, class_idx, slot, site);
        return;
    }
    atomic_store_explicit(slot.state, KILN_SLOT_FREE, memory_order_relaxed);
    kiln_cache_bin_put(cache, class_idx, top, slot);
}

/* kiln_harden_malloc_fast gives zeroed bytes, or NULL. */
static inline void *kiln_harden_malloc_fast(kiln_harden_thread_t *mine, size_t bytes,
                                            kiln_site_t site)
{
    kiln_slot_t slot;
    if (__builtin_expect(bytes >= mine->few_bytes || mine->until_guard == 1, 0)) return NULL;
    uint32_t class_idx = kiln_classes_of_16[bytes / KILN_FILL_UNIT + 1]; /* of bytes + 1 */
    if (__builtin_expect(!kiln_harden_pop(mine, class_idx, &slot), 0)) return NULL;
    mine->until_guard--;
    const kiln_harden_bin_t *bin = &mine->bins[class_idx];
    size_t slack = bin->shape.slot_bytes - bytes;
    char *block = slot.block, *end = block + bin->shape.slot_bytes;
    if (__builtin_expect(!kiln_unit_is_zero(kiln_units_or(block, end, (kiln_unit_t){0, 0})), 0))
        return kiln_harden_hand_out_ruined(mine, slot, bytes, site);
    kiln_harden_busy(slot.state);
    kiln_canary_begin(&bin->canary, end, slack);
    kiln_note_set_slack(&bin->shape, slot.state, slack);
    atomic_store_explicit(slot.state, KILN_SLOT_LIVE, memory_order_release);
    return block;
}

/* kiln_harden_few finds the slot that begins at `block`, and its class; false: it is none for the
 * paths below. Its state may be any. */
static inline __attribute__((always_inline)) bool kiln_harden_few(const kiln_heap_t *heap,
                                                                  const kiln_harden_thread_t *mine,
                                                                  void *block, kiln_slot_t *out,
                                                                  uint32_t *out_class)
{
    kiln_span_t *span = kiln_page_map_find_fast(&heap->map, (uintptr_t)block);
    if (__builtin_expect(!span, 0)) return false;
    uint32_t class_idx = span->class_idx; /* 0, of large blocks, becomes the highest */
    if (__builtin_expect(class_idx - 1 >= mine->few_classes, 0)) return false;
    uint64_t slot_idx = kiln_span_index(span, (uintptr_t)block - kiln_span_base(span));
    if (__builtin_expect(slot_idx >= kiln_span_index_end(span), 0)) return false;
    *out = (kiln_slot_t){block, &span->states[slot_idx]};
    *out_class = class_idx;
    return true;
}

static inline __attribute__((always_inline)) bool
kiln_harden_end_few(const kiln_heap_t *heap, kiln_harden_thread_t *mine, uint32_t class_idx,
                    kiln_slot_t slot, kiln_site_t site)
{
    if (!kiln_harden_claim(heap, slot.state)) return false;
    kiln_harden_bin_t *bin = &mine->bins[class_idx];
    char *block = slot.block, *end = block + bin->shape.slot_bytes;
    if (__builtin_expect(
            !kiln_canary_holds(&bin->canary, end, kiln_note_slack(&bin->shape, slot.state)), 0)) {
        kiln_harden_retire_ruined(mine, block, site);
        return true;
    }
    kiln_units_set(block, end, (kiln_unit_t){0, 0});
    atomic_store_explicit(slot.state, KILN_SLOT_QUARANTINED, memory_order_release);
    slot = kiln_quarantine_push(&bin->ring, slot);
    if (__builtin_expect(slot.block != NULL, 1)) kiln_harden_push(mine, class_idx, slot, site);
    return true;
}

/* kiln_harden_free_fast and _free_sized_fast give false when nothing was done. Of a block that is
 * live its size stays as it is, so it may be looked at before the block is claimed. */
static inline bool kiln_harden_free_fast(const kiln_heap_t *heap, kiln_harden_thread_t *mine,
                                         void *block, kiln_site_t site)
{
    kiln_slot_t slot;
    uint32_t class_idx;
    return kiln_harden_few(heap, mine, block, &slot, &class_idx) &&
           kiln_harden_end_few(heap, mine, class_idx, slot, site);
}

static inline bool kiln_harden_free_sized_fast(const kiln_heap_t *heap, kiln_harden_thread_t *mine,
                                               void *block, size_t bytes, kiln_site_t site)
{
    kiln_slot_t slot;
    uint32_t class_idx;
    if (!kiln_harden_few(heap, mine, block, &slot, &class_idx)) return false;
    const kiln_note_shape_t *shape = &mine->bins[class_idx].shape;
    if (shape->slot_bytes - kiln_note_slack(shape, slot.state) != bytes) return false;
    return kiln_harden_end_few(heap, mine, class_idx, slot, site);
}

#endif
