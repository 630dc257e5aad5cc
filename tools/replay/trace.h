/* trace.h - the trace language, one directive at a time.
 *
 * A trace is the adversary of an arena written down: every request is followed by the answers that
 * the OS gives, in the order in which the arena asks.
 *
 *   width 32|64                       first; address width of the simulated machine
 *   set KEY VALUE                     before the first step and the first answer; each key once:
 *       page phys block strand maxmem arena_start arena_used arena_alloc arena_end
 *       reserved race init_map        (0 or 1)
 *       follow seed|go19|kiln
 *       tables spans|bits+spans       our addition: Kiln's own heap has no bitmap; default both
 *   alloc N | grow NPAGES             a step
 *   mallocinit [end=A] [brk=A] [arch=amd64|arm64|darwin-arm64]     a step, the first one
 *   reserve[*K] -> ADDR [unreserved] | fail                        an answer
 *   map [heap|bits|spans] -> ok | fail | elsewhere                 an answer; may be left out: ok
 *   sysalloc -> ADDR | fail                                        an answer
 *
 * Words are separated by blanks; `#` starts a comment; a line may end in CR LF, the last one in
 * nothing. Numbers are C literals (16, 0x10, 020) and fit the width. All of this is checked here,
 * for every line on its own and for the order of lines; whether an answer was asked for is the
 * player's concern.
 *
 * Memory   none per line; lines may have any length, what precedes the comment must be short.
 * Errors   a broken trace stays broken: `error` tells what, `error_line` where. */
#ifndef KILN_TOOLS_REPLAY_TRACE_H
#define KILN_TOOLS_REPLAY_TRACE_H

#include "allocator/arena/arena.h"
#include "allocator/os/os.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum kiln_trace_kind {
    KILN_TRACE_WIDTH,
    KILN_TRACE_SET,
    KILN_TRACE_ALLOC,
    KILN_TRACE_GROW,
    KILN_TRACE_MALLOCINIT,
    KILN_TRACE_RESERVE, /* from here on: answers */
    KILN_TRACE_MAP,
    KILN_TRACE_SYSALLOC,
} kiln_trace_kind_t;

typedef enum kiln_trace_key {
    KILN_TRACE_PAGE,
    KILN_TRACE_PHYS,
    KILN_TRACE_BLOCK,
    KILN_TRACE_STRAND,
    KILN_TRACE_MAXMEM,
    KILN_TRACE_ARENA_START,
    KILN_TRACE_ARENA_USED,
    KILN_TRACE_ARENA_ALLOC,
    KILN_TRACE_ARENA_END,
    KILN_TRACE_RESERVED,
    KILN_TRACE_RACE,
    KILN_TRACE_INIT_MAP,
    KILN_TRACE_FOLLOW,
    KILN_TRACE_TABLE_SET,
    KILN_TRACE_KEYS, /* how many */
} kiln_trace_key_t;

enum { KILN_TRACE_HAS_ARCH = 1, KILN_TRACE_HAS_BRK = 2, KILN_TRACE_HAS_END = 4 };

typedef struct kiln_trace_directive {
    kiln_trace_kind_t kind;
    uint64_t line;   /* 1 is the first */
    uint64_t number; /* width, set, alloc, grow; the address of an answer, 0: fail */

    kiln_trace_key_t key; /* set; `number` holds the kiln_follow_t or the bit set of tables */

    unsigned has; /* mallocinit: bit set of KILN_TRACE_HAS_... */
    kiln_arena_arch_t arch;
    kiln_addr_t brk, end;

    uint64_t times;          /* reserve: how many questions this answers */
    bool unreserved;         /* reserve */
    bool any_use;            /* map: of whatever */
    kiln_os_use_t use;       /* map, unless any_use */
    kiln_os_answer_t answer; /* map */
} kiln_trace_directive_t;

typedef enum kiln_trace_status {
    KILN_TRACE_DIRECTIVE,
    KILN_TRACE_END,
    KILN_TRACE_BROKEN
} kiln_trace_status_t;

enum {
    KILN_TRACE_LINE_MAX = 512, /* characters before the comment, runs of blanks counted as one */
    KILN_TRACE_WORDS_MAX = 8,
    KILN_TRACE_ERROR_MAX = 320,
    KILN_TRACE_READ_MAX = 65536,
};

typedef struct kiln_trace {
    FILE *file;
    uint64_t line; /* the line read last */
    unsigned addr_bits;
    bool stepped; /* a step or an answer was seen: no more settings */
    uint64_t steps;
    uint64_t key_lines[KILN_TRACE_KEYS]; /* where a key was set; 0: not yet */
    uint64_t width_line;

    uint64_t error_line; /* 0: not broken */
    char error[KILN_TRACE_ERROR_MAX];

    char text[KILN_TRACE_LINE_MAX + 1]; /* the line, cut into words */
    char *words[KILN_TRACE_WORDS_MAX + 1];
    unsigned words_count;
    size_t read_at, read_end;
    char read[KILN_TRACE_READ_MAX];
} kiln_trace_t;

/* kiln_trace_open starts to read `file`, which stays the caller's. */
void kiln_trace_open(kiln_trace_t *trace, FILE *file);

/* kiln_trace_next reads up to the next directive. */
kiln_trace_status_t kiln_trace_next(kiln_trace_t *trace, kiln_trace_directive_t *out);

/* kiln_trace_break marks the trace broken at `line`; the first reason stays. */
__attribute__((format(printf, 3, 4))) void kiln_trace_break(kiln_trace_t *trace, uint64_t line,
                                                            const char *format, ...);

static inline bool kiln_trace_is_answer(kiln_trace_kind_t kind)
{
    return kind >= KILN_TRACE_RESERVE;
}

/* As the language spells it: "alloc", "reserve" ... and "page", "arena_start" ... */
const char *kiln_trace_kind_name(kiln_trace_kind_t kind);
const char *kiln_trace_key_name(kiln_trace_key_t key);

#endif
