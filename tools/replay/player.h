/* player.h - an arena on an OS that answers from a trace.
 *
 * The player reads the steps of a trace, makes the arena take them, and answers the arena's
 * questions with the answers that follow each step. What happens goes to views, event by event, in
 * the order in which it happens: a view prints the transcript, another draws.
 *
 * The simulated machine has numbers only: no memory stands behind its addresses.
 *
 * Errors   are errors of the trace: kiln_trace_t.error says which. A step that meets one ends, and
 *          no view hears of the rest. */
#ifndef KILN_TOOLS_REPLAY_PLAYER_H
#define KILN_TOOLS_REPLAY_PLAYER_H

#include "allocator/arena/arena.h"
#include "allocator/os/os.h"
#include "tools/replay/trace.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum kiln_event_kind {
    KILN_EVENT_CONFIG,    /* the arena exists; nothing has happened */
    KILN_EVENT_STATE,     /* before the first step, and after every one */
    KILN_EVENT_STEP,      /* a step begins: `step`, `step_idx` */
    KILN_EVENT_RESERVE,   /* `hint`, `bytes`; `addr` (0: refused), `reserved` */
    KILN_EVENT_FREE,      /* `addr`, `bytes` */
    KILN_EVENT_SYSALLOC,  /* `bytes`; `addr` (0: refused) */
    KILN_EVENT_MAP,       /* `use`, `addr`, `bytes`, `reserved`; `answer` */
    KILN_EVENT_RACE,      /* the watcher is told of `addr`, `bytes` */
    KILN_EVENT_PUBLISH,   /* arena_used goes from `addr` to `new_used` */
    KILN_EVENT_OUTSIDE,   /* the fallback got `addr`, out of range */
    KILN_EVENT_LAYOUT,    /* `layout` */
    KILN_EVENT_RETURNED,  /* a request for `bytes` got `result` */
    KILN_EVENT_NO_MEMORY, /* grow could not get `bytes` */
    KILN_EVENT_THROW,     /* `reason`; a state follows, then nothing */
} kiln_event_kind_t;

typedef struct kiln_event {
    kiln_event_kind_t kind;
    kiln_addr_t addr, hint, new_used;
    uint64_t bytes, step_idx; /* 1 is the first step */
    bool reserved;
    kiln_os_use_t use;
    kiln_os_answer_t answer;
    const kiln_trace_directive_t *step;
    const kiln_arena_layout_t *layout;
    const kiln_arena_result_t *result;
    const char *reason;
} kiln_event_t;

typedef struct kiln_view {
    void *ctx;
    void (*see)(void *ctx, const kiln_arena_t *arena, const kiln_event_t *event);
} kiln_view_t;

enum { KILN_PLAYER_VIEWS_MAX = 2 };

typedef struct kiln_player {
    kiln_trace_t *trace;
    kiln_view_t views[KILN_PLAYER_VIEWS_MAX];
    unsigned views_count;

    kiln_arena_t arena;
    kiln_os_t os;
    kiln_watcher_t watcher;
    kiln_arena_log_t log;
    uint64_t *present;
    uint64_t settings[KILN_TRACE_KEYS]; /* where trace->key_lines says so, else the default */

    kiln_trace_directive_t next; /* read ahead, if has_next */
    bool has_next;
    uint64_t step_idx, step_line;
    kiln_arena_layout_t layout;
    bool layout_due; /* mallocinit runs, and its layout was not seen yet */
    bool thrown;
} kiln_player_t;

/* kiln_player_run plays all of `trace` to the views. True: played to its end, or to a throw and
 * read to its end. False: the trace is broken, as trace->error tells. */
bool kiln_player_run(kiln_player_t *player, kiln_trace_t *trace, const kiln_view_t *views,
                     unsigned views_count);

/* kiln_player_free gives back what a run took; the arena is gone then. */
void kiln_player_free(kiln_player_t *player);

#endif
