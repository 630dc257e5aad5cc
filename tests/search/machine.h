/* machine.h - a machine of a few bits, cell by cell: what the OS below the arena may answer, and
 * what every byte of its address space is.
 *
 * The machine is the OS of os.h. Every answer that the contract leaves open is a choice: a reserve
 * or direct is refused, or placed at any aligned address that is free (0 excluded), really reserved
 * or only believed to be free; a commit succeeds, is refused, or, where nothing is held, finds that
 * somebody else was there. Choices come from a list (the search runs through all of them) or from a
 * generator (walks).
 *
 * Independent of allocator/os/model.c: an array over the whole address space, no ranges. A cell is
 * the smaller of a page and a hardware page: all that OS and arena do is in multiples of it, and
 * what is not is a break by itself.
 *
 * Threads  one.   Memory  none is allocated. A world is saved and put back as a whole. */
#ifndef KILN_TESTS_SEARCH_MACHINE_H
#define KILN_TESTS_SEARCH_MACHINE_H

#include "allocator/arena/arena.h"
#include "allocator/base/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SEARCH_CELLS_MAX = 2048,
    SEARCH_CHOICES_MAX = 640,
    SEARCH_PRESENT_WORDS = 64,
    SEARCH_ANSWERS_MAX = 700,
};

/* What a cell of the address space is to the OS. */
typedef enum search_cell {
    SEARCH_NONE,
    SEARCH_FOREIGN, /* somebody else's */
    SEARCH_RESERVED,
    SEARCH_HEAP, /* Ready, by use */
    SEARCH_BITS,
    SEARCH_SPANS,
} search_cell_t;

/* What else is known of a cell: a bit set. */
enum {
    SEARCH_HANDED = 1,    /* a program has it */
    SEARCH_SLACK = 2,     /* what the fallback asked for to round: counted, never handed out */
    SEARCH_PROMISED = 4,  /* was answered as unreserved */
    SEARCH_OVER = 8,      /* granted although promised: the arena may try to commit it */
    SEARCH_LOST = 16,     /* the OS still holds it for us, and nobody knows of it any more */
    SEARCH_AT_TOP = 32,   /* of a block with the last byte of the address space: weakness W6 */
    SEARCH_UNBOUNDED = 64 /* handed out although beyond the possible range */
};

/* The breaks of the laws that `seed` and `go19` are kept for; the numbers are those of DESIGN.md
 * and of the restated source: what each is, is in search_known_text. */
typedef enum search_known {
    SEARCH_UNKNOWN, /* a break that nobody has explained: the search fails */
    SEARCH_W1_NO_TABLES,
    SEARCH_W2_NO_FALLBACK,
    SEARCH_W3_TABLES_OF_HOLES,
    SEARCH_W4_STRANDED,
    SEARCH_W4_ROUNDED,
    SEARCH_W5_MIXED_FLAG,
    SEARCH_W6_LAST_BYTE,
    SEARCH_W7_LIMIT_REFUSED,
    SEARCH_W7_TOP_TAKEN,
    SEARCH_W10_CONFLICT,
    SEARCH_ZERO_LENGTH,
    SEARCH_HOLE_TOLD,
    SEARCH_HEAP_NOT_TOLD,
    SEARCH_MAP_IS_FATAL,
    SEARCH_PAGE_TOO_MANY,
    SEARCH_START_BEYOND,
    SEARCH_KNOWNS,
} search_known_t;

/* One configuration of the search. */
typedef struct search_plan {
    const char *name;
    unsigned bits;      /* of the window: everything that matters happens in 2^bits bytes */
    kiln_addr_t window; /* its first address; 0 but on machines of more than 32 bits */
    kiln_arena_config_t arena;
    bool unreserved; /* the OS also gives address space that is only believed free */
    bool by_start;   /* begins with kiln_arena_start, else placed by hand */
    bool walk;       /* for walks only */
    bool quick;      /* part of the quick run */
} search_plan_t;

/* What one call of the OS was answered, for a trace. */
typedef struct search_answer {
    enum { SEARCH_ASKED_RESERVE, SEARCH_ASKED_MAP, SEARCH_ASKED_DIRECT } kind;
    kiln_addr_t addr; /* 0: refused */
    uint64_t bytes;
    bool reserved;
    kiln_os_use_t use;
    kiln_os_answer_t answer;
} search_answer_t;

/* Everything that a step may change. Saved and put back as a whole. */
typedef struct search_world {
    kiln_arena_t arena;
    uint64_t present[SEARCH_PRESENT_WORDS];
    kiln_addr_t first_used; /* arena_used when the first request came */
    bool stored;            /* arena_used was stored at least once: the tables are mapped */
    bool mixed;             /* seed, go19: the current block has bytes of both kinds */
    bool started;           /* start-up is over */
    bool beyond;            /* it took address space beyond the possible range */
    bool tables_held;       /* the tables' area was really reserved */
    bool ended;             /* thrown, or ruined by a known break: nothing is asked any more */
    uint64_t counted_bytes; /* what heap_sys_bytes must be */
    uint8_t cells[3 * SEARCH_CELLS_MAX]; /* state, marks, times told: `cells` each */
} search_world_t;

/* One step, while it runs. */
typedef struct search_step {
    uint64_t request_bytes;
    unsigned reserves, reserves_refused, directs, directs_refused, commits, commits_refused;
    unsigned tells, bounds;
    kiln_addr_t told_addr, bound_old, bound_new, grant, direct; /* latest; 0: none */
    uint64_t told_bytes, grant_bytes, direct_bytes;
    bool grant_reserved;
    bool unreserved_answer; /* some commit was answered "elsewhere" */
    unsigned answers_count;
    search_answer_t answers[SEARCH_ANSWERS_MAX];
} search_step_t;

/* The choices of the step that runs: `count` were made, each below its `options`. A list that is
 * shorter than the step goes on with 0. */
typedef struct search_choices {
    uint16_t picks[SEARCH_CHOICES_MAX], options[SEARCH_CHOICES_MAX];
    unsigned given, count;
    kiln_rng_t *rng; /* not NULL: drawn, and written to the list */
} search_choices_t;

typedef struct search_machine {
    const search_plan_t *plan;
    uint64_t bytes, unit_bytes, cell_bytes, cells;
    search_world_t world;
    search_step_t step;
    search_choices_t choices;
    kiln_os_t os;
    kiln_watcher_t watcher;
    kiln_arena_log_t log;
    bool starting; /* kiln_arena_start runs */
} search_machine_t;

extern search_machine_t search_machine;

/* A break of a law was seen: search.c counts it. SEARCH_UNKNOWN does not come back. */
void search_break(const char *law, search_known_t known);

/* search_ruin ends the step at once: what the arena did cannot be undone. Does not come back. */
_Noreturn void search_ruin(void);

/* search_open makes the OS of `plan`, with nothing mapped, and an arena that is initialised. */
void search_open(const search_plan_t *plan);

/* search_world_save and _restore copy what matters of the world. */
void search_world_save(search_world_t *to);
void search_world_restore(const search_world_t *from);

/* search_begin_step forgets the step before. */
void search_begin_step(uint64_t request_bytes);

/* search_index gives the cell of `addr`; false: outside of the window. */
static inline bool search_index(kiln_addr_t addr, uint64_t *out_idx)
{
    *out_idx = (addr - search_machine.plan->window) / search_machine.cell_bytes;
    return *out_idx < search_machine.cells;
}

static inline kiln_addr_t search_addr(uint64_t idx)
{
    return search_machine.plan->window + idx * search_machine.cell_bytes;
}

/* search_range gives the cells of a range, which is aligned and in the window; false: it is not. */
static inline bool search_range(kiln_addr_t addr, uint64_t bytes, uint64_t *out_idx,
                                uint64_t *out_cells)
{
    uint64_t cell_bytes = search_machine.cell_bytes;
    *out_cells = bytes / cell_bytes;
    return kiln_is_aligned(addr, cell_bytes) && kiln_is_aligned(bytes, cell_bytes) &&
           search_index(addr, out_idx) && *out_cells <= search_machine.cells - *out_idx;
}

static inline uint8_t *search_state(void)
{
    return search_machine.world.cells;
}

static inline uint8_t *search_marks(void)
{
    return search_machine.world.cells + search_machine.cells;
}

static inline uint8_t *search_told(void)
{
    return search_machine.world.cells + 2 * search_machine.cells;
}

static inline bool search_is_ours(uint8_t state)
{
    return state >= SEARCH_RESERVED;
}

static inline bool search_follows_kiln(void)
{
    return search_machine.plan->arena.follow == KILN_FOLLOW_KILN;
}

/* search_entry gives the place of the table entry of heap at `addr`; false: the table has none. */
bool search_entry(unsigned id, kiln_addr_t addr, kiln_addr_t *out_entry);

/* search_entry_ready: is that entry in memory that may be read? */
bool search_entry_ready(unsigned id, kiln_addr_t addr);

/* Why seed and go19 may be beyond the possible range with narrow tables: the fallback took memory
 * that ends at the top of the space for in range, because its end wraps to 0; or start-up took the
 * first answer wherever it was; or its reservation is a page longer than the tables. search_beyond
 * names which, or SEARCH_UNKNOWN. */
bool search_top_taken(void);
bool search_start_beyond(void);
search_known_t search_beyond(void);

const char *search_known_name(search_known_t known);
const char *search_known_text(search_known_t known);

#endif
