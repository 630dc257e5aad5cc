/* transcript.h - a view that prints what an arena did, line by line.
 *
 * The lines and their order are those of a trace's .expected file; numbers are 0x hexadecimal
 * but width, race, reserved, the step's number, and the two byte counts of the out-of-memory line.
 *
 * Memory   one buffer; kiln_transcript_flush empties it.
 * Errors   a failed write is remembered in `failed_errno`, and nothing more is written. */
#ifndef KILN_TOOLS_REPLAY_TRANSCRIPT_H
#define KILN_TOOLS_REPLAY_TRANSCRIPT_H

#include "tools/replay/player.h"

#include <stddef.h>
#include <stdio.h>

enum {
    KILN_TRANSCRIPT_BUFFER_BYTES = 65536,
    KILN_TRANSCRIPT_LINE_MAX = 512, /* longer than any line of a transcript */
};

typedef struct kiln_transcript {
    FILE *file;
    int failed_errno; /* 0: all was written */
    size_t used_bytes;
    char buffer[KILN_TRANSCRIPT_BUFFER_BYTES];
} kiln_transcript_t;

void kiln_transcript_open(kiln_transcript_t *transcript, FILE *file);
kiln_view_t kiln_transcript_view(kiln_transcript_t *transcript);
void kiln_transcript_flush(kiln_transcript_t *transcript);

#endif
