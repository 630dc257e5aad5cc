/* record.h - a backend around any other that remembers what the OS answered.
 *
 * It passes every call on and keeps the answers, in the order in which they were given, until
 * kiln_os_record_flush writes them as lines of the trace language (`kiln replay --help`):
 *
 *   reserve*2 -> fail                     equal answers in a row are one line
 *   reserve -> 0xc000000000 unreserved
 *   map heap -> ok
 *   sysalloc -> 0x30001000
 *
 * Answers are held back because a step's own line comes first in a trace, and what the step was is
 * known only when it is over. Calls that have no answer to choose (release, discard, decommit,
 * protect, guard) pass through and leave no line. //allocator/arena:arena_record adds the steps.
 *
 * Threads  called under the lock of the arena whose backend it is; so is the sink.
 * Memory   none is allocated.
 * Owner    the inner backend and the sink's ctx outlive the record. */
#ifndef KILN_ALLOCATOR_OS_RECORD_H
#define KILN_ALLOCATOR_OS_RECORD_H

#include "allocator/os/os.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    KILN_OS_RECORD_ANSWERS_MAX = 32, /* an arena's step gets at most 16 different answers */
    KILN_OS_RECORD_TEXT_MAX = 1024,  /* what the sink gets at once */
    KILN_OS_RECORD_LINE_MAX = 320,   /* the longest line that may be written */
};

/* A sink takes `bytes` bytes of whole lines. It must not call back into the heap. */
typedef void (*kiln_os_record_sink_t)(void *ctx, const char *text, size_t bytes);

typedef enum kiln_os_record_kind {
    KILN_OS_RECORD_RESERVE,
    KILN_OS_RECORD_MAP,
    KILN_OS_RECORD_DIRECT,
} kiln_os_record_kind_t;

typedef struct kiln_os_record_answer {
    kiln_os_record_kind_t kind;
    kiln_os_use_t use;       /* of a map */
    kiln_os_answer_t answer; /* of a map */
    bool reserved;           /* of a reserve */
    kiln_addr_t addr;        /* of a reserve and a direct; 0: refused */
    uint64_t times;          /* how often in a row; more than 1 for a reserve only */
} kiln_os_record_answer_t;

typedef struct kiln_os_record {
    kiln_os_t os; /* give this to the arena */
    const kiln_os_t *inner;
    kiln_os_record_sink_t sink; /* NULL: stopped; calls only pass through */
    void *sink_ctx;
    kiln_os_record_answer_t answers[KILN_OS_RECORD_ANSWERS_MAX];
    unsigned answers_count;
    bool answers_lost; /* there were more than fit: the trace ends with a line that says so */
    char text[KILN_OS_RECORD_TEXT_MAX];
    size_t text_bytes;
} kiln_os_record_t;

void kiln_os_record_init(kiln_os_record_t *record, const kiln_os_t *inner,
                         kiln_os_record_sink_t sink, void *sink_ctx);

/* kiln_os_record_line adds a line of `bytes` (at most KILN_OS_RECORD_LINE_MAX) characters; the
 * line's end is added. */
void kiln_os_record_line(kiln_os_record_t *record, const char *line, size_t bytes);

/* kiln_os_record_answers adds the answers held back and forgets them. kiln_os_record_flush gives
 * the sink all lines added so far. */
void kiln_os_record_answers(kiln_os_record_t *record);
void kiln_os_record_flush(kiln_os_record_t *record);

/* kiln_os_record_stop ends the recording: what was held back is forgotten, and the sink is not
 * called again. The child of a fork stops like this, so that it does not write into its parent's
 * trace. */
void kiln_os_record_stop(kiln_os_record_t *record);

#endif
