/* arena_record.h - the trace of a real run of one arena.
 *
 * The recorder stands between an arena and its OS, and listens to the arena. It writes what
 * happened in the trace language, so that `kiln replay` walks the same way again:
 *
 *   width 64
 *   set follow kiln                          the arena's configuration
 *   mallocinit arch=amd64 brk=0x0 end=0x0    its start-up, and what the OS answered
 *     reserve -> 0xc000000000
 *   # st start=... used=...                  the state after the step, as a transcript has it
 *   alloc 0x100000                           every request, and what the OS answered
 *     map heap -> ok
 *   # st ...
 *
 * Use  kiln_arena_record_init(&record, os, sink, ctx);
 *      give &record.os_record.os and &record.log to the arena (or to the heap's config, as
 *      arena_os and log); then, after kiln_arena_start (kiln_heap_init calls it) and before the
 *      first request,
 *      kiln_arena_record_started(&record, &arena, arch, image_end, brk);
 *      and kiln_arena_record_stop(&record) to end, in the child of a fork for example.
 *
 * Threads  under the arena's lock, all of it; so is the sink.
 * Memory   none is allocated. Recorded is an arena of 32 or 64 bits, with a span table, that began
 *          with kiln_arena_start. */
#ifndef KILN_ALLOCATOR_ARENA_ARENA_RECORD_H
#define KILN_ALLOCATOR_ARENA_ARENA_RECORD_H

#include "allocator/arena/arena.h"
#include "allocator/os/record.h"

typedef struct kiln_arena_record {
    kiln_os_record_t os_record;
    kiln_arena_log_t log;
    const kiln_arena_t *arena; /* NULL until kiln_arena_record_started */
} kiln_arena_record_t;

void kiln_arena_record_init(kiln_arena_record_t *record, const kiln_os_t *inner,
                            kiln_os_record_sink_t sink, void *sink_ctx);

/* kiln_arena_record_started writes the head of the trace and the start-up, also one that failed.
 * The arguments are those that kiln_arena_start got. */
void kiln_arena_record_started(kiln_arena_record_t *record, const kiln_arena_t *arena,
                               kiln_arena_arch_t arch, kiln_addr_t image_end, kiln_addr_t brk);

void kiln_arena_record_stop(kiln_arena_record_t *record);

/* kiln_arena_state_text writes "st start=... heap_sys=..." without an end of line from `at` on and
 * gives the place after it. At most KILN_ARENA_STATE_TEXT_MAX characters. */
enum { KILN_ARENA_STATE_TEXT_MAX = 256 };
char *kiln_arena_state_text(char *at, const kiln_arena_t *arena);

const char *kiln_arena_arch_name(kiln_arena_arch_t arch);

#endif
