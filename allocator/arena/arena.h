/* arena.h - the address space of one heap.
 *
 * The arena takes blocks of address space from the OS, in whatever order and wherever the OS places
 * them, and hands out Ready memory from them, upwards. Two roles are kept apart:
 *
 *   arena_used                the exclusive upper bound of everything that was ever heap. It never
 *                             decreases. Readers without a lock compare pointers with it and then
 *                             index the side tables.
 *   [arena_alloc, arena_end)  the current block: where the next bytes come from. It may lie
 *                             anywhere, also below earlier blocks.
 *
 * Three behaviours, chosen at init (DESIGN.md, "follow"):
 *   seed   Go's allocator as of 13ae3b3a8d34 (May 2017), bit for bit, its weaknesses included
 *   go19   the same with the two repairs that Go 1.9 shipped
 *   kiln   all weaknesses repaired; the default
 *
 * Addresses are numbers (base/units.h): all arithmetic wraps at config.addr_bits, so one source
 * serves 32 and 64 bits, native and simulated, and machines of a few bits for exhaustive search.
 * The arena never touches the memory it hands out, nor the tables it maps.
 *
 * Units    bytes, unless a name says pages. page = the allocator's page (8 KiB); phys = the
 *          hardware page of the OS (4, 16 or 64 KiB); word = the width of a pointer.
 * Lock     the caller holds one lock around every call but kiln_arena_used, kiln_arena_holds and
 *          kiln_arena_table_covers, which any thread may call at any time.
 * Memory   none is allocated; `present` below is the caller's.
 * Source   Go runtime, src/runtime/malloc.go and mheap.go, mid 2017, restated in our own words. */
#ifndef KILN_ALLOCATOR_ARENA_ARENA_H
#define KILN_ALLOCATOR_ARENA_ARENA_H

#include "allocator/arena/arena_tables.h"
#include "allocator/base/units.h"
#include "allocator/os/os.h"
#include "sanitizer/publish.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    KILN_ARENA_KEPT_MAX = 32, /* remainders of earlier blocks that `kiln` remembers */
};

typedef enum kiln_follow { KILN_FOLLOW_SEED, KILN_FOLLOW_GO19, KILN_FOLLOW_KILN } kiln_follow_t;

/* How a request ended: what happened to the block ... */
typedef enum kiln_arena_branch {
    KILN_ARENA_BUMP,           /* no new block was needed */
    KILN_ARENA_EXTEND,         /* the new block continues the current one */
    KILN_ARENA_SWITCH,         /* the new block lies elsewhere and became the current one */
    KILN_ARENA_GROW_OVERFLOW,  /* arena_end + size is not representable: OS not asked */
    KILN_ARENA_GROW_LIMIT,     /* the new end would lie beyond config.addr_max: OS not asked */
    KILN_ARENA_RESERVE_FAILED, /* the OS had no block */
    KILN_ARENA_REJECT_STRAND,  /* switching would strand too much of the current block */
    KILN_ARENA_REJECT_RANGE,   /* the block lies outside the possible range of the arena */
} kiln_arena_branch_t;

/* ... and how the request itself was served. */
typedef enum kiln_arena_service {
    KILN_ARENA_FROM_BLOCK,
    KILN_ARENA_NIL,          /* not served */
    KILN_ARENA_SMALL,        /* by the small fallback */
    KILN_ARENA_SMALL_FAILED, /* the fallback had no memory either */
    KILN_ARENA_SMALL_RANGE,  /* the fallback's memory lies outside the range; given back */
    KILN_ARENA_MAP_FAILED,   /* `kiln` only: the OS would not commit; nothing changed */
} kiln_arena_service_t;

typedef struct kiln_arena_result {
    kiln_addr_t addr; /* page aligned, Ready; 0: none */
    kiln_arena_branch_t branch;
    kiln_arena_service_t service;
    const char *throw_reason; /* not NULL: `seed` and `go19` would have stopped the program here,
                                 and the arena must not be used again */
} kiln_arena_result_t;

/* Told of every step, in the order in which things happen; any function may be NULL. The transcript
 * of a replay and the recorder of real runs are made from it. */
typedef struct kiln_arena_log {
    void *ctx;
    void (*bound)(void *ctx, kiln_addr_t old_used,
                  kiln_addr_t new_used);          /* just before the store */
    void (*outside)(void *ctx, kiln_addr_t addr); /* the fallback's memory is out of range */
    /* a request ended, if only with a throw_reason */
    void (*returned)(void *ctx, uint64_t bytes, const kiln_arena_result_t *result);
} kiln_arena_log_t;

typedef struct kiln_arena_config {
    kiln_follow_t follow;
    unsigned addr_bits;   /* width at which addresses wrap, 4..64 */
    uint64_t page_bytes;  /* 8 KiB; a power of two */
    uint64_t word_bytes;  /* 4 or 8; a power of two */
    uint64_t phys_bytes;  /* a power of two; the OS's */
    uint64_t block_bytes; /* growth granule, 256 MiB; a power of two, multiple of page and phys */
    uint64_t granule_min_bytes; /* `kiln` halves a refused granule down to this, 1 MiB; a power of
                                   two. Never below page and phys; no less than block: no halving */
    uint64_t strand_bytes; /* a switch may strand less than this, 16 MiB; `kiln` strands nothing */
    uint64_t addr_max;     /* size of the possible arena minus one: 2^32-1, 2^39-1, ... */
    unsigned tables;       /* bit set of 1u << kiln_arena_table_id_t: which side tables there are */
} kiln_arena_config_t;

/* A stretch of address space that is ours and holds no heap yet. `reserved`: see os.h. */
typedef struct kiln_arena_region {
    kiln_addr_t start, end; /* end is exclusive; under seed and go19 it may be 0 for 2^addr_bits */
    bool reserved;
} kiln_arena_region_t;

typedef struct kiln_arena {
    kiln_arena_config_t config;
    uint64_t mask; /* kiln_width_mask(config.addr_bits) */
    const kiln_os_t *os;
    const kiln_watcher_t *watcher; /* NULL: nobody watches */
    const kiln_arena_log_t *log;   /* NULL: nobody listens */

    kiln_addr_t arena_start;        /* constant after start-up; base of all table indices */
    _Atomic kiln_addr_t arena_used; /* see kiln_arena_publish in arena.c for the protocol */
    kiln_addr_t arena_alloc;        /* next address of the current block; page aligned */
    kiln_addr_t arena_end;          /* end of the current block; phys aligned only */
    bool arena_reserved;            /* of the current block */
    bool tables_reserved;           /* of the tables; seed and go19 go by arena_reserved instead */
    uint64_t heap_sys_bytes; /* heap bytes mapped; seed and go19 count the fallback's slack */
    kiln_arena_table_t tables[KILN_ARENA_TABLES];

    /* What start-up reserved on either side of tables and heap, for rounding: nobody's. */
    kiln_arena_region_t slack[2];

    /* `kiln` only: remainders of earlier blocks, disjoint, by ascending address. */
    kiln_arena_region_t kept[KILN_ARENA_KEPT_MAX];
    unsigned kept_count;
} kiln_arena_t;

/* kiln_arena_config_default gives the seed's constants for a machine of 32 or 64 bits: 8 KiB pages,
 * 256 MiB granule, halved down to 1 MiB, 16 MiB strand limit, 2^32-1 or 2^39-1, both tables. */
kiln_arena_config_t kiln_arena_config_default(unsigned addr_bits, uint64_t phys_bytes);

/* kiln_arena_config_broken_rule names what is wrong with `*config`, or returns NULL. */
const char *kiln_arena_config_broken_rule(const kiln_arena_config_t *config);

/* kiln_arena_present_words gives how many 64-bit words of zeroed memory `kiln_arena_init` needs to
 * remember which table pages are mapped: 0 unless `follow` is kiln. */
size_t kiln_arena_present_words(const kiln_arena_config_t *config);

/* kiln_arena_init makes an arena without a single byte of address space: all addresses are 0, and
 * `arena_reserved` is true. `present` is kiln_arena_present_words(config) words, zeroed; it, `os`,
 * `watcher` and `log` (both may be NULL) outlive the arena. Returns NULL, or what is wrong with the
 * configuration. */
const char *kiln_arena_init(kiln_arena_t *arena, const kiln_arena_config_t *config,
                            const kiln_os_t *os, const kiln_watcher_t *watcher,
                            const kiln_arena_log_t *log, uint64_t *present);

/* kiln_arena_place sets the addresses by hand, as a trace does; call it once, after init. Returns
 * NULL, or under `kiln` why such an arena cannot be: `kiln` wants page-aligned addresses in order,
 * and a watcher that needs one upward growing range is refused, because blocks may come anywhere.
 */
const char *kiln_arena_place(kiln_arena_t *arena, kiln_addr_t start, kiln_addr_t used,
                             kiln_addr_t alloc, kiln_addr_t end, bool reserved);

/* kiln_arena_publish_start maps the tables for what lies below arena_used at start-up and publishes
 * the bound without telling the watcher: go19's repair of weakness W1. Under `kiln` nothing below
 * is heap yet, so no table is mapped. kiln_arena_start calls it under go19 and kiln. Returns NULL
 * or a throw reason. */
const char *kiln_arena_publish_start(kiln_arena_t *arena);

typedef enum kiln_arena_arch {
    KILN_ARENA_AMD64,
    KILN_ARENA_ARM64,
    KILN_ARENA_DARWIN_ARM64,
} kiln_arena_arch_t;

/* What start-up did, for the transcript: the tables and the heap lie in one reservation. */
typedef struct kiln_arena_layout {
    kiln_addr_t spans_start, spans_end, bitmap_start, bitmap_end;
    bool by_blocks; /* the big reservation was refused, or is not tried at this width */
} kiln_arena_layout_t;

/* kiln_arena_start reserves tables and a first stretch of heap in one piece. 64 bits: up to 128
 * attempts at the whole possible arena. 32 bits, or when those failed: two blocks (512 MiB), one,
 * half a block, and at last none, beyond the program's image (`image_end`) and break (`brk`).
 * Call it once, after init and instead of kiln_arena_place. Returns NULL or a throw reason,
 * or why the watcher cannot be honoured; under `kiln` nothing is held then. */
const char *kiln_arena_start(kiln_arena_t *arena, kiln_arena_arch_t arch, kiln_addr_t image_end,
                             kiln_addr_t brk, kiln_arena_layout_t *out_layout);

/* kiln_arena_destroy gives back to the OS what the arena holds and has not handed out: the tables,
 * the rest of the current block, the remainders. What it handed out is the caller's to release. The
 * arena must not be used again. */
void kiln_arena_destroy(kiln_arena_t *arena);

/* kiln_arena_alloc hands out `bytes` (a multiple of page and phys) of Ready, zeroed memory that is
 * published. Under `kiln` a failure leaves everything as it was. */
kiln_arena_result_t kiln_arena_alloc(kiln_arena_t *arena, uint64_t bytes);

/* kiln_arena_grow is the caller above it: rounds to 64 KiB, asks for at least 1 MiB, and retries
 * once with the exact size. `*out_bytes` is what was asked for last: the size of what `addr` names,
 * or of the request that could not be met. */
kiln_arena_result_t kiln_arena_grow(kiln_arena_t *arena, uint64_t pages, uint64_t *out_bytes);

static inline kiln_addr_t kiln_arena_used(const kiln_arena_t *arena)
{
    return atomic_load_explicit(&arena->arena_used, memory_order_acquire);
}

/* kiln_arena_holds: could `addr` be heap? Never false for heap; true for holes as well. */
static inline bool kiln_arena_holds(const kiln_arena_t *arena, kiln_addr_t addr)
{
    return addr >= arena->arena_start && addr < kiln_arena_used(arena);
}

/* kiln_arena_table_covers: is the entry of `addr` in that table mapped, so that it may be read?
 * False for any address that is not heap and shares no table page with heap. */
bool kiln_arena_table_covers(const kiln_arena_t *arena, kiln_arena_table_id_t id, kiln_addr_t addr);

/* kiln_arena_broken_rule names the first law of the arena that does not hold, or returns NULL. */
const char *kiln_arena_broken_rule(const kiln_arena_t *arena);

/* Names as transcripts and options spell them: "seed", "grow-overflow", "/small-failed" ... */
const char *kiln_follow_name(kiln_follow_t follow);
const char *kiln_arena_branch_name(kiln_arena_branch_t branch);
const char *kiln_arena_service_suffix(kiln_arena_service_t service);

#endif
