/* report_heap.h - a heap as a process has it, plain or hardened, whose records can be ruined.
 *
 * After the first ruin the heap is no more used, only asked about. What a ruin may lead to is one
 * of two:
 *
 *   DATA      notes, states, sizes, counts, kept stacks: whatever they say, no read may fault
 *   ADDRESS   an address, or what says how long a record is: a read may fault, and a report's
 *             handler of faults is there for that (allocator/api/report.h)
 *
 * Threads  one.   Memory  the window of a fake OS, mapped once. */
#ifndef KILN_FUZZ_REPORT_HEAP_H
#define KILN_FUZZ_REPORT_HEAP_H

#include "allocator/harden/harden.h"
#include "allocator/heap/heap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KILN_REPORT_BLOCKS = 16, KILN_REPORT_STACKS = 8 };

typedef enum kiln_report_profile {
    KILN_REPORT_PLAIN,
    KILN_REPORT_HARDENED,
    KILN_REPORT_FUZZ,    /* with stacks */
    KILN_REPORT_GUARDED, /* as FUZZ, and every block is guarded */
    KILN_REPORT_PROFILES,
} kiln_report_profile_t;

/* What can be ruined. */
typedef enum kiln_ruin {
    KILN_RUIN_SPAN,    /* where a span says that it is, and how long, but for its class */
    KILN_RUIN_SLOTS,   /* states and notes */
    KILN_RUIN_CHUNK,   /* of a guard: what it says of a chunk */
    KILN_RUIN_BOOK,    /* of a guard: what it says of blocks */
    KILN_RUIN_KEPT,    /* stacks */
    KILN_RUIN_ENTRY,   /* of the page map; this and all that follow are addresses */
    KILN_RUIN_CLASS,   /* of a span */
    KILN_RUIN_BOOK_AT, /* where the book of a chunk lies */
    KILN_RUIN_KEPT_AT, /* where kept stacks lie */
    KILN_RUINS,
} kiln_ruin_t;

typedef struct kiln_report_heap {
    kiln_heap_t heap;
    kiln_harden_t hardened;
    kiln_guard_t guard;
    bool is_hardened;
    kiln_harden_thread_t *thread;
    char *blocks[KILN_REPORT_BLOCKS];
    uint32_t stacks[KILN_REPORT_STACKS]; /* numbers of kept ones; 0: none */
    unsigned ruined;                     /* bit set of 1u << kiln_ruin_t */
} kiln_report_heap_t;

extern kiln_report_heap_t kiln_report_heap;

/* kiln_report_heap_begin makes it. kiln_report_heap_calls counts what it has asked the OS for. */
void kiln_report_heap_begin(kiln_report_profile_t profile);
uint64_t kiln_report_heap_calls(void);

/* kiln_report_heap_hardened is NULL where the heap is a plain one. */
const kiln_harden_t *kiln_report_heap_hardened(void);

/* kiln_report_heap_alloc fills an empty place with a block, free empties it but remembers where the
 * block was, and keep keeps a stack. They do nothing once something is ruined. */
void kiln_report_heap_alloc(unsigned place, size_t bytes);
void kiln_report_heap_free(unsigned place);
void kiln_report_heap_keep(unsigned place, const uintptr_t *pcs, unsigned count);

/* kiln_report_heap_ruin overwrites a word, or the part of it that is such a field, of what belongs
 * to the block at `place`; `at` chooses which, of those that there are. */
void kiln_report_heap_ruin(kiln_ruin_t ruin, unsigned place, size_t at, uintptr_t word);

/* kiln_report_heap_may_fault: was an address ruined? */
bool kiln_report_heap_may_fault(void);

/* kiln_report_heap_hold takes every lock there is, for good: who then wants one stops the program.
 * The heap is no more used. */
void kiln_report_heap_hold(void);

#endif
