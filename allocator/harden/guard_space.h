/* guard_space.h - the address space of guarded blocks: chunks of it, and what is known of each
 * slot.
 *
 * A slot is a gap of pages that fault and the data pages of one block behind it. Slots are cut from
 * an open chunk, upwards; a block that does not fit a chunk has a run of chunks for itself. In
 * front of every data page and behind it is a page that faults, because every chunk begins with a
 * gap.
 *
 *              open                close           last block freed
 *    Reserved -------> Open/Run ---------> Full ----------------------> Dead --+
 *       ^ ^             ^   | (all freed already) ---------------------> ^     |
 *       | |             +---|---------- reuse, oldest first ------------------ +
 *       | +--- refused -----+                                                  |
 *       +---------------------- retire, oldest first --------------------------+
 *
 *   guard pages   a chunk is committed whole and all of it Guarded; a slot's data pages are made
 *                 Ready when they are taken and Guarded when they are given. A run is committed
 *                 whole, guarded around its block, and decommitted when it is given.
 *   mappings      chunks stay Reserved; the data pages of a slot are committed and decommitted.
 *
 * Address space goes round: new chunks are taken upwards from the one before, and again from the
 * bottom. Dead chunks keep their guard pages and records until more than freed_chunks_max are dead.
 * Then the oldest one becomes a plain reservation, which costs no page tables, and its records
 * serve another chunk; unless that would cut the address space into more mappings than
 * mappings_max: then it is used again as it is.
 *
 * Units    pages are hardware pages. A chunk is named by its index.
 * Lock     the guard's. kiln_guard_space_has and kiln_guard_space_about take none: what they read
 *          is atomic, and records are never unmapped.
 * Memory   chunks' entries and records are one mapping of their own. */
#ifndef KILN_ALLOCATOR_HARDEN_GUARD_SPACE_H
#define KILN_ALLOCATOR_HARDEN_GUARD_SPACE_H

#include "allocator/os/os.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KILN_GUARD_CHUNK_PAGES = 512,
    KILN_GUARD_SLOTS_MAX = 256, /* of a chunk: each has a gap and data */
    KILN_GUARD_CURSORS = 2,     /* open chunks: one for small blocks, one for others */
    KILN_GUARD_SMALL_PAGES_MAX = 16,
};

#define KILN_GUARD_NO_CHUNK UINT32_MAX

typedef enum kiln_guard_mechanism {
    KILN_GUARD_CHOOSE, /* guard pages where the OS has them, else mappings */
    KILN_GUARD_PAGES,
    KILN_GUARD_MAPPINGS,
} kiln_guard_mechanism_t;

typedef struct kiln_guard_space_config {
    kiln_guard_mechanism_t mechanism;
    uint64_t region_bytes;     /* address space for blocks; where the OS refuses so much, a quarter
                                  of the largest half of a half of it that it grants */
    uint32_t gap_pages;        /* that fault between two blocks, 1 to 16 */
    uint32_t freed_chunks_max; /* see above; at least 1 */
    uint32_t mappings_max;     /* of the kernel, at least 16; an estimate, see the statistics.
                                  What is freed faults, also where the OS guards no page any more:
                                  then two a block come on top */
} kiln_guard_space_config_t;

typedef enum kiln_guard_where {
    KILN_GUARD_BELOW,
    KILN_GUARD_INSIDE,
    KILN_GUARD_ABOVE
} kiln_guard_where_t;

/* What is known of an address. */
typedef struct kiln_guard_about {
    bool known;     /* of a block there or nearby; else the rest is 0, but for `forgotten` */
    bool forgotten; /* blocks were there, so long ago that nobody remembers them */
    bool live;      /* the block was not freed */
    kiln_guard_where_t where; /* the address is below, inside or above the block; a block of 0 bytes
                                 has nothing inside */
    size_t distance_bytes;    /* from the address to the first byte (BELOW) or from the block's end
                                 to the address (ABOVE: 0 is the first byte behind it) */
    uintptr_t block;
    size_t bytes;
    uint32_t alloc_stack, alloc_thread, free_stack, free_thread;
} kiln_guard_about_t;

typedef struct kiln_guard_space_stats {
    bool guard_pages;        /* the mechanism; false before the first block */
    uint64_t region_bytes;   /* 0 before the first block */
    uint64_t meta_bytes;     /* entries and records, of which memory is what was used */
    uint32_t chunks_used;    /* chunks with blocks that are live or may still come */
    uint32_t chunks_dead;    /* whose blocks are all freed, and remembered */
    uint32_t chunks_guarded; /* committed, each with a page table of 4 KiB */
    uint32_t chunks_retired; /* since the start */
    uint32_t chunks_reused;  /* since the start: without having been retired */
    uint32_t mappings; /* of the kernel. A kernel may join neighbours later than it could: then
                          there are more */
} kiln_guard_space_stats_t;

typedef enum kiln_guard_slot_state {
    KILN_GUARD_SLOT_NONE,
    KILN_GUARD_SLOT_LIVE,
    KILN_GUARD_SLOT_FREED,
} kiln_guard_slot_state_t;

/* One slot. Pages are counted from the start of the chunk, or of the run. */
typedef struct kiln_guard_slot {
    _Atomic uintptr_t start; /* of the block */
    _Atomic size_t bytes;
    _Atomic uint32_t first_page, pages; /* of data */
    _Atomic uint32_t alloc_stack, alloc_thread, free_stack, free_thread;
    _Atomic uint8_t state; /* kiln_guard_slot_state_t; stored last, with release order */
    bool hole;             /* in a committed chunk, but Reserved: the OS refused a guard */
} kiln_guard_slot_t;

/* The records of a chunk. */
typedef struct kiln_guard_book {
    struct kiln_guard_book *next; /* of those that no chunk has */
    _Atomic uint32_t slots_count;
    uint64_t live_bits[KILN_GUARD_SLOTS_MAX / 64]; /* bit i set: slot i is live */
    _Atomic uint16_t
        slot_of_page[KILN_GUARD_CHUNK_PAGES]; /* 1 + its index, gap included; 0: none */
    kiln_guard_slot_t slots[KILN_GUARD_SLOTS_MAX];
} kiln_guard_book_t;

typedef enum kiln_guard_chunk_state {
    KILN_GUARD_CHUNK_RESERVED,
    KILN_GUARD_CHUNK_USED, /* open, full, or a run */
    KILN_GUARD_CHUNK_DEAD,
} kiln_guard_chunk_state_t;

typedef struct kiln_guard_chunk {
    _Atomic(kiln_guard_book_t *) book; /* of a run: in its first chunk, its head */
    _Atomic uint32_t back;             /* chunks to the head; 0: it is one */
    _Atomic uint32_t run_chunks;       /* of a head */
    uint32_t prev, next;               /* heads: used ones, or dead ones from the oldest on */
    uint16_t live_slots;
    uint16_t cuts; /* mappings that single slots cost: in a committed chunk they are holes */
    uint8_t state; /* kiln_guard_chunk_state_t, of every chunk */
    bool open;     /* slots are cut from it */
    bool committed;
    _Atomic bool had_blocks; /* ever */
} kiln_guard_chunk_t;

typedef struct kiln_guard_list {
    uint32_t first, last; /* KILN_GUARD_NO_CHUNK: empty */
} kiln_guard_list_t;

typedef struct kiln_guard_space {
    _Atomic uintptr_t start; /* of chunk 0 */
    _Atomic uintptr_t bytes; /* of all chunks; 0 until there are any, stored with release order */
    kiln_guard_chunk_t *chunks;
    const kiln_os_t *os;
    kiln_guard_space_config_t config;
    kiln_guard_mechanism_t mechanism; /* CHOOSE until it is known */
    uint32_t chunks_count, page_shift;
    kiln_addr_t region, meta; /* as the OS gave them; 0: not yet */
    uint64_t region_reserved_bytes, meta_reserved_bytes;
    uintptr_t books, books_end; /* records that were never used, Ready */
    uint64_t meta_ready_bytes;
    kiln_guard_book_t *free_books;
    kiln_guard_list_t used, dead;
    uint32_t cursor[KILN_GUARD_CURSORS];      /* the open chunk */
    uint32_t cursor_page[KILN_GUARD_CURSORS]; /* its first page that no slot has */
    uint32_t next_chunk;                      /* where the search for reserved ones begins */
    uint32_t reserved_chunks, used_chunks, dead_chunks, committed_chunks;
    uint32_t retired, reused;
    uint32_t start_wait; /* requests without room until the OS is asked for address space again */
    uint32_t
        cuts; /* changes between Reserved and Ready or Guarded, from the first chunk to the last */
    uint64_t forced_cuts; /* since the start, where a guard was refused: allowed besides */
} kiln_guard_space_t;

/* A slot that was taken. */
typedef struct kiln_guard_place {
    uint32_t head;
    kiln_guard_slot_t *slot;
    uintptr_t data; /* its first data page */
} kiln_guard_place_t;

const char *kiln_guard_space_config_broken_rule(const kiln_guard_space_config_t *config);
void kiln_guard_space_init(kiln_guard_space_t *space, const kiln_os_t *os,
                           const kiln_guard_space_config_t *config);
void kiln_guard_space_destroy(kiln_guard_space_t *space);

/* kiln_guard_space_take gives a slot for `bytes` bytes: whole data pages, Ready and zero, the first
 * at a multiple of `align_bytes`; for 0 bytes one page that faults. Its record has `bytes` and
 * pages and the state NONE; the caller fills in the rest and calls kiln_guard_space_live. False: no
 * room, nothing changed. */
bool kiln_guard_space_take(kiln_guard_space_t *space, size_t bytes, uint64_t align_bytes,
                           kiln_guard_place_t *out);
void kiln_guard_space_live(kiln_guard_space_t *space, const kiln_guard_place_t *place);

/* kiln_guard_space_give ends a live slot: its pages fault, their memory is the system's. When it
 * was the chunk's last, the chunk may be retired at once, and the record with it. */
void kiln_guard_space_give(kiln_guard_space_t *space, const kiln_guard_place_t *place);

/* kiln_guard_space_find gives the slot whose data or gap pages hold the address. False: there is
 * none. */
bool kiln_guard_space_find(const kiln_guard_space_t *space, uintptr_t address,
                           kiln_guard_place_t *out);

/* kiln_guard_space_about fills `*out` for an address that kiln_guard_space_has. `overflow`: of two
 * blocks equally near, the lower one is meant. */
void kiln_guard_space_about(const kiln_guard_space_t *space, uintptr_t address, bool overflow,
                            kiln_guard_about_t *out);

/* kiln_guard_space_had_blocks: were there ever any in the chunk of this address? */
bool kiln_guard_space_had_blocks(const kiln_guard_space_t *space, uintptr_t address);

/* kiln_guard_slot_about describes the slot for an address anywhere. */
void kiln_guard_slot_about(const kiln_guard_slot_t *slot, uintptr_t address,
                           kiln_guard_about_t *out);

kiln_guard_space_stats_t kiln_guard_space_stats(const kiln_guard_space_t *space);

/* Between guard_chunk.c and guard_slot.c: chunks from Reserved to dead. `open` and `open_run` give
 * the index of the (first) chunk or KILN_GUARD_NO_CHUNK; a run's pages but [first_page, first_page
 * + pages) fault, and with mappings those too. `decommit` makes a committed head and its run
 * Reserved, or answers false: it would take too many mappings. */
bool kiln_guard_space_start(kiln_guard_space_t *space);
uint32_t kiln_guard_chunk_open(kiln_guard_space_t *space);
uint32_t kiln_guard_chunk_open_run(kiln_guard_space_t *space, uint32_t chunks_count,
                                   uint64_t first_page, uint64_t pages);
void kiln_guard_chunk_close(kiln_guard_space_t *space, uint32_t head);
void kiln_guard_chunk_bury(kiln_guard_space_t *space, uint32_t head);
bool kiln_guard_chunk_decommit(kiln_guard_space_t *space, uint32_t head);

/* kiln_guard_mappings gives the mappings that so many cuts make: the region's, and two for entries
 * and records. */
static inline uint32_t kiln_guard_mappings(uint32_t cuts)
{
    return cuts + 3;
}

static inline kiln_guard_book_t *kiln_guard_book_of(const kiln_guard_space_t *space, uint32_t head)
{
    return atomic_load_explicit(&space->chunks[head].book, memory_order_acquire);
}

static inline bool kiln_guard_space_has(const kiln_guard_space_t *space, uintptr_t address)
{
    uintptr_t bytes = atomic_load_explicit(&space->bytes, memory_order_acquire);
    return address - atomic_load_explicit(&space->start, memory_order_relaxed) < bytes;
}

static inline uint64_t kiln_guard_chunk_bytes(const kiln_guard_space_t *space)
{
    return (uint64_t)KILN_GUARD_CHUNK_PAGES << space->page_shift;
}

static inline uintptr_t kiln_guard_chunk_start(const kiln_guard_space_t *space, uint32_t chunk_idx)
{
    return atomic_load_explicit(&space->start, memory_order_relaxed) +
           (uintptr_t)(chunk_idx * kiln_guard_chunk_bytes(space));
}

#endif
